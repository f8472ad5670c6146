//! Hostile text: whatever it is, it is answered or refused without panic, without a stack that grows with it (these tests
//! run on a test thread's 2 MiB of stack), and with work in proportion to its length. Work is counted in allocations, so
//! that the result does not depend on the machine; how long it takes is measured by the bench `promql`, group `parse`.

use proptest::prelude::*;
use stillwell_promql::model::time::Timestamp;
use stillwell_promql::script::MemoryView;
use stillwell_promql::{
    EvalOptions, Features, Query, QueryError, QueryMemory, Stop, parse_metric_selector,
};
use stillwell_testing::cases::cases;
use stillwell_testing::counting::{allocated_bytes, allocations};

/// Allocations of a query of any length, and those per byte.
const ALLOCATIONS_MAX: u64 = 20_000;
const ALLOCATIONS_PER_BYTE_MAX: u64 = 8;

fn parse(text: &str) -> Result<Query, QueryError> {
    let before = allocations();
    let outcome = Query::parse(text, &Features::all());
    let made = allocations() - before;
    assert!(
        made <= ALLOCATIONS_MAX + ALLOCATIONS_PER_BYTE_MAX * text.len() as u64,
        "{made} allocations for {} bytes: {:?}...",
        text.len(),
        text.chars().take(40).collect::<String>()
    );
    outcome
}

fn refused(text: &str) {
    assert!(
        matches!(parse(text), Err(QueryError::BadData { .. })),
        "{:?}",
        text.get(..60)
    );
}

/// Each series is held against all of them while the store is held.
#[test]
fn matchers_of_a_selector_are_bounded() {
    let selector = |count: usize| {
        let matchers: Vec<String> = (0..count).map(|at| format!("a{at}!=\"x\"")).collect();
        format!("up{{{}}}", matchers.join(","))
    };
    parse(&selector(100)).expect("as many as are allowed");
    for text in [
        selector(101),
        format!("sum({})", selector(1_500)),
        format!("{{{}}}", vec!["a=~\".+\""; 500].join(",")),
    ] {
        refused(&text);
    }
    assert!(parse_metric_selector(&selector(101)).is_err());
}

#[test]
fn a_megabyte_of_anything_is_refused() {
    for unit in [
        "(",
        "-",
        "+",
        "a+",
        "a^",
        "a and ",
        "sum(",
        "abs(",
        "a[5m:1m]",
        "{",
        "}",
        "[",
        "\"",
        "\\n",
        "'\\x",
        "`",
        "#",
        "# x\n",
        "a offset ",
        "a@",
        "1",
        "1s",
        "0x",
        "e",
        ",",
        "{a=\"b\",",
        "a{b=~\"(",
        " ",
        "\u{0}",
        "é",
        "💥",
        "a or on(",
        "fill(",
    ] {
        refused(&unit.repeat((1 << 20) / unit.len()));
    }
}

#[test]
fn just_below_the_size_limit_work_is_still_linear() {
    let size = 200 << 10;
    for (head, unit, tail) in [
        ("", "(", ""),
        ("", "-", "1"),
        ("a", "+a", ""),
        ("a", "^a", ""),
        ("a", " or a", ""),
        ("", "sum(", ""),
        ("", "a[5m:1m]", ""),
        ("\"", "\\n", "\""),
        ("\"", "\\xff", "\""),
        ("", "# comment\n", "a"),
        ("a{", "b=\"c\",", "}"),
        ("a{b=~\"", "x|", "\"}"),
        ("a{b=~\"", "(", "\"}"),
        ("a{b=~\"", "a{1000}", "\"}"),
        ("a{b=~\"", "\\\\pL", "\"}"),
        ("a{b=~\"", "[a-z]", "\"}"),
        ("sum by (", "a,", ") (b)"),
        ("rate(a[", "1+", "1])"),
        ("rate(a[", "(", "])"),
        ("rate(a[", "-", "1])"),
        ("label_join(a, \"b\"", ", \"c\"", ")"),
        ("a offset ", "-", "1"),
    ] {
        let text = format!("{head}{}{tail}", unit.repeat(size / unit.len()));
        let _ = parse(&text);
        let _ = parse_metric_selector(&text);
    }
}

