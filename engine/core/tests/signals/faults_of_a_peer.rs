//! What a peer was found to do wrong (kedify's otel-add-on v0.1.4), one by one, does not happen here.

use stillwell_engine::Limits;
use stillwell_engine::signal::{Nan, Policy, SignalId};

use crate::scenario::{Scenario, unknown, value};

fn world_of(text: &str, query: &str) -> (Scenario, usize, SignalId) {
    let mut scenario = Scenario::new();
    let signal = scenario.register(query);
    let target = scenario.target("a:1");
    scenario.take(target, text);
    (scenario, target, signal)
}

#[test]
fn a_name_once_seen_does_not_make_an_outage_a_zero() {
    let (mut scenario, target, signal) = world_of("x{a=\"1\"} 4\n", "sum(x{a=\"1\"})");
    assert_eq!(scenario.reported(signal), value(4.0));
    scenario.rounds(40, &[(target, None)]);
    unknown(&scenario.reported(signal), &["a:1"]);
}

#[test]
fn a_series_that_left_the_page_is_not_told_once_more() {
    let (mut scenario, target, signal) = world_of("x{a=\"1\"} 4\nx{a=\"2\"} 3\n", "sum(x)");
    scenario.take(target, "x{a=\"2\"} 3\n");
    assert_eq!(scenario.reported(signal), value(3.0));
}

#[test]
fn a_series_without_the_label_is_not_summed() {
    let (scenario, _, signal) =
        world_of("x 100\nx{b=\"1\"} 100\nx{a=\"1\"} 4\n", "sum(x{a=\"1\"})");
    assert_eq!(scenario.reported(signal), value(4.0));
}

#[test]
fn series_that_come_and_go_leave_nothing_behind() {
    let mut scenario = Scenario::with(Limits {
        retention_ms: 60_000,
        ..Limits::default()
    });
    let target = scenario.target("a:1");
    for round in 0..20_000 {
        scenario.take(target, &format!("x{{pod=\"pod-{round}\"}} 1\n"));
        if round % 10 == 0 {
            scenario.writer.maintain(scenario.at());
        }
    }
    let stats = scenario.reader.stats();
    assert!(stats.series < 1_000, "{stats:?}");
    assert!(stats.bytes.total() < 4 << 20, "{stats:?}");
}

#[test]
fn the_number_is_told_as_it_is_and_the_threshold_is_the_scaler_s() {
    let (scenario, _, signal) = world_of("x 0.25\n", "sum(x)");
    assert_eq!(scenario.reported(signal), value(0.25));
}

#[test]
fn changes_within_a_second_and_whole_histograms_are_seen() {
    let page = |count: u64| {
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"1\"}} {count}\nh_bucket{{le=\"+Inf\"}} {}\nx {count}\n",
            2 * count
        )
    };
    let (mut scenario, target, signal) = world_of(&page(1), "sum(x)");
    let nan_is_zero = Policy {
        nan: Nan::Zero,
        ..Policy::default()
    };
    let quantile = scenario.register_with(
        "histogram_quantile(0.5, sum by (le) (rate(h_bucket[1s])))",
        nan_is_zero,
    );
    for count in 2..30 {
        scenario.take(target, &page(count));
        assert_eq!(
            scenario.reported(signal),
            value(count as f64),
            "100 ms later"
        );
    }
    assert_eq!(scenario.reported(quantile), value(1.0));
}
