//! Grouped signals (S5, S9c): each group is judged by the targets that could have it.

use stillwell_engine::Retain;

use crate::scenario::{Gateway, INTERVAL_MS, Reported, Scenario, unknown, value};
use crate::servers::{WAITING, page, server};

#[test]
fn groups_are_judged_one_by_one() {
    let mut scenario = Scenario::new();
    let grouped =
        scenario.register("sum by (inference_pool) (inference_extension_flow_control_queue_size)");
    let (a, b) = (scenario.target("a:1"), scenario.target("b:1"));
    let (page_a, page_b) = (Gateway::of("a"), Gateway::of("b"));
    scenario.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
    assert_eq!(scenario.reported(grouped), Reported::Value(vec![5.0, 5.0]));
    scenario.rounds(50, &[(a, Some(&page_a)), (b, None)]);
    assert_eq!(
        scenario.reported_pinned(grouped, &[("inference_pool", "a")]),
        value(5.0)
    );
    unknown(&scenario.reported(grouped), &["b:1"]);
    unknown(
        &scenario.reported_pinned(grouped, &[("inference_pool", "typo")]),
        &["no target is in scope"],
    );
    let mut idle = page_a.clone();
    idle.queue = None;
    scenario.rounds(3, &[(a, Some(&idle)), (b, Some(&page_b))]);
    assert_eq!(
        scenario.reported_pinned(grouped, &[("inference_pool", "a")]),
        value(0.0)
    );
}

#[test]
fn a_group_that_vanishes_in_a_restart_is_held() {
    let mut scenario = Scenario::new();
    let grouped =
        scenario.register("sum by (inference_pool) (inference_extension_flow_control_queue_size)");
    let (a, b) = (scenario.target("a:1"), scenario.target("b:1"));
    let (mut page_a, page_b) = (Gateway::of("a"), Gateway::of("b"));
    scenario.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
    (page_a.start, page_a.queue) = (2000.0, None);
    scenario.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
    assert_eq!(scenario.reported(grouped), Reported::Held(vec![5.0, 5.0]));
}

/// An exporter whose own pod is another than the pods that its series tell of was taken for out of scope: its outage was never
/// noticed, and where it was the only one, its numbers were refused.
#[test]
fn a_label_that_the_query_writes_rules_no_target_out() {
    let join = "sum by (owner, pod) (vllm:num_requests_waiting * on (pod) group_left (owner) \
                label_replace(kube_pod_owner, \"pod\", \"$1\", \"exported_pod\", \"(.+)\"))";
    let written =
        "sum by (pod) (label_replace(kube_pod_owner, \"pod\", \"$1\", \"exported_pod\", \"(.+)\"))";
    let mut scenario = Scenario::new();
    let (join, written) = (scenario.register(join), scenario.register(written));
    let server = scenario.target_of("vllm", "a:1", &[("pod", "p0")]);
    let state = scenario.target_of("kube-state-metrics", "b:1", &[("pod", "ksm-0")]);
    let page = "vllm:num_requests_waiting{model_name=\"m\"} 21\n";
    let owners = "kube_pod_owner{exported_pod=\"p0\",owner=\"d\"} 1\n";
    for _ in 0..3 {
        scenario.take_now(server, page);
        scenario.take(state, owners);
    }
    assert_eq!(scenario.reported(join), value(21.0));
    assert_eq!(scenario.reported(written), value(1.0));
    for _ in 0..30 {
        scenario.now_ms += 100;
        scenario.take_now(server, page);
        scenario.fail_now(state);
    }
    for signal in [join, written] {
        unknown(
            &scenario.reported(signal),
            &["b:1 (job kube-state-metrics)"],
        );
    }
    // Who asks for one of them is told the same.
    unknown(
        &scenario.reported_pinned(written, &[("pod", "p0")]),
        &["b:1"],
    );
}

/// Two pods of `llm` and an exporter in a namespace of its own that tells of both by labels of its pages.
struct Exporter {
    scenario: Scenario,
    pods: [usize; 2],
    exporter: usize,
}

