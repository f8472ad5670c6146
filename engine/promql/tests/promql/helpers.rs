//! Help from other threads does not show: the same bits, the same annotations, the same errors.

use std::sync::atomic::{AtomicUsize, Ordering};

use stillwell_promql::model::labels::Labels;
use stillwell_promql::model::time::Timestamp;
use stillwell_promql::script::MemoryView;
use stillwell_promql::select::{LastSample, Samples, SelectRequest, Selection, View};
use stillwell_promql::{Answer, EvalOptions, Features, Helpers, Query, QueryError};
use stillwell_testing::differential::{When, case, compare, dataset};

const DATA_END_MS: i64 = 600_000;
/// Series of one name come in several parts.
const COPIES: u64 = 25;

/// A view whose series are worth help, however few samples they have.
struct Long(MemoryView);

struct LongSelection(Box<dyn Selection>);

impl View for Long {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        Ok(Box::new(LongSelection(self.0.select(request)?)))
    }
}

impl Selection for LongSelection {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        self.0.labels(index)
    }

    fn samples_about(&self) -> usize {
        1_000_000
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        self.0.read(index, samples);
    }

    fn last(&self, index: usize, scratch: &mut Samples) -> Option<LastSample> {
        self.0.last(index, scratch)
    }
}

/// So many threads, whatever the machine has.
struct Threads {
    count: usize,
    asked: AtomicUsize,
}

impl Helpers for Threads {
    fn run(&self, helper: &(dyn Fn() + Sync), main: &mut dyn FnMut()) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for _ in 0..self.count {
                scope.spawn(helper);
            }
            main();
        });
    }
}

fn view(seed: u64) -> Long {
    let mut view = MemoryView::default();
    for copy in 0..COPIES {
        for series in dataset(seed + copy, 0, 5_000, 120) {
            let mut labels = series.labels.to_builder();
            labels.set("copy", &copy.to_string());
            let labels = labels.build();
            for (time_ms, value) in series.samples {
                view.add(&labels, time_ms, value);
            }
        }
    }
    Long(view)
}

fn same(alone: &Result<Answer, QueryError>, helped: &Result<Answer, QueryError>, context: &str) {
    match (alone, helped) {
        (Ok(alone), Ok(helped)) => {
            assert_eq!(
                compare(&helped.value, &alone.value, 0.0),
                Ok(()),
                "{context}"
            );
            assert_eq!(helped.annotations, alone.annotations, "{context}");
        }
        (alone, helped) => assert_eq!(
            alone.as_ref().err().map(ToString::to_string),
            helped.as_ref().err().map(ToString::to_string),
            "{context}"
        ),
    }
}

#[test]
fn an_answer_is_the_same_with_help_and_without() {
    let (mut asked, mut data) = (0, view(0));
    for seed in 0..120 {
        let features = match seed % 2 {
            0 => Features::default(),
            _ => Features::all(),
        };
        let threads = Threads {
            count: 1 + seed as usize % 3,
            asked: AtomicUsize::new(0),
        };
        let alone = EvalOptions {
            features,
            ..EvalOptions::default()
        };
        let helped = EvalOptions {
            helpers: Some(&threads),
            ..alone
        };
        let case = case(seed, 0, DATA_END_MS);
        let query = Query::parse(&case.text, &features)
            .unwrap_or_else(|error| panic!("seed {seed}: {}: {error}", case.text));
        if seed % 20 == 0 {
            data = view(seed * 5);
        }
        let at = Timestamp::from_ms;
        let ask = |options: &EvalOptions<'_>| match case.when {
            When::Instant(at_ms) => query.instant(&data, at(at_ms), options),
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            } => query.range(&data, at(start_ms), at(end_ms), step_ms, options),
        };
        same(
            &ask(&alone),
            &ask(&helped),
            &format!("seed {seed}: {} {:?}", case.text, case.when),
        );
        asked += threads.asked.into_inner();
    }
    assert!(asked > 100, "only {asked} selectors were helped with");
}

#[test]
fn a_query_that_is_stopped_or_out_of_memory_lets_its_helpers_go() {
    let threads = Threads {
        count: 2,
        asked: AtomicUsize::new(0),
    };
    let view = view(7);
    let query = Query::parse(
        "sum without (copy) (rate({__name__=~\".+\"}[1m]))",
        &Features::default(),
    )
    .expect("it parses");
    let at = Timestamp::from_ms;
    let stopped = || Some(stillwell_promql::Stop::Timeout);
    let few_samples = EvalOptions {
        samples_max: 1_000,
        helpers: Some(&threads),
        ..EvalOptions::default()
    };
    let little_memory = EvalOptions {
        bytes_max: 100_000,
        helpers: Some(&threads),
        ..EvalOptions::default()
    };
    let no_time = EvalOptions {
        stop: Some(&stopped),
        helpers: Some(&threads),
        ..EvalOptions::default()
    };
    for options in [&few_samples, &little_memory, &no_time] {
        let answer = query.range(&view, at(0), at(DATA_END_MS), 1_000, options);
        assert!(answer.is_err(), "{options:?}");
    }
    assert!(threads.asked.into_inner() > 0);
}

/// A view that panics at one of its series.
struct Panics(Long);

struct PanicsAt(Box<dyn Selection>);

impl View for Panics {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        Ok(Box::new(PanicsAt(self.0.select(request)?)))
    }
}

impl Selection for PanicsAt {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        self.0.labels(index)
    }

    fn samples_about(&self) -> usize {
        self.0.samples_about()
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        assert!(index < 100, "a fault");
        self.0.read(index, samples);
    }
}

#[test]
fn a_fault_on_any_thread_ends_the_query() {
    let threads = Threads {
        count: 2,
        asked: AtomicUsize::new(0),
    };
    let view = Panics(view(3));
    let query = Query::parse("{__name__=~\".+\"}", &Features::default()).expect("it parses");
    let options = EvalOptions {
        helpers: Some(&threads),
        ..EvalOptions::default()
    };
    let at = Timestamp::from_ms;
    let ask = std::panic::AssertUnwindSafe(|| {
        query
            .range(&view, at(0), at(DATA_END_MS), 5_000, &options)
            .is_ok()
    });
    assert!(!std::panic::catch_unwind(ask).unwrap_or(false));
}
