//! Queries of recorded series, read as the expressions that their rules record.
//!
//! Who judges a query by what it reads (which targets tell of it, how far back it looks) needs the selectors behind a
//! recorded series, and one who asks between two evaluations of the rule is given what is so now. An instant selector
//! becomes the rule's expression, a range selector a subquery with the rule's interval as its step.

use std::sync::Arc;

use hashbrown::HashMap;
use stillwell_model::labels::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::Query;
use super::plan::{
    Binary, BinaryOp, Cardinality, Duration, Edges, Expr, ExprKind, FunctionId, Matching,
    NotNarrowed, Selector, Span, Subquery, ValueType, narrowed,
};

/// Rules that may be put into one query: rules of rules of rules grow without bound.
const EXPANSIONS_MAX: usize = 100;

/// Nodes that all of them together may have.
const NODES_MAX: usize = 20_000;

/// Levels of expressions within one another that may come about: everything behind the parser recurses, which has such a bound
/// for each text.
const DEPTH_MAX: usize = 200;

/// One recording rule.
#[derive(Clone, Debug)]
pub struct RecordedRule {
    /// The labels that it sets on what its expression yields.
    pub labels: Labels,
    /// Its expression.
    pub query: Query,
    /// Between two evaluations, in milliseconds.
    pub interval_ms: i64,
}

/// Recording rules by the name that they record; several may record one name with different labels.
#[derive(Clone, Debug, Default)]
pub struct RecordedRules(HashMap<Box<str>, Vec<RecordedRule>>);

impl RecordedRules {
    /// Adds a rule that records `name`. One whose expression has no series (a text) records nothing.
    pub fn add(&mut self, name: &str, rule: RecordedRule) {
        self.0.entry(name.into()).or_default().push(rule);
    }

    /// Whether a rule records this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl Query {
    /// The same query with the expressions of recording rules instead of the series that they record; `None` if it reads no
    /// such series. Error: why that cannot be, with the name.
    pub fn with_recorded(&self, rules: &RecordedRules) -> Result<Option<Query>, String> {
        let mut expansion = Expansion::new(rules);
        let plan = expansion.expand(self.plan(), None)?;
        Ok((expansion.expanded > 0).then(|| self.with_plan(plan)))
    }
}

impl PartialEq for RecordedRules {
    fn eq(&self, other: &RecordedRules) -> bool {
        let same = |one: &RecordedRule, other: &RecordedRule| {
            one.labels == other.labels
                && one.interval_ms == other.interval_ms
                && one.query.text() == other.query.text()
        };
        self.0.len() == other.0.len()
            && self.0.iter().all(|(name, rules)| {
                let others = other.0.get(name).map_or(&[][..], Vec::as_slice);
                rules.len() == others.len() && rules.iter().zip(others).all(|(a, b)| same(a, b))
            })
    }
}

/// Labels that whoever reads an expression can see: all, or those that are listed.
type Seen<'a> = Option<&'a [Arc<str>]>;

/// Puts rules into one query.
struct Expansion<'r> {
    rules: &'r RecordedRules,
    /// The names that are being replaced, so that a rule that reads its own name does not go on for ever.
    open: Vec<&'r str>,
    expanded: usize,
    nodes: usize,
    /// Of the rules that are open.
    depth: usize,
}

