//! In which form a target exposes a family of the names table: under which of its names, and with or without the label of
//! its pool; and the labels that its series have under the name that a selector requests (S8).
//!
//! Both evaluations read other forms by these rules: `view` from the plan, `compiled` when a program is bound.

use std::borrow::Cow;

use crate::labels::{Labels, METRIC_NAME, Matcher};
use crate::promql::QueryError;

use super::names::{Family, Name, NameIndex, Names};

/// The label that names a pool.
pub(super) const POOL_LABEL: &str = "inference_pool";

/// A family that a selector requests under one of its names.
#[derive(Clone, Copy)]
pub(super) struct Requested<'a> {
    family: &'static Family,
    /// The place of the requested name in the table.
    pub(super) index: NameIndex,
    suffix: &'a str,
    /// Whether the selector has a matcher on the pool.
    pub(super) names_pool: bool,
}

impl<'a> Requested<'a> {
    /// The family of a metric that a selector requests; `None` if it is in no row of the table.
    pub(super) fn find(
        metric: &'a str,
        matchers: &[Matcher],
        names: &Names,
    ) -> Option<Requested<'a>> {
        let (family, name, suffix) = names.family(metric)?;
        Some(Requested {
            family,
            index: NameIndex::of(family, name).unwrap_or_default(),
            // The same text, with the lifetime of the metric.
            suffix: &metric[metric.len() - suffix.len()..],
            names_pool: matchers.iter().any(|m| m.name() == POOL_LABEL),
        })
    }

    /// The form in which a target exposes it that has the family under the name `exposed`.
    pub(super) fn form(self, exposed: usize, without_pool: bool) -> Form<'a> {
        Form {
            requested: self,
            exposed,
            without_pool,
        }
    }

    /// The form that needs no conversion.
    pub(super) fn direct(self) -> Form<'a> {
        self.form(self.index.name, false)
    }
}

/// How a target exposes a requested family.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    requested: Requested<'a>,
    /// The name under which the target exposes it, an index into the names of the family.
    exposed: usize,
    without_pool: bool,
}

/// What of a selector applies to the series of a form.
pub(super) struct FormMatchers {
    /// Apply to the series as they are exposed.
    pub(super) exposed: Vec<Matcher>,
    /// Apply to the converted labels: those on the pool.
    pub(super) converted: Vec<Matcher>,
}

impl<'a> Form<'a> {
    /// Its place among the forms of the family.
    pub(super) fn key(&self) -> (usize, bool) {
        (self.exposed, self.without_pool)
    }

    fn requested_name(&self) -> &'static Name {
        &self.requested.family.names[self.requested.index.name]
    }

    /// The name under which the target exposes the family.
    pub(super) fn exposed_name(&self) -> &'static Name {
        &self.requested.family.names[self.exposed]
    }

    /// The metric that the target exposes.
    pub(super) fn exposed_metric(&self) -> Cow<'static, str> {
        let family = self.exposed_name().family;
        match self.requested.suffix {
            "" => Cow::Borrowed(family),
            suffix => Cow::Owned(format!("{family}{suffix}")),
        }
    }

    /// The matchers of the selector for this form; `None` if no series in it can fit. Error: the exposed name lacks a label
    /// that the selector has a matcher on.
    pub(super) fn matchers(
        &self,
        selector: &[Matcher],
    ) -> Result<Option<FormMatchers>, QueryError> {
        let (want, have) = (self.requested_name(), self.exposed_name());
        let mut exposed = vec![Matcher::equal(METRIC_NAME, &self.exposed_metric())];
        let mut converted = Vec::new();
        for matcher in selector.iter().filter(|m| m.name() != METRIC_NAME) {
            let label = matcher.name();
            if label == POOL_LABEL && want.may_have(label) {
                converted.push(matcher.clone());
            } else if have.may_have(label) && !want.may_have(label) {
                // The label does not exist under the requested name.
                if !matcher.matches("") {
                    return Ok(None);
                }
            } else if want.may_have(label) && !have.may_have(label) {
                return Err(missing_label(want, have, label));
            } else {
                exposed.push(matcher.clone());
            }
        }
        Ok(Some(FormMatchers { exposed, converted }))
    }

    /// The labels of a series in this form, converted to those of the requested name. `pool` is the one that the target
    /// serves, if its process named exactly one.
    pub(super) fn labels(&self, labels: &Labels, pool: Option<&str>) -> Labels {
        let (want, have) = (self.requested_name(), self.exposed_name());
        let mut builder = labels.to_builder();
        builder.retain(|label| !have.may_have(label) || want.may_have(label));
        builder.set(
            METRIC_NAME,
            &format!("{}{}", want.family, self.requested.suffix),
        );
        let lacks = want.may_have(POOL_LABEL) && labels.get(POOL_LABEL).is_none();
        if let (true, Some(pool)) = (lacks, pool) {
            builder.set(POOL_LABEL, pool);
        }
        builder.build()
    }

    /// Whether converted labels fit. Error: a matcher on the pool has to decide, and the pool is not certain.
    pub(super) fn fits(
        &self,
        matchers: &FormMatchers,
        converted: &Labels,
    ) -> Result<bool, QueryError> {
        let of_pool = converted.get(POOL_LABEL).is_some();
        if let Some(matcher) = matchers.converted.first().filter(|_| !of_pool) {
            return Err(pool_not_certain(&self.exposed_metric(), matcher));
        }
        let mut on_pool = matchers.converted.iter();
        Ok(on_pool.all(|matcher| matcher.matches_labels(converted)))
    }
}

fn missing_label(want: &Name, have: &Name, label: &str) -> QueryError {
    QueryError::Execution(format!(
        "a gateway exposes {} only as {}, which has no label {label:?}; drop the label from the query, or upgrade the \
         gateway",
        want.family, have.family
    ))
}

fn pool_not_certain(metric: &str, matcher: &Matcher) -> QueryError {
    QueryError::Execution(format!(
        "a gateway shows {metric} without the label inference_pool, and its page does not name exactly one pool, so \
         whether {matcher} fits is not known; drop the label from the query, or upgrade the gateway (GIE v1.3.0 gives \
         the label)"
    ))
}
