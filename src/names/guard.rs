//! Which addresses are never asked, whatever a name leads to.
//! It resolves nothing; it only judges.
//! A preview's name is partly in the hands of whoever writes the configuration, and the runner sees more than they do.

use std::net::{IpAddr, Ipv6Addr};

/// The IPv6 address of a cloud's metadata service, which lies in a private range.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// True when an address may be asked; private ones may.
pub fn may_be_asked(ip: IpAddr, allow_loopback: bool) -> bool {
    match ip.to_canonical() {
        ip if ip.is_loopback() => allow_loopback,
        ip if ip.is_unspecified() || ip.is_multicast() => false,
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast() && v4.octets()[0] != 0,
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6 != METADATA_V6,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::may_be_asked;

    #[test]
    fn this_machine_and_its_link_are_never_asked() {
        for never in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "fd00:ec2::254",
        ] {
            assert!(!may_be_asked(never.parse().unwrap(), false), "{never}");
        }
        for fine in [
            "10.0.0.1",
            "192.168.1.1",
            "172.17.0.2",
            "93.184.215.14",
            "fd12::1",
            "2001:db8::1",
        ] {
            assert!(may_be_asked(fine.parse().unwrap(), false), "{fine}");
        }
        assert!(may_be_asked("127.0.0.1".parse().unwrap(), true));
        assert!(!may_be_asked("169.254.169.254".parse().unwrap(), true));
    }
}
