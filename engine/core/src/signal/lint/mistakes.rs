//! The lints, each with the fault of which it speaks.

use super::super::names::{Measure, Name, Names};
use super::super::policy::{Nan, Policy};
use super::expression::{compares, is_number, keeps_measure, measure, peel};
use crate::labels::{METRIC_NAME, MatchOp};
use crate::promql::plan::{AggregateOp, BinaryOp, Expr, ExprKind};
use crate::promql::{Features, FunctionId, Query, QueryError};

/// The version that dropped the last of the old names.
const NAMES_REMOVED_IN: &str = "llm-d-router v0.11";

/// Likely mistakes in a query. Each text names the part of the query and what to write instead. `interval_ms` is the
/// longest scrape interval of the jobs that may feed the signal.
pub fn lint(
    text: &str,
    policy: &Policy,
    interval_ms: Option<i64>,
    names: &Names,
    features: &Features,
) -> Result<Vec<String>, QueryError> {
    let query = Query::parse(text, features)?;
    let mut found = Vec::new();
    hold(policy, interval_ms, &mut found);
    old_names(&query, names, &mut found);
    found.extend(foreign_labels(&query, names, |_| false));
    let mut stands_alone = true;
    query.plan().walk(&mut |expr| match &expr.kind {
        ExprKind::Aggregate(aggregate) if aggregate.op == AggregateOp::Sum => {
            replicated(&aggregate.expr, names, &mut found);
            stage(&aggregate.expr, &mut found);
        }
        ExprKind::Binary(binary) if binary.op == BinaryOp::Div && !is_number(&binary.rhs)
            && policy.nan == Nan::Unknown => {
                found.push(
                    "the divisor can be 0, and the signal unknown then: `nan: zero` or `nan: last` says what that \
                     means"
                        .to_owned(),
                );
            }
        ExprKind::Binary(binary) if compares(binary.op) => {
            out_of_range(&binary.lhs, &binary.rhs, names, &mut found);
            out_of_range(&binary.rhs, &binary.lhs, names, &mut found);
        }
        ExprKind::Call { function, .. } => match function.id {
            FunctionId::HistogramQuantile if policy.nan == Nan::Unknown => found.push(
                "histogram_quantile is NaN while there is no traffic, and the signal unknown: `nan: zero` lets an \
                 idle pool shrink, `nan: last` keeps it"
                    .to_owned(),
            ),
            FunctionId::AvgOverTime | FunctionId::MaxOverTime | FunctionId::MinOverTime => stands_alone = false,
            _ => {}
        },
        _ => {}
    });
    total(query.plan(), names, &mut found);
    several(query.plan(), &mut found);
    if stands_alone {
        raw_queue(&query, &mut found);
    }
    Ok(found)
}

/// One number for each series: with a second target there are several, and scalers make of that what they will.
fn several(expr: &Expr, found: &mut Vec<String>) {
    let selector = match &expr.kind {
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) | ExprKind::Negate(inner) => {
            return several(inner, found);
        }
        ExprKind::Binary(binary) if is_number(&binary.rhs) && !compares(binary.op) => {
            return several(&binary.lhs, found);
        }
        ExprKind::Binary(binary) if is_number(&binary.lhs) && !compares(binary.op) => {
            return several(&binary.rhs, found);
        }
        ExprKind::Call { function, .. }
            if matches!(
                function.id,
                FunctionId::Absent | FunctionId::AbsentOverTime | FunctionId::Scalar
            ) =>
        {
            return;
        }
        ExprKind::Call { args, .. } if args.len() == 1 => return several(&args[0], found),
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => selector,
        _ => return,
    };
    if let Some(metric) = selector.metric_name() {
        found.push(format!(
            "it is a number for each series of {metric}: with a second replica there are several, which an HPA adds up and a \
             KEDA trigger refuses; say how they become one, with sum(...) or max(...)"
        ));
    }
}

fn hold(policy: &Policy, interval_ms: Option<i64>, found: &mut Vec<String>) {
    if let (Some(hold_ms), Some(interval_ms)) = (policy.hold_ms, interval_ms)
        && hold_ms < interval_ms
    {
        found.push(format!(
                "hold {hold_ms} ms is shorter than the scrape interval of {interval_ms} ms: every scrape would pass \
                 through unknown; leave it out for 3 intervals"
            ));
    }
}

