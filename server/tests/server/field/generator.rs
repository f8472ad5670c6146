//! Pages for the families that queries name: of each selector two replicas that match it, with values that move as those of
//! counters and gauges do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use stillwell_engine::labels::{METRIC_NAME, MatchOp, Matcher};
use stillwell_engine::promql::plan::{Expr, ExprKind};
use stillwell_engine::promql::{Features, Query};

/// Series by metric: their labels, without the name.
#[derive(Default)]
pub(crate) struct Generator {
    series: BTreeMap<String, BTreeSet<BTreeMap<String, String>>>,
    counters: BTreeSet<String>,
}

impl Generator {
    /// Adds what a query reads; false where it does not parse.
    pub(crate) fn add_query(&mut self, text: &str) -> bool {
        let Ok(query) = Query::parse(text, &Features::default()) else {
            return false;
        };
        let mut joined = BTreeSet::new();
        query.plan().walk(&mut |expr| labels_of(expr, &mut joined));
        for used in query.selectors() {
            let metric = self.add_selector(used.matchers, &joined);
            if used.range.is_some() && text.contains("rate(")
                || text.contains("increase(")
                || text.contains("delta(")
            {
                self.counters.extend(metric);
            }
        }
        true
    }

    /// Adds two series that a selector matches, with these further labels; answers its metric.
    pub(crate) fn add_selector(
        &mut self,
        matchers: &[Matcher],
        further: &BTreeSet<String>,
    ) -> Option<String> {
        let of = |label: &str| {
            let on_label = matchers.iter().filter(|one| one.name() == label);
            on_label.collect::<Vec<_>>()
        };
        let metric = value(&of(METRIC_NAME), "")?;
        let mut labels = BTreeMap::new();
        let names = matchers.iter().map(|one| one.name().to_owned());
        for name in names
            .chain(further.iter().cloned())
            .filter(|name| name != METRIC_NAME)
        {
            labels.insert(name.clone(), value(&of(&name), "")?);
        }
        labels.retain(|_, value| !value.is_empty());
        for replica in ["1", "2"] {
            let mut labels = labels.clone();
            if let Some(pod) = value(&of("pod"), replica) {
                labels.insert("pod".to_owned(), pod);
            }
            let patterns = matchers.iter().filter(|one| one.op() == MatchOp::Regex);
            for name in patterns
                .map(Matcher::name)
                .filter(|name| *name != METRIC_NAME)
            {
                labels.insert(
                    name.to_owned(),
                    value(&of(name), replica).unwrap_or_default(),
                );
            }
            // What the query renames to a label of its own tells the replicas apart, too; where they are does not.
            let free = further.iter().filter(|name| of(name).is_empty());
            for name in free.filter(|name| !["namespace", "service"].contains(&name.as_str())) {
                labels.insert(name.clone(), format!("v{replica}"));
            }
            let buckets = if metric.ends_with("_bucket") && !labels.contains_key("le") {
                &["0.1", "1", "+Inf"][..]
            } else {
                &[""]
            };
            for le in buckets {
                let mut labels = labels.clone();
                if !le.is_empty() {
                    labels.insert("le".to_owned(), (*le).to_owned());
                }
                self.series
                    .entry(metric.clone())
                    .or_default()
                    .insert(labels);
            }
        }
        Some(metric)
    }

    /// The page of the tick of this number.
    pub(crate) fn page(&self, tick: u64) -> String {
        let mut page = String::new();
        for (metric, series) in &self.series {
            let suffixes = ["_total", "_sum", "_count", "_bucket"];
            let counts =
                self.counters.contains(metric) || suffixes.iter().any(|end| metric.ends_with(end));
            for (at, labels) in series.iter().enumerate() {
                let value = match counts {
                    true => tick as f64 * (2.0 + at as f64),
                    false
                        if metric.contains("perc")
                            || metric.contains("utilization")
                            || metric.contains("saturation") =>
                    {
                        0.5
                    }
                    false => 3.0 + at as f64,
                };
                let pairs: Vec<String> = labels
                    .iter()
                    .map(|(name, value)| format!("{name}={value:?}"))
                    .collect();
                // Writing to a String cannot fail.
                let _ = writeln!(page, "{metric}{{{}}} {value}", pairs.join(","));
            }
        }
        page
    }
}

/// Labels by which a query groups or joins, so that its parts meet.
fn labels_of(expr: &Expr, found: &mut BTreeSet<String>) {
    match &expr.kind {
        ExprKind::Aggregate(aggregate) if !aggregate.without => {
            found.extend(aggregate.grouping.iter().map(|label| label.to_string()));
        }
        ExprKind::Call { function, args } if function.name.starts_with("label_") => {
            for arg in args.iter().skip(3) {
                if let ExprKind::String(text) = &arg.kind
                    && !text.is_empty()
                    && text.chars().all(|c| c.is_alphanumeric() || c == '_')
                {
                    found.insert(text.to_string());
                }
            }
        }
        _ => {}
    }
    found.remove("le");
}

/// A value that all of these matchers match; `replica` tells two series apart where it may.
fn value(matchers: &[&Matcher], replica: &str) -> Option<String> {
    let mut candidates = Vec::new();
    for matcher in matchers {
        match matcher.op() {
            MatchOp::Equal => candidates.push(matcher.value().to_owned()),
            MatchOp::Regex => {
                candidates.push(sample(matcher.value(), &format!("x{replica}")));
                candidates.push(sample(matcher.value(), "x"));
            }
            _ => {}
        }
    }
    candidates.push(format!("v{replica}"));
    candidates.push("v".to_owned());
    candidates.push(String::new());
    candidates
        .into_iter()
        .find(|one| matchers.iter().all(|matcher| matcher.matches(one)))
}

/// A text that a simple pattern matches: the first alternative, with `any` for what may be anything.
fn sample(pattern: &str, any: &str) -> String {
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
    let text = pattern.replace(".*", any).replace(".+", any);
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '(' | ')' | '\\' => {}
            '|' => break,
            c => out.push(c),
        }
    }
    out
}
