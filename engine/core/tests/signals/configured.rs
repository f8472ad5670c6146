//! Numbers that a user wants told although they were not measured (S5): a fallback and a floor.

use stillwell_engine::signal::{Fallback, FallbackNumber, Policy};

use crate::scenario::{Gateway, QUEUE, Reported, Scenario, unknown, value};

fn with_fallback(number: FallbackNumber) -> Policy {
    Policy {
        fallback: Some(Fallback {
            after_ms: 5_000,
            number,
        }),
        ..Policy::default()
    }
}

#[track_caller]
fn configured(reported: &Reported, number: f64, words: &[&str]) {
    match reported {
        Reported::Configured(values, why) => {
            assert_eq!(values, &[number]);
            for word in words {
                assert!(why.contains(word), "{why:?} does not say {word:?}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fallback_is_told_only_after_its_time_and_ends_with_the_first_number() {
    let mut scenario = Scenario::new();
    let plain = scenario.register(QUEUE);
    let fixed = scenario.register_with(QUEUE, with_fallback(FallbackNumber::Fixed(3.0)));
    let last = scenario.register_with(QUEUE, with_fallback(FallbackNumber::Last));
    let by_model = "sum by (model_name) (inference_objective_running_requests)";
    let grouped = scenario.register_with(by_model, with_fallback(FallbackNumber::Fixed(3.0)));
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = Some(7.0);
    scenario.rounds(5, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(fixed), value(7.0));
    // Held at first, then unknown for less than the time of the fallback.
    let wait = |scenario: &mut Scenario, ms: i64| {
        for _ in 0..ms / 1_000 {
            scenario.now_ms += 1_000;
            scenario.fail_now(epp);
            scenario.writer.maintain(scenario.at());
        }
    };
    wait(&mut scenario, 5_000);
    for signal in [plain, fixed, last, grouped] {
        unknown(&scenario.reported(signal), &["a:1"]);
    }
    wait(&mut scenario, 5_000);
    unknown(&scenario.reported(plain), &["a:1"]);
    for (signal, number) in [(fixed, 3.0), (last, 7.0), (grouped, 3.0)] {
        configured(&scenario.reported(signal), number, &["not measured", "a:1"]);
    }
    page.queue = Some(9.0);
    scenario.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(fixed), value(9.0));
}

#[test]
fn what_was_never_measured_has_no_last_number() {
    let mut scenario = Scenario::new();
    let last = scenario.register_with(QUEUE, with_fallback(FallbackNumber::Last));
    let epp = scenario.target("a:1");
    for _ in 0..10 {
        scenario.now_ms += 1_000;
        scenario.fail_now(epp);
        scenario.writer.maintain(scenario.at());
    }
    unknown(&scenario.reported(last), &["nothing was measured before"]);
}

#[test]
fn a_floor_lifts_what_is_measured_and_nothing_else() {
    let mut scenario = Scenario::new();
    let signal = scenario.register_with(
        QUEUE,
        Policy {
            floor: Some(5.0),
            ..Policy::default()
        },
    );
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = Some(2.0);
    scenario.rounds(3, &[(epp, Some(&page))]);
    configured(
        &scenario.reported(signal),
        5.0,
        &["floor", "2 was measured"],
    );
    page.queue = Some(6.0);
    scenario.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(scenario.reported(signal), value(6.0));
    scenario.now_ms += 60_000;
    scenario.fail_now(epp);
    unknown(&scenario.reported(signal), &["a:1"]);
}

/// The fallback to the last number had none where the page had lost its family: the empty result had replaced it.
#[test]
fn the_last_number_is_that_of_before_a_loss() {
    let mut scenario = Scenario::new();
    let query = "sum(vllm:num_requests_waiting)";
    let signal = scenario.register_with(query, with_fallback(FallbackNumber::Last));
    let target = scenario.target_of("v", "a:1", &[]);
    for at in 0..100 {
        let page = match at {
            0..10 => "process_start_time_seconds 1\nvllm:num_requests_waiting 10\n",
            _ => "process_start_time_seconds 1\n",
        };
        scenario.scrape_text(target, page);
    }
    configured(&scenario.reported(signal), 10.0, &["not measured", "a:1"]);
}

/// The last value was told as the fallback, though more had been measured in the grace after it.
#[test]
fn the_last_number_is_the_newest_that_was_measured() {
    let mut scenario = Scenario::new();
    let query = "sum(vllm:num_requests_waiting)";
    let signal = scenario.register_with(query, with_fallback(FallbackNumber::Last));
    let target = scenario.target_of("v", "a:1", &[]);
    let page = |start: i64, waiting: i64| {
        format!("process_start_time_seconds {start}\nvllm:num_requests_waiting {waiting}\n")
    };
    for _ in 0..10 {
        scenario.scrape_text(target, &page(1, 6));
    }
    for _ in 0..10 {
        scenario.scrape_text(target, &page(9_000, 40));
    }
    for _ in 0..120 {
        scenario.now_ms += 100;
        scenario.fail_now(target);
        scenario.writer.maintain(scenario.at());
    }
    configured(&scenario.reported(signal), 40.0, &["not measured", "a:1"]);
}
