//! The same `dns_sd_configs`, `http_sd_configs` and credentials to a real Prometheus and to this server, which have to end with
//! the same targets and the same series, and to follow the same changes. Mechanisms of Kubernetes, files and relabelling are
//! compared by the `guide` command, on a real API server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use stillwell_testing::name_server::{NameServer, Record, Said};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::common::certificates::{Authority, Files, Pair};
use crate::common::name_service::NameService;
use crate::common::process::Process;
use crate::common::read_head;
use crate::common::rival::{PATIENCE, Prometheus, ask, path, prometheus_binary};

/// The name of the server's certificate.
const TLS_NAME: &str = "pages.test";
/// Every series but those of times.
const SERIES: &str = r#"{__name__=~".+",__name__!~"scrape_duration_seconds|scrape_series_added"}"#;
/// Differences that a failed comparison names.
const SHOWN: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_lists_and_credentials_lead_to_the_same_targets_as_in_prometheus() {
    let files = Files::new("found");
    let Some(binary) = prometheus_binary() else {
        return;
    };
    let Some(names) = NameService::start(&files, "refused.test ns.test") else {
        return;
    };
    let (authority, client) = (Authority::new("serving"), Authority::new("clients"));
    let doors = Doors::start(&authority, &client).await;
    name(&names.server, &doors);
    doors.list(&json!([
        {"targets": [doors.address], "labels": {"from": "a list", "__meta_more": "x", "__metrics_path__": "/open"}},
        {"targets": [format!("a.epp.test:{}", doors.address.port()), "127.0.0.1:1"], "labels": {"__metrics_path__": "/open"}},
    ]));
    let text = text(&files, &doors, &authority, &client);
    let config = files.write("both.yml", &text);
    let storage = config.with_file_name("storage");
    let stillwell = names.command(env!("CARGO_BIN_EXE_stillwell").as_ref());
    let (_process, ours) =
        Process::start_by(stillwell, &config, &storage, &["--keda.listen-address="]);
    let prometheus = Prometheus::start_by(names.command(&binary), &text, &[]);
    let both = Both {
        ours,
        theirs: prometheus.address,
    };
    // Eight ways in; two names of two hosts each, one of two addresses, and two of one host; two of the list.
    both.compare("at first", 8 + 3 * 2 + 2 + 2).await;

    // Every record may be cached for an hour. (A file with a token is not changed: Debian's Prometheus 3.5 goes on with the old one.)
    let port = doors.address.port();
    let moved = Said::Records(vec![Record::Srv("b.epp.test", port)]);
    names.server.say("_metrics._tcp.epp.ns.test", moved);
    names.server.forget("pods.test");
    doors.list(&json!([{"targets": [doors.address], "labels": {"from": "another list", "__metrics_path__": "/open"}}]));
    both.compare("after changes", 8 + 1 + 2 + 2 + 1).await;
}

/// What the name server says: two names of SRV records, of which one is found in the second domain of the search although the
/// first fails, addresses, and records of other kinds.
fn name(server: &NameServer, doors: &Doors) {
    let port = doors.address.port();
    let address = |last: u8| Record::Address([127, 0, 0, last].into());
    let pods = [
        Record::Srv("a.epp.test", port),
        Record::Srv("b.epp.test", port),
    ];
    for (name, said) in [
        ("a.epp.test", vec![address(1)]),
        ("b.epp.test", vec![address(2)]),
        ("_metrics._tcp.epp.ns.test", pods.to_vec()),
        ("_other._tcp.epp.test", pods.to_vec()),
        ("pods.test", vec![address(3), address(4)]),
        (
            "six.test",
            vec![Record::Address("::1".parse().expect("an address"))],
        ),
        ("mail.test", vec![Record::Mx("a.epp.test"), address(9)]),
        ("zone.test", vec![Record::Ns("b.epp.test")]),
        ("empty.test", vec![]),
    ] {
        server.say(name, Said::Records(said));
    }
    server.say("_metrics._tcp.epp.refused.test", Said::Failure);
    server.say("fails.test", Said::Failure);
}

/// A server of one page by several paths, each of which asks for something else; over TLS it asks for a client's certificate.
#[derive(Clone)]
struct Doors {
    address: SocketAddr,
    secure: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// A line that the head of a request has to contain, by path; a path that is not here does not exist.
    keys: BTreeMap<String, String>,
    list: String,
}

