//! The plain cases: which name decides, what counts against a limit, what is told as new.

use stillwell_engine::labels::{Labels, RelabelAction, RelabelRule, RelabelSpec};
use stillwell_engine::promql::select::STALE_NAN_BITS;
use stillwell_engine::signal::Policy;
use stillwell_engine::{Engine, Format, Limits, Retain, ScrapeFacts, TargetSpec, Timestamp};

use super::side::{INTERVAL_MS, START, Side};

/// One target with these rules and one signal, `sum(q)`.
fn sparing(spec: TargetSpec) -> Side {
    let (mut writer, reader) = Engine::new(Limits::default());
    let signals = vec![writer.register("sum(q)", Policy::default()).expect("valid")];
    let labels = Labels::from_pairs([("job", "epp"), ("instance", "t0")]);
    let (_, stage) = writer.add_target(TargetSpec {
        labels,
        interval_ms: INTERVAL_MS as u64,
        retain: Retain::Signals,
        ..spec
    });
    Side {
        writer,
        reader,
        stages: vec![stage],
        signals,
    }
}

fn names(side: &Side) -> Vec<String> {
    let held = side.holds().into_keys();
    let mut names: Vec<String> = held
        .map(|labels| labels.metric_name().unwrap_or_default().to_owned())
        .collect();
    names.dedup();
    names
}

#[test]
fn what_is_kept_is_decided_by_the_name_that_relabelling_leaves() {
    let rule = |spec: RelabelSpec| RelabelRule::new(spec).expect("valid");
    let renames = rule(RelabelSpec {
        source_labels: vec!["__name__".to_owned()],
        regex: "old_(.*)".to_owned(),
        target_label: "__name__".to_owned(),
        ..RelabelSpec::default()
    });
    let drops = rule(RelabelSpec {
        source_labels: vec!["pod".to_owned()],
        regex: "x".to_owned(),
        action: RelabelAction::Drop,
        ..RelabelSpec::default()
    });
    let page = format!(
        "{START} 1\nold_q{{pod=\"a\"}} 3\nold_q{{pod=\"x\"}} 4\nother{{pod=\"a\"}} 5\nq{{pod=\"a\"}} 6\n"
    );
    for (rules, kept, value) in [
        (vec![], 2, Some(6.0)),
        (vec![drops.clone()], 2, Some(6.0)),
        // The last line has the series of the first: their sum is not the whole.
        (vec![renames.clone()], 4, None),
        (vec![renames, drops], 3, None),
    ] {
        let mut side = sparing(TargetSpec {
            metric_relabel: rules.clone(),
            ..TargetSpec::default()
        });
        for step in 1..4 {
            let at = Timestamp::from_ms(step * INTERVAL_MS);
            assert_eq!(side.scrape(0, &page, at), Some((5, kept)), "{rules:?}");
        }
        assert_eq!(names(&side), [START, "q"], "{rules:?}");
        let now = Timestamp::from_ms(3 * INTERVAL_MS);
        let reading = side
            .reader
            .signal(side.signals[0], now, &[])
            .expect("registered");
        let told = reading.elements.first().map(|element| element.value);
        assert_eq!(told, value, "{rules:?}: {reading:?}");
    }
}

#[test]
fn the_sample_limit_counts_what_is_kept() {
    let mut side = sparing(TargetSpec {
        sample_limit: 2,
        ..TargetSpec::default()
    });
    let at = Timestamp::from_ms(1_000);
    let page = format!("{START} 1\na 1\nb 2\nc 3\nq 4\n");
    assert_eq!(side.scrape(0, &page, at), Some((5, 2)));
    let more = page + "q{l=\"2\"} 1\n";
    let staged = side.stages[0].parse(more.as_bytes(), Format::Text);
    let refused = side.writer.commit(
        staged.expect("parses"),
        Timestamp::from_ms(2_000),
        ScrapeFacts::default(),
    );
    assert!(refused.is_err(), "three are kept");
}

/// A value that a client can set must not bring lines of its own into the page, though it stands in a line that is
/// passed over.
#[test]
fn a_line_break_in_a_skipped_value_makes_no_line() {
    let mut side = sparing(TargetSpec::default());
    let at = |step: i64| Timestamp::from_ms(step * INTERVAL_MS);
    let page =
        |value: &str| format!("{START} 1\nq 4\njunk{{l=\"{value}\",m=\"\"}} 1\nq{{l=\"2\"}} 1\n");
    let held = |side: &Side| side.holds().len();
    side.scrape(0, &page("a"), at(1)).expect("taken");
    assert_eq!(held(&side), 3);
    for (step, value) in [
        "a\nq{l=\\\"9\\\"} 99\nz{l=\\\"",
        "a\nq 99\n# ",
        "a\nq_x 7\nq{l=9} 1",
    ]
    .into_iter()
    .enumerate()
    {
        let text = page(value);
        let refused = side.stages[0].parse(text.as_bytes(), Format::Text).is_err();
        assert!(refused, "{value:?}");
        side.fail(0, at(2 + step as i64));
    }
    side.scrape(0, &page("escaped \\\" quotes \\\\ \\n"), at(9))
        .expect("taken");
    assert_eq!(held(&side), 3);
}

#[test]
fn what_comes_and_goes_by_need_is_no_new_series_of_the_page() {
    let mut side = sparing(TargetSpec::default());
    let page = format!("{START} 1\nq 4\nother 5\n");
    let added = |side: &mut Side, step: i64| {
        let staged = side.stages[0]
            .parse(page.as_bytes(), Format::Text)
            .expect("parses");
        let at = Timestamp::from_ms(step * INTERVAL_MS);
        let committed = side.writer.commit(staged, at, ScrapeFacts::default());
        committed.expect("taken").series_added
    };
    assert_eq!((added(&mut side, 1), added(&mut side, 2)), (2, 0));
    side.register("sum(other)");
    assert_eq!((added(&mut side, 3), added(&mut side, 4)), (1, 0));
    side.unregister(1);
    assert_eq!((added(&mut side, 5), added(&mut side, 6)), (0, 0));
    let other = side.holds();
    let ended = |labels: &&Labels| labels.metric_name() == Some("other");
    let labels = other.keys().find(ended).expect("it has history");
    assert_eq!(
        other[labels].last().map(|last| last.1),
        Some(STALE_NAN_BITS)
    );
}