impl<'r> Expansion<'r> {
    fn new(rules: &'r RecordedRules) -> Expansion<'r> {
        Expansion {
            rules,
            open: Vec::new(),
            expanded: 0,
            nodes: 0,
            depth: 0,
        }
    }

    /// The expression with each recorded series replaced. Error: why one cannot be.
    fn expand(&mut self, expr: &Expr, seen: Seen<'_>) -> Result<Expr, String> {
        let inner_seen = match &expr.kind {
            ExprKind::Selector(selector) => {
                return match self.recorded(selector)? {
                    Some((name, rules)) => self.instant(name, rules, selector, seen),
                    None => Ok(expr.clone()),
                };
            }
            ExprKind::Range {
                selector,
                range,
                edges,
            } => {
                return match self.recorded(selector)? {
                    Some((name, rules)) => {
                        let kind = self.range(name, rules, selector, range, *edges, seen)?;
                        let span = expr.span;
                        Ok(Expr { kind, span })
                    }
                    None => Ok(expr.clone()),
                };
            }
            ExprKind::Aggregate(aggregate) => {
                let is_listed = !aggregate.without && !aggregate.op.keeps_samples();
                is_listed.then_some(aggregate.grouping.as_slice())
            }
            ExprKind::Binary(binary) => {
                let is_vector = |side: &Expr| side.value_type() == ValueType::Vector;
                let is_matched = is_vector(&binary.lhs) && is_vector(&binary.rhs);
                if is_matched { None } else { seen }
            }
            ExprKind::Call { function, .. } => match function.id {
                FunctionId::LabelReplace
                | FunctionId::LabelJoin
                | FunctionId::Info
                | FunctionId::Absent
                | FunctionId::AbsentOverTime
                | FunctionId::SortByLabel
                | FunctionId::SortByLabelDesc
                | FunctionId::Scalar => None,
                _ => seen,
            },
            _ => seen,
        };
        expr.map_inner(&mut |inner| self.expand(inner, inner_seen))
    }

    /// The rules that record what a selector reads.
    fn recorded(
        &self,
        selector: &Selector,
    ) -> Result<Option<(&'r str, &'r [RecordedRule])>, String> {
        let Some(name) = selector.metric_name() else {
            return Ok(None);
        };
        match self.rules.0.get_key_value(name) {
            Some((name, _)) if self.open.contains(&&**name) => Ok(None),
            Some((name, _)) if selector.at.is_some() || selector.edges != Edges::Plain => {
                Err(format!(
                    "{name} is recorded by a rule, and is read with `@` or `smoothed`; write the rule's expression"
                ))
            }
            Some((name, rules)) => Ok(Some((name, rules))),
            None => Ok(None),
        }
    }

    fn instant(
        &mut self,
        name: &'r str,
        rules: &'r [RecordedRule],
        selector: &Selector,
        seen: Seen<'_>,
    ) -> Result<Expr, String> {
        let expr = self.union(name, rules, selector, seen)?;
        match fixed(name, &selector.offset)? {
            0 => Ok(expr),
            offset_ms => shifted(&expr, offset_ms).ok_or_else(|| {
                format!("{name} is recorded by a rule that asks for the time, and is read with an offset; write its expression")
            }),
        }
    }

    fn range(
        &mut self,
        name: &'r str,
        rules: &'r [RecordedRule],
        selector: &Selector,
        range: &Duration,
        edges: Edges,
        seen: Seen<'_>,
    ) -> Result<ExprKind, String> {
        if edges != Edges::Plain {
            return Err(format!(
                "{name} is recorded by a rule, and is read with `anchored` or `smoothed`; write the rule's expression"
            ));
        }
        let interval_ms = rules.iter().map(|rule| rule.interval_ms).min();
        Ok(ExprKind::Subquery(Box::new(Subquery {
            expr: self.union(name, rules, selector, seen)?,
            range: range.clone(),
            step: interval_ms.map(|ms| Duration::Fixed(ms.max(1))),
            offset: selector.offset.clone(),
            at: None,
        })))
    }

    /// What the rules yield that the selector selects.
    fn union(
        &mut self,
        name: &'r str,
        rules: &'r [RecordedRule],
        selector: &Selector,
        seen: Seen<'_>,
    ) -> Result<Expr, String> {
        let fitting: Vec<&RecordedRule> = rules
            .iter()
            .filter(|rule| {
                selector
                    .matchers
                    .iter()
                    .all(|matcher| may_fit(matcher, rule))
            })
            .collect();
        // Rules that differ by their labels alone would be one series without them.
        let seen = if fitting.len() > 1 { None } else { seen };
        let (mut whole, mut why_not) = (None, None);
        for rule in fitting {
            match self.one(name, rule, selector, seen)? {
                Ok(expr) => {
                    whole = Some(match whole {
                        Some(before) => either(before, expr, selector.span),
                        None => expr,
                    });
                }
                Err(label) => why_not = Some(label),
            }
        }
        whole.ok_or_else(|| match why_not {
            Some(label) => format!("{name} is recorded by a rule that yields no label {label}"),
            None => {
                let conditions = selector.matchers.iter();
                let conditions = conditions.filter(|one| one.name() != METRIC_NAME);
                let conditions: Vec<String> = conditions.map(Matcher::to_string).collect();
                format!(
                    "{name} is recorded by a rule whose own labels do not fit {}",
                    conditions.join(", ")
                )
            }
        })
    }

    /// What one rule yields that the selector selects; the label that none of it has.
    fn one(
        &mut self,
        name: &'r str,
        rule: &'r RecordedRule,
        selector: &Selector,
        seen: Seen<'_>,
    ) -> Result<Result<Expr, String>, String> {
        self.expanded += 1;
        rule.query.plan().walk(&mut |_| self.nodes += 1);
        // Each of its labels is a call around it, and each rule of the name an `or`.
        let siblings = self.rules.0.get(name).map_or(0, Vec::len);
        let depth = rule.query.plan().depth() + rule.labels.iter().count() + siblings;
        let is_deep = self.depth + depth > DEPTH_MAX;
        if is_deep || self.expanded > EXPANSIONS_MAX || self.nodes > NODES_MAX {
            return Err(format!(
                "{name} is recorded by rules of rules that are too long to be put into the query; write what it is to read"
            ));
        }
        let plan = rule
            .query
            .resolved(0, 0) // as rules are evaluated: instant queries
            .map_err(|error| format!("the rule that records {name}: {error}"))?;
        self.open.push(name);
        self.depth += depth;
        let expanded = self.expand(&placed(&plan, selector.span), None);
        self.depth -= depth;
        self.open.pop();
        let conditions: Vec<Matcher> = selector
            .matchers
            .iter()
            .filter(|one| one.name() != METRIC_NAME && rule.labels.get(one.name()).is_none())
            .cloned()
            .collect();
        match narrowed(&as_vector(expanded?), &conditions) {
            Ok(expr) => Ok(Ok(labelled(expr, &rule.labels, seen))),
            Err(NotNarrowed::NoSuchLabel(label)) => Ok(Err(label)),
            Err(NotNarrowed::Changes { label, by }) => Err(format!(
                "{name} is recorded by a rule whose `{by}` decides which series there are before {label} selects among \
                 them; write what it is to read"
            )),
        }
    }
}

/// Whether what a rule records can meet a condition, as far as its name and its own labels say.
fn may_fit(matcher: &Matcher, rule: &RecordedRule) -> bool {
    let is_name = matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
    let own = rule.labels.get(matcher.name());
    is_name || own.is_none_or(|value| matcher.matches(value))
}

fn fixed(name: &str, offset: &Duration) -> Result<i64, String> {
    offset.fixed_ms().ok_or_else(|| {
        format!("{name} is recorded by a rule, and is read with an offset that depends on the query's step; write a number")
    })
}

/// A number as a series without labels, as which it is recorded.
fn as_vector(expr: Expr) -> Expr {
    match expr.value_type() {
        ValueType::Scalar => call(FunctionId::Vector, expr.span, vec![expr]),
        _ => expr,
    }
}

fn call(id: FunctionId, span: Span, args: Vec<Expr>) -> Expr {
    let function = id
        .function()
        .expect("every function has a row, which a test checks");
    Expr {
        kind: ExprKind::Call { function, args },
        span,
    }
}

fn either(left: Expr, right: Expr, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Binary(Box::new(Binary {
            op: BinaryOp::Or,
            lhs: left,
            rhs: right,
            return_bool: false,
            matching: Matching {
                cardinality: Cardinality::ManyToMany,
                ..Matching::default()
            },
        })),
        span,
    }
}

