//! `search/{metric_names,label_names,label_values}` of Prometheus 3.14: names for whoever is typing one, as lines of JSON
//! (web/api/v1/search.go). Batches of results come first, then a line that says whether there are more.

use stillwell_engine::SeriesQuery;
use stillwell_engine::labels::{METRIC_NAME, Matcher};

use super::lookup::{look_up, selectors};
use super::params;
use super::search_score::{Algorithm, Filter};
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::Host;
use crate::json;

/// The type of the answer.
pub(super) const NDJSON: &str = "application/x-ndjson; charset=utf-8";
/// Results, and results of one line, where nothing else is asked for.
const LIMIT_DEFAULT: usize = 100;
/// Prometheus' default for `--web.search.max-limit`.
const LIMIT_MAX: usize = 10_000;
/// Terms of one request.
const TERMS_MAX: usize = 32;
/// Names are looked for in the last hour unless something else is asked for.
const SINCE_MS: i64 = 3_600_000;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Names of metrics.
    MetricNames,
    /// Names of labels.
    LabelNames,
    /// Values of the label `label`.
    LabelValues,
}

struct Search {
    sets: Vec<Vec<Matcher>>,
    range: (i64, i64),
    filter: Filter,
    order: Order,
    with_score: bool,
    limit: usize,
    batch: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    ByScore,
}

/// Answers a search.
pub(super) async fn search(
    host: &dyn Host,
    subject: Subject,
    form: &Form,
) -> Result<String, ApiError> {
    let search = Search::read(host, form).await?;
    let with_metadata = subject == Subject::MetricNames && flag(form, "include_metadata", false)?;
    let label = match subject {
        Subject::LabelValues if form.get("label").is_empty() => {
            return Err(ApiError::bad_data("missing required parameter \"label\""));
        }
        Subject::LabelValues => form.get("label").to_owned(),
        _ => METRIC_NAME.to_owned(),
    };
    let (reader, sets, range) = (host.reader().clone(), search.sets.clone(), search.range);
    let names = look_up(host, move |within| {
        let query = SeriesQuery {
            selectors: &sets,
            start: stillwell_engine::Timestamp::from_ms(range.0),
            end: stillwell_engine::Timestamp::from_ms(range.1),
            limit: 0,
        };
        match subject {
            Subject::LabelNames => reader.label_names(query, within),
            _ => reader.label_values(&label, query, within),
        }
    })
    .await?;
    let (found, has_more) = search.pick(names);
    let metadata = match with_metadata {
        true => {
            let reader = host.reader().clone();
            look_up(host, move |_| Ok(reader.metadata())).await?
        }
        false => Default::default(),
    };
    let key = match subject {
        Subject::LabelValues => "value",
        _ => "name",
    };
    let mut out = String::new();
    // The first line comes whether or not there is anything.
    let mut batches = found.chunks(search.batch);
    for batch in std::iter::once(batches.next().unwrap_or_default()).chain(batches) {
        out.push_str("{\"results\":[");
        json::joined(&mut out, batch, |out, (name, score)| {
            out.push_str(&format!("{{\"{key}\":"));
            json::string(out, name);
            if search.with_score {
                out.push_str(&format!(",\"score\":{score}"));
            }
            if let Some(family) = metadata.get(name).and_then(|variants| variants.first()) {
                let kind = family.family_type.as_str();
                write_metadata(out, kind, &family.help, &family.unit);
            }
            out.push('}');
        });
        out.push_str("]}\n");
    }
    out.push_str(&format!(
        "{{\"status\":\"success\",\"has_more\":{has_more}}}\n"
    ));
    Ok(out)
}

fn write_metadata(out: &mut String, kind: &str, help: &str, unit: &str) {
    for (name, value) in [("type", kind), ("help", help), ("unit", unit)] {
        if !value.is_empty() {
            out.push_str(&format!(",\"{name}\":"));
            json::string(out, value);
        }
    }
}

