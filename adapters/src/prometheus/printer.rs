//! PromQL as Prometheus prints it: on one line, or broken where a line would be longer than 100 characters
//! (promql/parser/printer.go, prettier.go).

use std::fmt::Write;

use stillwell_engine::labels::{METRIC_NAME, MatchOp, is_legacy_label_name, is_legacy_metric_name};
use stillwell_engine::number_text::push_plain;
use stillwell_engine::promql::Query;
use stillwell_engine::promql::plan::{
    Aggregate, At, Binary, Cardinality, Duration, Edges, Expr, ExprKind, Selector, Subquery,
};

/// Longer texts are broken into lines.
const LINE_CHARS_MAX: usize = 100;

/// A query on one line; `text` is what it was read from.
pub fn print_query(query: &Query, text: &str) -> String {
    Printer { text }.line(query.plan())
}

/// Prints a plan; `text` is the query that it was made of, whose duration expressions are printed as written.
pub(super) struct Printer<'t> {
    pub(super) text: &'t str,
}

impl Printer<'_> {
    /// On several lines where it is long.
    pub(super) fn pretty(&self, expr: &Expr, level: usize) -> String {
        let line = self.line(expr);
        let margin = "  ".repeat(level);
        if line.chars().count() <= LINE_CHARS_MAX {
            return format!("{margin}{line}");
        }
        match &expr.kind {
            ExprKind::Aggregate(aggregate) => {
                let mut out = format!("{margin}{}(\n", self.aggregate_head(aggregate));
                if let Some(param) = &aggregate.param {
                    out.push_str(&self.pretty(param, level + 1));
                    out.push_str(",\n");
                }
                out.push_str(&self.pretty(&aggregate.expr, level + 1));
                out + &format!("\n{margin})")
            }
            ExprKind::Binary(binary) => format!(
                "{}\n{margin}{}\n{}",
                self.pretty(&binary.lhs, level + 1),
                self.operator(binary),
                self.pretty(&binary.rhs, level + 1)
            ),
            ExprKind::Call { function, args } => {
                let args = args.iter().map(|arg| self.pretty(arg, level + 1));
                let args = args.collect::<Vec<_>>().join(",\n");
                format!("{margin}{}(\n{args}\n{margin})", function.name)
            }
            ExprKind::Paren(inner) => {
                format!("{margin}(\n{}\n{margin})", self.pretty(inner, level + 1))
            }
            ExprKind::StepInvariant(inner) => self.pretty(inner, level),
            ExprKind::Subquery(subquery) => {
                self.pretty(&subquery.expr, level) + &self.subquery_suffix(subquery)
            }
            ExprKind::Negate(inner) => {
                format!("{margin}-{}", self.pretty(inner, level).trim_start())
            }
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Selector(_)
            | ExprKind::Range { .. } => format!("{margin}{line}"),
        }
    }

    /// On one line.
    pub(super) fn line(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Number(value) => {
                let mut out = String::new();
                push_plain(&mut out, *value);
                out
            }
            ExprKind::String(text) => quoted(text),
            ExprKind::Selector(selector) => {
                let mut out = series(selector);
                out.push_str(&at(selector.at));
                out.push_str(edges(selector.edges));
                out + &self.offset(&selector.offset)
            }
            ExprKind::Range {
                selector,
                range,
                edges: extended,
            } => format!(
                "{}[{}]{}{}{}",
                series(selector),
                self.duration(range),
                edges(*extended),
                at(selector.at),
                self.offset(&selector.offset)
            ),
            ExprKind::Subquery(subquery) => {
                self.line(&subquery.expr) + &self.subquery_suffix(subquery)
            }
            ExprKind::Call { function, args } => {
                let args = args.iter().map(|arg| self.line(arg));
                format!("{}({})", function.name, args.collect::<Vec<_>>().join(", "))
            }
            ExprKind::Aggregate(aggregate) => {
                let param = aggregate.param.as_ref();
                let param = param.map_or(String::new(), |param| self.line(param) + ", ");
                let head = self.aggregate_head(aggregate);
                format!("{head}({param}{})", self.line(&aggregate.expr))
            }
            ExprKind::Binary(binary) => format!(
                "{} {} {}",
                self.line(&binary.lhs),
                self.operator(binary),
                self.line(&binary.rhs)
            ),
            ExprKind::Negate(inner) => format!("-{}", self.line(inner)),
            ExprKind::Paren(inner) => format!("({})", self.line(inner)),
            ExprKind::StepInvariant(inner) => self.line(inner),
        }
    }

    fn aggregate_head(&self, aggregate: &Aggregate) -> String {
        let op = aggregate.op.as_str();
        let names = names(&aggregate.grouping);
        match (aggregate.without, aggregate.grouping.is_empty()) {
            (true, _) => format!("{op} without ({names}) "),
            (false, false) => format!("{op} by ({names}) "),
            (false, true) => op.to_owned(),
        }
    }

    fn operator(&self, binary: &Binary) -> String {
        let mut out = binary.op.as_str().to_owned();
        if binary.return_bool {
            out.push_str(" bool");
        }
        let matching = &binary.matching;
        let many = match matching.cardinality {
            Cardinality::ManyToOne => Some("left"),
            Cardinality::OneToMany => Some("right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !matching.labels.is_empty() || matching.on || many.is_some() {
            let tag = if matching.on { "on" } else { "ignoring" };
            write!(out, " {tag} ({})", names(&matching.labels)).ok();
        }
        if let Some(side) = many {
            write!(out, " group_{side} ({})", names(&matching.include)).ok();
        }
        match (matching.fill_left, matching.fill_right) {
            (Some(left), Some(right)) if left == right => {
                write!(out, " fill ({left})").ok();
            }
            (left, right) => {
                for (side, value) in [("left", left), ("right", right)] {
                    if let Some(value) = value {
                        write!(out, " fill_{side} ({value})").ok();
                    }
                }
            }
        }
        out
    }

    fn subquery_suffix(&self, subquery: &Subquery) -> String {
        let step = subquery.step.as_ref().map(|step| self.duration(step));
        format!(
            "[{}:{}]{}{}",
            self.duration(&subquery.range),
            step.unwrap_or_default(),
            at(subquery.at),
            self.offset(&subquery.offset)
        )
    }

    fn offset(&self, offset: &Duration) -> String {
        match offset {
            Duration::Fixed(0) => String::new(),
            Duration::Fixed(ms) if *ms < 0 => format!(" offset -{}", show(ms.unsigned_abs())),
            other => format!(" offset {}", self.duration(other)),
        }
    }

    fn duration(&self, duration: &Duration) -> String {
        match duration {
            Duration::Fixed(ms) => show(ms.unsigned_abs()),
            Duration::Deferred(written) => {
                let span = written.span;
                let text = self.text.get(span.start..span.end);
                text.unwrap_or_default().to_owned()
            }
        }
    }
}

