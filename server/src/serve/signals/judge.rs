//! What a metric says to one caller: which signal or rule it is, the labels that the caller pins, and what of the reading is
//! told.

use stillwell_adapters::ClientAddress;
use stillwell_adapters::host::{Asker, ObjectQuestion, Reading};
use stillwell_adapters::multi::Several;
use stillwell_adapters::objects::Selector;
use stillwell_engine::labels::Labels;
use stillwell_engine::nearest::seen_instead;
use stillwell_engine::promql::{EvalOptions, QueryError};
use stillwell_engine::signal::{SignalId, State};
use stillwell_engine::{Reader, Timestamp};

use super::ConfiguredSignals;
use crate::config::SignalSpec;
use crate::serve::adhoc_signals::AdhocSignals;
use crate::serve::objects::{self, told};
use crate::serve::{for_each, not_there, rules};

/// The label by which elements of signals say in which namespace their object is.
pub(super) const NAMESPACE: &str = "namespace";

impl ConfiguredSignals {
    /// What the metric of this name says to a caller. Nobody counts as having read it.
    pub(super) fn judge(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Judged> {
        if let Some((spec, id)) = self.named(name) {
            let all = Selector::default();
            let selector = match spec.passes_over(selector) {
                true => &all,
                false => selector,
            };
            return self.judge_configured((spec, *id), namespace, selector, now);
        }
        let of_one = |(spec, id): &(SignalSpec, SignalId)| {
            let values = for_each::find(spec, name, &self.reader)?;
            let pinned = values.map(|values| {
                let pin = |selector: Selector, (label, value): &(String, String)| {
                    selector.and_equal(label, value)
                };
                values.iter().fold(selector.clone(), pin)
            });
            match pinned {
                Ok(selector) => self.judge_configured((spec, *id), namespace, &selector, now),
                Err(why) => Some(Reading::Unknown(why).into()),
            }
        };
        let of_one = self.signals.iter().find_map(of_one);
        let by_rule = || self.read_rule(name, namespace, selector, now);
        of_one.or_else(by_rule)
    }

    /// The same of a signal of the configuration.
    fn judge_configured(
        &self,
        (spec, id): (&SignalSpec, SignalId),
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Judged> {
        if !spec.allows(namespace) {
            return Some(Reading::Forbidden.into());
        }
        let selector = match self.meant(spec, selector) {
            Ok(selector) => selector,
            Err(why) => return Some(Reading::Unknown(why).into()),
        };
        let read = |id, pins: &Pins| self.reader.signal(id, now, pins);
        judge_signal((spec, id), namespace, &selector, read)
    }

    /// What a metric says of one object. Nobody counts as having read it.
    pub(super) fn judge_object(
        &self,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Option<Judged> {
        let (metric, namespace) = (question.metric, question.namespace);
        if let Some((spec, id)) = self.named_for(question) {
            let pinned = self.reader.pinned(*id);
            let mut judged = judge_about((question, name), spec, &pinned, |wanted| {
                self.judge_configured((spec, *id), asked_for(question, name), wanted, now)
            })?;
            if let Reading::Unknown(_) = &judged.reading {
                let names = [name.to_owned()];
                let asked = not_there::Question {
                    query: &spec.expr,
                    namespace_label: "",
                    label: question.kind.label(),
                    names: Some(&names),
                    asked: question,
                    holds_conditions: false,
                };
                let missing = not_there::what(&self.reader, *id, &asked, now);
                judged.reading = missing.map_or(judged.reading, Reading::NotThere);
            }
            return Some(judged);
        }
        if let Some((asked, reading)) = self.objects.read_one(question, name, now) {
            return Some(Judged::by_rule(asked, reading));
        }
        if self.objects.has_rules() {
            return None; // nor does an external rule answer that depends on who asks
        }
        let object = (question.kind.label(), name);
        let of_object = question.selector.clone().and_equal(object.0, object.1);
        let asked = self.ask_rule(metric, namespace, &of_object, now)?;
        Some(match asked {
            Ok((id, reading)) => {
                let here = (NAMESPACE, namespace);
                let reading = objects::about(reading, &self.reader.pinned(id), object, here);
                Judged::by_rule(Some(id), reading)
            }
            Err(error) => Judged::by_rule(None, Reading::Unknown(error.to_string())),
        })
    }

    /// Remembers what was told, of a rule's metric with who asked.
    pub(super) fn note_judged(
        &self,
        judged: &Judged,
        asker: impl FnOnce() -> Asker,
        now: Timestamp,
    ) {
        let told = || summary(&judged.reading);
        match judged.by {
            By::Signal(id) => {
                let namespace = asker().namespace;
                self.note_read(id, now, format!("namespace {namespace}: {}", told()));
            }
            By::Rule(id) => self.askers.note(asker(), id, told(), now),
            By::Nothing => {}
        }
    }

    /// The state in which a caller of the external metrics API gets the metric of this name; `None` where there is none.
    pub(in super::super) fn state(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<State> {
        Some(self.judge(name, namespace, selector, now)?.state())
    }

    /// The state in which a caller of the custom metrics API gets a metric of one object; `None` where there is none.
    pub(in super::super) fn object_state(
        &self,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Option<State> {
        Some(self.judge_object(question, name, now)?.state())
    }

    /// The state of a query that somebody asks about through `/guarded`; `None` where nobody does.
    pub(in super::super) fn guarded_state(&self, query: &str, now: Timestamp) -> Option<State> {
        let mut refusals = self.refusals.list(now).into_iter();
        if let Some(refused) = refusals.find(|one| one.query == query) {
            let why = refused.reason;
            return Some(State::Unknown { why });
        }
        let entries = self.asked.entries();
        let entry = entries.iter().find(|entry| entry.query == query)?;
        Some(self.reader.signal(entry.id, now, &[])?.state)
    }

    /// A metric of a rule. Its query holds the caller's selector, so what it gives is what was selected.
    fn read_rule(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Judged> {
        let asked = self.ask_rule(name, namespace, selector, now)?;
        Some(match asked {
            Ok((id, reading)) => Judged::by_rule(Some(id), reading),
            Err(error) => Judged::by_rule(None, Reading::Unknown(error.to_string())),
        })
    }

    /// The same where it takes neither a wait nor an evaluation: of a rule of a named series that was asked for before.
    pub(super) fn read_rule_if_ready(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Judged> {
        if self
            .signals
            .iter()
            .any(|(spec, _)| !spec.for_each.is_empty())
        {
            return None; // it may be a signal's, by a value in the store
        }
        let query = rules::query_if_known(&self.rules, name, namespace, selector)?;
        let id = self.asked_by_rules.standing(&query, now)?;
        let reading = self.reader.signal_if_ready(id, now, &[])?;
        Some(Judged::by_rule(Some(id), told(reading, &Labels::empty())))
    }

    fn ask_rule(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Result<(SignalId, Reading), QueryError>> {
        let query = rules::query_for(&self.rules, &self.reader, name, namespace, selector)?;
        let within = EvalOptions::default();
        let ask = |query: String| {
            let asked = &self.asked_by_rules;
            ask(asked, &self.reader, &query, (now, None), &within)
        };
        Some(query.and_then(ask))
    }
}

/// Labels with the values that a caller pins.
pub(super) type Pins = [(String, String)];

/// What a signal says to a caller, by a reading that `read` takes for these pins. `None` where it takes none.
pub(super) fn judge_signal(
    (spec, id): (&SignalSpec, SignalId),
    namespace: &str,
    selector: &Selector,
    read: impl FnOnce(SignalId, &Pins) -> Option<stillwell_engine::signal::Reading>,
) -> Option<Judged> {
    if !spec.allows(namespace) {
        return Some(Reading::Forbidden.into());
    }
    // Labels that the configuration adds are no labels of the query.
    let mut pins = selector.pins();
    pins.retain(|(label, _)| spec.labels.get(label).is_none());
    let reading = read(id, &pins)?;
    let configured = match &reading.state {
        State::Configured { why } => Some(why.clone()),
        _ => None,
    };
    Some(Judged {
        reading: told(reading, &spec.labels).select(selector),
        by: By::Signal(id),
        configured,
    })
}

/// The namespace that a question about an object is for: that of a Namespace is its name.
pub(super) fn asked_for<'q>(question: &ObjectQuestion<'q>, name: &'q str) -> &'q str {
    match question.kind.is_namespace() {
        true => name,
        false => question.namespace,
    }
}

/// What a signal says of the object of this name, where `judge` tells what it says to a caller of this selector.
pub(super) fn judge_about(
    (question, name): (&ObjectQuestion<'_>, &str),
    spec: &SignalSpec,
    pinned: &Pins,
    judge: impl FnOnce(&Selector) -> Option<Judged>,
) -> Option<Judged> {
    let object = (question.kind.label(), name);
    let unlabelled = spec.labels.get(object.0).is_none() && objects::is_pinned(pinned, object);
    let judged = match unlabelled {
        true => judge(question.selector)?,
        false => judge(&question.selector.clone().after_equal(object.0, object.1))?,
    };
    let here = (NAMESPACE, question.namespace);
    let mut reading = objects::about(judged.reading, pinned, object, here);
    if let Reading::NoneFits(none) = &mut reading
        && none.label == object.0
        && none.seen.is_empty()
    {
        let of_query = pinned.iter().filter(|(label, _)| label == object.0);
        none.seen = seen_instead(Some(name), of_query.map(|(_, value)| value.as_str()));
    }
    Some(Judged { reading, ..judged })
}

pub(super) fn ask(
    asked: &AdhocSignals,
    reader: &Reader,
    query: &str,
    (now, address): (Timestamp, Option<ClientAddress>),
    within: &EvalOptions<'_>,
) -> Result<(SignalId, Reading), QueryError> {
    let id = asked.signal(reader, query, (now, address))?;
    let reading = reader.signal_within(id, now, &[], within)?;
    let gone = || QueryError::Internal("the query's signal is gone".to_owned());
    Ok((id, told(reading.ok_or_else(gone)?, &Labels::empty())))
}

/// Of `/guarded` one number is asked for: several are none.
pub(super) fn refuse_several(reading: &mut stillwell_engine::signal::Reading) {
    if reading.elements.len() > 1 {
        let several = Several {
            labels: reading.elements.iter().map(|one| &one.labels).collect(),
            remedy: stillwell_adapters::prometheus::REMEDY,
        };
        let why = several.to_string();
        *reading = stillwell_engine::signal::Reading {
            state: State::Unknown { why },
            elements: Vec::new(),
        };
    }
}

/// What a metric says to one caller.
pub(super) struct Judged {
    pub(super) reading: Reading,
    by: By,
    /// Why it is told with a number that was not measured, where it is.
    configured: Option<String>,
}

/// By what it is said.
#[derive(Clone, Copy)]
enum By {
    /// A signal of the configuration.
    Signal(SignalId),
    /// The query that a rule makes for whoever asks; `None` where it makes none.
    Rule(Option<SignalId>),
    /// Nothing could be asked.
    Nothing,
}

impl From<Reading> for Judged {
    fn from(reading: Reading) -> Judged {
        Judged {
            reading,
            by: By::Nothing,
            configured: None,
        }
    }
}

impl Judged {
    fn by_rule(asked: Option<SignalId>, reading: Reading) -> Judged {
        Judged {
            reading,
            by: By::Rule(asked),
            configured: None,
        }
    }

    fn state(self) -> State {
        let unknown = |why: String| State::Unknown { why };
        match self.reading {
            Reading::Value(_) => State::Value,
            Reading::Held { age_ms, why, .. } => match self.configured {
                Some(why) => State::Configured { why },
                None => State::Held { age_ms, why },
            },
            Reading::Unknown(why) | Reading::NotThere(why) => unknown(why),
            Reading::NoneFits(none) => unknown(none.to_string()),
            Reading::Forbidden => {
                unknown("it is not for this namespace (signals[].namespaces)".to_owned())
            }
        }
    }
}

/// A reading in a few words.
fn summary(reading: &Reading) -> String {
    match reading {
        Reading::Forbidden => "forbidden".to_owned(),
        Reading::NoneFits(none) => none.to_string(),
        Reading::Unknown(why) => format!("unknown: {why}"),
        Reading::NotThere(why) => format!("not there: {why}"),
        Reading::Value(elements) | Reading::Held { elements, .. } => {
            let values: Vec<String> = elements
                .iter()
                .take(3)
                .map(|e| e.value.to_string())
                .collect();
            let more = if elements.len() > 3 { ", ..." } else { "" };
            format!("{}{more}", values.join(", "))
        }
    }
}
