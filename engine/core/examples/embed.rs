//! A gateway as the engine sees it: idle, busy, restarted, unreachable. Prints what an autoscaler would be told at each
//! step, and answers PromQL beside it.
//!
//! `cargo run -p stillwell-engine --example embed`

#![allow(clippy::print_stdout)] // an example shows what it does

use std::error::Error;

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::{Policy, SignalId, State};
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

const INTERVAL_MS: i64 = 1_000;
const QUEUE: &str = "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"llama\"})";

/// The page of a gateway whose process started at `started_s` and whose pool has this many requests in its queue.
fn page(started_s: u64, waiting: u64) -> String {
    format!(
        "# TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds {started_s}\n\
         # TYPE llm_d_epp_flow_control_pool_saturation gauge\n\
         llm_d_epp_flow_control_pool_saturation{{inference_pool=\"llama\"}} 0.5\n\
         # TYPE llm_d_epp_flow_control_queue_size gauge\n\
         llm_d_epp_flow_control_queue_size{{inference_pool=\"llama\",fairness_id=\"a\"}} {waiting}\n"
    )
}

struct Example {
    writer: Writer,
    reader: Reader,
    stage: Stage,
    queue: SignalId,
    now: Timestamp,
}

impl Example {
    fn new() -> Result<Example, Box<dyn Error>> {
        let (mut writer, reader) = Engine::new(Limits::default());
        let (_, stage) = writer.add_target(TargetSpec {
            labels: Labels::from_pairs([("job", "epp"), ("instance", "10.0.0.7:9090")]),
            interval_ms: INTERVAL_MS.unsigned_abs(),
            ..TargetSpec::default()
        });
        let queue = writer.register(QUEUE, Policy::default())?;
        Ok(Example {
            writer,
            reader,
            stage,
            queue,
            now: Timestamp::from_ms(1_800_000_000_000),
        })
    }

    /// One good scrape.
    fn scrape(&mut self, body: &str) -> Result<(), Box<dyn Error>> {
        self.now = self.now.plus_ms(INTERVAL_MS);
        let staged = self.stage.parse(body.as_bytes(), Format::Text)?;
        let facts = ScrapeFacts::default();
        self.writer.commit(staged, self.now, facts)?;
        Ok(())
    }

    /// One failed scrape.
    fn fail(&mut self, error: &str) -> Result<(), Box<dyn Error>> {
        self.now = self.now.plus_ms(INTERVAL_MS);
        let target = self.stage.target();
        let facts = ScrapeFacts {
            duration_s: 1.0,
            body_bytes: 0,
            answered: false,
        };
        self.writer.fail(target, self.now, facts, error)?;
        Ok(())
    }

    /// What an autoscaler is told now.
    fn tell(&self, what: &str) {
        let reading = self.reader.signal(self.queue, self.now, &[]);
        let Some(reading) = reading else {
            println!("{what:<28} there is no such signal");
            return;
        };
        let values: Vec<f64> = reading.elements.iter().map(|one| one.value).collect();
        match reading.state {
            State::Value => println!("{what:<28} {values:?}"),
            State::Held { age_ms, why } => {
                println!("{what:<28} {values:?}, {age_ms} ms old: {why}");
            }
            State::Configured { why } => println!("{what:<28} {values:?}, configured: {why}"),
            State::Unknown { why } => println!("{what:<28} an error: {why}"),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut example = Example::new()?;
    example.tell("before the first page");

    for waiting in [0, 0, 0, 12, 30] {
        example.scrape(&page(1_799_990_000, waiting))?;
        example.tell(&format!("{waiting} requests wait"));
    }

    example.scrape(&page(1_800_000_005, 0))?;
    example.tell("the gateway restarted");

    for _ in 0..4 {
        example.fail("connection refused")?;
        example.tell("the gateway is unreachable");
    }

    let text = "max_over_time(llm_d_epp_flow_control_queue_size[30s])";
    let query = Query::parse(text, &Features::default())?;
    let answer = query.instant(
        &example.reader.plain(),
        example.now,
        &EvalOptions::default(),
    )?;
    if let Value::Vector(samples) = answer.value {
        for sample in samples {
            println!("{text} = {} {}", sample.value, sample.labels);
        }
    }
    Ok(())
}