fn series(selector: &Selector) -> String {
    // A name of other characters can stand in the braces only.
    let name = selector.metric_name().filter(|_| selector.named);
    let name = name.filter(|name| is_legacy_metric_name(name));
    let mut out = name.unwrap_or("").to_owned();
    let matchers = selector.matchers.iter().filter(|matcher| {
        let is_name = matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
        !(is_name && name == Some(matcher.value()))
    });
    let mut shown: Vec<String> = matchers
        .map(|matcher| {
            let (name, op) = (label(matcher.name()), matcher.op().as_str());
            format!("{name}{op}{}", quoted(matcher.value()))
        })
        .collect();
    shown.sort();
    if !shown.is_empty() || name.is_none() {
        write!(out, "{{{}}}", shown.join(",")).ok();
    }
    out
}

fn at(at: Option<At>) -> String {
    match at {
        None => String::new(),
        Some(At::Start) => " @ start()".to_owned(),
        Some(At::End) => " @ end()".to_owned(),
        Some(At::Time(ms)) => format!(" @ {:.3}", ms as f64 / 1000.0),
    }
}

fn edges(edges: Edges) -> &'static str {
    match edges {
        Edges::Plain => "",
        Edges::Anchored => " anchored",
        Edges::Smoothed => " smoothed",
    }
}

fn names(labels: &[std::sync::Arc<str>]) -> String {
    let labels = labels.iter().map(|name| label(name));
    labels.collect::<Vec<_>>().join(", ")
}

fn label(name: &str) -> String {
    match is_legacy_label_name(name) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    crate::json::string(&mut out, text);
    out
}

/// A duration as Prometheus prints it: years, weeks and days only where nothing smaller is left over.
pub(super) fn show(ms: u64) -> String {
    const UNITS: [(&str, u64, bool); 7] = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    if ms == 0 {
        return "0s".to_owned();
    }
    let (mut rest, mut text) = (ms, String::new());
    for (unit, size, exact) in UNITS {
        if rest >= size && !(exact && rest % size != 0) {
            write!(text, "{}{unit}", rest / size).ok();
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use stillwell_engine::promql::Features;

    use super::*;

    fn printed(text: &str) -> String {
        let query = Query::parse(text, &Features::all()).expect(text);
        Printer { text }.pretty(query.plan(), 0)
    }

    #[test]
    fn queries_print_as_prometheus_prints_them() {
        for (text, shown) in [
            ("foo/bar", "foo / bar"),
            ("sum (a)by(x,y)", "sum by (x, y) (a)"),
            ("sum without()(a)", "sum without () (a)"),
            ("topk(3,a{b='c'})", r#"topk(3, a{b="c"})"#),
            ("{__name__=~'x|y',a!=\"b\"}", r#"{__name__=~"x|y",a!="b"}"#),
            ("{'a.b'}", r#"{__name__="a.b"}"#),
            ("rate(a[90s] offset -1h)", "rate(a[1m30s] offset -1h)"),
            ("a @ 1.5 offset 7d", "a @ 1.500 offset 1w"),
            (
                "max_over_time(a[1h:] @ end())",
                "max_over_time(a[1h:] @ end())",
            ),
            ("a*on(x)group_left(y)b", "a * on (x) group_left (y) b"),
            ("a == bool 1", "a == bool 1"),
            ("-(a)", "-(a)"),
            ("1e6", "1000000"),
            (
                "label_replace(a,'x','$1','y','(.*)')",
                r#"label_replace(a, "x", "$1", "y", "(.*)")"#,
            ),
            ("a[step()*2]", "a[step()*2]"),
            ("time()", "time()"),
        ] {
            assert_eq!(printed(text), shown, "{text}");
        }
    }

    #[test]
    fn a_long_query_is_broken_into_lines() {
        let long = "sum by (inference_pool, model_name) (rate(inference_extension_flow_control_queue_size{inference_pool=\"p\"}[5m])) / on (inference_pool) group_left () max by (inference_pool) (inference_pool_ready_pods)";
        assert_eq!(
            printed(long),
            "  sum by (inference_pool, model_name) (\n    rate(inference_extension_flow_control_queue_size{inference_pool=\"p\"}[5m])\n  )\n/ on (inference_pool) group_left ()\n  max by (inference_pool) (inference_pool_ready_pods)"
        );
        let again = printed(&printed(long));
        assert_eq!(again, printed(long), "printing is stable");
    }
}
