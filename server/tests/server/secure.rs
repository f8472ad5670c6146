//! The secure listener, as the API server's aggregation layer and everybody else find it.

use crate::common::certificates::{Authority, Files, connect_by, get_tls};
use crate::common::{TestTarget, secure_server, state, until};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use stillwell::serve::secure::SecureOptions;

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
        certificate: Some(files.serve(&pair)),
        client_ca: Some(files.write("client.crt", &client.certificate.pem())),
        request_header_ca: Some(files.write("front.crt", &front.certificate.pem())),
        allowed_names: vec!["front-proxy-client".to_owned()],
        ..SecureOptions::default()
    };
    let running = secure_server(&target, options).await;
    let address = running.secure_address.expect("a secure listener");

    let proxy = front.client("front-proxy-client", &[], false);
    let (status, body) = get_tls(address, &serving.der(), Some(&proxy), HPA, METRIC)
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
            get_tls(address, &serving.der(), Some(&proxy), aggregator, path)
                .await
                .expect("TLS")
                .0,
            200,
            "{path}"
        );
    }
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(
            get_tls(address, &serving.der(), None, "", path)
                .await
                .expect("TLS"),
            (200, "ok".to_owned()),
            "{path}"
        );
    }
    let openapi = get_tls(address, &serving.der(), Some(&proxy), HPA, "/openapi/v2")
        .await
        .expect("TLS");
    assert_eq!(openapi.0, 200);

    // As the aggregator asks where it may: HTTP/2.
    let ca = serving.der();
    let stream = connect_by(address, &ca, Some(&proxy), &[b"h2", b"http/1.1"]);
    let stream = stream.await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get(format!("https://stillwell.default.svc{METRIC}"))
            .header(
                "x-remote-user",
                "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
            )
            .header("x-remote-group", "system:serviceaccounts")
            .body(Body::empty());
        let answer = sender.send_request(request.expect("a request")).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200);
        let body = to_bytes(Body::new(answer.into_body()), 1 << 20).await;
        let list: Value = serde_json::from_slice(&body.expect("a body")).expect("JSON");
        assert_eq!(list["items"][0]["value"].as_str(), Some("7"));
    }

    let masters = client.client("admin", &["system:masters"], false);
    assert_eq!(
        get_tls(address, &serving.der(), Some(&masters), "", METRIC)
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
        let (status, body) = get_tls(address, &serving.der(), pair, headers, METRIC)
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
    files.write("server.key", &pair.key.serialize_pem());
    files.write("server.crt", &pair.certificate.pem());
    let renewing = async {
        while get_tls(address, &renewed.der(), Some(&proxy), HPA, METRIC)
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
        ..SecureOptions::default()
    };
    let bind = stillwell::serve::secure::Secure::bind;
    let why = bind(options(&[]), 0).await.err().expect("refused");
    assert!(
        why.contains("--requestheader-allowed-names is empty"),
        "{why}"
    );
    assert!(bind(options(&["front-proxy-client"]), 0).await.is_ok());
}
