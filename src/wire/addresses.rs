//! Which addresses may be connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses may be connected to.
///
/// An issuer that the program's own settings name may well live in a private network. One that somebody else may name, such
/// as a tenant who enters the address of his identity provider, must not turn this program into a way to the machines behind
/// it, least of all to the metadata service of a cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addresses {
    /// Every address. The default.
    #[default]
    Any,
    /// Only addresses that are reached over the public internet.
    ///
    /// It is the address that is connected to which counts, not the name: a name that is answered for with another address
    /// each time it is asked gains nothing. A network that translates IPv6 to IPv4 by a prefix of its own (RFC 6052 s2.2)
    /// cannot be told from the public internet; let it translate no private address.
    Public,
}

impl Addresses {
    /// Whether this address may be connected to, for a [`Fetch`](crate::Fetch) of your own.
    ///
    /// ```
    /// use scopegate::Addresses;
    /// assert!(Addresses::Public.allow("9.9.9.9".parse()?));
    /// assert!(!Addresses::Public.allow("169.254.169.254".parse()?));
    /// assert!(!Addresses::Public.allow("::ffff:10.0.0.1".parse()?));
    /// assert!(Addresses::Any.allow("10.0.0.1".parse()?));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn allow(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Any, _) => true,
            (Self::Public, IpAddr::V4(address)) => is_public(address),
            (Self::Public, IpAddr::V6(address)) => is_public_v6(address),
        }
    }
}

fn is_public(address: Ipv4Addr) -> bool {
    // As long as the others, with their bits at the front.
    let bits = |address: Ipv4Addr| u128::from(address.to_bits()) << 96;
    !NOT_PUBLIC.iter().any(|(network, length)| within(bits(address), bits(*network), *length))
}

/// An address that stands for one of IPv4 is judged by that. Of the others the part that is given out to the public counts
/// (RFC 4291 s2.4), which leaves out the loopback, the unspecified, the link-local, site-local and unique-local addresses,
/// multicast and the IPv4-compatible ones.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.octets() {
        // IPv4-mapped (RFC 4291 s2.5.5.2), NAT64 (RFC 6052 s2.1), 6to4 (RFC 3056 s2)
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d]
        | [0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0x20, 0x02, a, b, c, d, ..] => is_public(Ipv4Addr::new(a, b, c, d)),
        _ => {
            let within = |(network, length): &(Ipv6Addr, u32)| within(address.to_bits(), network.to_bits(), *length);
            within(&GLOBAL_UNICAST) && !NOT_PUBLIC_V6.iter().any(within)
        }
    }
}

/// The bits that two addresses have in common are the leading zeros of their difference.
const fn within(address: u128, network: u128, length: u32) -> bool {
    (address ^ network).leading_zeros() >= length
}

/// The registry of special addresses (RFC 6890, and what was added to it since), and an address that a cloud took out of the
/// public ones for a service of the very host.
const NOT_PUBLIC: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network, and "unspecified"
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared behind a carrier's NAT; also clouds' own services
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, and the metadata services of clouds
    (Ipv4Addr::new(168, 63, 129, 16), 32), // the host of a machine in Azure: its agent, its DNS, its certificates
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, and "broadcast"
];

