//! What a signal makes of a page is what the page says: nothing of another series, another time or another row.

use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::limits::REMEMBERED_VALUES_MAX;
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, View};
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};

use crate::scenario::{Gateway, INTERVAL_MS, Reported, Scenario, unknown, value};

/// A gateway whose page may state timestamps.
fn with_timestamps() -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("job", "epp"), ("instance", "a:1")]),
        interval_ms: INTERVAL_MS as u64,
        honor_timestamps: true,
        ..TargetSpec::default()
    }
}

#[test]
fn timestamps_on_the_page_are_not_told_to_a_scaler() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(x)");
    let (_, stage) = scenario.writer.add_target(with_timestamps());
    scenario.stages.push(Some(stage));
    let at_ms = scenario.now_ms;
    scenario.scrape_text(0, &format!("x 7 {at_ms}\n"));
    unknown(
        &scenario.reported(signal),
        &[
            "{__name__=\"x\"} carries timestamps of its own",
            "honor_timestamps",
        ],
    );
    scenario.scrape_text(0, &format!("x 7 {}\n", i64::MAX / 2));
    assert!(
        scenario
            .reader
            .signal(signal, Timestamp::MIN, &[])
            .is_some()
    );
}

/// The old number was told for as long as the page had a newer one with a timestamp that was too old to be stored.
#[test]
fn a_number_that_is_replaced_by_one_with_a_timestamp_is_not_told_any_more() {
    for timestamp_ms in ["9999000", "9000000", "1", "10000100", "99999999999999"] {
        let mut scenario = Scenario::new();
        let signals = ["sum(x)", "x", "max(x) or vector(0)", "sum(x) or vector(0)"]
            .map(|text| (text, scenario.register(text)));
        let target = scenario.target_with(with_timestamps());
        for _ in 0..3 {
            scenario.scrape_text(target, "x{q=\"a\"} 5\n");
        }
        for _ in 0..30 {
            scenario.scrape_text(target, &format!("x{{q=\"a\"}} 9 {timestamp_ms}\n"));
            for (text, signal) in &signals {
                let reported = scenario.reported(*signal);
                assert!(
                    matches!(reported, Reported::Unknown(_)),
                    "{text} with {timestamp_ms}: {reported:?}"
                );
            }
        }
    }
}

/// A series whose page had stated timestamps once stayed unknown until it ended.
#[test]
fn a_series_whose_page_states_no_timestamps_any_more_is_as_fresh_as_its_page() {
    let mut scenario = Scenario::new();
    let signals = ["sum(x)", "max(x) or vector(0)", "x"].map(|text| scenario.register(text));
    let target = scenario.target_with(with_timestamps());
    let is_unknown = |reported: Reported| matches!(reported, Reported::Unknown(_));
    for round in 1..4 {
        for _ in 0..3 {
            let at_ms = scenario.now_ms;
            scenario.scrape_text(target, &format!("x{{q=\"a\"}} 5 {at_ms}\n"));
            for signal in &signals {
                let reported = scenario.reported(*signal);
                assert!(is_unknown(reported.clone()), "{round}: {reported:?}");
            }
        }
        for _ in 0..3 {
            scenario.scrape_text(target, &format!("x{{q=\"a\"}} {round}\n"));
            for signal in &signals {
                assert_eq!(scenario.reported(*signal), value(f64::from(round)));
            }
        }
    }
    scenario.scrape_text(target, "x{q=\"a\"} 9\n");
    scenario.scrape_text(target, "y 1\n");
    assert!(is_unknown(scenario.reported(signals[0])), "it has ended");
}

#[test]
fn a_number_given_to_another_series_is_not_summed() {
    let mut scenario = Scenario::with(Limits {
        retention_ms: 1_000,
        ..Limits::default()
    });
    let signal = scenario.register("sum(llm_d_epp_flow_control_queue_size)");
    let target = scenario.target("a:1");
    let base = "llm_d_epp_flow_control_pool_saturation 1\n";
    for _ in 0..2 {
        scenario.scrape_text(
            target,
            &format!("{base}llm_d_epp_flow_control_queue_size{{m=\"x\"}} 5\n"),
        );
    }
    for _ in 0..40 {
        scenario.scrape_text(target, base);
    }
    for number in 0..5 {
        let line = format!("{base}go_memstats_{number}_bytes 123456\n");
        scenario.scrape_text(target, &line);
        assert_eq!(scenario.reported(signal), value(0.0));
    }
}

