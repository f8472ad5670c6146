//! The demonstration: what its page lets people do happens, and the signals say so.

use std::net::SocketAddr;

use crate::common::demo::demo;
use crate::common::{eventually, get, http};
use serde_json::Value;

async fn signal(address: SocketAddr) -> Option<Value> {
    if tokio::net::TcpStream::connect(address).await.is_err() {
        return None;
    }
    let request =
        "GET /signals/igw_queue_depth HTTP/1.0\r\nHost: x\r\nAccept: application/json\r\n\r\n";
    let (_, _, body) = http(address, request).await;
    let answer: Value = serde_json::from_str(&body).ok()?;
    answer["signals"].get(0).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_turns_the_signal_and_a_restart_is_told() {
    let (_demo, address) = demo("90s");
    let is = |wanted: &'static [&'static str]| async move {
        let state = signal(address).await.map(|signal| signal["state"].clone());
        state.is_some_and(|state| wanted.iter().any(|wanted| state == *wanted))
    };
    eventually("a value", || is(&["value"])).await;
    let (_, _, list) = get(address, "/demo").await;
    assert!(
        list.contains("\"name\":\"outage\"") && list.contains("\"name\":\"wake\""),
        "{list}"
    );
    let trigger = async |name: &str| {
        let request = format!(
            "POST /demo/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        http(address, &request).await
    };
    assert_eq!(trigger("outage").await.0, 200);
    eventually("no number may be told", || is(&["unknown"])).await;
    eventually("the gateway is back", || is(&["value", "held"])).await;
    assert_eq!(trigger("restart").await.0, 200);
    eventually("the number of before is held", || is(&["held", "unknown"])).await;
    let (status, _, why) = trigger("party").await;
    assert!(
        status == 404 && why.contains("outage, restart, wake"),
        "{why}"
    );
    assert_eq!(get(address, "/demo/outage").await.0, 405);
}
