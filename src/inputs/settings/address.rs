//! Turns the input `health-address` into an address, and says which addresses are never asked.
//! It opens no connection.
//! Whether an address may be asked is a question of its own: the edge that asks checks every address, those from DNS too.

use super::{
    HealthAddress,
    reader::{Problem, shown},
};
use crate::names::may_be_asked;
use std::net::{IpAddr, SocketAddr};

/// `IP`, `IP:port` or `[IPv6]:port`.
pub(super) fn health_address(text: &str) -> Result<HealthAddress, Problem> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(HealthAddress { ip, port: None });
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(HealthAddress {
            ip: address.ip(),
            port: Some(address.port()),
        }),
        _ => Err(Problem::new(
            format!("{} is not an address", shown(text)),
            "write an IP address with or without a port, such as `203.0.113.7`, `203.0.113.7:443` or `[2001:db8::7]:443`",
        )),
    }
}

impl HealthAddress {
    /// True for an address that is never asked: loopback, link-local (cloud metadata), multicast and unspecified ones.
    pub fn is_forbidden(&self) -> bool {
        !may_be_asked(self.ip, false)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_address_comes_with_or_without_a_port() {
        for (text, ip, port) in [
            ("203.0.113.7", "203.0.113.7", None),
            ("10.88.0.1:8080", "10.88.0.1", Some(8080)),
            ("2001:db8::7", "2001:db8::7", None),
            ("[2001:db8::7]", "2001:db8::7", None),
            ("[2001:db8::7]:443", "2001:db8::7", Some(443)),
        ] {
            let expected = HealthAddress {
                ip: ip.parse().unwrap(),
                port,
            };
            assert_eq!(health_address(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_name_a_url_and_a_zero_port_are_refused() {
        for text in [
            "ingress.example.com",
            "http://203.0.113.7",
            "203.0.113.7:0",
            "203.0.113.7:99999",
            "203.0.113",
            "203.0.113.7/24",
            "[203.0.113.7",
        ] {
            assert!(health_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_and_link_local_are_never_asked() {
        let forbidden = |text: &str| health_address(text).unwrap().is_forbidden();
        for text in [
            "127.0.0.1",
            "127.8.8.8:80",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
        ] {
            assert!(forbidden(text), "{text}");
        }
        for text in [
            "10.88.0.1",
            "192.168.1.1:80",
            "203.0.113.7",
            "2001:db8::7",
            "fd12::1",
        ] {
            assert!(!forbidden(text), "{text}");
        }
    }
}
