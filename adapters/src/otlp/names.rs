//! Names of metrics, labels and units as Prometheus makes them of OTLP's (prometheus/otlptranslator: `metric_namer.go`,
//! `label_namer.go`, `unit_namer.go`; the OpenTelemetry specification's "Prometheus and OpenMetrics Compatibility").

use crate::host::{OtlpSettings, TranslationStrategy};

/// What a metric is, as far as its name shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Counter,
    Gauge,
    Other,
}

/// What is a word for a unit (UCUM).
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// The same after a slash.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The name of a metric. Error: there is none left.
pub(super) fn metric(
    name: &str,
    unit: &str,
    shape: Shape,
    strategy: TranslationStrategy,
) -> Result<String, String> {
    let named = match (strategy.escapes(), strategy.adds_suffixes()) {
        (true, true) => escaped_with_suffixes(name, unit, shape),
        (true, false) => with_digit_guard(words(name, true).join("_")),
        (false, true) => with_suffixes(name, unit, shape),
        (false, false) => name.to_owned(),
    };
    let only_underscores = named != name && named.bytes().all(|byte| byte == b'_');
    match named.is_empty() || only_underscores {
        true => Err(format!("metric {name:?}: nothing of the name is left")),
        false => Ok(named),
    }
}

fn escaped_with_suffixes(name: &str, unit: &str, shape: Shape) -> String {
    let mut tokens: Vec<String> = words(name, false).into_iter().map(str::to_owned).collect();
    let (main, per) = unit_words(unit);
    let (mut main, mut per) = (cleaned(&main), cleaned(&per));
    if tokens.contains(&main) {
        main.clear();
    }
    match per.as_str() {
        "per_" => per.clear(),
        _ => {
            per = per.strip_suffix('_').unwrap_or(&per).to_owned();
            if tokens.contains(&per) {
                per.clear();
            }
        }
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(&main).to_owned();
    }
    tokens.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let last = match shape {
        Shape::Counter => Some("total"),
        // Counters of things often have the unit 1; a ratio is a gauge.
        Shape::Gauge if unit == "1" => Some("ratio"),
        Shape::Gauge | Shape::Other => None,
    };
    if let Some(last) = last {
        tokens.retain(|token| token != last);
        tokens.push(last.to_owned());
    }
    with_digit_guard(tokens.join("_"))
}

fn with_suffixes(name: &str, unit: &str, shape: Shape) -> String {
    let mut name = name;
    let mut endings = Vec::new();
    if unit == "1" && shape == Shape::Gauge {
        name = without_ending(name, "ratio");
        endings.push("ratio".to_owned());
    }
    if shape == Shape::Counter {
        name = without_ending(name, "total");
        endings.push("total".to_owned());
    }
    let (main, per) = unit_words(unit);
    if !per.is_empty() {
        name = without_ending(name, &per);
        endings.push(per);
    }
    let mut out = name.to_owned();
    if !main.is_empty() && !name.ends_with(&main) {
        endings.push(main);
    }
    for ending in endings.iter().rev() {
        out.push('_');
        out.push_str(ending);
    }
    out
}

/// Without an ending and the character before it.
fn without_ending<'n>(name: &'n str, ending: &str) -> &'n str {
    match name.strip_suffix(ending) {
        Some(rest) if rest.len() > 1 => {
            let mut rest = rest.chars();
            rest.next_back();
            rest.as_str()
        }
        _ => name,
    }
}

/// Runs of characters that a name may have.
fn words(name: &str, with_underscores: bool) -> Vec<&str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == ':' || (with_underscores && c == '_');
    let words = name.split(|c: char| !legal(c));
    words.filter(|word| !word.is_empty()).collect()
}

fn with_digit_guard(name: String) -> String {
    match name.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name,
    }
}

/// A unit in words: what it is, and `per_` what.
fn unit_words(unit: &str) -> (String, String) {
    let word = |table: &[(&str, &str)], symbol: &str| {
        let found = table.iter().find(|(short, _)| *short == symbol);
        found.map_or(symbol, |(_, word)| word).to_owned()
    };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let is_unit = |text: &str| !text.is_empty() && !text.contains(['{', '}']);
    let (main, per) = (main.trim(), per.trim());
    let main = match is_unit(main) {
        true => word(&UNITS, main),
        false => String::new(),
    };
    let per = match is_unit(per) {
        true => format!("per_{}", word(&PER_UNITS, per)),
        false => String::new(),
    };
    (main, per)
}

