//! What a signal tells is true, whatever servers do and whatever is asked: random histories of several jobs, with pages that
//! hide a part of what a server has, against random queries. Beside the engine that is tested there are others. One is given
//! each page as it would be without faults and evaluates the same queries as Prometheus would: that is the truth. Three more
//! are given what may be told in its place: what is absent as 0 where there is nothing else, NaN as 0, and the pages as they are,
//! for what a query says may be missing (`license`).
//!
//! * A value is the truth, and of targets all of which are fresh.
//! * Nothing is told only where comparisons leave nothing of what is there, and would leave nothing of a 0 in the place of a sum
//!   that is not; or where a constant is all there is.
//! * A held number was the truth after one of the pages of the last 44 intervals.
//! * Where nothing was wrong for that long, aggregates of what every target shows are told.
//!
//! What hides a part of the truth: scrapes that fail or are late, pages that are broken or empty, families that are lost with
//! their witnesses, and samples that are NaN. What changes it: requests, models that come and go, processes that restart,
//! targets that join and leave, and reloads, by which the pages of a target or a job are read otherwise: then the truth is what
//! the newest good pages of all yield by the rules of now. Pages of one step come one after another, and signals are read between them, too. Some signals
//! are registered late, of which `retain: signals` has kept nothing.
//!
//! What is not checked, each for a reason:
//!
//! * held numbers of queries with a window: that of a target that is down ends with its last page, while those of others go
//!   on, which no single evaluation yields;
//! * values of such queries while their windows may reach back to a page that hid something;
//! * the same after a gateway of an older release has left: what it had under the names of today (S8) is read while it is there;
//! * losses of a process without a start time from a page without its counters on: it may be another process (S6a);
//! * empty pages of a job that has shown nothing so far: nobody knows what it has.
//!
//! The normal run plays the same cases each time. `STILLWELL_CASES=n` plays n times as many others, and
//! `PROPTEST_RNG_SEED=n` those of a seed.

mod ask;
#[path = "../common/cases.rs"]
mod cases;
mod check;
#[path = "../common/commits.rs"]
mod commits;
mod history;
mod license;
mod play;
mod reload;
mod rules;
mod side;
mod signals;
mod world;

use cases::cases;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

const INTERVAL_MS: i64 = 1_000;

/// Some 3 s of CPU in a debug build.
const CASES: u32 = 60;

fn config() -> Config {
    let config = cases(CASES);
    let is_set = |name: &str| std::env::var_os(name).is_some();
    match is_set("STILLWELL_CASES") || is_set("PROPTEST_RNG_SEED") {
        true => config,
        false => Config {
            rng_seed: RngSeed::Fixed(1),
            ..config
        },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_told_is_true_or_was(
        history in history::history(),
        signals in prop::collection::vec(signals::signal(), 1..8),
        keeps_all in any::<bool>(),
    ) {
        play::play(&history, &signals, keeps_all);
    }
}
