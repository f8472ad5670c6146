//! The process: its version, start and configuration, and what the kernel says of it.

use stillwell_adapters::host::Host;

use super::family::{Families, Family, Kind};
use crate::serve::app::App;

pub(super) fn process(page: &mut Families, app: &App) {
    let build = app.build();
    let help = "The version of this process.";
    let info = Family::new("stillwell_build_info", Kind::Gauge, help);
    page.push(info.with(&[("version", build.version)], 1.0));
    let started_s = build.started.ms() as f64 / 1000.0;
    page.gauge(
        "process_start_time_seconds",
        "When the process started.",
        started_s,
    );
    if let Some(used) = Used::read() {
        page.counter(
            "process_cpu_seconds_total",
            "User and system time.",
            used.cpu_s,
        );
        page.gauge(
            "process_resident_memory_bytes",
            "Memory in use, program text included.",
            used.resident_bytes,
        );
        page.gauge(
            "process_open_fds",
            "Open file descriptors.",
            used.descriptors,
        );
    }
    page.gauge(
        "stillwell_config_last_reload_successful",
        "Whether the last reload was taken.",
        f64::from(u8::from(app.reload_succeeded())),
    );
}

/// What the kernel says.
struct Used {
    cpu_s: f64,
    resident_bytes: f64,
    descriptors: f64,
}

impl Used {
    /// `None` where the kernel says it in another way than Linux.
    fn read() -> Option<Used> {
        const TICKS_PER_SECOND: f64 = 100.0; // USER_HZ, the same on every Linux
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: f64 = resident.split_whitespace().next()?.parse().ok()?;
        Some(Used {
            cpu_s: ticks / TICKS_PER_SECOND,
            resident_bytes: kib * 1024.0,
            descriptors: std::fs::read_dir("/proc/self/fd").ok()?.count() as f64,
        })
    }
}
