//! Signals that read native histograms.

use stillwell_engine::signal::{Evaluated, Policy, State};

use super::*;

/// A gauge that was a native histogram for two pages: the program read those from history as numbers, and `> bool 0` of a NaN
/// is a 0 where there is no answer.
#[test]
fn a_program_reads_no_native_histogram_as_a_number() {
    let queries = [
        "sum(sum_over_time(h[30s])) > bool 0",
        "max_over_time(h[30s])",
        "sum(h)",
        "sum(h offset 3s)",
        "count_over_time(h[30s:1s])",
    ];
    let mut scene = Scene::new(native());
    let signals = queries.map(|query| {
        let registered = scene.writer.register(query, Policy::default());
        (query, registered.expect(query))
    });
    let gauge_page = page(&[family("h", 1, vec![gauge(&[], 5.0)])]);
    let histogram_page = page(&[family("h", 4, vec![histogram(both_kinds(1))])]);
    let mut by_program = Vec::new();
    for number in 0..60 {
        let is_histogram = matches!(number, 5 | 6);
        let page = if is_histogram {
            &histogram_page
        } else {
            &gauge_page
        };
        scene.scrape(page, Format::Protobuf).expect("valid");
        for (query, id) in signals {
            let (program, ordinary) = scene.reader.both_ways(id).expect("registered");
            let Some(program) = program else { continue };
            by_program.push((query, number));
            let shown = |outcome: Evaluated| format!("{:?}", outcome.map(|all| all.values));
            assert_eq!(shown(program), shown(ordinary), "{query} at page {number}");
        }
    }
    // Before them, and when they have left the windows.
    for query in queries {
        for number in [3, 59] {
            assert!(
                by_program.contains(&(query, number)),
                "{query} at page {number}"
            );
        }
    }
}

/// A frozen target is read as of its last good scrape, its histograms too.
#[test]
fn a_signal_over_native_histograms_is_held_like_any_other() {
    let mut scene = Scene::new(native());
    let query = "sum(histogram_count(h))";
    let signal = scene
        .writer
        .register(query, Policy::default())
        .expect("valid");
    let held = page(&[family("h", 4, vec![histogram(both_kinds(2))])]);
    for _ in 0..20 {
        scene.scrape(&held, Format::Protobuf).expect("valid");
    }
    for is_held in [false, true] {
        let now = Timestamp::from_ms(scene.now_ms);
        let reading = scene.reader.signal(signal, now, &[]).expect("registered");
        assert_eq!(reading.elements.len(), 1, "{reading:?}");
        assert_eq!(reading.elements[0].value, 12.0);
        assert_eq!(
            matches!(reading.state, State::Held { .. }),
            is_held,
            "{reading:?}"
        );
        scene
            .scrape(b"\xff", Format::Protobuf)
            .expect_err("no page");
    }
}

/// A window with floats and native histograms yields nothing, and that was told as 0: the series is there.
#[test]
fn what_evaluation_leaves_out_is_not_absent() {
    let mut scene = Scene::new(native());
    let registered = scene
        .writer
        .register("sum(avg_over_time(h[10s]))", Policy::default());
    let signal = registered.expect("valid");
    let gauge_page = page(&[family("h", 1, vec![gauge(&[], 5.0)])]);
    let histogram_page = page(&[family("h", 4, vec![histogram(both_kinds(1))])]);
    for number in 0..8 {
        let page = if number == 4 {
            &histogram_page
        } else {
            &gauge_page
        };
        scene.scrape(page, Format::Protobuf).expect("valid");
    }
    let now = Timestamp::from_ms(scene.now_ms);
    let reading = scene.reader.signal(signal, now, &[]).expect("registered");
    let State::Unknown { why } = &reading.state else {
        panic!("{reading:?}");
    };
    assert!(
        why.contains("although there are series that it reads"),
        "{why}"
    );
}
