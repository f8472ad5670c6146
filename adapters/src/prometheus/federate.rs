//! `/federate`: the newest sample of the series that are asked for, as a page that another Prometheus scrapes
//! (web/federate.go).

use axum::http::{HeaderMap, header};
use stillwell_engine::labels::{Labels, METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use stillwell_engine::number_text::push_general;
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, View, is_stale};

use super::error::ApiError;
use super::lookup::selectors;
use crate::form::Form;
use crate::host::Host;
use crate::pool::{Kind, Within};

/// The type of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The same where names may hold any character.
pub(super) const CONTENT_TYPE_UTF8: &str =
    "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";

/// Whether the reader takes names of any character.
pub(super) fn takes_utf8(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter();
    let mut accepts = accepts.filter_map(|value| value.to_str().ok());
    accepts.any(|value| value.contains("allow-utf-8"))
}

/// The page.
pub(super) async fn page(host: &dyn Host, form: &Form, utf8: bool) -> Result<String, ApiError> {
    let sets = selectors(host, form).await?;
    let sets = sets.map_err(|error| ApiError::bad_data(error.to_string()))?;
    let settings = host.query_settings();
    let (reader, external, now) = (host.reader().clone(), host.external_labels(), host.now());
    let offset_ms = host.wall_offset_ms();
    let work = move |_: &Within| {
        let view = reader.plain();
        let after_ms = now.minus_ms(settings.lookback_ms).ms();
        let mut found: Vec<(Labels, i64, f64)> = Vec::new();
        for matchers in &sets {
            let selection = view.select(&SelectRequest {
                matchers,
                after_ms,
                until_ms: now.ms(),
                projection: Projection::All,
                last_only: true,
                memory: None,
                stop: None,
            })?;
            let mut scratch = Samples::default();
            for index in 0..selection.len() {
                let last = selection.last(index, &mut scratch);
                // The text format has no native histograms.
                let last = last.filter(|one| !is_stale(one.value) && one.histogram.is_none());
                if let Some(last) = last {
                    let time_ms = last.time_ms + offset_ms;
                    found.push((selection.labels(index).clone(), time_ms, last.value));
                }
            }
        }
        found.sort_by(|a, b| (a.0.metric_name(), &a.0).cmp(&(b.0.metric_name(), &b.0)));
        found.dedup_by(|a, b| a.0 == b.0);
        Ok(write(&found, &external, utf8))
    };
    let page = host
        .queries()
        .run(Kind::Query, settings.timeout_ms, work)
        .await?;
    Ok(page)
}

fn write(found: &[(Labels, i64, f64)], external: &Labels, utf8: bool) -> String {
    let mut out = String::new();
    let mut last_name = None;
    for (labels, time_ms, value) in found {
        let Some(name) = labels.metric_name() else {
            continue; // a page cannot hold it
        };
        let name = shown(name, utf8, is_legacy_metric_name);
        if last_name.as_ref() != Some(&name) {
            out.push_str("# TYPE ");
            match is_legacy_metric_name(&name) {
                true => out.push_str(&name),
                false => quoted(&mut out, &name),
            }
            out.push_str(" untyped\n");
            last_name = Some(name.clone());
        }
        let plain = is_legacy_metric_name(&name);
        if plain {
            out.push_str(&name);
        }
        out.push('{');
        if !plain {
            quoted(&mut out, &name);
            out.push(',');
        }
        for (label, value) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
            pair(&mut out, label, value, utf8);
        }
        for (label, value) in external
            .iter()
            .filter(|(label, _)| labels.get(label).is_none())
        {
            pair(&mut out, label, value, utf8);
        }
        // A series without an instance must not be given that of this server.
        if labels.get("instance").is_none() && external.get("instance").is_none() {
            pair(&mut out, "instance", "", utf8);
        }
        if out.ends_with(',') {
            out.pop();
        }
        out.push_str("} ");
        push_general(&mut out, *value);
        out.push_str(&format!(" {time_ms}\n"));
    }
    out
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
    use stillwell_engine::labels;

    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_writes_it() {
        let found = [
            (labels! {"__name__" => "a.b", "x" => "1"}, 1_000, 1.5),
            (
                labels! {"__name__" => "up", "instance" => "i", "job" => "j\"\n"},
                2_000,
                1e6,
            ),
            (
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
}
