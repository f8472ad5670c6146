//! While one peer at a time does its worst, every read by an HPA is answered: the short form of the bench `siege`, without its
//! times and its memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use stillwell_benches::load::Load;
use stillwell_benches::siege::{Attack, READ_PATH, ROWS, Row, get};
use stillwell_benches::soak::serve_text;
use stillwell_engine::Limits;

const READS: usize = 40;
/// Long enough for a machine that does other things too: what counts is that an answer comes.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_of_an_hpa_is_answered_while_a_peer_does_its_worst() {
    let mut failed = Vec::new();
    for row in ROWS {
        failed.extend(attacked(row).await);
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The answers of an HPA's reads that are no numbers, while a row attacks.
async fn attacked(row: &Row) -> Vec<String> {
    let load = Load::start(2, 200, 20).expect("loopback");
    let text = row.config(&load).expect("loopback");
    let limits = Limits {
        memory_bytes_max: 256 << 20,
        ..Limits::default()
    };
    let running = serve_text(text, None, &["127.0.0.1:0"], limits);
    let running = running.await.expect("it starts");
    let attack = Attack {
        port: running.addresses[0].port(),
        keda_port: running.keda_address.expect("asked for").port(),
        over: Arc::new(AtomicBool::new(false)),
        tried: Arc::new(AtomicU64::new(0)),
    };
    let (name, clients, with) = (row.name, row.clients, attack.clone());
    // Requests wait for answers, so they are made where nothing of the server runs.
    let reading = thread::spawn(move || read_while(name, clients, &with));
    while !reading.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failed = reading.join().expect("it panics nowhere");
    running.stop().await;
    failed
}

fn read_while(
    name: &str,
    clients: stillwell_benches::siege::Clients,
    attack: &Attack,
) -> Vec<String> {
    // The first answer may be that no page has come yet.
    let is_told = || get(attack.port, READ_PATH, PATIENCE).is_ok_and(|(status, _)| status == 200);
    let told = (0..1_000).any(|_| {
        stillwell_benches::load::pause(Duration::from_millis(20));
        is_told()
    });
    assert!(told, "{name}: the signal is never told");
    thread::scope(|scope| {
        for (count, client) in clients {
            for _ in 0..*count {
                scope.spawn(|| client(attack));
            }
        }
        let mut failed = Vec::new();
        for _ in 0..READS {
            match get(attack.port, READ_PATH, PATIENCE) {
                Ok((200, _)) => {}
                other => failed.push(format!("{name}: {other:?}")),
            }
            stillwell_benches::load::pause(Duration::from_millis(10));
        }
        attack.over.store(true, Ordering::Relaxed);
        failed
    })
}