/// Of a page with more values than are remembered, the pool behind them was not learned: the gateway was left out of the
/// pool's sum, and the other one's 0 was told.
#[test]
fn a_pool_behind_any_number_of_label_values_is_known() {
    let mut scenario = Scenario::new();
    let signal =
        scenario.register("sum(inference_extension_flow_control_queue_size{inference_pool=\"b\"})");
    let (one, other) = (scenario.target("a:1"), scenario.target("b:1"));
    let mut page = Gateway::of("a").page();
    for model in 0..=2 * REMEMBERED_VALUES_MAX {
        page += &format!("inference_objective_request_total{{model_name=\"m{model}\"}} 1\n");
    }
    page += "inference_extension_flow_control_queue_size{fairness_id=\"f\",inference_pool=\"b\",\
             model_name=\"m\",priority=\"0\",target_model_name=\"m\"} 9\n";
    let mut idle = Gateway::of("b");
    idle.queue = Some(0.0);
    for _ in 0..3 {
        scenario.take(one, &page);
        scenario.take_now(other, &idle.page());
    }
    assert_eq!(scenario.counting(signal), ["a:1", "b:1"]);
    assert_eq!(scenario.reported(signal), value(9.0));
}

#[test]
fn a_row_that_cannot_stay_does_not_lend_its_prefix_to_another() {
    let (mut writer, reader) = Engine::new(Limits::default());
    let spec = TargetSpec {
        honor_timestamps: true,
        ..TargetSpec::default()
    };
    let (_, mut stage) = writer.add_target(spec);
    let pages = [
        "aaa{x=\"1\"} 1\nbbb{x=\"1\"} 2\nbbb{x=\"2\"} 3\n",
        "aaa{x=\"1\"} 1\nbbb{x=\"1\"} 2 1000\naaa{x=\"2\"} 9\n",
    ];
    for (round, page) in pages.into_iter().enumerate() {
        let staged = stage.parse(page.as_bytes(), Format::Text).expect("parses");
        let at = Timestamp::from_ms(500 + 1000 * round as i64);
        writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("taken");
    }
    let request = SelectRequest {
        matchers: &[Matcher::equal("x", "2")],
        after_ms: 1_400,
        until_ms: 1_500,
        projection: Projection::All,
        last_only: false,
        memory: None,
        stop: None,
    };
    let selection = reader.plain().select(&request).expect("answers");
    let mut seen = Vec::new();
    for index in 0..selection.len() {
        let mut samples = Samples::default();
        selection.read(index, &mut samples);
        let is_nan = samples.values.first().is_some_and(|value| value.is_nan());
        let shown = if is_nan {
            "stale".to_owned()
        } else {
            format!("{:?}", samples.values)
        };
        seen.push(format!("{} {shown}", selection.labels(index)));
    }
    seen.sort();
    assert_eq!(seen, ["aaa{x=\"2\"} [9.0]", "bbb{x=\"2\"} stale"]);
}

/// A page of a cache or of a federation that lags: `or vector(0)` made 0 of 30.
#[test]
fn a_series_whose_page_states_an_old_time_is_not_absent() {
    for before in ["", "vllm:num_requests_waiting{model_name=\"m\"} 30\n"] {
        // Older than the lookback, and older than what is kept at all.
        for age_ms in [100, 600_000, 9_000_000] {
            let mut scenario = Scenario::new();
            let signals = [
                scenario.register("sum(vllm:num_requests_waiting) or vector(0)"),
                scenario.register("sum(vllm:num_requests_waiting)"),
                scenario.register("count(vllm:num_requests_waiting > 5) or vector(0)"),
            ];
            let target = scenario.target_with(with_timestamps());
            scenario.take(
                target,
                &format!("vllm:num_requests_running{{model_name=\"m\"}} 1\n{before}"),
            );
            for _ in 0..3 {
                let at_ms = scenario.now_ms - age_ms;
                scenario.take(
                    target,
                    &format!(
                        "vllm:num_requests_running{{model_name=\"m\"}} 1\n\
                         vllm:num_requests_waiting{{model_name=\"m\"}} 30 {at_ms}\n"
                    ),
                );
                for signal in signals {
                    unknown(&scenario.reported(signal), &["of its own"]);
                }
            }
        }
    }
}

/// The second time that a line stated a time, its series was missing from the sum of a compiled query, or told as new.
#[test]
fn a_series_that_states_a_time_again_is_refused_again() {
    for (own, what) in [(-100, "young"), (-3_600_000, "old"), (3_000, "ahead")] {
        let mut scenario = Scenario::new();
        let signals = [
            scenario.register("sum(x)"),
            scenario.register("sum(x) or vector(0)"),
            scenario.register("max(x) or vector(0)"),
            scenario.register("max_over_time(sum(x)[1s:100ms])"),
        ];
        let (_, stage) = scenario.writer.add_target(with_timestamps());
        scenario.stages.push(Some(stage));
        let other = scenario.target("b:1");
        for round in 0..4 {
            for _ in 0..30 {
                scenario.take(0, "x 30\n");
                scenario.take_now(other, "x 5\n");
            }
            for (signal, number) in signals.iter().zip([35.0, 35.0, 30.0, 35.0]) {
                assert_eq!(scenario.reported(*signal), value(number), "{what}, {round}");
            }
            let page = format!("x 30 {}\n", scenario.now_ms + own);
            scenario.take(0, &page);
            scenario.take_now(other, "x 5\n");
            for signal in signals {
                unknown(&scenario.reported(signal), &["timestamps of its own"]);
            }
        }
    }
}
