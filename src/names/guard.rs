//! Which addresses are never asked, whatever a name leads to.
//! It resolves nothing; it only judges.
//! A preview's name is partly in the hands of whoever writes the configuration, and the runner sees more than they do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of clouds' metadata services outside the link-local ranges: those of Azure, Alibaba and Oracle.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same in private ranges of IPv6: those of AWS and Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The IPv4 address that gateways find in an IPv6 one: NAT64, 6to4, and the old compatible form.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        [0x64, 0xff9b, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0] => Some(of(g, h)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// True when an address may be asked; private ones may.
pub fn may_be_asked(ip: IpAddr, allow_loopback: bool) -> bool {
    match ip.to_canonical() {
        ip if ip.is_loopback() => allow_loopback,
        ip if ip.is_unspecified() || ip.is_multicast() => false,
        IpAddr::V4(v4) => {
            let never = v4.is_link_local() || v4.is_broadcast() || METADATA_V4.contains(&v4);
            !never && v4.octets()[0] != 0
        }
        IpAddr::V6(v6) => {
            let inside = embedded(v6).is_none_or(|v4| may_be_asked(v4.into(), allow_loopback));
            !v6.is_unicast_link_local() && !METADATA_V6.contains(&v6) && inside
        }
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
            "fd20:ce::254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::a9fe:a9fe",
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
            "64:ff9b::5db8:d70e",
            "100.100.100.201",
        ] {
            assert!(may_be_asked(fine.parse().unwrap(), false), "{fine}");
        }
        assert!(may_be_asked("127.0.0.1".parse().unwrap(), true));
        assert!(!may_be_asked("169.254.169.254".parse().unwrap(), true));
    }
}
