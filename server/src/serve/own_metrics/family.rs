//! Metric families and how they are written: as text, as OpenMetrics, and as JSON.

use std::fmt::Write;

use stillwell_adapters::json;
use stillwell_adapters::prometheus::quoted_label_value;
use stillwell_engine::Durations;
use stillwell_engine::number_text::push_json;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One family.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// `seconds` or `bytes`; empty where it counts things. The name ends in it.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
    pub(super) metrics: Vec<Metric>,
}

/// One series of a family, or the several of a histogram.
#[derive(Clone, Debug)]
pub(super) struct Metric {
    pub(super) labels: Vec<(String, String)>,
    pub(super) point: Point,
}

#[derive(Clone, Debug)]
pub(super) enum Point {
    Value(f64),
    Histogram {
        /// Upper bounds with the counts up to them.
        buckets: Vec<(f64, u64)>,
        count: u64,
        sum: f64,
    },
}

impl Family {
    pub(super) fn new(name: &'static str, kind: Kind, help: &'static str) -> Family {
        let bare = name.strip_suffix("_total").unwrap_or(name);
        let units = ["seconds", "bytes"];
        let unit = units.into_iter().find(|unit| bare.ends_with(unit));
        Family {
            name,
            kind,
            unit: unit.unwrap_or(""),
            help,
            metrics: Vec::new(),
        }
    }

    /// A gauge with one series.
    pub(super) fn gauge(name: &'static str, help: &'static str, value: f64) -> Family {
        Family::new(name, Kind::Gauge, help).with(&[], value)
    }

    /// A counter with one series.
    pub(super) fn counter(name: &'static str, help: &'static str, value: f64) -> Family {
        Family::new(name, Kind::Counter, help).with(&[], value)
    }

    /// A histogram with bounds from 1 us to 1 s.
    pub(super) fn durations(
        name: &'static str,
        help: &'static str,
        durations: &Durations,
    ) -> Family {
        const BOUNDS_US: [u64; 14] = [
            1, 5, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 1_000_000,
        ];
        let bucket = |us: u64| (us as f64 / 1e6, durations.count_within(us * 1000));
        let point = Point::Histogram {
            buckets: BOUNDS_US.into_iter().map(bucket).collect(),
            count: durations.count(),
            sum: durations.sum_ns() as f64 / 1e9,
        };
        let mut family = Family::new(name, Kind::Histogram, help);
        family.metrics.push(Metric {
            labels: Vec::new(),
            point,
        });
        family
    }

    /// With one more series.
    pub(super) fn with(mut self, labels: &[(&str, &str)], value: f64) -> Family {
        self.add(labels, value);
        self
    }

    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let owned = labels.iter().map(|(name, value)| {
            let (name, value) = (*name, *value);
            (name.to_owned(), value.to_owned())
        });
        self.metrics.push(Metric {
            labels: owned.collect(),
            point: Point::Value(value),
        });
    }

    fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    /// In the text format, or in OpenMetrics. Writing to a text does not fail, so the results are not looked at.
    pub(super) fn write_text(&self, out: &mut String, openmetrics: bool) {
        let (kind, help) = (self.kind(), self.help);
        let family = match openmetrics {
            true => self.name.strip_suffix("_total").unwrap_or(self.name),
            false => self.name,
        };
        writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind}").ok();
        if openmetrics && !self.unit.is_empty() {
            writeln!(out, "# UNIT {family} {}", self.unit).ok();
        }
        for metric in &self.metrics {
            metric.write_text(out, self.name);
        }
    }

    /// As protobuf's JSON writes a `MetricFamily`.
    pub(super) fn write_json(&self, out: &mut String) {
        let (name, help) = (self.name, self.help);
        let kind = self.kind().to_uppercase();
        out.push_str("{\"name\":");
        json::string(out, name);
        out.push_str(",\"help\":");
        json::string(out, help);
        write!(out, ",\"type\":\"{kind}\",\"metric\":[").ok();
        json::joined(out, &self.metrics, |out, metric| {
            metric.write_json(out, self.kind());
        });
        out.push(']');
        if !self.unit.is_empty() {
            write!(out, ",\"unit\":\"{}\"", self.unit).ok();
        }
        out.push('}');
    }
}

