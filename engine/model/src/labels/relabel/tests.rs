use super::*;
use crate::labels::Labels;

fn rule(action: RelabelAction, fields: &[(&str, &str)]) -> Result<RelabelRule, RelabelError> {
    let mut spec = RelabelSpec {
        action,
        ..RelabelSpec::default()
    };
    for (field, value) in fields {
        match *field {
            "source" => spec.source_labels = value.split(',').map(str::to_owned).collect(),
            "separator" => spec.separator = (*value).to_owned(),
            "regex" => spec.regex = (*value).to_owned(),
            "modulus" => spec.modulus = value.parse().expect("a number"),
            "target" => spec.target_label = (*value).to_owned(),
            "replacement" => spec.replacement = (*value).to_owned(),
            other => panic!("no field {other}"),
        }
    }
    RelabelRule::new(spec)
}

/// Forty rules of a stranger's monitor made gigabytes of one label.
#[test]
fn rules_that_double_what_they_find_end_at_a_bound() {
    let doubling = [
        rule(
            RelabelAction::Replace,
            &[("source", "a"), ("target", "a"), ("replacement", "$1$1")],
        ),
        rule(
            RelabelAction::LabelMap,
            &[("regex", "(.+)"), ("replacement", "a$1")],
        ),
        rule(
            RelabelAction::LabelMap,
            &[("regex", "(.+)"), ("replacement", "$1$1")],
        ),
    ];
    for (rule, is_cut_short) in doubling.into_iter().zip([true, false, true]) {
        let rules = vec![rule.expect("valid"); 40];
        let mut labels = Labels::from_pairs([("a", "xy"), ("b", "z")]).to_builder();
        assert!(relabel(&rules, &mut labels));
        let built = labels.build();
        assert_eq!(labels.is_cut_short(), is_cut_short);
        assert!(built.bytes() < 1 << 20, "{} bytes", built.bytes());
    }
}

fn pairs(text: &str) -> Labels {
    let parts = text
        .split_whitespace()
        .map(|pair| pair.split_once('=').expect("a=b"));
    Labels::from_pairs(parts)
}

