//! The configuration file with the files that it names, read and checked.

use std::path::Path;

use stillwell_engine::promql::Features;
use tracing::warn;

use crate::config::{self, Config, Problem, Report};
use crate::files;
use crate::rule_groups::{self, RuleFile};
use crate::serve::signals;

/// A configuration with the rules that it names.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// The configuration.
    pub config: Config,
    /// Its recording and alerting rules.
    pub rule_files: Vec<RuleFile>,
}

/// Reads and checks a configuration with the files that it names (relative to `base`), signals' expressions included.
/// Warnings are logged.
pub fn load(text: &str, base: &Path, features: &Features) -> Result<Configured, Vec<Problem>> {
    let (configured, report) = read(text, base, features);
    for warning in &report.warnings {
        warn!(line = warning.line, "configuration: {}", warning.message);
    }
    configured.ok_or(report.errors)
}

/// Like [`load`], with everything that there is to say.
pub fn read(text: &str, base: &Path, features: &Features) -> (Option<Configured>, Report) {
    let (config, mut report) = config::load_with_files(text, base);
    let Some(config) = config else {
        return (None, report);
    };
    report.errors.extend(signals::check(&config.signals));
    let line = config.rule_files_line.0;
    let rule_files = rule_groups::load(&config.rule_files, base, line, features, &mut report);
    let configured = Configured { config, rule_files };
    (report.errors.is_empty().then_some(configured), report)
}

/// Where the files that a configuration names are looked for: beside it.
pub fn folder(config_file: &Path) -> &Path {
    config_file.parent().unwrap_or(Path::new(""))
}

/// Reads the configuration file, up to the size that is parsed.
pub async fn read_config(path: &Path) -> Result<String, String> {
    files::read_text(path, config::CONFIG_BYTES_MAX as u64).await
}

/// Problems in one text.
pub fn show(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
