//! Whom we trust over TLS: the system's authorities, the built-in ones where there are none, and those that a workflow adds.
//! It opens no connection and knows no peer.
//! GitHub and health trust by the same rule, so that one input `ca-bundle` counts for all.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use std::{error::Error, io, sync::OnceLock};

/// The certificate authorities cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the additional certificate authorities cannot be read: {0}")]
pub struct TlsError(String);

/// Makes ring the provider of the whole process; later calls change nothing.
pub fn install_provider() {
    // the error says that a provider is there already, which is what we want
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The authorities to trust, with those of the PEM text added.
pub fn roots(additional: Option<&str>) -> Result<Vec<reqwest::Certificate>, TlsError> {
    let mut roots = usual().clone();
    if let Some(pem) = additional {
        let added = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| TlsError(root_cause(&error)))?;
        if added.is_empty() {
            return Err(TlsError("no CERTIFICATE block is in it".into()));
        }
        roots.extend(added);
    }
    Ok(roots)
}

/// The system's authorities, or the built-in ones; read once a process, because each client of a run asks for them.
fn usual() -> &'static Vec<reqwest::Certificate> {
    static USUAL: OnceLock<Vec<reqwest::Certificate>> = OnceLock::new();
    USUAL.get_or_init(|| {
        // a system certificate that does not parse is no reason to refuse the others
        let known = |ders: &[CertificateDer<'_>]| -> Vec<reqwest::Certificate> {
            ders.iter()
                .filter_map(|der| reqwest::Certificate::from_der(der).ok())
                .collect()
        };
        let system = known(&rustls_native_certs::load_native_certs().certs);
        if system.is_empty() {
            return known(webpki_root_certs::TLS_SERVER_ROOT_CERTS);
        }
        system
    })
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateProblem {
    /// Its issuer is not among those that we trust.
    UnknownIssuer,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is for other names; these.
    WrongName(Vec<String>),
    /// Something else, in the words of the TLS library.
    Other(String),
}

impl std::fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownIssuer => f.write_str("its certificate is by an unknown issuer"),
            Self::Expired => f.write_str("its certificate has expired"),
            Self::NotYetValid => f.write_str("its certificate is not valid yet"),
            Self::WrongName(names) if names.is_empty() => {
                f.write_str("its certificate is for another name")
            }
            Self::WrongName(names) => write!(f, "its certificate is for {}", names.join(", ")),
            Self::Other(why) => write!(f, "its certificate is refused: {why}"),
        }
    }
}

/// Finds what is wrong with the certificate among the causes of an error.
pub fn certificate_problem(error: &(dyn Error + 'static)) -> Option<CertificateProblem> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return from_rustls(tls);
        }
        // an `io::Error` hides the error that it wraps from `source`
        next = match cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

fn from_rustls(error: &rustls::Error) -> Option<CertificateProblem> {
    use rustls::CertificateError as Bad;
    let rustls::Error::InvalidCertificate(bad) = error else {
        return None;
    };
    Some(match bad {
        Bad::UnknownIssuer => CertificateProblem::UnknownIssuer,
        Bad::Expired | Bad::ExpiredContext { .. } => CertificateProblem::Expired,
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => CertificateProblem::NotYetValid,
        Bad::NotValidForName => CertificateProblem::WrongName(Vec::new()),
        Bad::NotValidForNameContext { presented, .. } => {
            CertificateProblem::WrongName(presented.iter().map(|name| dns_name(name)).collect())
        }
        other => CertificateProblem::Other(other.to_string()),
    })
}

/// Until when a certificate is valid, as its bytes say; they need not be trusted.
pub fn valid_until(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // A version may come first; then serial number, algorithm and issuer.
    if let (0xa0, _, rest) = element(fields)? {
        fields = rest;
    }
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (tag, text, _) = element(element(validity)?.2)?;
    let text = std::str::from_utf8(text).ok()?;
    // A year of two digits is of this century up to 49.
    let text = match (tag, text.get(..2)?) {
        (0x17, year) if year < "50" => format!("20{text}"),
        (0x17, _) => format!("19{text}"),
        _ => text.to_owned(),
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    text.parse().ok()
}

/// Tag and content of the first element of DER, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let digits = digits.get(..digits.len().min(5))?;
            (
                digits
                    .iter()
                    .fold(0, |sum, digit| sum << 8 | usize::from(*digit)),
                rest,
            )
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `DnsName("a.example.com")` as `a.example.com`.
fn dns_name(presented: &str) -> String {
    match (presented.find('"'), presented.rfind('"')) {
        (Some(first), Some(last)) if first < last => presented[first + 1..last].into(),
        _ => presented.into(),
    }
}

/// The text of the innermost cause: the one that says what happened.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = source(innermost) {
        innermost = cause;
    }
    innermost.to_string()
}

/// The next cause; an `io::Error` hides the error that it wraps from its own `source`.
fn source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    /// What a server with this certificate accepts connections with.
    pub(crate) fn acceptor(
        certificate: &rcgen::Certificate,
        key: &rcgen::KeyPair,
    ) -> tokio_rustls::TlsAcceptor {
        install_provider();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        std::sync::Arc::new(config).into()
    }

    #[test]
    fn additional_authorities_are_added_to_the_others() {
        let key = rcgen::generate_simple_self_signed(["a.test".into()]).unwrap();
        let without = roots(None).unwrap().len();
        assert!(without > 0);
        assert_eq!(roots(Some(&key.cert.pem())).unwrap().len(), without + 1);
    }

    #[test]
    fn a_certificate_says_until_when_it_is_valid() {
        let key = rcgen::KeyPair::generate().unwrap();
        for (year, month, day) in [(2026, 12, 1), (2049, 12, 31), (2050, 1, 2)] {
            let mut parameters = rcgen::CertificateParams::new(["a.test".into()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, month, day);
            let made = parameters.self_signed(&key).unwrap();
            let until = valid_until(made.der()).unwrap().to_string();
            assert_eq!(until, format!("{year}-{month:02}-{day:02}T00:00:00Z"));
            for cut in 0..made.der().len() {
                // Nothing that is cut off is read beyond its end.
                let _ = valid_until(&made.der()[..cut]);
            }
        }
    }

    #[test]
    fn a_bundle_without_certificate_is_an_error() {
        let error = roots(Some("not a certificate")).unwrap_err().to_string();
        assert!(error.contains("no CERTIFICATE block"), "{error}");
        assert!(
            roots(Some(
                "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----"
            ))
            .is_err()
        );
    }
}
