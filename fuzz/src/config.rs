//! Configuration text: any text is a configuration or a list of errors with lines.

use stillwell::config::load;
use stillwell::scrape::static_targets;

/// Loads it and makes the targets of what loaded.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (config, report) = load(&text);
    assert_eq!(config.is_none(), !report.errors.is_empty());
    for job in config.iter().flat_map(|config| &config.jobs) {
        let _ = static_targets(job);
    }
}
