//! PromQL test scripts: our own in `tests/scripts/`, and Prometheus' where they are found.

#![allow(clippy::print_stdout)] // the report is what these tests are for

use std::path::{Path, PathBuf};

use stillwell_promql::script;
use stillwell_testing::outside::PROMETHEUS_SCRIPTS;

/// Cases in the scripts of Prometheus 3.14; fewer mean that some were not found.
const CASES_MIN: usize = 1_799;

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "test")
    });
    paths.sort();
    paths
}

/// Runs every script of a folder; the numbers of passed and failed cases.
fn run_all(folder: &Path) -> (usize, usize) {
    let (mut passed, mut failed) = (0, 0);
    for path in scripts(folder) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&path).expect("a script is readable text");
        let report = script::run(&name, &text);
        println!(
            "{name}: {} passed, {} failed",
            report.passed,
            report.failures.len()
        );
        for failure in &report.failures {
            println!("{failure}");
        }
        passed += report.passed;
        failed += report.failures.len();
    }
    println!("{passed} passed, {failed} failed");
    (passed, failed)
}

#[test]
fn our_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let (passed, failed) = run_all(&folder);
    assert!(
        passed > 0 && failed == 0,
        "{passed} passed, {failed} failed"
    );
}

#[test]
fn prometheus_scripts_pass() {
    let Some(folder) = PROMETHEUS_SCRIPTS.find() else {
        return;
    };
    let (passed, failed) = run_all(&folder);
    assert!(
        passed >= CASES_MIN && failed == 0,
        "{passed} passed, {failed} failed"
    );
}
