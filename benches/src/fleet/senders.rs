//! Shards that are played: each sends, as often as a real one does, what the signals of a real one would say.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a sender has a clock of its own"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use stillwell_adapters::remote_write::messages::TimeSeries;
use stillwell_engine::labels::Labels;

use super::gateways::Fleet;
use crate::contender::{Client, Contender};
use crate::load::pause;
use crate::remote_write::{send, series};

/// Kept connections, which share the shards among them.
const CONNECTIONS: usize = 4;

/// The played shards, until they are dropped.
pub struct Senders {
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    late: Arc<AtomicU64>,
}

impl Senders {
    /// Shards `numbers` of a fleet send to `aggregator` once in `every`.
    pub fn start(
        fleet: Fleet,
        numbers: std::ops::Range<usize>,
        aggregator: &Contender,
        every: Duration,
    ) -> std::io::Result<Senders> {
        let (ending, late) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut threads = Vec::new();
        for connection in 0..CONNECTIONS {
            let mut client = aggregator.connect(Duration::from_secs(5))?;
            let own: Vec<usize> = numbers
                .clone()
                .filter(|n| n % CONNECTIONS == connection)
                .collect();
            let said: Vec<Vec<(Labels, f64)>> =
                own.iter().map(|number| says(fleet, *number)).collect();
            let (ending, late) = (Arc::clone(&ending), Arc::clone(&late));
            threads.push(thread::spawn(move || {
                while !ending.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    for shard in &said {
                        if send_one(&mut client, shard).is_err() {
                            return; // the aggregator is gone
                        }
                    }
                    late.fetch_add(u64::from(began.elapsed() > every), Ordering::Relaxed);
                    pause(every.saturating_sub(began.elapsed()));
                }
            }));
        }
        Ok(Senders {
            ending,
            threads,
            late,
        })
    }

    /// Rounds that took longer than they may: the machine was short of time, and the run says little.
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

/// The families that a shard sends of its signals `depth` (a number for each pool) and `probe`.
fn says(fleet: Fleet, number: usize) -> Vec<(Labels, f64)> {
    let shard = number.to_string();
    let mut all = Vec::new();
    let mut add = |name: &str, labels: &[(&str, &str)], value: f64| {
        let own = [("__name__", name), ("shard", shard.as_str())];
        let labels = own.into_iter().chain(labels.iter().copied());
        all.push((Labels::from_pairs(labels), value));
    };
    add("stillwell_signal_count", &[], 2.0);
    for signal in ["depth", "probe"] {
        for state in ["value", "held", "configured", "unknown"] {
            let is_in = f64::from(u8::from(state == "value"));
            add(
                "stillwell_signal_state",
                &[("signal", signal), ("state", state)],
                is_in,
            );
        }
    }
    for pool in 0..fleet.pools {
        let pool = format!("pool-{pool:03}-llama-3-1-8b-instruct");
        let labels = [("signal", "depth"), ("inference_pool", pool.as_str())];
        add("stillwell_signal_value", &labels, 17.0);
        add("stillwell_signal_age_seconds", &labels, 0.0);
    }
    add("stillwell_signal_value", &[("signal", "probe")], 0.0);
    add("stillwell_signal_age_seconds", &[("signal", "probe")], 0.0);
    all
}

fn send_one(client: &mut Client, shard: &[(Labels, f64)]) -> std::io::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_ms = now.map_or(0, |since| since.as_millis() as i64);
    let all: Vec<TimeSeries> = shard
        .iter()
        .map(|(labels, value)| series(labels, std::iter::once((now_ms, *value))))
        .collect();
    send(client, all)
}
