//! The steady state allocates nothing: a page that repeats is parsed, committed, and the guide's signals are brought
//! up to date without one call to the allocator.

use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Policy, State};
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};
use stillwell_testing::counting::allocations;

const TARGETS: usize = 3;
const FLOWS: usize = 200;

/// Queue, running requests and a histogram, with values of a fixed width that move with `step`.
fn page(step: usize, out: &mut Vec<u8>) {
    use std::io::Write as _;
    out.clear();
    let mut line =
        |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a vector takes everything");
    line(format_args!("process_start_time_seconds 1.7952e+09"));
    line(format_args!(
        "# TYPE inference_extension_flow_control_queue_size gauge"
    ));
    for flow in 0..FLOWS {
        let queue = 1000 + (step + flow) % 50;
        line(format_args!(
            "inference_extension_flow_control_queue_size{{fairness_id=\"f{flow}\",\
             inference_pool=\"vllm-llama3-8b-instruct\",model_name=\"m\",priority=\"0\",target_model_name=\"m\"}} {queue}"
        ));
    }
    for model in 0..20 {
        line(format_args!(
            "inference_objective_running_requests{{model_name=\"m{model}\"}} {}",
            100 + step % 7
        ));
    }
    line(format_args!(
        "# TYPE inference_objective_request_duration_seconds histogram"
    ));
    for model in 0..20 {
        for bound in 0..30 {
            let count = 100_000 + 1_000 * bound + step * (1 + bound / 10);
            let bound = match bound {
                29 => "+Inf".to_owned(),
                bound => bound.to_string(),
            };
            line(format_args!(
                "inference_objective_request_duration_seconds_bucket{{model_name=\"m{model}\",le=\"{bound}\"}} {count}"
            ));
        }
    }
}

/// The same gauges as router v0.11 exposes them: under new names only, and running requests with labels that the guide's
/// name lacks.
fn page_of_router_v0_11(step: usize, out: &mut Vec<u8>) {
    use std::io::Write as _;
    out.clear();
    let mut line =
        |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a vector takes everything");
    line(format_args!("process_start_time_seconds 1.7952e+09"));
    line(format_args!("llm_d_epp_info{{version=\"v0.11.0\"}} 1"));
    for flow in 0..FLOWS {
        let (queue, running) = (1000 + (step + flow) % 50, 100 + (step + flow) % 7);
        let model = flow % 20;
        line(format_args!(
            "llm_d_epp_flow_control_queue_size{{fairness_id=\"f{flow}\",\
             inference_pool=\"vllm-llama3-8b-instruct\",model_name=\"m\",priority=\"0\",target_model_name=\"m\"}} {queue}"
        ));
        line(format_args!(
            "llm_d_epp_request_running{{fairness_id=\"f{flow}\",model_name=\"m{model}\",priority=\"0\",\
             target_model_name=\"m{model}\"}} {running}"
        ));
    }
}

#[test]
fn a_thousand_scrapes_and_evaluations_allocate_nothing() {
    let queries = [
        "sum(inference_extension_flow_control_queue_size{inference_pool=\"vllm-llama3-8b-instruct\"})",
        "sum(inference_objective_running_requests{top_level_controller_name=\"vllm-llama3-8b-instruct-epp\"})",
        "sum by (model_name) (inference_objective_running_requests) / 16",
        "sum by (model_name) (rate(inference_objective_request_duration_seconds_bucket{le=\"3.0\"}[10s]))",
        "histogram_quantile(0.9, sum by (le) (rate(inference_objective_request_duration_seconds_bucket[5s])))",
        "sum(inference_extension_flow_control_queue_size) / sum(inference_objective_running_requests)",
        "sum by (model_name) (inference_objective_running_requests) \
         + on (model_name) count by (model_name) (inference_objective_request_duration_seconds_bucket)",
        "max by (fairness_id) (max_over_time(inference_extension_flow_control_queue_size[5s]))",
        "avg(avg_over_time(inference_extension_flow_control_queue_size[5s]))",
        "max(stddev_over_time(inference_objective_running_requests[5s]))",
        "max(quantile_over_time(0.5, inference_objective_running_requests[5s]))",
        "sum(deriv(inference_objective_running_requests[5s]))",
        "sum by (model_name) (inference_objective_running_requests) > 100",
        "sum(inference_objective_running_requests) + sum(inference_objective_running_requests{model_name=\"m\"})",
    ];
    let elements = [1, 1, 20, 20, 1, 1, 20, 200, 1, 1, 1, 1, 20, 1];
    allocate_nothing(page, &queries, &elements, TARGETS);
}

