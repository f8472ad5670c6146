//! Material that a clone does not contain: where tests find it, and what happens where it is missing.
//!
//! A test that needs such material calls [`Material::find`]. Without the material it prints `NOT RUN` and passes, unless
//! the variable `CI` is `true` and continuous integration is expected to have it: then it fails.

#![allow(clippy::print_stdout)] // what did not run has to be seen in the output of tests

use std::path::{Path, PathBuf};

/// A folder or file outside of the repository.
#[derive(Clone, Copy, Debug)]
pub struct Material {
    /// What it is, for messages.
    pub name: &'static str,
    /// The environment variable that names its path.
    pub variable: &'static str,
    /// Where it is looked for without the variable, relative to the root of the repository.
    pub path: &'static str,
    /// Whether continuous integration has it. What it cannot have is listed by this flag being false.
    pub is_in_ci: bool,
}

/// Prometheus' own PromQL test scripts (`promql/promqltest/testdata`). They are Prometheus', so they are not copied here.
pub const PROMETHEUS_SCRIPTS: Material = Material {
    name: "Prometheus' PromQL test scripts",
    variable: "PROMQLTEST",
    path: "../shared/promqltest",
    is_in_ci: false,
};

/// The OpenMetrics project's own cases: folders with a page and whether it is valid. They are the project's, so they are not
/// copied here.
pub const OPENMETRICS_CASES: Material = Material {
    name: "the OpenMetrics project's cases",
    variable: "OPENMETRICS",
    path: "../shared/openmetrics",
    is_in_ci: false,
};

impl Material {
    /// Its path. `None` where it is missing, which is printed.
    ///
    /// # Panics
    ///
    /// Where it is missing although the variable names a path, or although continuous integration has it.
    pub fn find(&self) -> Option<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let named = std::env::var_os(self.variable).map(PathBuf::from);
        let path = named.clone().unwrap_or_else(|| root.join(self.path));
        if path.exists() {
            return Some(path);
        }
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(
            named.is_none() && !(ci && self.is_in_ci),
            "{} are missing: {} does not exist; set {}",
            self.name,
            path.display(),
            self.variable
        );
        println!(
            "NOT RUN: {} are missing ({}); {} names their place",
            self.name,
            path.display(),
            self.variable
        );
        None
    }
}
