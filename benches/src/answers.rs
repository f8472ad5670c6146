//! Compares the answers of two servers: their JSON, without the order of series.

use std::collections::BTreeMap;

use serde_json::Value;

/// The result of one comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The same type, the same series, every float the same text (so the same bits).
    Same,
    /// The same except for floats; the largest relative difference.
    Near(f64),
    /// Both servers refused the query.
    BothRefused,
    /// Different; what differs, and where.
    Different(String),
}

/// Compares two bodies of `/api/v1/query` or `query_range`.
pub fn compare(ours: &str, theirs: &str) -> Verdict {
    let (Ok(ours), Ok(theirs)) = (
        serde_json::from_str::<Value>(ours),
        serde_json::from_str::<Value>(theirs),
    ) else {
        return Verdict::Different("an answer is no JSON".to_owned());
    };
    match (ours["status"].as_str(), theirs["status"].as_str()) {
        (Some("success"), Some("success")) => data(&ours["data"], &theirs["data"]),
        (Some("error"), Some("error")) => Verdict::BothRefused,
        (Some("error"), _) => Verdict::Different(format!("only we refuse: {}", ours["error"])),
        _ => Verdict::Different(format!("only they refuse: {}", theirs["error"])),
    }
}

fn data(ours: &Value, theirs: &Value) -> Verdict {
    let mut apart = 0.0;
    let result = if ours["resultType"] != theirs["resultType"] {
        Err("the types differ".to_owned())
    } else if matches!(ours["resultType"].as_str(), Some("vector" | "matrix")) {
        series(&ours["result"], &theirs["result"], &mut apart)
    } else {
        points(&ours["result"], &theirs["result"], &mut apart)
    };
    match result {
        Err(why) => Verdict::Different(why),
        Ok(()) if apart > 0.0 => Verdict::Near(apart),
        Ok(()) => Verdict::Same,
    }
}

fn by_labels(result: &Value) -> BTreeMap<String, &Value> {
    let list = result.as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .map(|one| (one["metric"].to_string(), one)) // serde_json's objects are sorted by key
        .collect()
}

fn series(ours: &Value, theirs: &Value, apart: &mut f64) -> Result<(), String> {
    let (ours, mut theirs) = (by_labels(ours), by_labels(theirs));
    for (metric, ours) in ours {
        let theirs = theirs
            .remove(&metric)
            .ok_or_else(|| format!("only we have {metric}"))?;
        for key in ["value", "values", "histogram", "histograms"] {
            points(&ours[key], &theirs[key], apart)
                .map_err(|why| format!("{metric} {key}: {why}"))?;
        }
    }
    match theirs.keys().next() {
        Some(metric) => Err(format!("only they have {metric}")),
        None => Ok(()),
    }
}

/// Compares any part of an answer below the labels: same structure; floats may differ, which is recorded in `apart`.
fn points(ours: &Value, theirs: &Value, apart: &mut f64) -> Result<(), String> {
    let differ = || Err(format!("we have {ours}, they have {theirs}"));
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).try_for_each(|(a, b)| points(a, b, apart))
        }
        (Value::Array(a), Value::Array(b)) => {
            Err(format!("we have {}, they have {}", a.len(), b.len()))
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().try_for_each(|(key, a)| points(a, &b[key], apart))
        }
        (Value::String(a), Value::String(b)) if a != b => {
            let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) else {
                return differ();
            };
            let distance = (a - b).abs() / a.abs().max(b.abs());
            if !distance.is_finite() {
                return differ();
            }
            *apart = apart.max(distance);
            Ok(())
        }
        _ if ours == theirs => Ok(()),
        _ => differ(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(elements: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{elements}]}}}}"#)
    }

    fn element(job: &str, value: &str) -> String {
        format!(r#"{{"metric":{{"a":"1","job":"{job}"}},"value":[1.5,"{value}"]}}"#)
    }

    #[test]
    fn order_does_not_count_and_values_do() {
        let (x, y) = (element("x", "1"), element("y", "2"));
        let ours = vector(&format!("{x},{y}"));
        assert_eq!(compare(&ours, &vector(&format!("{y},{x}"))), Verdict::Same);
        let off = vector(&format!("{x},{}", element("y", "2.5")));
        assert_eq!(compare(&ours, &off), Verdict::Near(0.2));
        for other in [
            vector(&x),
            vector(&format!("{x},{}", element("z", "2"))),
            vector(&format!("{x},{}", element("y", "NaN"))),
            vector(&format!("{x},{}", element("y", "+Inf"))),
            r#"{"status":"error","error":"no"}"#.to_owned(),
            "{".to_owned(),
        ] {
            assert!(
                matches!(compare(&ours, &other), Verdict::Different(_)),
                "{other}"
            );
        }
    }

    #[test]
    fn a_refusal_is_one_whatever_its_words() {
        let refusal = r#"{"status":"error","error":"no"}"#;
        assert_eq!(
            compare(refusal, r#"{"status":"error","error":"never"}"#),
            Verdict::BothRefused
        );
    }
}
