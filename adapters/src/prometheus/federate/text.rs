//! The page in the text format.

use stillwell_engine::histogram::FloatHistogram;
use stillwell_engine::labels::{Labels, is_legacy_label_name, is_legacy_metric_name};
use stillwell_engine::number_text::push_general;

use super::classic;
use super::newest::{FamilyType, Newest, Value};

/// The samples, sorted by name. `utf8`: the reader takes names of any character.
pub(super) fn write(found: &[Newest], external: &Labels, utf8: bool) -> String {
    let mut page = Page {
        out: String::new(),
        external,
        utf8,
    };
    let mut last = None;
    for newest in found {
        let name = newest.labels.metric_name().unwrap_or_default();
        let name = shown(name, utf8, is_legacy_metric_name);
        let family = Some((name, newest.family_type()));
        if last != family {
            last = family;
            if let Some((name, family_type)) = &last {
                page.family(name, *family_type);
            }
        }
        let Some((name, _)) = &last else {
            continue; // it was set above
        };
        match &newest.value {
            Value::Float(value) => page.sample(newest, name, None, *value),
            Value::Histogram(histogram) => page.classic(newest, name, histogram),
        }
    }
    page.out
}

struct Page<'p> {
    out: String,
    external: &'p Labels,
    utf8: bool,
}

impl Page<'_> {
    fn family(&mut self, name: &str, family_type: FamilyType) {
        self.out.push_str("# TYPE ");
        match is_legacy_metric_name(name) {
            true => self.out.push_str(name),
            false => quoted(&mut self.out, name),
        }
        self.out.push_str(match family_type {
            FamilyType::Untyped => " untyped\n",
            FamilyType::Histogram => " histogram\n",
            FamilyType::GaugeHistogram => " gaugehistogram\n",
        });
    }

    fn sample(&mut self, newest: &Newest, name: &str, bound: Option<f64>, value: f64) {
        let out = &mut self.out;
        let plain = is_legacy_metric_name(name);
        if plain {
            out.push_str(name);
        }
        out.push('{');
        if !plain {
            quoted(out, name);
            out.push(',');
        }
        for (label, value) in newest.labels(self.external) {
            pair(out, label, value, self.utf8);
        }
        if let Some(bound) = bound {
            let mut text = String::new();
            push_general(&mut text, bound);
            pair(out, "le", &text, self.utf8);
        }
        if out.ends_with(',') {
            out.pop();
        }
        out.push_str("} ");
        push_general(out, value);
        out.push_str(&format!(" {}\n", newest.time_ms));
    }

    fn classic(&mut self, newest: &Newest, name: &str, histogram: &FloatHistogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in classic::buckets(histogram) {
            self.sample(newest, &bucket, Some(bound), count);
        }
        self.sample(newest, &bucket, Some(f64::INFINITY), histogram.count);
        self.sample(newest, &format!("{name}_sum"), None, histogram.sum);
        self.sample(newest, &format!("{name}_count"), None, histogram.count);
    }
}

fn pair(out: &mut String, label: &str, value: &str, utf8: bool) {
    let label = shown(label, utf8, is_legacy_label_name);
    match is_legacy_label_name(&label) {
        true => out.push_str(&label),
        false => quoted(out, &label),
    }
    out.push('=');
    quoted(out, value);
    out.push(',');
}

/// A name as the reader takes it.
fn shown(name: &str, utf8: bool, is_legacy: fn(&str) -> bool) -> String {
    if utf8 || is_legacy(name) {
        return name.to_owned();
    }
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        let legal = c.is_ascii_alphabetic() || c == '_' || (c.is_ascii_digit() && at > 0);
        out.push(if legal { c } else { '_' });
    }
    out
}

/// A label's value in quotes, with what has a meaning there escaped (the text format).
pub fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stillwell_engine::histogram::{Bucket, Buckets, CUSTOM_SCHEMA};
    use stillwell_engine::labels;

    use super::*;

    fn newest(labels: Labels, time_ms: i64, value: f64) -> Newest {
        let value = Value::Float(value);
        Newest {
            labels,
            time_ms,
            value,
        }
    }

    #[test]
    fn a_page_reads_as_prometheus_writes_it() {
        let found = [
            newest(labels! {"__name__" => "a.b", "x" => "1"}, 1_000, 1.5),
            newest(
                labels! {"__name__" => "up", "instance" => "i", "job" => "j\"\n"},
                2_000,
                1e6,
            ),
            newest(
                labels! {"__name__" => "up", "zone" => "own"},
                3_000,
                f64::NAN,
            ),
        ];
        let external = labels! {"zone" => "z"};
        assert_eq!(
            write(&found, &external, true),
            "# TYPE \"a.b\" untyped\n{\"a.b\",x=\"1\",zone=\"z\",instance=\"\"} 1.5 1000\n\
             # TYPE up untyped\nup{instance=\"i\",job=\"j\\\"\\n\",zone=\"z\"} 1e+06 2000\n\
             up{zone=\"own\",instance=\"\"} NaN 3000\n"
        );
        assert!(write(&found, &external, false).starts_with("# TYPE a_b untyped\na_b{x=\"1\","));
    }

    #[test]
    fn custom_buckets_are_a_classic_histogram() {
        let bucket = |index, count| Bucket { index, count };
        let histogram = FloatHistogram {
            schema: CUSTOM_SCHEMA,
            count: 6.0,
            sum: 9.5,
            positive: Buckets::from_sorted(vec![bucket(0, 1.0), bucket(2, 3.0), bucket(3, 2.0)]),
            custom_bounds: vec![0.5, 1.0, 2.0],
            ..FloatHistogram::default()
        };
        let found = [Newest {
            labels: labels! {"__name__" => "h", "instance" => "i"},
            time_ms: 7,
            value: Value::Histogram(Arc::new(histogram)),
        }];
        assert_eq!(
            write(&found, &Labels::empty(), true),
            "# TYPE h histogram\nh_bucket{instance=\"i\",le=\"0.5\"} 1 7\nh_bucket{instance=\"i\",le=\"1\"} 1 7\n\
             h_bucket{instance=\"i\",le=\"2\"} 4 7\nh_bucket{instance=\"i\",le=\"+Inf\"} 6 7\n\
             h_sum{instance=\"i\"} 9.5 7\nh_count{instance=\"i\"} 6 7\n"
        );
    }
}
