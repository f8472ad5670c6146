//! What is said of one object, and of many.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use stillwell_adapters::host::{
    Element, NoNumbers, ObjectList, ObjectMetric, ObjectQuestion, Reading,
};
use stillwell_adapters::objects::{Kinds, Selector};
use stillwell_engine::signal::{Policy, SignalId};
use stillwell_engine::{Reader, Timestamp};

use super::asked::Asked;
use super::lists::{Found, Lists};
use crate::rules::{Objects, Rule, managed_name, object_query, shared_query};
use crate::serve::{not_there, objects, sanitized};

/// What many objects say, and the signal of the query, where there is one.
pub(in crate::serve) type ManyAsked = (Option<SignalId>, Result<ObjectList, NoNumbers>);

/// The metrics of objects of one configuration.
pub(in crate::serve) struct ObjectMetrics {
    reader: Reader,
    asked: Arc<Asked>,
    lists: Arc<Lists>,
}

impl ObjectMetrics {
    pub(in crate::serve) fn new(
        rules: Vec<Arc<Rule>>,
        reader: Reader,
        asked: Arc<Asked>,
    ) -> ObjectMetrics {
        ObjectMetrics {
            reader: reader.clone(),
            asked,
            lists: Arc::new(Lists::new(rules, reader)),
        }
    }

    /// What was asked for lately.
    pub(in crate::serve) fn asked(&self) -> &Arc<Asked> {
        &self.asked
    }

    /// The metrics that rules make, as prometheus-adapter lists them: of each kind that a label of the series names.
    pub(in crate::serve) fn list(&self, kinds: &Kinds) -> BTreeSet<ObjectMetric> {
        let mut listed = BTreeSet::new();
        for made in self.lists.all().iter() {
            let Some(labels) = &made.labels else {
                continue;
            };
            for kind in kinds.iter() {
                let label = made.rule.resources.label(kind, kinds);
                if label.is_some_and(|label| labels.contains(&label)) {
                    listed.insert(ObjectMetric {
                        resource: kind.path(),
                        name: made.metric.clone(),
                        namespaced: kind.is_listed_as_namespaced(),
                    });
                }
            }
        }
        listed
    }

    /// Whether there is any rule.
    pub(in crate::serve) fn has_rules(&self) -> bool {
        self.lists.has_rules()
    }

