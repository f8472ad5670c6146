//! Certificates of a test, the files that hold them, and clients that show them.
#![allow(dead_code, unreachable_pub, reason = "every test takes what it needs")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name of every server here.
const SERVER: &str = "stillwell.default.svc";

pub struct Authority {
    pub certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

pub struct Pair {
    pub certificate: Certificate,
    pub key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("random");
        let certificate = params.self_signed(&key).expect("signs");
        Authority {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    pub fn server(&self) -> Pair {
        self.sign(CertificateParams::new(vec![SERVER.to_owned()]).expect("a name"))
    }

    /// A client certificate with this alternative name.
    pub fn client(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("random");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        Pair { certificate, key }
    }
}

/// Files of one test, gone when it ends.
pub struct Files(PathBuf);

impl Files {
    pub fn new(name: &str) -> Files {
        let folder = std::env::temp_dir().join(format!("stillwell-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        Files(folder)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    }

    /// `server.crt` and `server.key`.
    pub fn serve(&self, pair: &Pair) {
        self.write("server.crt", &pair.certificate.pem());
        self.write("server.key", &pair.key.serialize_pem());
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Connects over TLS; the server's certificate must be of `authority`.
pub async fn connect(
    address: SocketAddr,
    authority: &Authority,
    client: Option<&Pair>,
    protocol: &[u8],
) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate.der().clone())
        .expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::try_from(pair.key.serialize_der()).expect("a key");
            let chain = vec![pair.certificate.der().clone()];
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.expect("listening");
    let name = ServerName::try_from(SERVER).expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())
}

/// The status of a GET over TLS; an error where no answer comes, as where a certificate was refused.
pub async fn status(
    address: SocketAddr,
    authority: &Authority,
    client: Option<&Pair>,
    path: &str,
) -> Result<u16, String> {
    let mut stream = connect(address, authority, client, b"http/1.1").await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    if answer.is_empty() {
        return Err(read.map_or_else(|error| error.to_string(), |_| "no answer".to_owned()));
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.ok_or_else(|| answer.into_owned())
}