#[test]
fn joins_rankings_offsets_and_subqueries_allocate_nothing() {
    let by_model = "sum by (model_name) (inference_objective_running_requests)";
    let queries = [
        format!(
            "inference_objective_running_requests * on (model_name) group_left (pool) \
             label_replace({by_model}, \"pool\", \"p-$1\", \"model_name\", \"(.*)\")"
        ),
        format!("topk(3, {by_model})"),
        "bottomk by (model_name) (1, inference_objective_running_requests)".to_owned(),
        "quantile by (model_name) (0.9, inference_objective_running_requests)".to_owned(),
        format!("sort_desc({by_model})"),
        "absent(inference_objective_running_requests > 1e9)".to_owned(),
        format!("{by_model} unless on (model_name) {by_model} > 1e9"),
        format!("{by_model} or on () vector(0)"),
        format!(
            "{by_model} - sum by (model_name) (inference_objective_running_requests offset 3s)"
        ),
        "sum(rate(inference_objective_request_duration_seconds_bucket[2s] offset 1s))".to_owned(),
        "max_over_time(sum(inference_objective_running_requests)[5s:1s])".to_owned(),
        format!("avg_over_time({by_model}[4s:500ms])"),
        "sum(inference_objective_running_requests) and on () hour() >= 0".to_owned(),
    ];
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let elements = [60, 3, 20, 20, 20, 1, 20, 20, 20, 1, 1, 20, 1];
    allocate_nothing(page, &queries, &elements, TARGETS);
}

#[test]
fn signals_that_are_unknown_allocate_nothing() {
    let queries = [
        "sum(inference_extension_flow_control_queue_size{inference_pool=\"vllm-llama3-8b-instruct\"})",
        "sum by (model_name) (inference_objective_running_requests) / 16",
        "avg_over_time(sum by (model_name) (inference_objective_running_requests)[4s:500ms])",
        "sum(rate(inference_objective_request_duration_seconds_bucket[2s] offset 1s))",
        "sum(nothing)",
        "nothing > 5",
    ];
    // The last target is frozen for most of the time.
    allocate_nothing(page, &queries, &[], TARGETS - 1);
}

#[test]
fn the_guides_queries_allocate_nothing_on_pages_of_a_later_release() {
    let queries = [
        "sum(inference_extension_flow_control_queue_size{inference_pool=\"vllm-llama3-8b-instruct\"})",
        "sum(inference_objective_running_requests{top_level_controller_name=\"vllm-llama3-8b-instruct-epp\"})",
        "sum by (model_name) (inference_objective_running_requests)",
        "max(inference_extension_flow_control_queue_size)",
    ];
    allocate_nothing(page_of_router_v0_11, &queries, &[1, 1, 20, 1], TARGETS);
}

/// Three targets give such pages, so many of them for 160 s, the others for a tenth of that. `elements` are those of each
/// query's result at the end; without them the signals are unknown there.
fn allocate_nothing(
    page: fn(usize, &mut Vec<u8>),
    queries: &[&str],
    elements: &[usize],
    lasting: usize,
) {
    let limits = Limits {
        retention_ms: 20_000,
        ..Limits::default()
    };
    let (mut writer, reader) = Engine::new(limits);
    let register = |query: &&str| writer.register(query, Policy::default()).expect("valid");
    let signals: Vec<_> = queries.iter().map(register).collect();
    let mut targets: Vec<_> = (0..TARGETS)
        .map(|target| {
            let labels = Labels::from_pairs([
                ("job", "epp"),
                ("instance", format!("10.0.0.{target}:9090").as_str()),
                ("top_level_controller_name", "vllm-llama3-8b-instruct-epp"),
            ]);
            writer
                .add_target(TargetSpec {
                    labels,
                    interval_ms: 100,
                    ..TargetSpec::default()
                })
                .1
        })
        .collect();
    let mut body = Vec::new();
    let mut now_ms = 1_000_000;
    let mut counted = 0;
    for step in 0..1_600 {
        page(step, &mut body);
        now_ms += 100;
        let at = Timestamp::from_ms(now_ms);
        let before = allocations();
        for stage in targets
            .iter_mut()
            .take(if step < 160 { TARGETS } else { lasting })
        {
            let staged = stage.parse(&body, Format::Text).expect("the page parses");
            writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("the page is taken");
        }
        // The first scrapes fill the history; what comes after lives in the room that they made.
        if step >= 600 {
            counted += allocations() - before;
        }
        if step % 10 == 0 {
            writer.maintain(at);
        }
    }
    assert_eq!(
        counted, 0,
        "allocations in 1,000 scrapes of {TARGETS} targets and their evaluations"
    );
    if elements.is_empty() {
        for signal in &signals {
            let reading = reader.signal(*signal, Timestamp::from_ms(now_ms), &[]);
            let state = reading.expect("registered").state;
            assert!(matches!(state, State::Unknown { .. }), "{state:?}");
        }
    }
    for (signal, elements) in signals.into_iter().zip(elements.iter().copied()) {
        let reading = reader
            .signal(signal, Timestamp::from_ms(now_ms), &[])
            .expect("registered");
        assert_eq!(
            (reading.state, reading.elements.len()),
            (State::Value, elements),
            "{signal:?}"
        );
    }
    let stats = reader.stats();
    assert!(
        stats.bytes.history > 0 && stats.series >= TARGETS * 2 * FLOWS,
        "{stats:?}"
    );
}
