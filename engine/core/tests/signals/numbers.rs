//! Numbers that are none (S5): not a number, infinite, or past what an autoscaler can reckon with.

use stillwell_engine::signal::{Nan, Policy};

use crate::scenario::{Gateway, QUEUE, Reported, Scenario, held, unknown, value};

#[test]
fn numbers_that_are_none() {
    let mut scenario = Scenario::new();
    let policy = |nan| Policy {
        nan,
        ..Policy::default()
    };
    let ratio =
        "sum(inference_objective_running_requests) / sum(inference_objective_running_requests)";
    let (plain, zero) = (
        scenario.register(ratio),
        scenario.register_with(ratio, policy(Nan::Zero)),
    );
    let last = scenario.register_with(ratio, policy(Nan::Last));
    let huge = scenario.register("sum(inference_objective_running_requests) * 1e17");
    let infinite = scenario.register("sum(inference_objective_running_requests) / 0");
    let queue = scenario.register(QUEUE);
    let epp = scenario.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = Some(-2.0);
    scenario.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(
        (scenario.reported(plain), scenario.reported(last)),
        (value(1.0), value(1.0))
    );
    unknown(&scenario.reported(huge), &["quantity"]);
    unknown(&scenario.reported(infinite), &["quantity"]);
    assert_eq!(
        scenario.reported(queue),
        value(0.0),
        "a negative queue is the gateway's race"
    );
    page.running = Some(0.0);
    scenario.rounds(3, &[(epp, Some(&page))]);
    unknown(&scenario.reported(plain), &["NaN", "nan: zero"]);
    assert_eq!(
        (scenario.reported(zero), scenario.reported(last)),
        (value(0.0), held(1.0))
    );
    // It is as old as it is, and another process did not give it.
    let reading = scenario.reader.signal(last, scenario.at(), &[]);
    let time_ms = reading.expect("it is registered").elements[0].time.ms();
    assert_eq!(time_ms, scenario.now_ms - 300);
    page.start += 10.0;
    scenario.rounds(1, &[(epp, Some(&page))]);
    unknown(&scenario.reported(last), &["NaN"]);
}

