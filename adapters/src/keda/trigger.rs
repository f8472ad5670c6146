//! A trigger as its ScaledObject writes it: the metadata of the external scaler, checked.
//!
//! KEDA hands over every key of the trigger, its own included, so keys that are nobody's are let pass, but not those
//! that look like one of ours misspelt: an `activationTreshold` that is passed over wakes nobody.

use std::collections::BTreeMap;

use stillwell_engine::promql::plan::ValueType;
use stillwell_engine::promql::{Features, Query, parse_duration_ms};
use stillwell_engine::signal::{Absent, Nan, Policy};

use super::refusal::Refusal;
use crate::multi::Multi;

/// How long an activation lasts at least: a cold start of most models.
pub const LATCH_MS_DEFAULT: i64 = 300_000;
/// The longest that may be asked for; a day is no cold start.
const LATCH_MS_MAX: i64 = 24 * 3_600_000;
/// The longest `hold`.
const HOLD_MS_MAX: i64 = 24 * 3_600_000;
/// Of a query's text.
pub const QUERY_BYTES_MAX: usize = 16 << 10;
/// Of a signal's name; Kubernetes names end at 253.
pub const NAME_BYTES_MAX: usize = 512;
/// Keys of one trigger.
pub const KEYS_MAX: usize = 64;

/// The keys that are read.
const KEYS: [&str; 9] = [
    SIGNAL, QUERY, THRESHOLD, ACTIVATION, HOLD, ABSENT, NAN, LATCH, MULTI,
];

/// Keys of other external scalers, with what to write instead: a ScaledObject that only had its address changed.
const KEYS_OF_OTHERS: [(&str, &str); 5] = [
    (
        "metricQuery",
        "is a key of the OpenTelemetry scaler, whose queries are no PromQL; write it as query, with values of labels in \
         double quotes",
    ),
    (
        "operationOverTime",
        "is a key of the OpenTelemetry scaler; write it into the query: avg_over_time(metric[2m]), rate(metric[2m])",
    ),
    (
        "targetValue",
        "is a key of the OpenTelemetry scaler; here it is threshold",
    ),
    (
        "profile",
        "is a key of keda-gpu-scaler; here it is a signal or a query, and threshold",
    ),
    (
        "tritonEndpoint",
        "is a key of keda-gpu-scaler; list that endpoint under scrape_configs",
    ),
];
const SIGNAL: &str = "signal";
const QUERY: &str = "query";
const THRESHOLD: &str = "threshold";
const ACTIVATION: &str = "activationThreshold";
const HOLD: &str = "hold";
const ABSENT: &str = "absent";
const NAN: &str = "nan";
const LATCH: &str = "latch";
const MULTI: &str = "multi";

/// What a trigger's author may write beside another query.
pub const REMEDY: &str = "give the trigger `multi: sum` or `multi: max`";

/// What a trigger reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A signal of the configuration, by name.
    Signal(String),
    /// A query of its own.
    Query(String),
}

/// A trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// What it reads.
    pub source: Source,
    /// The target per replica.
    pub threshold: f64,
    /// Awake above it.
    pub activation_threshold: f64,
    /// What it says of the policy.
    pub hold_ms: Option<i64>,
    /// As above.
    pub absent: Option<Absent>,
    /// As above.
    pub nan: Option<Nan>,
    /// How long an activation lasts at least.
    pub latch_ms: i64,
    /// What becomes of several numbers.
    pub multi: Multi,
}

/// The least that KEDA makes a target of: it takes thousandths (`GetMetricTargetMili` in `pkg/scalers/scaler.go`).
pub const THRESHOLD_MIN: f64 = 0.001;
/// Said of a smaller one.
pub const THRESHOLD_TOO_SMALL: &str =
    "must be above 0, and at least 0.001: the API server refuses the HPA that KEDA makes of it";

