//! The query that a rule is for one caller: of a metric, of an object, and of all objects.

use stillwell_adapters::objects::Selector;
use stillwell_engine::promql::QueryError;

use super::matchers::{Matchers, Objects};
use super::resources;
use super::rule::{self, Rule};
use super::template::Arguments;

/// The query of an external rule for one series and one caller.
pub fn query(
    rule: &Rule,
    series: &str,
    namespace: &str,
    selector: &Selector,
) -> Result<String, QueryError> {
    if rule.lacks_namespace() {
        let line = rule.line;
        return Err(QueryError::Execution(format!(
            "the rule on line {line}: {}",
            resources::MISSING_NAMESPACE
        )));
    }
    let mut matchers = Matchers::of(selector)?;
    if let Some(label) = rule.namespace_label() {
        matchers = matchers.equal(&label, namespace);
    }
    let (text, values) = matchers.finish();
    rendered(rule, rule::arguments(series, &text, values, &[]))
}

/// The query of a rule about objects: `label` names them, and the namespace (empty for those that have none) is that of
/// the caller. Error: no label holds the namespace, or the template cannot be filled in.
pub fn object_query(
    rule: &Rule,
    series: &str,
    namespace: &str,
    (label, objects): (&str, Objects<'_>),
    selector: &Selector,
) -> Result<String, QueryError> {
    let mut matchers = Matchers::of(selector)?;
    if !namespace.is_empty() {
        let label = rule.resources.namespace_label().ok_or_else(|| {
            QueryError::Execution(format!(
                "the rule on line {} says of no label that it holds the namespace: add `namespace: {{resource: \
                 namespace}}` to its resources.overrides",
                rule.line
            ))
        })?;
        matchers = matchers.equal(&label, namespace);
    }
    let (text, values) = matchers.objects(label, objects).finish();
    rendered(
        rule,
        rule::arguments(series, &text, values, &[label.to_owned()]),
    )
}

/// One query for all objects that says of each the same as a query for it alone; `None` where there is none, because the
/// template does more with the names than to select by them.
pub fn shared_query(
    rule: &Rule,
    series: &str,
    namespace: &str,
    label: &str,
    selector: &Selector,
) -> Option<String> {
    const NAME: &str = "some-object-of-a-name";
    let ask = |objects| object_query(rule, series, namespace, (label, objects), selector).ok();
    let (one, all) = (ask(Objects::One(NAME))?, ask(Objects::All)?);
    let (of_one, of_all) = (format!("{label}=\"{NAME}\""), format!("{label}=~\".+\""));
    (one.replace(&of_one, &of_all) == all).then_some(all)
}

fn rendered(rule: &Rule, arguments: Arguments) -> Result<String, QueryError> {
    rule.query
        .render(&arguments)
        .map_err(|error| QueryError::Execution(format!("metricsQuery: {error}")))
}