#[test]
fn the_deepest_plans_that_pass_also_evaluate() {
    let deep = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let (view, options) = (
        MemoryView::default(),
        EvalOptions {
            features: Features::all(),
            ..EvalOptions::default()
        },
    );
    let at = Timestamp::from_ms;
    let mut evaluated = 0;
    for depth in [10, 50, 90, 99, 100, 150, 199, 200, 1_000] {
        for text in [
            deep("(", "a", ")", depth),
            deep("abs(", "a", ")", depth),
            deep("sum(", "a", ")", depth),
            deep("max_over_time(", "a", "[1m:30s])", depth.min(12)),
            deep("a + (", "a", ")", depth),
            deep("a or (", "a", ")", depth),
            deep("label_replace(", "a", ",\"x\",\"\",\"\",\"\")", depth),
            format!("a{}", " * a".repeat(depth)),
            format!("a{}", " or a".repeat(depth)),
            format!("1{}", " + 1".repeat(depth)),
            format!("{}a", "-".repeat(depth)),
            format!("a{}", " ^ a".repeat(depth)),
        ] {
            let Ok(query) = parse(&text) else { continue };
            let _ = query.clone();
            let _ = query.instant(&view, at(0), &options);
            let _ = query.range(&view, at(0), at(60_000), 30_000, &options);
            evaluated += 1;
        }
    }
    assert!(evaluated > 40, "only {evaluated} passed the limits");
}

#[test]
fn a_query_stops_when_it_is_told_to() {
    let mut view = MemoryView::default();
    let labels = stillwell_promql::model::labels! { "__name__" => "a" };
    for time in 0..10_000 {
        view.add(&labels, time * 1000, 0.5);
    }
    let stop = || Some(Stop::Timeout);
    let options = EvalOptions {
        stop: Some(&stop),
        ..EvalOptions::default()
    };
    let query = Query::parse("quantile_over_time(0.5, a[1h])", &Features::default())
        .expect("a valid query");
    let at = Timestamp::from_ms;
    let outcome = query.range(&view, at(0), at(9_000_000), 1_000, &options);
    assert!(
        matches!(outcome, Err(QueryError::Timeout(_))),
        "{outcome:?}"
    );
}

#[test]
fn a_query_that_holds_too_much_is_refused() {
    let mut view = MemoryView::default();
    view.add(
        &stillwell_promql::model::labels! { "__name__" => "a" },
        0,
        1.0,
    );
    let options = EvalOptions {
        samples_max: 1_000,
        ..EvalOptions::default()
    };
    for text in [
        "a",
        "sum(a)",
        "a * 2 + a",
        "max_over_time(a[1h:1s])",
        "vector(1) or a",
    ] {
        let query = Query::parse(text, &Features::default()).expect("a valid query");
        let at = Timestamp::from_ms;
        let outcome = query.range(&view, at(0), at(3_600_000), 1_000, &options);
        assert!(
            matches!(outcome, Err(QueryError::Execution(_))),
            "{text}: {outcome:?}"
        );
    }
}

/// Nested `label_join` and `label_replace` multiply a value at every level.
#[test]
fn values_that_a_query_builds_are_bounded() {
    let mut view = MemoryView::default();
    view.add(
        &stillwell_promql::model::labels! { "__name__" => "a", "x" => "0123456789" },
        0,
        1.0,
    );
    let join = |inner: String| format!("label_join({inner}, \"x\", \"\"{})", ", \"x\"".repeat(20));
    let replace = |inner: String| {
        format!(
            "label_replace({inner}, \"x\", \"{}\", \"x\", \"(.*)\")",
            "$1".repeat(20)
        )
    };
    let nest =
        |step: &dyn Fn(String) -> String| (0..8).fold("a".to_owned(), |inner, _| step(inner));
    for text in [nest(&join), nest(&replace)] {
        let query = Query::parse(&text, &Features::default()).expect("a valid query");
        let before = allocated_bytes();
        let outcome = query.instant(&view, Timestamp::from_ms(0), &EvalOptions::default());
        assert!(
            matches!(&outcome, Err(QueryError::Execution(why)) if why.contains("label value")),
            "{outcome:?}"
        );
        assert!(allocated_bytes() - before < 4 << 20);
    }
}

