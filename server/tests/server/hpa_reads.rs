//! A thousand HPAs' reads over a few kept TLS connections, as the API server makes them: each is answered, in protobuf
//! and whole, while the gateway is scraped. How fast is measured by `hpa_load` in the benches, not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::certificates::{Authority, Files, SERVICE, connect};
use crate::common::{TestTarget, secure_server};
use stillwell::serve::secure::SecureOptions;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

const HPAS: usize = 1_000;
/// The HPA controller's workers.
const WORKERS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hpas_are_answered_over_kept_connections() {
    let target = TestTarget::with_page("q{inference_pool=\"p\"} 7\n").await;
    let files = Files::new("hpa-reads");
    let (serving, front) = (Authority::new("serving"), Authority::new("front"));
    let pair = serving.server(SERVICE);
    let options = SecureOptions {
        address: "127.0.0.1:0".to_owned(),
        certificate: Some(files.serve(&pair)),
        request_header_ca: Some(files.write("front.crt", &front.certificate.pem())),
        ..SecureOptions::default()
    };
    let running = secure_server(&target, options).await;
    let address = running.secure_address.expect("a secure listener");
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let proxy = front.client("front-proxy-client", &[], false);
        let stream = connect(address, &serving.der(), Some(&proxy)).await;
        let (next, mut stream) = (Arc::clone(&next), BufReader::new(stream.expect("TLS")));
        workers.push(tokio::spawn(async move {
            let mut answered = 0;
            loop {
                let hpa = next.fetch_add(1, Ordering::Relaxed);
                if hpa >= HPAS {
                    return answered;
                }
                let request = format!(
                    "GET /apis/external.metrics.k8s.io/v1beta1/namespaces/team-{hpa}/q HTTP/1.1\r\nHost: x\r\n\
                     Accept: application/vnd.kubernetes.protobuf, */*\r\nX-Remote-User: hpa\r\n\r\n"
                );
                stream
                    .get_mut()
                    .write_all(request.as_bytes())
                    .await
                    .expect("kept");
                let (mut head, mut line) = (String::new(), String::new());
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await.expect("a head");
                    head += &line.to_ascii_lowercase();
                }
                assert!(head.starts_with("http/1.1 200"), "{head}");
                assert!(head.contains("content-type: application/vnd.kubernetes.protobuf"), "{head}");
                let (_, length) = head.split_once("content-length: ").expect("a length");
                let (length, _) = length.split_once('\r').expect("a line");
                let mut body = vec![0; length.parse().expect("a number")];
                stream.read_exact(&mut body).await.expect("a body");
                assert!(body.starts_with(b"k8s\0"));
                answered += 1;
            }
        }));
    }
    let mut answered = 0;
    for worker in workers {
        answered += worker.await.expect("no worker panics");
    }
    assert_eq!(answered, HPAS);
    running.stop().await;
}