impl Metric {
    fn write_text(&self, out: &mut String, name: &str) {
        match &self.point {
            Point::Value(value) => self.line(out, name, "", None, *value),
            Point::Histogram {
                buckets,
                count,
                sum,
            } => {
                for (bound, count) in buckets {
                    let bound = bound.to_string();
                    self.line(out, name, "_bucket", Some(&bound), *count as f64);
                }
                self.line(out, name, "_bucket", Some("+Inf"), *count as f64);
                self.line(out, name, "_sum", None, *sum);
                self.line(out, name, "_count", None, *count as f64);
            }
        }
    }

    fn line(&self, out: &mut String, name: &str, suffix: &str, bound: Option<&str>, value: f64) {
        out.push_str(name);
        out.push_str(suffix);
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = labels.chain(bound.map(|bound| ("le", bound)));
        for (at, (name, value)) in labels.enumerate() {
            out.push(if at == 0 { '{' } else { ',' });
            label_name(out, name);
            out.push('=');
            quoted_label_value(out, value);
        }
        if !self.labels.is_empty() || bound.is_some() {
            out.push('}');
        }
        out.push(' ');
        push_json(out, value);
        out.push('\n');
    }

    fn write_json(&self, out: &mut String, kind: &str) {
        out.push('{');
        if !self.labels.is_empty() {
            out.push_str("\"label\":[");
            json::joined(out, &self.labels, |out, (name, value)| {
                json::object(out, [("name", name.as_str()), ("value", value.as_str())]);
            });
            out.push_str("],");
        }
        write!(out, "\"{kind}\":{{").ok();
        match &self.point {
            Point::Value(value) if value.is_finite() => write!(out, "\"value\":{value}").ok(),
            Point::Value(value) => write!(out, "\"value\":\"{value}\"").ok(),
            Point::Histogram {
                buckets,
                count,
                sum,
            } => {
                write!(
                    out,
                    "\"sampleCount\":\"{count}\",\"sampleSum\":{sum},\"bucket\":["
                )
                .ok();
                json::joined(out, buckets, |out, (bound, count)| {
                    write!(
                        out,
                        "{{\"cumulativeCount\":\"{count}\",\"upperBound\":{bound}}}"
                    )
                    .ok();
                });
                write!(out, "]").ok()
            }
        };
        out.push_str("}}");
    }
}

/// A name of other characters than Prometheus' old ones stands in quotes.
fn label_name(out: &mut String, name: &str) {
    if stillwell_engine::labels::is_legacy_label_name(name) {
        out.push_str(name);
    } else {
        quoted_label_value(out, name);
    }
}

/// Families that have series; one without is left out.
pub(super) struct Families(Vec<Family>);

impl Families {
    pub(super) fn new() -> Families {
        Families(Vec::with_capacity(64))
    }

    pub(super) fn into_inner(self) -> Vec<Family> {
        self.0
    }

    pub(super) fn push(&mut self, family: Family) {
        if !family.metrics.is_empty() {
            self.0.push(family);
        }
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.push(Family::gauge(name, help, value));
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.push(Family::counter(name, help, value));
    }

    pub(super) fn durations(
        &mut self,
        name: &'static str,
        help: &'static str,
        durations: &Durations,
    ) {
        self.push(Family::durations(name, help, durations));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_in_each_format() {
        let mut family = Family::counter("x_seconds_total", "Time.", 1.5);
        family.add(&[("a", "b\"\\\n"), ("c.d", "e")], f64::INFINITY);
        assert_eq!(family.unit, "seconds");
        let text = |openmetrics| {
            let mut out = String::new();
            family.write_text(&mut out, openmetrics);
            out
        };
        let lines = "x_seconds_total 1.5\nx_seconds_total{a=\"b\\\"\\\\\\n\",\"c.d\"=\"e\"} +Inf\n";
        assert_eq!(
            text(false),
            format!("# HELP x_seconds_total Time.\n# TYPE x_seconds_total counter\n{lines}")
        );
        assert_eq!(
            text(true),
            format!(
                "# HELP x_seconds Time.\n# TYPE x_seconds counter\n# UNIT x_seconds seconds\n{lines}"
            )
        );
        let mut json = String::new();
        family.write_json(&mut json);
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["metric"][0]["counter"]["value"], 1.5);
        assert_eq!(read["metric"][1]["label"][1]["name"], "c.d");
        assert_eq!(
            (&read["type"], &read["unit"]),
            (&"COUNTER".into(), &"seconds".into())
        );
    }
}
