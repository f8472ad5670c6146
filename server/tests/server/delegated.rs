//! Authentication and authorization by the API server: what it is asked, and what callers get while it is slow, wrong,
//! silent or gone.

use std::net::SocketAddr;

use crate::common::api_server::{ApiServer, Mood};
use crate::common::certificates::{Authority, Files, Pair, exchange, get_tls};
use crate::common::{TestTarget, eventually, secure_server};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use stillwell::serve::Running;
use stillwell::serve::secure::{Lifetimes, Secure, SecureOptions};

const BASE: &str = "/apis/external.metrics.k8s.io/v1beta1";
const METRIC: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/q";
const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const HPA_USER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
const HPA: &str = "X-Remote-User: system:serviceaccount:kube-system:horizontal-pod-autoscaler\r\nX-Remote-Uid: 42\r\nX-Remote-Group: system:serviceaccounts\r\nX-Remote-Group: system:authenticated\r\nX-Remote-Extra-Acme.com%2fpod: hpa-0\r\n";

/// A server with everything around it.
struct World {
    api: ApiServer,
    front: Authority,
    client: Authority,
    serving: CertificateDer<'static>,
    address: SocketAddr,
    running: Running,
    _files: Files,
}

impl World {
    /// A server that keeps answers of the API server for `ttl_ms`; `prepare` may change the API server before.
    async fn start(name: &str, ttl_ms: i64, prepare: impl FnOnce(&ApiServer)) -> World {
        let api = ApiServer::start().await;
        let (serving, front, client) = (
            Authority::new("serving"),
            Authority::new("front"),
            Authority::new("clients"),
        );
        api.set_config(config(&front, &client));
        prepare(&api);
        let files = Files::new(name);
        let pair = serving.server(crate::common::certificates::SERVICE);
        let options = SecureOptions {
            address: "127.0.0.1:0".to_owned(),
            certificate: Some(files.serve(&pair)),
            kubeconfig: Some(api.kubeconfig(&files)),
            lifetimes: Lifetimes {
                token_ms: ttl_ms,
                allowed_ms: ttl_ms,
                denied_ms: ttl_ms,
            },
            ..SecureOptions::default()
        };
        let target = TestTarget::with_page("q{inference_pool=\"p\"} 7\n").await;
        let running = secure_server(&target, options).await;
        World {
            api,
            front,
            client,
            serving: serving.der(),
            address: running.secure_address.expect("a secure listener"),
            running,
            _files: files,
        }
    }

    async fn get(&self, client: Option<&Pair>, headers: &str, path: &str) -> (u16, String) {
        get_tls(self.address, &self.serving, client, headers, path)
            .await
            .expect("TLS")
    }

    async fn get_by_token(&self, token: &str, path: &str) -> (u16, String) {
        let headers = format!("Authorization: Bearer {token}\r\n");
        self.get(None, &headers, path).await
    }

    fn proxy(&self) -> Pair {
        self.front.client("front-proxy-client", &[], false)
    }

    fn allow(&self, user: &str) {
        self.api.state.lock().allowed.push(user.to_owned());
    }

