//! A real prometheus-adapter beside a Prometheus, and as much of an API server as it asks: the kinds there are, lists of pods, and
//! who may read.
//! The pods have their metadata alone, which is less than a real API server would send.

#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::exchange;
use crate::contender::Usage;
use crate::load::pause;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Tls = StreamOwned<ClientConnection, TcpStream>;

/// It lists series at its start and a minute later, by when Prometheus has scraped them.
const START: Duration = Duration::from_secs(150);
/// Of its own certificate.
const HOST: &str = "localhost";

/// A running prometheus-adapter.
pub struct Adapter {
    child: Child,
    port: u16,
    trusted: Arc<ClientConfig>,
    connection: Option<BufReader<Tls>>,
}

/// What it works on.
pub struct Over<'o> {
    /// The port of the Prometheus on this machine.
    pub prometheus: u16,
    /// Its rules file.
    pub rules: &'o Path,
    /// A folder for files of its own.
    pub folder: &'o Path,
    /// The names of the pods of a namespace.
    pub pods: fn(&str) -> Vec<String>,
}

impl Adapter {
    /// Starts the program, and waits until it answers `path`. It lists series every minute, as its own manifests have it.
    pub fn start(program: &Path, over: &Over<'_>, path: &str) -> Result<Adapter, Failure> {
        let api = serve_api(over.pods)?;
        let kubeconfig = over.folder.join("adapter-kubeconfig");
        std::fs::write(&kubeconfig, self::kubeconfig(api))?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![HOST.to_owned()])?.self_signed(&key)?;
        let certificate_file = over.folder.join("adapter.crt");
        let key_file = over.folder.join("adapter.key");
        std::fs::write(&certificate_file, certificate.pem())?;
        std::fs::write(&key_file, key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusted = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let kubeconfig = kubeconfig.display();
        let child = Command::new(program)
            .args([
                format!("--prometheus-url=http://127.0.0.1:{}/", over.prometheus),
                format!("--config={}", over.rules.display()),
                format!("--lister-kubeconfig={kubeconfig}"),
                format!("--authentication-kubeconfig={kubeconfig}"),
                format!("--authorization-kubeconfig={kubeconfig}"),
                "--authentication-skip-lookup=true".to_owned(),
                "--enable-priority-and-fairness=false".to_owned(),
                "--metrics-relist-interval=1m".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={port}"),
                format!("--tls-cert-file={}", certificate_file.display()),
                format!("--tls-private-key-file={}", key_file.display()),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut adapter = Adapter {
            child,
            port,
            trusted: Arc::new(trusted),
            connection: None,
        };
        let since = Instant::now();
        loop {
            match adapter.get(path) {
                Ok((200, _)) => return Ok(adapter),
                Ok((status, body)) if since.elapsed() > START => {
                    return Err(format!("the adapter answers {status}: {body}").into());
                }
                Err(error) if since.elapsed() > START => return Err(error),
                _ => pause(Duration::from_millis(250)),
            }
        }
    }

    /// Status and body of a GET on a kept connection.
    pub fn get(&mut self, path: &str) -> Result<(u16, String), Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(self.port, &self.trusted)?),
        };
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\n\r\n");
        let answer = exchange(connection, &head, &[]);
        if answer.is_err() {
            self.connection = None;
        }
        Ok(answer?)
    }

    /// What the kernel has counted of it so far.
    pub fn usage(&self) -> std::io::Result<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        // It must not outlive the run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(port: u16, trusted: &Arc<ClientConfig>) -> Result<BufReader<Tls>, Failure> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let connection = ClientConnection::new(Arc::clone(trusted), ServerName::try_from(HOST)?)?;
    Ok(BufReader::new(StreamOwned::new(connection, stream)))
}

fn kubeconfig(port: u16) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: \
         'http://127.0.0.1:{port}'}}}}], users: [{{name: c, user: {{}}}}], contexts: [{{name: c, context: {{cluster: c, \
         user: c}}}}]}}\n"
    )
}

/// Serves the API for as long as the program runs; answers its port.
fn serve_api(pods: fn(&str) -> Vec<String>) -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is none of our business.
            std::thread::spawn(move || serve_connection(stream, pods).ok());
        }
    });
    Ok(port)
}

fn serve_connection(stream: TcpStream, pods: fn(&str) -> Vec<String>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut request, mut line, mut length) = (String::new(), String::new(), 0);
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let lower = line.trim().to_ascii_lowercase();
            if lower.is_empty() {
                break;
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let path = request.split(' ').nth(1).unwrap_or("");
        let path = path.split('?').next().unwrap_or("");
        let (status, body) = answer(path, pods);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = reader.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
    }
}

fn answer(path: &str, pods: fn(&str) -> Vec<String>) -> (&'static str, String) {
    let found = |body: &str| ("200 OK", body.to_owned());
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match segments.as_slice() {
        ["api"] => found(r#"{"kind":"APIVersions","versions":["v1"]}"#),
        ["apis"] => found(r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#),
        ["api", "v1"] => found(
            r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[
            {"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch"]},
            {"name":"namespaces","singularName":"namespace","namespaced":false,"kind":"Namespace","verbs":["get","list","watch"]}]}"#,
        ),
        ["api", "v1", "namespaces", namespace, "pods"] => {
            let items = pods(namespace).into_iter().map(|name| {
                format!(
                    r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"{namespace}","labels":{{"app":"vllm"}}}}}}"#
                )
            });
            let items = items.collect::<Vec<_>>().join(",");
            found(&format!(
                r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"1"}},"items":[{items}]}}"#
            ))
        }
        // Whether the reader may read, which the adapter asks for each: everybody may.
        ["apis", "authorization.k8s.io", _, "subjectaccessreviews"] => (
            "201 Created",
            r#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{},"status":{"allowed":true}}"#
                .to_owned(),
        ),
        _ => (
            "404 Not Found",
            r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#
                .to_owned(),
        ),
    }
}
