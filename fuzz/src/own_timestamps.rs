//! Pages whose samples have timestamps of their own, over a retention that moves: whatever the times are, a page is taken
//! whole or refused, the next one is taken again, and what is held lies within the retention and the future that is allowed.
//!
//! ```text
//!  input: steps of 4 bytes   | advance | series and kind | time | value |
//! ```

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::Policy;
use stillwell_engine::{Engine, Format, Limits, Reader, ScrapeFacts, TargetSpec, Timestamp};

/// Steps of an input that are played.
const STEPS_MAX: usize = 200;
/// Samples are kept for so long, in milliseconds.
const RETENTION_MS: i64 = 10_000;
/// Timestamps may be ahead of the clock by ten minutes (`FUTURE_MS_MAX`).
const FUTURE_MS: i64 = 600_000;
/// A block of history ends with its newest sample, so older ones of it stay for a while.
const BLOCK_MS: i64 = 200_000;

/// Plays the steps on two targets that both expose the series.
pub fn run(data: &[u8]) {
    let (mut writer, reader) = Engine::new(Limits {
        retention_ms: RETENTION_MS,
        ..Limits::default()
    });
    writer
        .register("sum(rate(x[5s]))", Policy::default())
        .expect("a valid query");
    let mut stages = ["a", "b"].map(|instance| {
        let labels = Labels::from_pairs([("instance", instance), ("job", "j")]);
        let spec = TargetSpec {
            labels,
            interval_ms: 100,
            ..TargetSpec::default()
        };
        writer.add_target(spec).1
    });
    let mut now_ms = 1_000_000_i64;
    let mut lines = [const { String::new() }; 8];
    let steps = data.chunks_exact(4).take(STEPS_MAX);
    for (number, step) in steps.enumerate() {
        now_ms += 1 + i64::from(step[0]) * 40;
        lines[usize::from(step[1]) % 8] = line(step, now_ms);
        let page = lines.concat();
        let stage = &mut stages[usize::from(step[1] >> 5) % 2];
        let staged = stage
            .parse(page.as_bytes(), Format::Text)
            .expect("it is a page");
        let at = Timestamp::from_ms(now_ms);
        writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("a page is taken, whatever its timestamps are");
        if number % 7 == 6 {
            writer.maintain(at);
        }
    }
    check(&reader, now_ms);
}

/// The line of a series, with a timestamp of its own or without.
fn line(step: &[u8], now_ms: i64) -> String {
    let (series, value) = (step[1] % 8, step[3]);
    let own_ms = match (step[1] >> 3) % 4 {
        // None, around now, far back, far ahead.
        0 => None,
        1 => Some(now_ms - i64::from(step[2]) * 100 + 1_000),
        2 => Some(now_ms - i64::from(step[2]) * 10_000),
        _ => Some(now_ms + i64::from(step[2]) * 10_000),
    };
    match own_ms {
        None => format!("x{{l=\"{series}\"}} {value}\n"),
        // The format has no time before 1970.
        Some(ms) => format!("x{{l=\"{series}\"}} {value} {}\n", ms.max(0)),
    }
}

/// Samples ascend, and lie within the retention and the future that is allowed.
fn check(reader: &Reader, now_ms: i64) {
    let query = Query::parse("x[100y]", &Features::default()).expect("a valid query");
    let at = Timestamp::from_ms(now_ms + FUTURE_MS);
    let answer = query.instant(&reader.plain(), at, &EvalOptions::default());
    let Value::Matrix(series) = answer.expect("answered").value else {
        unreachable!("a range selector yields a matrix");
    };
    for one in &series {
        let times: Vec<i64> = one.floats.iter().map(|(time, _)| time.ms()).collect();
        assert!(
            times.is_sorted_by(|a, b| a < b),
            "{}: {times:?}",
            one.labels
        );
        let oldest = now_ms - RETENTION_MS - BLOCK_MS;
        let held = |ms: &i64| (oldest..=now_ms + FUTURE_MS).contains(ms);
        assert!(
            times.iter().all(held),
            "{} at {now_ms}: {times:?}",
            one.labels
        );
    }
}
