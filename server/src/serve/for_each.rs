//! `for_each: [model_name]`: one signal read as one metric for each value of its labels that was seen, because an HPA cannot
//! select a value with a slash: `queue` is read as `queue-qwen-qwen3-32b` for `Qwen/Qwen3-32B`.

use std::collections::{BTreeMap, BTreeSet};

use stillwell_engine::promql::{EvalOptions, Features, Query};
use stillwell_engine::{Reader, SeriesQuery};

use crate::signal_spec::{SignalSpec, name_of};

/// Values that a signal is read for; what has more is no list of models.
const VALUES_MAX: usize = 1_000;
/// Values that an error lists.
const LISTED_MAX: usize = 10;

/// Labels and their values, in the order of `for_each`.
pub(super) type Values = Vec<(String, String)>;

/// The metrics that a signal is read as.
pub(super) fn names(spec: &SignalSpec, reader: &Reader) -> Vec<String> {
    seen(spec, reader).into_keys().collect()
}

/// The values for which a metric of this name, in any case, stands; `None` where it is none of this signal's. Error: it
/// stands for several.
pub(super) fn find(
    spec: &SignalSpec,
    name: &str,
    reader: &Reader,
) -> Option<Result<Values, String>> {
    let begins = name.get(..spec.name.len())?;
    if spec.for_each.is_empty() || !begins.eq_ignore_ascii_case(&spec.name) {
        return None;
    }
    let mut found = seen(spec, reader).remove(&name.to_ascii_lowercase())?;
    if found.len() == 1 {
        return found.pop_first().map(Ok);
    }
    let listed = found.iter().take(LISTED_MAX).map(|values| {
        let values: Vec<String> = values
            .iter()
            .map(|(label, value)| format!("{label}={value:?}"))
            .collect();
        values.join(" ")
    });
    let listed: Vec<String> = listed.collect();
    Some(Err(format!(
        "{name} stands for {} values: {}; give the signal its own query for one of them",
        found.len(),
        listed.join(", ")
    )))
}

/// The values that the series of the query have, by the name under which each is read.
fn seen(spec: &SignalSpec, reader: &Reader) -> BTreeMap<String, BTreeSet<Values>> {
    let mut by_name: BTreeMap<String, BTreeSet<Values>> = BTreeMap::new();
    let Ok(query) = Query::parse(&spec.expr, &Features::all()) else {
        return by_name; // it was parsed when it was loaded
    };
    let selectors: Vec<_> = query
        .selectors()
        .map(|used| used.matchers.to_vec())
        .collect();
    let series = SeriesQuery {
        selectors: &selectors,
        ..SeriesQuery::ALL
    };
    let mut count = 0;
    let walked = reader.for_each_series(series, &EvalOptions::default(), |labels| {
        let values = spec.for_each.iter().filter_map(|label| {
            let value = labels.get(label).filter(|value| !value.is_empty())?;
            Some((label.clone(), value.to_owned()))
        });
        let values: Values = values.collect();
        if values.len() == spec.for_each.len() && count < VALUES_MAX {
            let of = values.iter().map(|(_, value)| value.as_str());
            let known = by_name.entry(name_of(&spec.name, of)).or_default();
            count += usize::from(known.insert(values));
        }
        Ok(())
    });
    walked.ok(); // nothing stops it
    by_name
}
