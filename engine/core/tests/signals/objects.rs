//! Readings object by object (`type: Pods`): each pod is judged by the pages that may tell of it.

use stillwell_engine::signal::{ObjectReading, Policy, SignalId};

use crate::scenario::{INTERVAL_MS, Scenario};

fn by_pod() -> Policy {
    Policy {
        object_label: Some("pod".to_owned()),
        when_read: true,
        ..Policy::default()
    }
}

/// What is told of each object: its number, `held` before it where it is held, or the reason.
fn told(scenario: &Scenario, signal: SignalId, wanted: Option<&[&str]>) -> Vec<String> {
    let wanted = wanted.map(|names| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    });
    let read = scenario
        .reader
        .objects(signal, scenario.at(), &[], wanted.as_deref());
    let tell = |object: ObjectReading| match object.outcome {
        Ok(value) => {
            let held = if value.held.is_some() { "held " } else { "" };
            format!("{}={held}{}", object.name, value.element.value)
        }
        Err(why) => format!("{}: {why}", object.name),
    };
    match read.expect("the signal is registered") {
        Ok(objects) => objects.into_iter().map(tell).collect(),
        Err(why) => vec![why],
    }
}

fn page(start: i64, waiting: f64) -> String {
    format!(
        "process_start_time_seconds {start}\nvllm:num_requests_waiting{{engine=\"0\"}} {waiting}\nvllm:num_requests_waiting{{engine=\"1\"}} 1\n"
    )
}

struct Pods {
    scenario: Scenario,
    targets: Vec<usize>,
}

/// Pods with a page of their own each.
fn pods(names: &[&str]) -> Pods {
    let mut scenario = Scenario::new();
    let targets = names
        .iter()
        .map(|name| scenario.target_of("vllm", &format!("{name}:8000"), &[("pod", name)]));
    let targets = targets.collect();
    Pods { scenario, targets }
}

impl Pods {
    fn round(&mut self, pages: &[Option<&str>]) {
        self.scenario.now_ms += INTERVAL_MS;
        for (&target, page) in self.targets.iter().zip(pages) {
            match page {
                Some(page) => self.scenario.take_now(target, page),
                None => self.scenario.fail_now(target),
            }
        }
    }
}

#[test]
fn a_pod_that_does_not_answer_takes_no_number_from_the_others() {
    let mut pods = pods(&["a", "b", "c"]);
    let sum = pods
        .scenario
        .register_with("sum by (pod) (vllm:num_requests_waiting)", by_pod());
    let (a, b) = (page(1, 4.0), page(1, 0.0));
    for _ in 0..3 {
        pods.round(&[Some(&a), Some(&b), None]);
    }
    let all = told(&pods.scenario, sum, None);
    assert_eq!(all[..2], ["a=5", "b=1"]);
    assert!(
        all[2].starts_with("c: c:8000 (job vllm) has never given a good page"),
        "{all:?}"
    );
    for _ in 0..5 {
        pods.round(&[None, Some(&b), None]);
    }
    assert_eq!(
        told(&pods.scenario, sum, Some(&["b", "a"])),
        ["b=1", "a=held 5"]
    );
    for _ in 0..40 {
        pods.round(&[None, Some(&b), None]);
    }
    let late = told(&pods.scenario, sum, Some(&["a", "b"]));
    assert!(
        late[0].starts_with("a: a:8000 (job vllm) fails since"),
        "{late:?}"
    );
    assert_eq!(late[1], "b=1");
    let unheard = told(&pods.scenario, sum, Some(&["d"]));
    assert_eq!(unheard, ["d: no target has or shows pod=\"d\""]);
}

#[test]
fn several_numbers_of_one_pod_are_none() {
    let mut pods = pods(&["a"]);
    let each = pods
        .scenario
        .register_with("vllm:num_requests_waiting", by_pod());
    let page = page(1, 4.0);
    pods.round(&[Some(&page)]);
    let told = told(&pods.scenario, each, None);
    assert!(
        told[0].starts_with("a: 2 elements have pod=\"a\"") && told[0].ends_with("by pod alone"),
        "{told:?}"
    );
}

#[test]
fn a_restart_holds_the_number_of_its_own_pod_alone_and_tells_no_zero_of_it() {
    let mut pods = pods(&["a", "b"]);
    let sum = pods.scenario.register_with(
        "max by (pod) (inference_objective_running_requests)",
        by_pod(),
    );
    let page = |start: i64, running: i64| {
        format!(
            "process_start_time_seconds {start}\ninference_objective_running_requests{{model_name=\"m\"}} {running}\n"
        )
    };
    let (a, b) = (page(1, 4), page(1, 3));
    for _ in 0..3 {
        pods.round(&[Some(&a), Some(&b)]);
        told(&pods.scenario, sum, None);
    }
    assert_eq!(told(&pods.scenario, sum, None), ["a=4", "b=3"]);
    let (again, idle) = (page(20, 1), page(1, 0));
    pods.round(&[Some(&again), Some(&idle)]);
    assert_eq!(told(&pods.scenario, sum, None), ["a=held 4", "b=0"]);
    let (again, busy) = (page(20, 9), page(1, 2));
    pods.round(&[Some(&again), Some(&busy)]);
    assert_eq!(told(&pods.scenario, sum, None), ["a=held 9", "b=2"]);
}

