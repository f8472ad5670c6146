//! Processes that share targets and one that adds up what they say: whatever happens to one of them, nobody is told less than
//! the truth.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use crate::common::certificates::Files;
use crate::common::process::Process;
use crate::common::{TestTarget, eventually, get, say, server_with, settings};

/// So many that no shard loses all of its targets to the fifth: what it said last would stand for five minutes after its
/// restart, because nobody ends it, and the sum would be too large for longer than this test waits.
const TARGETS: usize = 40;
const QUERY: &str =
    "/guarded/api/v1/query?query=sum(stillwell_signal_value%7Bsignal=%22depth%22%7D)";

/// What the one that adds up was asked for and said, in a row the same once.
type Said = Arc<Mutex<Vec<String>>>;

/// A number, or why there is none.
async fn ask(address: SocketAddr) -> Result<f64, String> {
    let (status, _, body) = get(address, QUERY).await;
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    if status != 200 {
        return Err(answer["error"].as_str().unwrap_or("?").to_owned());
    }
    let result = answer["data"]["result"].as_array().expect("a vector");
    assert_eq!(result.len(), 1, "never an empty answer: {body}");
    let value = result[0]["value"][1].as_str().expect("a number");
    Ok(value.parse().expect("a number"))
}

/// Says what was said where the test fails before it looks at it.
struct SaysAtFailure(Said);

impl Drop for SaysAtFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.0.lock();
            say(&format!("what was said:\n  {}", said.join("\n  ")));
        }
    }
}

fn watch(address: SocketAddr) -> (Said, tokio::task::JoinHandle<()>) {
    let said = Said::default();
    let into = Arc::clone(&said);
    let watching = tokio::spawn(async move {
        loop {
            let line = match ask(address).await {
                Ok(number) => number.to_string(),
                Err(why) => format!("unknown: {why}"),
            };
            {
                let mut said = into.lock();
                if said.last() != Some(&line) {
                    said.push(line);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    (said, watching)
}

fn aggregator(known: usize) -> String {
    let known: Vec<String> = (0..known).map(|shard| format!("'{shard}'")).collect();
    format!(
        "senders:\n- {{job_name: shards, label: shard, interval: 300ms, known: [{}]}}\n",
        known.join(", ")
    )
}

fn shard(number: usize, targets: &[TestTarget], aggregator: SocketAddr) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|target| format!("'{}'", target.address))
        .collect();
    format!(
        "global: {{scrape_interval: 50ms, external_labels: {{shard: '{number}'}}}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: [{}]}}]\n\
         signals: [{{name: depth, expr: 'sum(q)'}}]\n\
         remote_write:\n- url: http://{aggregator}/api/v1/write\n  queue_config: {{batch_send_deadline: 100ms, min_backoff: 20ms, max_backoff: 100ms}}\n  metadata_config: {{send: false}}\n\
         \x20\x20write_relabel_configs: [{{source_labels: [__name__], regex: 'stillwell_signal_.*', action: keep}}]\n",
        targets.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_a_shard_no_sum_is_less_than_the_truth() {
    let mut targets = Vec::new();
    for _ in 0..TARGETS {
        targets.push(TestTarget::with_page("# TYPE q gauge\nq 1\n").await);
    }
    let truth = TARGETS as f64;
    let files = Files::new("shards");
    let path = files.write("config.yml", &aggregator(4));
    let adding = server_with(&aggregator(4), settings(Some(path)), Default::default()).await;
    let address = adding.addresses[0];
    let start = |number: usize, count: usize| {
        let config = files.write(
            &format!("shard-{number}.yml"),
            &shard(number, &targets, address),
        );
        let storage = config.with_extension("storage");
        let flags = [
            format!("--shard.index={number}"),
            format!("--shard.count={count}"),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Process::start(&config, &storage, &flags).0
    };
    let mut shards: Vec<Process> = (0..4).map(|number| start(number, 4)).collect();
    let is_true = || async { ask(address).await == Ok(truth) };
    eventually("all shards are added up", is_true).await;
    let (said, watching) = watch(address);
    let _says = SaysAtFailure(Arc::clone(&said));

    shards[2].kill();
    let names_it = || async {
        ask(address)
            .await
            .is_err_and(|why| why.contains("sender \"2\""))
    };
    eventually("the dead shard is named", names_it).await;
    shards[2] = start(2, 4);
    eventually("it is back", is_true).await;

    // A fifth is announced before it is there, and takes its targets before others leave them.
    files.write("config.yml", &aggregator(5));
    adding.app.reload().await.expect("a good configuration");
    let fifth = start(4, 5);
    eventually("the fifth sends", || async {
        ask(address).await.is_ok_and(|number| number >= truth)
    })
    .await;
    for (number, shard) in shards.iter_mut().enumerate().take(4) {
        shard.signal("TERM");
        shard.0.wait().expect("it ends");
        *shard = start(number, 5);
        eventually("it is back", || async {
            ask(address).await.is_ok_and(|number| number >= truth)
        })
        .await;
    }
    eventually("five are added up", is_true).await;
    watching.abort();

    let said = said.lock().clone();
    say(&format!(
        "what the sum over shards said:\n  {}",
        said.join("\n  ")
    ));
    for line in &said {
        let number = line.parse::<f64>().ok();
        assert!(
            number.is_none_or(|number| number >= truth),
            "{line} of {truth}: {said:#?}"
        );
    }
    assert!(
        said.iter().any(|line| line.starts_with("unknown")),
        "{said:#?}"
    );
    drop((shards, fifth));
    adding.stop().await;
}
