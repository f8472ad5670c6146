//! `/api/v1/parse_query`: the plan of a query as JSON, in the shape of Prometheus' own tree (web/api/v1/translate_ast.go).

use stillwell_engine::number_text::push_plain;
use stillwell_engine::promql::Function;
use stillwell_engine::promql::plan::{
    At, Binary, Cardinality, Duration, Edges, Expr, ExprKind, Selector, ValueType,
};

use crate::json;

/// Appends a node and all below it.
pub(super) fn node(out: &mut String, expr: &Expr) {
    match &expr.kind {
        ExprKind::Number(value) => {
            let mut text = String::new();
            push_plain(&mut text, *value);
            kind(out, "numberLiteral");
            string(out, "val", &text);
        }
        ExprKind::String(text) => {
            kind(out, "stringLiteral");
            string(out, "val", text);
        }
        ExprKind::Selector(selector) => {
            kind(out, "vectorSelector");
            self::selector(out, selector, selector.edges);
        }
        ExprKind::Range {
            selector,
            range,
            edges,
        } => {
            kind(out, "matrixSelector");
            duration(out, "range", range);
            self::selector(out, selector, *edges);
        }
        ExprKind::Subquery(subquery) => {
            kind(out, "subquery");
            child(out, "expr", Some(&subquery.expr));
            duration(out, "range", &subquery.range);
            duration(out, "offset", &subquery.offset);
            duration(
                out,
                "step",
                subquery.step.as_ref().unwrap_or(&Duration::ZERO),
            );
            at(out, subquery.at);
        }
        ExprKind::Call { function, args } => call(out, function, args),
        ExprKind::Aggregate(aggregate) => {
            kind(out, "aggregation");
            string(out, "op", aggregate.op.as_str());
            child(out, "expr", Some(&aggregate.expr));
            child(out, "param", aggregate.param.as_ref());
            strings(out, "grouping", &aggregate.grouping);
            out.push_str(&format!(",\"without\":{}", aggregate.without));
        }
        ExprKind::Binary(binary) => self::binary(out, binary),
        ExprKind::Negate(inner) => {
            kind(out, "unaryExpr");
            string(out, "op", "-");
            child(out, "expr", Some(inner));
        }
        ExprKind::Paren(inner) => {
            kind(out, "parenExpr");
            child(out, "expr", Some(inner));
        }
        ExprKind::StepInvariant(inner) => return node(out, inner),
    }
    out.push('}');
}

fn call(out: &mut String, function: &Function, args: &[Expr]) {
    kind(out, "call");
    out.push_str(",\"func\":{\"name\":");
    json::string(out, function.name);
    out.push_str(",\"argTypes\":");
    json::strings(out, function.args.iter().map(|one| type_name(*one)));
    out.push_str(&format!(",\"variadic\":{}", function.variadic));
    string(out, "returnType", type_name(function.returns));
    out.push_str("},\"args\":[");
    json::joined(out, args, node);
    out.push(']');
}

fn binary(out: &mut String, binary: &Binary) {
    kind(out, "binaryExpr");
    string(out, "op", binary.op.as_str());
    child(out, "lhs", Some(&binary.lhs));
    child(out, "rhs", Some(&binary.rhs));
    let vectors = [&binary.lhs, &binary.rhs]
        .iter()
        .all(|side| side.value_type() == ValueType::Vector);
    out.push_str(",\"matching\":");
    if vectors {
        let matching = &binary.matching;
        let card = match matching.cardinality {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        };
        out.push_str("{\"card\":");
        json::string(out, card);
        strings(out, "labels", &matching.labels);
        out.push_str(&format!(",\"on\":{}", matching.on));
        strings(out, "include", &matching.include);
        let fill = |value: Option<f64>| value.map_or("null".to_owned(), |value| value.to_string());
        let (left, right) = (fill(matching.fill_left), fill(matching.fill_right));
        out.push_str(&format!(
            ",\"fillValues\":{{\"lhs\":{left},\"rhs\":{right}}}}}"
        ));
    } else {
        out.push_str("null");
    }
    out.push_str(&format!(",\"bool\":{}", binary.return_bool));
}

