//! Certificates, keys and CA bundles from files, read again when the files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;
use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use crate::files;

/// The serving certificate; a new one is used from the next connection on.
#[derive(Debug)]
pub(super) struct Serving(RwLock<Arc<CertifiedKey>>);

impl Serving {
    pub(super) fn new(certificate: CertifiedKey) -> Serving {
        Serving(RwLock::new(Arc::new(certificate)))
    }

    pub(super) fn replace(&self, certificate: CertifiedKey) {
        *self.0.write() = Arc::new(certificate);
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// Reads a certificate chain and its key.
pub(super) fn certified_key(certificate: &Path, key: &Path) -> Result<CertifiedKey, String> {
    let chain = certificates(certificate)?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let signer =
        any_supported_type(&private).map_err(|error| format!("{}: {error}", key.display()))?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|error| {
        format!(
            "{} and {} do not belong together: {error}",
            certificate.display(),
            key.display()
        )
    })?;
    Ok(certified)
}

/// A bundle of CAs and the verifier for client certificates that it signs.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// The certificates, to compare bundles by.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Pool {
    pub(super) fn read(path: &Path) -> Result<Pool, String> {
        let place = path.display().to_string();
        let pem = files::read_bytes(path, files::FILE_BYTES_MAX)
            .map_err(|error| format!("{place}: {error}"))?;
        Pool::parse(&pem, &place)
    }

    /// Reads a bundle in PEM; errors name the place where it is from.
    pub(super) fn parse(pem: &[u8], place: &str) -> Result<Pool, String> {
        let certificates = certificates_in(pem, place)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("{place}: {error}"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| format!("{place}: {error}"))?;
        Ok(Pool {
            certificates,
            verifier,
        })
    }

    /// Whether one of these CAs has signed the chain for a client, and it is valid at `now_s` (seconds since the epoch).
    pub(super) fn verifies(&self, chain: &[CertificateDer<'_>], now_s: u64) -> Result<(), String> {
        let Some((end, intermediates)) = chain.split_first() else {
            return Err("there is no certificate".to_owned());
        };
        let now =
            rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_s));
        self.verifier
            .verify_client_cert(end, intermediates, now)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let place = path.display().to_string();
    let pem = files::read_bytes(path, files::FILE_BYTES_MAX)
        .map_err(|error| format!("{place}: {error}"))?;
    certificates_in(&pem, &place)
}

fn certificates_in(pem: &[u8], place: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| format!("{place}: {error}"))?;
    if all.is_empty() {
        return Err(format!("{place}: there is no certificate in it"));
    }
    Ok(all)
}

/// Tells whether any of some files was changed. Mounted ConfigMaps and Secrets swap a link, so the files are looked at
/// anew each time.
pub(super) struct Watched {
    files: Vec<(PathBuf, Option<(SystemTime, u64)>)>,
}

impl Watched {
    pub(super) fn new(files: Vec<PathBuf>) -> Watched {
        let mut watched = Watched {
            files: files.into_iter().map(|path| (path, None)).collect(),
        };
        watched.changed();
        watched
    }

    /// Whether something changed since the last call.
    pub(super) fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.files {
            let found = std::fs::metadata(&*path).ok();
            let stamp = found.and_then(|found| Some((found.modified().ok()?, found.len())));
            changed |= *known != stamp;
            *known = stamp;
        }
        changed
    }
}
