//! `/metrics`: what this process does, in the names that dashboards of Prometheus look for where the meaning is the same.

use std::fmt::Write;

use stillwell_adapters::host::{Health, Host};

use super::app::App;

/// The page.
pub(super) fn page(app: &App) -> String {
    let mut out = String::with_capacity(4 << 10);
    let stats = app.reader().stats();
    let states = app.scraper().states();
    let (mut scrapes, mut failures, mut skipped, mut bytes, mut lines) = (0, 0, 0, 0, 0);
    for counts in states.iter().map(|state| state.counts()) {
        scrapes += counts.scrapes;
        failures += counts.failures;
        skipped += counts.skipped;
        bytes += counts.body_bytes;
        lines += counts.lines_skipped;
    }
    let up = states
        .iter()
        .filter(|state| state.health() == Health::Up)
        .count();
    let build = app.build();
    let started_s = build.started.ms() as f64 / 1000.0;
    writeln!(
        out,
        "# HELP stillwell_build_info The version of this process.\n# TYPE stillwell_build_info gauge\n\
         stillwell_build_info{{version=\"{}\"}} 1",
        build.version
    )
    .ok(); // a String takes everything
    for (name, kind, help, value) in [
        (
            "process_start_time_seconds",
            "gauge",
            "When the process started.",
            started_s,
        ),
        (
            "stillwell_targets",
            "gauge",
            "Targets in force.",
            states.len() as f64,
        ),
        (
            "stillwell_targets_up",
            "gauge",
            "Targets whose last scrape was good.",
            up as f64,
        ),
        (
            "stillwell_scrapes_total",
            "counter",
            "Scrapes that ended.",
            scrapes as f64,
        ),
        (
            "stillwell_scrape_failures_total",
            "counter",
            "Scrapes that failed.",
            failures as f64,
        ),
        (
            "stillwell_scrape_ticks_skipped_total",
            "counter",
            "Ticks that passed while a scrape was in flight.",
            skipped as f64,
        ),
        (
            "stillwell_scrape_body_bytes_total",
            "counter",
            "Bytes of pages.",
            bytes as f64,
        ),
        (
            "stillwell_scrape_lines_skipped_total",
            "counter",
            "Lines of pages that were passed over, because no signal needs them (`retain: signals`).",
            lines as f64,
        ),
        (
            "stillwell_series",
            "gauge",
            "Series held.",
            stats.series as f64,
        ),
        (
            "stillwell_held_bytes",
            "gauge",
            "Bytes held by the engine.",
            (stats.bytes.total() + stats.template_bytes) as f64,
        ),
        (
            "stillwell_config_last_reload_successful",
            "gauge",
            "Whether the last reload was taken.",
            f64::from(u8::from(app.reload_succeeded())),
        ),
    ] {
        writeln!(
            out,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        )
        .ok();
    }
    out
}