#[test]
fn every_action_does_what_prometheus_does() {
    use RelabelAction::*;
    type Case = (
        RelabelAction,
        &'static [(&'static str, &'static str)],
        &'static str,
        Option<&'static str>,
    );
    let cases: &[Case] = &[
        (
            Replace,
            &[
                ("source", "a"),
                ("regex", "f(.*)"),
                ("target", "d"),
                ("replacement", "ch${1}-ch${1}"),
            ],
            "a=foo b=bar",
            Some("a=foo b=bar d=choo-choo"),
        ),
        (
            Replace,
            &[
                ("source", "a,b"),
                ("regex", "f(.*);(.*)r"),
                ("target", "a"),
                ("replacement", "b${1}${2}m"),
            ],
            "a=foo b=bar",
            Some("a=boobam b=bar"),
        ),
        (
            Replace,
            &[("source", "a,b"), ("separator", "::"), ("target", "c")],
            "a=foo b=bar",
            Some("a=foo b=bar c=foo::bar"),
        ),
        (
            Replace,
            &[("source", "a"), ("regex", "o"), ("target", "d")],
            "a=foo",
            Some("a=foo"),
        ),
        (
            Replace,
            &[
                ("source", "a"),
                ("regex", ".*"),
                ("target", "a"),
                ("replacement", ""),
            ],
            "a=foo b=x",
            Some("b=x"),
        ),
        (
            Replace,
            &[
                ("source", "a"),
                ("regex", "(.+)-(.+)"),
                ("target", "$1"),
                ("replacement", "$2"),
            ],
            "a=k-v",
            Some("a=k-v k=v"),
        ),
        (
            Replace,
            &[("target", "n"), ("replacement", "x")],
            "a=1",
            Some("a=1 n=x"),
        ),
        (
            Replace,
            &[
                ("source", "a"),
                ("regex", "x(y)?"),
                ("target", "$1"),
                ("replacement", "v"),
            ],
            "a=x",
            Some("a=x"),
        ),
        (
            Keep,
            &[("source", "a"), ("regex", "fo+")],
            "a=foo",
            Some("a=foo"),
        ),
        (Keep, &[("source", "a"), ("regex", "f")], "a=foo", None),
        (Drop, &[("source", "a"), ("regex", "f|foo")], "a=foo", None),
        (Drop, &[("source", "missing"), ("regex", "")], "a=foo", None),
        (
            KeepEqual,
            &[("source", "a"), ("target", "b")],
            "a=x b=x",
            Some("a=x b=x"),
        ),
        (
            KeepEqual,
            &[("source", "a"), ("target", "b")],
            "a=x b=y",
            None,
        ),
        (
            DropEqual,
            &[("source", "a"), ("target", "b")],
            "a=x b=x",
            None,
        ),
        (
            DropEqual,
            &[("source", "a"), ("target", "b")],
            "a=x b=y",
            Some("a=x b=y"),
        ),
        // The two buckets are those of Prometheus' own test (model/relabel, hashmod).
        (
            HashMod,
            &[("source", "c"), ("target", "d"), ("modulus", "1000")],
            "a=foo b=bar c=baz",
            Some("a=foo b=bar c=baz d=976"),
        ),
        (
            LabelMap,
            &[("regex", "(b.*)"), ("replacement", "bar_${1}")],
            "a=foo b1=bar b2=baz",
            Some("a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz"),
        ),
        (
            LabelDrop,
            &[("regex", "b.*")],
            "a=foo b1=bar b2=baz",
            Some("a=foo"),
        ),
        (
            LabelKeep,
            &[("regex", "b.*")],
            "a=foo b1=bar b2=baz",
            Some("b1=bar b2=baz"),
        ),
        (
            Lowercase,
            &[("source", "a"), ("target", "l")],
            "a=FoO",
            Some("a=FoO l=foo"),
        ),
        (
            Uppercase,
            &[("source", "a"), ("target", "u")],
            "a=straße",
            Some("a=straße u=STRAßE"),
        ),
    ];
    for (action, fields, before, after) in cases {
        let rule = rule(*action, fields).expect("a valid rule");
        let mut labels = pairs(before).to_builder();
        let kept = relabel(&[rule], &mut labels).then(|| labels.build());
        assert_eq!(
            kept,
            after.map(pairs),
            "{} {fields:?} on {before}",
            action.as_str()
        );
    }
}

#[test]
fn a_dropped_set_stops_the_chain() {
    let drop = rule(RelabelAction::Drop, &[("source", "a"), ("regex", "x")]).expect("valid");
    let write = rule(
        RelabelAction::Replace,
        &[("target", "t"), ("replacement", "v")],
    )
    .expect("valid");
    let mut labels = pairs("a=x").to_builder();
    assert!(!relabel(&[drop, write], &mut labels));
    assert_eq!(labels.get("t"), "");
}

#[test]
fn rules_that_prometheus_refuses_are_refused() {
    use RelabelAction::*;
    for (action, fields, says) in [
        (HashMod, &[("target", "a")][..], "modulus of at least 1"),
        (Replace, &[], "needs a target_label"),
        (KeepEqual, &[("source", "a")], "needs a target_label"),
        (LabelDrop, &[("source", "a")], "does not use source_labels"),
        (
            LabelKeep,
            &[("replacement", "x")],
            "does not use replacement",
        ),
        (
            DropEqual,
            &[("target", "t"), ("regex", "x")],
            "does not use regex",
        ),
        (
            Lowercase,
            &[("target", "t"), ("replacement", "x")],
            "does not use replacement",
        ),
        (Keep, &[("regex", "(")], "regex \"(\""),
    ] {
        let error = rule(action, fields)
            .expect_err("must be refused")
            .to_string();
        assert!(error.contains(says), "{}: {error}", action.as_str());
    }
}

#[test]
fn action_names_are_read_in_any_case() {
    for action in RelabelAction::ALL {
        assert_eq!(
            RelabelAction::from_name(&action.as_str().to_uppercase()),
            Some(action)
        );
    }
    assert_eq!(RelabelAction::from_name("replaces"), None);
}
