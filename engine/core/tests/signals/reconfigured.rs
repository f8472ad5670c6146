//! A target that goes on under another configuration: what was measured stays until its next page.

use stillwell_engine::labels::{Labels, RelabelAction, RelabelRule, RelabelSpec};
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{Retain, TargetSpec};

use crate::scenario::{INTERVAL_MS, Scenario, unknown, value};

const PAGE: &str = "process_start_time_seconds 1000\nmy_queue{model_name=\"m\"} 7\n\
                    my_queue{model_name=\"n\"} 5\n";

fn spec() -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("instance", "a:1"), ("job", "epp")]),
        interval_ms: INTERVAL_MS as u64,
        ..TargetSpec::default()
    }
}

fn relabelled(action: RelabelAction, replacement: &str) -> TargetSpec {
    let rule = RelabelRule::new(RelabelSpec {
        source_labels: vec!["model_name".to_owned()],
        regex: "(m)".to_owned(),
        target_label: "model_name".to_owned(),
        replacement: replacement.to_owned(),
        action,
        ..RelabelSpec::default()
    });
    TargetSpec {
        metric_relabel: vec![rule.expect("a rule")],
        ..spec()
    }
}

impl Scenario {
    fn configure(&mut self, target: usize, spec: TargetSpec) {
        let stage = self.stages[target].take().expect("the target is listed");
        self.stages[target] = Some(self.writer.configure_target(stage, spec));
    }

    /// How many series a query selects now.
    fn count(&self, query: &str) -> usize {
        let query = Query::parse(query, &Features::default()).expect("the query is valid");
        let options = EvalOptions::default();
        let answer = self.reader.instant_if_cheap(&query, self.at(), &options);
        match answer.map(|answer| answer.value) {
            Some(Value::Vector(samples)) => samples.len(),
            other => panic!("{other:?}"),
        }
    }
}

/// After a reload with another limit or interval a query was empty until the next scrape, and KEDA takes nothing for 0.
#[test]
fn what_a_page_showed_stays_until_the_next_page_or_a_failed_scrape() {
    for fails in [false, true] {
        let mut scenario = Scenario::new();
        let queue = scenario.register("sum(my_queue)");
        let target = scenario.target_with(TargetSpec {
            extra_metrics: Some(10.0),
            ..spec()
        });
        scenario.take(target, PAGE);
        scenario.take(target, PAGE);
        scenario.configure(
            target,
            TargetSpec {
                sample_limit: 100,
                interval_ms: 3 * INTERVAL_MS as u64,
                ..spec()
            },
        );
        assert_eq!(scenario.reported(queue), value(12.0));
        assert_eq!((scenario.count("my_queue"), scenario.count("up")), (2, 1));
        match fails {
            true => {
                scenario.now_ms += INTERVAL_MS;
                scenario.fail_now(target);
            }
            false => scenario.take(target, "process_start_time_seconds 1000\nmy_queue 3\n"),
        }
        assert_eq!(scenario.count("my_queue"), usize::from(!fails));
        let reports = ["up", "scrape_sample_limit", "scrape_timeout_seconds"];
        assert_eq!(reports.map(|name| scenario.count(name)), [1, 0, 0]);
    }
}

/// Until the next page it is not known what the rules of now make of it; then all is told, also where its series are the same.
#[test]
fn a_page_under_other_rules_is_waited_for_and_told_then() {
    let mut scenario = Scenario::new();
    let by_model = scenario.register("sum(my_queue{model_name=\"m\"})");
    let all = scenario.register("sum(my_queue)");
    let target = scenario.target_with(spec());
    scenario.take(target, PAGE);
    scenario.take(target, PAGE);
    assert_eq!(scenario.reported(by_model), value(7.0));
    scenario.configure(target, relabelled(RelabelAction::Replace, "x$1"));
    assert_eq!(scenario.count("my_queue"), 2);
    unknown(&scenario.reported(all), &["first scrape"]);
    scenario.take(target, PAGE);
    assert_eq!(scenario.reported(all), value(12.0));
    let honoring = TargetSpec {
        honor_labels: true,
        ..spec()
    };
    for same in [spec(), honoring] {
        scenario.configure(target, same);
        unknown(&scenario.reported(all), &["first scrape"]);
        scenario.take(target, PAGE);
        assert_eq!(scenario.reported(all), value(12.0));
    }
    scenario.configure(target, spec());
    scenario.take(target, PAGE);
    assert_eq!(scenario.reported(by_model), value(7.0));
}

/// What was passed over is no proof of absence for a target that keeps everything from now on.
#[test]
fn another_way_to_keep_samples_is_waited_for() {
    let mut scenario = Scenario::new();
    let target = scenario.target_with(TargetSpec {
        retain: Retain::Signals,
        ..spec()
    });
    scenario.take(target, PAGE);
    scenario.take(target, PAGE);
    scenario.configure(target, spec());
    let queue = scenario.register("sum(my_queue)");
    unknown(&scenario.reported(queue), &["first scrape"]);
    scenario.take(target, PAGE);
    assert_eq!(scenario.reported(queue), value(12.0));
}
