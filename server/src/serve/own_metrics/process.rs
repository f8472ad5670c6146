//! What the kernel says of this process.

/// What the kernel says of this process; `None` where it says it in another way than Linux.
pub(super) struct Used {
    pub(super) cpu_s: f64,
    pub(super) resident_bytes: f64,
    pub(super) descriptors: f64,
}

impl Used {
    pub(super) fn read() -> Option<Used> {
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
