//! The subject alternative names of a certificate that was verified: DNS names, addresses of mail and of hosts, URIs.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::der::take;

/// 2.5.29.17, as an element.
const EXTENSION: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];
const OCTET_STRING: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const EXTENSIONS: u8 = 0xa3;
const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// The names, as Go writes them; none where the certificate has none, or is none.
pub(super) fn alternative_names(certificate: &[u8]) -> Vec<String> {
    find(certificate).map_or(Vec::new(), names)
}

fn find(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = take(certificate)?;
    let (_, mut fields, _) = take(certificate)?;
    // The last field of the body; extensions are the only ones with this tag.
    let mut extensions = loop {
        let (tag, contents, rest) = take(fields)?;
        if tag == EXTENSIONS {
            break take(contents)?.1;
        }
        fields = rest;
    };
    loop {
        let (_, extension, rest) = take(extensions)?;
        extensions = rest;
        let Some(value) = extension.strip_prefix(EXTENSION) else {
            continue;
        };
        let (tag, contents, after) = take(value)?;
        let octets = match tag {
            BOOLEAN => take(after).filter(|(tag, ..)| *tag == OCTET_STRING)?.1, // critical
            OCTET_STRING => contents,
            _ => return None,
        };
        return Some(take(octets)?.1);
    }
}

fn names(mut sequence: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((tag, contents, rest)) = take(sequence) {
        sequence = rest;
        let text = || String::from_utf8(contents.to_vec()).ok();
        names.extend(match tag {
            MAIL | DNS | URI => text(),
            IP => match contents.len() {
                4 => <[u8; 4]>::try_from(contents)
                    .ok()
                    .map(|ip| Ipv4Addr::from(ip).to_string()),
                16 => <[u8; 16]>::try_from(contents)
                    .ok()
                    .map(|ip| Ipv6Addr::from(ip).to_string()),
                _ => None,
            },
            _ => None,
        });
    }
    names
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn every_kind_of_name_is_found_and_no_garbage_panics() {
        let mut params = CertificateParams::new(vec!["keda.keda.svc".to_owned()]).expect("a name");
        params.subject_alt_names.extend([
            SanType::IpAddress("10.0.0.7".parse().expect("an address")),
            SanType::IpAddress("::1".parse().expect("an address")),
            SanType::URI("spiffe://cluster/keda".try_into().expect("ascii")),
            SanType::Rfc822Name("ops@example.com".try_into().expect("ascii")),
        ]);
        let key = KeyPair::generate().expect("random");
        let certificate = params.self_signed(&key).expect("signs");
        assert_eq!(
            alternative_names(certificate.der()),
            [
                "keda.keda.svc",
                "10.0.0.7",
                "::1",
                "spiffe://cluster/keda",
                "ops@example.com"
            ]
        );
        for end in 0..certificate.der().len() {
            let _ = alternative_names(&certificate.der()[..end]);
            let mut damaged = certificate.der().to_vec();
            damaged[end] ^= 0x55;
            let _ = alternative_names(&damaged);
        }
    }
}
