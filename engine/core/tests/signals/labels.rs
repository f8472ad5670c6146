//! Which labels a family has decides what an empty answer proves (S3b, S4b, S8).

use stillwell_engine::TargetSpec;
use stillwell_engine::labels::Labels;

use crate::scenario::{Gateway, INTERVAL_MS, Reported, Scenario, unknown, value};

const LEGACY_QUEUE: &str = "inference_extension_flow_control_queue_size";

/// A page of GIE v1.2: the queue has neither pool nor models.
fn page_of_gie_1_2(pool: &str, queued: &[u32]) -> String {
    let flows = queued.iter().enumerate().map(|(flow, queued)| {
        format!("{LEGACY_QUEUE}{{fairness_id=\"f{flow}\",priority=\"0\"}} {queued}\n")
    });
    let flows: String = flows.collect();
    format!(
        "inference_extension_info{{build_ref=\"v1.2.0\",commit=\"x\"}} 1\n\
         inference_pool_ready_pods{{name=\"{pool}\"}} 2\n{flows}"
    )
}

#[test]
fn the_pool_of_a_queue_without_it_is_the_one_that_the_page_names() {
    let mut scenario = Scenario::new();
    let mut register = |query: &str| scenario.register(&query.replace('Q', LEGACY_QUEUE));
    let ours = register("sum(Q{inference_pool=\"p\"})");
    let new_name =
        scenario.register("sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})");
    let mut register = |query: &str| scenario.register(&query.replace('Q', LEGACY_QUEUE));
    let by_pool = register("sum by (inference_pool) (Q)");
    let average = register("sum(avg_over_time(Q{inference_pool=~\"p|q\"}[1s]))");
    let other = register("sum(Q{inference_pool=\"other\"})");
    let model = register("sum(Q{model_name=\"m\"})");
    let epp = scenario.target("a:1");
    for _ in 0..30 {
        scenario.take(epp, &page_of_gie_1_2("p", &[100, 6]));
    }
    for signal in [ours, new_name, by_pool, average] {
        assert_eq!(scenario.reported(signal), value(106.0));
    }
    unknown(
        &scenario.reported(other),
        &["a:1 now serves \"p\", not \"other\""],
    );
    unknown(
        &scenario.reported(model),
        &[
            "has no label model_name on a:1 (GIE v1.2.0)",
            "it has fairness_id",
        ],
    );
    // Two pools on one page: which one a flow belongs to is not said.
    let two = page_of_gie_1_2("p", &[100, 6]) + "inference_pool_ready_pods{name=\"q\"} 1\n";
    scenario.take(epp, &two);
    unknown(
        &scenario.reported(ours),
        &["without the label inference_pool"],
    );
}

#[test]
fn a_label_that_the_family_lacks_is_never_a_zero() {
    let mut scenario = Scenario::new();
    let queries = [
        (
            "sum(inference_objective_running_requests{inference_pool=\"a\"})",
            "inference_pool",
        ),
        (
            "sum(inference_objective_running_requests{priority=\"0\"})",
            "priority",
        ),
        (
            "sum(inference_objective_running_requests{target_model_name=\"m\"})",
            "target_model_name",
        ),
        (
            "sum(inference_objective_running_requests{fairness_id=\"f\"}) or vector(0)",
            "fairness_id",
        ),
        (
            "sum(inference_objective_running_requests{priority=~\".+\"})",
            "priority",
        ),
        (
            "sum(inference_extension_flow_control_queue_size{namespace=\"default\"})",
            "namespace",
        ),
        (
            "sum(inference_extension_flow_control_queue_size{name=\"a\"})",
            "name",
        ),
        (
            "sum(inference_pool_ready_pods{inference_pool=\"a\"})",
            "inference_pool",
        ),
        ("count(my_gauge{priority=\"0\"})", "priority"),
    ];
    let signals = queries.map(|(query, label)| (scenario.register(query), label));
    let epp = scenario.target("a:1");
    let page = Gateway::of("a").page()
        + "my_gauge{shard=\"1\"} 4\nelsewhere{namespace=\"default\",priority=\"0\"} 1\n";
    for _ in 0..3 {
        scenario.take(epp, &page);
    }
    for (signal, label) in signals {
        unknown(
            &scenario.reported(signal),
            &[&format!("has no label {label} on a:1")],
        );
    }
}

