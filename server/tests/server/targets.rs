//! How targets are found and reached, end to end: discovery that changes, TLS, credentials, redirects, a proxy; and what
//! is said where a target refuses.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::common::certificates::{Authority, Files};
use crate::common::scripted::{Scripted, json_answer, status};
use crate::common::{
    Act, TestTarget, data, eventually, get, http, ok, read_head, server, state, until, value,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stillwell_adapters::host::{Health, Host};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

fn job(address: SocketAddr, keys: &str) -> String {
    format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: j\n{keys}  static_configs: [{{targets: ['{address}']}}]\n"
    )
}

/// Starts a server with this job, waits for the one target to be so, and answers its last error.
async fn outcome(text: &str, wanted: Health) -> String {
    let running = server(text).await;
    until(&running.app, "an outcome", |app| {
        let states = app.scraper().states();
        states.first().is_some_and(|state| state.health() == wanted)
    })
    .await;
    let error = running.app.scraper().states()[0].last_error();
    let (_, _, shown) = get(running.addresses[0], "/api/v1/status/config").await;
    assert!(!shown.contains("s3cr"), "{shown}");
    running.stop().await;
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_behind_tls_is_read_where_the_server_is_trusted() {
    let authority = Authority::new("targets");
    let pair = authority.server("gateway.example");
    let target = Scripted::start(Some(&pair), |_| ok("a 1\n")).await;
    let files = Files::new("targets-tls");
    let ca = files.write("ca.pem", &authority.certificate.pem());
    let ca = ca.display();
    let other = Authority::new("another")
        .certificate
        .pem()
        .replace('\n', "\\n");
    for (tls, wanted, says) in [
        (
            format!("{{ca_file: {ca}, server_name: gateway.example}}"),
            Health::Up,
            "",
        ),
        ("{insecure_skip_verify: true}".to_owned(), Health::Up, ""),
        (
            format!("{{ca_file: {ca}}}"),
            Health::Down,
            "set tls_config.server_name",
        ),
        (
            format!("{{ca: \"{other}\", server_name: gateway.example}}"),
            Health::Down,
            "set tls_config.ca_file",
        ),
        (
            "{ca_file: /nowhere/ca.pem}".to_owned(),
            Health::Down,
            "credentials: /nowhere/ca.pem",
        ),
        (
            format!("{{ca_file: {ca}, server_name: gateway.example, min_version: TLS13}}"),
            Health::Up,
            "",
        ),
    ] {
        let text = job(
            target.address,
            &format!("  scheme: https\n  tls_config: {tls}\n"),
        );
        let error = outcome(&text, wanted).await;
        assert!(error.contains(says), "{tls}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_shown_as_configured() {
    let files = Files::new("targets-credentials");
    let token = files.write("token", "  s3cr-file\n");
    let token = token.display();
    for (keys, line) in [
        (
            "  bearer_token: s3cr-1\n".to_owned(),
            "authorization: bearer s3cr-1\r\n",
        ),
        (
            format!("  bearer_token_file: {token}\n"),
            "authorization: bearer s3cr-file\r\n",
        ),
        (
            "  authorization: {type: Token, credentials: s3cr-2}\n".to_owned(),
            "authorization: token s3cr-2\r\n",
        ),
        (
            format!("  authorization: {{credentials_file: {token}}}\n"),
            "authorization: bearer s3cr-file\r\n",
        ),
        (
            "  basic_auth: {username: u, password: s3cr}\n".to_owned(),
            "authorization: basic dtpzm2ny\r\n", // the test's head is in lower case
        ),
        (
            "  http_headers: {X-Scope: {values: [a, b], secrets: [s3cr]}}\n".to_owned(),
            "x-scope: a\r\nx-scope: b\r\nx-scope: s3cr\r\n",
        ),
    ] {
        let target = Scripted::start(None, move |head| match head.contains(line) {
            true => ok("a 1\n"),
            false => status(401, "Unauthorized", "Unauthorized\n"),
        })
        .await;
        let error = outcome(&job(target.address, &keys), Health::Up).await;
        assert_eq!(error, "", "{keys}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_token_is_taken() {
    let files = Files::new("targets-rotation");
    let path = files.write("token", "old");
    let wanted = Arc::new(Mutex::new("bearer old\r\n"));
    let accepted = Arc::clone(&wanted);
    let target = Scripted::start(None, move |head| match head.contains(*accepted.lock()) {
        true => ok("a 1\n"),
        false => status(401, "Unauthorized", ""),
    })
    .await;
    let keys = format!(
        "  authorization: {{credentials_file: {}}}\n",
        path.display()
    );
    let running = server(&job(target.address, &keys)).await;
    let health = |wanted: Health| {
        move |app: &stillwell::serve::App| app.scraper().states()[0].health() == wanted
    };
    until(&running.app, "up", health(Health::Up)).await;
    *wanted.lock() = "bearer new\r\n";
    until(&running.app, "down", health(Health::Down)).await;
    std::fs::write(&path, "new").expect("writable");
    until(&running.app, "up again", health(Health::Up)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oauth2_token_is_fetched_once_and_shown() {
    let tokens = Scripted::start(None, |head| {
        let right = head.contains("grant_type=client_credentials&scope=a+b&audience=x")
            && head.contains("authorization: basic awq6cznjcg==");
        match right {
            true => json_answer(
                &json!({"access_token": "s3cr-t", "token_type": "bearer", "expires_in": 3600}),
            ),
            false => status(400, "Bad Request", "{\"error\":\"invalid_request\"}"),
        }
    })
    .await;
    let target = Scripted::start(None, |head| {
        match head.contains("authorization: bearer s3cr-t\r\n") {
            true => ok("a 1\n"),
            false => status(401, "Unauthorized", ""),
        }
    })
    .await;
    let keys = format!(
        "  oauth2: {{client_id: id, client_secret: s3cr, scopes: [a, b], endpoint_params: {{audience: x}}, token_url: 'http://{}/token'}}\n",
        tokens.address
    );
    let running = server(&job(target.address, &keys)).await;
    until(&running.app, "some scrapes", |app| {
        app.scraper().states()[0].counts().scrapes > 5
    })
    .await;
    assert_eq!(running.app.scraper().states()[0].last_error(), "");
    assert_eq!(tokens.heads.lock().len(), 1, "{:?}", tokens.heads.lock());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = Scripted::start(None, |_| ok("a 1\n")).await;
    let port = other.address.port();
    let moved = move |host: &str| {
        format!(
            "HTTP/1.1 307 Moved\r\nLocation: http://{host}:{port}/m\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    };
    for (host, shown) in [("127.0.0.1", true), ("localhost", false)] {
        let answer = moved(host);
        let target = Scripted::start(None, move |_| answer.clone()).await;
        let keys = "  bearer_token: s3cr\n  http_headers: {X-A: {secrets: [s3cr]}}\n";
        assert_eq!(outcome(&job(target.address, keys), Health::Up).await, "");
        assert!(target.last_head().contains("bearer s3cr"));
        assert_eq!(other.last_head().contains("s3cr"), shown, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_refuses_says_what_to_set() {
    for (answer, says) in [
        (
            status(401, "Unauthorized", "Unauthorized\n"),
            "set authorization: {credentials_file",
        ),
        (
            status(
                403,
                "Forbidden",
                "Authorization denied for user system:serviceaccount:a:b\n",
            ),
            "system:serviceaccount:a:b may not read it: bind a ClusterRole with rules: [{nonResourceURLs: [\"/metrics\"], verbs: [\"get\"]}]",
        ),
        (
            status(500, "Internal Server Error", "Authentication failed\n"),
            "needs the ClusterRole system:auth-delegator",
        ),
    ] {
        let target = Scripted::start(None, move |_| answer.clone()).await;
        let error = outcome(&job(target.address, ""), Health::Down).await;
        assert!(error.starts_with("server returned HTTP status "), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_asked_for_the_page_or_for_a_tunnel() {
    let proxy = Scripted::start(None, |head| {
        let whole = head.starts_with("get http://gateway.nowhere:9090/metrics http/1.1\r\n");
        match whole && head.contains("proxy-authorization: basic dtpzm2ny\r\n") {
            true => ok("a 1\n"),
            false => status(407, "Proxy Authentication Required", ""),
        }
    })
    .await;
    let text = |scheme: &str, proxy: SocketAddr| {
        format!(
            "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: j\n  scheme: {scheme}\n  tls_config: {{insecure_skip_verify: true}}\n  proxy_url: http://u:s3cr@{proxy}\n  static_configs: [{{targets: ['gateway.nowhere:9090']}}]\n"
        )
    };
    assert_eq!(outcome(&text("http", proxy.address), Health::Up).await, "");

    let pair = Authority::new("targets").server("gateway.nowhere");
    let target = Scripted::start(Some(&pair), |_| ok("a 1\n")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let tunnels = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let head = read_head(&mut client).await.expect("a request");
            assert!(
                head.starts_with("CONNECT gateway.nowhere:9090 HTTP/1.1\r\n"),
                "{head}"
            );
            client
                .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
                .await
                .expect("reads");
            let mut server = TcpStream::connect(target.address).await.expect("listens");
            tokio::io::copy_bidirectional(&mut client, &mut server)
                .await
                .ok();
        }
    });
    assert_eq!(outcome(&text("https", tunnels), Health::Up).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_unknown_type_is_read_where_the_job_says_how() {
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 4\r\n\r\na 1\n";
    let target = TestTarget::start(Act::Say(page.to_vec())).await;
    let keys = "  fallback_scrape_protocol: PrometheusText0.0.4\n";
    assert_eq!(outcome(&job(target.address, keys), Health::Up).await, "");
    let error = outcome(&job(target.address, ""), Health::Down).await;
    assert!(error.contains("set fallback_scrape_protocol"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dotted_names_arrive_as_they_are_and_odd_paths_are_escaped() {
    let target = Scripted::start(None, |head| match head.contains("escaping=allow-utf-8") {
        true => ok("{\"http.server.active_requests\"} 3\n"),
        false => ok("http_server_active_requests 3\n"),
    })
    .await;
    let running = server(&job(target.address, "  metrics_path: '/a b/ü'\n")).await;
    until(&running.app, "a scrape", |app| {
        app.scraper().states()[0].health() == Health::Up
    })
    .await;
    let found = value(running.addresses[0], "{\"http.server.active_requests\"}").await;
    assert_eq!(found, Some(3.0));
    assert!(
        target
            .last_head()
            .starts_with("get /a%20b/%c3%bc http/1.1\r\n")
    );
    running.stop().await;
}

/// A pod that became ready, or got an annotation, was another target: its history ended, and what reads it was held for a
/// minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_goes_on_whatever_else_discovery_says_of_it() {
    let (serving, loading) = (
        TestTarget::with_page("vllm:num_requests_waiting 3\n").await,
        TestTarget::start(Act::Reset).await,
    );
    let list: Arc<Mutex<Vec<u8>>> = Arc::default();
    let pods = |ready: &str, loading_ready: &str| {
        let pod = |target: &TestTarget, ready: &str| {
            let address = target.address.to_string();
            json!({"targets": [address], "labels": {"__meta_kubernetes_pod_ready": ready}})
        };
        json_answer(&json!([pod(&serving, ready), pod(&loading, loading_ready)]))
    };
    *list.lock() = pods("true", "false");
    let answers = Arc::clone(&list);
    let source = Scripted::start(None, move |_| answers.lock().clone()).await;
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: pods\n  http_sd_configs: [{{url: 'http://{}/list', refresh_interval: 50ms}}]\nsignals:\n- {{name: waiting, expr: 'sum(vllm:num_requests_waiting)'}}\n",
        source.address
    );
    let running = server(&text).await;
    let (app, address) = (&running.app, running.addresses[0]);
    let says = |wanted: &'static str| async move {
        let ask = "GET /signals/waiting HTTP/1.0\r\nHost: x\r\nAccept: application/json\r\n\r\n";
        let (_, _, body) = http(address, ask).await;
        let read: Value = serde_json::from_str(&body).unwrap_or_default();
        read["signals"][0]["state"] == wanted
    };
    eventually("the others answer, and this one is not ready", || {
        says("value")
    })
    .await;
    let before = state(app, &serving);
    let discovered = |target: &TestTarget, ready: &str| {
        let (authority, ready) = (target.address.to_string(), ready.to_owned());
        move |app: &stillwell::serve::App| {
            let active = app.targets().active;
            active.iter().any(|one| {
                let labels = &one.discovered;
                labels.get("__address__") == Some(authority.as_str())
                    && labels.get("__meta_kubernetes_pod_ready") == Some(ready.as_str())
            })
        }
    };
    *list.lock() = pods("false", "false");
    until(
        app,
        "the pod that serves is not ready",
        discovered(&serving, "false"),
    )
    .await;
    assert!(Arc::ptr_eq(&before, &state(app, &serving)), "it goes on");
    assert!(says("value").await);
    // Ready, and silent: whoever sends it requests waits there.
    *list.lock() = pods("true", "true");
    until(app, "the other is ready", discovered(&loading, "true")).await;
    eventually("its silence counts", || says("unknown")).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_come_and_go_while_others_go_on() {
    let (first, second) = (
        TestTarget::with_page("q 1\n").await,
        TestTarget::with_page("q 2\n").await,
    );
    let list: Arc<Mutex<Vec<u8>>> = Arc::default();
    let groups = |targets: &[&TestTarget]| {
        let targets: Vec<String> = targets.iter().map(|one| one.address.to_string()).collect();
        json_answer(&json!([{"targets": targets, "labels": {"pool": "p", "__meta_x": "y"}}]))
    };
    *list.lock() = groups(&[&first]);
    let answers = Arc::clone(&list);
    let source = Scripted::start(None, move |_| answers.lock().clone()).await;
    let files = Files::new("targets-discovery");
    files.write("a.yml", "- targets: ['drop:1']\n");
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: j\n  http_sd_configs: [{{url: 'http://{}/list', refresh_interval: 50ms}}]\n  file_sd_configs: [{{files: ['{}']}}]\n  relabel_configs:\n  - {{source_labels: [__address__], regex: 'drop.*', action: drop}}\n  - {{source_labels: [__meta_x], target_label: x}}\n  - {{target_label: __scrape_interval__, replacement: 40ms}}\n",
        source.address,
        files.write("a.yml", "- targets: ['drop:1']\n").display(),
    );
    let running = server(&text).await;
    let (app, address) = (&running.app, running.addresses[0]);
    let up = |target: &TestTarget| {
        let authority = target.address.to_string();
        move |app: &stillwell::serve::App| {
            let states = app.scraper().states();
            let mut of = states
                .iter()
                .filter(|state| state.target.url.authority == authority);
            of.any(|state| state.health() == Health::Up)
        }
    };
    // Before the first target nothing is scraped, so there is no scrape to wait for.
    eventually("the first target", || async { up(&first)(app) }).await;
    assert_eq!(
        value(address, "sum(q{pool=\"p\", x=\"y\"})").await,
        Some(1.0)
    );
    let targets = data(address, "/api/v1/targets").await;
    assert_eq!(
        targets["droppedTargets"][0]["discoveredLabels"]["__address__"],
        "drop:1"
    );
    assert_eq!(targets["droppedTargetCounts"]["j"], 1);
    assert_eq!(targets["activeTargets"][0]["scrapeInterval"], "40ms");
    let before = state(app, &first);

    *list.lock() = groups(&[&first, &second]);
    until(app, "the second target", up(&second)).await;
    assert!(
        Arc::ptr_eq(&before, &state(app, &first)),
        "the first one went on"
    );
    assert_eq!(value(address, "sum(q)").await, Some(3.0));

    *list.lock() = status(500, "no", "");
    eventually("the failure is known", || async {
        app.discovery()
            .states()
            .iter()
            .any(|source| source.problem.is_some())
    })
    .await;
    assert_eq!(app.targets().active.len(), 2, "the last list stays");

    *list.lock() = groups(&[&second]);
    until(app, "the first target is gone", |app| {
        app.targets().active.len() == 1
    })
    .await;
    eventually("its series end", || async {
        value(address, "sum(q)").await == Some(2.0)
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_do_not_resolve_delay_nobody() {
    let good = TestTarget::with_page("good 1\n").await;
    let dead: Vec<String> = (0..40).map(|n| format!("'gone-{n}.invalid:1'")).collect();
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}', {}]}}]\n",
        good.address,
        dead.join(", ")
    );
    let running = server(&text).await;
    until(&running.app, "twenty scrapes", |app| {
        state(app, &good).counts().scrapes >= 20
    })
    .await;
    assert_eq!(state(&running.app, &good).counts().failures, 0);
    running.stop().await;
}
