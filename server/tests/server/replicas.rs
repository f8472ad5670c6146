//! Two replicas behind one Service during a rolling update: no reader is told an error that the other replica could have
//! answered, a push stream that ends is taken up by the other, and both say the same once they have scraped the same page.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::process::Process;
use crate::common::{TestTarget, eventually, get, say};
use parking_lot::Mutex;
use serde_json::Value;
use stillwell_adapters::keda::ScaledObjectRef;
use stillwell_keda_client::connect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const HPA: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/depth";
const GUARDED: &str =
    "/guarded/api/v1/query?query=sum(inference_extension_flow_control_queue_size)";

/// A replica as its Service knows it.
struct Endpoint {
    web: SocketAddr,
    keda: SocketAddr,
    /// What the newest probe that has ended said.
    is_ready: AtomicBool,
    /// Told to end: whoever is sent to it before a probe that began later has ended cannot be blamed on it.
    is_ending: AtomicBool,
    /// A probe has begun after that, and has ended.
    ending_was_probed: AtomicBool,
}

impl Endpoint {
    async fn probe(&self) {
        let is_ending = self.is_ending.load(Ordering::SeqCst);
        let status = status(self.web, "/-/ready").await;
        self.is_ready.store(status == Some(200), Ordering::SeqCst);
        if is_ending {
            self.ending_was_probed.store(true, Ordering::SeqCst);
        }
    }

    /// Whether the Service cannot know yet that it ends.
    fn is_ending_unseen(&self) -> bool {
        self.is_ending.load(Ordering::SeqCst) && !self.ending_was_probed.load(Ordering::SeqCst)
    }
}

/// What a Service does: each new connection goes to one of the endpoints that were ready at their last probe.
#[derive(Clone)]
struct Service {
    endpoints: Arc<Mutex<Vec<Arc<Endpoint>>>>,
    next: Arc<AtomicUsize>,
}

impl Service {
    fn new() -> Service {
        let service = Service {
            endpoints: Arc::default(),
            next: Arc::default(),
        };
        let probing = service.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            loop {
                ticks.tick().await;
                let endpoints = probing.endpoints.lock().clone();
                for endpoint in endpoints {
                    endpoint.probe().await;
                }
            }
        });
        service
    }

    fn choose(&self) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints.lock();
        let is_ready = |endpoint: &&Arc<Endpoint>| endpoint.is_ready.load(Ordering::SeqCst);
        let ready: Vec<_> = endpoints.iter().filter(is_ready).collect();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let at = turn.checked_rem(ready.len())?;
        Some(Arc::clone(ready[at]))
    }

    /// Takes connections to the port of KEDA.
    async fn listen_for_keda(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let chosen = service.choose();
                tokio::spawn(async move {
                    let Some(endpoint) = chosen else { return };
                    if let Ok(mut far) = TcpStream::connect(endpoint.keda).await {
                        copy_bidirectional(&mut near, &mut far).await.ok(); // either end may go
                    }
                });
            }
        });
        address
    }
}

