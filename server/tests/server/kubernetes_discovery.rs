//! Targets from an API server of ours: listed, watched, lost from sight, listed again.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::common::{TestTarget, eventually, server, state, until, value};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stillwell::serve::App;
use stillwell_adapters::host::{Health, Host};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// As much of an API server as a watch of pods needs.
#[derive(Clone)]
struct ApiServer {
    address: SocketAddr,
    pods: Arc<Mutex<Vec<Value>>>,
    events: broadcast::Sender<Option<Value>>,
    requests: Arc<Mutex<Vec<String>>>,
    away: Arc<Mutex<bool>>,
}

impl ApiServer {
    async fn start() -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let server = ApiServer {
            address: listener.local_addr().expect("bound"),
            pods: Arc::default(),
            events: broadcast::channel(64).0,
            requests: Arc::default(),
            away: Arc::default(),
        };
        let served = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().connection(stream));
            }
        });
        server
    }

    async fn connection(self, mut stream: TcpStream) {
        while let Some(head) = crate::common::read_head(&mut stream).await {
            let path = head.split(' ').nth(1).unwrap_or("").to_owned();
            self.requests.lock().push(head);
            if *self.away.lock() {
                return;
            }
            if path.contains("watch=") {
                return self.watch(stream).await;
            }
            let list = json!({
                "kind": "PodList", "apiVersion": "v1",
                "metadata": {"resourceVersion": "1"}, "items": *self.pods.lock(),
            });
            let body = list.to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn watch(self, mut stream: TcpStream) {
        let mut events = self.events.subscribe();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.ok();
        // `None` ends the connection in the middle of the stream.
        while let Ok(Some(event)) = events.recv().await {
            let line = format!("{event}\n");
            let chunk = format!("{:x}\r\n{line}\r\n", line.len());
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn watches(&self) -> usize {
        self.events.receiver_count()
    }
}

fn pod(name: &str, target: &TestTarget) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "llm", "resourceVersion": "2", "labels": {"app": "epp"}},
        "spec": {"containers": [{"name": "epp", "ports": [{"name": "metrics", "containerPort": target.address.port()}]}]},
        "status": {"podIP": "127.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn names(app: &App) -> Vec<String> {
    let targets = app.targets().active;
    let names = targets.iter().filter_map(|target| target.labels.get("pod"));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort(); // targets are sorted by their instance, whose port is any
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_followed_and_an_api_server_that_is_away_changes_nothing() {
    let (first, second) = (
        TestTarget::with_page("q 1\n").await,
        TestTarget::with_page("q 2\n").await,
    );
    let cluster = ApiServer::start().await;
    cluster.pods.lock().push(pod("one", &first));
    let text = format!(
        r#"
global: {{scrape_interval: 20ms}}
scrape_configs:
- job_name: epp
  kubernetes_sd_configs:
  - {{api_server: 'http://{}', role: pod, bearer_token: secret-token, namespaces: {{names: [llm]}}, selectors: [{{role: pod, label: app=epp}}]}}
  relabel_configs:
  - {{source_labels: [__meta_kubernetes_pod_container_port_name], regex: metrics, action: keep}}
  - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
  - {{source_labels: [__meta_kubernetes_pod_ready], target_label: ready}}
"#,
        cluster.address
    );
    let running = server(&text).await;
    let (app, address) = (&running.app, running.addresses[0]);
    eventually("the first pod", || async {
        value(address, "q").await == Some(1.0)
    })
    .await;
    let asked = cluster.requests.lock()[0].clone();
    assert!(
        asked.starts_with("GET /api/v1/namespaces/llm/pods?"),
        "{asked}"
    );
    assert!(asked.contains("labelSelector=app%3Depp"), "{asked}");
    assert!(
        asked
            .to_ascii_lowercase()
            .contains("authorization: bearer secret-token"),
        "{asked}"
    );
    let before = state(app, &first);

    eventually("a watch", || async { cluster.watches() == 1 }).await;
    let event = |kind: &str, object: Value| Some(json!({"type": kind, "object": object}));
    let send = |event: Option<Value>| cluster.events.send(event).expect("a watch");
    send(event("ADDED", pod("two", &second)));
    until(app, "the second pod", |app| {
        names(app) == ["one", "two"] && state(app, &second).health() == Health::Up
    })
    .await;
    assert_eq!(value(address, "sum(q)").await, Some(3.0));

    let mut unready = pod("two", &second);
    unready["status"]["conditions"][0]["status"] = json!("False");
    send(event("MODIFIED", unready));
    eventually("the change shows", || async {
        value(address, "q{pod=\"two\", ready=\"false\"}")
            .await
            .is_some()
    })
    .await;

    // The place is lost: the list is read again, and what it no longer holds is gone.
    *cluster.pods.lock() = vec![pod("one", &first)];
    let lost = json!({"kind": "Status", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410});
    send(event("ERROR", lost));
    until(app, "the second pod is gone", |app| names(app) == ["one"]).await;

    // The first watch waits for an event before it notices that nobody reads it.
    eventually("a watch", || async { cluster.watches() == 2 }).await;
    *cluster.away.lock() = true;
    send(None);
    eventually("the loss is known", || async {
        app.discovery()
            .states()
            .iter()
            .any(|source| source.problem.is_some())
    })
    .await;
    let scrapes = before.counts().scrapes;
    until(app, "the first pod goes on", |_| {
        before.counts().scrapes > scrapes + 5
    })
    .await;
    assert_eq!(names(app), ["one"]);
    assert!(
        Arc::ptr_eq(&before, &state(app, &first)),
        "it was never let go"
    );

    *cluster.away.lock() = false;
    *cluster.pods.lock() = vec![pod("one", &first), pod("two", &second)];
    // By a list or, where the watch goes on from its place, by an event.
    eventually("both pods again", || async {
        cluster
            .events
            .send(event("ADDED", pod("two", &second)))
            .ok();
        names(app).len() == 2
    })
    .await;
    eventually("no problem is left", || async {
        app.discovery()
            .states()
            .iter()
            .all(|source| source.problem.is_none())
    })
    .await;
    running.stop().await;
}
