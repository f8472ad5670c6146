//! What one peer sends, asks or fails to read stops nobody else: the kinds of load of `siege`, without its clock.

use std::net::SocketAddr;

use crate::common::{TestTarget, eventually, get, server_of, settings};
use stillwell::serve::{ApiOptions, KedaOptions, Running};
use stillwell_adapters::keda::ScaledObjectRef;
use stillwell_keda_client::connect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SIGNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/q";
/// More than a listener has places (512).
const CROWD: usize = 600;

/// 36,000 samples are sorted at each step: far from done when everything else of a test is.
const ENDLESS: &str = "quantile_over_time(0.5, vector(time() % 977)[1h:100ms])";

/// The same for one evaluation, over a subquery of such.
const GUARDED: &str =
    "sum(q) + sum(max_over_time(quantile_over_time(0.5, vector(time() % 977)[1h:100ms])[1h:1s]))";

async fn running() -> (TestTarget, Running) {
    let target = TestTarget::with_page("q{pool=\"p\"} 7\n").await;
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n\
         signals:\n- {{name: q, expr: sum(q)}}\nexternal_metrics: {{insecure: true}}\n",
        target.address
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
    eventually("a number", || async { get(address, SIGNAL).await.0 == 200 }).await;
    (target, running)
}

/// The HPA reads, and the gateway is scraped, both several times.
async fn all_is_well(target: &TestTarget, address: SocketAddr) {
    let scrapes = target.requests();
    for _ in 0..20 {
        let (status, _, body) = get(address, SIGNAL).await;
        assert!(status == 200 && body.contains("\"value\":\"7\""), "{body}");
    }
    eventually("scrapes", || async { target.requests() > scrapes + 3 }).await;
}

/// Sends a request and does not wait for its answer.
async fn send(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

fn encoded(query: &str) -> String {
    let mut text = String::new();
    stillwell::http_client::encode_query(query, &mut text);
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_an_hpa_wait_for_no_query() {
    let (target, running) = running().await;
    let address = running.addresses[0];
    let range = "start=1000000&end=1010000&step=1";
    let path = format!("/api/v1/query_range?query={}&{range}", encoded(ENDLESS));
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(send(address, &path).await);
    }
    all_is_well(&target, address).await;
    // They were all still at it: not one has its answer.
    for client in &clients {
        let mut byte = [0];
        let read = client.try_read(&mut byte);
        assert!(
            read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "a query has ended: it must take longer for this test to say something"
        );
    }
    // Their places are free once they have left.
    drop(clients);
    eventually("a place for a query", || async {
        get(address, "/api/v1/query?query=q").await.0 == 200
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarded_queries_that_are_given_up_free_their_places() {
    let (target, running) = running().await;
    let address = running.addresses[0];
    let path = format!("/guarded/api/v1/query?query={}", encoded(GUARDED));
    for _ in 0..20 {
        drop(send(address, &path).await);
    }
    all_is_well(&target, address).await;
    eventually("a place for a guarded query", || async {
        get(address, "/guarded/api/v1/query?query=sum(q)%2B1")
            .await
            .0
            == 200
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_ask_guarded_displaces_no_signal() {
    let (target, running) = running().await;
    let address = running.addresses[0];
    for number in 0..CROWD {
        let path = format!("/guarded/api/v1/query?query=sum(q)%2B{number}");
        let (status, _, body) = get(address, &path).await;
        assert!(status == 200, "{number}: {status} {body}");
    }
    all_is_well(&target, address).await;
    let (_, _, page) = get(address, "/signals/q").await;
    assert!(page.contains("value"), "{page}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_make_room() {
    let (target, running) = running().await;
    let address = running.addresses[0];
    let keda = running.keda_address.expect("a port for KEDA");
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(address).await.expect("taken"));
        crowd.push(TcpStream::connect(keda).await.expect("taken"));
    }
    all_is_well(&target, address).await;
    let mut client = connect(keda).await.expect("HTTP/2");
    let reference = |namespace: &str| ScaledObjectRef {
        name: "pool".to_owned(),
        namespace: namespace.to_owned(),
        scaler_metadata: [("signal", "q"), ("threshold", "1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    };
    assert!(
        client
            .is_active(reference("default"))
            .await
            .expect("answered")
    );
    // A stranger under a thousand invented namespaces takes nothing from who was there.
    for number in 0..1_000 {
        client
            .is_active(reference(&format!("invented-{number}")))
            .await
            .ok();
    }
    assert!(
        client
            .is_active(reference("default"))
            .await
            .expect("still answered")
    );
    all_is_well(&target, address).await;
    drop(crowd);
    running.stop().await;
}

/// 2,000 halves of requests displaced connections of HPAs that had been answered 20 ms before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_of_requests_displace_only_each_other() {
    let (_target, running) = running().await;
    let address = running.addresses[0];
    let mut hpa = TcpStream::connect(address).await.expect("taken");
    let mut read = async || {
        let request = format!("GET {SIGNAL} HTTP/1.1\r\nHost: x\r\n\r\n");
        hpa.write_all(request.as_bytes()).await.expect("open");
        let mut answer = Vec::new();
        while !answer.trim_ascii_end().ends_with(b"}]}") {
            let mut part = [0; 4096];
            let len = hpa.read(&mut part).await.expect("open");
            assert_ne!(len, 0, "the connection has ended");
            answer.extend_from_slice(&part[..len]);
        }
    };
    read().await;
    read().await;
    let mut crowd = Vec::new();
    // The form is waited for; without it the request is wrong, and answered at once.
    let of_form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for more in [of_form, ""].iter().cycle().take(2 * CROWD) {
        let mut one = TcpStream::connect(address).await.expect("taken");
        let half = format!(
            "POST /api/v1/query HTTP/1.1\r\nHost: x\r\n{more}Content-Length: 100\r\n\r\nquery="
        );
        // Whoever was displaced already has nobody to send to.
        one.write_all(half.as_bytes()).await.ok();
        crowd.push(one);
    }
    // Answered, so all that came before was taken.
    assert_eq!(get(address, "/-/healthy").await.0, 200);
    read().await;
    running.stop().await;
}

/// A body of which nothing ever comes.
struct NeverComes;

impl hyper::body::Body for NeverComes {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// 20 connections with 5,000 requests each, of which only the headers came, took 561 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_requests_whose_message_never_comes_a_connection_has_few() {
    const SENT: usize = 200;
    const TAKEN: usize = 64;
    let (_target, running) = running().await;
    let keda = running.keda_address.expect("a port for KEDA");
    let stream = TcpStream::connect(keda).await.expect("taken");
    let executor = hyper_util::rt::TokioExecutor::new();
    let stream = hyper_util::rt::TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(executor, stream)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..SENT {
        let mut sender = sender.clone();
        let request =
            axum::http::Request::post("http://stillwell/externalscaler.ExternalScaler/IsActive")
                .header("content-type", "application/grpc")
                .body(NeverComes)
                .expect("a request");
        answers.spawn(async move { sender.send_request(request).await });
    }
    for _ in TAKEN..SENT {
        let answer = answers.join_next().await.expect("an answer");
        let answer = answer.expect("no panic").expect("refused, not cut");
        assert_eq!(answer.headers()["grpc-status"], "8", "{answer:?}");
    }
    // Whoever sends whole requests is answered meanwhile.
    let mut client = connect(keda).await.expect("HTTP/2");
    let unknown = client.is_active(ScaledObjectRef::default()).await;
    assert_eq!(
        unknown.expect_err("no trigger").code(),
        tonic::Code::InvalidArgument
    );
    drop(answers);
    running.stop().await;
}