    /// What a rule's metric says about one object, and the signal of its query; `None` where no rule makes it of this kind.
    pub(in crate::serve) fn read_one(
        &self,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Option<(Option<SignalId>, Reading)> {
        let found = self.find(question)?;
        let asked = self.ask_one(&found, question, name, now);
        Some(match asked {
            Ok((id, reading)) => (Some(id), reading),
            Err(why) => (None, Reading::Unknown(why)),
        })
    }

    fn ask_one(
        &self,
        found: &Found,
        question: &ObjectQuestion<'_>,
        name: &str,
        now: Timestamp,
    ) -> Result<(SignalId, Reading), String> {
        let selector = self.meant(found, question)?;
        let question = &ObjectQuestion {
            selector: &selector,
            ..*question
        };
        let (label, namespace) = (found.label.as_str(), question.namespace);
        let object = (label, Objects::One(name));
        let query = object_query(
            &found.rule,
            &found.series,
            namespace,
            object,
            question.selector,
        );
        let query = query.map_err(|error| error.to_string())?;
        let id = self.asked.signals.signal(&self.reader, &query, (now, None));
        let id = id.map_err(|error| error.to_string())?;
        let pins = [(label.to_owned(), name.to_owned())];
        let gone = || "the query's signal is gone".to_owned();
        let reading = self.reader.signal(id, now, &pins).ok_or_else(gone)?;
        let reading = objects::told(reading, &Default::default());
        if let Reading::Unknown(_) = &reading {
            let names = [name.to_owned()];
            let asked = not_there::Question {
                query: &query,
                namespace_label: &found.namespace_label,
                label,
                names: Some(&names),
                asked: question,
                holds_conditions: true,
            };
            let missing = not_there::what(&self.reader, id, &asked, now);
            return Ok((id, missing.map_or(reading, Reading::NotThere)));
        }
        let reading = objects::about(
            reading,
            &self.reader.pinned(id),
            (label, name),
            (&found.namespace_label, namespace),
        );
        Ok((id, reading))
    }

    /// What a selector means to a rule that may read values sanitised.
    fn meant<'q>(
        &self,
        found: &Found,
        question: &ObjectQuestion<'q>,
    ) -> Result<Cow<'q, Selector>, String> {
        if !found.rule.sanitized {
            return Ok(Cow::Borrowed(question.selector));
        }
        let series = std::slice::from_ref(&found.rule.series);
        sanitized::resolve(question.selector, series, &self.reader).map(Cow::Owned)
    }

    /// What a rule's metric says about objects; `None` where no rule makes it of this kind.
    pub(in crate::serve) fn read_many(
        &self,
        question: &ObjectQuestion<'_>,
        names: Option<&[String]>,
        now: Timestamp,
    ) -> Option<ManyAsked> {
        let found = self.find(question)?;
        let selector = match self.meant(&found, question) {
            Ok(selector) => selector,
            Err(why) => return Some((None, Err(NoNumbers::Unknown(why)))),
        };
        let question = &ObjectQuestion {
            selector: &selector,
            ..*question
        };
        let label = &found.label;
        let (rule, series, namespace) = (&found.rule, &found.series, question.namespace);
        let query = shared_query(rule, series, namespace, label, question.selector).map_or_else(
            || {
                let names = names.ok_or_else(|| {
                    format!(
                        "the metricsQuery of the rule on line {} needs the names of the {}, and there is no API server \
                         to ask for them",
                        rule.line, question.kind.resource
                    )
                })?;
                let objects = (label.as_str(), Objects::Named(names));
                object_query(rule, series, namespace, objects, question.selector)
                    .map_err(|error| error.to_string())
            },
            Ok,
        );
        let query = match query {
            Ok(query) => query,
            Err(why) => return Some((None, Err(NoNumbers::Unknown(why)))),
        };
        let asked = not_there::Question {
            query: &query,
            namespace_label: &found.namespace_label,
            label,
            names,
            asked: question,
            holds_conditions: true,
        };
        Some(self.ask_many(&asked, &Policy::default(), now))
    }

    /// What a query says about the objects that a label names, each judged by its own targets. Error: of none is there a number.
    pub(in crate::serve) fn ask_many(
        &self,
        question: &not_there::Question<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> ManyAsked {
        let policy = Policy {
            object_label: Some(question.label.to_owned()),
            // Of thousands of pods each has a page: an evaluation for each page would cost more than one for each read.
            when_read: true,
            ..policy.clone()
        };
        let asked = &self.asked.signals;
        match asked.signal_with(&self.reader, question.query, &policy, now) {
            Ok(id) => (Some(id), self.many_of(id, question, now)),
            Err(error) => (None, Err(NoNumbers::Unknown(error.to_string()))),
        }
    }

    fn many_of(
        &self,
        id: SignalId,
        question: &not_there::Question<'_>,
        now: Timestamp,
    ) -> Result<ObjectList, NoNumbers> {
        let unknown = |why: String| NoNumbers::Unknown(why);
        let gone = || unknown("the query's signal is gone".to_owned());
        let missing = || not_there::what(&self.reader, id, question, now);
        let read = self
            .reader
            .objects(id, now, &question.pins(), question.names);
        let read = read
            .ok_or_else(gone)?
            .map_err(|why| missing().map_or(NoNumbers::Unknown(why), NoNumbers::NotThere))?;
        let mut list = ObjectList::default();
        for object in read {
            match object.outcome {
                Ok(value) => {
                    let element = Element {
                        labels: value.element.labels,
                        value: value.element.value,
                        at: value.element.time,
                    };
                    list.told.push((object.name, element));
                }
                Err(why) => list.missing.push((object.name, why)),
            }
        }
        self.asked.note_missing(id, question.query, &list);
        match list.told.is_empty().then(missing).flatten() {
            Some(what) => Err(NoNumbers::NotThere(what)),
            None => Ok(list),
        }
    }

    /// The rule that makes the metric of this kind, or the one of our own that its name says.
    fn find(&self, question: &ObjectQuestion<'_>) -> Option<Found> {
        self.lists.find(question).or_else(|| {
            let (rule, series) = managed_name(question.metric)?;
            let label = rule.resources.label(question.kind, question.kinds)?;
            Some(Found::of(rule, series, label))
        })
    }
}
