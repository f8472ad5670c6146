//! A target that goes on under another configuration: what was measured stays until its next page.

use stillwell_engine::labels::{Labels, RelabelAction, RelabelRule, RelabelSpec};
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{Retain, TargetSpec};

use crate::scenario::{INTERVAL_MS, Reported, Scenario, held, unknown, value};
use crate::servers::restarted;

const PAGE: &str = "process_start_time_seconds 1000\nmy_queue{model_name=\"m\"} 7\n\
                    my_queue{model_name=\"n\"} 5\n";

fn spec() -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("instance", "a:1"), ("job", "epp")]),
        interval_ms: INTERVAL_MS as u64,
        ..TargetSpec::default()
    }
}

/// A rule that makes another value of a label, or acts on the labels whose name it fits.
fn relabelled(action: RelabelAction, replacement: &str) -> TargetSpec {
    rule(action, ("model_name", "(m)"), replacement)
}

fn rule(action: RelabelAction, (label, regex): (&str, &str), replacement: &str) -> TargetSpec {
    let of_names = RelabelSpec {
        regex: label.to_owned(),
        action,
        ..RelabelSpec::default()
    };
    let of_value = RelabelSpec {
        source_labels: vec![label.to_owned()],
        regex: regex.to_owned(),
        ..of_names.clone()
    };
    let rule = RelabelRule::new(match action {
        RelabelAction::LabelDrop => of_names,
        RelabelAction::Replace => RelabelSpec {
            target_label: label.to_owned(),
            replacement: replacement.to_owned(),
            ..of_value
        },
        _ => of_value,
    });
    TargetSpec {
        metric_relabel: vec![rule.expect("a rule")],
        ..spec()
    }
}

fn of(spec: TargetSpec, labels: &[(&str, &str)]) -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs(labels.iter().copied()),
        ..spec
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