impl Trigger {
    /// Reads the metadata; the refusal names the key.
    pub fn parse(metadata: &BTreeMap<String, String>) -> Result<Trigger, Refusal> {
        if metadata.len() > KEYS_MAX {
            let why = format!("{} keys; at most {KEYS_MAX} are read", metadata.len());
            return Err(Refusal::invalid("metadata", why));
        }
        for key in metadata.keys() {
            if let Some((_, why)) = KEYS_OF_OTHERS.iter().find(|(other, _)| other == key) {
                return Err(Refusal::invalid(key, why));
            }
            misspelt(key)?;
        }
        let text = |key: &str| {
            let text = metadata.get(key).map(|text| text.trim())?;
            (!text.is_empty()).then_some(text)
        };
        let threshold = match text(THRESHOLD) {
            Some(text) => number(THRESHOLD, text)?,
            None => {
                let why = "is missing: how much of the signal one replica takes, for example \"1\"";
                return Err(Refusal::invalid(THRESHOLD, why));
            }
        };
        if threshold < THRESHOLD_MIN {
            return Err(Refusal::invalid(THRESHOLD, THRESHOLD_TOO_SMALL));
        }
        Ok(Trigger {
            source: source(text(SIGNAL), text(QUERY))?,
            threshold,
            activation_threshold: text(ACTIVATION)
                .map_or(Ok(0.0), |text| number(ACTIVATION, text))?,
            hold_ms: text(HOLD)
                .map(|text| duration(HOLD, text, HOLD_MS_MAX))
                .transpose()?,
            absent: text(ABSENT).map(absent).transpose()?,
            nan: text(NAN).map(nan).transpose()?,
            latch_ms: text(LATCH).map_or(Ok(LATCH_MS_DEFAULT), |text| {
                duration(LATCH, text, LATCH_MS_MAX)
            })?,
            multi: Multi::parse(text(MULTI).unwrap_or(""))
                .map_err(|why| Refusal::invalid(MULTI, why))?,
        })
    }

    /// Whether it has a policy of its own.
    pub fn has_policy(&self) -> bool {
        self.hold_ms.is_some() || self.absent.is_some() || self.nan.is_some()
    }

    /// `base` with what the trigger says otherwise.
    pub fn policy(&self, base: &Policy) -> Policy {
        Policy {
            hold_ms: self.hold_ms.or(base.hold_ms),
            absent: self.absent.unwrap_or(base.absent),
            nan: self.nan.unwrap_or(base.nan),
            ..base.clone()
        }
    }

    /// The metric's name for the HPA: of the characters that every Kubernetes API takes.
    pub fn metric_name(&self) -> String {
        match &self.source {
            Source::Query(_) => "stillwell-query".to_owned(),
            Source::Signal(name) => name
                .chars()
                .map(|c| match c.to_ascii_lowercase() {
                    c @ ('a'..='z' | '0'..='9' | '-' | '_' | '.') => c,
                    _ => '-',
                })
                .collect(),
        }
    }
}

fn source(signal: Option<&str>, query: Option<&str>) -> Result<Source, Refusal> {
    match (signal, query) {
        (Some(name), None) if name.len() <= NAME_BYTES_MAX => Ok(Source::Signal(name.to_owned())),
        (None, Some(text)) if text.len() <= QUERY_BYTES_MAX => {
            check_query(text).map_err(|why| Refusal::invalid(QUERY, why))?;
            Ok(Source::Query(text.to_owned()))
        }
        (Some(name), None) => Err(too_long(SIGNAL, name, NAME_BYTES_MAX)),
        (None, Some(text)) => Err(too_long(QUERY, text, QUERY_BYTES_MAX)),
        (Some(_), Some(_)) => Err(Refusal::invalid(
            QUERY,
            "signal is given as well; a trigger reads one of them",
        )),
        (None, None) => Err(Refusal::invalid(
            SIGNAL,
            "is missing: the name of a signal of the configuration, or give query",
        )),
    }
}

