//! TLS as a job configures it: whom to trust, what to show, which versions.
//!
//! Files are looked at again once a second while connections are made, so that a rotated certificate is taken; a
//! connection that stands keeps its own.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls::{SupportedProtocolVersion, version};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::HttpError;
use crate::config::{Secret, SecretSource, TlsClientConfig, TlsVersion};

/// Files are not read more often than this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The TLS options of a client, with what was made of them.
pub(super) struct Tls {
    options: TlsClientConfig,
    /// Held for a look only.
    built: Mutex<Option<Built>>,
}

struct Built {
    looked: Instant,
    texts: [Option<Secret>; 3],
    config: Arc<ClientConfig>,
}

impl Tls {
    pub(super) fn new(options: TlsClientConfig) -> Tls {
        Tls {
            options,
            built: Mutex::new(None),
        }
    }

    /// A handshake with `host`.
    pub(super) async fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HttpError> {
        let config = self.config().await.map_err(HttpError::Credentials)?;
        let name = match self.options.server_name.as_str() {
            "" => host,
            name => name,
        };
        let refuse = |why: String| HttpError::Tls(host.to_owned(), why);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| refuse(format!("{name:?} is no name of a server (server_name)")))?;
        let shaken = TlsConnector::from(config)
            .connect(server_name, stream)
            .await;
        shaken.map_err(|error| refuse(in_words(&error.to_string())))
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(built) = &*self.built.lock()
            && built.looked.elapsed() < LOOK_AGAIN
        {
            return Ok(Arc::clone(&built.config));
        }
        let TlsClientConfig { ca, cert, key, .. } = &self.options;
        let texts = [text(ca).await?, text(cert).await?, text(key).await?];
        if let Some(built) = &mut *self.built.lock()
            && built.texts == texts
        {
            built.looked = Instant::now();
            return Ok(Arc::clone(&built.config));
        }
        let config = Arc::new(build(&self.options, &texts)?);
        *self.built.lock() = Some(Built {
            looked: Instant::now(),
            texts,
            config: Arc::clone(&config),
        });
        Ok(config)
    }
}

async fn text(source: &Option<SecretSource>) -> Result<Option<Secret>, String> {
    match source {
        Some(source) => source.read().await.map(Some),
        None => Ok(None),
    }
}

fn build(options: &TlsClientConfig, texts: &[Option<Secret>; 3]) -> Result<ClientConfig, String> {
    let [ca, cert, key] = texts;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(options))
        .map_err(|error| error.to_string())?;
    let builder = if options.insecure_skip_verify {
        let verifier = Arc::new(AnyServer(provider));
        builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
    } else {
        builder.with_root_certificates(roots(ca.as_ref())?)
    };
    match (cert, key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "cert")?;
            let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                .map_err(|error| format!("tls_config: key is no PEM private key: {error}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("tls_config: cert and key: {error}"))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn versions(options: &TlsClientConfig) -> Vec<&'static SupportedProtocolVersion> {
    let (min, max) = (options.min_version, options.max_version);
    let spoken = [
        (TlsVersion::Tls12, &version::TLS12),
        (TlsVersion::Tls13, &version::TLS13),
    ];
    let fits = |at: TlsVersion| min.is_none_or(|min| at >= min) && max.is_none_or(|max| at <= max);
    let spoken = spoken.into_iter().filter(|(at, _)| fits(*at));
    spoken.map(|(_, version)| version).collect()
}

fn roots(ca: Option<&Secret>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates(ca, "ca")? {
            roots
                .add(certificate)
                .map_err(|error| format!("tls_config: ca: {error}"))?;
        }
        return Ok(roots);
    }
    let system = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(system.certs);
    if added == 0 {
        let why = system.errors.first();
        let why = why.map_or(String::new(), |error| format!(": {error}"));
        return Err(format!(
            "no CA certificates of the system were found{why}; set tls_config.ca_file"
        ));
    }
    Ok(roots)
}

fn certificates(pem: &Secret, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose().as_bytes()).collect();
    let certificates = read.map_err(|error| format!("tls_config: {what}: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("tls_config: {what} holds no PEM certificate"));
    }
    Ok(certificates)
}

/// What most often is behind rustls' words.
fn in_words(error: &str) -> String {
    let advice = if error.contains("UnknownIssuer") {
        "; its certificate is not signed by a CA that is trusted: set tls_config.ca_file, or insecure_skip_verify"
    } else if error.contains("NotValidForName") || error.contains("not valid for name") {
        "; set tls_config.server_name to a name of its certificate"
    } else if error.contains("CertificateRequired") {
        "; it wants a client certificate: set tls_config.cert_file and key_file"
    } else if error.contains("InvalidContentType") || error.contains("corrupt message") {
        "; it does not speak TLS: try scheme: http"
    } else {
        ""
    };
    format!("{error}{advice}")
}

/// `insecure_skip_verify`: any certificate will do, as long as its holder has the key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
