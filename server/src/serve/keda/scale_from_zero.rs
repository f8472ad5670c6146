//! Pools at zero: whether they report ready endpoints, and whether their gateway gives queued requests up meanwhile.
//!
//! Read from the plain view once a second: `ready_endpoints` moves every 5 s, and nobody is waiting for a warning.

use std::collections::{BTreeMap, HashMap, HashSet};

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::FAMILIES;
use stillwell_engine::{Reader, Timestamp};
use tracing::warn;

/// Ready endpoints by pool and gateway, under both names of the family; every replica repeats the number. A gateway that shows it
/// is known: a counter that appears on it has counted since then.
const READY: &str = "max by (name, instance, job) ({__name__=~\"llm_d_epp_ready_endpoints|inference_pool_ready_pods\"})";
/// Requests that a gateway gave up while they were queued.
const EVICTED: &str = "sum by (inference_pool, outcome, instance, job) (llm_d_epp_flow_control_requests_total{outcome=~\"Evicted.*\"})";
/// A warning is shown for this long after its last cause.
const SHOWN_MS: i64 = 15 * 60_000;
/// Pools that warnings are kept for.
const POOLS_MAX: usize = 1_000;
/// Counters and gateways remembered; a gateway has one per pool and outcome.
const COUNTERS_MAX: usize = 100_000;

/// What is known.
pub(super) struct ScaleFromZero {
    ready: Query,
    evicted: Query,
    /// Ready endpoints by pool.
    pools: HashMap<String, f64>,
    /// Each counter as of the last look.
    counters: HashMap<Labels, f64>,
    gateways: HashSet<Labels>,
    /// By pool and outcome.
    warnings: BTreeMap<(String, String), Evicted>,
}

struct Evicted {
    count: f64,
    last: Timestamp,
}

impl ScaleFromZero {
    pub(super) fn new() -> ScaleFromZero {
        let parse = |text| {
            Query::parse(text, &Features::default()).expect("a constant of this file, tested")
        };
        ScaleFromZero {
            ready: parse(READY),
            evicted: parse(EVICTED),
            pools: HashMap::new(),
            counters: HashMap::new(),
            gateways: HashSet::new(),
            warnings: BTreeMap::new(),
        }
    }

    /// Whether this pool reports ready endpoints. Without a pool only one answer serves: that of the only pool there is.
    pub(super) fn is_ready(&self, pool: Option<&str>) -> bool {
        let ready = match pool {
            Some(pool) => self.pools.get(pool),
            None if self.pools.len() == 1 => self.pools.values().next(),
            None => None,
        };
        ready.is_some_and(|ready| *ready > 0.0)
    }

    /// Looks again.
    pub(super) fn look(&mut self, reader: &Reader, now: Timestamp) {
        let ready = vector(reader, &self.ready, now);
        // Where no gateway shows its endpoints there is no pool of which anybody could be warned, and nothing is read for it.
        let evicted = match ready.is_empty() {
            true => Vec::new(),
            false => vector(reader, &self.evicted, now),
        };
        self.pools.clear();
        for (labels, value) in &ready {
            let pool = labels.get("name").unwrap_or("").to_owned();
            let most = self.pools.entry(pool).or_insert(*value);
            *most = most.max(*value);
        }
        let mut counters = HashMap::with_capacity(evicted.len());
        for (labels, value) in evicted.into_iter().take(COUNTERS_MAX) {
            let before = match self.counters.get(&labels) {
                Some(before) => *before,
                None if self.gateways.contains(&gateway(&labels)) => 0.0,
                None => value, // what a gateway counted before we knew it is not news
            };
            // A counter that fell began anew.
            let more = if value < before {
                value
            } else {
                value - before
            };
            let pool = labels.get("inference_pool").unwrap_or("");
            if more > 0.0 && self.pools.get(pool) == Some(&0.0) {
                self.warn(
                    pool.to_owned(),
                    labels.get("outcome").unwrap_or("").to_owned(),
                    more,
                    now,
                );
            }
            counters.insert(labels, value);
        }
        self.counters = counters;
        self.gateways = ready
            .into_iter()
            .take(COUNTERS_MAX)
            .map(|(labels, _)| gateway(&labels))
            .collect();
        self.warnings
            .retain(|_, evicted| now.since_ms(evicted.last) < SHOWN_MS);
    }

