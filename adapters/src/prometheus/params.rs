//! Times, durations and limits in parameters, with the errors in Prometheus' words.

use stillwell_engine::Timestamp;
use stillwell_engine::promql::parse_duration_ms;

use crate::api_error::ApiError;
use crate::form::Form;
use crate::time::parse_rfc3339;

/// Prometheus' notions of the first and the last moment, which clients send for "since ever".
const MIN_TIME: (&str, i64) = ("-292273086-05-16T16:47:06Z", i64::MIN);
const MAX_TIME: (&str, i64) = ("292277025-08-18T07:12:54.999999999Z", i64::MAX);

/// Reads a time: seconds since the epoch or RFC 3339.
pub(super) fn time(form: &Form, name: &str, default: Timestamp) -> Result<Timestamp, ApiError> {
    let text = form.get(name);
    if text.is_empty() {
        return Ok(default);
    }
    parse_time(text).ok_or_else(|| {
        let why =
            format!("Invalid time value for '{name}': cannot parse {text:?} to a valid timestamp");
        ApiError::parameter(name, why)
    })
}

/// Reads a required time.
pub(super) fn required_time(form: &Form, name: &str) -> Result<Timestamp, ApiError> {
    let text = form.get(name);
    parse_time(text).ok_or_else(|| {
        ApiError::parameter(name, format!("cannot parse {text:?} to a valid timestamp"))
    })
}

/// Reads a duration in milliseconds: seconds as a number or a Prometheus duration.
pub(super) fn duration_ms(text: &str) -> Result<i64, String> {
    let refuse = || format!("cannot parse {text:?} to a valid duration");
    if let Some(seconds) = number(text) {
        let ms = seconds * 1000.0;
        if ms.is_nan() {
            return Err(refuse());
        }
        // Go counts a duration in nanoseconds.
        if ms.abs() > i64::MAX as f64 / 1e6 {
            return Err(format!("{}. It overflows int64", refuse()));
        }
        return Ok(ms as i64);
    }
    if text.is_empty() {
        return Err(refuse());
    }
    parse_duration_ms(text).map_err(|_| refuse())
}

/// Reads `limit`; `None` is no limit.
pub(super) fn limit(form: &Form) -> Result<Option<usize>, ApiError> {
    let text = form.get("limit");
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<i64>() {
        Ok(limit) if limit < 0 => Err(ApiError::parameter("limit", "limit must be non-negative")),
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(usize::try_from(limit).unwrap_or(usize::MAX))),
        Err(_) => {
            let why = format!("strconv.Atoi: parsing {text:?}: invalid syntax");
            Err(ApiError::parameter("limit", why))
        }
    }
}

/// Reads `limit` as metadata has it: a negative one, which Thanos sends, is none, and 0 is no result.
pub(super) fn limit_of_metadata(form: &Form) -> Result<usize, ApiError> {
    match form.get("limit") {
        "" => Ok(usize::MAX),
        text => match text.parse::<i64>() {
            Ok(limit) => Ok(usize::try_from(limit).unwrap_or(usize::MAX)),
            Err(_) => Err(ApiError::bad_data("limit must be a number")),
        },
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    if let Some(seconds) = number(text) {
        if seconds.is_nan() {
            return None;
        }
        let (whole, fraction) = (seconds.trunc(), seconds.fract());
        let millis = (fraction * 1000.0).round();
        return Some(Timestamp::from_ms(
            (whole as i64)
                .saturating_mul(1000)
                .saturating_add(millis as i64),
        ));
    }
    for (known, ms) in [MIN_TIME, MAX_TIME] {
        if text == known {
            return Some(Timestamp::from_ms(ms));
        }
    }
    parse_rfc3339(text)
}

/// A number as Go's `ParseFloat` takes it; Rust's own parser differs in words for infinity only.
fn number(text: &str) -> Option<f64> {
    let numeric =
        text.bytes().any(|b| b.is_ascii_digit()) && !text.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
    if numeric { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, ms) in [
            ("0", Some(0)),
            ("1795460400.25", Some(1_795_460_400_250)),
            ("1.7954604e9", Some(1_795_460_400_000)),
            ("-1.5", Some(-1_500)),
            ("2026-11-23T19:00:00Z", Some(1_795_460_400_000)),
            (
                "2026-11-23T19:00:00.123456789+00:00",
                Some(1_795_460_400_123),
            ),
            (MIN_TIME.0, Some(i64::MIN)),
            (MAX_TIME.0, Some(i64::MAX)),
            ("now", None),
            ("NaN", None),
            ("1e999", Some(i64::MAX)),
        ] {
            assert_eq!(parse_time(text).map(Timestamp::ms), ms, "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_prometheus_durations() {
        for (text, ms) in [
            ("15", Some(15_000)),
            ("0.25", Some(250)),
            ("1m30s", Some(90_000)),
            ("100ms", Some(100)),
            ("", None),
            ("x", None),
            ("1e300", None),
        ] {
            assert_eq!(duration_ms(text).ok(), ms, "{text}");
        }
    }

    #[test]
    fn errors_are_in_prometheus_words() {
        let form = Form::parse(["time=x&limit=-1"]);
        assert_eq!(
            time(&form, "time", Timestamp::from_ms(0)),
            Err(ApiError::bad_data(
                r#"invalid parameter "time": Invalid time value for 'time': cannot parse "x" to a valid timestamp"#
            ))
        );
        assert_eq!(
            limit(&form),
            Err(ApiError::bad_data(
                r#"invalid parameter "limit": limit must be non-negative"#
            ))
        );
    }
}
