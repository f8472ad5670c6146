//! The little of X.509 that identity needs beyond verification: the subject's common name and organisations.

use crate::der::take;

/// Who a certificate names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    /// CN: the user.
    pub(super) common_name: String,
    /// O: the groups.
    pub(super) organizations: Vec<String>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const EXPLICIT_0: u8 = 0xa0;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// The subject of a certificate that was verified; `None` where it is none.
pub(super) fn subject(certificate: &[u8]) -> Option<Subject> {
    let (_, certificate, _) = take(certificate)?;
    let (_, body, _) = take(certificate)?;
    // version?, serialNumber, signature, issuer, validity, subject
    let rest = match take(body)? {
        (EXPLICIT_0, _, rest) => rest,
        _ => body,
    };
    let (_, _, rest) = take(rest)?;
    let (_, _, rest) = take(rest)?;
    let (_, _, rest) = take(rest)?;
    let (_, _, rest) = take(rest)?;
    let (tag, mut names, _) = take(rest)?;
    if tag != SEQUENCE {
        return None;
    }
    let mut subject = Subject::default();
    while !names.is_empty() {
        let (tag, mut attributes, rest) = take(names)?;
        names = rest;
        while tag == SET && !attributes.is_empty() {
            let (_, pair, rest) = take(attributes)?;
            attributes = rest;
            let (kind, id, value) = take(pair)?;
            let (_, text, _) = take(value)?;
            let text = String::from_utf8_lossy(text).into_owned();
            match (kind, id) {
                (OBJECT_ID, COMMON_NAME) => subject.common_name = text,
                (OBJECT_ID, ORGANIZATION) => subject.organizations.push(text),
                _ => {}
            }
        }
    }
    Some(subject)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn names_are_found_and_no_garbage_panics() {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params
            .distinguished_name
            .push(DnType::CommonName, "front-proxy-client");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        let key = KeyPair::generate().expect("random");
        let certificate = params.self_signed(&key).expect("signs");
        let subject_of = subject(certificate.der()).expect("a certificate");
        assert_eq!(subject_of.common_name, "front-proxy-client");
        assert_eq!(subject_of.organizations, ["system:masters"]);
        for end in 0..certificate.der().len() {
            let _ = subject(&certificate.der()[..end]);
            let mut damaged = certificate.der().to_vec();
            damaged[end] ^= 0x55;
            let _ = subject(&damaged);
        }
    }
}