/// Refuses a query that could never tell a number of what is scraped.
pub fn check_query(text: &str) -> Result<(), String> {
    let query = Query::parse(text, &Features::default()).map_err(|error| error.to_string())?;
    match query.plan().value_type() {
        ValueType::Scalar | ValueType::Vector => {}
        other => return Err(format!("it yields a {}, not a number", other.documented())),
    }
    match query.selectors().next() {
        Some(_) => Ok(()),
        None => Err("it reads nothing that is scraped".to_owned()),
    }
}

fn too_long(key: &str, text: &str, max: usize) -> Refusal {
    Refusal::invalid(key, format!("{} bytes; at most {max} are read", text.len()))
}

fn number(key: &str, text: &str) -> Result<f64, Refusal> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Refusal::invalid(
            key,
            format!("{:?} is not a number", shortened(text)),
        )),
    }
}

fn duration(key: &str, text: &str, max_ms: i64) -> Result<i64, Refusal> {
    if text == "0" {
        return Ok(0);
    }
    let ms = parse_duration_ms(text).or_else(|_| go_duration_ms(text).ok_or(()));
    let ms = ms.map_err(|()| {
        let text = shortened(text);
        let unit = match text.parse::<f64>() {
            Ok(_) => format!("{text:?} has no unit; write {text}s or {text}ms"),
            Err(_) => format!("{text:?} is not a duration; write it like 300s or 5m"),
        };
        Refusal::invalid(key, unit)
    })?;
    if ms < 0 || ms > max_ms {
        let most_s = max_ms / 1000;
        return Err(Refusal::invalid(
            key,
            format!("{text:?} is not within 0 and {most_s}s"),
        ));
    }
    Ok(ms)
}

/// A duration as Go writes it, which people know from KEDA: `1.5s`, `1h30m`, `300ms`; `None` where it is none.
pub fn go_duration_ms(text: &str) -> Option<i64> {
    let (mut rest, mut total_ms) = (text, 0.0);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let value: f64 = rest[..number].parse().ok()?;
        rest = &rest[number..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit_ms = match &rest[..unit] {
            "ns" => 1e-6,
            "us" | "\u{b5}s" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3_600e3,
            _ => return None,
        };
        rest = &rest[unit..];
        total_ms += value * unit_ms;
    }
    (!text.is_empty() && total_ms.is_finite()).then_some(total_ms as i64)
}

fn absent(text: &str) -> Result<Absent, Refusal> {
    match text {
        "auto" => Ok(Absent::Auto),
        "zero" | "0" => Ok(Absent::Zero),
        "unknown" => Ok(Absent::Unknown),
        _ => Err(Refusal::invalid(
            ABSENT,
            format!("{:?} is not auto, zero or unknown", shortened(text)),
        )),
    }
}

fn nan(text: &str) -> Result<Nan, Refusal> {
    match text {
        "unknown" => Ok(Nan::Unknown),
        "zero" | "0" => Ok(Nan::Zero),
        "last" => Ok(Nan::Last),
        _ => Err(Refusal::invalid(
            NAN,
            format!("{:?} is not unknown, zero or last", shortened(text)),
        )),
    }
}

/// What an answer repeats of a caller's text.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

/// Refuses a key that is one of ours but for its case or a slip or two.
fn misspelt(key: &str) -> Result<(), Refusal> {
    if KEYS.contains(&key) || key.len() > 2 * ACTIVATION.len() {
        return Ok(());
    }
    let near = KEYS.iter().find(|own| {
        let slips = if own.len() > 5 { 2 } else { 0 };
        own.eq_ignore_ascii_case(key)
            || distance(&own.to_ascii_lowercase(), &key.to_ascii_lowercase()) <= slips
    });
    match near {
        None => Ok(()),
        Some(own) => Err(Refusal::invalid(
            key,
            format!("unknown key; did you mean {own}?"),
        )),
    }
}

