//! All samples of all series of two servers beside each other.

use std::time::Duration;

use serde_json::Value;

use super::Error;
use crate::contender::Client;

/// Compares all samples of all series up to some seconds ago.
pub(super) fn compare(
    ours: &mut Client,
    theirs: &mut Client,
    all: Duration,
) -> Result<String, Error> {
    let newest = ours.query("max(timestamp(up))")?;
    let newest: Value = serde_json::from_str(&newest)?;
    let newest = newest["data"]["result"][0]["value"][1]
        .as_str()
        .ok_or("no scrapes")?;
    // What is newer may be under way.
    let at_ms = (newest.parse::<f64>()? * 1000.0) as i64 - 12_000;
    let names: Value = serde_json::from_str(&ours.get("/api/v1/label/__name__/values")?)?;
    let names = names["data"].as_array().cloned().unwrap_or_default();
    let (mut series, mut samples, mut missing, mut more, mut different) = (0, 0, 0, 0, 0);
    for name in names.iter().filter_map(Value::as_str) {
        let query = format!("{{__name__=\"{name}\"}}[{}s]", all.as_secs());
        let mine = points(&ours.query_at(&query, at_ms)?)?;
        let mut other = points(&theirs.query_at(&query, at_ms)?)?;
        for (labels, list) in mine {
            series += 1;
            samples += list.len();
            let have = other.remove(&labels).unwrap_or_default();
            let (mut left, mut right) = (list.iter().peekable(), have.iter().peekable());
            loop {
                match (left.peek(), right.peek()) {
                    (Some((a, x)), Some((b, y))) if a == b => {
                        different += usize::from(x != y);
                        left.next();
                        right.next();
                    }
                    (Some((a, _)), Some((b, _))) if a < b => {
                        missing += 1;
                        left.next();
                    }
                    (Some(_), None) => {
                        missing += 1;
                        left.next();
                    }
                    (_, Some(_)) => {
                        more += 1;
                        right.next();
                    }
                    (None, None) => break,
                }
            }
        }
    }
    let missed = format!(
        "sum(count_over_time(up[{0}s])) - sum(sum_over_time(up[{0}s]))",
        all.as_secs()
    );
    let missed: Value = serde_json::from_str(&ours.query(&missed)?)?;
    let missed = missed["data"]["result"][0]["value"][1]
        .as_str()
        .unwrap_or("?")
        .to_owned();
    Ok(format!(
        "{series} | {samples} | {missing} | {more} | {different} | {missed}"
    ))
}

type Points = std::collections::BTreeMap<String, Vec<(i64, String)>>;

fn points(answer: &str) -> Result<Points, Error> {
    let answer: Value = serde_json::from_str(answer)?;
    let mut points = Points::new();
    for one in answer["data"]["result"].as_array().into_iter().flatten() {
        let list = one["values"].as_array().into_iter().flatten();
        let list = list.map(|pair| {
            let ms = (pair[0].as_f64().unwrap_or(0.0) * 1000.0).round() as i64;
            // Bit for bit: each server writes the shortest text, but in ways of its own.
            let value: f64 = pair[1]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or(f64::NAN);
            (ms, format!("{:x}", value.to_bits()))
        });
        points.insert(one["metric"].to_string(), list.collect());
    }
    Ok(points)
}