fn old_names(query: &Query, names: &Names, found: &mut Vec<String>) {
    for used in query.selectors() {
        let named = used
            .matchers
            .iter()
            .find(|matcher| matcher.name() == METRIC_NAME);
        let Some(metric) = named.map(|matcher| matcher.value()) else {
            continue;
        };
        let Some((family, name, suffix)) = names.family(metric) else {
            continue;
        };
        let newest = &family.names[0];
        if newest.family != name.family && !family.class.is_of_engine() {
            found.push(format!(
                "{metric} is gone since {NAMES_REMOVED_IN}; signals read {}{suffix} under this name, dashboards and \
                 other tools do not",
                newest.family
            ));
        }
    }
}

/// Labels that jobs and discovery usually give their targets, so that a query may well pin them.
const USUAL_TARGET_LABELS: &[&str] = &[
    "cluster",
    "container",
    "endpoint",
    "instance",
    "job",
    "namespace",
    "node",
    "pod",
    "service",
    "top_level_controller_name",
    "top_level_controller_type",
];

/// A condition on a label that no release of the gateway gives the family, nor the job its targets: it selects nothing, and
/// proves no absence.
pub(in crate::signal) fn foreign_labels(
    query: &Query,
    names: &Names,
    is_of_targets: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for used in query.selectors() {
        let named = used
            .matchers
            .iter()
            .find(|matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal);
        let family = named.and_then(|matcher| names.family(matcher.value()));
        let family = family.filter(|(family, ..)| !family.class.is_of_engine());
        let (Some(metric), Some((family, ..))) = (named, family) else {
            continue;
        };
        let known = |label: &str| {
            label == METRIC_NAME
                || label == "le"
                || USUAL_TARGET_LABELS.contains(&label)
                || is_of_targets(label)
                || family.names.iter().any(|name| name.may_have(label))
        };
        let foreign = used
            .matchers
            .iter()
            .find(|matcher| !matcher.matches("") && !known(matcher.name()));
        if let Some(matcher) = foreign {
            let mut labels: Vec<&str> = family.names.iter().flat_map(Name::all_labels).collect();
            labels.sort_unstable();
            labels.dedup();
            found.push(format!(
                "no release gives {} the label {}, so {matcher} selects nothing and the signal is unknown, unless the \
                 job adds the label; releases give it {}",
                metric.value(),
                matcher.name(),
                labels.join(", ")
            ));
        }
    }
    found
}

/// A sum over what every replica repeats counts each replica.
fn replicated(expr: &Expr, names: &Names, found: &mut Vec<String>) {
    let ExprKind::Selector(selector) = &peel(expr).kind else {
        return;
    };
    let Some(metric) = selector.metric_name() else {
        return;
    };
    if names
        .family(metric)
        .is_some_and(|(family, _, _)| family.replicated)
    {
        found.push(format!(
            "sum({metric}) counts the pool once per gateway replica: write max({metric}), or multiply by \
             `on (instance) group_left () (leader_election_master_status == 1)` to read the leader alone"
        ));
    }
}

/// After v0.10.0 saturation comes once per stage and once as a whole.
fn stage(expr: &Expr, found: &mut Vec<String>) {
    let ExprKind::Selector(selector) = &peel(expr).kind else {
        return;
    };
    let saturation = selector
        .metric_name()
        .is_some_and(|metric| metric.ends_with("flow_control_pool_saturation"));
    if saturation
        && selector
            .matchers
            .iter()
            .all(|matcher| matcher.name() != "stage")
    {
        found.push(
            "saturation has a series per stage beside the effective one: pin stage=\"effective\", or take the max"
                .to_owned(),
        );
    }
}

/// Every request passes through the queue for an instant, so a single sample is noisy.
fn raw_queue(query: &Query, found: &mut Vec<String>) {
    let metrics = query.selectors().filter(|used| used.range.is_none());
    let queue = metrics
        .filter_map(|used| {
            used.matchers
                .iter()
                .find(|matcher| matcher.name() == METRIC_NAME)
                .map(|m| m.value())
        })
        .find(|metric| Names::is_queue_gauge(metric));
    if let Some(metric) = queue {
        found.push(format!(
            "{metric} blips with every request that passes: for scaling from one to many consider \
             sum(avg_over_time({metric}[5s])); for waking from zero it is right as it is"
        ));
    }
}

/// A total that only grows, where the value of the query is made of it and of numbers alone. The difference of two totals
/// may be how many are there, and their ratio a mean.
fn total(expr: &Expr, names: &Names, found: &mut Vec<String>) {
    match &expr.kind {
        ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) | ExprKind::Negate(inner) => {
            total(inner, names, found);
        }
        ExprKind::Aggregate(aggregate) if keeps_measure(aggregate.op) => {
            total(&aggregate.expr, names, found);
        }
        ExprKind::Binary(binary)
            if binary.op == BinaryOp::Or || is_number(&binary.lhs) || is_number(&binary.rhs) =>
        {
            total(&binary.lhs, names, found);
            total(&binary.rhs, names, found);
        }
        ExprKind::Selector(selector) => {
            let Some(metric) = selector.metric_name() else {
                return;
            };
            if metric.ends_with("_total") || measure(metric, names) == Measure::Counter {
                found.push(format!(
                    "{metric} is a total since its process began, which grows while nothing is asked for and falls when \
                     the process restarts: rate({metric}[1m]) is how much per second"
                ));
            }
        }
        _ => {}
    }
}

