//! Every target over its seeds, as an ordinary test; and over mutations of them for as long as one likes:
//!
//! `FUZZ_SECONDS=1800 cargo test --release -p stillwell-fuzz --test targets -- --ignored`
//!
//! `FUZZ_TARGET=promql` runs that one alone. `FUZZ_LAST=FILE` keeps the input about to run, for when it kills the run.

use stillwell_fuzz::{TARGETS, run_mutations, run_seeds};
use stillwell_testing::counting::Counting;

/// Some targets assert what they hold.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn every_target_takes_its_seeds() {
    for (name, target) in TARGETS {
        assert!(run_seeds(name, target) > 0, "{name} has no seeds");
    }
}

#[test]
#[ignore = "runs for FUZZ_SECONDS (60) a target"]
fn every_target_takes_mutations() {
    let seconds = match std::env::var("FUZZ_SECONDS") {
        Ok(text) => text.parse().expect("FUZZ_SECONDS is a number"),
        Err(_) => 60,
    };
    let only = std::env::var("FUZZ_TARGET").ok();
    let chosen = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let mut ran = 0;
    for (name, target) in TARGETS {
        if chosen(name) {
            let inputs = run_mutations(name, target, seconds);
            println!("{name}: {inputs} inputs in {seconds} s");
            ran += 1;
        }
    }
    assert!(ran > 0, "FUZZ_TARGET {only:?} is none of the targets");
}
