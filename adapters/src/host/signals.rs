//! Signals: what scalers are told of them and what people are shown.

use std::fmt;

use stillwell_engine::Timestamp;
use stillwell_engine::promql::{Answer, EvalOptions, QueryError};

use super::objects::{NoNumbers, ObjectList, ObjectMetric, ObjectQuestion, UsageList, UsageOf};
use super::reading::Reading;
use crate::client::ClientAddress;
use crate::objects::{Kinds, Selector};

/// Signals, by name.
pub trait Signals: Send + Sync {
    /// The configured names, sorted.
    fn names(&self) -> Vec<String>;

    /// The signal of this name, in any case, for a caller who selects elements by their labels; `None` where none is
    /// configured. May evaluate: call it on the pool.
    fn read(
        &self,
        name: &str,
        namespace: &str,
        selector: &Selector,
        now: Timestamp,
    ) -> Option<Reading>;

    /// The same, where it takes neither a wait nor an evaluation: may be called on any thread. `None` says nothing about the
    /// signal; [`Signals::read`] does.
    fn read_if_ready(
        &self,
        _name: &str,
        _namespace: &str,
        _selector: &Selector,
        _now: Timestamp,
    ) -> Option<Reading> {
        None
    }

    /// What a metric says about the object of this name; `None` where there is no such metric of its kind. May evaluate.
    fn read_object(
        &self,
        _question: &ObjectQuestion<'_>,
        _name: &str,
        _now: Timestamp,
    ) -> Option<Reading> {
        None
    }

    /// The same under the conditions of [`Signals::read_if_ready`].
    fn read_object_if_ready(
        &self,
        _question: &ObjectQuestion<'_>,
        _name: &str,
        _now: Timestamp,
    ) -> Option<Reading> {
        None
    }

    /// What a metric says about the objects of these names, or about all that it knows. Error inside: nothing can be said of
    /// any. May evaluate.
    fn read_objects(
        &self,
        _question: &ObjectQuestion<'_>,
        _names: Option<&[String]>,
        _now: Timestamp,
    ) -> Option<Result<ObjectList, NoNumbers>> {
        None
    }

    /// The metrics of objects, as they are listed.
    fn object_metrics(&self, _kinds: &Kinds) -> Vec<ObjectMetric> {
        Vec::new()
    }

    /// What a query says that is asked at a time from an address, judged like a signal. It stays judged for some minutes after
    /// the last call, unless this address asks for many.
    fn guarded(
        &self,
        query: &str,
        asked: (Timestamp, Option<ClientAddress>),
        within: &EvalOptions<'_>,
    ) -> Result<Reading, QueryError>;

    /// The same under the conditions of [`Signals::read_if_ready`]: of a query that stands already.
    fn guarded_if_ready(&self, _query: &str, _now: Timestamp) -> Option<Reading> {
        None
    }

    /// CPU and memory of the objects of these names. `None`: no rules give them. Error inside: nothing can be said of any.
    /// May evaluate.
    fn usage(
        &self,
        _of: UsageOf<'_>,
        _names: &[String],
        _now: Timestamp,
    ) -> Option<Result<UsageList, String>> {
        None
    }

    /// The values of a signal's query over time, not judged; `None` where there is no such signal. May evaluate.
    fn history(
        &self,
        _name: &str,
        _range: (Timestamp, Timestamp),
        _step_ms: i64,
        _within: &EvalOptions<'_>,
    ) -> Option<Result<Answer, QueryError>> {
        None
    }

    /// `/guarded` refused a query; people will ask why.
    fn guarded_refused(&self, _query: &str, _why: &str, _now: Timestamp) {}

    /// `/guarded` has answered a query; what was wrong with it was put right.
    fn guarded_answered(&self, _query: &str) {}

    /// What `/guarded` refused lately.
    fn guarded_refusals(&self, _now: Timestamp) -> Vec<GuardedRefusal> {
        Vec::new()
    }

    /// Every signal in one line, for lists.
    fn outlines(&self, _now: Timestamp) -> Vec<Outline> {
        Vec::new()
    }

    /// Everything about every signal, for people; `only` picks by name: a signal, everybody who asked lately for a metric of a
    /// rule, or a query that `/guarded` is asked. Cost: a thousand signals over five hundred
    /// targets are 500,000 states of targets; [`Signals::outlines`] has none.
    fn describe(&self, only: Option<&str>, now: Timestamp) -> Vec<Description>;
}

/// Who asks for a metric whose query depends on who asks, in the order in which they are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asker {
    /// The metric, as it was asked for.
    pub metric: String,
    /// `external` or `custom`.
    pub api: &'static str,
    /// Empty for objects that are in none.
    pub namespace: String,
    /// Of which objects, as `pods/*` or `services/web`; empty for external metrics.
    pub object: String,
    /// What is selected by labels of the metric; empty where nothing is.
    pub selector: String,
}

impl Asker {
    /// A metric, and who asks.
    pub fn place(&self) -> String {
        let parts = [&self.namespace, &self.object, &self.selector];
        let parts: Vec<&str> = parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(String::as_str)
            .collect();
        parts.join(", ")
    }
}

/// `lag (default, name=a)`.
impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.metric, self.place())
    }
}

/// A query that `/guarded` refused: KEDA tells its user the code of the answer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardedRefusal {
    /// As it was asked.
    pub query: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// When it last was.
    pub last: Timestamp,
}

/// A signal in one line.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Its name; for a query that somebody asks about, the metric that was asked for, or the query where it has no name.
    pub name: String,
    /// Who asks, where its query depends on that.
    pub asker: Option<Asker>,
    /// What it says.
    pub reading: stillwell_engine::signal::Reading,
    /// Its query, its kind and its warnings.
    pub about: stillwell_engine::signal::Outline,
    /// When it was last read, and what was told.
    pub last_read: Option<(Timestamp, String)>,
    /// As in [`Description`].
    pub missing: Vec<(String, String)>,
}

/// A signal for people.
#[derive(Clone, Debug)]
pub struct Description {
    /// As in [`Outline`].
    pub name: String,
    /// As in [`Outline`].
    pub asker: Option<Asker>,
    /// What it says.
    pub reading: stillwell_engine::signal::Reading,
    /// What it is made of.
    pub explanation: stillwell_engine::signal::Explanation,
    /// What it said before, oldest first.
    pub transitions: Vec<stillwell_engine::signal::Transition>,
    /// When it was last read, and what was told.
    pub last_read: Option<(Timestamp, String)>,
    /// Objects of which nothing was told when they were last asked for, and why; at most some of them.
    pub missing: Vec<(String, String)>,
}
