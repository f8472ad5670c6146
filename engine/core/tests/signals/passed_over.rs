//! What a process has shown while nobody asked for it (`retain: signals` stores nothing of that), and has lost (S4).

use stillwell_engine::labels::{RelabelAction, RelabelRule, RelabelSpec};
use stillwell_engine::limits::REMEMBERED_METRICS_MAX;
use stillwell_engine::signal::Policy;
use stillwell_engine::{Format, Retain, TargetSpec};

use crate::commits::commit;
use crate::scenario::{INTERVAL_MS, Reported, Scenario, unknown, value};
use crate::servers::{WAITING, restarted, server};

const SUM: &str = "sum(my_queue)";
/// A label of which `retain: signals` reads the values of every metric.
const OF_POOL: &str = "{inference_pool=\"p\"}";

/// A page with these metrics; those without a number are not on it.
fn page(start: Option<i64>, metrics: &[(&str, Option<i64>)]) -> String {
    let start = start.map(|start| ("process_start_time_seconds", Some(start)));
    let all = start.iter().chain(metrics);
    let shown = all.filter_map(|(name, value)| Some(format!("{name} {}\n", (*value)?)));
    shown.collect()
}

/// So many pages of two targets.
fn rounds(scenario: &mut Scenario, targets: [usize; 2], count: usize, pages: [&str; 2]) {
    for _ in 0..count {
        scenario.now_ms += INTERVAL_MS;
        for (target, page) in targets.into_iter().zip(pages) {
            scenario.take_now(target, page);
        }
    }
}

/// A rule that may write any name, so that every line is looked at.
fn renames() -> RelabelRule {
    let spec = RelabelSpec {
        action: RelabelAction::LabelMap,
        regex: "renamed_(.+)".to_owned(),
        ..RelabelSpec::default()
    };
    RelabelRule::new(spec).expect("valid")
}

/// Of two targets one had lost a queue of the user's own before anybody asked for it: 1 of 129 was told.
#[test]
fn what_nobody_had_asked_for_is_lost_as_anything_else() {
    let specs = |retain, is_relabelled| {
        ["a:1", "b:1"].map(|name| {
            let metric_relabel = match is_relabelled {
                true => vec![renames()],
                false => Vec::new(),
            };
            TargetSpec {
                metric_relabel,
                ..server(name, retain)
            }
        })
    };
    let both = |first: Option<i64>, is_of_pool: bool| {
        let name = format!("my_queue{}", if is_of_pool { OF_POOL } else { "" });
        move |start: i64| {
            let of = |start, queue| {
                page(
                    Some(start),
                    &[("my_requests_total", Some(3)), (&name, queue)],
                )
            };
            [of(start, first), of(1, Some(1))]
        }
    };
    for (retain, is_relabelled, is_of_pool) in [
        (Retain::All, false, false),
        (Retain::Signals, false, false),
        (Retain::Signals, false, true),
        (Retain::Signals, true, false),
    ] {
        // Whether a signal read it before, how many pages lacked it when the next one came, and whether we restarted in between.
        for (was_read, pages_without, restarts) in [
            (false, 0, false),
            (false, 3, false),
            (true, 3, false),
            (false, 0, true),
            (false, 3, true),
        ] {
            let case = format!(
                "{retain:?} {is_relabelled} {is_of_pool} {was_read} {pages_without} {restarts}"
            );
            let mut scenario = Scenario::new();
            let before = was_read.then(|| scenario.register(SUM));
            let mut targets = specs(retain, is_relabelled).map(|spec| scenario.target_with(spec));
            let (has, lacks) = (both(Some(128), is_of_pool), both(None, is_of_pool));
            let take = |scenario: &mut Scenario, targets, count, pages: [String; 2]| {
                rounds(scenario, targets, count, [&pages[0], &pages[1]]);
            };
            take(&mut scenario, targets, 3, has(1));
            if let Some(before) = before {
                scenario.reader.remove(before);
                take(&mut scenario, targets, 3, has(1));
            }
            take(&mut scenario, targets, pages_without, lacks(1));
            if restarts {
                scenario = restarted(scenario);
                targets = specs(retain, is_relabelled).map(|spec| scenario.target_with(spec));
                take(&mut scenario, targets, 3, lacks(1));
            }
            let signal = scenario.register(SUM);
            take(&mut scenario, targets, 3, lacks(1));
            scenario.now_ms += 300_000;
            take(&mut scenario, targets, 3, lacks(1));
            match scenario.reported(signal) {
                Reported::Unknown(why) => {
                    assert!(why.contains("no longer has my_queue"), "{case}: {why}")
                }
                told => panic!("{case}: {told:?}"),
            }
            // Another process has not lost it, whoever asks then.
            take(&mut scenario, targets, 3, lacks(2));
            scenario.reader.remove(signal);
            take(&mut scenario, targets, 3, lacks(2));
            let signal = scenario.register(SUM);
            scenario.now_ms += 300_000;
            take(&mut scenario, targets, 3, lacks(2));
            assert_eq!(scenario.reported(signal), value(1.0), "{case}");
            take(&mut scenario, targets, 3, has(2));
            assert_eq!(scenario.reported(signal), value(129.0), "{case}");
        }
    }
}

