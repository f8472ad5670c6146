//! The web configuration file: any text is a configuration or a list of errors with lines.

use std::path::Path;

use stillwell::web_config::parse;

/// Reads it.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (config, report) = parse(&text, Path::new("/etc/web"));
    assert_eq!(config.is_none(), !report.errors.is_empty());
    assert!(report.errors.iter().all(|problem| problem.line > 0));
}