    /// Every answer that is not 200 is a Status whose code is that of the answer, and never tells clients to come back.
    async fn refused(&self, client: Option<&Pair>, headers: &str, path: &str) -> (u16, String) {
        let (head, body) = exchange(self.address, &self.serving, client, headers, path)
            .await
            .expect("TLS");
        let code: u16 = head
            .split(' ')
            .nth(1)
            .expect("a code")
            .parse()
            .expect("a number");
        let status: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{head} {body}"));
        assert_eq!(
            (&status["kind"], &status["status"], &status["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code)),
            "{body}"
        );
        assert!(!head.to_ascii_lowercase().contains("retry-after"), "{head}");
        (code, status["message"].as_str().unwrap_or("").to_owned())
    }
}

fn config(front: &Authority, client: &Authority) -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    vec![
        ("client-ca-file", client.certificate.pem()),
        ("requestheader-client-ca-file", front.certificate.pem()),
        (
            "requestheader-allowed-names",
            text("[\"front-proxy-client\"]"),
        ),
        (
            "requestheader-username-headers",
            text("[\"X-Remote-User\"]"),
        ),
        ("requestheader-uid-headers", text("[\"X-Remote-Uid\"]")),
        ("requestheader-group-headers", text("[\"X-Remote-Group\"]")),
        (
            "requestheader-extra-headers-prefix",
            text("[\"X-Remote-Extra-\"]"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_is_asked_what_an_api_server_asks() {
    let world = World::start("asked", 60_000, |_| {}).await;
    world.allow(HPA_USER);
    world.allow("jane");
    world.api.state.lock().tokens.insert(
        "good".to_owned(),
        json!({"username": "jane", "uid": "7", "groups": ["dev"], "extra": {"scopes": ["view"]}}),
    );

    let (code, body) = world.get(Some(&world.proxy()), HPA, METRIC).await;
    assert_eq!(code, 200, "{body}");
    let asked = world.api.asked(ACCESS);
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].body["spec"],
        json!({
            "user": HPA_USER,
            "uid": "42",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": {"acme.com/pod": ["hpa-0"]},
            "resourceAttributes": {
                "verb": "list", "group": "external.metrics.k8s.io", "version": "v1beta1",
                "resource": "q", "namespace": "default",
            },
        })
    );
    assert_eq!(
        (&asked[0].body["kind"], &asked[0].body["apiVersion"]),
        (
            &json!("SubjectAccessReview"),
            &json!("authorization.k8s.io/v1")
        )
    );

    let (code, body) = world.get_by_token("good", METRIC).await;
    assert_eq!(code, 200, "{body}");
    let tokens = world.api.asked(TOKENS);
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        (&tokens[0].body["kind"], &tokens[0].body["spec"]),
        (&json!("TokenReview"), &json!({"token": "good"}))
    );
    assert_eq!(
        world.api.asked(ACCESS)[1].body["spec"],
        json!({
            "user": "jane", "uid": "7", "groups": ["dev", "system:authenticated"], "extra": {"scopes": ["view"]},
            "resourceAttributes": {
                "verb": "list", "group": "external.metrics.k8s.io", "version": "v1beta1",
                "resource": "q", "namespace": "default",
            },
        })
    );
    assert_eq!(world.get_by_token("good", "/metrics").await.0, 200);
    assert_eq!(
        world.api.asked(ACCESS)[2].body["spec"]["nonResourceAttributes"],
        json!({"verb": "get", "path": "/metrics"})
    );
    let object = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/services/s/q";
    assert_eq!(world.get_by_token("good", object).await.0, 404);
    assert_eq!(
        world.api.asked(ACCESS)[3].body["spec"]["resourceAttributes"],
        json!({
            "verb": "get", "group": "custom.metrics.k8s.io", "version": "v1beta2",
            "resource": "services", "subresource": "q", "name": "s", "namespace": "default",
        })
    );

    // Within their time answers are not asked for again.
    for _ in 0..3 {
        assert_eq!(world.get(Some(&world.proxy()), HPA, METRIC).await.0, 200);
        assert_eq!(world.get_by_token("good", METRIC).await.0, 200);
    }
    assert_eq!(world.api.asked(ACCESS).len(), 4);
    assert_eq!(world.api.asked(TOKENS).len(), 1);

    // Discovery is the API server's own, in the name of a user without groups; health is everybody's. Nobody is asked.
    let aggregator = "X-Remote-User: system:kube-aggregator\r\n";
    for path in [
        "/apis",
        BASE,
        "/apis/custom.metrics.k8s.io/v1beta2",
        "/version",
    ] {
        assert_eq!(
            world.get(Some(&world.proxy()), aggregator, path).await.0,
            200,
            "{path}"
        );
    }
    // Without OpenAPI an API server logs a failure each minute.
    for path in ["/openapi/v2", "/openapi/v3"] {
        assert_eq!(
            world.get(Some(&world.proxy()), aggregator, path).await.0,
            200,
            "{path}"
        );
    }
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(
            world.get(None, "", path).await,
            (200, "ok".to_owned()),
            "{path}"
        );
    }
    let masters = world.client.client("admin", &["system:masters"], false);
    assert_eq!(world.get(Some(&masters), "", METRIC).await.0, 200);
    assert_eq!(world.api.asked(ACCESS).len(), 4);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_is_told_why() {
    let world = World::start("refused", 0, |_| {}).await;
    world.api.state.lock().tokens.insert(
        "nobody-special".to_owned(),
        json!({"username": "bob", "groups": ["dev"]}),
    );
    let somebody = world.client.client("somebody", &["dev"], false);
    let expired = world.front.client("front-proxy-client", &[], true);
    let other = world.front.client("another", &[], false);
    let proxy = world.proxy();
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    for (who, client, headers, code, says) in [
        (
            "nobody",
            None,
            String::new(),
            403,
            "User \"system:anonymous\" cannot list resource \"q\" in API group \"external.metrics.k8s.io\" in the namespace \"default\"",
        ),
        (
            "headers alone",
            None,
            HPA.to_owned(),
            403,
            "system:anonymous",
        ),
        (
            "a client that forges",
            Some(&somebody),
            HPA.to_owned(),
            403,
            "User \"somebody\" cannot list",
        ),
        (
            "the HPA without a grant",
            Some(&proxy),
            HPA.to_owned(),
            403,
            "no rule of the test allows it",
        ),
        (
            "an expired certificate",
            Some(&expired),
            HPA.to_owned(),
            403,
            "xpired",
        ),
        (
            "a name that is not allowed",
            Some(&other),
            HPA.to_owned(),
            403,
            "--requestheader-allowed-names",
        ),
        (
            "a known token without a grant",
            None,
            bearer("nobody-special"),
            403,
            "User \"bob\" cannot list",
        ),
        (
            "an unknown token",
            None,
            bearer("wrong"),
            401,
            "does not know the bearer token",
        ),
        (
            "a token without end",
            None,
            bearer(&"x".repeat(20_000)),
            401,
            "longer than",
        ),
        (
            "a password",
            None,
            "Authorization: Basic YTpi\r\n".to_owned(),
            403,
            "system:anonymous",
        ),
    ] {
        let (found, message) = world.refused(client, &headers, METRIC).await;
        assert_eq!(found, code, "{who}: {message}");
        assert!(message.contains(says), "{who}: {message}");
    }
    // A slash inside a name would be two names to somebody else.
    let (code, _) = world
        .refused(Some(&proxy), HPA, &format!("{BASE}/namespaces/a%2fb/q"))
        .await;
    assert_eq!(code, 404);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_reviews_fail_nobody_is_let_in_and_then_they_are_again() {
    let world = World::start("failing", 0, |_| {}).await;
    world.allow(HPA_USER);
    world.allow("jane");
    let user = json!({"username": "jane"});
    world
        .api
        .state
        .lock()
        .tokens
        .insert("good".to_owned(), user);
    let proxy = world.proxy();
    let bearer = "Authorization: Bearer good\r\n";
    for mood in [
        Mood::Fails(500),
        Mood::Fails(403),
        Mood::Hangs,
        Mood::Fails(429),
    ] {
        world.api.state.lock().access_mood = Some(mood);
        let (code, message) = world.refused(Some(&proxy), HPA, METRIC).await;
        assert_eq!(code, 503, "{mood:?}: {message}");
        assert!(
            message.contains("SubjectAccessReview"),
            "{mood:?}: {message}"
        );
        // What needs no review goes on.
        assert_eq!(
            world
                .get(Some(&proxy), "X-Remote-User: a\r\n", BASE)
                .await
                .0,
            200
        );
        world.api.state.lock().access_mood = None;
        assert_eq!(
            world.get(Some(&proxy), HPA, METRIC).await.0,
            200,
            "after {mood:?}"
        );

        world.api.state.lock().token_mood = Some(mood);
        let (code, message) = world.refused(None, bearer, METRIC).await;
        assert_eq!(code, 503, "{mood:?}: {message}");
        assert!(message.contains("TokenReview"), "{mood:?}: {message}");
        world.api.state.lock().token_mood = None;
        assert_eq!(
            world.get(None, bearer, METRIC).await.0,
            200,
            "after {mood:?}"
        );
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cas_rotate_while_watches_break() {
    let world = World::start("rotation", 60_000, |_| {}).await;
    world.allow(HPA_USER);
    let old = world.proxy();
    assert_eq!(world.get(Some(&old), HPA, METRIC).await.0, 200);
    let watched = || async { world.api.watchers() > 0 };
    eventually("a watch", watched).await;
    let watch = world.api.asked("/api/v1/namespaces/kube-system/configmaps");
    let fields = "fieldSelector=metadata.name%3Dextension-apiserver-authentication";
    assert!(watch[0].query.contains(fields), "{}", watch[0].query);

    // A rotation that the watch tells of.
    let second = Authority::new("front 2");
    let pem = "requestheader-client-ca-file";
    world.api.set_config([(pem, second.certificate.pem())]);
    let new = second.client("front-proxy-client", &[], false);
    eventually("the second CA", || async {
        world.get(Some(&new), HPA, METRIC).await.0 == 200
    })
    .await;
    let (code, message) = world.refused(Some(&old), HPA, METRIC).await;
    assert_eq!(code, 403, "{message}");

    // The watch breaks and the API server is away: what was known stays in force, and the next rotation is found.
    world.api.state.lock().config_mood = Some(Mood::Fails(500));
    world.api.disconnect();
    let third = Authority::new("front 3");
    world.api.set_config([(pem, third.certificate.pem())]);
    assert_eq!(world.get(Some(&new), HPA, METRIC).await.0, 200);
    world.api.state.lock().config_mood = None;
    let newest = third.client("front-proxy-client", &[], false);
    eventually("the third CA", || async {
        world.get(Some(&newest), HPA, METRIC).await.0 == 200
    })
    .await;
    assert_eq!(world.refused(Some(&new), HPA, METRIC).await.0, 403);

    // What cannot be read, and what would let every client pass for the front proxy, changes nothing.
    eventually("a watch", watched).await;
    for bad in ["no PEM".to_owned(), world.client.certificate.pem()] {
        world
            .api
            .set_config([(pem, bad), ("requestheader-allowed-names", "[]".to_owned())]);
        let reads = world.api.state.lock().asked.len();
        world.api.disconnect(); // so that there is something to wait for: it reads again
        eventually("another read", || async {
            world.api.state.lock().asked.len() > reads + 1
        })
        .await;
        assert_eq!(world.get(Some(&newest), HPA, METRIC).await.0, 200);
        let forger = world.client.client("somebody", &[], false);
        assert_eq!(world.refused(Some(&forger), HPA, METRIC).await.0, 403);
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_the_config_map_lets_nobody_in_until_it_is_there() {
    let world = World::start("late", 60_000, |api| {
        api.state.lock().config_mood = Some(Mood::Fails(403));
    })
    .await;
    world.allow(HPA_USER);
    let proxy = world.proxy();
    let (code, message) = world.refused(Some(&proxy), HPA, METRIC).await;
    assert_eq!(code, 403);
    assert!(
        message.contains("extension-apiserver-authentication cannot be read"),
        "{message}"
    );
    assert_eq!(world.get(None, "", "/livez").await.0, 200);
    world.api.state.lock().config_mood = None;
    eventually("the ConfigMap", || async {
        world.get(Some(&proxy), HPA, METRIC).await.0 == 200
    })
    .await;
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_map_that_makes_every_client_the_front_proxy_is_refused_at_start() {
    let api = ApiServer::start().await;
    let shared = Authority::new("shared");
    let mut data = config(&shared, &shared);
    data.retain(|(key, _)| *key != "requestheader-allowed-names");
    api.set_config(data);
    let files = Files::new("shared-config");
    let options = SecureOptions {
        address: "127.0.0.1:0".to_owned(),
        kubeconfig: Some(api.kubeconfig(&files)),
        self_made_names: vec!["localhost".to_owned()],
        ..SecureOptions::default()
    };
    let why = Secure::bind(options, 0).await.err().expect("refused");
    assert!(
        why.contains("every client could pass for the API server"),
        "{why}"
    );
}
