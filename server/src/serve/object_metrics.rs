//! Metrics of objects: which there are, and what they say of one object or of many.
//!
//! A metric comes from one of prometheus-adapter's rules, or from a signal of the configuration that is grouped by the label
//! of a kind. One object is read through a query of its own, which is the adapter's. Many are read through one query for all
//! of them, which is evaluated once however many HPAs read it, and each object is judged by its own targets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use stillwell_adapters::host::{
    Element, NoNumbers, ObjectList, ObjectMetric, ObjectQuestion, Reading,
};
use stillwell_adapters::objects::Kinds;
use stillwell_engine::promql::{EvalOptions, QueryError};
use stillwell_engine::signal::{Policy, SignalId};
use stillwell_engine::{Reader, SeriesQuery, Timestamp};
use tokio::time::Instant;
use tracing::info;

use super::adhoc_signals::{AdhocSignals, Entry};
use super::{not_there, objects};
use crate::rules::{
    Objects, Rule, managed_name, metric_name, object_query, series_name, shared_query,
};

/// The list of series that rules are about is looked up again after this long, beside whoever reads; ...
const LIST: Duration = Duration::from_secs(2);
/// ... at once, where what is asked for is not on it, but not sooner after the last time than this ...
const MISSED: Duration = Duration::from_millis(50);
/// ... or than so many times as long as looking it up took, whichever is longer.
const LIST_COSTS: u32 = 20;
/// Objects without a number that are remembered for `/signals`, for each query.
const MISSING_SHOWN_MAX: usize = 100;
/// Objects without a number that a line of the log names.
const MISSING_LOGGED_MAX: usize = 5;

/// What many objects say, and the signal of the query, where there is one.
pub(super) type ManyAsked = (Option<SignalId>, Result<ObjectList, NoNumbers>);

/// What is carried from one configuration to the next.
pub(super) struct Asked {
    signals: AdhocSignals,
    /// By query: the objects of which nothing was told when they were last asked for.
    missing: Mutex<HashMap<SignalId, BTreeMap<String, String>>>,
}

impl Asked {
    pub(super) fn new() -> Arc<Asked> {
        Arc::new(Asked {
            signals: AdhocSignals::about_objects(),
            missing: Mutex::default(),
        })
    }

    /// Keeps a query standing, and what it reads in the store.
    pub(super) fn keep(
        &self,
        reader: &Reader,
        query: &str,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), QueryError> {
        self.signals
            .signal_with(reader, query, policy, now)
            .map(drop)
    }

    /// Ends those that nobody asks about any more.
    pub(super) fn expire(&self, reader: &Reader, now: Timestamp) {
        self.signals.expire(reader, now);
    }

    /// Queries that stand, each with the objects that it told nothing of.
    pub(super) fn entries(&self) -> Vec<(Entry, Vec<(String, String)>)> {
        let mut missing = self.missing.lock();
        let entries = self.signals.entries();
        missing.retain(|id, _| entries.iter().any(|entry| entry.id == *id));
        let of = |entry: Entry| {
            let without = missing.get(&entry.id).into_iter().flatten();
            let without = without.map(|(name, why)| (name.clone(), why.clone()));
            (entry, without.collect())
        };
        entries.into_iter().map(of).collect()
    }
}

/// The metrics of objects of one configuration.
pub(super) struct ObjectMetrics {
    reader: Reader,
    asked: Arc<Asked>,
    lists: Arc<Lists>,
}

/// The rules, and what they make of the series there are.
struct Lists {
    rules: Vec<Arc<Rule>>,
    reader: Reader,
    newest: Mutex<Option<List>>,
    /// Somebody looks the series up already.
    at_work: AtomicBool,
}

/// What rules make of the series there are.
struct List {
    made: Arc<Vec<Made>>,
    since: Instant,
    /// How long it took.
    cost: Duration,
}

/// A metric that a rule makes of the series of one name.
struct Made {
    rule: Arc<Rule>,
    metric: String,
    series: String,
    /// The labels that the series have; `None` where there are no series.
    labels: Option<BTreeSet<String>>,
}

/// A metric of objects of a kind, found.
struct Found {
    rule: Arc<Rule>,
    series: String,
    /// The label that names the objects.
    label: String,
    /// The label that holds their namespace; empty where the rule has none.
    namespace_label: String,
}

impl Found {
    fn of(rule: &Arc<Rule>, series: &str, label: String) -> Found {
        Found {
            rule: Arc::clone(rule),
            series: series.to_owned(),
            label,
            namespace_label: rule.resources.namespace_label().unwrap_or_default(),
        }
    }
}

impl ObjectMetrics {
    pub(super) fn new(rules: Vec<Arc<Rule>>, reader: Reader, asked: Arc<Asked>) -> ObjectMetrics {
        ObjectMetrics {
            reader: reader.clone(),
            asked,
            lists: Arc::new(Lists {
                rules,
                reader,
                newest: Mutex::new(None),
                at_work: AtomicBool::new(false),
            }),
        }
    }

    /// What was asked for lately.
    pub(super) fn asked(&self) -> &Arc<Asked> {
        &self.asked
    }

