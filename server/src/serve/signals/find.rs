//! What the name of a metric stands for: a signal of the configuration, or a rule of prometheus-adapter.

use std::borrow::Cow;

use stillwell_adapters::host::ObjectQuestion;
use stillwell_adapters::objects::Selector;
use stillwell_engine::promql::{Features, Query, QueryError};
use stillwell_engine::signal::SignalId;

use super::ConfiguredSignals;
use crate::config::SignalSpec;
use crate::serve::{rules, sanitized};

/// What a name stands for.
pub(in crate::serve) enum Found<'a> {
    /// A signal.
    Signal(&'a SignalSpec, SignalId),
    /// A metric of a rule: the query for whoever asks.
    Rule(Result<String, QueryError>),
}

impl ConfiguredSignals {
    /// The signal of this name, in any case.
    pub(super) fn named(&self, name: &str) -> Option<&(SignalSpec, SignalId)> {
        let named = |(spec, _): &&(SignalSpec, SignalId)| spec.name.eq_ignore_ascii_case(name);
        self.signals.iter().find(named)
    }

    /// The signal that answers for metrics of objects of this name. One that an external rule made does not where there are
    /// custom rules: prometheus-adapter keeps the names of the two apart, and which metrics a pattern makes is only known once
    /// there are series.
    pub(super) fn named_for(
        &self,
        question: &ObjectQuestion<'_>,
    ) -> Option<&(SignalSpec, SignalId)> {
        let named = self.named(question.metric)?;
        (!named.0.from_rules || !self.objects.has_rules()).then_some(named)
    }

    /// What this name, in any case, stands for to a caller of this namespace who selects nothing.
    pub(in crate::serve) fn find(&self, name: &str, namespace: &str) -> Option<Found<'_>> {
        if let Some((spec, id)) = self.named(name) {
            return Some(Found::Signal(spec, *id));
        }
        let all = Selector::default();
        rules::query_for(&self.rules, &self.reader, name, namespace, &all).map(Found::Rule)
    }

    /// Whether there may be a metric of this name, whatever is scraped. Takes no look at the store.
    pub(in crate::serve) fn may_have(&self, name: &str) -> bool {
        let begins = |signal: &SignalSpec| {
            let begin = name.get(..signal.name.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(&signal.name))
        };
        let is_of_signal = |(spec, _): &(SignalSpec, SignalId)| {
            spec.name.eq_ignore_ascii_case(name) || (!spec.for_each.is_empty() && begins(spec))
        };
        let may_make = |rule| match rules::fixed_name(rule) {
            Some(made) => made.is_some_and(|made| made.eq_ignore_ascii_case(name)),
            None => true, // one over a pattern of names makes what the store tells
        };
        self.signals.iter().any(is_of_signal) || self.rules.iter().any(|rule| may_make(rule))
    }

    /// The names that the configuration gives. Takes no look at the store.
    pub(in crate::serve) fn fixed_names(&self) -> Vec<String> {
        let made = self.rules.iter().filter_map(|rule| rules::fixed_name(rule));
        let signals = self.signals.iter().map(|(spec, _)| spec.name.clone());
        signals.chain(made.flatten()).collect()
    }

    /// What a selector means to a signal, which may read values sanitised.
    pub(super) fn meant<'s>(
        &self,
        spec: &SignalSpec,
        selector: &'s Selector,
    ) -> Result<Cow<'s, Selector>, String> {
        if !spec.sanitized {
            return Ok(Cow::Borrowed(selector));
        }
        let query =
            Query::parse(&spec.expr, &Features::all()).map_err(|error| error.to_string())?;
        let series: Vec<_> = query
            .selectors()
            .map(|used| used.matchers.to_vec())
            .collect();
        sanitized::resolve(selector, &series, &self.reader).map(Cow::Owned)
    }
}