/// The series with a rule's own labels, as far as they are seen.
fn labelled(mut expr: Expr, labels: &Labels, seen: Seen<'_>) -> Expr {
    for (name, value) in labels.iter() {
        let is_seen = seen.is_none_or(|seen| seen.iter().any(|one| &**one == name));
        if is_seen && name != METRIC_NAME {
            let span = expr.span;
            let text = |text: &str| Expr {
                kind: ExprKind::String(text.into()),
                span,
            };
            let value = value.replace('$', "$$");
            let args = vec![expr, text(name), text(&value), text(""), text("")];
            expr = call(FunctionId::LabelReplace, span, args);
        }
    }
    expr
}

/// The expression of a rule at the place of a selector, whose text is not the rule's. Marks of what is the same in each step
/// are left out, for they hold for the rule's own evaluation.
fn placed(expr: &Expr, span: Span) -> Expr {
    let mut expr = match &expr.kind {
        ExprKind::StepInvariant(inner) => return placed(inner, span),
        _ => {
            let Ok(expr) =
                expr.map_inner::<std::convert::Infallible>(&mut |inner| Ok(placed(inner, span)));
            expr
        }
    };
    expr.span = span;
    if let ExprKind::Selector(selector) | ExprKind::Range { selector, .. } = &mut expr.kind {
        selector.span = span;
    }
    expr
}

/// The expression as it was `offset_ms` ago; `None` if it asks for the time.
fn shifted(expr: &Expr, offset_ms: i64) -> Option<Expr> {
    let later =
        |offset: &Duration| Some(Duration::Fixed(offset.fixed_ms()?.checked_add(offset_ms)?));
    let mut shifted = match &expr.kind {
        // What is evaluated inside is evaluated at the times of the subquery.
        ExprKind::Subquery(_) => expr.clone(),
        ExprKind::Call { function, args } if args.is_empty() && function.id != FunctionId::Pi => {
            return None;
        }
        _ => expr
            .map_inner(&mut |inner| shifted(inner, offset_ms).ok_or(()))
            .ok()?,
    };
    match &mut shifted.kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. }
            if selector.at.is_none() =>
        {
            selector.offset = later(&selector.offset)?;
        }
        ExprKind::Subquery(subquery) if subquery.at.is_none() => {
            subquery.offset = later(&subquery.offset)?;
        }
        _ => {}
    }
    Some(shifted)
}
