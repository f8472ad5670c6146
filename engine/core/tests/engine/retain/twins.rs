//! `retain: signals` against two twins that know nothing of it. One keeps every page whole: whatever a signal says
//! where only what signals need is kept, it says there too, or else it is unknown because it came too late. The other
//! keeps all of pages from which a naive filter has taken the lines of names that no signal needs: the same series,
//! the same samples.

use proptest::prelude::*;
use stillwell_engine::signal::State;
use stillwell_engine::{Retain, Timestamp};
use stillwell_testing::cases::cases;

use super::generate::{
    Line, Page, QUERIES, SUM_OF_ALL_OF_VLLM, SUM_OF_WAITING, Step, WAITING, render, steps,
};
use super::side::{INTERVAL_MS, START, Side};

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_signals_need_is_kept_and_they_say_what_they_would_say(
        first in prop::collection::vec(0..QUERIES.len(), 0..4),
        steps in steps(),
        reports_start_time in prop::bool::weighted(0.8),
    ) {
        run(&first, &steps, reports_start_time);
    }
}

/// A metric that no signal read, shown first by the process before and again by this one, was no loss once it had gone: the sum was
/// told without it.
#[test]
fn a_signal_that_comes_late_knows_what_a_restarted_process_has_shown_and_lost() {
    let waiting = |value| Line {
        family: WAITING,
        label: 0,
        value,
    };
    let page = |start, lines: &[Line]| Page {
        lines: lines.to_vec(),
        start,
        start_first: false,
    };
    let of_first = |first: Page| Step::Pages(vec![first, page(1_000, &[waiting(1)])]);
    for reports_start_time in [true, false] {
        for query in [SUM_OF_WAITING, SUM_OF_ALL_OF_VLLM] {
            run(
                &[],
                &[
                    of_first(page(1_000, &[waiting(2)])),
                    of_first(page(1_000, &[])),
                    of_first(page(1_007, &[])),
                    of_first(page(1_007, &[waiting(3)])),
                    of_first(page(1_007, &[])),
                    Step::Register(query),
                    of_first(page(1_007, &[])),
                ],
                reports_start_time,
            );
        }
    }
}

fn run(first: &[usize], steps: &[Step], reports_start_time: bool) {
    let mut all = Side::new(Retain::All);
    let mut filtered = Side::new(Retain::All);
    let mut signals = Side::new(Retain::Signals);
    // By signal: its query, and whether it came after the first pages.
    let mut registered: Vec<(usize, bool)> = Vec::new();
    let register = |sides: [&mut Side; 3], query: usize| {
        for side in sides {
            side.register(QUERIES[query].0);
        }
    };
    for &query in first {
        register([&mut all, &mut filtered, &mut signals], query);
        registered.push((query, false));
    }
    for (index, step) in steps.iter().enumerate() {
        let now_ms = 1_000_000 + index as i64 * INTERVAL_MS;
        let at = Timestamp::from_ms(now_ms);
        match step {
            Step::Pages(pages) => {
                for (target, page) in pages.iter().enumerate() {
                    let text = render(page, reports_start_time, &|_| true);
                    let keeps = |name: &str| is_needed(name, &registered, !reports_start_time);
                    let less = render(page, reports_start_time, &keeps);
                    let (scraped, kept) = all.scrape(target, &text, at).expect("taken");
                    assert_eq!(scraped, kept);
                    let (_, kept) = filtered.scrape(target, &less, at).expect("taken");
                    let counts = signals.scrape(target, &text, at).expect("taken");
                    assert_eq!(counts, (scraped, kept));
                }
            }
            Step::Broken(target) => {
                for side in [&mut all, &mut filtered, &mut signals] {
                    assert_eq!(side.scrape(*target, "unheard_of{l=\"open 1\n", at), None);
                }
            }
            Step::Fail(target) => {
                for side in [&mut all, &mut filtered, &mut signals] {
                    side.fail(*target, at);
                }
            }
            Step::Register(query) => {
                register([&mut all, &mut filtered, &mut signals], *query);
                registered.push((*query, true));
            }
            Step::Remove(at) => {
                if !registered.is_empty() {
                    let at = at.index(registered.len());
                    registered.remove(at);
                    for side in [&mut all, &mut filtered, &mut signals] {
                        side.unregister(at);
                    }
                }
            }
        }
        for side in [&mut all, &mut filtered, &mut signals] {
            side.writer.maintain(at);
        }
        compare_readings(&all, &signals, &registered, now_ms);
        assert_eq!(signals.holds(), filtered.holds());
    }
}

fn compare_readings(all: &Side, signals: &Side, registered: &[(usize, bool)], now_ms: i64) {
    for (at, &(query, late)) in registered.iter().enumerate() {
        for (later_ms, pins) in [
            (0, vec![]),
            (500, vec![("inference_pool".to_owned(), "v2".to_owned())]),
            (2_500, vec![]),
        ] {
            let now = Timestamp::from_ms(now_ms + later_ms);
            let read = |side: &Side| {
                let reading = side.reader.signal(side.signals[at], now, &pins);
                let mut reading = reading.expect("registered");
                // Groups come in the order in which their series were first seen.
                reading.elements.sort_by(|a, b| a.labels.cmp(&b.labels));
                reading
            };
            let (want, got) = (read(all), read(signals));
            // One that came late may not know yet. It never knows anything else.
            if late && matches!(got.state, State::Unknown { .. }) {
                continue;
            }
            // Or it holds the same number, because it does not know what was true before a restart.
            if late && matches!(got.state, State::Held { .. }) && got.elements == want.elements {
                continue;
            }
            // What is in no names table may have been lost before anybody read it, which only who keeps all knows.
            let was_lost = matches!(&want.state, State::Unknown { why } if why.contains("no longer has other_total"));
            if late && was_lost {
                continue;
            }
            assert_eq!(
                got, want,
                "{} {pins:?} at {now_ms}+{later_ms}",
                QUERIES[query].0
            );
        }
    }
}

fn is_needed(name: &str, registered: &[(usize, bool)], keeps_counters: bool) -> bool {
    let by = |query: usize| {
        QUERIES[query]
            .1
            .iter()
            .any(|&one| one == "*" || one == name)
    };
    name == START
        || name == "leader_election_master_status"
        || (keeps_counters && (name.ends_with("_total") || name.ends_with("_count")))
        || registered.iter().any(|&(query, _)| by(query))
}
