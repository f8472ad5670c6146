//! Where the client of a request is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Request;

/// Bits of a global IPv6 address by which clients are told apart: whoever has one address of a network out there has all.
const NETWORK_BITS: u32 = 64;
/// Bits that all addresses of one site have in common (RFC 6177; a VPC of EKS has 56). Those of a cluster are in several /64 of
/// it, one for each zone or node.
const SITE_BITS: u32 = 48;

/// Where a client is, as far as clients are told apart: its IPv4 address; its IPv6 address where that is of our own site; else
/// the /64 of its IPv6 address. Bounds on what one client may hold count by this. The listener puts it into the extensions of
/// each request (`address_of`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Of a client whose address is not known.
    pub const UNKNOWN: ClientAddress = ClientAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// Of a client at this address, whose connection has `own` as our end of it, if that is known. IPv4 in IPv6 is IPv4.
    ///
    /// All pods of a node, zone or cluster may be in one /64: in a unique-local one (fd00::/8, Cilium's default), or in the global
    /// one of their subnet (EKS), which is of our /48 then. If the /64 counted there, KEDA would share every bound with all other
    /// pods, so each address counts alone. That is safe because a pod cannot choose its addresses.
    pub fn of(address: impl Into<IpAddr>, own: Option<IpAddr>) -> ClientAddress {
        let address = match address.into().to_canonical() {
            IpAddr::V4(address) => return ClientAddress(IpAddr::V4(address)),
            IpAddr::V6(address) => address,
        };
        let is_ours = |own: IpAddr| matches!(own, IpAddr::V6(own) if network(own, SITE_BITS) == network(address, SITE_BITS));
        let is_near = address.is_unique_local() || address.is_unicast_link_local();
        ClientAddress(IpAddr::V6(match is_near || own.is_some_and(is_ours) {
            true => address,
            false => network(address, NETWORK_BITS),
        }))
    }
}

/// The network of so many bits (of 128, not all of them).
fn network(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    let rest = u128::BITS - bits;
    Ipv6Addr::from_bits(address.to_bits() >> rest << rest)
}

/// Where the client of this request is, if that is known.
pub(crate) fn address_of<B>(request: &Request<B>) -> Option<ClientAddress> {
    request.extensions().get::<ClientAddress>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node with an IPv6 network was as many clients as it liked, each with one query, and those of KEDA gave way.
    #[test]
    fn clients_of_one_network_are_one() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        let of = |text: &str| ClientAddress::of(parse(text), Some(parse("2001:db8:9::1")));
        for (one, other, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.2", false),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(of(one) == of(other), same, "{one} {other}");
        }
    }

    /// All pods of a cluster with one /64 were one client, and KEDA shared every bound with strangers.
    #[test]
    fn clients_of_our_own_network_are_told_apart() {
        let of = |text: &str, own: &str| {
            let [address, own] = [text, own].map(|text| text.parse::<IpAddr>());
            ClientAddress::of(address.expect("an address"), own.ok())
        };
        for (one, other, own) in [
            ("fd00::1", "fd00::2", ""),
            ("fc00::1", "fc00::2", "2001:db8:1:2::7"),
            ("fe80::1", "fe80::2", ""),
            ("2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:3::7"),
            // KEDA in another zone than ours.
            ("2001:db8:1:3::1", "2001:db8:1:3::2", "2001:db8:1:2::7"),
        ] {
            assert_ne!(of(one, own), of(other, own), "{one} {other}");
            assert_eq!(of(one, own), of(one, own));
        }
        let [one, other] = ["2001:db8:2:2::1", "2001:db8:2:2::2"];
        assert_eq!(of(one, "2001:db8:1:2::7"), of(other, "2001:db8:1:2::7"));
    }
}
