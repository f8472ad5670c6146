//! What a trigger reads under a configuration: a signal by its name, or a query that has to stand for it.

use stillwell_adapters::keda::{Caller, Refusal, Source, Trigger, check_query};
use stillwell_adapters::multi::Multi;
use stillwell_engine::nearest::nearest;
use stillwell_engine::promql::{Features, QueryError};
use stillwell_engine::signal::Policy;

use crate::serve::signals::{ConfiguredSignals, Found};

/// Series that one of them may read.
const QUERY_SERIES_MAX: usize = 10_000;
/// Bytes of samples that one evaluation of one of them may hold.
const QUERY_BYTES_MAX: usize = 16 << 20;
/// What triggers read; triggers that read the same share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SourceKey {
    /// A signal of the configuration: its name in lower case.
    Named(String),
    /// A query, judged by a policy, for a namespace.
    Query {
        namespace: String,
        text: String,
        policy: PolicyKey,
    },
}

impl SourceKey {
    pub(super) fn is_query(&self) -> bool {
        matches!(self, SourceKey::Query { .. })
    }

    /// For which it is read; empty where it is a signal of all.
    pub(super) fn namespace(&self) -> &str {
        match self {
            SourceKey::Named(_) => "",
            SourceKey::Query { namespace, .. } => namespace,
        }
    }
}

/// A policy in a form that can be hashed: its own debug text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PolicyKey(String);

/// What a trigger comes to.
pub(super) struct Resolved {
    pub(super) key: SourceKey,
    /// Of a query that may have to be watched.
    pub(super) watch: Option<(String, Policy)>,
    pub(super) expr: String,
}

/// What a trigger reads under a configuration.
pub(super) fn resolve(
    signals: &ConfiguredSignals,
    caller: &Caller,
    trigger: &Trigger,
) -> Result<Resolved, Refusal> {
    let query = |text: &str, base: &Policy| {
        // What does not parse is refused as it was written.
        let single = trigger.multi.query(text, &Features::default());
        let text = &*single.unwrap_or_else(|_| text.to_owned());
        let policy = Policy {
            series_max: Some(QUERY_SERIES_MAX),
            bytes_max: Some(QUERY_BYTES_MAX),
            ..trigger.policy(base)
        };
        Resolved {
            key: SourceKey::Query {
                namespace: caller.namespace.clone(),
                text: text.to_owned(),
                policy: PolicyKey(format!("{policy:?}")),
            },
            expr: text.to_owned(),
            watch: Some((text.to_owned(), policy)),
        }
    };
    let name = match &trigger.source {
        Source::Query(text) => return Ok(query(text, &Policy::default())),
        Source::Signal(name) => name,
    };
    match signals.find(name, &caller.namespace) {
        None => {
            use stillwell_adapters::host::Signals as _;
            Err(Refusal::invalid(
                "signal",
                no_signal(&signals.names(), name),
            ))
        }
        Some(Found::Rule(Err(error))) => Err(Refusal::invalid("signal", error)),
        Some(Found::Rule(Ok(text))) => Ok(query(&text, &Policy::default())),
        Some(Found::Signal(spec, _)) => {
            let readers = &spec.namespaces;
            if caller.authenticated && !readers.is_empty() && !readers.contains(&caller.namespace) {
                let why = format!("namespace {:?} may not read {name:?}", caller.namespace);
                return Err(Refusal::denied("signal", why));
            }
            if trigger.has_policy() || trigger.multi != Multi::Error {
                return Ok(query(&spec.expr, &spec.policy));
            }
            Ok(Resolved {
                key: SourceKey::Named(spec.name.to_ascii_lowercase()),
                watch: None,
                expr: spec.expr.clone(),
            })
        }
    }
}

/// Why a trigger reads nothing.
pub(super) fn is_none(name: &str) -> String {
    format!("there is no signal {name:?}")
}

/// Why a trigger reads nothing: what there is instead, the nearest first.
pub(super) fn no_signal(names: &[String], name: &str) -> String {
    const LISTED: usize = 20;
    let more = if names.len() > LISTED { ", ..." } else { "" };
    let listed = names
        .iter()
        .take(LISTED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let near = nearest(name, names.iter().map(String::as_str));
    let is_none = is_none(name);
    match near {
        _ if names.is_empty() => format!("{is_none}; the configuration has none"),
        Some(near) => format!("{is_none}; did you mean {near}? There are: {listed}{more}"),
        None => format!("{is_none}; there are: {listed}{more}"),
    }
}

/// Refuses a query that could never tell a number of what is scraped.
pub(super) fn readable(trigger: &Trigger, text: &str) -> Result<(), Refusal> {
    check_query(text).map_err(|why| Refusal::invalid(key_of(trigger), why))
}

fn key_of(trigger: &Trigger) -> &'static str {
    match trigger.source {
        Source::Query(_) => "query",
        Source::Signal(_) => "signal",
    }
}

pub(super) fn bad_query(trigger: &Trigger) -> impl Fn(QueryError) -> Refusal {
    let key = key_of(trigger);
    move |error| match error {
        QueryError::Execution(why) => Refusal::exhausted(key, why),
        error => Refusal::invalid(key, error),
    }
}