const POD_PAGE: &str =
    "process_start_time_seconds 1000\nvllm:num_requests_waiting{engine=\"0\"} 6\n";
const OWNERS: &str = "process_start_time_seconds 1000\n\
    kube_pod_owner{exported_namespace=\"llm\",exported_pod=\"p0\",owner_name=\"x\"} 1\n\
    kube_pod_owner{exported_namespace=\"llm\",exported_pod=\"p1\",owner_name=\"y\"} 1\n\
    DCGM_FI_DEV_GPU_UTIL{exported_namespace=\"llm\",exported_pod=\"p0\"} 90\n\
    DCGM_FI_DEV_GPU_UTIL{exported_namespace=\"llm\",exported_pod=\"p1\"} 80\n";

impl Exporter {
    fn new() -> Exporter {
        let mut scenario = Scenario::new();
        let pods = ["p0", "p1"].map(|pod| {
            let labels = [("namespace", "llm"), ("pod", pod)];
            scenario.target_of("vllm", &format!("{pod}:8000"), &labels)
        });
        let labels = [("namespace", "monitoring"), ("pod", "exporter-0")];
        let exporter = scenario.target_of("exporter", "exporter:8080", &labels);
        Exporter {
            scenario,
            pods,
            exporter,
        }
    }

    fn rounds(&mut self, count: usize, owners: Option<&str>) {
        for _ in 0..count {
            self.scenario.now_ms += INTERVAL_MS;
            for pod in self.pods {
                self.scenario.take_now(pod, POD_PAGE);
            }
            match owners {
                Some(page) => self.scenario.take_now(self.exporter, page),
                None => self.scenario.fail_now(self.exporter),
            }
            self.scenario.writer.maintain(self.scenario.at());
        }
    }
}

fn renamed(metric: &str) -> String {
    format!(
        r#"label_replace(label_replace({metric}, "pod", "$1", "exported_pod", "(.+)"), "namespace", "$1", "exported_namespace", "(.+)")"#
    )
}

/// `label_replace` wrote the pod that an exporter tells of over the exporter's own: the group then had another `pod` than the
/// exporter, which did not count for it, and its outage went by unseen for ever.
#[test]
fn an_exporter_whose_labels_the_query_writes_counts_for_the_groups() {
    for query in [
        format!(
            "sum by (owner_name, namespace) (vllm:num_requests_waiting * on(namespace, pod) group_left(owner_name) {})",
            renamed("kube_pod_owner")
        ),
        format!(
            "avg by (pod, namespace) ({})",
            renamed("DCGM_FI_DEV_GPU_UTIL")
        ),
        renamed("DCGM_FI_DEV_GPU_UTIL"),
        "sum by (pod) (vllm:num_requests_waiting) / on() group_left() count(DCGM_FI_DEV_GPU_UTIL)"
            .to_owned(),
        "sum by (pod) (vllm:num_requests_waiting) / scalar(count(DCGM_FI_DEV_GPU_UTIL))".to_owned(),
    ] {
        let mut of = Exporter::new();
        let signal = of.scenario.register(&query);
        of.rounds(5, Some(OWNERS));
        let told = of.scenario.reported(signal);
        assert!(
            matches!(&told, Reported::Value(values) if values.len() == 2),
            "{query}: {told:?}"
        );
        of.rounds(3, None);
        let told = of.scenario.reported(signal);
        assert!(matches!(told, Reported::Held(_)), "{query}: {told:?}");
        of.rounds(50, None);
        unknown(
            &of.scenario.reported(signal),
            &["exporter:8080", "fails since"],
        );
        of.rounds(2, Some(OWNERS));
        let told = of.scenario.reported(signal);
        assert!(matches!(told, Reported::Value(_)), "{query}: {told:?}");
    }
}