/// A collector's page went on with one namespace's servers when it had lost the other's, and 50 waiting requests became 0.
#[test]
fn what_a_page_of_several_sources_has_lost_is_no_zero() {
    let mut scenario = Scenario::new();
    let queries = [
        "sum(vllm:num_requests_waiting{namespace=\"b\"})",
        "sum(vllm:num_requests_waiting{model_name=\"n\"})",
        "sum(my_queue{namespace=\"b\"})",
        "sum(my_queue{exported_pod=\"b-0\"})",
        "sum(inference_extension_flow_control_queue_size{namespace=\"b\"})",
        "sum(inference_extension_flow_control_queue_size{k8s_namespace_name=\"b\"})",
    ];
    let signals = queries.map(|query| scenario.register(query));
    let waived = scenario.register("sum(my_queue{namespace=\"b\"}) or vector(0)");
    let of_requests = scenario.register("sum(my_queue{tenant=\"t\"})");
    let collector = scenario.target("a:1");
    let of = |namespace: &str, model: &str, tenant: &str| {
        format!(
            "vllm:num_requests_waiting{{namespace=\"{namespace}\",model_name=\"{model}\"}} 50\n\
             my_queue{{namespace=\"{namespace}\",exported_pod=\"{namespace}-0\",tenant=\"{tenant}\"}} 7\n\
             inference_extension_flow_control_pool_saturation{{namespace=\"{namespace}\",k8s_namespace_name=\"{namespace}\"}} 0.5\n\
             inference_extension_flow_control_queue_size{{namespace=\"{namespace}\",k8s_namespace_name=\"{namespace}\"}} 3\n"
        )
    };
    let both = of("a", "m", "s") + &of("b", "n", "t");
    for _ in 0..3 {
        scenario.take(collector, &both);
    }
    assert_eq!(scenario.reported(signals[0]), value(50.0));
    for _ in 0..3 {
        scenario.take(collector, &of("a", "m", "s"));
    }
    for signal in signals {
        unknown(&scenario.reported(signal), &["the result is empty"]);
    }
    assert_eq!(scenario.reported(waived), value(0.0));
    // A tenant is no source: the process that shows the family for others would show it for this one.
    assert_eq!(scenario.reported(of_requests), value(0.0));
}

#[test]
fn what_only_some_gateways_show_is_not_idle_where_they_do_not() {
    let mut scenario = Scenario::new();
    let tokens = scenario.register("sum(llm_d_epp_inflight_tokens) / 15928");
    let ready = scenario.register("sum(llm_d_epp_ready_endpoints{name=\"a\"})");
    let saturation =
        scenario.register("sum(llm_d_epp_flow_control_pool_saturation{inference_pool=\"a\"})");
    let epp = scenario.target("a:1");
    let page = "llm_d_epp_info 1\nllm_d_epp_per_endpoint_queue_size{model_server_endpoint=\"e\",name=\"a\"} 3\n\
                llm_d_epp_flow_control_dispatch_cycle_duration_seconds_count 9\n";
    for _ in 0..3 {
        scenario.take(epp, page);
    }
    unknown(&scenario.reported(tokens), &["llm_d_epp_inflight_tokens"]);
    unknown(&scenario.reported(ready), &["llm_d_epp_ready_endpoints"]);
    unknown(
        &scenario.reported(saturation),
        &["llm_d_epp_flow_control_pool_saturation"],
    );
}

#[test]
fn what_is_constant_for_a_process_ends_with_it() {
    let (mut old, mut young) = (Scenario::new(), Scenario::new());
    let query = "sum(inference_extension_flow_control_queue_size{inference_pool=\"old\"})";
    let (signal, epp) = (old.register(query), old.target("a:1"));
    old.rounds(30, &[(epp, Some(&Gateway::of("old")))]);
    assert_eq!(old.reported(signal), value(5.0));
    let mut renamed = Gateway::of("new");
    renamed.start = old.start_now();
    renamed.queue = Some(100.0);
    old.rounds(700, &[(epp, Some(&renamed))]);
    young.now_ms = old.now_ms;
    let (late, late_epp) = (young.register(query), young.target("a:1"));
    young.rounds(3, &[(late_epp, Some(&renamed))]);
    for reported in [old.reported(signal), young.reported(late)] {
        unknown(&reported, &["a:1 now serves \"new\", not \"old\""]);
    }
}

