//! Every case of what the HPA does with a number, and the traps that follow from it.

use super::*;

fn observed(replicas: i32, ready: i32) -> Observed {
    Observed {
        spec_replicas: replicas,
        status_replicas: replicas,
        ready_pods: ready,
        scaled_to_zero: replicas == 0,
    }
}

fn proposes(target: Target, items: &[i64], observed: Observed) -> i32 {
    proposal(target, &Ok(items.to_vec()), observed, Tolerance::default()).expect("items")
}

#[test]
fn proposals_follow_the_controllers_formulas() {
    use Target::{AverageValue, Value};
    for (target, items, observed, replicas, why) in [
        (
            Value(250_000),
            &[500_000][..],
            observed(3, 3),
            6,
            "twice the target",
        ),
        (Value(250_000), &[260_000], observed(3, 3), 3, "within 10%"),
        (Value(250_000), &[275_000], observed(3, 3), 3, "exactly 10%"),
        (Value(250_000), &[275_001], observed(3, 3), 4, "just past"),
        (
            Value(250_000),
            &[500_000],
            observed(3, 1),
            2,
            "one ready of three: fewer than there are",
        ),
        (
            Value(250_000),
            &[2_500_000],
            observed(3, 0),
            0,
            "none ready: zero, however long the queue",
        ),
        (Value(250_000), &[0], observed(3, 3), 0, "idle"),
        (Value(250_000), &[1], observed(0, 0), 1, "from zero"),
        (
            Value(250_000),
            &[600_000],
            observed(0, 0),
            3,
            "from zero, ready pods do not matter",
        ),
        (
            AverageValue(250_000),
            &[500_000],
            observed(1, 0),
            2,
            "readiness does not matter",
        ),
        (
            AverageValue(250_000),
            &[100_000, 400_000],
            observed(1, 1),
            2,
            "items add up",
        ),
        (
            AverageValue(250_000),
            &[520_000],
            observed(2, 2),
            2,
            "within 10% of two",
        ),
        (
            AverageValue(250_000),
            &[560_000],
            observed(2, 2),
            3,
            "past it",
        ),
        (
            AverageValue(1_000),
            &[1],
            observed(0, 0),
            1,
            "from zero the ratio is infinite",
        ),
        (
            AverageValue(1_000),
            &[0],
            observed(0, 0),
            0,
            "zero by zero is no ratio",
        ),
        (
            AverageValue(1_000),
            &[i64::MAX, i64::MAX],
            observed(1, 1),
            i32::MAX,
            "held at the ends",
        ),
        (
            AverageValue(1_000),
            &[i64::MIN],
            observed(5, 5),
            i32::MIN,
            "a wrapped value wants nothing",
        ),
    ] {
        assert_eq!(proposes(target, items, observed), replicas, "{why}");
    }
    let none = proposal(
        Target::Value(1),
        &Ok(Vec::new()),
        observed(1, 1),
        Tolerance::default(),
    );
    assert!(none.is_err(), "no items are an error");
}

#[test]
fn a_failed_metric_forbids_scaling_down_and_allows_scaling_up() {
    let failed = || Err("503".to_owned());
    assert_eq!(largest(&[Ok(2), Ok(5), Ok(1)], 3), Ok(5));
    assert_eq!(largest(&[Ok(5), failed()], 3), Ok(5));
    assert_eq!(largest(&[Ok(3), failed()], 3), Ok(3));
    assert!(largest(&[Ok(2), failed()], 3).is_err());
    assert!(largest(&[failed(), failed()], 3).is_err());
}

/// The guide's autoscaler: queue by Value 250, running by AverageValue 250, 1 to 3 replicas, down after 300 s.
fn guide(min: i32) -> Autoscaler {
    let percent = Policy {
        kind: PolicyKind::Percent,
        value: 100,
        period_s: 15,
    };
    let rules = |window_s| Rules {
        window_s,
        policies: vec![percent],
        select: Select::Max,
    };
    let behavior = Behavior {
        up: rules(0),
        down: rules(300),
        tolerance: Tolerance::default(),
    };
    let targets = vec![Target::Value(250_000), Target::AverageValue(250_000)];
    Autoscaler::new(Spec {
        min,
        max: 3,
        targets,
        behavior,
    })
}

#[test]
fn a_day_of_the_guides_autoscaler() {
    let mut autoscaler = guide(1);
    let mut replicas = 1;
    for (now_s, queue, running, wanted, why) in [
        (0, 0, 0, 1, "idle"),
        (15, 600_000, 250_000, 2, "wants 3, may double"),
        (
            30,
            600_000,
            250_000,
            3,
            "the rest, and never past the maximum",
        ),
        (45, 0, 10_000, 3, "calm, but not for long enough"),
        (329, 0, 10_000, 3, "299 s after the last that wanted more"),
        (330, 0, 10_000, 1, "300 s after it"),
    ] {
        let metrics = [Ok(vec![queue]), Ok(vec![running])];
        let decision = autoscaler.sync(now_s, observed(replicas, replicas), &metrics);
        assert_eq!(decision, Decision::Replicas(wanted), "{why}");
        replicas = wanted;
    }
}

