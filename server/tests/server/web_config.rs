//! `--web.config.file`, as Prometheus reads it: the file, TLS and client certificates, passwords, headers, and what
//! happens when it changes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::certificates::{Authority, Files, SERVICE, status};
use crate::common::{get, http, server_of, settings};
use stillwell::serve::web::WebOptions;
use stillwell::serve::{ApiOptions, Running};
use stillwell::web_config::parse;
use stillwell_testing::outside::RIVALS;

/// `s3cret`, by htpasswd at cost 4.
fn hash() -> String {
    bcrypt::hash("s3cret", 4).expect("random")
}

const NO_TARGETS: &str = "global: {scrape_interval: 1s}\n";

async fn serve(files: &Files, text: &str) -> Running {
    let apis = ApiOptions {
        web: WebOptions {
            config_file: Some(files.write("web.yml", text)),
            ..WebOptions::default()
        },
        ..ApiOptions::default()
    };
    server_of(NO_TARGETS, settings(None), apis).await
}

/// Files are looked at every tenth of a second: asks until it is so.
async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    for _ in 0..600 {
        if ask().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never happened: {what}");
}

/// Texts, and the line of the error, where there is one; the keys of Prometheus 3.5 as promtool judges them.
const TEXTS: [(&str, Option<usize>); 31] = [
    ("", None),
    ("basic_auth_users:", None),
    (
        "basic_auth_users: {a: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}",
        None,
    ),
    (
        "basic_auth_users: {a: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay}",
        None,
    ),
    ("basic_auth_users:\n  a: b", Some(2)),
    ("basic_auth_users:\n  a: ''", Some(2)),
    ("basic_auth_users: [a]", Some(1)),
    ("rate_limit: {burst: 1, interval: 1s}", None),
    ("rate_limits: {burst: 1}", Some(1)),
    ("http_server_config: {http2: false}", None),
    ("http_server_config: {http2: maybe}", Some(1)),
    ("http_server_config: {http3: true}", Some(1)),
    (
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1",
        None,
    ),
    (
        "http_server_config:\n  headers:\n    X-Frame-Options: DENY",
        Some(3),
    ),
    (
        "http_server_config:\n  headers:\n    X-Frame-Options: ''",
        Some(3),
    ),
    (
        "http_server_config:\n  headers:\n    X-Content-Type-Options: sniff",
        Some(3),
    ),
    ("http_server_config:\n  headers:\n    Server: x", Some(3)),
    ("tls_server_config: {}", None),
    ("tls_server_config: {min_version: TLS10}", None),
    ("tls_server_config:\n  cert_file: missing.crt", Some(2)),
    ("tls_server_config:\n  key_file: missing.key", Some(2)),
    ("tls_server_config: {client_ca_file: ca.crt}", Some(1)),
    (
        "tls_server_config: {cert_file: server.crt, key_file: server.key}",
        None,
    ),
    (
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt}",
        Some(1),
    ),
    (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_auth_type: Sometimes",
        Some(4),
    ),
    (
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}",
        None,
    ),
    (
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert}",
        None,
    ),
    (
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireClientCert}",
        None,
    ),
    (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  cipher_suites: [TLS_NOPE]",
        Some(4),
    ),
    (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  curve_preferences: [X448]",
        Some(4),
    ),
    (
        "tls_server_config: {cert_file: server.crt, key_file: server.key, curve_preferences: [CurveP521, CurveP256], cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA], min_version: TLS12, max_version: TLS13, prefer_server_cipher_suites: true}",
        None,
    ),
];

#[test]
fn the_file_is_judged_with_lines() {
    for (text, line) in TEXTS {
        let (config, report) = parse(text, Path::new("/etc/web"));
        let found = report.errors.first().map(|problem| problem.line);
        assert_eq!(found, line, "{text}: {:?}", report.errors);
        assert_eq!(config.is_some(), line.is_none(), "{text}");
    }
    let typo = parse("basic_auth_user: {}", Path::new(""))
        .1
        .errors
        .remove(0);
    assert!(typo.message.contains("basic_auth_users"), "{typo}");
}