impl Doors {
    async fn start(authority: &Authority, clients: &Authority) -> Doors {
        // All of 127.0.0.0/8, to which the names lead.
        let (open, secure) = (
            TcpListener::bind("0.0.0.0:0").await.expect("it listens"),
            TcpListener::bind("127.0.0.1:0").await.expect("it listens"),
        );
        let port = open.local_addr().expect("bound").port();
        let doors = Doors {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            secure: secure.local_addr().expect("bound"),
            inner: Arc::default(),
        };
        // echo -n us:pass | base64
        let basic = "authorization: Basic dXM6cGFzcw==";
        for (path, key) in [
            ("/open", ""),
            ("/metrics", ""),
            ("/basic", basic),
            ("/list", basic),
            ("/token", "authorization: Bearer first"),
            ("/custom", "authorization: Key k e y"),
            ("/header", "x-scope-orgid: a"),
            ("/issue", "authorization: Basic aWQ6c2VjcmV0"),
            ("/oauth", "authorization: Bearer issued"),
        ] {
            doors.open(path, key);
        }
        let (served, acceptor) = (doors.clone(), acceptor(authority, clients));
        tokio::spawn(async move {
            while let Ok((stream, _)) = open.accept().await {
                tokio::spawn(served.clone().connection(stream));
            }
        });
        let served = doors.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = secure.accept().await {
                let (served, acceptor) = (served.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    served.connection(stream).await
                });
            }
        });
        doors
    }

    /// From now on this path asks for this line.
    fn open(&self, path: &str, key: &str) {
        let key = key.to_ascii_lowercase();
        self.inner.lock().keys.insert(path.to_owned(), key);
    }

    /// From now on this is the list of `/list`.
    fn list(&self, list: &Value) {
        self.inner.lock().list = list.to_string();
    }

    async fn connection(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        loop {
            let head = read_head(&mut stream).await?;
            // A form of the token's request, which is read so that the next head begins where it ends.
            let length = head.to_ascii_lowercase();
            let length = length.split_once("content-length: ");
            let length = length.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            let mut form = vec![0; length.unwrap_or(0)];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut form)
                .await
                .ok()?;
            let answer = self.answer(&head);
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    fn answer(&self, head: &str) -> String {
        let path = head.split([' ', '?']).nth(1).unwrap_or("");
        let inner = self.inner.lock();
        let head = head.to_ascii_lowercase();
        let (status, kind, body) = match inner.keys.get(path) {
            _ if path == "/moved" => ("302 Found\r\nLocation: /basic", "text/plain", String::new()),
            None => ("404 Not Found", "text/plain", String::new()),
            Some(key) if !head.contains(key) => {
                ("401 Unauthorized", "text/plain", "who?\n".to_owned())
            }
            Some(_) if path == "/list" => ("200 OK", "application/json", inner.list.clone()),
            Some(_) if path == "/issue" => {
                let token =
                    json!({"access_token": "issued", "token_type": "Bearer", "expires_in": 3600});
                ("200 OK", "application/json", token.to_string())
            }
            Some(_) => (
                "200 OK",
                "text/plain; version=0.0.4",
                format!("let_in{{by=\"{path}\"}} 1\nqueue{{job=\"mine\"}} 3\n"),
            ),
        };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// TLS with a certificate of one authority, for clients of the other.
fn acceptor(authority: &Authority, clients: &Authority) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(clients.der()).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("a verifier");
    let (chain, key) = authority.server(TLS_NAME).parts();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

/// The configuration that both have.
fn text(files: &Files, doors: &Doors, authority: &Authority, clients: &Authority) -> String {
    let file = |name: &str, text: &str| files.write(name, text).display().to_string();
    let (password, token) = (file("password", "pass"), file("token", "first"));
    let secret = file("secret", "secret");
    let ca = file("ca.crt", &authority.certificate.pem());
    let Pair { certificate, key } = clients.client("scraper", &[], false);
    let (certificate, key) = (
        file("client.crt", &certificate.pem()),
        file("client.key", &key.serialize_pem()),
    );
    let (address, secure, port) = (doors.address, doors.secure, doors.address.port());
    let mut text =
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n".to_owned();
    let tls = format!("server_name: {TLS_NAME}, ca_file: '{ca}'");
    for (job, path, keys) in [
        (
            "basic",
            "/basic",
            format!("basic_auth: {{username: us, password_file: '{password}'}}"),
        ),
        (
            "moved",
            "/moved",
            format!("basic_auth: {{username: us, password_file: '{password}'}}"),
        ),
        (
            "still",
            "/moved",
            format!(
                "follow_redirects: false\n  basic_auth: {{username: us, password_file: '{password}'}}"
            ),
        ),
        (
            "wrong",
            "/basic",
            "basic_auth: {username: us, password: another}".to_owned(),
        ),
        ("nobody", "/basic", String::new()),
        (
            "token",
            "/token",
            format!("authorization: {{credentials_file: '{token}'}}"),
        ),
        (
            "custom",
            "/custom",
            "authorization: {type: Key, credentials: k e y}".to_owned(),
        ),
        (
            "header",
            "/header",
            "http_headers: {X-Scope-OrgID: {values: [a]}}".to_owned(),
        ),
        (
            "oauth",
            "/oauth",
            format!(
                "oauth2: {{client_id: id, client_secret_file: '{secret}', token_url: 'http://{address}/issue', scopes: [s]}}"
            ),
        ),
        (
            "mutual",
            "/open",
            format!(
                "scheme: https\n  tls_config: {{{tls}, cert_file: '{certificate}', key_file: '{key}'}}"
            ),
        ),
        (
            "unknown",
            "/open",
            format!("scheme: https\n  tls_config: {{{tls}}}"),
        ),
        (
            "unchecked",
            "/open",
            format!(
                "scheme: https\n  tls_config: {{insecure_skip_verify: true, cert_file: '{certificate}', key_file: '{key}'}}"
            ),
        ),
    ] {
        let target = if keys.contains("https") {
            secure
        } else {
            address
        };
        text += &format!(
            "- job_name: {job}\n  metrics_path: {path}\n  {keys}\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
    }
    for (job, names, more) in [
        ("srv", "_metrics._tcp.epp", String::new()),
        (
            "other",
            "_other._tcp.epp.test, _none._tcp.epp.test, fails.test, empty.test",
            "type: SRV".to_owned(),
        ),
        ("a", "pods.test", format!("type: A, port: {port}")),
        ("aaaa", "six.test", "type: AAAA, port: 1".to_owned()),
        ("mx", "mail.test", format!("type: MX, port: {port}")),
        ("ns", "zone.test", format!("type: NS, port: {port}")),
    ] {
        text += &format!(
            "- job_name: {job}\n  dns_sd_configs: [{{names: [{names}], refresh_interval: 1s, {more}}}]\n  relabel_configs:\n  \
             - {{source_labels: [__meta_dns_name], target_label: asked}}\n  \
             - {{source_labels: [__meta_dns_srv_record_target, __meta_dns_srv_record_port], separator: '/', target_label: found}}\n"
        );
    }
    for (job, password) in [("list", "pass"), ("refused", "another")] {
        text += &format!(
            "- job_name: {job}\n  http_sd_configs: [{{url: 'http://{address}/list', refresh_interval: 1s, basic_auth: {{username: us, password: {password}}}}}]\n  \
             relabel_configs: [{{source_labels: [__meta_url, __meta_more], target_label: listed}}]\n"
        );
    }
    text
}

struct Both {
    ours: SocketAddr,
    theirs: SocketAddr,
}

impl Both {
    /// Waits until both say the same of targets and series, with so many targets that are up.
    async fn compare(&self, when: &str, up: usize) {
        let mut seen = (BTreeSet::new(), BTreeSet::new());
        let comparing = async {
            loop {
                let (ours, theirs) = (shown(self.ours).await, shown(self.theirs).await);
                seen = (ours, theirs);
                let healthy = seen.0.iter().filter(|line| line.ends_with(" is up"));
                if seen.0 == seen.1 && healthy.count() == up {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, comparing).await.is_err() {
            let only = |of: &BTreeSet<String>, other| {
                let only: Vec<String> = of.difference(other).take(SHOWN).cloned().collect();
                only.join("\n  ")
            };
            let (ours, theirs) = (only(&seen.0, &seen.1), only(&seen.1, &seen.0));
            let healthy: Vec<&String> = seen.0.iter().filter(|l| l.ends_with(" is up")).collect();
            panic!("{when}: only ours:\n  {ours}\nonly theirs:\n  {theirs}\nup: {healthy:#?}");
        }
    }
}

/// Each target with its labels, and each series with its value, a line each.
async fn shown(server: SocketAddr) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let query = path("/api/v1/query", &[("query", SERIES)]);
    let (Some(targets), Some(series)) = (
        ask(server, "/api/v1/targets?").await,
        ask(server, &query).await,
    ) else {
        return lines;
    };
    for target in targets["activeTargets"].as_array().into_iter().flatten() {
        let of = format!("{} {}", target["scrapePool"], target["scrapeUrl"]);
        for kind in ["labels", "discoveredLabels"] {
            lines.insert(format!("{of} {kind} {}", target[kind]));
        }
        let health = target["health"].as_str().unwrap_or("");
        lines.insert(format!("{of} {} is {health}", target["labels"]));
        let error = target["lastError"].as_str().unwrap_or("");
        if error.contains("HTTP status") {
            // Here a hint follows.
            let (error, _) = error.split_once(": it wants").unwrap_or((error, ""));
            lines.insert(format!("{of} {error}"));
        }
    }
    for one in series["result"].as_array().into_iter().flatten() {
        lines.insert(format!("{} {}", one["metric"], one["value"][1]));
    }
    lines
}