const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x3FFF, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(addresses: &[&str]) -> Vec<bool> {
        addresses.iter().map(|address| Addresses::Public.allow(address.parse().unwrap())).collect()
    }

    /// Of each network the address before it, its first, its last, and the one after it.
    #[test]
    fn each_special_network_is_refused_from_its_first_address_to_its_last_and_no_further() {
        let networks = [
            [None, Some("0.0.0.0"), Some("0.255.255.255"), Some("1.0.0.0")],
            [Some("9.255.255.255"), Some("10.0.0.0"), Some("10.255.255.255"), Some("11.0.0.0")],
            [Some("100.63.255.255"), Some("100.64.0.0"), Some("100.127.255.255"), Some("100.128.0.0")],
            [Some("126.255.255.255"), Some("127.0.0.0"), Some("127.255.255.255"), Some("128.0.0.0")],
            [Some("169.253.255.255"), Some("169.254.0.0"), Some("169.254.255.255"), Some("169.255.0.0")],
            [Some("168.63.129.15"), Some("168.63.129.16"), Some("168.63.129.16"), Some("168.63.129.17")],
            [Some("172.15.255.255"), Some("172.16.0.0"), Some("172.31.255.255"), Some("172.32.0.0")],
            [Some("191.255.255.255"), Some("192.0.0.0"), Some("192.0.0.255"), Some("192.0.1.0")],
            [Some("192.0.1.255"), Some("192.0.2.0"), Some("192.0.2.255"), Some("192.0.3.0")],
            [Some("192.88.98.255"), Some("192.88.99.0"), Some("192.88.99.255"), Some("192.88.100.0")],
            [Some("192.167.255.255"), Some("192.168.0.0"), Some("192.168.255.255"), Some("192.169.0.0")],
            [Some("198.17.255.255"), Some("198.18.0.0"), Some("198.19.255.255"), Some("198.20.0.0")],
            [Some("198.51.99.255"), Some("198.51.100.0"), Some("198.51.100.255"), Some("198.51.101.0")],
            [Some("203.0.112.255"), Some("203.0.113.0"), Some("203.0.113.255"), Some("203.0.114.0")],
            [Some("223.255.255.255"), Some("224.0.0.0"), Some("239.255.255.255"), None],
            [None, Some("240.0.0.0"), Some("255.255.255.255"), None],
            [Some("2000:ffff::"), Some("2001::"), Some("2001:1ff:ffff::ffff"), Some("2001:200::")],
            [Some("2001:db7:ffff::"), Some("2001:db8::"), Some("2001:db8:ffff::ffff"), Some("2001:db9::")],
            [Some("3ffe:ffff::"), Some("3fff::"), Some("3fff:fff:ffff::ffff"), Some("3fff:1000::")],
        ];
        for [before, first, last, after] in networks {
            for (address, allow) in [(before, true), (first, false), (last, false), (after, true)] {
                let Some(address) = address else { continue };
                assert_eq!(Addresses::Public.allow(address.parse().unwrap()), allow, "{address}");
                assert!(Addresses::Any.allow(address.parse().unwrap()), "{address}");
            }
        }
        assert_eq!(networks.len(), NOT_PUBLIC.len() + NOT_PUBLIC_V6.len());
    }

    #[test]
    fn of_ipv6_only_what_is_given_out_to_the_public_is_public() {
        let public = ["2606:4700::1111", "2620:fe::fe", "2a00:1450:4001::1", "3ff0::1"];
        assert_eq!(allowed(&public), [true; 4]);
        let refused = [
            "::",
            "::1",
            "::2",
            "100::1",
            "1fff:ffff::",
            "4000::",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ffff::ffff",
        ];
        assert_eq!(allowed(&refused), [false; 15]);
    }

    #[test]
    fn an_address_of_ipv4_is_not_hidden_in_one_of_ipv6() {
        for form in ["::ffff:", "64:ff9b::"] {
            for (address, allow) in [
                ("127.0.0.1", false),
                ("10.0.0.1", false),
                ("169.254.169.254", false),
                ("0.0.0.0", false),
                ("9.9.9.9", true),
            ] {
                let hidden = format!("{form}{address}");
                assert_eq!(Addresses::Public.allow(hidden.parse().unwrap()), allow, "{hidden}");
            }
        }
        // 6to4: 127.0.0.1, 10.0.0.1, 169.254.169.254 and 9.9.9.9
        assert_eq!(
            allowed(&["2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2002:909:909::1"]),
            [false, false, false, true]
        );
        // Compatible, Teredo and the NAT64 prefix for local use are refused whatever they hold.
        assert_eq!(
            allowed(&[
                "::127.0.0.1",
                "::9.9.9.9",
                "2001:0:909:909::f6f6:f6f6",
                "64:ff9b:1::9.9.9.9",
                "64:ff9b::1:909:909"
            ]),
            [false; 5]
        );
    }
}