#[test]
fn promtool_judges_the_same() {
    let Some(promtool) = RIVALS.find_inside("usr/bin/promtool") else {
        return;
    };
    let files = Files::new("promtool");
    let authority = Authority::new("ca");
    files.serve(&authority.server(SERVICE));
    files.write("ca.crt", &authority.certificate.pem());
    for (text, line) in TEXTS {
        let file = files.write("web.yml", text);
        let output = Command::new(&promtool)
            .args(["check", "web-config"])
            .arg(&file)
            .output();
        let output = output.expect("it runs");
        assert_eq!(
            output.status.success(),
            line.is_none(),
            "{text}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

async fn with(address: SocketAddr, headers: &str) -> (u16, String) {
    let request =
        format!("GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let (status, head, _) = http(address, &request).await;
    (status, head)
}

#[tokio::test]
async fn passwords_and_tokens_let_in_and_headers_are_on_every_answer() {
    let files = Files::new("passwords");
    files.write("token", "opensesame\n");
    let text = format!(
        "basic_auth_users: {{keda: {}}}\nbearer_token_file: token\nhttp_server_config:\n  headers: {{X-Frame-Options: deny}}\n",
        hash()
    );
    let running = serve(&files, &text).await;
    let address = running.addresses[0];
    for (headers, expected) in [
        ("", 401),
        ("Authorization: Basic a2VkYTpzM2NyZXQ=\r\n", 200),
        ("Authorization: basic a2VkYTpzM2NyZXQ\r\n", 200),
        ("Authorization: Basic a2VkYTpzM2NyZXR4\r\n", 401), // s3cretx
        ("Authorization: Basic a2VkYTo=\r\n", 401),         // no password
        ("Authorization: Basic bm9ib2R5OnMzY3JldA==\r\n", 401), // nobody
        ("Authorization: Basic ****\r\n", 401),
        ("Authorization: Basic\r\n", 401),
        ("Authorization: Bearer opensesame\r\n", 200),
        ("Authorization: Bearer opensesam\r\n", 401),
        ("Authorization: Bearer \r\n", 401),
        ("Authorization: Digest x\r\n", 401),
    ] {
        let (status, head) = with(address, headers).await;
        assert_eq!(status, expected, "{headers}");
        assert!(head.contains("x-frame-options: deny"), "{headers}: {head}");
        assert_eq!(
            head.contains("www-authenticate: basic"),
            expected == 401,
            "{head}"
        );
    }
    // A file that does not read changes nothing; one that does is in force with the next request.
    files.write("web.yml", "basic_auth_users: {keda: nonsense}\n");
    files.write("token", "another\n");
    let right = "Authorization: Basic a2VkYTpzM2NyZXQ=\r\n";
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(with(address, right).await.0, 200);
    files.write("web.yml", &text);
    eventually("the new token", || async {
        with(address, "Authorization: Bearer another\r\n").await.0 == 200
    })
    .await;
    assert_eq!(
        with(address, "Authorization: Bearer opensesame\r\n")
            .await
            .0,
        401
    );
    assert_eq!(with(address, right).await.0, 200);
    let other = bcrypt::hash("other", 4).expect("random");
    files.write("web.yml", &format!("basic_auth_users: {{keda: {other}}}\n"));
    eventually("the new password", || async {
        with(address, right).await.0 == 401
    })
    .await;
}

#[tokio::test]
async fn client_certificates_are_judged_by_gos_five_policies() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (known, stranger) = (
        ours.client_with_alternative_name("keda.keda.svc"),
        theirs.client_with_alternative_name("keda.keda.svc"),
    );
    let other_name = ours.client_with_alternative_name("somebody.else.svc");
    let table: [(&str, [bool; 4]); 6] = [
        // no certificate, one of ours, one of theirs, one of ours with another name
        ("", [true, true, true, true]),
        (
            "client_auth_type: RequestClientCert",
            [true, true, true, true],
        ),
        (
            "client_auth_type: RequireAnyClientCert",
            [false, true, true, true],
        ),
        (
            "client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt",
            [true, true, false, true],
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt",
            [false, true, false, true],
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt, client_allowed_sans: [keda.keda.svc]",
            [false, true, false, false],
        ),
    ];
    for (index, (policy, allowed)) in table.into_iter().enumerate() {
        let files = Files::new(&format!("policy{index}"));
        files.serve(&ours.server(SERVICE));
        files.write("ca.crt", &ours.certificate.pem());
        let text = format!(
            "tls_server_config: {{cert_file: server.crt, key_file: server.key, {policy}}}\n"
        );
        let running = serve(&files, &text).await;
        let clients = [None, Some(&known), Some(&stranger), Some(&other_name)];
        for (client, allowed) in clients.into_iter().zip(allowed) {
            let answer = status(running.addresses[0], &ours.der(), client, "/-/healthy").await;
            assert_eq!(answer == Ok(200), allowed, "{policy}: {answer:?}");
        }
        assert_ne!(
            get_plainly(running.addresses[0]).await,
            200,
            "TLS is not optional"
        );
    }
}

/// The status of a request without TLS, 0 where none comes.
async fn get_plainly(address: SocketAddr) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("listening");
    stream
        .write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8_lossy(&answer);
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_connection_on_and_tls_never_just_ends() {
    let files = Files::new("rotation");
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    files.serve(&before.server(SERVICE));
    let text = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
    let running = serve(&files, text).await;
    let address = running.addresses[0];
    assert_eq!(
        status(address, &before.der(), None, "/-/healthy").await,
        Ok(200)
    );
    assert!(
        status(address, &after.der(), None, "/-/healthy")
            .await
            .is_err()
    );
    files.write("web.yml", ""); // half written
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        status(address, &before.der(), None, "/-/healthy").await,
        Ok(200)
    );
    files.write("web.yml", text);
    files.serve(&after.server(SERVICE));
    eventually("the new certificate", || async {
        status(address, &after.der(), None, "/-/healthy").await == Ok(200)
    })
    .await;
}

#[tokio::test]
async fn without_the_file_everybody_is_let_in() {
    let running = server_of(NO_TARGETS, settings(None), ApiOptions::default()).await;
    assert_eq!(get(running.addresses[0], "/-/healthy").await.0, 200);
}