    /// The metrics that rules make, as prometheus-adapter lists them: of each kind that a label of the series names.
    pub(super) fn list(&self, kinds: &Kinds) -> BTreeSet<ObjectMetric> {
        let mut listed = BTreeSet::new();
        for made in self.lists.made(LIST).iter() {
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
    pub(super) fn has_rules(&self) -> bool {
        !self.lists.rules.is_empty()
    }

    /// What a rule's metric says about one object, and the signal of its query; `None` where no rule makes it of this kind.
    pub(super) fn read_one(
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

    /// What a rule's metric says about objects; `None` where no rule makes it of this kind.
    pub(super) fn read_many(
        &self,
        question: &ObjectQuestion<'_>,
        names: Option<&[String]>,
        now: Timestamp,
    ) -> Option<ManyAsked> {
        let found = self.find(question)?;
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
    pub(super) fn ask_many(
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
        self.note_missing(id, question.query, &list);
        match list.told.is_empty().then(missing).flatten() {
            Some(what) => Err(NoNumbers::NotThere(what)),
            None => Ok(list),
        }
    }

    /// Remembers the objects without a number, and logs them where they are others than before.
    fn note_missing(&self, id: SignalId, query: &str, list: &ObjectList) {
        let mut all = self.asked.missing.lock();
        let known = all.entry(id).or_default();
        for (name, _) in &list.told {
            known.remove(name);
        }
        let mut news = Vec::new();
        for (name, why) in &list.missing {
            let is_known = known.contains_key(name);
            if known.get(name) == Some(why) || (!is_known && known.len() >= MISSING_SHOWN_MAX) {
                continue;
            }
            known.insert(name.clone(), why.clone());
            news.push(format!("{name}: {why}"));
        }
        drop(all);
        if news.is_empty() {
            return;
        }
        let more = news.len().saturating_sub(MISSING_LOGGED_MAX);
        news.truncate(MISSING_LOGGED_MAX);
        info!(
            query,
            more,
            "objects without a number are left out of the list that an HPA reads: {}",
            news.join("; ")
        );
    }

    /// The rule that makes the metric of this kind. As in the adapter the last one that does counts; a name in another case
    /// is looked for where there is none in this one.
    fn find(&self, question: &ObjectQuestion<'_>) -> Option<Found> {
        let by_rule = || {
            find_in(&self.lists.known(), question)
                .or_else(|| find_in(&self.lists.made(MISSED), question))
        };
        let by_rule = self.has_rules().then(by_rule).flatten();
        by_rule.or_else(|| {
            let (rule, series) = managed_name(question.metric)?;
            let label = rule.resources.label(question.kind, question.kinds)?;
            Some(Found::of(rule, series, label))
        })
    }
}

/// As [`ObjectMetrics::find`], on a list.
fn find_in(made: &[Made], question: &ObjectQuestion<'_>) -> Option<Found> {
    let found = |exactly: bool| {
        made.iter().rev().find_map(|made| {
            let same = match exactly {
                true => made.metric == question.metric,
                false => made.metric.eq_ignore_ascii_case(question.metric),
            };
            same.then(|| made.found(question)).flatten()
        })
    };
    found(true).or_else(|| found(false))
}

impl Lists {
    /// The list there is. One that is old is looked up again meanwhile: whoever reads does not wait for that.
    fn known(self: &Arc<Lists>) -> Arc<Vec<Made>> {
        let (made, is_old) = match &*self.newest.lock() {
            Some(list) => (Arc::clone(&list.made), list.is_older_than(LIST)),
            None => (Arc::default(), false), // it is looked up as what is missed
        };
        if is_old && !self.at_work.swap(true, Ordering::AcqRel) {
            let lists = Arc::clone(self);
            let look_up = move || {
                lists.look_up();
                lists.at_work.store(false, Ordering::Release);
            };
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(look_up)),
                Err(_) => look_up(), // there is nobody else to do it
            }
        }
        made
    }

    /// The list as of no longer ago than `age`, or than looking it up is worth.
    fn made(&self, age: Duration) -> Arc<Vec<Made>> {
        let known = self.newest.lock();
        if let Some(list) = &*known
            && !list.is_older_than(age)
        {
            return Arc::clone(&list.made);
        }
        drop(known);
        self.look_up()
    }

    fn look_up(&self) -> Arc<Vec<Made>> {
        let since = Instant::now();
        let made = self.rules.iter().flat_map(|rule| self.made_by(rule));
        let made = Arc::new(made.collect());
        *self.newest.lock() = Some(List {
            made: Arc::clone(&made),
            since,
            cost: since.elapsed(),
        });
        made
    }

    fn made_by(&self, rule: &Arc<Rule>) -> Vec<Made> {
        let query = SeriesQuery {
            selectors: std::slice::from_ref(&rule.series),
            ..SeriesQuery::ALL
        };
        let found = self
            .reader
            .label_names_by_metric(query, &EvalOptions::default());
        let series = found.unwrap_or_default(); // nothing stops it, and it draws on no shared memory
        let made = |series: String, labels: Option<BTreeSet<String>>| {
            Some(Made {
                metric: metric_name(rule, &series)?,
                rule: Arc::clone(rule),
                series,
                labels,
            })
        };
        // A rule that names its series has its metric before there are any: that nothing is queued may be known.
        let unseen = series_name(rule).filter(|name| !series.contains_key(*name));
        let unseen = unseen.map(str::to_owned).and_then(|name| made(name, None));
        series
            .into_iter()
            .filter_map(|(name, labels)| made(name, Some(labels)))
            .chain(unseen)
            .collect()
    }
}

impl List {
    fn is_older_than(&self, age: Duration) -> bool {
        self.since.elapsed() >= age.max(self.cost * LIST_COSTS)
    }
}

impl Made {
    /// The metric of this kind, where the series have the label that names it.
    fn found(&self, question: &ObjectQuestion<'_>) -> Option<Found> {
        let resources = &self.rule.resources;
        let label = resources.label(question.kind, question.kinds)?;
        let has = match &self.labels {
            Some(labels) => labels.contains(&label),
            None => resources.names(question.kind, question.kinds),
        };
        has.then(|| Found::of(&self.rule, &self.series, label))
    }
}
