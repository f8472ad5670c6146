//! Targets and where they are found, scrapes, and what their pages hold meanwhile.

use stillwell_adapters::host::Health;

use super::family::{Families, Family, Kind};
use crate::serve::app::App;

pub(super) fn scraping(page: &mut Families, app: &App) {
    let states = app.scraper().states();
    let (mut scrapes, mut failures, mut bytes, mut lines) = (0, 0, 0, 0);
    let (mut skipped, mut stretched) = (0, 0);
    for counts in states.iter().map(|state| state.counts()) {
        scrapes += counts.scrapes;
        failures += counts.failures;
        skipped += counts.skipped;
        stretched += counts.stretched;
        bytes += counts.body_bytes;
        lines += counts.lines_skipped;
    }
    let up = states
        .iter()
        .filter(|state| state.health() == Health::Up)
        .count();
    page.gauge(
        "stillwell_targets",
        "Targets in force.",
        states.len() as f64,
    );
    page.gauge(
        "stillwell_targets_up",
        "Targets whose last scrape was good.",
        up as f64,
    );
    page.counter(
        "stillwell_scrapes_total",
        "Scrapes that ended.",
        scrapes as f64,
    );
    page.counter(
        "stillwell_scrape_failures_total",
        "Scrapes that failed.",
        failures as f64,
    );
    page.counter(
        "stillwell_scrape_ticks_skipped_total",
        "Ticks that passed while a scrape was in flight.",
        skipped as f64,
    );
    page.counter(
        "stillwell_scrape_ticks_stretched_total",
        "Ticks that passed because a job asks its gateways less often.",
        stretched as f64,
    );
    page.counter(
        "stillwell_scrape_body_bytes_total",
        "Bytes of pages.",
        bytes as f64,
    );
    page.counter(
        "stillwell_scrape_lines_skipped_total",
        "Lines of pages that were passed over, because no signal needs them (`retain: signals`).",
        lines as f64,
    );
}

pub(super) fn discovery(page: &mut Families, app: &App) {
    let sources = app.discovery().states();
    let failing = sources.iter().filter(|source| source.problem.is_some());
    page.gauge(
        "stillwell_discovery_sources",
        "Entries of the configuration that find targets.",
        sources.len() as f64,
    );
    page.gauge(
        "stillwell_discovery_sources_failing",
        "Those that cannot read their source; their last targets stay.",
        failing.count() as f64,
    );
    let groups: usize = sources.iter().map(|source| source.groups).sum();
    page.gauge(
        "stillwell_discovery_groups",
        "Groups of targets found.",
        groups as f64,
    );
}

/// How long commits take.
pub(super) fn commits(page: &mut Families, app: &App) {
    let shared = app.scraper().shared();
    page.durations(
        "stillwell_commit_duration_seconds",
        "From a parsed page to its samples and signals being readable.",
        &shared.commits,
    );
    page.durations(
        "stillwell_commit_lock_wait_seconds",
        "The part of it that was spent waiting for readers.",
        &shared.commit_waits,
    );
}

/// What pages hold that are being read.
pub(super) fn pages_under_way(page: &mut Families, app: &App) {
    let shared = app.scraper().shared();
    let (memory, buffers) = (&shared.limiter.memory, &shared.limiter.buffers);
    let help = "Bytes of pages that are being read, by the part of their budget, and of buffers that are kept for the next.";
    let mut held = Family::new("stillwell_page_memory_bytes", Kind::Gauge, help);
    for (part, bytes) in memory.held() {
        held.add(&[("part", part)], bytes as f64);
    }
    held.add(&[("part", "kept")], buffers.kept_bytes() as f64);
    page.push(held);
    page.gauge(
        "stillwell_page_memory_max_bytes",
        "What pages that are being read may hold together, of --storage.memory.max.",
        memory.bytes_max() as f64,
    );
    page.counter(
        "stillwell_page_memory_refusals_total",
        "Times that a page found no room in it, whose scrape failed.",
        memory.refused() as f64,
    );
}
