//! Whether a gateway is quiet: nothing waits, it has endpoints, and what it serves has not changed for a while. A job with
//! `scrape_interval_max` asks such a gateway less often.
//!
//! Everything else is not quiet, and asked for at the job's own interval: a pool without endpoints (what arrives next has to
//! wake it), a queue, a number that moves, and whatever the store cannot say (`retain: signals` may not keep the families).
//!
//! Cost: an instant query every longest interval over the target's demand gauges; a target
//! with more than [`SERIES_MAX`] series of them is never quiet.

use std::collections::BTreeMap;

use stillwell_adapters::prometheus::quoted_label_value;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{Answer, EvalOptions, Features, Query, Value};
use stillwell_engine::signal::{Measure, Names};
use stillwell_engine::{Reader, Timestamp};

/// Nothing may have changed for so many of the longest intervals.
const QUIET_INTERVALS: i64 = 10;
const SERIES_MAX: u64 = 1_000;
/// How many endpoints a pool has, under the name of one release.
const ENDPOINTS: &str = "llm_d_epp_ready_endpoints";

/// What one target's demand gauges said, and since when they say it.
pub(super) struct Quiet {
    query: Option<Query>,
    endpoints: Vec<String>,
    /// `scrape_interval_max`; also between two looks: what came and went in between has been scraped, and does not matter
    /// here.
    interval_ms_max: i64,
    said: BTreeMap<String, u64>,
    since_ms: i64,
    looked_ms: i64,
    is_quiet: bool,
}

impl Quiet {
    /// For a target with these labels.
    pub(super) fn new(labels: &Labels, interval_ms_max: u64) -> Self {
        let endpoints = endpoints();
        Self {
            interval_ms_max: i64::try_from(interval_ms_max).unwrap_or(i64::MAX),
            query: Query::parse(&query(labels, &endpoints), &Features::default()).ok(), // without one it is never quiet
            endpoints,
            said: BTreeMap::new(),
            since_ms: i64::MIN,
            looked_ms: i64::MIN,
            is_quiet: false,
        }
    }

    /// Whether the target is quiet at `now`, after a good scrape.
    pub(super) fn look(&mut self, reader: &Reader, now: Timestamp) -> bool {
        let now_ms = now.ms();
        if let Some(query) = &self.query
            && now_ms.saturating_sub(self.looked_ms) >= self.interval_ms_max
        {
            let options = EvalOptions {
                samples_max: SERIES_MAX,
                ..EvalOptions::default()
            };
            let answer = query.instant(&reader.plain(), now, &options);
            self.looked_ms = now_ms;
            self.is_quiet = self.is_quiet_with(&answer.map(sums).unwrap_or_default(), now_ms);
        }
        self.is_quiet
    }

    fn is_quiet_with(&mut self, sums: &BTreeMap<String, f64>, now_ms: i64) -> bool {
        let said: BTreeMap<String, u64> = sums
            .iter()
            .map(|(name, sum)| (name.clone(), sum.to_bits()))
            .collect();
        if said != self.said {
            (self.said, self.since_ms) = (said, now_ms);
        }
        let waits = Names::measuring(Measure::Queue)
            .any(|name| sums.get(name).is_some_and(|sum| *sum > 0.0 || sum.is_nan()));
        let mut endpoints = self.endpoints.iter();
        let has_endpoints = endpoints.any(|name| sums.get(name).is_some_and(|sum| *sum > 0.0));
        has_endpoints
            && !waits
            && now_ms.saturating_sub(self.since_ms)
                >= self.interval_ms_max.saturating_mul(QUIET_INTERVALS)
    }
}

/// How many endpoints a pool has, under every name.
fn endpoints() -> Vec<String> {
    let others = Names::default().equivalents(ENDPOINTS);
    std::iter::once(ENDPOINTS.to_owned())
        .chain(others.into_iter().map(|(name, _)| name))
        .collect()
}

/// The sum of every demand gauge of a target, by name.
fn query(labels: &Labels, endpoints: &[String]) -> String {
    let gauges = Names::measuring(Measure::Queue).chain(Names::measuring(Measure::Running));
    let endpoints = endpoints.iter().cloned();
    let mut names: Vec<String> = gauges.map(str::to_owned).chain(endpoints).collect();
    names.sort_unstable();
    names.dedup();
    let mut query = String::from("sum by (__name__) ({__name__=~");
    quoted_label_value(&mut query, &names.join("|"));
    for (name, value) in labels.iter() {
        query.push(',');
        quoted_label_value(&mut query, name);
        query.push('=');
        quoted_label_value(&mut query, value);
    }
    query.push_str("})");
    query
}

fn sums(answer: Answer) -> BTreeMap<String, f64> {
    let Value::Vector(elements) = answer.value else {
        return BTreeMap::new();
    };
    elements
        .into_iter()
        .filter_map(|one| {
            let name = one.labels.get("__name__")?.to_owned();
            one.histogram.is_none().then_some((name, one.value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "llm_d_epp_flow_control_queue_size";
    const QUIET_MS: i64 = 10_000;
    const RUNNING: &str = "llm_d_epp_request_running";

    fn quiet() -> Quiet {
        Quiet::new(&Labels::from_pairs([("job", "a\"b\\c")]), 1_000)
    }

    fn sums(queue: f64, running: f64, endpoints: Option<f64>) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::from([(QUEUE.to_owned(), queue), (RUNNING.to_owned(), running)]);
        sums.extend(endpoints.map(|number| (ENDPOINTS.to_owned(), number)));
        sums
    }

    #[test]
    fn the_query_is_one_whatever_the_labels_are() {
        assert!(quiet().query.is_some());
    }

    #[test]
    fn a_gateway_is_quiet_once_nothing_has_changed_for_a_while() {
        let mut quiet = quiet();
        let idle = sums(0.0, 0.0, Some(2.0));
        assert!(!quiet.is_quiet_with(&idle, 0), "it has just been seen");
        assert!(!quiet.is_quiet_with(&idle, QUIET_MS - 1));
        assert!(quiet.is_quiet_with(&idle, QUIET_MS));
        let busy = sums(0.0, 1.0, Some(2.0));
        assert!(
            !quiet.is_quiet_with(&busy, QUIET_MS + 100),
            "a request came"
        );
        assert!(
            quiet.is_quiet_with(&busy, 2 * QUIET_MS + 100),
            "it runs for long"
        );
    }

    #[test]
    fn whoever_has_to_be_woken_or_waits_or_says_nothing_is_never_quiet() {
        for (what, sums) in [
            ("a pool at zero", sums(0.0, 0.0, Some(0.0))),
            ("a queue", sums(3.0, 1.0, Some(1.0))),
            ("a queue that is no number", sums(f64::NAN, 1.0, Some(1.0))),
            ("no endpoints are told", sums(0.0, 0.0, None)),
            ("nothing is kept", BTreeMap::new()),
        ] {
            let mut quiet = quiet();
            for at in 0..5 {
                assert!(!quiet.is_quiet_with(&sums, at * QUIET_MS), "{what}");
            }
        }
    }
}
