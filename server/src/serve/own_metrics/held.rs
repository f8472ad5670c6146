//! What the engine holds, and the file that it is written to.

use stillwell_engine::{Stats, Timestamp};

use super::family::{Families, Family, Kind};
use crate::serve::snapshots::Done;

/// The bytes that the engine holds, by part.
pub(in crate::serve) fn parts(stats: &Stats) -> [(&'static str, usize); 7] {
    let bytes = &stats.bytes;
    [
        ("series", bytes.series),
        ("index", bytes.index),
        ("history", bytes.history),
        ("clocks", bytes.clocks),
        ("histograms", bytes.histograms),
        ("templates", stats.template_bytes),
        ("windows", stats.window_bytes),
    ]
}

/// What is held, and what the memory limit has cost.
pub(super) fn held(page: &mut Families, stats: &Stats, now: Timestamp) {
    page.gauge("stillwell_series", "Series held.", stats.series as f64);
    let help = "Signals by how they are evaluated: from what a page has changed (compiled), or whole from their queries (ordinary).";
    let mut signals = Family::new("stillwell_signals", Kind::Gauge, help);
    signals.add(&[("plan", "compiled")], stats.signals_compiled as f64);
    signals.add(&[("plan", "ordinary")], stats.signals_ordinary as f64);
    page.push(signals);
    let help = "Bytes held by the engine, by part.";
    let mut held = Family::new("stillwell_held_bytes", Kind::Gauge, help);
    for (part, bytes) in parts(stats) {
        held.add(&[("part", part)], bytes as f64);
    }
    page.push(held);
    page.gauge(
        "stillwell_memory_max_bytes",
        "The limit of that, as --storage.memory.max or a share of the container's memory.",
        stats.memory_bytes_max as f64,
    );
    page.counter(
        "stillwell_history_blocks_dropped_total",
        "Blocks of history that the memory limit took before their time.",
        stats.blocks_dropped_for_memory as f64,
    );
    let whole_since_ms = stats.oldest_ms.max(stats.history_dropped_until_ms);
    page.gauge(
        "stillwell_history_held_seconds",
        "For how long back the history of every series is whole.",
        whole_since_ms.map_or(0.0, |since_ms| {
            now.since_ms(Timestamp::from_ms(since_ms)).max(0) as f64 / 1000.0
        }),
    );
}

pub(super) fn snapshot(page: &mut Families, done: &Done) {
    page.gauge(
        "stillwell_snapshot_last_success_timestamp_seconds",
        "When the newest snapshot in the file was taken; 0 where this process has written none.",
        done.taken.map_or(0.0, |taken| taken.ms() as f64 / 1000.0),
    );
    page.gauge(
        "stillwell_snapshot_size_bytes",
        "Its size.",
        done.bytes as f64,
    );
    page.gauge(
        "stillwell_snapshot_duration_seconds",
        "How long the newest attempt took.",
        done.took.as_secs_f64(),
    );
    page.counter(
        "stillwell_snapshot_written_bytes_total",
        "Bytes of all snapshots.",
        done.bytes_written as f64,
    );
    page.counter(
        "stillwell_snapshot_failures_total",
        "Snapshots that could not be written.",
        done.failures as f64,
    );
}
