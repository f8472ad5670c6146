//! Objects of a cluster that name targets: any JSON gives jobs or a reason why not.

use stillwell::discovery::read_monitor;

/// Renders it as an object of every kind.
pub fn run(data: &[u8]) {
    if let Ok(spec) = serde_json::from_slice(data) {
        read_monitor(&spec);
    }
}
