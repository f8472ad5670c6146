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
    let help = "When the process started.";
    family(&mut out, start, "gauge", help, "", process_start_s);
    for metric in ["llm_d_epp_info", "inference_extension_info"] {
        let help = "What was built.";
        family(&mut out, metric, "gauge", help, "build_ref=\"demo\"", 1.0);
    }
    let (lease, help) = ("leader_election_master_status", "1 for the leader.");
    family(&mut out, lease, "gauge", help, "name=\"demo\"", 1.0);
    flow_control(&mut out, day);
    requests(&mut out, day);
    pool(&mut out, day);
    waited(&mut out, day);
    out
}

/// What flow control says, under the names of old and new releases.
fn flow_control(out: &mut String, day: &Day) {
    let (queue, flow) = (day.queue() as f64, flow_labels());
    for metric in [
        "inference_extension_flow_control_queue_size",
        "llm_d_epp_flow_control_queue_size",
    ] {
        let help = "Requests that wait in the gateway.";
        family(out, metric, "gauge", help, &flow, queue);
    }
    let metric = "llm_d_epp_flow_control_queue_bytes";
    let help = "Bytes of requests that wait.";
    family(out, metric, "gauge", help, &flow, queue * 2048.0);
}

fn requests(out: &mut String, day: &Day) {
    let model = format!("model_name=\"{MODEL}\"");
    let request = format!(
        "fairness_id=\"default-flow\",model_name=\"{MODEL}\",priority=\"0\",target_model_name=\"{MODEL}\""
    );
    let running = day.running() as f64;
    for (metric, labels) in [
        ("inference_objective_running_requests", &model),
        ("llm_d_epp_request_running", &request),
    ] {
        let help = "Requests that are served now.";
        family(out, metric, "gauge", help, labels, running);
    }
    let (metric, arrived) = ("llm_d_epp_request_total", day.arrived.floor());
    let help = "Requests that came.";
    family(out, metric, "counter", help, &request, arrived);
}

fn pool(out: &mut String, day: &Day) {
    let (pool, name) = (
        format!("inference_pool=\"{POOL}\""),
        format!("name=\"{POOL}\""),
    );
    for metric in [
        "inference_extension_flow_control_pool_saturation",
        "llm_d_epp_flow_control_pool_saturation",
    ] {
        let help = "How full the pool is.";
        family(out, metric, "gauge", help, &pool, day.saturation());
    }
    for metric in ["inference_pool_ready_pods", "llm_d_epp_ready_endpoints"] {
        let help = "Replicas that serve.";
        family(out, metric, "gauge", help, &name, day.replicas);
    }
    let per_replica = match day.replicas {
        replicas if replicas > 0.0 => day.running() as f64 / replicas,
        _ => 0.0,
    };
    let metric = "llm_d_epp_average_running_requests";
    let help = "Requests by replica.";
    family(out, metric, "gauge", help, &name, per_replica);
}

/// A family of one series.
fn family(out: &mut String, metric: &str, kind: &str, help: &str, labels: &str, value: f64) {
    let (open, close) = if labels.is_empty() {
        ("", "")
    } else {
        ("{", "}")
    };
    writeln!(
        out,
        "# HELP {metric} {help}\n# TYPE {metric} {kind}\n{metric}{open}{labels}{close} {value}"
    )
    .ok();
}

fn flow_labels() -> String {
    format!(
        "fairness_id=\"default-flow\",inference_pool=\"{POOL}\",model_name=\"{MODEL}\",priority=\"0\",target_model_name=\"{MODEL}\""
    )
}

fn waited(out: &mut String, day: &Day) {
    let flow = flow_labels();
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
