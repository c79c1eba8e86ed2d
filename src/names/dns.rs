//! Names that Kubernetes and DNS accept: labels, namespaces, hosts, environments.
//! They do not know what they are made from; `plan` makes them.
//! RFC 1123 is the common ground of all of them, so one check serves.

use super::{NameError, text_serde};
use std::{fmt, str::FromStr};

fn is_label(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|&b| alphanumeric(b) || b == b'-')
        && alphanumeric(bytes[0])
        && alphanumeric(bytes[bytes.len() - 1])
}

/// True for the name of an object as the API server takes it, which is safe in a path.
pub fn is_object_name(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=253).contains(&bytes.len())
        && bytes.iter().all(|&b| alphanumeric(b) || b"-.".contains(&b))
        && bytes.first().is_some_and(|&b| alphanumeric(b))
        && bytes.last().is_some_and(|&b| alphanumeric(b))
}

macro_rules! dns_name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr, $problem:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(NameError::new($what, text, $problem)) }
            }
        }

        text_serde!($type);
    };
}

dns_name!(
    /// An RFC 1123 label: the name of a service or of an object.
    Label,
    "name",
    is_label,
    "is not made of 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end"
);

dns_name!(
    /// The name of a Kubernetes namespace.
    Namespace,
    "namespace",
    is_label,
    "is not made of 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end"
);

dns_name!(
    /// A fully qualified host name, without a wildcard, a port or a final dot.
    Host,
    "host",
    |text: &str| text.len() <= 253 && text.split('.').all(is_label),
    "is not a host name: labels of 1 to 63 lower-case letters, digits and hyphens, joined by dots, 253 characters at most"
);

dns_name!(
    /// The name of the environment that previews are counted in; part of the ledger's name, so short.
    Environment,
    "environment",
    |text: &str| is_label(text) && text.len() <= 30,
    "is not made of 1 to 30 lower-case letters, digits and hyphens, with no hyphen at either end"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_rfc_1123() {
        let longest = "a".repeat(63);
        for right in ["a", "0", "web-1", longest.as_str()] {
            assert!(right.parse::<Label>().is_ok(), "{right}");
        }
        let too_long = "a".repeat(64);
        for wrong in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "ä",
            "a b",
            too_long.as_str(),
        ] {
            assert!(wrong.parse::<Label>().is_err(), "{wrong}");
            assert!(wrong == "a.b" || wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_have_no_wildcard_port_or_final_dot() {
        assert!("pr-1.preview.example.com".parse::<Host>().is_ok());
        for wrong in [
            "*.example.com",
            "example.com:80",
            "example.com.",
            ".com",
            "a..b",
            "http://a",
        ] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }
}
