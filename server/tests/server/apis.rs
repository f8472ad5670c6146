//! The APIs over real sockets: paths, methods, encodings, signals, lifetime.

use crate::common::{
    Act, TestTarget, data, get, http, server, server_with, settings, state, until,
};
use serde_json::{Value, json};
use stillwell::serve::web::WebOptions;
use stillwell_adapters::host::Health;

fn config(target: &TestTarget) -> String {
    format!(
        r#"
global: {{scrape_interval: 20ms}}
scrape_configs:
- job_name: epp
  static_configs: [{{targets: ['{}']}}]
signals:
- {{name: igw_queue_depth, expr: 'sum(q)', hold: 1ms}}
- {{name: held, expr: 'sum(q)', hold: 1h}}
- {{name: by_pool, expr: 'sum by (pool) (q)', labels: {{team: a}}}}
- {{name: typo, expr: 'sum(qq)'}}
- {{name: private, expr: 'sum(q)', namespaces: [team-a]}}
external_metrics: {{insecure: true}}
"#,
        target.address
    )
}

const PAGE: &str = "# HELP q Queue.\n# TYPE q gauge\nq{pool=\"a\"} 2\nq{pool=\"b\"} 0.5\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_prometheus_api_takes_what_its_clients_send() {
    let target = TestTarget::with_page(PAGE).await;
    let running = server(&config(&target)).await;
    let address = running.addresses[0];
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    for path in [
        "/api/v1/query?query=sum(q)",
        "//api/v1/query?query=sum(q)",
        "/api/v1/query/?query=sum(q)",
    ] {
        assert_eq!(
            data(address, path).await["result"][0]["value"][1],
            "2.5",
            "{path}"
        );
    }
    let body = "query=sum%28q%29+%2B+1&time=4";
    let post = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, head, answer) = http(address, &post).await;
    assert_eq!(
        (status, head.contains("content-type: application/json")),
        (200, true)
    );
    assert_eq!(
        answer, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        "nothing at that time"
    );
    let grafana = data(address, "/api/v1/query?query=1%2B1&time=4").await;
    assert_eq!(grafana, json!({"resultType": "scalar", "result": [4, "2"]}));
    assert_eq!(
        data(address, "/api/v1/label/U__pool/values").await,
        json!(["a", "b"])
    );
    assert_eq!(
        data(address, "/api/v1/series?match[]=q{pool=%22a%22}").await[0]["pool"],
        "a"
    );
    assert_eq!(
        data(address, "/api/v1/status/buildinfo").await["revision"],
        "stillwell-0.1.0"
    );
    assert!(
        data(address, "/api/v1/status/tsdb").await["headStats"]["numSeries"].as_u64() > Some(2)
    );
    assert_eq!(data(address, "/api/v1/rules").await, json!({"groups": []}));
    assert_eq!(
        data(address, "/api/v1/metadata?metric=q").await["q"][0]["type"],
        "gauge"
    );
    let names = data(address, "/api/v1/labels").await;
    assert!(
        names
            .as_array()
            .is_some_and(|names| names.contains(&json!("pool"))),
        "{names}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_prometheus_codes_and_types() {
    let running = server("global: {}\n").await;
    let address = running.addresses[0];
    let too_many = format!("/api/v1/series?{}", "match[]=x&".repeat(501));
    for (path, code, kind, says) in [
        (
            "/api/v1/query?query=sum(",
            400,
            "bad_data",
            "invalid parameter \"query\": ",
        ),
        (
            "/api/v1/query?query=up&time=x",
            400,
            "bad_data",
            "cannot parse \"x\" to a valid timestamp",
        ),
        (
            "/api/v1/query?query=up&timeout=x",
            400,
            "bad_data",
            "invalid parameter \"timeout\"",
        ),
        (
            "/api/v1/query?query=up&limit=x",
            400,
            "bad_data",
            "invalid parameter \"limit\"",
        ),
        (
            "/api/v1/query_range?query=up&start=2&end=1&step=1",
            400,
            "bad_data",
            "end timestamp must not be before start time",
        ),
        (
            "/api/v1/query_range?query=up&start=1&end=2&step=0",
            400,
            "bad_data",
            "zero or negative query resolution",
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=11001&step=1",
            400,
            "bad_data",
            "11,000 points",
        ),
        (
            "/guarded/api/v1/query?query=up[5m]",
            422,
            "execution",
            "the query yields a range vector, and a scaler reads one number",
        ),
        (
            "/api/v1/query?query=1%2Brate(up)",
            400,
            "bad_data",
            "1:8: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "/api/v1/series",
            400,
            "bad_data",
            "no match[] parameter provided",
        ),
        (
            &too_many,
            400,
            "bad_data",
            "too many match[] parameters: 501",
        ),
        (
            "/api/v1/series?match[]=sum(x)",
            400,
            "bad_data",
            "invalid parameter \"match[]\"",
        ),
    ] {
        let (status, _, body) = get(address, path).await;
        let answer: Value =
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        assert_eq!(
            (status, &answer["status"], &answer["errorType"]),
            (code, &json!("error"), &json!(kind)),
            "{path}"
        );
        let message = answer["error"].as_str().unwrap_or("");
        assert!(message.contains(says), "{path}: {message}");
    }
    assert_eq!(get(address, "/api/v1/nothing").await.0, 404);
    assert_eq!(
        http(
            address,
            "PUT /api/v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .await
        .0,
        405
    );
    assert_eq!(get(address, "/nothing").await.0, 404);
    assert_eq!(get(address, "/nothing").await.2, "404 page not found\n");
    running.stop().await;
}

/// What clients of Prometheus, its links and people with curl send beside the usual.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_in_other_forms_is_answered_as_by_prometheus() {
    let running = server("global: {}\n").await;
    let address = running.addresses[0];
    let body = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\n1 + 1\r\n--b--\r\n";
    let posted = http(
        address,
        &format!(
            "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await;
    assert!(posted.0 == 200 && posted.2.contains("\"2\""), "{posted:?}");
    for (method, path, code, allowed) in [
        ("PUT", "/api/v1/query", 405, "GET, HEAD, OPTIONS, POST"),
        ("POST", "/api/v1/targets", 405, "GET, HEAD, OPTIONS"),
        (
            "PUT",
            "/guarded/api/v1/query",
            405,
            "GET, HEAD, OPTIONS, POST",
        ),
        ("GET", "/api/v1/write", 405, "POST"),
        ("GET", "/api/v1/read", 405, "POST"),
        ("GET", "/api/v1/otlp/v1/metrics", 405, "POST"),
        (
            "GET",
            "/api/v1/admin/tsdb/snapshot",
            405,
            "OPTIONS, POST, PUT",
        ),
        ("POST", "/metrics", 405, "GET,HEAD"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (status, head, _) = http(address, &request).await;
        assert_eq!(status, code, "{method} {path}");
        assert!(
            head.contains(&format!("allow: {}\r\n", allowed.to_lowercase())),
            "{method} {path}: {head}"
        );
    }
    let request =
        "POST /api/v1/admin/tsdb/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (status, _, body) = http(address, request).await;
    let says = r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#;
    assert_eq!((status, body.as_str()), (503, says));
    for path in [
        "/api/v1/series?match[]=up&start=1&end=0",
        "/api/v1/labels?start=1&end=0",
        "/api/v1/label/job/values?start=1&end=0",
    ] {
        let (status, _, body) = get(address, path).await;
        assert_eq!(
            (status, body.as_str()),
            (200, r#"{"status":"success","data":[]}"#),
            "{path}"
        );
    }
    for (path, to) in [
        ("/targets", "./#/gateways"),
        ("/alerts", "./#/rules"),
        ("/rules", "./#/rules"),
        ("/config", "./#/status"),
        ("/status", "./#/status"),
        ("/query?g0.expr=up", "./#/query?expr=up"),
    ] {
        let (status, head, _) = get(address, path).await;
        assert_eq!(status, 302, "{path}");
        assert!(
            head.contains(&format!("location: {to}\r\n")),
            "{path}: {head}"
        );
    }
    let (status, _, body) = get(address, "/debug/pprof/").await;
    assert!(
        status == 200 && body.contains("/debug/pprof/heap"),
        "{body}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_are_numbers_or_errors_and_never_a_made_up_zero() {
    let target = TestTarget::with_page(PAGE).await;
    let running = server(&config(&target)).await;
    let address = running.addresses[0];
    let metric =
        |name: &str| format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/default/{name}");
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    let (status, _, body) = get(address, &metric("igw_queue_depth")).await;
    let list: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &list["items"][0]["value"]), (200, &json!("2500m")));
    let (_, _, body) = get(address, &metric("by_pool?labelSelector=pool%3Db")).await;
    let list: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        list["items"][0]["metricLabels"],
        json!({"pool": "b", "team": "a"})
    );
    for (name, code, says) in [
        ("typo", 503, "never seen"),
        ("private", 403, "namespace default"),
        ("absent", 404, "there are by_pool, held, igw_queue_depth"),
    ] {
        let (status, head, body) = get(address, &metric(name)).await;
        assert_eq!(status, code, "{name}: {body}");
        assert!(
            body.contains(says) && !head.contains("retry-after"),
            "{name}: {body}"
        );
    }
    target.set(Act::Reset);
    until(&running.app, "a failure", |app| {
        state(app, &target).health() == Health::Down
    })
    .await;
    let (status, _, body) = get(address, &metric("igw_queue_depth")).await;
    assert_eq!(status, 503, "{body}");
    let address_of_target = target.address.to_string();
    assert!(
        body.contains(&address_of_target),
        "the reason names the target: {body}"
    );
    let (status, _, body) = get(address, &metric("held")).await;
    let list: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &list["items"][0]["value"]),
        (200, &json!("2500m")),
        "told for an hour: {body}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_lifecycle_prefix_and_own_metrics() {
    let target = TestTarget::with_page(PAGE).await;
    let web = WebOptions {
        route_prefix: "/pre".to_owned(),
        ..WebOptions::default()
    };
    let running = server_with(&config(&target), settings(None), web).await;
    let address = running.addresses[0];
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    assert_eq!(get(address, "/-/healthy").await.0, 404);
    assert_eq!(get(address, "/pre/-/healthy").await.0, 200);
    assert_eq!(get(address, "/pre/-/ready").await.0, 200);
    let (_, _, page) = get(address, "/pre/metrics").await;
    assert!(page.contains("\nstillwell_targets_up 1\n"), "{page}");
    assert_eq!(
        data(address, "/pre/api/v1/query?query=1").await["resultType"],
        "scalar"
    );
    let post =
        "POST /pre/-/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (status, _, body) = http(address, post).await;
    assert_eq!(
        (status, body.as_str()),
        (403, "Lifecycle API is not enabled.\n")
    );
    let head = "HEAD /pre/-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(http(address, head).await.0, 200);
    running.stop().await;

    let web = WebOptions {
        lifecycle: true,
        ..WebOptions::default()
    };
    let running = server_with("global: {}\n", settings(None), web).await;
    let mut quitting = running.quitting();
    let post = "POST /-/quit HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(http(running.addresses[0], post).await.0, 200);
    assert!(quitting.wait_for(|quit| *quit).await.is_ok());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_gzipped_and_origins_allowed_when_asked() {
    let pools: String = (0..200)
        .map(|pool| format!("q{{pool=\"{pool}\"}} 1\n"))
        .collect();
    let target = TestTarget::with_page(&pools).await;
    let running = server(&config(&target)).await;
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    let request = "GET /api/v1/query?query=q HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\nOrigin: http://grafana\r\n\r\n";
    let (status, head, _) = http(running.addresses[0], request).await;
    assert_eq!(status, 200);
    for line in [
        "content-encoding: gzip",
        "access-control-allow-origin: http://grafana",
    ] {
        assert!(head.contains(line), "{head}");
    }
    running.stop().await;
}