    fn warn(&mut self, pool: String, outcome: String, more: f64, now: Timestamp) {
        let key = (pool, outcome);
        if let Some(evicted) = self.warnings.get_mut(&key) {
            evicted.count += more;
            evicted.last = now;
            return;
        }
        if self.warnings.len() >= POOLS_MAX {
            return;
        }
        let evicted = Evicted {
            count: more,
            last: now,
        };
        warn!("{}", text(&key.0, &key.1, &evicted));
        self.warnings.insert(key, evicted);
    }

    /// What people should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        let shown = self.warnings.iter();
        shown
            .map(|((pool, outcome), evicted)| text(pool, outcome, evicted))
            .collect()
    }
}

fn text(pool: &str, outcome: &str, evicted: &Evicted) -> String {
    let change = match outcome {
        "EvictedContextCancelled" => {
            "their clients or the gateway gave up first: raise the request timeout (HTTPRoute timeouts.request) above \
             the time of a cold start"
        }
        // A gateway that counts requests given up for want of an endpoint by themselves also has a limit for them; one that
        // does not (llm-d router v0.10 and before) refuses to start on a configuration with the newer key.
        "EvictedNoEndpoints" => {
            "raise flowControl.noEndpointRequestTTL in the EndpointPickerConfig (it follows defaultRequestTTL, 60s, where \
             it is left out) above the time of a cold start"
        }
        _ => {
            "raise flowControl.defaultRequestTTL in the EndpointPickerConfig (60s where it is left out) above the time of a \
             cold start"
        }
    };
    format!(
        "pool {pool:?} is at zero and its gateway gave up {} queued requests ({outcome}): {change}",
        evicted.count
    )
}

fn gateway(labels: &Labels) -> Labels {
    labels.filter(|label| matches!(label, "instance" | "job"))
}

fn vector(reader: &Reader, query: &Query, now: Timestamp) -> Vec<(Labels, f64)> {
    let answer = query.instant(&reader.plain(), now, &EvalOptions::default());
    match answer.map(|answer| answer.value) {
        Ok(Value::Vector(samples)) => samples
            .into_iter()
            .map(|sample| (sample.labels, sample.value))
            .collect(),
        _ => Vec::new(), // a query that fails warns of nothing
    }
}