/// Levenshtein's, of short texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, have) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, want) in b.iter().enumerate() {
            let changed = diagonal + usize::from(have != *want);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Trigger, Refusal> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Trigger::parse(&pairs.collect())
    }

    #[test]
    fn what_is_left_out_has_a_default_and_kedas_own_keys_pass() {
        let trigger = parse(&[
            ("scalerAddress", "stillwell:9091"),
            ("enableTLS", "true"),
            ("signal", "IGW:queue/depth"),
            ("threshold", " 2.5 "),
        ]);
        let trigger = trigger.expect("valid");
        assert_eq!(trigger.source, Source::Signal("IGW:queue/depth".to_owned()));
        assert_eq!(trigger.metric_name(), "igw-queue-depth");
        assert_eq!(
            (trigger.threshold, trigger.activation_threshold),
            (2.5, 0.0)
        );
        assert_eq!(trigger.latch_ms, LATCH_MS_DEFAULT);
        assert!(!trigger.has_policy());
        let trigger = parse(&[
            ("query", "sum(x)"),
            ("threshold", "1e2"),
            ("activationThreshold", "-3"),
            ("hold", "10s"),
            ("absent", "zero"),
            ("nan", "last"),
            ("latch", "1.5m"),
            ("multi", "sum"),
        ]);
        let trigger = trigger.expect("valid");
        let policy = trigger.policy(&Policy::default());
        assert_eq!(
            (policy.hold_ms, policy.absent, policy.nan),
            (Some(10_000), Absent::Zero, Nan::Last)
        );
        assert_eq!(
            (trigger.threshold, trigger.activation_threshold),
            (100.0, -3.0)
        );
        assert_eq!((trigger.latch_ms, trigger.multi), (90_000, Multi::Sum));
    }

    #[test]
    fn a_bad_trigger_is_refused_by_the_key_at_fault() {
        let long = "x".repeat(QUERY_BYTES_MAX + 1);
        for (pairs, key) in [
            (&[("signal", "a")][..], "threshold"),
            (&[("signal", "a"), ("threshold", "")], "threshold"),
            (&[("signal", "a"), ("threshold", "0")], "threshold"),
            (&[("signal", "a"), ("threshold", "NaN")], "threshold"),
            (&[("signal", "a"), ("threshold", "five")], "threshold"),
            (&[("threshold", "1")], "signal"),
            (
                &[("signal", "a"), ("query", "b"), ("threshold", "1")],
                "query",
            ),
            (&[("query", &long), ("threshold", "1")], "query"),
            (&[("signal", &long), ("threshold", "1")], "signal"),
            (
                &[
                    ("signal", "a"),
                    ("threshold", "1"),
                    ("activationThreshold", "+Inf"),
                ],
                "activationThreshold",
            ),
            (
                &[
                    ("signal", "a"),
                    ("threshold", "1"),
                    ("activationTreshold", "1"),
                ],
                "activationTreshold",
            ),
            (
                &[("signal", "a"), ("threshold", "1"), ("Latch", "1s")],
                "Latch",
            ),
            (
                &[("signal", "a"), ("threshold", "1"), ("hold", "soon")],
                "hold",
            ),
            (
                &[("signal", "a"), ("threshold", "1"), ("latch", "300")],
                "latch",
            ),
            (
                &[("signal", "a"), ("threshold", "1"), ("latch", "2d")],
                "latch",
            ),
            (
                &[("signal", "a"), ("threshold", "1"), ("multi", "avg")],
                "multi",
            ),
            (
                &[("metricQuery", "sum(x{a=b})"), ("targetValue", "5")],
                "metricQuery",
            ),
            (
                &[("signal", "a"), ("threshold", "1"), ("hold", "1.5")],
                "hold",
            ),
            (
                &[("signal", "a"), ("threshold", "1"), ("absent", "null")],
                "absent",
            ),
            (
                &[("signal", "a"), ("threshold", "1"), ("nan", "0.0")],
                "nan",
            ),
        ] {
            let refusal = parse(pairs).expect_err("bad");
            assert_eq!(
                (refusal.code, refusal.key.as_str()),
                (Code::InvalidArgument, key),
                "{refusal}"
            );
        }
    }
}