/// What is pinned of a label that comes from the series themselves rules targets out as ever.
#[test]
fn an_outage_stays_that_of_its_own_group_where_labels_are_not_written() {
    let mut of = Exporter::new();
    let query =
        "sum by (pod) (vllm:num_requests_waiting * on(pod) group_left() vllm:num_requests_waiting)";
    let signal = of.scenario.register(query);
    of.rounds(5, Some(OWNERS));
    of.rounds(50, None);
    assert_eq!(
        of.scenario.reported(signal),
        Reported::Value(vec![36.0, 36.0])
    );
    of.scenario.now_ms += INTERVAL_MS;
    of.scenario.take_now(of.pods[0], POD_PAGE);
    for _ in 0..50 {
        of.scenario.now_ms += INTERVAL_MS;
        of.scenario.take_now(of.pods[0], POD_PAGE);
        of.scenario.fail_now(of.pods[1]);
    }
    let of_first = of.scenario.reported_pinned(signal, &[("pod", "p0")]);
    assert_eq!(of_first, value(36.0));
    unknown(&of.scenario.reported(signal), &["p1:8000"]);
}

/// Who pinned an instance was told 5 of 35, the sum without the page that was empty, and 4 of 30 at most, without the sample that
/// was NaN: neither result has the label, so that either is told for all.
#[test]
fn a_number_without_the_pinned_label_is_told_only_where_it_is_whole() {
    for (text, pages) in [
        (format!("sum({WAITING})"), [String::new(), page(1, Some(5))]),
        (format!("min({WAITING})"), [page(1, None), page(1, Some(5))]),
        (format!("max({WAITING})"), [of_nan(), page(1, Some(4))]),
        (
            format!("sum({WAITING}) or vector(0)"),
            [page(1, None), page(1, None)],
        ),
        (
            format!("(sum({WAITING}) or vector(0)) + sum(vllm:num_requests_running)"),
            [page(1, None), page(1, Some(5))],
        ),
        (
            format!("sum({WAITING}) > 20"),
            [page(1, None), page(1, Some(5))],
        ),
    ] {
        let mut scenario = Scenario::new();
        let targets = ["a:1", "b:1"].map(|name| scenario.target_with(server(name, Retain::All)));
        let signal = scenario.register(&text);
        let grouped = scenario.register(&format!("sum by (instance) ({WAITING})"));
        for shown in [[page(1, Some(30)), page(1, Some(5))], pages] {
            for _ in 0..3 {
                scenario.now_ms += INTERVAL_MS;
                for (target, page) in targets.iter().zip(&shown) {
                    scenario.take_now(*target, page);
                }
            }
        }
        let told = scenario.reported_pinned(signal, &[("instance", "b:1")]);
        assert!(matches!(told, Reported::Unknown(_)), "{text}: {told:?}");
        let of_first = scenario.reported_pinned(grouped, &[("instance", "a:1")]);
        assert!(matches!(of_first, Reported::Unknown(_)), "{of_first:?}");
        if !text.contains("or vector(0)") {
            let of_second = scenario.reported_pinned(grouped, &[("instance", "b:1")]);
            let is_told = matches!(of_second, Reported::Value(_) | Reported::Held(_));
            assert!(is_told, "{text}: {of_second:?}");
        }
    }
}

fn of_nan() -> String {
    page(1, Some(0)).replace("engine=\"0\"} 0", "engine=\"0\"} NaN")
}

