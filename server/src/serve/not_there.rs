//! Whether what a caller asks for is not there, as a mistyped name is not, which is another answer than that nothing is known of it
//! (S9b).
//!
//! It is not there where no series has it and every target that could has answered. The conditions of the question are put
//! one after another, so that the first one that no series fits is named, with what there is instead. Called where there is no
//! number to tell, on the pool: it looks at the labels of the series that the query reads.

use stillwell_adapters::host::ObjectQuestion;
use stillwell_adapters::objects::Requirement;
use stillwell_engine::labels::{METRIC_NAME, Matcher};
use stillwell_engine::nearest::seen_instead;
use stillwell_engine::promql::{EvalOptions, Features, Query};
use stillwell_engine::signal::SignalId;
use stillwell_engine::{Reader, SeriesQuery, Timestamp};

/// A series without a sample for this long is gone: what Prometheus looks back.
const GONE_MS: i64 = 5 * 60_000;
/// Names that are asked about one by one whether a target of theirs has not answered.
const NAMES_MAX: usize = 20;
/// Names that an error lists.
const LISTED_MAX: usize = 3;

/// A question about objects, and the query that answers it.
#[derive(Clone, Copy)]
pub(super) struct Question<'q> {
    pub(super) query: &'q str,
    /// The label that holds the namespace; empty where the question has none.
    pub(super) namespace_label: &'q str,
    /// The label that names the objects.
    pub(super) label: &'q str,
    /// Which of them; `None` is all.
    pub(super) names: Option<&'q [String]>,
    pub(super) asked: &'q ObjectQuestion<'q>,
    /// Whether the query itself holds the conditions of the question, as those of rules do.
    pub(super) holds_conditions: bool,
}

/// One condition of a question.
enum Condition<'q> {
    Namespace(&'q str, &'q str),
    Objects(&'q str, &'q [String]),
    Selected(&'q Requirement),
}

/// What is not there, and what is; `None` where it may be there.
pub(super) fn what(
    reader: &Reader,
    id: SignalId,
    question: &Question<'_>,
    now: Timestamp,
) -> Option<String> {
    let conditions = question.conditions();
    if conditions.is_empty() || question.is_unanswered(reader, id, now) {
        return None;
    }
    let mut selectors = question.selectors(&conditions)?;
    if values(reader, METRIC_NAME, &selectors, now).is_empty() {
        return None; // there is nothing of the metric at all
    }
    for condition in &conditions {
        let seen = values(reader, condition.label(), &selectors, now);
        if !condition.is_fitted(reader, &selectors, &seen, now) {
            return Some(condition.unmet(&seen));
        }
        if let Some(matcher) = condition.matcher() {
            for selector in &mut selectors {
                selector.push(matcher.clone());
            }
        }
    }
    None
}

impl<'q> Question<'q> {
    fn conditions(&self) -> Vec<Condition<'q>> {
        let mut conditions = Vec::new();
        if !self.namespace_label.is_empty() && !self.asked.namespace.is_empty() {
            let namespace = Condition::Namespace(self.namespace_label, self.asked.namespace);
            conditions.push(namespace);
        }
        let objects = self
            .names
            .map(|names| Condition::Objects(self.label, names));
        conditions.extend(objects);
        let selected = self.asked.selector.requirements().iter();
        conditions.extend(selected.map(Condition::Selected));
        conditions
    }

    /// The labels of which the question fixes one value, but for the objects' own; the namespace alone where the query holds
    /// the others.
    pub(super) fn pins(&self) -> Vec<(String, String)> {
        let mut pins = match self.holds_conditions {
            true => Vec::new(),
            false => self.asked.selector.pins(),
        };
        if !self.namespace_label.is_empty() && !self.asked.namespace.is_empty() {
            let namespace = self.asked.namespace.to_owned();
            pins.push((self.namespace_label.to_owned(), namespace));
        }
        pins
    }

    fn is_unanswered(&self, reader: &Reader, id: SignalId, now: Timestamp) -> bool {
        let pins = self.pins();
        match self.names {
            Some(names) if names.len() <= NAMES_MAX => names.iter().any(|name| {
                let mut pins = pins.clone();
                pins.push((self.label.to_owned(), name.clone()));
                reader.is_unanswered(id, now, &pins)
            }),
            _ => reader.is_unanswered(id, now, &pins),
        }
    }

    /// What the query selects of itself.
    fn selectors(&self, conditions: &[Condition<'_>]) -> Option<Vec<Vec<Matcher>>> {
        let query = Query::parse(self.query, &Features::all()).ok()?;
        let is_own = |matcher: &&Matcher| {
            let mut others = conditions.iter();
            let is_condition = others.any(|condition| condition.label() == matcher.name());
            let names_objects =
                matcher.name() == self.label || matcher.name() == self.namespace_label;
            !self.holds_conditions || !(is_condition || names_objects)
        };
        let selectors = query.selectors();
        let own = |matchers: &[Matcher]| matchers.iter().filter(is_own).cloned().collect();
        Some(selectors.map(|used| own(used.matchers)).collect())
    }
}

