//! The stand-in's page: what an Endpoint Picker with flow control shows, under its old and its current names.

use std::fmt::Write;

use super::day::{Day, WAITED_BOUNDS_S};

/// The guide's pool.
pub(super) const POOL: &str = "vllm-llama3-8b-instruct";
const MODEL: &str = "meta-llama/Llama-3.1-8B-Instruct";

/// The page of this moment, of a process that began at `process_start_s`.
pub(super) fn page(day: &Day, process_start_s: f64) -> String {
    let mut out = String::with_capacity(8 << 10);
    let start = "process_start_time_seconds";
    writeln!(
        out,
        "# HELP {start} When the process started.\n# TYPE {start} gauge\n{start} {process_start_s}"
    )
    .ok();
    let flow = format!(
        "fairness_id=\"default-flow\",inference_pool=\"{POOL}\",model_name=\"{MODEL}\",priority=\"0\",target_model_name=\"{MODEL}\""
    );
    let request = format!(
        "fairness_id=\"default-flow\",model_name=\"{MODEL}\",priority=\"0\",target_model_name=\"{MODEL}\""
    );
    let (model, pool, name) = (
        format!("model_name=\"{MODEL}\""),
        format!("inference_pool=\"{POOL}\""),
        format!("name=\"{POOL}\""),
    );
    let (queue, running) = (day.queue() as f64, day.running() as f64);
    let per_replica = if day.replicas > 0.0 {
        running / day.replicas
    } else {
        0.0
    };
    for (metric, kind, help, labels, value) in [
        (
            "inference_extension_flow_control_queue_size",
            "gauge",
            "Requests that wait in the gateway.",
            &flow,
            queue,
        ),
        (
            "llm_d_epp_flow_control_queue_size",
            "gauge",
            "Requests that wait in the gateway.",
            &flow,
            queue,
        ),
        (
            "llm_d_epp_flow_control_queue_bytes",
            "gauge",
            "Bytes of requests that wait.",
            &flow,
            queue * 2048.0,
        ),
        (
            "inference_objective_running_requests",
            "gauge",
            "Requests that are served now.",
            &model,
            running,
        ),
        (
            "llm_d_epp_request_running",
            "gauge",
            "Requests that are served now.",
            &request,
            running,
        ),
        (
            "inference_extension_flow_control_pool_saturation",
            "gauge",
            "How full the pool is.",
            &pool,
            day.saturation(),
        ),
        (
            "llm_d_epp_flow_control_pool_saturation",
            "gauge",
            "How full the pool is.",
            &pool,
            day.saturation(),
        ),
        (
            "inference_pool_ready_pods",
            "gauge",
            "Replicas that serve.",
            &name,
            day.replicas,
        ),
        (
            "llm_d_epp_ready_endpoints",
            "gauge",
            "Replicas that serve.",
            &name,
            day.replicas,
        ),
        (
            "llm_d_epp_average_running_requests",
            "gauge",
            "Requests by replica.",
            &name,
            per_replica,
        ),
        (
            "llm_d_epp_request_total",
            "counter",
            "Requests that came.",
            &request,
            day.arrived.floor(),
        ),
    ] {
        writeln!(
            out,
            "# HELP {metric} {help}\n# TYPE {metric} {kind}\n{metric}{{{labels}}} {value}"
        )
        .ok();
    }
    waited(&mut out, day, &flow);
    out
}

fn waited(out: &mut String, day: &Day, flow: &str) {
    let name = "llm_d_epp_flow_control_request_queue_duration_seconds";
    writeln!(
        out,
        "# HELP {name} How long requests waited.\n# TYPE {name} histogram"
    )
    .ok();
    let labels = format!("{flow},outcome=\"Dispatched\"");
    for (count, bound_s) in day.waited.iter().zip(WAITED_BOUNDS_S) {
        writeln!(
            out,
            "{name}_bucket{{{labels},le=\"{bound_s}\"}} {}",
            count.floor()
        )
        .ok();
    }
    let answered = day.answered.floor();
    writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {answered}").ok();
    writeln!(
        out,
        "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {answered}",
        day.waited_s
    )
    .ok();
}

#[cfg(test)]
mod tests {
    use stillwell_engine::{Engine, Format, Limits, TargetSpec};

    use super::*;

    #[test]
    fn every_page_of_the_day_parses() {
        let (mut writer, _) = Engine::new(Limits::default());
        let (_, mut stage) = writer.add_target(TargetSpec::default());
        let mut day = Day::default();
        for second in 0..120 {
            day.advance_to(f64::from(second));
            let page = page(&day, 1.0);
            let parsed = stage.parse(page.as_bytes(), Format::Text);
            assert!(parsed.is_ok(), "{page}");
        }
    }
}