#[test]
fn a_new_process_has_to_say_which_pool_it_serves() {
    let mut scenario = Scenario::new();
    let (signal, epp) = (
        scenario.register(crate::scenario::QUEUE),
        scenario.target("a:1"),
    );
    scenario.rounds(30, &[(epp, Some(&Gateway::of("a")))]);
    let start = scenario.start_now();
    let page = format!(
        "process_start_time_seconds {start}\ninference_extension_info 1\n\
         inference_extension_flow_control_dispatch_cycle_duration_seconds_count 1\n"
    );
    for _ in 0..700 {
        scenario.take(epp, &page);
    }
    unknown(
        &scenario.reported(signal),
        &["a:1", "has not said yet which pool it serves"],
    );
}

#[test]
fn labels_that_series_replace_decide_not_those_of_their_target() {
    let mut scenario = Scenario::new();
    let queries = [
        ("sum(queue{job=\"batch\"})", 3.0),
        ("sum(queue{namespace=\"llm\"})", 3.0),
        ("sum by (job) (queue)", 3.0),
        ("queue", 3.0),
    ];
    let signals = queries.map(|(query, told)| (scenario.register(query), told));
    let mistyped = scenario.register("sum(queue{job=\"bath\"})");
    let labels = [
        ("instance", "g:1"),
        ("job", "gateway"),
        ("namespace", "mon"),
    ];
    let gateway = scenario.target_with(TargetSpec {
        labels: Labels::from_pairs(labels),
        honor_labels: true,
        interval_ms: INTERVAL_MS as u64,
        ..TargetSpec::default()
    });
    for _ in 0..3 {
        scenario.take(
            gateway,
            "queue{job=\"batch\",instance=\"i1:80\",namespace=\"llm\"} 3\n",
        );
    }
    for (signal, told) in signals {
        assert_eq!(scenario.reported(signal), value(told));
    }
    unknown(&scenario.reported(mistyped), &["job=\"bath\""]);
}

#[test]
fn series_about_scrapes_are_known_of_every_target() {
    let mut scenario = Scenario::new();
    let queries = [
        ("count(up{job=\"vllm\"} == 1)", 1.0),
        (
            "sum(vllm:num_requests_waiting) / count(up{job=\"vllm\"} == 1)",
            8.0,
        ),
        ("sum(scrape_samples_scraped{job=\"vllm\"})", 1.0),
    ];
    let signals = queries.map(|(query, told)| (scenario.register(query), told));
    let target = scenario.target_of("vllm", "v:1", &[]);
    for _ in 0..3 {
        scenario.take(target, "vllm:num_requests_waiting 8\n");
    }
    for (signal, told) in signals {
        assert_eq!(scenario.reported(signal), value(told));
    }
    scenario.rounds(30, &[(target, None)]);
    for (signal, _) in signals {
        unknown(&scenario.reported(signal), &["v:1 (job vllm) fails since"]);
    }
}

/// A selector that excludes every series was answered with 0.
#[test]
fn conditions_that_no_series_can_meet_are_no_idle_ones() {
    let page = "lag{name=\"a\",zone=\"x\"} 20\nlag{name=\"b\",zone=\"y\"} 6\n";
    for (conditions, is_refused) in [
        ("name=\"\"", true),
        ("name!~\".+\"", true),
        ("name=\"a\",name!=\"a\"", true),
        ("name=~\"a|c\",name=~\"b|d\"", true),
        ("name=\"a\",zone=\"\"", true),
        // A label that no series has does not exclude any, and other values may come.
        ("name=\"a\",team=\"\"", false),
        ("name!=\"a\",name!=\"b\"", false),
        ("name!~\"a.*|b.*\"", false),
        ("name=~\"a|b\"", false),
    ] {
        for query in [
            format!("sum(lag{{{conditions}}})"),
            format!("sum(lag{{{conditions}}}) or vector(0)"),
        ] {
            let mut scenario = Scenario::new();
            let signal = scenario.register(&query);
            let target = scenario.target_of("queue", "a:1", &[]);
            for _ in 0..3 {
                scenario.take(target, page);
            }
            match (is_refused, scenario.reported(signal)) {
                (true, reported) => unknown(&reported, &["no series can have"]),
                (false, reported) => assert!(
                    matches!(reported, Reported::Value(_)),
                    "{query} {reported:?}"
                ),
            }
        }
    }
}