/// After a reload to a shorter interval the first page seemed to come after a gap, and rates were unknown for their window.
#[test]
fn a_page_that_was_due_by_the_interval_of_before_ends_no_gap() {
    let mut scenario = Scenario::new();
    let rate = scenario.register("sum(rate(my_total[10s]))");
    let target = scenario.target_with(spec());
    for count in 0..200 {
        scenario.take(
            target,
            &format!("process_start_time_seconds 1000\nmy_total {count}\n"),
        );
    }
    let slow = TargetSpec {
        interval_ms: 50 * INTERVAL_MS as u64,
        ..spec()
    };
    scenario.configure(target, slow);
    for count in [250, 300] {
        scenario.now_ms += 49 * INTERVAL_MS;
        scenario.take(
            target,
            &format!("process_start_time_seconds 1000\nmy_total {count}\n"),
        );
    }
    scenario.configure(target, spec());
    scenario.now_ms += 49 * INTERVAL_MS;
    scenario.take(target, "process_start_time_seconds 1000\nmy_total 350\n");
    let Reported::Value(told) = scenario.reported(rate) else {
        panic!("{:?}", scenario.reported(rate));
    };
    assert!((9.0..11.0).contains(&told[0]), "{told:?}");
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

/// Requests waited, and 0 was told: the value of a label, and that the family has it, were known from the rules of before.
#[test]
fn what_rules_no_longer_give_proves_no_absence() {
    use RelabelAction::{LabelDrop, Replace};
    let page = "my_queue{model_name=\"m\"} 16\n";
    for spec in [relabelled(LabelDrop, ""), relabelled(Replace, "x$1")] {
        let mut scenario = Scenario::new();
        let queue = scenario.register("sum(my_queue{model_name=\"m\"})");
        let all = scenario.register("sum(my_queue)");
        let other = scenario.target_of("epp", "b:1", &[]);
        let target = scenario.target_with(self::spec());
        for one in [other, target] {
            scenario.take(one, page);
        }
        assert_eq!(scenario.reported(queue), value(32.0));
        // The other one of its group has the model idle under the rules of before, and answers first.
        scenario.configure(target, spec.clone());
        let other_spec = of(spec, &[("instance", "b:1"), ("job", "epp")]);
        scenario.take(other, "my_queue{model_name=\"n\"} 0\n");
        unknown(&scenario.reported(queue), &["first scrape"]);
        scenario.configure(other, other_spec);
        for _ in 0..3 {
            scenario.take(other, page);
            scenario.take(target, page);
            unknown(&scenario.reported(queue), &["model_name"]);
        }
        assert_eq!(scenario.reported(all), value(32.0));
    }
}

/// The pools of the rules of before stayed those of the target: 0 was told of one, and of the other what has no label of its own
/// was not.
#[test]
fn pools_are_those_of_the_rules_of_now() {
    const FAMILY: &str = "inference_extension_flow_control_queue_size";
    let labelled = format!("{FAMILY}{{inference_pool=\"p\"}} 16\n");
    let derived =
        format!("inference_pool_ready_pods{{name=\"p\"}} 1\n{FAMILY}{{fairness_id=\"f\"}} 16\n");
    for (page, label) in [(labelled, "inference_pool"), (derived, "name")] {
        let mut scenario = Scenario::new();
        let [before, after] = ["p", "q"]
            .map(|pool| scenario.register(&format!("sum({FAMILY}{{inference_pool=\"{pool}\"}})")));
        let target = scenario.target_with(spec());
        scenario.take(target, &page);
        scenario.take(target, &page);
        assert_eq!(scenario.reported(before), value(16.0));
        scenario.configure(target, rule(RelabelAction::Replace, (label, "p"), "q"));
        for signal in [before, after] {
            unknown(&scenario.reported(signal), &["first scrape"]);
        }
        scenario.take(target, &page);
        unknown(&scenario.reported(before), &["serves"]);
        assert_eq!(scenario.reported(after), value(16.0));
    }
}

/// A gateway that stopped answering as the rules changed was taken for one that never answered, and 5 of 35 was told.
#[test]
fn a_target_that_stops_answering_with_a_change_of_its_rules_is_missed() {
    let rules = [
        relabelled(RelabelAction::Replace, "x$1"),
        rule(RelabelAction::Drop, ("__name__", "go_.*"), ""),
    ];
    for (spec, answers) in rules.iter().flat_map(|spec| [(spec, false), (spec, true)]) {
        let mut scenario = Scenario::new();
        let queue = scenario.register("sum(my_queue)");
        let target = scenario.target_with(self::spec());
        let other = scenario.target_of("other", "b:1", &[]);
        for _ in 0..2 {
            scenario.take(target, "my_queue 30\n");
            scenario.take(other, "my_queue 5\n");
        }
        assert_eq!(scenario.reported(queue), value(35.0));
        scenario.configure(target, spec.clone());
        for _ in 0..40 {
            scenario.now_ms += INTERVAL_MS;
            match answers {
                true => scenario.fail_answered(target),
                false => scenario.fail_now(target),
            }
            scenario.scrape_text(other, "my_queue 5\n");
            unknown(&scenario.reported(queue), &["a:1"]);
        }
        scenario.take(target, "my_queue 30\n");
        assert_eq!(scenario.reported(queue), value(35.0));
    }
}

/// Likewise one of two pods that hung and was not ready any more, for which the other one stood.
#[test]
fn a_pod_that_hangs_and_is_not_ready_is_missed_under_other_rules_too() {
    let mut scenario = Scenario::new();
    let queue = scenario.register("sum(my_queue)");
    let labels = |instance| [("instance", instance), ("job", "epp")];
    let pods = ["a:1", "b:1"].map(|one| scenario.target_with(of(spec(), &labels(one))));
    let pages = ["my_queue 30\n", "my_queue 5\n"];
    for _ in 0..30 {
        for at in 0..2 {
            scenario.scrape_text(pods[at], pages[at]);
        }
    }
    let rules = relabelled(RelabelAction::Replace, "x$1");
    for (at, instance) in ["a:1", "b:1"].into_iter().enumerate() {
        let spec = TargetSpec {
            not_ready: at == 0,
            ..of(rules.clone(), &labels(instance))
        };
        scenario.configure(pods[at], spec);
    }
    for _ in 0..40 {
        scenario.now_ms += INTERVAL_MS;
        scenario.fail_now(pods[0]);
        scenario.scrape_text(pods[1], pages[1]);
        unknown(&scenario.reported(queue), &["a:1"]);
    }
}

/// What a rule drops on purpose was lost for ever: every signal on it was unknown until each process had restarted.
#[test]
fn what_rules_leave_out_is_not_lost() {
    use RelabelAction::{Drop, Replace};
    let page = |count: u8| {
        format!(
            "process_start_time_seconds 1000\nmy_queue {count}\nvllm:num_requests_waiting {count}\n\
             my_total {count}\n"
        )
    };
    let names = "my_queue|vllm:.*|my_total";
    let renamed = rule(Replace, ("__name__", &format!("({names})")), "x_$1");
    for rules in [rule(Drop, ("__name__", names), ""), renamed] {
        let mut scenario = Scenario::new();
        let signals = ["my_queue", "vllm:num_requests_waiting"]
            .map(|metric| scenario.register(&format!("sum({metric})")));
        let of_job = ["c:1", "a:1"].map(|one| [("instance", one), ("job", "epp")]);
        let [second, target] = of_job.map(|labels| scenario.target_with(of(spec(), &labels)));
        let other = scenario.target_of("other", "b:1", &[]);
        for _ in 0..2 {
            for (one, count) in [(second, 1), (target, 7), (other, 5)] {
                scenario.take(one, &page(count));
            }
        }
        // Nobody else gives a page between these and the reading.
        for (one, labels) in [second, target].into_iter().zip(of_job) {
            scenario.configure(one, of(rules.clone(), &labels));
        }
        for one in [second, target] {
            scenario.take(one, &page(7));
        }
        for signal in signals {
            assert_eq!(scenario.reported(signal), value(5.0));
        }
        // It is nothing of the target's any more.
        for _ in 0..10 {
            scenario.now_ms += INTERVAL_MS;
            scenario.fail_now(target);
            scenario.take_now(other, &page(0));
        }
        assert_eq!(scenario.reported(signals[0]), value(0.0));
        // What it has under the rules of now and loses later is lost as ever.
        scenario.configure(target, spec());
        for page in [page(7).as_str(), "process_start_time_seconds 1000\n"] {
            scenario.take(target, page);
            scenario.take(other, self::page_of(5).as_str());
        }
        unknown(&scenario.reported(signals[0]), &["my_queue", "a:1"]);
    }
}

fn page_of(count: u8) -> String {
    format!("process_start_time_seconds 1000\nmy_queue {count}\n")
}

/// Labels that a page replaced under `honor_labels` counted as replaced without it, too: the target was asked for what it
/// cannot have.
#[test]
fn what_a_page_replaces_is_what_it_replaces_under_the_rules_of_now() {
    let labels = [("instance", "a:1"), ("job", "epp"), ("namespace", "x")];
    let honoring = TargetSpec {
        honor_labels: true,
        ..of(spec(), &labels)
    };
    let mut scenario = Scenario::new();
    let of_z = scenario.register("sum(my_queue{namespace=\"z\"})");
    let target = scenario.target_with(honoring);
    let other = scenario.target_of("other", "b:1", &[("namespace", "z")]);
    let page = "my_queue{namespace=\"z\"} 4\nmy_queue{namespace=\"y\"} 2\n";
    scenario.take(target, page);
    scenario.take(other, "my_queue 5\n");
    assert_eq!(scenario.reported(of_z), value(9.0));
    scenario.configure(target, of(spec(), &labels));
    scenario.take(target, page);
    scenario.take(other, "my_queue 5\n");
    assert_eq!(scenario.reported(of_z), value(5.0));
    assert_eq!(scenario.counting(of_z), ["b:1"]);
}

/// A program that restarted with other rules, or between a reload and the next page, took what its snapshot knew for what the
/// rules of now give.
#[test]
fn a_snapshot_knows_by_which_rules_it_was_read() {
    let renamed = || relabelled(RelabelAction::Replace, "x$1");
    let other = of(spec(), &[("instance", "b:1"), ("job", "other")]);
    let page = "my_queue{model_name=\"m\"} 30\nmy_depth 1\n";
    for is_reloaded in [false, true] {
        let mut scenario = Scenario::new();
        let target = scenario.target_with(spec());
        let beside = scenario.target_with(other.clone());
        for _ in 0..2 {
            scenario.take(target, page);
            scenario.take(beside, "my_queue 5\n");
        }
        if is_reloaded {
            scenario.configure(target, renamed());
        }
        let mut scenario = restarted(scenario);
        let [all, of_model] =
            ["sum(my_queue)", "sum(my_queue{model_name=\"m\"})"].map(|one| scenario.register(one));
        let target = scenario.target_with(renamed());
        let beside = scenario.target_with(other.clone());
        for _ in 0..40 {
            scenario.now_ms += INTERVAL_MS;
            scenario.fail_answered(target);
            scenario.scrape_text(beside, "my_queue 5\n");
            unknown(&scenario.reported(all), &["a:1"]);
        }
        scenario.take(target, page);
        assert_eq!(scenario.reported(all), value(35.0));
        unknown(&scenario.reported(of_model), &["model_name"]);
    }
    // By the same rules it goes on, and what was lost stays lost.
    let mut scenario = Scenario::new();
    let target = scenario.target_with(renamed());
    scenario.take(target, page);
    scenario.take(target, "my_depth 1\n");
    let mut scenario = restarted(scenario);
    let all = scenario.register("sum(my_queue)");
    let [target, beside] = [renamed(), other].map(|one| scenario.target_with(one));
    scenario.take(target, "my_depth 1\n");
    scenario.take(beside, "my_queue 5\n");
    unknown(&scenario.reported(all), &["no longer has my_queue"]);
}

/// What a query asks for that comes after the change is known from pages by the rules of now, too.
#[test]
fn a_query_that_comes_later_learns_nothing_of_the_rules_of_before() {
    for is_asked_at_once in [false, true] {
        let mut scenario = Scenario::new();
        let target = scenario.target_with(spec());
        let page = "my_queue{tenant=\"m\"} 16\nmy_queue{tenant=\"n\"} 1\n";
        scenario.take(target, page);
        scenario.configure(
            target,
            rule(RelabelAction::Replace, ("tenant", "(m)"), "x$1"),
        );
        if !is_asked_at_once {
            scenario.take(target, page);
        }
        let [before, after, idle] = ["m", "xm", "n"]
            .map(|tenant| scenario.register(&format!("sum(my_queue{{tenant=\"{tenant}\"}})")));
        scenario.take(target, page);
        unknown(&scenario.reported(before), &["tenant"]);
        assert_eq!(scenario.reported(after), value(16.0));
        scenario.take(target, "my_queue{tenant=\"m\"} 16\n");
        assert_eq!(scenario.reported(idle), value(0.0));
        unknown(&scenario.reported(before), &["tenant"]);
    }
}

/// Another page of the same target is another page: what it lacks is not lost.
#[test]
fn another_path_gives_other_series() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(my_queue)");
    let asked = |path: &str| TargetSpec {
        path: path.to_owned(),
        ..spec()
    };
    let target = scenario.target_with(asked("/metrics"));
    let other = scenario.target_of("other", "b:1", &[]);
    for page in [
        &page_of(7),
        &page_of(7),
        "process_start_time_seconds 1000\nmy_depth 1\n",
    ] {
        if page.contains("my_depth") {
            scenario.configure(target, asked("/metrics?name[]=my_depth"));
            unknown(&scenario.reported(signal), &["first scrape"]);
        }
        scenario.take(target, page);
        scenario.take(other, &page_of(5));
    }
    assert_eq!(scenario.reported(signal), value(5.0));
}