#[test]
fn one_false_zero_is_hidden_by_the_window_and_an_outage_is_not_a_zero() {
    let mut autoscaler = guide(1);
    let busy = [Ok(vec![500_000]), Ok(vec![700_000])];
    let zero = [Ok(vec![0]), Ok(vec![0])];
    let outage = [Err("503".to_owned()), Err("503".to_owned())];
    for now_s in [0, 15, 30] {
        autoscaler.sync(now_s, observed(3, 3), &busy);
    }
    assert_eq!(
        autoscaler.sync(45, observed(3, 3), &zero),
        Decision::Replicas(3),
        "one zero"
    );
    for now_s in (60..600).step_by(15) {
        let decision = autoscaler.sync(now_s, observed(3, 3), &outage);
        assert_eq!(
            decision,
            Decision::Failed("503".to_owned()),
            "unknown holds for ever"
        );
    }
    assert_eq!(
        autoscaler.sync(600, observed(3, 3), &zero),
        Decision::Replicas(1),
        "failed syncs recommend nothing"
    );
}

#[test]
fn from_zero_it_wakes_only_what_it_put_to_sleep() {
    let autoscaler = |min| {
        let targets = vec![Target::Value(250_000), Target::AverageValue(250_000)];
        Autoscaler::new(Spec {
            min,
            max: 3,
            targets,
            behavior: Behavior::default(),
        })
    };
    let wake = [Ok(vec![1_000]), Ok(vec![0])];
    let slept = observed(0, 0);
    let by_hand = Observed {
        scaled_to_zero: false,
        ..slept
    };
    assert_eq!(autoscaler(0).sync(0, slept, &wake), Decision::Replicas(1));
    assert_eq!(autoscaler(0).sync(0, by_hand, &wake), Decision::Disabled);
    assert_eq!(autoscaler(1).sync(0, slept, &wake), Decision::Disabled);
    let error = [Err("no".to_owned()), Ok(vec![0])];
    assert_eq!(
        autoscaler(0).sync(0, slept, &error),
        Decision::Replicas(0),
        "an error keeps it at zero"
    );
}

/// The guide's manifest has one policy for scaling up, 100 percent, and a hundred percent of nothing is nothing: with
/// `minReplicas: 0`, as its section on scale to zero has it, the pool never wakes. A `Pods` policy beside it helps.
#[test]
fn the_guides_policy_alone_never_wakes_a_pool_from_zero() {
    let wake = [Ok(vec![100_000_000]), Ok(vec![0])];
    assert_eq!(
        guide(0).sync(0, observed(0, 0), &wake),
        Decision::Replicas(0)
    );
}

#[test]
fn bounds_are_corrected_without_metrics() {
    let outage = [Err("503".to_owned()), Err("503".to_owned())];
    assert_eq!(
        guide(1).sync(0, observed(9, 9), &outage),
        Decision::Replicas(3)
    );
    let mut autoscaler = guide(2);
    assert_eq!(
        autoscaler.sync(0, observed(1, 1), &outage),
        Decision::Replicas(2)
    );
}

#[test]
fn policies_limit_by_what_changed_in_their_period() {
    let mut history = History::default();
    let behavior = Behavior::default();
    assert_eq!(
        history.limit(0, 1, 100, &behavior),
        5,
        "4 pods beat 100% of one"
    );
    history.record_change(0, 4);
    assert_eq!(
        history.limit(5, 5, 100, &behavior),
        5,
        "the period's budget is spent"
    );
    assert_eq!(
        history.limit(15, 5, 100, &behavior),
        10,
        "a new period: 100% of five"
    );
    assert_eq!(history.limit(15, 5, 0, &behavior), 0, "down by 100%");
    let half = Policy {
        kind: PolicyKind::Percent,
        value: 50,
        period_s: 60,
    };
    let one = Policy {
        kind: PolicyKind::Pods,
        value: 1,
        period_s: 60,
    };
    for (select, replicas) in [(Select::Max, 2), (Select::Min, 4), (Select::Disabled, 5)] {
        let down = Rules {
            window_s: 0,
            policies: vec![half, one],
            select,
        };
        let behavior = Behavior {
            down,
            ..Behavior::default()
        };
        assert_eq!(
            History::default().limit(0, 5, 0, &behavior),
            replicas,
            "{select:?}"
        );
    }
}
