//! A bare selector yields one number until a second replica runs: what scalers get then, and what people are told.

use std::net::SocketAddr;

use crate::common::{TestTarget, eventually, get, server_of, settings, state, until};
use serde_json::Value;
use stillwell::serve::{ApiOptions, KedaOptions};
use stillwell_adapters::host::Health;
use stillwell_adapters::keda::{GetMetricsRequest, ScaledObjectRef};
use stillwell_keda_client::connect;
use tonic::Code;

fn page(waiting: u32) -> String {
    format!(
        "vllm:num_requests_waiting{{model_name=\"m\"}} {waiting}\nvllm:num_requests_running{{model_name=\"m\"}} 1\n"
    )
}

/// Code and body of `/guarded`.
async fn guarded(address: SocketAddr, query: &str) -> (u16, Value) {
    let (status, _, body) = get(address, &format!("/guarded/api/v1/query?query={query}")).await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

fn object(pairs: &[(&str, &str)]) -> ScaledObjectRef {
    let pairs = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    ScaledObjectRef {
        name: "llama".to_owned(),
        namespace: "serving".to_owned(),
        scaler_metadata: pairs.collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_numbers_are_an_error_that_says_what_to_write_or_what_was_asked_for() {
    let pods = [
        TestTarget::with_page(&page(4)).await,
        TestTarget::with_page(&page(7)).await,
    ];
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: vllm\n  static_configs: [{{targets: ['{}', '{}']}}]\n\
         signals:\n- {{name: waiting, expr: 'vllm:num_requests_waiting'}}\n",
        pods[0].address, pods[1].address
    );
    let apis = ApiOptions {
        listen: vec!["127.0.0.1:0".to_owned()],
        keda: Some(KedaOptions {
            address: "127.0.0.1:0".to_owned(),
            ..KedaOptions::default()
        }),
        ..ApiOptions::default()
    };
    let running = server_of(&text, settings(None), apis).await;
    let address = running.addresses[0];
    until(&running.app, "scrapes", |app| {
        pods.iter()
            .all(|pod| state(app, pod).health() == Health::Up)
    })
    .await;

    // /guarded: refused by default, with the label that differs and the fix; summed or the highest on request.
    let bare = "vllm:num_requests_waiting";
    let (code, body) = guarded(address, bare).await;
    let error = body["error"].as_str().unwrap_or("");
    assert_eq!((code, &body["errorType"]), (422, &Value::from("execution")));
    assert!(
        error.contains("2 elements, which differ in instance"),
        "{error}"
    );
    assert!(
        error.contains("sum()") && error.contains("multi=sum"),
        "{error}"
    );
    let (code, body) = guarded(address, "sum(").await;
    assert_eq!(code, 400, "{body}");
    for (query, value) in [
        (format!("{bare}&multi=sum"), "11"),
        (format!("{bare}&multi=max"), "7"),
        (format!("{bare}%20/%202%20%23%20half&multi=sum"), "5.5"),
        (format!("{bare}%20or%20vector(0)&multi=sum"), "11"),
    ] {
        let (code, body) = guarded(address, &query).await;
        assert_eq!(
            (code, &body["data"]["result"][0]["value"][1]),
            (200, &Value::from(value)),
            "{query} {body}"
        );
        assert_eq!(body["data"]["result"][1], Value::Null, "{query}");
    }
    let (code, body) = guarded(address, &format!("{bare}&multi=avg")).await;
    assert_eq!(code, 400, "{body}");

    // KEDA shows its user only the code: the reasons stand on /signals, and no such query as a healthy value.
    let (_, _, shown) = get(address, "/signals").await;
    let row = |start: &str| {
        let line = shown.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("{start} is not in {shown}"))
            .to_owned()
    };
    assert!(
        row("vllm:num_requests_waiting ").contains("unknown"),
        "{shown}"
    );
    let refused = shown.split_once("REFUSED BY /guarded").expect("a table").1;
    assert!(refused.contains("differ in instance"), "{refused}");
    assert!(
        refused.lines().any(|line| line.starts_with("sum( ")),
        "{refused}"
    );
    let (_, _, json) = get_json(address).await;
    assert_eq!(json["guardedRefusals"].as_array().map(Vec::len), Some(3));

    // The external scaler: the same, and the specification comes from the metadata alone.
    let mut keda = connect(running.keda_address.expect("it listens"))
        .await
        .expect("loopback");
    for (metadata, expected) in [
        (
            &[("query", bare), ("threshold", "5"), ("multi", "sum")][..],
            11.0,
        ),
        (
            &[("query", bare), ("threshold", "5"), ("multi", "max")],
            7.0,
        ),
        (
            &[("signal", "waiting"), ("threshold", "5"), ("multi", "sum")],
            11.0,
        ),
    ] {
        let request = GetMetricsRequest {
            scaled_object_ref: Some(object(metadata)),
            metric_name: "m".to_owned(),
        };
        let answer = keda.get_metrics(request).await.expect("a number");
        assert_eq!(
            answer.metric_values[0].metric_value_float, expected,
            "{metadata:?}"
        );
    }
    let several = keda
        .is_active(object(&[("query", bare), ("threshold", "5")]))
        .await;
    let status = several.expect_err("two numbers");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("`multi: sum`"),
        "{}",
        status.message()
    );
    for metadata in [
        &[("signal", "not_there"), ("threshold", "3")][..],
        &[("query", bare), ("threshold", "3")],
    ] {
        let specification = keda.get_metric_spec(object(metadata)).await;
        let specification = specification.unwrap_or_else(|status| panic!("{metadata:?}: {status}"));
        assert_eq!(specification.metric_specs[0].target_size_float, 3.0);
    }
    let missing = keda.get_metric_spec(object(&[("query", bare)])).await;
    assert_eq!(
        missing.expect_err("no threshold").code(),
        Code::InvalidArgument
    );

    // An outage of one replica is no smaller sum.
    pods[1].set(crate::common::Act::Reset);
    eventually("the outage is told", || async {
        guarded(address, &format!("{bare}&multi=sum")).await.0 == 503
    })
    .await;
    let (_, _, shown) = get(address, "/signals").await;
    assert!(shown.contains("fails since"), "{shown}");
    running.stop().await;
}

async fn get_json(address: SocketAddr) -> (u16, String, Value) {
    let request =
        "GET /signals HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    let (status, head, body) = crate::common::http(address, request).await;
    (status, head, serde_json::from_str(&body).expect("JSON"))
}
