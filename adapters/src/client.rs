//! Where the client of a request is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Request;

/// Bits of an IPv6 address by which clients are told apart: whoever has one has all addresses of its network.
const NETWORK_BITS: u32 = 64;

/// Where a client is, as far as clients are told apart: its IPv4 address, or the /64 of its IPv6 address. Whoever counts what
/// clients hold counts by this. Put into the extensions of a request by whoever has its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Of a client whose address is not known.
    pub const UNKNOWN: ClientAddress = ClientAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// Of a client at this address. IPv4 in IPv6 is IPv4.
    pub fn of(address: impl Into<IpAddr>) -> ClientAddress {
        ClientAddress(match address.into().to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> NETWORK_BITS << NETWORK_BITS;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }
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
        let of = |text: &str| ClientAddress::of(text.parse::<IpAddr>().expect("an address"));
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
}