/// A gauge that is NaN was told as 0 by comparisons and as another pod's number by `max`.
#[test]
fn a_sample_that_is_nan_is_never_left_out_of_a_number() {
    let queries = [
        "sum(q)",
        "max(q)",
        "min(q)",
        "topk(1, q)",
        "count(q)",
        "sum(q > 0) or vector(0)",
        "count(q > 0) or vector(0)",
        "max(q or vector(0))",
        "q > bool 3",
        "sum(q) >= bool 0",
        "sum(q) == bool 5",
        "sum(q) ^ 0",
        "max(max_over_time(q[1s]))",
        "sum(rate(q[1s]))",
        "sum(irate(q[1s])) + sum(deriv(q[1s]))",
        "sum({__name__=\"q\"} >= 0)",
        "max({__name__=~\"q|nothing\"})",
    ];
    let mut scenario = Scenario::new();
    let signals = queries.map(|text| (text, scenario.register(text)));
    let by_pool = scenario.register("max by (pool) (q)");
    let quantile = scenario.register("max(latency{quantile=\"0.9\"}) or vector(0)");
    let pods = ["a:1", "b:1"].map(|pod| scenario.target(pod));
    let page = |pool: &str, queue: f64| {
        format!("q{{pool=\"{pool}\"}} {queue}\nlatency{{quantile=\"0.9\"}} NaN\nlatency_count 0\n")
    };
    for (first, known) in [(2.0, true), (f64::NAN, false), (2.0, true)] {
        for _ in 0..20 {
            scenario.take(pods[0], &page("a", first));
            scenario.take_now(pods[1], &page("b", 2.0));
        }
        for (text, signal) in &signals {
            match (scenario.reported(*signal), known) {
                (Reported::Unknown(why), false) => assert!(why.contains("NaN"), "{text}: {why}"),
                // Two elements where it is no aggregation.
                (Reported::Value(values), true) => assert!(values[0] >= 0.0, "{text}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(
            scenario.reported_pinned(by_pool, &[("pool", "b")]),
            value(2.0),
            "another pool's NaN changes nothing"
        );
        let of_first = scenario.reported_pinned(by_pool, &[("pool", "a")]);
        match known {
            true => assert_eq!(of_first, value(2.0)),
            false => unknown(&of_first, &["NaN"]),
        }
        unknown(&scenario.reported(quantile), &["NaN"]);
    }
    let permitted = Policy {
        nan: Nan::Zero,
        ..Policy::default()
    };
    let permitted = scenario.register_with("max(q)", permitted);
    scenario.take(pods[0], &page("a", f64::NAN));
    assert_eq!(scenario.reported(permitted), value(2.0));
}

/// A queue that is infinite was 0 below a fraction, and a gauge that is NaN decided behind `and` that nothing waits.
#[test]
fn what_is_no_finite_number_is_shown_wherever_it_stands() {
    let mut scenario = Scenario::new();
    let queries = [
        "sum(r) / sum(q)",
        "ceil(1000 / sum(q))",
        "clamp_max(sum(q), 3)",
        "exp(-sum(q))",
        "sgn(sum(q))",
        "sum(r) % sum(q)",
        "sum(r and on () q > 2) or vector(0)",
        "sum(r unless on () q > 2) or vector(0)",
        "max by (pool) (label_replace(q, \"pool\", \"x\", \"\", \"\"))",
    ];
    let signals = queries.map(|text| (text, scenario.register(text)));
    let target = scenario.target("a:1");
    for odd in ["+Inf", "NaN"] {
        for _ in 0..3 {
            let page = format!("q{{pool=\"a\"}} {odd}\nq{{pool=\"b\"}} 1\nr 5\n");
            scenario.take(target, &page);
        }
        for (text, signal) in &signals {
            let reported = scenario.reported(*signal);
            let is_unknown = matches!(reported, Reported::Unknown(_));
            assert!(is_unknown, "{text} with {odd}: {reported:?}");
        }
    }
    scenario.take(target, "q{pool=\"a\"} 4\nq{pool=\"b\"} 1\nr 5\n");
    assert_eq!(scenario.reported(signals[6].1), value(5.0));
}

/// A race in what counts them makes requests in process negative, and took them from the others' sum.
#[test]
fn fewer_requests_than_none_are_none() {
    for metric in ["vllm:num_requests_running", "llm_d_epp_inflight_requests"] {
        let mut scenario = Scenario::new();
        let query = format!("sum({metric})");
        let signals = [
            scenario.register(&query),
            scenario.register(&format!("max_over_time({query}[1s:100ms])")),
        ];
        let targets = ["a:1", "b:1"].map(|name| scenario.target(name));
        for _ in 0..20 {
            scenario.take_now(targets[0], &format!("{metric} -1\n"));
            scenario.take(targets[1], &format!("{metric} 5\n"));
        }
        for signal in signals {
            assert_eq!(scenario.reported(signal), value(5.0), "{metric}");
        }
    }
}

/// One NaN among measured samples made 0 of a sum to which others contribute.
#[test]
fn a_nan_that_counts_as_0_hides_nothing_that_others_measured() {
    let mut scenario = Scenario::new();
    let mut register = |text: &str| {
        let policy = Policy {
            nan: Nan::Zero,
            ..Policy::default()
        };
        scenario.register_with(text, policy)
    };
    let sum = register("sum(q)");
    let sums = register("sum(q{pod=\"a\"}) + sum(q{pod=\"b\"}) * 2");
    let by_pod = register("sum by (pod) (q)");
    let average = register("avg(q)");
    let averages = register("avg by (pod) (q)");
    let ratio = register("sum(q) / sum(capacity)");
    let idle = register("sum(capacity) / sum(capacity)");
    let queue = register("sum(vllm:num_requests_waiting)");
    let pods = ["a:1", "b:1"].map(|pod| scenario.target(pod));
    let page = |pod: &str, queue: f64| {
        format!(
            "q{{pod=\"{pod}\"}} {queue}\ncapacity{{pod=\"{pod}\"}} 0\nvllm:num_requests_waiting {queue}\n"
        )
    };
    let take = |scenario: &mut Scenario, queues: [f64; 2]| {
        for (at, pod) in ["a", "b"].into_iter().enumerate() {
            scenario.take(pods[at], &page(pod, queues[at]));
        }
    };
    take(&mut scenario, [2.0, 7.0]);
    assert_eq!(scenario.reported(sum), value(9.0));
    for _ in 0..2 {
        take(&mut scenario, [f64::NAN, 7.0]);
        assert_eq!(scenario.reported(sum), value(7.0));
        assert_eq!(scenario.reported(sums), value(14.0));
        assert_eq!(scenario.reported(by_pod), Reported::Value(vec![0.0, 7.0]));
        assert_eq!(scenario.reported(queue), value(7.0));
        unknown(&scenario.reported(average), &["NaN", "nan: zero"]);
        unknown(&scenario.reported(ratio), &["NaN", "nan: zero"]);
        assert_eq!(scenario.reported(averages), Reported::Value(vec![0.0, 7.0]));
        assert_eq!(
            scenario.reported(idle),
            value(0.0),
            "no sample of it is NaN"
        );
    }
    take(&mut scenario, [f64::NAN, f64::NAN]);
    assert_eq!(scenario.reported(sum), value(0.0));
    assert_eq!(scenario.reported(average), value(0.0));
}
