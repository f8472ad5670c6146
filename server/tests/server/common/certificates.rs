//! Certificates of tests: authorities, what they sign, files to put them in, and a TLS client.
#![allow(dead_code, unreachable_pub, reason = "every test takes what it needs")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name under which the API server reaches us.
pub const SERVICE: &str = "stillwell.default.svc";

pub struct Authority {
    pub certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
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

    /// A client certificate of this name.
    pub fn client(&self, name: &str, groups: &[&str], expired: bool) -> Pair {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        self.sign(params)
    }

    /// A client certificate with this alternative name.
    pub fn client_with_alternative_name(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    pub fn server(&self, name: &str) -> Pair {
        self.sign(CertificateParams::new(vec![name.to_owned()]).expect("a name"))
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("random");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        Pair { certificate, key }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }
}

pub struct Pair {
    pub certificate: Certificate,
    pub key: KeyPair,
}

impl Pair {
    /// A server that shows this certificate.
    pub fn server_config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (chain, key) = self.parts();
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair")
    }

    pub fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        (vec![self.certificate.der().clone()], key)
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

    /// `server.crt` and `server.key`; answers where they are.
    pub fn serve(&self, pair: &Pair) -> (PathBuf, PathBuf) {
        (
            self.write("server.crt", &pair.certificate.pem()),
            self.write("server.key", &pair.key.serialize_pem()),
        )
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// GETs a path over TLS; the server's certificate must be of `authority`. Answers status and body.
pub async fn get_tls(
    address: SocketAddr,
    authority: &CertificateDer<'static>,
    client: Option<&Pair>,
    headers: &str,
    path: &str,
) -> Result<(u16, String), String> {
    let (head, body) = exchange(address, authority, client, headers, path).await?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.unwrap_or(0), body))
}

/// Connects over TLS.
pub async fn connect(
    address: SocketAddr,
    authority: &CertificateDer<'static>,
    client: Option<&Pair>,
) -> Result<TlsStream<TcpStream>, String> {
    connect_by(address, authority, client, &[]).await
}

/// Connects over TLS, offering these protocols.
pub async fn connect_by(
    address: SocketAddr,
    authority: &CertificateDer<'static>,
    client: Option<&Pair>,
    protocols: &[&[u8]],
) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (chain, key) = pair.parts();
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    let stream = TcpStream::connect(address).await.expect("listening");
    stream.set_nodelay(true).ok(); // only a matter of speed
    let name = ServerName::try_from(SERVICE).expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())
}

/// Like [`get_tls`], with the whole head.
pub async fn exchange(
    address: SocketAddr,
    authority: &CertificateDer<'static>,
    client: Option<&Pair>,
    headers: &str,
    path: &str,
) -> Result<(String, String), String> {
    let mut stream = connect(address, authority, client).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer).await
        && error.kind() != std::io::ErrorKind::UnexpectedEof
    {
        return Err(error.to_string());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.to_owned(), body.to_owned()))
}

/// The status of a GET over TLS; an error where no answer comes, as where a certificate was refused.
pub async fn status(
    address: SocketAddr,
    authority: &CertificateDer<'static>,
    client: Option<&Pair>,
    path: &str,
) -> Result<u16, String> {
    let mut stream = connect_by(address, authority, client, &[b"http/1.1"]).await?;
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