#[test]
fn a_page_that_shows_many_endpoints_tells_of_each_and_its_outage_takes_all() {
    let mut scenario = Scenario::new();
    let gateway = scenario.target("epp:9090");
    let signal =
        scenario.register_with("sum by (pod) (llm_d_epp_per_endpoint_queue_size)", by_pod());
    let page = "llm_d_epp_per_endpoint_queue_size{pod=\"a\"} 3\nllm_d_epp_per_endpoint_queue_size{pod=\"b\"} 0\n";
    scenario.scrape_text(gateway, page);
    assert_eq!(told(&scenario, signal, None), ["a=3", "b=0"]);
    assert_eq!(
        told(&scenario, signal, Some(&["c"])),
        ["c: the newest pages give no number for pod=\"c\""]
    );
    for _ in 0..40 {
        scenario.now_ms += INTERVAL_MS;
        scenario.fail_now(gateway);
    }
    let down = told(&scenario, signal, None);
    assert!(
        down.iter()
            .all(|one| one.contains("epp:9090 (job epp) fails since")),
        "{down:?}"
    );
}

#[test]
fn what_was_never_seen_is_said_once_for_all() {
    let mut pods = pods(&["a"]);
    let signal = pods
        .scenario
        .register_with("sum by (pod) (nothing)", by_pod());
    pods.round(&[Some("x 1\n")]);
    let told = told(&pods.scenario, signal, None);
    assert!(told[0].starts_with("nothing was never seen"), "{told:?}");
}

/// Of an exporter whose `pod` the query writes over its own, nothing was told of any pod: its own pod was taken for the one that it
/// tells of.
#[test]
fn an_exporter_tells_of_the_pods_that_the_query_writes() {
    let mut scenario = Scenario::new();
    let query = r#"avg by (pod) (label_replace(util, "pod", "$1", "exported_pod", "(.+)"))"#;
    let signal = scenario.register_with(query, by_pod());
    let exporter = scenario.target_of("dcgm", "dcgm:9400", &[("pod", "dcgm-0")]);
    let page = "process_start_time_seconds 1000\nutil{exported_pod=\"a\"} 90\nutil{exported_pod=\"b\"} 80\n";
    for _ in 0..5 {
        scenario.take(exporter, page);
    }
    assert_eq!(told(&scenario, signal, None), ["a=90", "b=80"]);
    for _ in 0..50 {
        scenario.now_ms += INTERVAL_MS;
        scenario.fail_now(exporter);
    }
    let said = told(&scenario, signal, Some(&["a"]));
    assert!(
        said[0].contains("dcgm:9400 (job dcgm) fails since"),
        "{said:?}"
    );
}

/// Objects looked at restarts alone, and not at counters that were gone: 30 became 0.
#[test]
fn counters_that_are_gone_hold_the_number_of_a_pod() {
    let mut scenario = Scenario::new();
    let signal = scenario.register_with("sum by (pod) (sglang:num_queue_reqs)", by_pod());
    let a = scenario.target_of("sglang", "a:1", &[("pod", "a")]);
    for _ in 0..3 {
        scenario.take(
            a,
            "sglang:num_queue_reqs 30\nsglang:num_requests_total 500\n",
        );
        told(&scenario, signal, None);
    }
    scenario.take(a, "sglang:num_queue_reqs 0\n");
    assert_eq!(told(&scenario, signal, None), ["a=held 30"]);
}

/// A limit from elsewhere has no pod, and made each pod depend on all others.
#[test]
fn the_other_side_of_an_operator_leaves_pods_their_own() {
    for query in [
        "sum by (pod) (vllm:num_requests_waiting)",
        "sum by (pod) (vllm:num_requests_waiting) / scalar(max(limit))",
        "sum by (pod) (vllm:num_requests_waiting) / on () group_left () max(limit)",
        "sum by (pod) (vllm:num_requests_waiting) and on () (max(limit) > 0)",
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register_with(query, by_pod());
        let pods = ["a", "b"].map(|pod| scenario.target_of("vllm", pod, &[("pod", pod)]));
        let limits = scenario.target_of("limits", "c", &[("pod", "c")]);
        let page = "vllm:num_requests_waiting{model_name=\"m\"} 30\n";
        for _ in 0..3 {
            pods.iter().for_each(|pod| scenario.take_now(*pod, page));
            scenario.take(limits, "limit 1\n");
        }
        for _ in 0..30 {
            scenario.now_ms += 100;
            scenario.take_now(pods[0], page);
            scenario.take_now(limits, "limit 1\n");
            scenario.fail_now(pods[1]);
        }
        let told = told(&scenario, signal, None);
        assert!(told[0].starts_with("a=30"), "{query}: {told:?}");
        assert!(told[1].starts_with("b: "), "{query}: {told:?}");
    }
}
