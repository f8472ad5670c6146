use stillwell_adapters::host::Signals as _;
use stillwell_engine::labels::Labels;
use stillwell_engine::{Engine, Limits};

use super::*;

fn spec(name: &str, expr: &str, hold_ms: i64) -> SignalSpec {
    SignalSpec {
        name: name.to_owned(),
        expr: expr.to_owned(),
        namespaces: Vec::new(),
        labels: Labels::empty(),
        policy: Policy {
            hold_ms: Some(hold_ms),
            ..Policy::default()
        },
        line: crate::yaml::Line(7),
        from_rules: false,
        sanitized: false,
        floors: Vec::new(),
        for_each: Vec::new(),
    }
}

fn config(signals: Vec<SignalSpec>) -> Config {
    Config {
        signals,
        ..Config::default()
    }
}

fn ids(registered: &ConfiguredSignals) -> Vec<SignalId> {
    registered.signals.iter().map(|(_, id)| *id).collect()
}

#[test]
fn a_reload_keeps_what_it_does_not_change_and_a_bad_one_keeps_everything() {
    let (_writer, reader) = Engine::new(Limits::default());
    let none = ConfiguredSignals::none(reader);
    let first = ConfiguredSignals::replace(
        &config(vec![spec("a", "sum(x)", 1), spec("b", "sum(y)", 1)]),
        &none,
        Timestamp::from_ms(0),
    )
    .expect("valid");
    let problems = ConfiguredSignals::replace(
        &config(vec![spec("a", "sum(x)", 9), spec("c", "sum(", 1)]),
        &first,
        Timestamp::from_ms(0),
    )
    .err()
    .expect("an expression is broken");
    assert_eq!((problems.len(), problems[0].line), (1, 7));
    let texts = check(&[spec("s", "\"x\"", 1), spec("m", "x[5m]", 1)]);
    let texts: Vec<&str> = texts.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        texts,
        [
            "signal \"s\": expr: it yields a string; a signal needs an instant vector or a scalar",
            "signal \"m\": expr: it yields a range vector; a signal needs an instant vector or a scalar",
        ]
    );
    let second = ConfiguredSignals::replace(
        &config(vec![spec("n", "sum(z)", 1), spec("renamed", "sum(x)", 2)]),
        &first,
        Timestamp::from_ms(0),
    )
    .expect("valid");
    assert_eq!(
        ids(&second)[1],
        ids(&first)[0],
        "same expression, another name and policy"
    );
    assert!(!ids(&first)[..1].contains(&ids(&second)[0]));
    assert_eq!(second.names(), ["n", "renamed"]);
}
