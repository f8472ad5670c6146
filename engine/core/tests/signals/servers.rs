//! Model servers with a queue each, and a scenario after a restart of ours.

use stillwell_engine::labels::Labels;
use stillwell_engine::{Engine, Limits, Retain, TargetSpec, Timestamp};
use stillwell_testing::reading::reading;

use crate::scenario::{INTERVAL_MS, Scenario};

pub(crate) const WAITING: &str = "vllm:num_requests_waiting";

pub(crate) fn server(instance: &str, retain: Retain) -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("job", "v"), ("instance", instance)]),
        interval_ms: INTERVAL_MS as u64,
        retain,
        ..TargetSpec::default()
    }
}

pub(crate) fn page(start: i64, waiting: Option<i64>) -> String {
    let waiting = waiting.map(|waiting| format!("{WAITING}{{engine=\"0\"}} {waiting}\n"));
    let waiting = waiting.unwrap_or_default();
    format!(
        "process_start_time_seconds {start}\nvllm:num_requests_running{{engine=\"0\"}} 3\n{waiting}"
    )
}

/// The same after a restart of ours, 200 ms later.
pub(crate) fn restarted(scenario: Scenario) -> Scenario {
    let mut bytes = Vec::new();
    let mut snapshot = scenario.writer.snapshot(scenario.at(), &[]);
    while snapshot.next(&mut bytes) {}
    let now = Timestamp::from_ms(scenario.now_ms + 200);
    let restored =
        Engine::restore(Limits::default(), now, &mut reading(&bytes)).expect("a snapshot");
    Scenario {
        writer: restored.writer,
        reader: restored.reader,
        now_ms: now.ms(),
        stages: Vec::new(),
    }
}
