//! What a clone does not contain: files of other projects and programs that tests use where they are.
//!
//! This file is the list of all of it. A test that needs something calls [`Material::find`] or [`Tool::find`]. Where it is
//! missing the test prints `NOT RUN` and passes, unless the variable `CI` is `true` and continuous integration is expected
//! to have it, or a variable names a path at which it is not: then the test fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder or file outside of the repository.
#[derive(Clone, Copy, Debug)]
pub struct Material {
    /// What it is, for messages.
    pub name: &'static str,
    /// The environment variable that names its path.
    pub variable: &'static str,
    /// Where it is looked for without the variable, relative to the root of the repository; empty is nowhere.
    pub path: &'static str,
    /// Whether continuous integration has it.
    pub is_in_ci: bool,
}

/// A program that is found by its name.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// What it is, for messages.
    pub name: &'static str,
    /// The commands that it may have; `--version` tells whether one is there.
    pub commands: &'static [&'static str],
    /// Arguments that succeed only where it can be used.
    pub probe: &'static [&'static str],
    /// Whether continuous integration has it.
    pub is_in_ci: bool,
}

/// Prometheus' own PromQL test scripts (`promql/promqltest/testdata`). They are Prometheus', so they are not copied here.
pub const PROMETHEUS_SCRIPTS: Material = beside(
    "Prometheus' PromQL test scripts",
    "PROMQLTEST",
    "../shared/promqltest",
);

/// The OpenMetrics project's own cases: folders with a page and whether it is valid. They are the project's, so they are not
/// copied here.
pub const OPENMETRICS_CASES: Material = beside(
    "the OpenMetrics project's cases",
    "OPENMETRICS",
    "../shared/openmetrics",
);

/// Sample pages of gateways, and `gen_epp.py`, which generates such.
pub const SAMPLE_PAGES: Material = beside(
    "sample pages of gateways",
    "STILLWELL_PAGES",
    "../shared/epp",
);

/// Published rules, HPAs, ScaledObjects and queries, one JSON object a line.
pub const FIELD: Material = beside(
    "published rules and queries",
    "STILLWELL_FIELD",
    "../shared/field/queries.jsonl",
);

/// The folder of llm-d's guide, whose HPA the shipped one is compared with.
pub const GUIDE: Material = beside("llm-d's guide", "STILLWELL_GUIDE", "../shared/seed");

/// A folder with real programs: `usr/bin/prometheus`, `promtool`, `kubectl`.
pub const RIVALS: Material = by_variable(
    "a folder with a real Prometheus, promtool and kubectl",
    "STILLWELL_RIVALS_DIR",
);

/// A real prometheus-adapter.
pub const ADAPTER: Material = by_variable("a real prometheus-adapter", "STILLWELL_ADAPTER");

/// A Python with OpenTelemetry's SDK and its OTLP exporter over HTTP.
pub const OTEL_PYTHON: Material =
    by_variable("a Python with OpenTelemetry's SDK", "STILLWELL_OTEL_PYTHON");

/// A real helm.
pub const HELM: Material = by_variable("a real helm", "STILLWELL_HELM");

/// A browser. `.ci/run` installs it where Debian's packages can be had, which a developer's machine need not be.
pub const BROWSER: Tool = Tool {
    name: "chromium",
    commands: &["chromium", "chromium-browser", "google-chrome"],
    probe: &["--version"],
    is_in_ci: false,
};

/// Packages of npm that drive the browser: `playwright-core` and `axe-core`. `.ci/run` installs them.
pub const NODE_MODULES: Material = beside(
    "npm's playwright-core and axe-core",
    "STILLWELL_NODE_MODULES",
    "target/node/node_modules",
);

/// Node, which runs them.
pub const NODE: Tool = Tool {
    name: "node",
    commands: &["node", "nodejs"],
    probe: &["--version"],
    is_in_ci: false,
};

/// A client of HTTP that is not ours.
pub const CURL: Tool = Tool {
    name: "curl",
    commands: &["curl"],
    probe: &["--version"],
    is_in_ci: true,
};

/// A file system of a process's own, in which a test gives it another `/etc/resolv.conf`; only root may.
pub const MOUNTS: Tool = Tool {
    name: "`unshare --mount`, as root,",
    commands: &["unshare"],
    probe: &[
        "--mount",
        "mount",
        "--bind",
        "/dev/null",
        "/etc/resolv.conf",
    ],
    is_in_ci: false,
};

/// The gRPC library of Python (`pip install grpcio`).
pub const GRPCIO: Tool = Tool {
    name: "Python's grpcio",
    commands: &["python3"],
    probe: &["-c", "import grpc"],
    is_in_ci: false,
};

/// Python, which runs the generator among [`SAMPLE_PAGES`].
pub const PYTHON: Tool = Tool {
    name: "python3",
    commands: &["python3"],
    probe: &["--version"],
    is_in_ci: false,
};

const fn beside(name: &'static str, variable: &'static str, path: &'static str) -> Material {
    Material {
        name,
        variable,
        path,
        is_in_ci: false,
    }
}

const fn by_variable(name: &'static str, variable: &'static str) -> Material {
    beside(name, variable, "")
}

impl Material {
    /// Its path. `None` where it is missing, which is printed.
    ///
    /// # Panics
    ///
    /// Where it is missing although the variable names a path, or although continuous integration has it.
    pub fn find(&self) -> Option<PathBuf> {
        self.look(None)
    }

    /// The path of a file inside of it, as [`Material::find`].
    ///
    /// # Panics
    ///
    /// As [`Material::find`].
    pub fn find_inside(&self, file: &str) -> Option<PathBuf> {
        self.look(Some(file))
    }

    fn look(&self, file: Option<&str>) -> Option<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let named = std::env::var_os(self.variable).map(PathBuf::from);
        let is_named = named.is_some();
        let default = (!self.path.is_empty()).then(|| root.join(self.path));
        let path = named.or(default);
        let path = path.map(|path| file.map_or(path.clone(), |file| path.join(file)));
        if let Some(path) = path.as_ref().filter(|path| path.exists()) {
            return Some(path.clone());
        }
        let place = path.map_or("no path is known".to_owned(), |path| {
            format!("{} does not exist", path.display())
        });
        let what = format!("{}: {place}; {} names its path", self.name, self.variable);
        assert!(!is_named, "missing: {what}");
        not_run(&what, self.is_in_ci);
        None
    }
}

impl Tool {
    /// The command by which it is called. `None` where it is missing, which is printed.
    ///
    /// # Panics
    ///
    /// Where it is missing although continuous integration has it.
    pub fn find(&self) -> Option<&'static str> {
        let runs = |command: &&&str| {
            let probe = Command::new(command)
                .args(self.probe)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            probe.is_ok_and(|status| status.success())
        };
        let found = self.commands.iter().find(runs).copied();
        if found.is_none() {
            not_run(&format!("{} is not here", self.name), self.is_in_ci);
        }
        found
    }
}

/// Says it past the test runner, which swallows what a test that passes prints.
fn not_run(what: &str, is_in_ci: bool) {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!(ci && is_in_ci), "continuous integration lacks {what}");
    let line = format!("\nNOT RUN: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).ok(); // nobody reads it
}