/// A pod of a StatefulSet comes back under its labels at another address: its queue was that of the pod before, and what the new
/// one does not show was lost.
#[test]
fn what_answers_at_another_address_may_be_another_process() {
    let at = |address: &str| TargetSpec {
        address: address.to_owned(),
        ..spec()
    };
    for (start, is_same) in [(true, true), (true, false), (false, false)] {
        let start = |at: u16| match start {
            true => format!("process_start_time_seconds {at}\n"),
            false => String::new(),
        };
        let mut scenario = Scenario::new();
        let [queue, depth] = ["sum(vllm:num_requests_waiting)", "sum(my_depth)"]
            .map(|query| scenario.register(query));
        let target = scenario.target_with(at("http://10.0.0.1:80"));
        let other = scenario.target_of("other", "b:1", &[]);
        let before = format!(
            "{}vllm:num_requests_waiting 30\nmy_depth 2\nc_total 7\n",
            start(1_000)
        );
        for _ in 0..2 {
            scenario.take(target, &before);
            scenario.take(other, "my_depth 5\n");
        }
        scenario.configure(target, at("http://10.0.0.2:80"));
        assert_eq!(scenario.reported(queue), value(30.0), "until its next page");
        let now = start(if is_same { 1_000 } else { 2_000 });
        scenario.take(
            target,
            &format!("{now}vllm:num_requests_waiting 0\nc_total 9\n"),
        );
        scenario.take(other, "my_depth 5\n");
        match is_same {
            true => {
                assert_eq!(scenario.reported(queue), value(0.0));
                unknown(&scenario.reported(depth), &["no longer has my_depth"]);
            }
            false => {
                assert_eq!(scenario.reported(queue), held(30.0));
                scenario.now_ms += 200_000;
                for _ in 0..2 {
                    scenario.take(
                        target,
                        &format!("{now}vllm:num_requests_waiting 0\nc_total 9\n"),
                    );
                    scenario.take(other, "my_depth 5\n");
                }
                assert_eq!(scenario.reported(queue), value(0.0));
                assert_eq!(scenario.reported(depth), value(5.0));
            }
        }
    }
}
