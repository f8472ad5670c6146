//! Samples that no series of their own stands for (S4): what is stored of several that are equal is not the whole.

use stillwell_engine::TargetSpec;
use stillwell_engine::labels::{Labels, RelabelAction, RelabelRule, RelabelSpec};

use crate::scenario::{INTERVAL_MS, Reported, Scenario, unknown, value};

const WAITING: &str = "sum(vllm:num_requests_waiting)";

fn spec() -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("job", "v"), ("instance", "x")]),
        interval_ms: INTERVAL_MS as u64,
        ..TargetSpec::default()
    }
}

/// Two servers with the same labels: the number of one was told for both.
#[test]
fn targets_with_the_same_labels_are_no_sum() {
    let mut scenario = Scenario::new();
    let (signal, other) = (scenario.register(WAITING), scenario.register("sum(other)"));
    let targets = [spec(), spec()].map(|spec| scenario.target_with(spec));
    for _ in 0..3 {
        scenario.take_now(
            targets[0],
            "vllm:num_requests_waiting 30\nother{of=\"a\"} 1\n",
        );
        scenario.take(
            targets[1],
            "vllm:num_requests_waiting 5\nother{of=\"b\"} 1\n",
        );
    }
    unknown(
        &scenario.reported(signal),
        &["vllm:num_requests_waiting", "another target", "instance"],
    );
    assert_eq!(scenario.reported(other), value(2.0));
    scenario.remove(targets[0]);
    scenario.now_ms += 61_000;
    for _ in 0..3 {
        scenario.take(
            targets[1],
            "vllm:num_requests_waiting 5\nother{of=\"b\"} 1\n",
        );
    }
    assert_eq!(scenario.reported(signal), value(5.0));
}

/// Where labels are honoured, pages that have none of the target's are those of equal targets all the same.
#[test]
fn honoured_labels_excuse_only_those_that_are_there() {
    let mut scenario = Scenario::new();
    let signals = [
        scenario.register(WAITING),
        scenario.register("sum(vllm:num_requests_waiting{model_name=\"m\"})"),
        scenario.register("sum(vllm:num_requests_waiting{model_name=\"n\"})"),
    ];
    let honors = || TargetSpec {
        honor_labels: true,
        ..spec()
    };
    let targets = [honors(), honors()].map(|spec| scenario.target_with(spec));
    for _ in 0..3 {
        let line = |model: &str, waiting: i64| {
            format!("vllm:num_requests_waiting{{model_name=\"{model}\"}} {waiting}\n")
        };
        scenario.take_now(targets[0], &(line("m", 30) + &line("n", 1)));
        scenario.take(targets[1], &line("m", 5));
    }
    unknown(&scenario.reported(signals[0]), &["another target"]);
    unknown(&scenario.reported(signals[1]), &["another target"]);
    assert_eq!(
        scenario.reported(signals[2]),
        value(1.0),
        "nothing of it is left out"
    );
}

/// Replicas of a collector say the same of the same servers; one of them is stored.
#[test]
fn replicas_of_a_collector_are_one() {
    let mut scenario = Scenario::new();
    let signal = scenario.register(WAITING);
    let honors = || TargetSpec {
        honor_labels: true,
        ..spec()
    };
    let targets = [honors(), honors()].map(|spec| scenario.target_with(spec));
    for _ in 0..3 {
        for target in targets {
            scenario.take(target, "vllm:num_requests_waiting{instance=\"a\"} 30\n");
        }
    }
    assert_eq!(scenario.reported(signal), value(30.0));
}

/// Of the queues of two tenants one was told, where relabelling had dropped the label that told them apart.
#[test]
fn lines_that_relabelling_makes_one_series_are_no_sum() {
    let mut scenario = Scenario::new();
    let (signal, other) = (scenario.register(WAITING), scenario.register("sum(other)"));
    let drop = RelabelRule::new(RelabelSpec {
        action: RelabelAction::LabelDrop,
        regex: "tenant".to_owned(),
        ..RelabelSpec::default()
    });
    let target = scenario.target_with(TargetSpec {
        metric_relabel: vec![drop.expect("a rule")],
        ..spec()
    });
    let two = "vllm:num_requests_waiting{tenant=\"a\"} 3\nvllm:num_requests_waiting{tenant=\"b\"} 4\nother 1\n";
    for _ in 0..3 {
        scenario.take(target, two);
    }
    unknown(
        &scenario.reported(signal),
        &["metric_relabel_configs", "vllm:num_requests_waiting"],
    );
    assert_eq!(scenario.reported(other), value(1.0));
    scenario.take(
        target,
        "vllm:num_requests_waiting{tenant=\"a\"} 3\nother 1\n",
    );
    assert_eq!(scenario.reported(signal), value(3.0));
}

