//! A serving certificate made here, for `<service>.<namespace>.svc`, signed by a CA that signs nothing else: its key is
//! forgotten at once, so that the CA in an APIService's bundle stands for this one certificate.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Certificates begin to be valid this long before they are made: clocks of nodes differ.
const SKEW_S: i64 = 3600;
/// And end this long after. Every start makes a new one.
const VALID_S: i64 = 5 * 365 * 86_400;

/// A certificate and the CA that signed it.
pub(super) struct SelfMade {
    pub(super) serving: CertifiedKey,
    pub(super) ca: CertificateDer<'static>,
}

/// Makes one for these names, valid from `now_s` (seconds since the epoch). The CA is called after the first name and the
/// replica, so that a replica finds the one of its process before.
pub(super) fn self_made(names: Vec<String>, replica: &str, now_s: i64) -> Result<SelfMade, String> {
    let first = names.first().cloned().unwrap_or_default();
    make(
        names,
        &format!("stillwell serving CA of {first}"),
        replica,
        now_s,
    )
    .map_err(|error| format!("the serving certificate cannot be made: {error}"))
}

fn make(names: Vec<String>, ca_name: &str, replica: &str, now_s: i64) -> Result<SelfMade, String> {
    let error = |error: rcgen::Error| error.to_string();
    let mut params = validity(
        CertificateParams::new(Vec::<String>::new()).map_err(error)?,
        now_s,
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, ca_name);
    let unit = DnType::OrganizationalUnitName;
    params.distinguished_name.push(unit, replica);
    let ca_key = KeyPair::generate().map_err(error)?;
    let ca = params.self_signed(&ca_key).map_err(error)?;
    let issuer = Issuer::new(params, ca_key);

    let name = names.first().cloned().unwrap_or_default();
    let mut params = validity(CertificateParams::new(names).map_err(error)?, now_s);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if name.len() <= COMMON_NAME_BYTES_MAX {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate().map_err(error)?;
    let certificate = params.signed_by(&key, &issuer).map_err(error)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let signer = any_supported_type(&key).map_err(|error| error.to_string())?;
    let chain = vec![certificate.der().clone(), ca.der().clone()];
    Ok(SelfMade {
        serving: CertifiedKey::new(chain, signer),
        ca: ca.der().clone(),
    })
}

/// X.520's bound on a common name; nobody reads it where there are other names.
const COMMON_NAME_BYTES_MAX: usize = 64;

fn validity(mut params: CertificateParams, now_s: i64) -> CertificateParams {
    let (year, month, day) = date(now_s - SKEW_S);
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date(now_s + VALID_S);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params
}

/// The civil date of a time, by the usual era arithmetic on the Gregorian calendar.
fn date(seconds: i64) -> (i32, u8, u8) {
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (seconds, expected) in [
            (0, (1970, 1, 1)),
            (951_782_400, (2000, 2, 29)),
            (1_795_460_400, (2026, 11, 23)),
            (4_102_444_799, (2099, 12, 31)),
            (-1, (1969, 12, 31)),
        ] {
            assert_eq!(date(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn the_certificate_is_for_its_names_and_of_its_ca() {
        let made =
            self_made(vec!["stillwell.llm.svc".to_owned()], "pod-1", 1_795_460_400).expect("made");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.ca.clone()).expect("a CA");
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .expect("a verifier");
        let verify = |name: &'static str, at_s: u64| {
            use rustls::client::danger::ServerCertVerifier;
            verifier.verify_server_cert(
                &made.serving.cert[0],
                &made.serving.cert[1..],
                &rustls::pki_types::ServerName::try_from(name).expect("a name"),
                &[],
                rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(at_s)),
            )
        };
        assert!(verify("stillwell.llm.svc", 1_795_460_400).is_ok());
        assert!(verify("stillwell.llm.svc", 1_795_460_400 + 4 * 365 * 86_400).is_ok());
        assert!(verify("other.llm.svc", 1_795_460_400).is_err());
        assert!(verify("stillwell.llm.svc", 2_000_000_000).is_err());
    }
}