impl Search {
    async fn read(host: &dyn Host, form: &Form) -> Result<Search, ApiError> {
        let offset_ms = host.wall_offset_ms();
        let now = host.now().plus_ms(offset_ms);
        let start = params::time(form, "start", now.minus_ms(SINCE_MS))?.minus_ms(offset_ms);
        let end = params::time(form, "end", now)?.minus_ms(offset_ms);
        if end < start {
            let why = "end timestamp must not be before start timestamp";
            return Err(ApiError::bad_data(why));
        }
        let sets = selectors(host, form).await?;
        let sets = sets.map_err(|error| ApiError::parameter("match[]", error));
        let terms: Vec<&str> = form.all("search[]").collect();
        if terms.len() > TERMS_MAX {
            let count = terms.len();
            return Err(ApiError::bad_data(format!(
                "too many search[] terms: got {count}, maximum is {TERMS_MAX}"
            )));
        }
        let algorithm = match form.get("fuzz_alg") {
            "" | "subsequence" => Algorithm::Subsequence,
            "jarowinkler" => Algorithm::JaroWinkler,
            other => {
                return Err(ApiError::bad_data(format!(
                    "unsupported fuzz_alg {other:?}: must be one of [subsequence jarowinkler]"
                )));
            }
        };
        let case_sensitive = flag(form, "case_sensitive", true)?;
        let filter = Filter::new(
            terms.iter().copied(),
            algorithm,
            threshold(form)?,
            case_sensitive,
        );
        let limit = count(form, "limit")?;
        if limit > LIMIT_MAX {
            return Err(ApiError::bad_data(format!(
                "limit {limit} exceeds the configured maximum ({LIMIT_MAX}, see --web.search.max-limit)"
            )));
        }
        Ok(Search {
            sets: sets?,
            range: (start.ms(), end.ms()),
            filter,
            with_score: flag(form, "include_score", false)?,
            order: order(form, terms.is_empty())?,
            limit,
            batch: count(form, "batch_size")?,
        })
    }

    /// The names that fit, in order, and whether there are more than are told.
    fn pick(&self, names: Vec<String>) -> (Vec<(String, f64)>, bool) {
        let scored = names.into_iter().filter_map(|name| {
            let score = self.filter.score(&name)?;
            Some((name, score))
        });
        let mut found: Vec<(String, f64)> = scored.collect();
        match self.order {
            Order::Ascending => {} // as they come
            Order::Descending => found.reverse(),
            // Equal ones stay in their order.
            Order::ByScore => found.sort_by(|(_, a), (_, b)| b.total_cmp(a)),
        }
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        (found, has_more)
    }
}

fn order(form: &Form, no_terms: bool) -> Result<Order, ApiError> {
    let refuse = |why: String| Err(ApiError::bad_data(why));
    match (form.get("sort_by"), form.get("sort_dir")) {
        ("", "") | ("alpha", "" | "asc") => Ok(Order::Ascending),
        ("alpha", "dsc") => Ok(Order::Descending),
        ("score", "") if no_terms => refuse("sort_by=score requires search[] to be set".to_owned()),
        ("score", "") => Ok(Order::ByScore),
        ("", _) => refuse("sort_dir is only valid when sort_by is set".to_owned()),
        ("score", _) => refuse("sort_dir is not supported for sort_by=score".to_owned()),
        ("alpha", other) => refuse(format!(
            "invalid sort_dir {other:?}: must be \"asc\" or \"dsc\""
        )),
        (other, _) => refuse(format!(
            "invalid sort_by {other:?}: must be \"alpha\" or \"score\""
        )),
    }
}

fn threshold(form: &Form) -> Result<f64, ApiError> {
    let text = form.get("fuzz_threshold");
    if text.is_empty() {
        return Ok(0.0);
    }
    match text.parse::<u8>() {
        Ok(percent) if percent <= 100 => Ok(f64::from(percent) / 100.0),
        _ => Err(ApiError::bad_data(format!(
            "invalid fuzz_threshold {text:?}: must be 0-100"
        ))),
    }
}

fn count(form: &Form, name: &str) -> Result<usize, ApiError> {
    let text = form.get(name);
    if text.is_empty() {
        return Ok(LIMIT_DEFAULT);
    }
    match text.parse::<usize>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(ApiError::bad_data(format!(
            "invalid {name} {text:?}: must be a positive integer"
        ))),
    }
}

/// As Go reads a truth value.
fn flag(form: &Form, name: &str, default: bool) -> Result<bool, ApiError> {
    match form.get(name) {
        "" => Ok(default),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(ApiError::bad_data(format!(
            "invalid {name} {other:?}: must be boolean"
        ))),
    }
}
