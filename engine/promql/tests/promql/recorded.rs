//! Queries of recorded series, read as the expressions of their rules, say what the recorded samples would say.

use stillwell_promql::model::labels::{Labels, METRIC_NAME};
use stillwell_promql::model::time::Timestamp;
use stillwell_promql::script::MemoryView;
use stillwell_promql::{EvalOptions, Features, Query, Value};
use stillwell_promql::{RecordedRule, RecordedRules};

const INTERVAL_MS: i64 = 5_000;
const NOW_MS: i64 = 150_000;

fn query(text: &str) -> Query {
    Query::parse(text, &Features::all()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Queues of four pods and a counter, for some minutes.
fn view() -> MemoryView {
    let mut view = MemoryView::default();
    for (at, (job, pod, model)) in [
        ("a", "p0", "m"),
        ("a", "p1", "n"),
        ("b", "p0", "m"),
        ("b", "p2", "n"),
    ]
    .into_iter()
    .enumerate()
    {
        let labels = |name: &str| {
            Labels::from_pairs([
                (METRIC_NAME, name),
                ("job", job),
                ("pod", pod),
                ("model", model),
            ])
        };
        for step in 0..=NOW_MS / 1_000 {
            let value = ((step * 7 + at as i64 * 13) % 40) as f64;
            view.add(&labels("q"), step * 1_000, value);
            view.add(
                &labels("served_total"),
                step * 1_000,
                (step * (at as i64 + 1)) as f64,
            );
            if at < 2 {
                view.add(&labels("limit"), step * 1_000, 10.0 * (at + 1) as f64);
            }
        }
    }
    view
}

fn elements(query: &Query, view: &MemoryView, at_ms: i64) -> Vec<(Labels, f64)> {
    let answer = query.instant(view, Timestamp::from_ms(at_ms), &EvalOptions::default());
    let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", query.text()));
    let mut elements: Vec<(Labels, f64)> = match answer.value {
        Value::Vector(vector) => {
            let element = |one: stillwell_promql::VectorSample| {
                let named = one.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
                (Labels::from_pairs(named), one.value)
            };
            vector.into_iter().map(element).collect()
        }
        Value::Scalar(_, value) => vec![(Labels::empty(), value)],
        other => panic!("{}: {other:?}", query.text()),
    };
    elements.sort_by(|one, other| one.0.cmp(&other.0));
    elements
}

/// Adds what a rule records at each of its evaluations up to now, with a stale marker where a series ends.
fn record(view: &mut MemoryView, name: &str, rule: &RecordedRule) {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let mut samples = Vec::new();
    let mut before: Vec<Labels> = Vec::new();
    for at_ms in (0..=NOW_MS).step_by(rule.interval_ms as usize) {
        let mut now = Vec::new();
        for (labels, value) in elements(&rule.query, view, at_ms) {
            let own = labels
                .iter()
                .filter(|(name, _)| rule.labels.get(name).is_none());
            let all = own.chain(rule.labels.iter()).chain([(METRIC_NAME, name)]);
            let labels = Labels::from_pairs(all);
            samples.push((labels.clone(), at_ms, value));
            now.push(labels);
        }
        let ended = before.into_iter().filter(|labels| !now.contains(labels));
        samples.extend(ended.map(|labels| (labels, at_ms, stale)));
        before = now;
    }
    for (labels, at_ms, value) in samples {
        view.add(&labels, at_ms, value);
    }
}

fn rule(labels: Labels, text: &str) -> RecordedRule {
    RecordedRule {
        labels,
        query: query(text),
        interval_ms: INTERVAL_MS,
    }
}

#[test]
fn a_recorded_series_is_read_as_the_expression_of_its_rule() {
    let rules = [
        "q",
        "sum by (job, model) (q)",
        "sum without (pod) (q)",
        "-max by (job, model) (q)",
        "rate(served_total[1m])",
        "max_over_time(sum by (job, model) (q)[1m:5s])",
        "q > 10",
        "q * on (job, pod, model) limit",
        "q * ignoring (pod) limit",
        "q * on (model) group_left (pod) sum by (model) (limit)",
        "sum by (model) (limit) * on (model) group_right () q",
        "q and on (pod) limit",
        "q unless limit",
        "q or limit",
        "sum by (job, model) (q) or vector(0)",
        "q > 100 or on () vector(5)",
        "vector(5) or q",
        "label_replace(q, \"zone\", \"z\", \"\", \"\")",
        "clamp_min(sum by (model) (q), 3) / 2",
        "quantile by (model) (0.5, q)",
        "2 * sum by (job) (q) + on (job) count by (job) (q)",
        "sum(q)",
        "vector(7)",
        "3",
    ];
    let queries = [
        "r",
        "sum(r)",
        "r{job=\"a\"}",
        "r{model=~\"m|x\", job!=\"b\"}",
        "sum by (job) (r{model=\"m\"})",
        "r{team=\"t\"}",
        "r{team=\"u\"}",
        "count by (team) (r)",
        "r{absent=\"\"}",
        "max_over_time(r[1m])",
        "sum(avg_over_time(r{job=\"a\"}[30s] offset 10s))",
        "r offset 20s",
        "r{pod=~\".+\"} > 3",
        "rr",
        "sum(rr{model=\"m\"}) + sum(r) or vector(0)",
    ];
    let (mut compared, mut refused) = (0, Vec::new());
    for text in rules {
        let mut recorded = RecordedRules::default();
        let mut stored = view();
        let of_team = rule(Labels::from_pairs([("team", "t")]), text);
        record(&mut stored, "r", &of_team);
        let of_r = rule(Labels::empty(), "sum by (model, job) (r) * 2");
        record(&mut stored, "rr", &of_r);
        recorded.add("r", of_team);
        recorded.add("rr", of_r);
        for asked in queries.map(query) {
            match asked.with_recorded(&recorded) {
                Ok(Some(expanded)) => {
                    let (expected, is) = (
                        elements(&asked, &stored, NOW_MS),
                        elements(&expanded, &view(), NOW_MS),
                    );
                    assert_eq!(is, expected, "{} of {text}", asked.text());
                    compared += 1;
                }
                Ok(None) => panic!("{} reads a recorded series", asked.text()),
                // Nothing is recorded that it selects.
                Err(why) if elements(&asked, &stored, NOW_MS).is_empty() => {
                    assert!(why.contains("is recorded by a rule"), "{why}");
                }
                // A label that no series has is a typing error, whatever the rest of the query says.
                Err(why) => refused.push(why),
            }
        }
    }
    assert!(compared > 200, "{compared}");
    assert!(
        refused
            .iter()
            .all(|why| why.contains("yields no label model") || why.contains("`or` decides")),
        "{refused:?}"
    );
}

#[test]
fn rules_that_record_one_name_with_different_labels_are_told_apart() {
    let mut recorded = RecordedRules::default();
    let mut stored = view();
    for quantile in ["0.5", "0.9"] {
        let labels = Labels::from_pairs([("quantile", quantile)]);
        let of_quantile = rule(labels, &format!("quantile by (job) ({quantile}, q)"));
        record(&mut stored, "r", &of_quantile);
        recorded.add("r", of_quantile);
    }
    for text in [
        "r",
        "r{quantile=\"0.9\"}",
        "sum(r)",
        "max by (quantile) (r{job=\"a\"})",
    ] {
        let asked = query(text);
        let expanded = asked.with_recorded(&recorded).expect(text).expect(text);
        let (is, expected) = (
            elements(&expanded, &view(), NOW_MS),
            elements(&asked, &stored, NOW_MS),
        );
        assert_eq!(is, expected, "{text}");
    }
    let why = query("r{quantile=\"0.99\"}")
        .with_recorded(&recorded)
        .expect_err("no rule has it");
    assert_eq!(
        why,
        "r is recorded by a rule whose own labels do not fit quantile=\"0.99\""
    );
}

#[test]
fn what_cannot_be_read_as_an_expression_says_why() {
    for (text, asked, expected) in [
        ("topk(1, q)", "r{job=\"a\"}", "`topk` decides"),
        ("q or on (pod) limit", "r{job=\"a\"}", "`or` decides"),
        ("sum by (model) (q)", "r{job=\"a\"}", "yields no label job"),
        (
            "count_values(\"job\", q)",
            "r{job=\"1\"}",
            "`count_values` decides",
        ),
        (
            "label_replace(q, \"job\", \"x\", \"\", \"\")",
            "r{job=\"x\"}",
            "`label_replace` decides",
        ),
        ("time()", "r offset 1m", "asks for the time"),
        ("sum(q)", "r @ 5", "read with `@`"),
        ("sum(q) + absent(q)", "sum(r) + sum(r) + sum(rr)", ""),
    ] {
        let mut recorded = RecordedRules::default();
        recorded.add("r", rule(Labels::empty(), text));
        match query(asked).with_recorded(&recorded) {
            Err(why) => assert!(!expected.is_empty() && why.contains(expected), "{why}"),
            Ok(_) => assert!(expected.is_empty(), "{asked} of {text}"),
        }
    }
}

/// Each rule reads the one before it twice: without a bound the query would have 2^40 selectors.
#[test]
fn rules_of_rules_end_somewhere() {
    let mut recorded = RecordedRules::default();
    for at in 1..=40 {
        let text = format!("r{} + r{}", at - 1, at - 1);
        recorded.add(&format!("r{at}"), rule(Labels::empty(), &text));
    }
    // Each is 50 deep: evaluation recurses, and a stack has an end.
    let mut deep = RecordedRules::default();
    for at in 0..99 {
        let text = format!("{}r{}{}", "abs(".repeat(50), at + 1, ")".repeat(50));
        deep.add(&format!("r{at}"), rule(Labels::empty(), &text));
    }
    assert!(
        query("r0")
            .with_recorded(&deep)
            .is_err_and(|why| why.contains("too long"))
    );
    let labels: Vec<String> = (0..3_000).map(|at| format!("l{at}")).collect();
    let many = Labels::from_pairs(labels.iter().map(|label| (label.as_str(), "x")));
    let mut labelled = RecordedRules::default();
    labelled.add("r", rule(many, "sum(q)"));
    assert!(
        query("r")
            .with_recorded(&labelled)
            .is_err_and(|why| why.contains("too long"))
    );
    let why = query("r40")
        .with_recorded(&recorded)
        .expect_err("it is too long");
    assert!(why.contains("too long"), "{why}");
    // A rule that goes on from its own samples reads them as they are recorded.
    let mut recorded = RecordedRules::default();
    recorded.add("r", rule(Labels::empty(), "r + 1 or vector(0)"));
    let expanded = query("r")
        .with_recorded(&recorded)
        .expect("it ends")
        .expect("a rule");
    assert_eq!(expanded.selectors().count(), 1);
}