/// What a page itself says twice is stored once, whatever rules drop of it.
#[test]
fn a_line_that_is_there_twice_is_one_where_rules_change_no_labels() {
    let mut scenario = Scenario::new();
    let signal = scenario.register(WAITING);
    let drop = RelabelRule::new(RelabelSpec {
        action: RelabelAction::Drop,
        source_labels: vec!["__name__".to_owned()],
        regex: "go_.*".to_owned(),
        ..RelabelSpec::default()
    });
    let target = scenario.target_with(TargetSpec {
        metric_relabel: vec![drop.expect("a rule")],
        ..spec()
    });
    for _ in 0..3 {
        scenario.take(
            target,
            "vllm:num_requests_waiting 3\nvllm:num_requests_waiting 3\ngo_info 1\n",
        );
    }
    assert_eq!(scenario.reported(signal), value(3.0));
}

/// Of lines that relabelling renames onto another metric of the page those are not known that collide, and no others.
#[test]
fn of_lines_that_are_renamed_onto_others_what_collides_is_left_out() {
    let mut scenario = Scenario::new();
    let texts = [
        "sum(q{pod=\"a\"})",
        "sum(q{pod=\"b\"})",
        "sum(q{pod=\"c\"})",
        "sum(q)",
    ];
    let signals = texts.map(|text| scenario.register(text));
    let rename = RelabelRule::new(RelabelSpec {
        source_labels: vec!["__name__".to_owned()],
        regex: "old_(.*)".to_owned(),
        target_label: "__name__".to_owned(),
        ..RelabelSpec::default()
    });
    let target = scenario.target_with(TargetSpec {
        metric_relabel: vec![rename.expect("a rule")],
        ..spec()
    });
    let page = "old_q{pod=\"a\"} 3\nold_q{pod=\"b\"} 5\nq{pod=\"a\"} 6\nq{pod=\"c\"} 7\n";
    for _ in 0..3 {
        scenario.take(target, page);
    }
    unknown(&scenario.reported(signals[0]), &["metric_relabel_configs"]);
    assert_eq!(scenario.reported(signals[1]), value(5.0));
    assert_eq!(scenario.reported(signals[2]), value(7.0));
    unknown(&scenario.reported(signals[3]), &["metric_relabel_configs"]);
}

/// A page said 0 and then 4 of one series, and 0 was told of the 4 that wait.
#[test]
fn a_series_that_a_page_says_twice_with_different_values_is_not_known() {
    let mut scenario = Scenario::new();
    let (signal, other) = (scenario.register(WAITING), scenario.register("sum(other)"));
    let target = scenario.target_with(spec());
    let page = |first: u32, second: u32, more: &str| {
        format!(
            "other 1\nvllm:num_requests_waiting {first}\nvllm:num_requests_waiting {second}\n{more}"
        )
    };
    for (first, second, more) in [
        (3, 3, ""),
        (3, 4, ""),
        (3, 4, ""),
        (4, 4, ""),
        (0, 4, ""),
        (0, 4, "more 1\n"),
        (0, 0, "more 1\n"),
        (5, 0, "more 2\n"),
        (5, 5, "more 3\n"),
    ] {
        scenario.take(target, &page(first, second, more));
        let reported = scenario.reported(signal);
        match first == second {
            true => assert_eq!(reported, value(f64::from(first))),
            false => unknown(&reported, &["twice", "vllm:num_requests_waiting"]),
        }
        assert_eq!(scenario.reported(other), value(1.0));
    }
    scenario.take(target, "other 1\nvllm:num_requests_waiting 6\n");
    assert_eq!(scenario.reported(signal), value(6.0));
}

