//! How much memory there is to use.

/// Of the limit; the rest is for pages in flight, queries and answers.
const SHARE_PERCENT: u64 = 60;
/// Where the machine does not say.
const FALLBACK_BYTES: u64 = 1 << 30;

/// With less, queries and pages have no room that is worth anything: reads would be refused for as long as the process runs.
pub const BYTES_MIN: u64 = 8 << 20;

/// Bytes for samples and queries where none are configured: a share of the control group's limit, else of the machine's memory.
pub fn default_bytes_max() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let limits = [
        read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok()),
        read("/sys/fs/cgroup/memory/memory.limit_in_bytes")
            .and_then(|text| text.trim().parse().ok()),
        read("/proc/meminfo").and_then(|text| meminfo_total(&text)),
    ];
    // A control group without a limit of its own says a number past every machine.
    limits.into_iter().flatten().min().unwrap_or(FALLBACK_BYTES) / 100 * SHARE_PERCENT
}

/// What queries may hold together, of what the process may hold.
pub fn query_share(bytes_max: u64) -> u64 {
    (bytes_max / 4).min(QUERY_BYTES_MAX)
}

/// More serves no answer that anybody reads.
const QUERY_BYTES_MAX: u64 = 1 << 30;

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(
            meminfo_total("MemFree: 1 kB\nMemTotal:       24580000 kB\n"),
            Some(24_580_000 << 10)
        );
        assert_eq!(meminfo_total("nothing"), None);
        assert!(default_bytes_max() > 0);
    }
}
