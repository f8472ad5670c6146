//! The metrics that rules make of the series there are, looked up again as series come and go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use stillwell_adapters::host::ObjectQuestion;
use stillwell_engine::promql::EvalOptions;
use stillwell_engine::{Reader, SeriesQuery};
use tokio::time::Instant;

use crate::rules::{Rule, metric_name, series_name};

/// The list of series that rules are about is looked up again after this long, beside whoever reads; ...
const LIST: Duration = Duration::from_secs(2);
/// ... at once, where what is asked for is not on it, but not sooner after the last time than this ...
const MISSED: Duration = Duration::from_millis(50);
/// ... or than so many times as long as looking it up took, whichever is longer.
const LIST_COSTS: u32 = 20;

/// The rules, and what they make of the series there are.
pub(super) struct Lists {
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
pub(super) struct Made {
    pub(super) rule: Arc<Rule>,
    pub(super) metric: String,
    series: String,
    /// The labels that the series have; `None` where there are no series.
    pub(super) labels: Option<BTreeSet<String>>,
}

/// A metric of objects of a kind, found.
pub(super) struct Found {
    pub(super) rule: Arc<Rule>,
    pub(super) series: String,
    /// The label that names the objects.
    pub(super) label: String,
    /// The label that holds their namespace; empty where the rule has none.
    pub(super) namespace_label: String,
}

impl Found {
    pub(super) fn of(rule: &Arc<Rule>, series: &str, label: String) -> Found {
        Found {
            rule: Arc::clone(rule),
            series: series.to_owned(),
            label,
            namespace_label: rule.resources.namespace_label().unwrap_or_default(),
        }
    }
}

impl Lists {
    pub(super) fn new(rules: Vec<Arc<Rule>>, reader: Reader) -> Lists {
        Lists {
            rules,
            reader,
            newest: Mutex::new(None),
            at_work: AtomicBool::new(false),
        }
    }

    /// Whether there is any rule.
    pub(super) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Every metric that the rules make.
    pub(super) fn all(&self) -> Arc<Vec<Made>> {
        self.made(LIST)
    }

    /// The metric that is asked for. As in the adapter the last rule that makes it counts; a name in another case is looked
    /// for where there is none in this one.
    pub(super) fn find(self: &Arc<Lists>, question: &ObjectQuestion<'_>) -> Option<Found> {
        if !self.has_rules() {
            return None;
        }
        find_in(&self.known(), question).or_else(|| find_in(&self.made(MISSED), question))
    }

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

/// As [`Lists::find`], on one list.
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