#[test]
fn what_a_query_holds_is_bounded_and_shared() {
    let mut view = MemoryView::default();
    for series in 0..1_000 {
        let name = format!("s{series}");
        let labels =
            stillwell_promql::model::labels! { "__name__" => "a", "series" => name.as_str() };
        for time in 0..10 {
            view.add(&labels, time * 1000, 0.5);
        }
    }
    let memory = std::sync::Arc::new(QueryMemory::new(8 << 20));
    let options = |bytes_max| EvalOptions {
        bytes_max,
        memory: Some(&memory),
        ..EvalOptions::default()
    };
    let run = |text: &str, bytes_max| {
        let query = Query::parse(text, &Features::all()).expect("a valid query");
        let at = Timestamp::from_ms;
        query
            .range(&view, at(0), at(9_000), 1, &options(bytes_max))
            .map(|_| ())
    };
    // 1,000 series of 9,000 steps are 144 MB.
    assert!(matches!(run("a", 64 << 20), Err(QueryError::Overloaded(_))));
    assert!(matches!(run("a", 1 << 20), Err(QueryError::Execution(_))));
    assert_eq!(run("sum(a)", 4 << 20), Ok(()));
    assert_eq!(memory.used(), 0, "everything is given back");
}

/// Nothing of the samples of a subquery was counted, nor of the column that is read: clients with millions of steps each took
/// twice what queries may hold.
#[test]
fn what_a_subquery_of_many_steps_holds_is_counted() {
    let mut view = MemoryView::default();
    for time in 0..11 {
        view.add(
            &stillwell_promql::model::labels! { "__name__" => "a" },
            time * 100_000,
            0.5,
        );
    }
    let memory = std::sync::Arc::new(QueryMemory::new(64 << 20));
    let run = |text: &str, bytes_max| {
        let options = EvalOptions {
            bytes_max,
            memory: Some(&memory),
            ..EvalOptions::default()
        };
        let query = Query::parse(text, &Features::all()).expect("a valid query");
        let at = Timestamp::from_ms(1_000_000);
        query.instant(&view, at, &options).map(|_| ())
    };
    // A million steps: 28 MB of the sum and what it reads; 16 MB of samples, beside 8 MB of what is read.
    for (text, least) in [
        ("max_over_time(sum(a)[1000s:1ms])", 28),
        ("max_over_time(a[1000s:1ms])", 24),
    ] {
        let most = least * 1_000_000;
        let refused = run(text, most - 1_000_000);
        assert!(
            matches!(refused, Err(QueryError::Execution(_))),
            "{text}: {refused:?}"
        );
        assert_eq!(run(text, 2 * most), Ok(()), "{text}");
        assert_eq!(memory.used(), 0, "{text}: everything is given back");
    }
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn any_bytes_are_answered_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_words_are_answered_or_refused(
        words in prop::collection::vec(prop::sample::select(&[
            "a", "sum", "by", "(", ")", "[", "]", "5m", ":", "{", "}", "=", "=~", "\"x\"", ",", "+", "-", "*", "^", "offset",
            "@", "start", "end", "bool", "on", "group_left", "and", "or", "1", "NaN", "rate", "</", ">/", "anchored",
            "smoothed", "fill", "step", "min_of", "#", "\n", "topk", "info", "without", "unless", "atan2", "'", "`",
        ][..]), 0..30)
    ) {
        if let Ok(query) = parse(&words.join(" ")) {
            let options = EvalOptions { features: Features::all(), ..EvalOptions::default() };
            let _ = query.instant(&MemoryView::default(), Timestamp::from_ms(0), &options);
        }
    }
}
