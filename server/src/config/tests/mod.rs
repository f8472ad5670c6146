//! The configuration as a whole: what parses, what is refused, and what the complaint says.

mod errors;
mod jobs;
mod other_servers;
mod own_sections;
mod places;

use super::*;

fn good(text: &str) -> (Config, Vec<String>) {
    let (config, report) = load(text);
    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    let warnings = report.warnings.iter().map(ToString::to_string).collect();
    (config.unwrap_or_else(|| panic!("{errors:#?}")), warnings)
}

#[test]
fn an_empty_file_is_a_configuration_without_jobs() {
    for text in ["", "\n", "# nothing\n", "---\n"] {
        let config = good(text).0;
        assert!(
            config.jobs.is_empty() && config.signals.is_empty(),
            "{text:?}"
        );
    }
}

#[test]
fn no_garbage_panics_or_loops() {
    let seeds = [
        "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['a:1']\n",
        "a: &x {b: *x}\n<<: [1, 2]\n",
        "[[[[[[{{{{{{\"\\\u{0}\t%@`!!map &a *a",
        "signals:\n- {name: \u{fffd}, expr: |\n    x}\n",
    ];
    // A small generator with a fixed seed: the test is the same on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for round in 0..4000 {
        let mut chars: Vec<char> = seeds[round % seeds.len()].chars().collect();
        for _ in 0..=next(6) {
            let at = next(chars.len());
            match next(3) {
                0 => drop(chars.remove(at)),
                1 => chars.insert(
                    at,
                    ['{', '[', ':', '-', '*', '&', '\n', '\'', ' ', '|'][next(10)],
                ),
                _ => {
                    let last = chars.len() - 1;
                    chars.swap(at, (at + 1).min(last));
                }
            }
            if chars.is_empty() {
                chars.push('a');
            }
        }
        let text: String = chars.into_iter().collect();
        let _ = load(&text);
    }
}