/// The status and body of a GET; `None` where nobody answers to the end.
async fn asked(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

async fn status(address: SocketAddr, path: &str) -> Option<u16> {
    asked(address, path).await.map(|(status, _)| status)
}

fn number(path: &str, body: &str) -> Option<u64> {
    let answer: Value = serde_json::from_str(body).ok()?;
    let place = match path {
        HPA => "/items/0/value",
        _ => "/data/result/0/value/1",
    };
    answer.pointer(place)?.as_str()?.parse().ok()
}

/// The page's number, and the one that every replica has told.
struct Queue {
    target: TestTarget,
    shown: AtomicU64,
    settled: AtomicU64,
}

impl Queue {
    async fn start() -> Queue {
        let queue = Queue {
            target: TestTarget::with_page("").await,
            shown: AtomicU64::new(100),
            settled: AtomicU64::new(100),
        };
        queue.show(100);
        queue
    }

    fn show(&self, number: u64) {
        // Counted first: whoever is told the number finds it counted.
        self.shown.store(number, Ordering::SeqCst);
        self.target.set_page(&format!(
            "process_start_time_seconds 1700000000\n# TYPE inference_extension_flow_control_queue_size gauge\n\
             inference_extension_flow_control_queue_size{{inference_pool=\"p\"}} {number}\n"
        ));
    }

    /// Shows the next number, and waits until all of these tell it.
    async fn step(&self, service: &Service) {
        let number = self.shown.load(Ordering::SeqCst) + 1;
        self.show(number);
        let endpoints = service.endpoints.lock().clone();
        for endpoint in endpoints {
            eventually("both to say the same", || async {
                let answer = asked(endpoint.web, HPA).await;
                answer.is_some_and(|(status, body)| {
                    status == 200 && self::number(HPA, &body) == Some(number)
                })
            })
            .await;
        }
        self.settled.store(number, Ordering::SeqCst);
    }
}

/// Reads through the Service until told to stop. Answers how many numbers were told.
async fn read(service: Service, queue: Arc<Queue>, quit: Arc<AtomicBool>) -> u64 {
    let mut told = 0;
    while !quit.load(Ordering::SeqCst) {
        for path in [HPA, GUARDED] {
            let least = queue.settled.load(Ordering::SeqCst);
            let endpoint = service.choose().expect("one of the two is always ready");
            let may_fail = endpoint.is_ending_unseen();
            let answer = asked(endpoint.web, path).await;
            let most = queue.shown.load(Ordering::SeqCst);
            let number = answer.as_ref().and_then(|(_, body)| number(path, body));
            let is_ok = matches!(answer, Some((200, _)));
            assert!(is_ok || may_fail, "{path}: {answer:?} of {}", endpoint.web);
            if let Some(number) = number.filter(|_| is_ok) {
                assert!(
                    (least..=most).contains(&number),
                    "{path}: {number}, not {least} to {most}"
                );
                told += 1;
            }
        }
    }
    told
}

/// Keeps a push stream open through the Service as KEDA does: when it ends it is opened again. Counts messages and streams.
async fn stream(address: SocketAddr, messages: Arc<AtomicUsize>, streams: Arc<AtomicUsize>) {
    let reference = ScaledObjectRef {
        name: "llama".to_owned(),
        namespace: "ns".to_owned(),
        scaler_metadata: [("signal", "depth"), ("threshold", "1"), ("latch", "0")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    };
    loop {
        let Ok(mut client) = connect(address).await else {
            continue;
        };
        let Ok(mut stream) = client.stream_is_active(reference.clone()).await else {
            continue;
        };
        streams.fetch_add(1, Ordering::SeqCst);
        // OK at its end: KEDA connects again at once. Anything else would make it wait.
        while let Some(message) = stream.message().await.expect("streams end with OK") {
            assert!(message.result, "requests are queued all the time");
            messages.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Where replicas keep what they need.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn start(folder: &Folder, name: &str) -> (Process, Arc<Endpoint>) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let keda = free.local_addr().expect("bound");
    drop(free);
    let flag = format!("--keda.listen-address={keda}");
    let (config, storage) = (folder.0.join("config.yml"), folder.0.join(name));
    let flags = [flag.as_str(), "--storage.snapshot-interval=1s"];
    let (process, web) = Process::start_with(&config, &storage, &flags);
    let endpoint = Endpoint {
        web,
        keda,
        is_ready: AtomicBool::new(false),
        is_ending: AtomicBool::new(false),
        ending_was_probed: AtomicBool::new(false),
    };
    (process, Arc::new(endpoint))
}

async fn ready(endpoint: &Endpoint) {
    eventually("a replica to be ready", || async {
        endpoint.is_ready.load(Ordering::SeqCst)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_of_two_replicas_is_seen_by_no_reader() {
    let folder =
        Folder(std::env::temp_dir().join(format!("stillwell-replicas-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).expect("writable");
    let queue = Arc::new(Queue::start().await);
    let config = format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n\
         signals:\n- {{name: depth, expr: 'sum(inference_extension_flow_control_queue_size)'}}\nexternal_metrics: {{insecure: true}}\n",
        queue.target.address
    );
    std::fs::write(folder.0.join("config.yml"), config).expect("writable");
    let service = Service::new();
    let mut replicas = Vec::new();
    for name in ["a", "b"] {
        let (process, endpoint) = start(&folder, name).await;
        service.endpoints.lock().push(Arc::clone(&endpoint));
        ready(&endpoint).await;
        replicas.push((process, endpoint));
    }
    queue.step(&service).await;
    let quit = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(read(service.clone(), Arc::clone(&queue), Arc::clone(&quit))))
        .collect();
    let (messages, streams) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let pushed = tokio::spawn(stream(
        service.listen_for_keda().await,
        Arc::clone(&messages),
        Arc::clone(&streams),
    ));
    for (at, name) in ["a", "b", "a", "b"].into_iter().enumerate() {
        queue.step(&service).await;
        let (mut old, endpoint) = replicas.remove(0);
        endpoint.is_ending.store(true, Ordering::SeqCst);
        old.signal("TERM");
        // Until it is not ready any more the page stays, for it is still asked.
        eventually("readiness to be off", || async {
            !endpoint.is_ready.load(Ordering::SeqCst)
        })
        .await;
        let heard = messages.load(Ordering::SeqCst);
        let ended = tokio::task::spawn_blocking(move || old.0.wait().expect("it ends"));
        assert_eq!(ended.await.expect("no panic").code(), Some(0));
        service
            .endpoints
            .lock()
            .retain(|one| one.web != endpoint.web);
        // The other one goes on alone, also with the stream.
        queue.step(&service).await;
        eventually("the stream to go on", || async {
            messages.load(Ordering::SeqCst) > heard
        })
        .await;
        let (process, endpoint) = start(&folder, name).await;
        service.endpoints.lock().push(Arc::clone(&endpoint));
        ready(&endpoint).await;
        replicas.push((process, endpoint));
        queue.step(&service).await;
        say(&format!("replica {name} was replaced ({} of 4)", at + 1));
    }
    quit.store(true, Ordering::SeqCst);
    let mut told = 0;
    for reader in readers {
        told += reader.await.expect("no reader fails");
    }
    assert!(told > 100, "{told} numbers");
    assert!(!pushed.is_finished(), "the stream is kept open");
    assert!(
        streams.load(Ordering::SeqCst) > 1,
        "one stream saw no restart"
    );
    let (_, _, page) = get(replicas[0].1.web, "/metrics").await;
    assert!(page.contains("stillwell_"), "{page}");
}