impl Condition<'_> {
    fn label(&self) -> &str {
        match self {
            Condition::Namespace(label, _) | Condition::Objects(label, _) => label,
            Condition::Selected(requirement) => requirement.label(),
        }
    }

    /// What it says of series; `None` where one matcher does not say it.
    fn matcher(&self) -> Option<Matcher> {
        match self {
            Condition::Namespace(label, value) => Some(Matcher::equal(label, value)),
            Condition::Objects(label, [name]) => Some(Matcher::equal(label, name)),
            Condition::Objects(..) => None,
            Condition::Selected(requirement) => {
                let wanted = requirement.wanted()?;
                Some(Matcher::equal(requirement.label(), wanted))
            }
        }
    }

    /// Whether some series fits, of which the label has these values.
    fn is_fitted(
        &self,
        reader: &Reader,
        selectors: &[Vec<Matcher>],
        seen: &[String],
        now: Timestamp,
    ) -> bool {
        match self {
            Condition::Namespace(_, wanted) => seen.iter().any(|value| value == wanted),
            Condition::Objects(_, names) => seen.iter().any(|value| names.contains(value)),
            Condition::Selected(requirement) => {
                let fits = |value: Option<&str>| requirement.matches(|_| value);
                // Series without the label may be what is selected.
                seen.iter().any(|value| fits(Some(value)))
                    || (fits(None) && lacks(reader, requirement.label(), selectors, now))
            }
        }
    }

    fn unmet(&self, seen: &[String]) -> String {
        let values = seen.iter().map(String::as_str);
        let answered = "and every target that could has answered";
        match self {
            Condition::Namespace(label, wanted) => {
                let seen = seen_instead(Some(wanted), values);
                format!("no series of it has {label}={wanted:?}, {answered}{seen}")
            }
            Condition::Objects(label, names) => {
                let wanted = names.first().filter(|_| names.len() == 1);
                let listed = names.iter().take(LISTED_MAX);
                let listed: Vec<String> = listed.map(|name| format!("{name:?}")).collect();
                let more = match names.len().saturating_sub(LISTED_MAX) {
                    0 => String::new(),
                    more => format!(" or {more} more"),
                };
                let (listed, seen) = (
                    listed.join(" or "),
                    seen_instead(wanted.map(String::as_str), values),
                );
                format!("no series of it has {label}={listed}{more}, {answered}{seen}")
            }
            Condition::Selected(requirement) => {
                let seen = match seen.is_empty() {
                    true => format!("; none has a label {}", requirement.label()),
                    false => seen_instead(requirement.wanted(), values),
                };
                format!("no series of it fits {requirement}, {answered}{seen}")
            }
        }
    }
}

/// The values of a label of the series that there are now.
fn values(reader: &Reader, label: &str, selectors: &[Vec<Matcher>], now: Timestamp) -> Vec<String> {
    let query = SeriesQuery {
        selectors,
        start: Timestamp::from_ms(now.ms().saturating_sub(GONE_MS)),
        ..SeriesQuery::ALL
    };
    let found = reader.label_values(label, query, &EvalOptions::default());
    found.unwrap_or_default() // nothing stops it, and it draws on no shared memory
}

/// Whether some of the series lack a label.
fn lacks(reader: &Reader, label: &str, selectors: &[Vec<Matcher>], now: Timestamp) -> bool {
    let mut selectors = selectors.to_vec();
    for selector in &mut selectors {
        selector.push(Matcher::equal(label, ""));
    }
    !values(reader, METRIC_NAME, &selectors, now).is_empty()
}