/// A restarted process shows a metric only after its first page, when the signal that read it has gone, and loses it: who asked then was
/// told the rest.
#[test]
fn what_another_process_shows_later_is_its_own_whoever_asked_before() {
    for (metric, label) in [("my_queue", ""), ("my_queue", OF_POOL), (WAITING, "")] {
        let shown = format!("{metric}{label}");
        for (read_at_restart, says_start) in
            [(true, true), (false, true), (true, false), (false, false)]
        {
            let case = format!("{shown} {read_at_restart} {says_start}");
            let text = format!("sum({metric})");
            let of = |start: i64, counted: Option<i64>, queue| {
                let start = says_start.then_some(start);
                page(
                    start,
                    &[("a_gauge", Some(1)), ("a_total", counted), (&shown, queue)],
                )
            };
            let second = of(1, Some(9), Some(1));
            let mut scenario = Scenario::new();
            let targets =
                ["a:1", "b:1"].map(|name| scenario.target_with(server(name, Retain::Signals)));
            let take = |scenario: &mut Scenario, first: String| {
                rounds(scenario, targets, 3, [&first, &second]);
            };
            let before = scenario.register(&text);
            take(&mut scenario, of(1, Some(9), Some(128)));
            if !read_at_restart {
                scenario.reader.remove(before);
                take(&mut scenario, of(1, Some(9), Some(128)));
            }
            // A page that does not say when its process started, and all of whose counters are gone, is of another one.
            take(&mut scenario, of(2, None, None));
            if read_at_restart {
                scenario.reader.remove(before);
                take(&mut scenario, of(2, None, None));
            }
            // It has shown nothing so far.
            let first = scenario.register(&text);
            scenario.now_ms += 300_000;
            take(&mut scenario, of(2, None, None));
            assert_eq!(scenario.reported(first), value(1.0), "{case}");
            scenario.reader.remove(first);
            take(&mut scenario, of(2, None, None));
            take(&mut scenario, of(2, None, Some(64)));
            take(&mut scenario, of(2, None, None));
            let signal = scenario.register(&text);
            scenario.now_ms += 300_000;
            take(&mut scenario, of(2, None, None));
            let told = scenario.reported(signal);
            let says = matches!(&told, Reported::Unknown(why) if why.contains("no longer has"));
            assert!(says, "{case}: {told:?}");
        }
    }
}

/// Of a process that has shown more names than are remembered it is not known whether it has shown another one.
#[test]
fn above_what_is_remembered_of_a_process_a_number_is_unknown() {
    let mut scenario = Scenario::new();
    let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, Retain::Signals)));
    let start = page(Some(1), &[]);
    let [with, second] = [128, 1].map(|queue| page(Some(1), &[("my_queue", Some(queue))]));
    rounds(&mut scenario, targets, 3, [&start, &second]);
    let many: String = (0..REMEMBERED_METRICS_MAX)
        .map(|number| format!("of_many_{number} 1\n"))
        .collect();
    rounds(
        &mut scenario,
        targets,
        1,
        [&(start.clone() + &many), &second],
    );
    rounds(
        &mut scenario,
        targets,
        1,
        [&(with.clone() + &many), &second],
    );
    rounds(&mut scenario, targets, 1, [&start, &second]);
    let signal = scenario.register(SUM);
    scenario.now_ms += 300_000;
    rounds(&mut scenario, targets, 3, [&start, &second]);
    unknown(&scenario.reported(signal), &["a:1", "my_queue", "16384"]);
    rounds(&mut scenario, targets, 3, [&with, &second]);
    assert_eq!(scenario.reported(signal), value(129.0));
}

