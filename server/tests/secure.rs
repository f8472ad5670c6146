//! The secure listener, as the API server's aggregation layer and everybody else find it.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{TestTarget, server_of, settings, state, until};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use stillwell::serve::Faces;
use stillwell::serve::secure::SecureOptions;
use stillwell_adapters::host::Health;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
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
    fn client(&self, name: &str, groups: &[&str], expired: bool) -> Pair {
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

    fn server(&self, name: &str) -> Pair {
        self.sign(CertificateParams::new(vec![name.to_owned()]).expect("a name"))
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("random");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        Pair { certificate, key }
    }
}

struct Pair {
    certificate: Certificate,
    key: KeyPair,
}

/// Files of one test, gone when it ends.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let folder = std::env::temp_dir().join(format!("stillwell-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        Files(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// GETs a path over TLS; the server's certificate must be of `authority`.
async fn get(
    address: std::net::SocketAddr,
    authority: &Authority,
    client: Option<&Pair>,
    headers: &str,
    path: &str,
) -> Result<(u16, String), String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate.der().clone())
        .expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::try_from(pair.key.serialize_der()).expect("a key");
            let chain: Vec<CertificateDer<'static>> = vec![pair.certificate.der().clone()];
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    let stream = TcpStream::connect(address).await.expect("listening");
    let name = ServerName::try_from("stillwell.default.svc").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok(); // the end may come without a close_notify
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

const METRIC: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/q";
const DISCOVERY: &str = "/apis/external.metrics.k8s.io/v1beta1";
const HPA: &str = "X-Remote-User: system:serviceaccount:kube-system:horizontal-pod-autoscaler\r\nX-Remote-Group: system:serviceaccounts\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_proxy_is_let_in_and_nobody_passes_for_it() {
    let target = TestTarget::with_page("q{pool=\"a\"} 7\n").await;
    let files = Files::new("secure");
    let (serving, front, client) = (
        Authority::new("serving"),
        Authority::new("front"),
        Authority::new("clients"),
    );
    let pair = serving.server("stillwell.default.svc");
    let options = SecureOptions {
        address: "127.0.0.1:0".to_owned(),
        certificate: Some((
            files.write("tls.crt", &pair.certificate.pem()),
            files.write("tls.key", &pair.key.serialize_pem()),
        )),
        client_ca: Some(files.write("client.crt", &client.certificate.pem())),
        request_header_ca: Some(files.write("front.crt", &front.certificate.pem())),
        allowed_names: vec!["front-proxy-client".to_owned()],
        self_made_names: Vec::new(),
    };
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\nsignals:\n- {{name: q, expr: 'sum(q)'}}\n",
        target.address
    );
    let faces = Faces {
        secure: Some(options),
        ..Faces::default()
    };
    let running = server_of(&text, settings(None), faces).await;
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    let address = running.secure_address.expect("a secure listener");

    let proxy = front.client("front-proxy-client", &[], false);
    let (status, body) = get(address, &serving, Some(&proxy), HPA, METRIC)
        .await
        .expect("TLS");
    let list: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, list["items"][0]["value"].as_str()),
        (200, Some("7")),
        "{body}"
    );
    for path in [DISCOVERY, "/apis", "/version", "/metrics"] {
        let aggregator = "X-Remote-User: system:kube-aggregator\r\n";
        assert_eq!(
            get(address, &serving, Some(&proxy), aggregator, path)
                .await
                .expect("TLS")
                .0,
            200,
            "{path}"
        );
    }
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(
            get(address, &serving, None, "", path).await.expect("TLS"),
            (200, "ok".to_owned()),
            "{path}"
        );
    }
    let openapi = get(address, &serving, Some(&proxy), HPA, "/openapi/v2")
        .await
        .expect("TLS");
    assert_eq!(openapi.0, 404);

    let masters = client.client("admin", &["system:masters"], false);
    assert_eq!(
        get(address, &serving, Some(&masters), "", METRIC)
            .await
            .expect("TLS")
            .0,
        200
    );

    let ordinary = client.client("somebody", &["system:authenticated"], false);
    let expired = front.client("front-proxy-client", &[], true);
    let other_name = front.client("another", &[], false);
    let stranger = Authority::new("stranger").client("front-proxy-client", &[], false);
    for (who, pair, headers, says) in [
        ("no certificate", None, "", "a client certificate is needed"),
        (
            "a header without a certificate",
            None,
            HPA,
            "a client certificate is needed",
        ),
        (
            "an ordinary client",
            Some(&ordinary),
            "",
            "did not come through the API server",
        ),
        (
            "an ordinary client that forges",
            Some(&ordinary),
            HPA,
            "somebody",
        ),
        ("an expired certificate", Some(&expired), HPA, "xpired"),
        (
            "a name that is not allowed",
            Some(&other_name),
            HPA,
            "not one of --requestheader-allowed-names",
        ),
        (
            "a stranger's CA",
            Some(&stranger),
            HPA,
            "not of the front proxy's CA",
        ),
        (
            "a front proxy that names nobody",
            Some(&proxy),
            "",
            "no X-Remote-User",
        ),
    ] {
        let (status, body) = get(address, &serving, pair, headers, METRIC)
            .await
            .expect("TLS");
        assert_eq!(status, 403, "{who}: {body}");
        assert!(
            body.contains(says) && body.contains("\"kind\":\"Status\""),
            "{who}: {body}"
        );
    }

    // A new serving certificate is taken without a restart.
    let renewed = Authority::new("renewed");
    let pair = renewed.server("stillwell.default.svc");
    files.write("tls.key", &pair.key.serialize_pem());
    files.write("tls.crt", &pair.certificate.pem());
    let renewing = async {
        while get(address, &renewed, Some(&proxy), HPA, METRIC)
            .await
            .is_err()
        {
            let more = state(&running.app, &target).counts().scrapes + 1;
            until(&running.app, "time passes", |app| {
                state(app, &target).counts().scrapes > more
            })
            .await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), renewing)
        .await
        .expect("the new certificate");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_ca_for_everything_needs_a_name() {
    let files = Files::new("secure-shared");
    let shared = Authority::new("shared");
    let bundle = files.write("ca.crt", &shared.certificate.pem());
    let options = |names: &[&str]| SecureOptions {
        address: "127.0.0.1:0".to_owned(),
        certificate: None,
        client_ca: Some(bundle.clone()),
        request_header_ca: Some(bundle.clone()),
        allowed_names: names.iter().map(|name| (*name).to_owned()).collect(),
        self_made_names: vec!["localhost".to_owned()],
    };
    let bind = stillwell::serve::secure::Secure::bind;
    let why = bind(options(&[])).await.err().expect("refused");
    assert!(
        why.contains("--requestheader-allowed-names is empty"),
        "{why}"
    );
    assert!(bind(options(&["front-proxy-client"])).await.is_ok());
}