/// Of two replicas of a collector the one that had a series no longer showed it: 5 of 35 was told until the other's next page, though
/// its newest page showed it all the time.
#[test]
fn a_series_that_another_replica_shows_goes_on_with_its_next_page() {
    const OWN: &str = "my_queue";
    let page = |x: Option<i64>| {
        let x = x.map(|x| format!("{OWN}{{job=\"v\",instance=\"x\"}} {x}\n"));
        format!(
            "{}{OWN}{{job=\"v\",instance=\"y\"}} 5\n",
            x.unwrap_or_default()
        )
    };
    // Within two pages, and without a smaller number in between.
    let goes_on = |scenario: &mut Scenario, with, sum, told: Reported, page: &str| {
        for _ in 0..2 {
            scenario.take(with, page);
            if scenario.reported(sum) != told {
                unknown(&scenario.reported(sum), &["gives the value"]);
            }
        }
        assert_eq!(scenario.reported(sum), told);
    };
    for leaves in [false, true] {
        let mut scenario = Scenario::new();
        let sum = scenario.register(&format!("sum({OWN})"));
        let of_x = scenario.register(&format!("sum({OWN}{{instance=\"x\"}})"));
        let of_y = scenario.register(&format!("sum({OWN}{{instance=\"y\"}})"));
        let [one, other] = ["a:1", "b:1"].map(|instance| {
            scenario.target_with(TargetSpec {
                labels: Labels::from_pairs([("job", "fed"), ("instance", instance)]),
                interval_ms: INTERVAL_MS as u64,
                honor_labels: true,
                ..TargetSpec::default()
            })
        });
        for _ in 0..4 {
            scenario.take(one, &page(Some(30)));
            scenario.take_now(other, &page(Some(30)));
        }
        assert_eq!(scenario.reported(sum), value(35.0));
        scenario.now_ms += INTERVAL_MS;
        if leaves {
            scenario.remove(one);
            unknown(&scenario.reported(sum), &["a:1", "has left", "b:1"]);
            goes_on(&mut scenario, other, sum, value(36.0), &page(Some(31)));
            continue;
        }
        scenario.take_now(one, &page(None));
        for signal in [sum, of_x] {
            unknown(
                &scenario.reported(signal),
                &["a:1", "no longer shows", "b:1"],
            );
        }
        assert_eq!(scenario.reported(of_y), value(5.0));
        goes_on(&mut scenario, other, sum, value(36.0), &page(Some(31)));
        // The other way round; of its metric the second has nothing but what is the first's.
        scenario.take(one, &page(Some(32)));
        scenario.now_ms += 1;
        scenario.take_now(other, &page(None));
        unknown(&scenario.reported(sum), &["b:1", "no longer shows", "a:1"]);
        goes_on(&mut scenario, one, sum, value(38.0), &page(Some(33)));
        // What neither shows has ended.
        scenario.take(one, &page(None));
        scenario.take_now(other, &page(None));
        assert_eq!(scenario.reported(sum), value(5.0));
    }
}

/// Whenever any target left, what replicas show as each other's was unknown until their next pages.
#[test]
fn whoever_leaves_concerns_replicas_only_by_what_it_had() {
    const OWN: &str = "my_queue";
    for (page, job, concerns) in [
        ("other 1\n", "pods", false),
        // It has the metric, and its own labels.
        ("my_queue 7\n", "pods", false),
        ("my_queue{job=\"w\",instance=\"z\"} 7\n", "fed", true),
    ] {
        let mut scenario = Scenario::new();
        let fed = |instance: &str, job: &str| TargetSpec {
            labels: Labels::from_pairs([("job", job), ("instance", instance)]),
            interval_ms: INTERVAL_MS as u64,
            honor_labels: job == "fed",
            ..TargetSpec::default()
        };
        let sum = scenario.register(&format!("sum({OWN}{{job=\"v\"}})"));
        let pair = ["a:1", "b:1"].map(|instance| scenario.target_with(fed(instance, "fed")));
        let third = scenario.target_with(fed("c:1", job));
        let replicas = format!("{OWN}{{job=\"v\",instance=\"x\"}} 30\n");
        for _ in 0..4 {
            for one in pair {
                scenario.take(one, &replicas);
            }
            scenario.take_now(third, page);
        }
        assert_eq!(scenario.reported(sum), value(30.0), "{page}");
        scenario.remove(third);
        match concerns {
            // Whose the series was is not known.
            true => unknown(&scenario.reported(sum), &["c:1", "has left"]),
            false => assert_eq!(scenario.reported(sum), value(30.0), "{page}"),
        }
    }
}

/// Of the many series that a collector's page comes without some say that all are not known.
#[test]
fn all_series_that_leave_a_page_are_not_known_where_another_replica_shows_them() {
    let mut scenario = Scenario::new();
    let page = |from: usize| {
        let lines = (from..30).map(|at| format!("my_queue{{job=\"v\",instance=\"{at}\"}} 1\n"));
        lines.collect::<String>() + "other{job=\"v\",instance=\"x\"} 1\n"
    };
    let signals = [
        "sum(my_queue)",
        "sum(my_queue{instance=\"29\"})",
        "sum(other)",
    ];
    let signals = signals.map(|text| scenario.register(text));
    let [one, other] = ["a:1", "b:1"].map(|instance| {
        scenario.target_with(TargetSpec {
            labels: Labels::from_pairs([("job", "fed"), ("instance", instance)]),
            interval_ms: INTERVAL_MS as u64,
            honor_labels: true,
            ..TargetSpec::default()
        })
    });
    for _ in 0..4 {
        scenario.take(one, &page(0));
        scenario.take_now(other, &page(0));
    }
    scenario.take(one, &page(29));
    for signal in &signals[..2] {
        unknown(&scenario.reported(*signal), &["no longer shows"]);
    }
    assert_eq!(scenario.reported(signals[2]), value(1.0));
    scenario.take(other, &page(0));
    scenario.take(other, &page(0));
    let told = [30.0, 1.0, 1.0].map(value);
    assert_eq!(signals.map(|one| scenario.reported(one)), told);
}
