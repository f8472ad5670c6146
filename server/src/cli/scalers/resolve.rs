//! What a metric's name stands for under a configuration, as far as the files tell.

use stillwell_adapters::objects::{Kind, Kinds};
use stillwell_engine::labels::MatchOp;
use stillwell_engine::nearest::nearest;
use stillwell_engine::promql::plan::{AggregateOp, ExprKind};
use stillwell_engine::promql::{Features, Query};

use crate::config::{Config, SignalSpec};
use crate::rules::{Rule, managed_name, metric_name, series_name};

/// What a name stands for.
pub(super) enum Meaning<'c> {
    Signal(&'c SignalSpec),
    /// Something else that answers, in words.
    Answers(String),
    /// It may, once there are series.
    MayAnswer(String),
    /// Nothing does, and what is nearest.
    Nothing(String),
}

/// Why a signal is told to nobody of a namespace, where one is said.
pub(super) fn refused_to(signal: &SignalSpec, namespace: Option<&str>) -> Option<String> {
    let namespace = namespace.filter(|one| !signal.allows(one))?;
    Some(format!(
        "signal {:?} is told in {} alone (signals[].namespaces), and this asks in {namespace}",
        signal.name,
        signal.namespaces.join(", ")
    ))
}

/// Of an external metric.
pub(super) fn external<'c>(config: &'c Config, name: &str) -> Meaning<'c> {
    if let Some(signal) = signal(config, name) {
        return Meaning::Signal(signal);
    }
    let begins = |one: &&SignalSpec| {
        let begin = name.get(..one.name.len());
        !one.for_each.is_empty() && begin.is_some_and(|text| text.eq_ignore_ascii_case(&one.name))
    };
    if let Some(signal) = config.signals.iter().find(begins) {
        let labels = signal.for_each.join(", ");
        let why = format!(
            "signal {:?} where a value of {labels} makes that name",
            signal.name
        );
        return Meaning::MayAnswer(why);
    }
    let rules = config.rules.iter().map(|rule| &**rule);
    by_rules(rules, name, |_| true).unwrap_or_else(|| {
        let signals = config.signals.iter().map(|one| one.name.clone());
        let rules = config.rules.iter().filter_map(|rule| fixed_name(rule));
        nothing("no signal and no external rule", name, signals.chain(rules))
    })
}

/// Of a metric of objects of a kind; `None` is a kind that is none of the usual ones.
pub(super) fn of_objects<'c>(
    config: &'c Config,
    name: &str,
    kind: Option<&Kind>,
    kinds: &Kinds,
) -> Meaning<'c> {
    if let Some(signal) = signal(config, name)
        && (!signal.from_rules || config.object_rules.is_empty())
    {
        return Meaning::Signal(signal);
    }
    let of_kind = |rule: &Rule| kind.is_none_or(|kind| rule.resources.label(kind, kinds).is_some());
    let rules = || config.object_rules.iter().map(|rule| &**rule);
    if let Some(found) = by_rules(rules(), name, of_kind) {
        return found;
    }
    if managed_name(name).is_some() {
        return Meaning::Answers("a name of Google's Managed Prometheus".to_owned());
    }
    if let Some(Meaning::Answers(other)) = by_rules(rules(), name, |_| true) {
        let kind = kind.map_or("such objects", |kind| kind.resource.as_str());
        return Meaning::Nothing(format!(
            "{other} makes it, and says of no label (resources) that it names {kind}"
        ));
    }
    let signals = config.signals.iter().map(|one| one.name.clone());
    let made = rules().filter_map(fixed_name);
    nothing("no custom rule and no signal", name, signals.chain(made))
}

/// Whether elements of a signal have a label, as far as its query tells: `Some(false)` is certain.
pub(super) fn has_label(signal: &SignalSpec, label: &str) -> bool {
    let Ok(query) = Query::parse(&signal.expr, &Features::all()) else {
        return true;
    };
    let ExprKind::Aggregate(aggregate) = &query.plan().kind else {
        return true;
    };
    let is_grouped = aggregate.grouping.iter().any(|one| &**one == label);
    let pins = |used: &[stillwell_engine::labels::Matcher]| {
        let mut matchers = used.iter();
        matchers.any(|one| one.name() == label && one.op() == MatchOp::Equal)
    };
    aggregate.without
        || is_grouped
        || keeps_labels(aggregate.op)
        || signal.labels.get(label).is_some()
        || query.selectors().any(|used| pins(used.matchers))
}

/// Whether the elements of an aggregation are some of those that it is given, or labelled by it.
fn keeps_labels(op: AggregateOp) -> bool {
    use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Topk};
    matches!(op, Topk | Bottomk | Limitk | LimitRatio | CountValues)
}

fn signal<'c>(config: &'c Config, name: &str) -> Option<&'c SignalSpec> {
    let mut signals = config.signals.iter();
    signals.find(|signal| signal.name.eq_ignore_ascii_case(name))
}

fn by_rules<'c, 'r>(
    rules: impl DoubleEndedIterator<Item = &'r Rule> + Clone,
    name: &str,
    fits: impl Fn(&Rule) -> bool,
) -> Option<Meaning<'c>> {
    let fixed = |rule: &&Rule| {
        let made = fixed_name(rule);
        fits(rule) && made.is_some_and(|made| made.eq_ignore_ascii_case(name))
    };
    if let Some(rule) = rules.clone().rfind(fixed) {
        return Some(Meaning::Answers(format!("the rule on line {}", rule.line)));
    }
    let may = |rule: &&Rule| {
        fits(rule) && series_name(rule).is_none() && may_be_named(&rule.naming.template, name)
    };
    let rule = rules.clone().rfind(may)?;
    Some(Meaning::MayAnswer(format!(
        "the rule on line {}, where there is a series that it makes this name of",
        rule.line
    )))
}

/// The metric of a rule that names its series.
fn fixed_name(rule: &Rule) -> Option<String> {
    metric_name(rule, series_name(rule)?)
}

/// Whether the text between the groups of a name stands in another name, in order.
fn may_be_named(template: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut rest = name.as_str();
    for (at, part) in template.split('$').enumerate() {
        let group = |c: char| c.is_ascii_digit() || matches!(c, '{' | '}');
        let text = match at {
            0 => part,
            _ => part.trim_start_matches(group),
        };
        let text = text.to_ascii_lowercase();
        match (at, rest.find(&text)) {
            (0, Some(0)) => rest = &rest[text.len()..],
            (0, _) | (_, None) => return false,
            (_, Some(found)) => rest = &rest[found + text.len()..],
        }
    }
    template.contains('$') || rest.is_empty()
}

fn nothing<'c>(what: &str, name: &str, known: impl Iterator<Item = String>) -> Meaning<'c> {
    let known: Vec<String> = known.collect();
    let near = nearest(name, known.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
    Meaning::Nothing(format!("{what} of this configuration makes it{near}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_tells_which_names_it_cannot_make() {
        for (template, name, may) in [
            ("vllm_${1}", "vllm_waiting", true),
            ("vllm_${1}", "VLLM_waiting", true),
            ("vllm_${1}", "sglang_waiting", false),
            ("${1}_per_second", "requests_per_second", true),
            ("${1}_per_second", "requests_per_minute", false),
            ("$0", "anything", true),
            ("fixed", "fixed", true),
            ("fixed", "fixed_more", false),
        ] {
            assert_eq!(may_be_named(template, name), may, "{template} {name}");
        }
    }
}