/// A unit's word with `_` for what a name may not have, once for several in a row.
fn cleaned(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        let c = if c.is_ascii_alphanumeric() || c == ':' {
            c
        } else {
            '_'
        };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out.strip_prefix('_').map_or(out.clone(), str::to_owned)
}

/// The name of a label. Error: there is none left.
pub(super) fn label(name: &str, settings: &OtlpSettings) -> Result<String, String> {
    if !settings.strategy.escapes() && !name.is_empty() {
        return Ok(name.to_owned());
    }
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c != '_' || settings.label_name_preserve_multiple_underscores || !out.ends_with('_') {
            out.push(c);
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert_str(0, "key_");
    } else if settings.label_name_underscore_sanitization
        && out.starts_with('_')
        && !out.starts_with("__")
    {
        out.insert_str(0, "key");
    }
    let only_underscores = out != name && out.bytes().all(|byte| byte == b'_');
    match out.is_empty() || only_underscores {
        true => Err(format!("attribute {name:?}: nothing of the name is left")),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_by_each_strategy() {
        use Shape::{Counter, Gauge, Other};
        use TranslationStrategy::*;
        for (name, unit, shape, names) in [
            (
                "http.server.duration",
                "s",
                Other,
                [
                    "http_server_duration_seconds",
                    "http_server_duration",
                    "http.server.duration_seconds",
                    "http.server.duration",
                ],
            ),
            (
                "requests",
                "1",
                Counter,
                ["requests_total", "requests", "requests_total", "requests"],
            ),
            (
                "requests_total",
                "",
                Counter,
                [
                    "requests_total",
                    "requests_total",
                    "requests_total",
                    "requests_total",
                ],
            ),
            (
                "memory.usage",
                "By",
                Gauge,
                [
                    "memory_usage_bytes",
                    "memory_usage",
                    "memory.usage_bytes",
                    "memory.usage",
                ],
            ),
            ("cpu", "1", Gauge, ["cpu_ratio", "cpu", "cpu_ratio", "cpu"]),
            (
                "net.io",
                "By/s",
                Gauge,
                [
                    "net_io_bytes_per_second",
                    "net_io",
                    "net.io_bytes_per_second",
                    "net.io",
                ],
            ),
            (
                "things",
                "{thing}",
                Counter,
                ["things_total", "things", "things_total", "things"],
            ),
            (
                "things",
                "{thing}/s",
                Gauge,
                ["things_per_second", "things", "things_per_second", "things"],
            ),
            (
                "3d..x__y",
                "",
                Gauge,
                ["_3d_x_y", "_3d_x__y", "3d..x__y", "3d..x__y"],
            ),
            (
                "seconds.in.use",
                "s",
                Gauge,
                [
                    "seconds_in_use",
                    "seconds_in_use",
                    "seconds.in.use_seconds",
                    "seconds.in.use",
                ],
            ),
        ] {
            let how = [
                UnderscoreEscapingWithSuffixes,
                UnderscoreEscapingWithoutSuffixes,
                NoUtf8EscapingWithSuffixes,
                NoTranslation,
            ];
            let got = how.map(|strategy| metric(name, unit, shape, strategy).expect("a name"));
            assert_eq!(got, names, "{name} {unit}");
        }
        for name in ["", "...", "\u{e9}"] {
            assert!(
                metric(name, "", Gauge, UnderscoreEscapingWithSuffixes).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn labels_are_named() {
        let settings = |guards_underscore, keeps_underscores| OtlpSettings {
            label_name_underscore_sanitization: guards_underscore,
            label_name_preserve_multiple_underscores: keeps_underscores,
            ..OtlpSettings::default()
        };
        for (name, guarded, plain) in [
            ("http.method", "http_method", "http_method"),
            ("a..b", "a__b", "a_b"),
            ("1x", "key_1x", "key_1x"),
            ("_x", "key_x", "_x"),
            ("__x__", "__x__", "_x_"),
        ] {
            assert_eq!(
                label(name, &settings(true, true)).as_deref(),
                Ok(guarded),
                "{name}"
            );
            assert_eq!(
                label(name, &settings(false, false)).as_deref(),
                Ok(plain),
                "{name}"
            );
        }
        assert!(label("", &settings(true, true)).is_err());
        assert!(label("..", &settings(true, true)).is_err());
        let stays = OtlpSettings {
            strategy: TranslationStrategy::NoTranslation,
            ..settings(true, true)
        };
        assert_eq!(label("a.b", &stays).as_deref(), Ok("a.b"));
    }
}
