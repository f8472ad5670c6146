//! What the APIs ask of signals: the custom and external metrics APIs, `/guarded` and `/signals`.

use stillwell_adapters::ClientAddress;
use stillwell_adapters::host::{
    Description, Element, GuardedRefusal, NoNumbers, NoneFits, ObjectList, ObjectMetric,
    ObjectQuestion, Outline, Reading, Signals, UsageList, UsageOf,
};
use stillwell_adapters::objects::{Kinds, Selector};
use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{Answer, EvalOptions, QueryError};

use super::judge::{NAMESPACE, Pins, ask, asked_for, judge_about, judge_signal};
use super::{ConfiguredSignals, describe};
use crate::serve::objects::told;
use crate::serve::{askers, for_each, not_there, rules};

/// The kinds under which signals are listed on the custom metrics API.
const SIGNAL_KINDS: [&str; 3] = [
    "inferencepools.inference.networking.k8s.io",
    "inferencepools.inference.networking.x-k8s.io",
    "services",
];

impl Signals for ConfiguredSignals {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .signals
            .iter()
            .map(|(spec, _)| spec.name.clone())
            .collect();
        for (spec, _) in self
            .signals
            .iter()
            .filter(|(spec, _)| !spec.for_each.is_empty())
        {
            names.extend(for_each::names(spec, &self.reader));
        }
        names.extend(rules::metrics(&self.rules, &self.reader));
        names.sort();
        names.dedup();
        names
    }

    fn read(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Reading> {
        let judged = self.judge(name, namespace, selector, now)?;
        let asker = || askers::external(name, namespace, selector);
        self.note_judged(&judged, asker, now);
        Some(judged.reading)
    }

    fn read_if_ready(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Reading> {
        let asker = || askers::external(name, namespace, selector);
        let Some((spec, id)) = self.named(name) else {
            let judged = self.read_rule_if_ready(name, namespace, selector, now)?;
            self.note_judged(&judged, asker, now);
            return Some(judged.reading);
        };
        if spec.sanitized {
            return None; // its selector is resolved by what is in the store
        }
        let read = |id, pins: &Pins| self.reader.signal_if_ready(id, now, pins);
        let all = Selector::default();
        let wanted = match spec.passes_over(selector) {
            true => &all,
            false => selector,
        };
        let judged = judge_signal((spec, *id), namespace, wanted, read)?;
        self.note_judged(&judged, asker, now);
        Some(judged.reading)
    }

    fn read_object(
        &self,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Option<Reading> {
        let judged = self.judge_object(question, name, now)?;
        self.note_judged(&judged, || askers::custom(question, name), now);
        Some(judged.reading)
    }

    fn read_object_if_ready(
        &self,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Option<Reading> {
        let found = self.named_for(question);
        let (spec, id) = found.filter(|(spec, _)| !spec.sanitized)?;
        let pinned = self.reader.pinned_if_ready(*id)?;
        let read = |id, pins: &Pins| self.reader.signal_if_ready(id, now, pins);
        let judged = judge_about((question, name), spec, &pinned, |wanted| {
            judge_signal((spec, *id), asked_for(question, name), wanted, read)
        })?;
        if let Reading::Unknown(_) = judged.reading {
            return None; // whether it is there takes a look at the series
        }
        self.note_judged(&judged, || askers::custom(question, name), now);
        Some(judged.reading)
    }

    fn read_objects(
        &self,
        question: &ObjectQuestion<'_>,
        names: Option<&[String]>,
        now: Timestamp,
    ) -> Option<Result<ObjectList, NoNumbers>> {
        let Some((spec, id)) = self.named_for(question) else {
            let (asked, list) = self.objects.read_many(question, names, now)?;
            let told = told_of_many(&list, question.kind.label());
            self.askers
                .note(askers::custom(question, "*"), asked, told, now);
            return Some(list);
        };
        let (namespace, label) = (question.namespace, question.kind.label());
        let of_namespaces = question.kind.is_namespace();
        if !of_namespaces && !spec.allows(namespace) {
            return Some(Err(NoNumbers::Forbidden));
        }
        let selector = match self.meant(spec, question.selector) {
            Ok(selector) => selector,
            Err(why) => return Some(Err(NoNumbers::Unknown(why))),
        };
        let question = &ObjectQuestion {
            selector: &selector,
            ..*question
        };
        let asked = not_there::Question {
            query: &spec.expr,
            namespace_label: NAMESPACE,
            label,
            names,
            asked: question,
            holds_conditions: false,
        };
        let selected = |mut list: ObjectList| {
            list.told
                .retain(|(name, _)| !of_namespaces || spec.allows(name));
            let elements = list.told.iter().map(|(_, element)| element.clone());
            let mut elements: Vec<Element> = elements.collect();
            let selector = question.selector;
            match NoneFits::or_keep(selector, &mut elements) {
                Err(none) if !list.told.is_empty() => Err(NoNumbers::NoneFits(none)),
                _ => {
                    list.told.retain(|(_, one)| selector.matches(&one.labels));
                    Ok(list)
                }
            }
        };
        let (of_query, list) = self.objects.ask_many(&asked, &spec.policy, now);
        let list = list.and_then(selected);
        let told = told_of_many(&list, label);
        self.askers
            .note(askers::custom(question, "*"), of_query, told.clone(), now);
        self.note_read(*id, now, format!("namespace {namespace}: {told}"));
        Some(list)
    }

    fn object_metrics(&self, kinds: &Kinds) -> Vec<ObjectMetric> {
        let mut listed = self.objects.list(kinds);
        // Signals may be about any kind whose label their elements have; these are the usual ones.
        let of_signals = SIGNAL_KINDS.iter().filter_map(|path| kinds.of_path(path));
        for kind in of_signals {
            for (spec, _) in self.signals.iter().filter(|(spec, _)| !spec.from_rules) {
                listed.insert(ObjectMetric {
                    resource: kind.path(),
                    name: spec.name.clone(),
                    namespaced: true,
                });
            }
        }
        listed.into_iter().collect()
    }

    fn usage(
        &self,
        of: UsageOf<'_>,
        names: &[String],
        now: Timestamp,
    ) -> Option<Result<UsageList, String>> {
        self.usage.read(of, names, now)
    }

    fn history(
        &self,
        name: &str,
        range: (Timestamp, Timestamp),
        step_ms: i64,
        within: &EvalOptions<'_>,
    ) -> Option<Result<Answer, QueryError>> {
        let (_, id) = self.named(name)?;
        self.reader.signal_range(*id, range, step_ms, within)
    }

    fn guarded(
        &self,
        query: &str,
        (now, address): (Timestamp, Option<ClientAddress>),
        within: &EvalOptions<'_>,
    ) -> Result<Reading, QueryError> {
        let asked = ask(&self.asked, &self.reader, query, (now, address), within)?;
        Ok(asked.1)
    }

    fn guarded_if_ready(&self, query: &str, now: Timestamp) -> Option<Reading> {
        let id = self.asked.standing(query, now)?;
        let reading = self.reader.signal_if_ready(id, now, &[])?;
        Some(told(reading, &Labels::empty()))
    }

    fn guarded_refused(&self, query: &str, why: &str, now: Timestamp) {
        self.refusals.add(query, why, now);
    }

    fn guarded_answered(&self, query: &str) {
        self.refusals.remove(query);
    }

    fn guarded_refusals(&self, now: Timestamp) -> Vec<GuardedRefusal> {
        self.refusals.list(now)
    }

    fn outlines(&self, now: Timestamp) -> Vec<Outline> {
        describe::outlines(self, now)
    }

    fn describe(&self, only: Option<&str>, now: Timestamp) -> Vec<Description> {
        describe::describe(self, only, now)
    }
}

/// What was told of many objects, in a few words.
fn told_of_many(list: &Result<ObjectList, NoNumbers>, label: &str) -> String {
    match list {
        Ok(list) => format!(
            "{} of {} {label}s",
            list.told.len(),
            list.told.len() + list.missing.len()
        ),
        Err(why) => format!("unknown: {why}"),
    }
}