fn selector(out: &mut String, selector: &Selector, edges: Edges) {
    let name = selector.metric_name().filter(|_| selector.named);
    string(out, "name", name.unwrap_or(""));
    duration(out, "offset", &selector.offset);
    out.push_str(",\"matchers\":[");
    json::joined(out, &selector.matchers, |out, matcher| {
        json::object(
            out,
            [
                ("name", matcher.name()),
                ("value", matcher.value()),
                ("type", matcher.op().as_str()),
            ],
        );
    });
    out.push(']');
    at(out, selector.at);
    out.push_str(&format!(
        ",\"anchored\":{},\"smoothed\":{}",
        edges == Edges::Anchored,
        edges == Edges::Smoothed
    ));
}

fn at(out: &mut String, at: Option<At>) {
    let (time, edge) = match at {
        None => ("null".to_owned(), "null"),
        Some(At::Time(ms)) => (ms.to_string(), "null"),
        Some(At::Start) => ("null".to_owned(), "\"start\""),
        Some(At::End) => ("null".to_owned(), "\"end\""),
    };
    out.push_str(&format!(",\"timestamp\":{time},\"startOrEnd\":{edge}"));
}

/// Milliseconds; 0 where they wait for the query's step or range.
fn duration(out: &mut String, name: &str, duration: &Duration) {
    let ms = duration.fixed_ms().unwrap_or(0);
    out.push_str(&format!(",\"{name}\":{ms},\"{name}Expr\":null"));
}

fn child(out: &mut String, name: &str, expr: Option<&Expr>) {
    out.push_str(&format!(",\"{name}\":"));
    match expr {
        Some(expr) => node(out, expr),
        None => out.push_str("null"),
    }
}

fn kind(out: &mut String, name: &str) {
    out.push_str("{\"type\":");
    json::string(out, name);
}

fn string(out: &mut String, name: &str, value: &str) {
    out.push_str(&format!(",\"{name}\":"));
    json::string(out, value);
}

fn strings(out: &mut String, name: &str, values: &[std::sync::Arc<str>]) {
    out.push_str(&format!(",\"{name}\":"));
    json::strings(out, values.iter().map(|value| &**value));
}

fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use stillwell_engine::promql::{Features, Query};

    use super::*;

    fn tree(text: &str) -> Value {
        let query = Query::parse(text, &Features::all()).expect(text);
        let mut out = String::new();
        node(&mut out, query.plan());
        serde_json::from_str(&out).expect("JSON")
    }

    #[test]
    fn a_query_is_told_as_prometheus_tells_it() {
        let told = tree("sum by (a) (rate(m{x=~\"y\"}[5m] offset 1m)) > bool 2");
        assert_eq!(
            told,
            json!({
                "type": "binaryExpr", "op": ">", "bool": true, "matching": null,
                "lhs": {
                    "type": "aggregation", "op": "sum", "param": null, "grouping": ["a"], "without": false,
                    "expr": {
                        "type": "call",
                        "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"},
                        "args": [{
                            "type": "matrixSelector", "name": "m", "range": 300_000, "rangeExpr": null,
                            "offset": 60_000, "offsetExpr": null, "timestamp": null, "startOrEnd": null,
                            "anchored": false, "smoothed": false,
                            "matchers": told["lhs"]["expr"]["args"][0]["matchers"],
                        }],
                    },
                },
                "rhs": {"type": "numberLiteral", "val": "2"},
            })
        );
        let matchers = told["lhs"]["expr"]["args"][0]["matchers"].as_array();
        assert!(matchers.is_some_and(|all| {
            all.contains(&json!({"name": "x", "value": "y", "type": "=~"}))
                && all.contains(&json!({"name": "__name__", "value": "m", "type": "="}))
        }));
        let told = tree("a + on (x) group_left (y) (b @ end())");
        assert_eq!(
            told["matching"],
            json!({"card": "many-to-one", "labels": ["x"], "on": true, "include": ["y"],
                "fillValues": {"lhs": null, "rhs": null}})
        );
        assert_eq!(told["rhs"]["expr"]["startOrEnd"], "end");
        let told = tree("max_over_time(a[1h:5m])");
        assert_eq!(told["args"][0]["step"], 300_000);
    }
}