/// A page was on its way when a signal came: it was the only one that showed what the signal reads, and was read without it.
#[test]
fn a_page_that_was_read_before_a_signal_came_has_shown_what_that_reads() {
    for metric in ["my_queue", WAITING] {
        let mut scenario = Scenario::new();
        let targets =
            ["a:1", "b:1"].map(|name| scenario.target_with(server(name, Retain::Signals)));
        let of = |queue| page(Some(1), &[(metric, queue)]);
        let (with, without, second) = (of(Some(128)), of(None), of(Some(1)));
        rounds(&mut scenario, targets, 3, [&without, &second]);
        scenario.now_ms += INTERVAL_MS;
        let at = scenario.at();
        let stage = scenario.stages[targets[0]].as_mut().expect("listed");
        let staged = stage.parse(with.as_bytes(), Format::Text).expect("a page");
        let signal = scenario
            .writer
            .register(&format!("sum({metric})"), Policy::default());
        commit(&mut scenario.writer, staged, at, 0).expect("taken");
        rounds(&mut scenario, targets, 3, [&without, &second]);
        scenario.now_ms += 300_000;
        rounds(&mut scenario, targets, 3, [&without, &second]);
        unknown(
            &scenario.reported(signal.expect("a query")),
            &["a:1", "no longer has"],
        );
        rounds(&mut scenario, targets, 3, [&with, &second]);
    }
}

/// Lines that are passed over are not checked: one that is no sample hid from a restart what came behind it.
#[test]
fn a_line_that_nobody_needs_hides_nothing_of_another_process() {
    let mut scenario = Scenario::new();
    let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, Retain::Signals)));
    let of = |start: i64, nobody_s: &str, queue| {
        page(Some(start), &[]) + nobody_s + &page(None, &[("my_queue", queue)])
    };
    let second = of(1, "of_nobody 1\n", Some(1));
    let mut take = |first: String| rounds(&mut scenario, targets, 3, [&first, &second]);
    take(of(1, "of_nobody 1\n", Some(128)));
    take(of(2, "of_nobody one\n", Some(64)));
    take(of(2, "of_nobody one\n", None));
    let signal = scenario.register(SUM);
    scenario.now_ms += 300_000;
    let lacks = of(2, "of_nobody one\n", None);
    rounds(&mut scenario, targets, 3, [&lacks, &second]);
    unknown(
        &scenario.reported(signal),
        &["a:1", "no longer has my_queue"],
    );
}

/// The first page of another process showed a metric, which the next one had lost.
#[test]
fn what_the_first_page_of_another_process_shows_is_known() {
    for (metric, label) in [("my_queue", ""), ("my_queue", OF_POOL), (WAITING, "")] {
        let shown = format!("{metric}{label}");
        for says_start in [true, false] {
            let mut scenario = Scenario::new();
            let targets =
                ["a:1", "b:1"].map(|name| scenario.target_with(server(name, Retain::Signals)));
            let of = |start: i64, counted, queue| {
                let start = says_start.then_some(start);
                page(
                    start,
                    &[("a_gauge", Some(1)), ("a_total", counted), (&shown, queue)],
                )
            };
            let second = of(1, Some(9), Some(1));
            let mut take = |first: String| rounds(&mut scenario, targets, 3, [&first, &second]);
            take(of(1, Some(9), Some(128)));
            take(of(2, None, Some(64)));
            take(of(2, None, None));
            let signal = scenario.register(&format!("sum({metric})"));
            scenario.now_ms += 300_000;
            rounds(&mut scenario, targets, 3, [&of(2, None, None), &second]);
            unknown(&scenario.reported(signal), &["a:1", "no longer has"]);
        }
    }
}
