//! Errors of texts stand where Prometheus says and have its words: clients show them, and people search for them.

use stillwell_promql::{Features, Query, QueryError};

/// Texts, and what the parser of Prometheus 3.14 says of each, behind a tab; `\\n` is a new line.
const ERRORS: &str = include_str!("errors.tsv");

#[test]
fn errors_are_those_of_prometheus() {
    let read = |text: &str| {
        let mut parts = text.split("\\\\").map(|part| part.replace("\\n", "\n"));
        let first = parts.next().unwrap_or_default();
        parts.fold(first, |whole, part| whole + "\\" + &part)
    };
    let mut different = Vec::new();
    for line in ERRORS.lines() {
        let (text, expected) = line.split_once('\t').expect("two columns");
        let (text, expected) = (read(text), read(expected));
        let said = match Query::parse(&text, &Features::default()) {
            Err(QueryError::BadData { message, .. }) => message,
            other => format!("{other:?}"),
        };
        if said != expected {
            different.push(format!(
                "{text:?}\n  expected {expected}\n  said     {said}"
            ));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What is wrong first is told first, whatever else is.
#[test]
fn the_first_error_is_told() {
    for (text, expected) in [
        (
            "foo bar $",
            "1:5: parse error: unexpected identifier \"bar\"",
        ),
        (
            "nope(x) bar",
            "1:1: parse error: unknown function with name \"nope\"",
        ),
        (
            "nope(x bar",
            "1:8: parse error: unexpected identifier \"bar\"",
        ),
        (
            "rate(x) + nope(x)",
            "1:11: parse error: unknown function with name \"nope\"",
        ),
        (
            "rate(x) + abs(\"a\")",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "sum(x, rate(x))",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        (
            "datasource()",
            "1:1: parse error: unknown function with name \"datasource\"",
        ),
    ] {
        let error = Query::parse(text, &Features::default()).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}
