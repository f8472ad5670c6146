//! Addresses of a link, which hold on one interface: `fe80::1%eth0`, `fe80::1%2` (RFC 4007), and `fe80::1%25eth0` as in a URL
//! (RFC 6874).

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

/// Where the kernel lists its interfaces.
const INTERFACES: &str = "/sys/class/net";
/// The longest name of one (`IFNAMSIZ`).
const NAME_BYTES_MAX: usize = 15;

/// The address of `host` with a zone; `None` where it is none. The error says that there is no such interface now.
pub(crate) fn zoned(host: &str, port: u16) -> Option<Result<SocketAddr, String>> {
    let (address, zone) = host.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let zone = zone
        .strip_prefix("25")
        .filter(|rest| !rest.is_empty())
        .unwrap_or(zone);
    let index = index(zone).ok_or_else(|| format!("there is no interface {zone:?}"));
    Some(index.map(|index| SocketAddrV6::new(address, port, 0, index).into()))
}

/// Without what follows a `%` up to a closing bracket: whoever is asked knows nothing of our interfaces.
pub(crate) fn without_zone(authority: &str) -> String {
    match (authority.split_once('%'), authority.split_once(']')) {
        (Some((before, _)), Some((_, after))) => format!("{before}]{after}"),
        (Some((before, _)), None) => before.to_owned(),
        (None, _) => authority.to_owned(),
    }
}

fn index(zone: &str) -> Option<u32> {
    if let Ok(index) = zone.parse() {
        return Some(index);
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@".contains(&b);
    let is_name = zone.len() <= NAME_BYTES_MAX && zone.bytes().all(legal) && !zone.contains("..");
    let file = is_name.then(|| Path::new(INTERFACES).join(zone).join("ifindex"))?;
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_the_index_or_the_name_of_an_interface() {
        let scope = |host: &str| match zoned(host, 80)? {
            Ok(SocketAddr::V6(address)) => Some(address.scope_id()),
            _ => None,
        };
        for (host, index) in [
            ("fe80::1%2", Some(2)),
            ("fe80::1%252", Some(2)),
            ("fe80::1%25", Some(25)),
            ("fe80::1%no-such", None),
            ("fe80::1%../lo", None),
            ("fe80::1%", None),
            ("10.0.0.1%2", None),
            ("a%2", None),
            ("fe80::1", None),
        ] {
            assert_eq!(scope(host), index, "{host}");
        }
        let refused = zoned("fe80::1%no-such", 80);
        let why = "there is no interface \"no-such\"".to_owned();
        assert_eq!(refused, Some(Err(why)));
        for name in ["lo", "25lo"] {
            let loopback = scope(&format!("fe80::1%{name}"));
            assert_eq!(
                loopback,
                std::fs::read_to_string("/sys/class/net/lo/ifindex")
                    .ok()
                    .map(|_| 1)
            );
        }
    }

    #[test]
    fn whoever_is_asked_sees_no_zone() {
        for (authority, shown) in [
            ("[fe80::1%eth0]:9090", "[fe80::1]:9090"),
            ("[fe80::1%25eth0]", "[fe80::1]"),
            ("fe80::1%2", "fe80::1"),
            ("[::1]:80", "[::1]:80"),
            ("h:80", "h:80"),
        ] {
            assert_eq!(without_zone(authority), shown);
        }
    }
}
