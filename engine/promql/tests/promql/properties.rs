//! What must hold for every query: seeds are printed, so a failure can be replayed.

use stillwell_promql::model::time::Timestamp;
use stillwell_promql::script::MemoryView;
use stillwell_promql::{EvalOptions, Features, Query, RangeSeries, Value};
use stillwell_testing::differential::{When, case, compare, dataset};

const DATA_END_MS: i64 = 600_000;

fn view(seed: u64) -> MemoryView {
    let mut view = MemoryView::default();
    for series in dataset(seed, 0, 5_000, 120) {
        for (time_ms, value) in series.samples {
            view.add(&series.labels, time_ms, value);
        }
    }
    view
}

fn features(seed: u64) -> Features {
    if seed.is_multiple_of(2) {
        Features::default()
    } else {
        Features::all()
    }
}

/// A range query is its instant queries one after the other. Columns, moving windows, step-invariant parts and
/// matching by series must not show.
#[test]
fn a_range_query_is_its_instant_queries() {
    let count = std::env::var("SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_500);
    let (mut answered, mut refused) = (0, 0);
    for seed in 0..count {
        let features = features(seed);
        let options = EvalOptions {
            features,
            ..EvalOptions::default()
        };
        let case = case(seed, 0, DATA_END_MS);
        let When::Range {
            start_ms,
            end_ms,
            step_ms,
        } = case.when
        else {
            continue;
        };
        // Times of the query itself differ between the two ways of asking.
        if case.text.contains("start()") || case.text.contains("end()") {
            continue;
        }
        let query = Query::parse(&case.text, &features)
            .unwrap_or_else(|error| panic!("seed {seed}: {}: {error}", case.text));
        let view = view(seed / 50);
        let at = Timestamp::from_ms;
        let range = query.range(&view, at(start_ms), at(end_ms), step_ms, &options);
        let mut by_steps: Vec<RangeSeries> = Vec::new();
        let mut failed = false;
        for time_ms in (start_ms..=end_ms).step_by(step_ms as usize) {
            match query
                .instant(&view, at(time_ms), &options)
                .map(|answer| answer.value)
            {
                Ok(Value::Vector(vector)) => {
                    for sample in vector {
                        let point = (sample.time, sample.value);
                        match by_steps
                            .iter_mut()
                            .find(|series| series.labels == sample.labels)
                        {
                            Some(series) => series.floats.push(point),
                            None => by_steps.push(RangeSeries {
                                labels: sample.labels,
                                floats: vec![point],
                                histograms: Vec::new(),
                            }),
                        }
                    }
                }
                Ok(other) => panic!("seed {seed}: {}: {other:?}", case.text),
                Err(_) => failed = true,
            }
        }
        match range {
            Ok(answer) => {
                assert!(!failed, "seed {seed}: {}: only a step fails", case.text);
                let outcome = compare(&answer.value, &Value::Matrix(by_steps), 0.0);
                assert_eq!(
                    outcome,
                    Ok(()),
                    "seed {seed}: {} {:?}",
                    case.text,
                    case.when
                );
                answered += 1;
            }
            Err(error) => {
                assert!(
                    failed,
                    "seed {seed}: {}: only the range fails: {error}",
                    case.text
                );
                refused += 1;
            }
        }
    }
    assert!(
        answered > 5 * refused,
        "{answered} answered, {refused} refused"
    );
}
