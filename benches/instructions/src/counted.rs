//! The hot paths, each as a function that repeats it: what one repetition takes is what a longer run takes more.

use std::hint::black_box;

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query};
use stillwell_engine::signal::{Policy, SignalId};
use stillwell_engine::{
    Engine, Format, Limits, Reader, Retain, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

use crate::pages::LoadPage;

/// A hot path.
pub struct Path {
    /// Its name in the record.
    pub name: &'static str,
    /// What is counted once.
    pub unit: &'static str,
    /// Repeats it so many times.
    pub run: fn(usize),
}

/// Samples of a page: a usual gateway's.
const SAMPLES: usize = 2_024;
const INTERVAL_MS: i64 = 1_000;
/// Pages before the counted ones: history is full, buffers have grown.
const SETTLING: usize = 80;

/// Everything that is counted.
pub const PATHS: [Path; 10] = [
    Path {
        name: "scrape_unchanged",
        unit: "a page of 2,024 samples of which none moves",
        run: |times| scrapes(times, 0, Retain::All, &[]),
    },
    Path {
        name: "scrape_moving",
        unit: "a page of 2,024 samples of which a fifth moves",
        run: |times| scrapes(times, 20, Retain::All, &[]),
    },
    Path {
        name: "scrape_retain_signals",
        unit: "the same where one family is kept",
        run: |times| scrapes(times, 20, Retain::Signals, &[QUEUE]),
    },
    Path {
        name: "scrape_first_page",
        unit: "the first page of a target, 2,024 samples",
        run: first_pages,
    },
    Path {
        name: "signal_sum",
        unit: "a page of 2,024 samples, a fifth moving, with a sum of 36 series",
        run: |times| scrapes(times, 20, Retain::All, &[QUEUE]),
    },
    Path {
        name: "signal_sum_by_rate",
        unit: "the same with the rates of 160 series by pool",
        run: |times| scrapes(times, 20, Retain::All, &[RATE]),
    },
    Path {
        name: "signal_histogram_quantile",
        unit: "the same with a quantile of the rates of 160 buckets",
        run: |times| scrapes(times, 20, Retain::All, &[QUANTILE]),
    },
    Path {
        name: "signal_read",
        unit: "the reading of a signal over one target",
        run: reads,
    },
    Path {
        name: "query_instant",
        unit: "an instant query: a sum of 36 series",
        run: |times| queries(times, QUEUE, 0),
    },
    Path {
        name: "query_range",
        unit: "a range query: the quantile over a minute, 60 steps",
        run: |times| queries(times, QUANTILE, 60),
    },
];

const QUEUE: &str = "sum(llm_d_epp_flow_control_queue_size)";
const RATE: &str =
    "sum by (inference_pool) (rate(llm_d_epp_request_phase_0000_duration_seconds_bucket[10s]))";
const QUANTILE: &str = "histogram_quantile(0.9, sum by (le) (rate(llm_d_epp_request_phase_0000_duration_seconds_bucket[10s])))";

struct Target {
    writer: Writer,
    reader: Reader,
    stage: Stage,
    page: LoadPage,
    at_ms: i64,
}

impl Target {
    fn new(moving_percent: usize, retain: Retain) -> Target {
        let (mut writer, reader) = Engine::new(Limits {
            memory_bytes_max: 1 << 30,
            retention_ms: 60_000,
        });
        let stage = add_target(&mut writer, 0, retain);
        Target {
            writer,
            reader,
            stage,
            page: LoadPage::new(0, SAMPLES, moving_percent),
            at_ms: 0,
        }
    }

    fn scrape(&mut self) {
        self.page.step();
        commit(
            &mut self.writer,
            &mut self.stage,
            &self.page.text,
            self.at_ms,
        );
        self.at_ms += INTERVAL_MS;
    }

    fn register(&mut self, query: &str) -> SignalId {
        let registered = self.writer.register(query, Policy::default());
        registered.expect("the queries above are valid")
    }
}

fn add_target(writer: &mut Writer, index: usize, retain: Retain) -> Stage {
    let instance = format!("10.0.0.{index}:9090");
    let labels = Labels::from_pairs([("job", "epp"), ("instance", instance.as_str())]);
    let spec = TargetSpec {
        labels,
        retain,
        interval_ms: INTERVAL_MS as u64,
        ..TargetSpec::default()
    };
    writer.add_target(spec).1
}

fn commit(writer: &mut Writer, stage: &mut Stage, page: &[u8], at_ms: i64) {
    let staged = stage.parse(page, Format::Text);
    let staged = staged.expect("the pages are well-formed");
    let at = Timestamp::from_ms(at_ms);
    let committed = writer.commit(staged, at, ScrapeFacts::default());
    committed.expect("the pages fit");
}

fn scrapes(times: usize, moving_percent: usize, retain: Retain, signals: &[&str]) {
    let mut target = Target::new(moving_percent, retain);
    for query in signals {
        target.register(query);
    }
    for _ in 0..SETTLING + times {
        target.scrape();
    }
}

fn first_pages(times: usize) {
    let mut target = Target::new(0, Retain::All);
    for index in 0..times {
        let mut stage = add_target(&mut target.writer, index, Retain::All);
        commit(
            &mut target.writer,
            &mut stage,
            &target.page.text,
            target.at_ms,
        );
    }
}

fn reads(times: usize) {
    let mut target = Target::new(20, Retain::All);
    let signal = target.register(QUEUE);
    for _ in 0..SETTLING {
        target.scrape();
    }
    let now = Timestamp::from_ms(target.at_ms);
    for _ in 0..times {
        black_box(target.reader.signal_if_ready(signal, now, &[]));
    }
}

fn queries(times: usize, text: &str, steps: i64) {
    let mut target = Target::new(20, Retain::All);
    for _ in 0..SETTLING {
        target.scrape();
    }
    let query = Query::parse(text, &Features::default()).expect("the queries above are valid");
    let (view, options) = (target.reader.plain(), EvalOptions::default());
    let end = Timestamp::from_ms(target.at_ms - INTERVAL_MS);
    let start = end.minus_ms(steps * INTERVAL_MS);
    for _ in 0..times {
        let answer = match steps {
            0 => query.instant(&view, end, &options),
            _ => query.range(&view, start, end, INTERVAL_MS, &options),
        };
        black_box(answer).expect("nothing stops it");
    }
}