/// Whoever pinned one label more than groups have was refused what another gateway's page had lost, or while that gateway did not
/// answer, though its pool was pinned, too.
#[test]
fn what_is_pinned_beside_a_group_brings_in_no_other_pools_trouble() {
    let queue = "inference_extension_flow_control_queue_size";
    let own = [("inference_pool", "b")];
    let more = [("inference_pool", "b"), ("model_name", "m")];
    let all = [("model_name", "m")];
    let page = |pool: &str, queue: Option<f64>| {
        let queue = queue.map(|queue| {
            format!(
                "inference_extension_flow_control_queue_size{{inference_pool=\"{pool}\",model_name=\"m\"}} {queue}\n"
            )
        });
        format!(
            "process_start_time_seconds 1000\ninference_pool_ready_pods{{name=\"{pool}\"}} 1\n{}",
            queue.unwrap_or_default()
        )
    };
    for (text, what) in [
        (format!("sum by (inference_pool) ({queue})"), "groups"),
        (format!("sum by (inference_pool) ({queue}) > 3"), "filtered"),
    ] {
        for trouble in ["lost", "empty", "down"] {
            let mut scenario = Scenario::new();
            let grouped = scenario.register(&text);
            let (a, b) = (scenario.target("a:1"), scenario.target("b:1"));
            for _ in 0..3 {
                scenario.scrape_text(a, &page("a", Some(9.0)));
                scenario.take_now(b, &page("b", Some(5.0)));
            }
            for _ in 0..50 {
                match trouble {
                    "lost" => scenario.scrape_text(a, &page("a", None)),
                    "empty" => scenario.scrape_text(a, ""),
                    _ => {
                        scenario.now_ms += INTERVAL_MS;
                        scenario.fail_now(a);
                    }
                }
                scenario.take_now(b, &page("b", Some(5.0)));
            }
            let what = format!("{what}, {trouble}");
            for pins in [&own[..], &more] {
                assert_eq!(
                    scenario.reported_pinned(grouped, pins),
                    value(5.0),
                    "{what}, {pins:?}"
                );
            }
            unknown(&scenario.reported_pinned(grouped, &all), &["a:1"]);
            unknown(&scenario.reported(grouped), &["a:1"]);
        }
    }
}

/// Whoever pinned a job of `sum(a) or b` was told the whole of `a` beside their own `b`, and `b` alone once a page had lost `a`.
#[test]
fn what_would_be_told_whole_is_missing_from_what_is_told_of_a_label_that_it_lacks() {
    for (query, is_part) in [
        (format!("sum(my_queue) or {WAITING}"), true),
        (format!("sum(my_queue) or {WAITING} * 2 > 1"), true),
        (format!("sum by (job) (my_queue) or {WAITING}"), false),
        (format!("my_queue or {WAITING}"), false),
        (format!("{WAITING} or vector(0)"), false),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register(&query);
        let pinned = [("job", "v")];
        let own = scenario.target_with(server("a:1", Retain::All));
        let other = scenario.target_of("w", "b:1", &[]);
        let mut rounds = |queue: &str| {
            for _ in 0..3 {
                scenario.take_now(own, &page(1, Some(5)));
                scenario.take(
                    other,
                    &format!("process_start_time_seconds 1\nother 1\n{queue}"),
                );
            }
            scenario.reported_pinned(signal, &pinned)
        };
        let Reported::Value(told) = rounds("my_queue 50\n") else {
            panic!("{query}: all is there");
        };
        let whole = told.iter().filter(|one| **one == 50.0).count();
        assert_eq!(whole, usize::from(is_part), "{query}: {told:?}");
        match rounds("") {
            Reported::Value(told) => assert!(!is_part, "{query}: {told:?}"),
            lost => unknown(&lost, &["b:1", "no longer has my_queue"]),
        }
    }
}

/// Of two pods of a job one never answered, or not long enough for its window: the other's group was told as all there is.
#[test]
fn groups_of_a_target_that_has_none_yet_are_not_left_out() {
    for query in [
        "sum by (instance) (my_queue)",
        "my_queue",
        "max_over_time((sum by (instance) (my_queue))[1s:1s])",
        "sum by (instance) (rate(my_total[300ms]))",
        "sum by (instance) (my_queue) or vector(0)",
    ] {
        for pages in [0, 1, 2, 10] {
            let mut scenario = Scenario::new();
            let signal = scenario.register(query);
            let targets = ["a:1", "b:1"].map(|one| scenario.target_with(server(one, Retain::All)));
            for at in 0..60 {
                scenario.now_ms += INTERVAL_MS;
                let page = format!("my_queue 5\nmy_total {at}\n");
                scenario.take_now(targets[0], &page);
                match at < pages {
                    true => scenario.take_now(targets[1], &page),
                    false => scenario.fail_now(targets[1]),
                }
            }
            unknown(&scenario.reported(signal), &["b:1"]);
            let of_first = scenario.reported_pinned(signal, &[("instance", "a:1")]);
            assert!(
                matches!(of_first, Reported::Value(_)),
                "{query} {pages}: {of_first:?}"
            );
        }
    }
}