/// The pool that a query names, where it names exactly one: by `inference_pool`, or by `name` on a family of pools.
pub(super) fn pool_of(query: &str) -> Option<String> {
    use stillwell_engine::labels::MatchOp;
    let query = Query::parse(query, &Features::default()).ok()?;
    let mut found: Option<String> = None;
    for selector in query.selectors() {
        let metric = selector
            .matchers
            .iter()
            .find(|matcher| matcher.name() == "__name__" && matcher.op() == MatchOp::Equal);
        let of_pools = metric.is_some_and(|metric| {
            let mut known = FAMILIES.iter().flat_map(|family| family.names);
            known.any(|name| name.family == metric.value() && name.labels.contains(&"name"))
        });
        for matcher in selector.matchers {
            let names_pool =
                matcher.name() == "inference_pool" || (of_pools && matcher.name() == "name");
            if !names_pool || matcher.op() != MatchOp::Equal {
                continue;
            }
            match &found {
                Some(pool) if pool != matcher.value() => return None,
                _ => found = Some(matcher.value().to_owned()),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, Stage, TargetSpec, Writer};

    use super::*;

    struct Gateway {
        writer: Writer,
        stage: Stage,
        reader: Reader,
        scale_from_zero: ScaleFromZero,
    }

    impl Gateway {
        fn new() -> Gateway {
            let (mut writer, reader) = Engine::new(Limits::default());
            let labels = Labels::from_pairs([("job", "epp"), ("instance", "10.0.0.7:9090")]);
            let spec = TargetSpec {
                labels,
                interval_ms: 1000,
                ..TargetSpec::default()
            };
            let (_, stage) = writer.add_target(spec);
            Gateway {
                writer,
                stage,
                reader,
                scale_from_zero: ScaleFromZero::new(),
            }
        }

        fn page(&mut self, at_s: i64, page: &str) {
            let at = Timestamp::from_ms(1_000_000 + at_s * 1000);
            let staged = self
                .stage
                .parse(page.as_bytes(), Format::Text)
                .expect("a page");
            self.writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("fits");
            self.scale_from_zero.look(&self.reader, at);
        }
    }

    fn page(ready: u64, evicted: Option<(&str, u64)>) -> String {
        let counter = evicted.map_or(String::new(), |(outcome, count)| {
            format!("llm_d_epp_flow_control_requests_total{{outcome=\"{outcome}\",priority=\"0\",inference_pool=\"p\"}} {count}\n")
        });
        format!("llm_d_epp_ready_endpoints{{name=\"p\"}} {ready}\n{counter}")
    }

    #[test]
    fn requests_given_up_at_zero_are_warned_of_with_the_setting_to_change() {
        let mut gateway = Gateway::new();
        // What was counted before is not news, nor what is given up while there are endpoints.
        gateway.page(0, &page(0, Some(("EvictedTTL", 40))));
        gateway.page(1, &page(2, Some(("EvictedTTL", 50))));
        assert!(gateway.scale_from_zero.warnings().is_empty());
        gateway.page(2, &page(0, Some(("EvictedTTL", 53))));
        let warnings = gateway.scale_from_zero.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for part in ["\"p\"", "gave up 3 ", "EvictedTTL", "defaultRequestTTL"] {
            assert!(warnings[0].contains(part), "{warnings:?}");
        }
        assert!(
            !warnings[0].contains("noEndpointRequestTTL"),
            "a gateway that counts by TTL alone may not know that key: {warnings:?}"
        );
        gateway.page(902, &page(0, Some(("EvictedTTL", 53))));
        assert!(
            gateway.scale_from_zero.warnings().is_empty(),
            "after a quarter of an hour"
        );
        // A restarted gateway counts anew, and its first one counts.
        gateway.page(903, &page(0, None));
        gateway.page(904, &page(0, Some(("EvictedContextCancelled", 1))));
        let warnings = gateway.scale_from_zero.warnings();
        assert!(
            warnings[0].contains("gave up 1 ") && warnings[0].contains("timeouts.request"),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_pool_is_ready_when_its_gateway_says_so_and_another_pool_says_nothing() {
        let mut gateway = Gateway::new();
        gateway.page(
            0,
            "inference_pool_ready_pods{name=\"p\"} 0\ninference_pool_ready_pods{name=\"r\"} 2\n",
        );
        assert!(!gateway.scale_from_zero.is_ready(Some("p")));
        assert!(gateway.scale_from_zero.is_ready(Some("r")));
        assert!(!gateway.scale_from_zero.is_ready(Some("typo")));
        assert!(!gateway.scale_from_zero.is_ready(None), "one of two");
        gateway.page(1, &page(1, None));
        assert!(
            gateway.scale_from_zero.is_ready(Some("p")) && gateway.scale_from_zero.is_ready(None)
        );
    }

    #[test]
    fn the_pool_is_the_one_that_the_query_names() {
        for (query, pool) in [
            ("sum(q{inference_pool=\"p\"})", Some("p")),
            (
                "sum(q{inference_pool=\"p\"}) + sum(r{inference_pool=\"p\"})",
                Some("p"),
            ),
            (
                "sum(q{inference_pool=\"p\"}) + sum(r{inference_pool=\"r\"})",
                None,
            ),
            ("sum(q{inference_pool=~\"p\"})", None),
            ("sum(q{name=\"p\"})", None),
            (
                "max(inference_pool_average_queue_size{name=\"p\"})",
                Some("p"),
            ),
            ("sum(q)", None),
            ("sum(", None),
        ] {
            assert_eq!(pool_of(query).as_deref(), pool, "{query}");
        }
    }
}
