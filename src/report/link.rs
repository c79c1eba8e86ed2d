//! Web addresses that may stand in a comment as links.
//! It doesn't follow them and does not know what they show.
//! A type of its own, because a link is the one thing in a comment that can lead people elsewhere.

use super::{engine::Markdown, escape};
use std::fmt::Write as _;

/// An `http` or `https` address, with everything encoded that Markdown, HTML or a shell would take for more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    /// Takes an address; none when it is not `http` or `https` or names no host.
    pub fn new(address: &str) -> Option<Self> {
        let address = address.trim();
        let rest = address
            .strip_prefix("https://")
            .or_else(|| address.strip_prefix("http://"))?;
        let host = rest.split(['/', '?', '#']).next()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return None;
        }
        let mut clean = String::with_capacity(address.len());
        for byte in address.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:/?#@=%+,".contains(&byte) {
                clean.push(char::from(byte));
            } else {
                // writing to a String cannot fail
                let _ = write!(clean, "%{byte:02X}");
            }
        }
        Some(Self(clean))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address without its scheme and without a final slash: what people read.
    pub(super) fn short(&self) -> &str {
        let (_, rest) = self.0.split_once("://").unwrap_or_default();
        rest.trim_end_matches('/')
    }

    /// A link with a text that may be untrusted.
    pub(super) fn titled(&self, text: &str) -> Markdown {
        Markdown::ours(format!("[{}]({})", escape::inline(text), self.0))
    }

    /// A link with a text in code type.
    pub(super) fn coded(&self, text: &str) -> Markdown {
        Markdown::ours(format!("[{}]({})", escape::code(text), self.0))
    }

    /// A link that shows where it leads.
    pub(super) fn bare(&self) -> Markdown {
        Markdown::ours(format!(
            "[{}]({})",
            self.short().replace('_', "\\_"),
            self.0
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Link;

    #[test]
    fn only_web_addresses_are_links() {
        for wrong in [
            "",
            "javascript:alert(1)",
            "https://",
            "https://a b/",
            "https://user@host/",
            "https:///x",
            "//host",
            "https://a)[x](y)",
        ] {
            assert_eq!(Link::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_means_more_is_encoded() {
        let link =
            Link::new("https://a.test/x y)`$(id)'\"<>|*é").map(|link| link.as_str().to_owned());
        assert_eq!(
            link.as_deref(),
            Some("https://a.test/x%20y%29%60%24%28id%29%27%22%3C%3E%7C%2A%C3%A9")
        );
    }
}