/// A share of a capacity beside a number that it never reaches.
fn out_of_range(share: &Expr, number: &Expr, names: &Names, found: &mut Vec<String>) {
    let mut share = peel(share);
    while let ExprKind::Aggregate(aggregate) = &share.kind
        && aggregate.op != AggregateOp::Sum
        && keeps_measure(aggregate.op)
    {
        share = peel(&aggregate.expr);
    }
    let (ExprKind::Selector(selector), ExprKind::Number(number)) =
        (&share.kind, &peel(number).kind)
    else {
        return;
    };
    if let Some(metric) = selector.metric_name()
        && *number > 1.0
        && measure(metric, names) == Measure::Utilisation
    {
        found.push(format!(
            "{metric} goes from 0 to 1, so that it never reaches {number}: compare with a share (0.8), or multiply it by \
             100"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lint_speaks_of_its_fault_and_only_then() {
        let short_hold = Policy {
            hold_ms: Some(50),
            ..Policy::default()
        };
        let nan_said = Policy {
            nan: Nan::Zero,
            ..Policy::default()
        };
        let plain = Policy::default();
        for (query, policy, words) in [
            (
                "sum(avg_over_time(llm_d_epp_flow_control_queue_size[5s]))",
                &plain,
                &[][..],
            ),
            ("sum(llm_d_epp_request_running)", &plain, &[]),
            (
                "sum(llm_d_epp_request_running)",
                &short_hold,
                &["hold 50 ms"],
            ),
            (
                "sum(llm_d_epp_flow_control_queue_size)",
                &plain,
                &["avg_over_time"],
            ),
            (
                "sum(inference_objective_running_requests)",
                &plain,
                &["gone since", "llm_d_epp_request_running"],
            ),
            (
                "sum(llm_d_epp_ready_endpoints)",
                &plain,
                &["once per gateway replica", "max("],
            ),
            (
                "sum(llm_d_epp_flow_control_pool_saturation)",
                &plain,
                &["once per gateway replica", "stage=\"effective\""],
            ),
            (
                "sum(llm_d_epp_request_running{inference_pool=\"p\",namespace=\"d\"})",
                &plain,
                &["the label inference_pool", "fairness_id, model_name"],
            ),
            ("sum(a) / sum(b)", &plain, &["divisor"]),
            ("sum(a) / sum(b)", &nan_said, &[]),
            ("sum(a) / 16", &plain, &[]),
            (
                "histogram_quantile(0.9, sum by (le) (rate(x_bucket[1m])))",
                &plain,
                &["NaN while there is no traffic"],
            ),
            (
                "sum(requests_total{job=\"a\"}) * 2",
                &plain,
                &["requests_total is a total", "rate(requests_total[1m])"],
            ),
            (
                "max by (pod) (tgi_request_count)",
                &plain,
                &["tgi_request_count is a total"],
            ),
            ("sum(rate(requests_total[1m]))", &plain, &[]),
            ("sum(begun_total) - sum(ended_total)", &plain, &[]),
            ("count(requests_total)", &plain, &[]),
            (
                "max(vllm:kv_cache_usage_perc) > 80",
                &plain,
                &["from 0 to 1", "never reaches 80"],
            ),
            ("max(vllm:kv_cache_usage_perc) > 0.8", &plain, &[]),
            (
                "2 * rate(requests_total{job=\"a\"}[1m])",
                &plain,
                &["a number for each series of requests_total", "sum(...)"],
            ),
            ("max by (pod) (rate(requests_total[1m]))", &plain, &[]),
            ("max(vllm:kv_cache_usage_perc) * 100 > 80", &plain, &[]),
            ("sum(vllm:kv_cache_usage_perc) > 3", &plain, &[]),
        ] {
            let found = lint(
                query,
                policy,
                Some(100),
                &Names::default(),
                &Features::default(),
            )
            .expect("valid");
            let all = found.join("\n");
            assert!(
                words.iter().all(|word| all.contains(word)),
                "{query}: {all}"
            );
            assert_eq!(found.is_empty(), words.is_empty(), "{query}: {all}");
        }
    }
}
