//! The samples of a series ascend in time, whatever brings them: lines without a timestamp, with one of their own (older, equal,
//! newer, too old to be kept), failed scrapes, targets that leave and come back, remote write, a restart. What was stored stays, and
//! a sample that is later than the newest of its series is taken.

use std::collections::BTreeMap;

use crate::commits;
use proptest::collection::vec;
use proptest::prelude::*;
use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::promql::select::{Projection, STALE_NAN_BITS, Samples, SelectRequest, View};
use stillwell_engine::{
    AppendedSeries, Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp,
    Writer,
};
use stillwell_testing::cases::cases;
use stillwell_testing::reading::reading;

const RETENTION_MS: i64 = 60_000;
const START_MS: i64 = 1_800_000_000_000;
const SERIES: usize = 3;

/// The timestamp of a line.
#[derive(Clone, Copy, Debug)]
enum Own {
    None,
    /// So long before its scrape; negative: after it.
    Ago(i64),
    /// So long after the start.
    Stands(i64),
}

#[derive(Clone, Debug)]
enum Step {
    /// A target shows these series, with this value.
    Page(usize, [Option<Own>; SERIES], u8),
    Fails(usize),
    /// The target leaves and comes back.
    Replaced(usize),
    /// A series by remote write, so long ago, with a value; none ends it.
    Append(usize, i64, Option<u8>),
    Restart,
    Long(i64),
}

fn own() -> impl Strategy<Value = Own> {
    prop_oneof![
        4 => Just(Own::None),
        3 => (-3_000..8_000_i64).prop_map(Own::Ago),
        1 => (55_000..70_000_i64).prop_map(Own::Ago),
        2 => (-10_000..40_000_i64).prop_map(Own::Stands),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let line = || prop::option::weighted(0.7, own());
    prop_oneof![
        12 => (0..2_usize, [line(), line(), line()], 0..4_u8)
            .prop_map(|(target, lines, value)| Step::Page(target, lines, value)),
        1 => (0..2_usize).prop_map(Step::Fails),
        1 => (0..2_usize).prop_map(Step::Replaced),
        2 => (0..SERIES, -2_000..9_000_i64, prop::option::weighted(0.8, 0..4_u8))
            .prop_map(|(series, ago, value)| Step::Append(series, ago, value)),
        1 => Just(Step::Restart),
        1 => (0..100_000_i64).prop_map(Step::Long),
    ]
}

type History = BTreeMap<String, Vec<(i64, u64)>>;

struct Scene {
    writer: Writer,
    reader: Reader,
    stages: Vec<Stage>,
    now_ms: i64,
    /// Which series each target shows without a timestamp, and how many scrapes of the other one may pass over it for that.
    shows: [[bool; SERIES]; 2],
    passed_over: [[u8; SERIES]; 2],
    failed_ms: i64,
}

/// Both targets may show the same series.
fn spec(target: usize) -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("job", "j"), ("instance", &target.to_string())]),
        honor_labels: true,
        honor_timestamps: true,
        interval_ms: 1_000,
        ..TargetSpec::default()
    }
}

fn limits() -> Limits {
    Limits {
        retention_ms: RETENTION_MS,
        ..Limits::default()
    }
}

fn name(series: usize) -> String {
    format!("s{series}")
}

impl Scene {
    fn new() -> Scene {
        let (writer, reader) = Engine::new(limits());
        let mut scene = Scene {
            writer,
            reader,
            stages: Vec::new(),
            now_ms: START_MS,
            shows: [[false; SERIES]; 2],
            passed_over: [[0; SERIES]; 2],
            failed_ms: i64::MIN,
        };
        scene.discover();
        scene
    }

    fn discover(&mut self) {
        for target in 0..2 {
            let (_, stage) = self.writer.add_target(spec(target));
            self.stages.push(stage);
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    /// Every sample that is kept, by metric.
    fn history(&self) -> History {
        let request = SelectRequest {
            matchers: &[Matcher::equal("of", "all")],
            after_ms: self.now_ms - RETENTION_MS,
            until_ms: i64::MAX,
            projection: Projection::All,
            last_only: false,
            memory: None,
            stop: None,
        };
        let selection = self.reader.plain().select(&request).expect("answers");
        let (mut samples, mut history) = (Samples::default(), History::new());
        for index in 0..selection.len() {
            selection.read(index, &mut samples);
            let values = samples.values.iter().map(|value| value.to_bits());
            let list: Vec<(i64, u64)> = samples.times_ms.iter().copied().zip(values).collect();
            let ascends = list.windows(2).all(|two| two[0].0 < two[1].0);
            let metric = selection.labels(index).metric_name().expect("has one");
            assert!(ascends, "{metric}: {list:?}");
            let last = selection.last(index, &mut Samples::default());
            let last = last.map(|last| (last.time_ms, last.value.to_bits()));
            assert_eq!(last, list.last().copied(), "{metric}");
            history.insert(metric.to_owned(), list);
        }
        history
    }

    /// Does it; the samples that were offered, and whether each must be taken.
    fn run(&mut self, step: &Step, number: u32) -> Vec<(usize, (i64, u64), bool)> {
        let mut offered = Vec::new();
        match *step {
            Step::Page(target, lines, value) => {
                let mut page = String::new();
                for (series, line) in lines.iter().enumerate() {
                    let Some(own) = line else {
                        continue;
                    };
                    let own_ms = match own {
                        Own::None => None,
                        Own::Ago(ago_ms) => Some(self.now_ms - ago_ms),
                        Own::Stands(ms) => Some(START_MS + ms),
                    };
                    let stamp = own_ms.map_or(String::new(), |ms| format!(" {ms}"));
                    page += &format!(
                        "s{series}{{of=\"all\",job=\"all\",instance=\"all\"}} {value}{stamp}\n"
                    );
                    let time_ms = own_ms.unwrap_or(self.now_ms);
                    let is_kept = time_ms >= self.now_ms - RETENTION_MS;
                    let bits = f64::from(value).to_bits();
                    offered.push((
                        series,
                        (time_ms, bits),
                        self.is_free(target, series) && is_kept,
                    ));
                }
                let at = self.at();
                let staged = self.stages[target].parse(page.as_bytes(), Format::Text);
                let staged = staged.expect("the page parses");
                let committed = commits::commit(&mut self.writer, staged, at, number);
                committed.expect("the page is taken");
                self.own(target, &lines);
            }
            Step::Fails(target) => {
                let id = self.stages[target].target();
                let failed = self
                    .writer
                    .fail(id, self.at(), ScrapeFacts::default(), "no");
                failed.expect("time moves on");
                self.failed_ms = self.now_ms;
            }
            Step::Replaced(target) => {
                let (_, new) = {
                    let at = self.at();
                    let old = self.stages.remove(target);
                    self.writer.remove_target(old, at);
                    self.writer.add_target(spec(target))
                };
                self.stages.insert(target, new);
                self.own(target, &[None; SERIES]);
                self.failed_ms = self.now_ms;
            }
            Step::Append(series, ago_ms, value) => {
                let at = Timestamp::from_ms(self.now_ms - ago_ms);
                let bits = value.map_or(STALE_NAN_BITS, |value| f64::from(value).to_bits());
                let metric = name(series);
                let all = ["of", "job", "instance"].map(|label| (label, "all"));
                let named = all.into_iter().chain([("__name__", &*metric)]);
                let appended = AppendedSeries {
                    labels: Labels::from_pairs(named),
                    floats: vec![(at, f64::from_bits(bits))],
                    histograms: Vec::new(),
                };
                let is_shown = self.shows.iter().any(|shows| shows[series]);
                let must = value.is_some() && !is_shown;
                offered.push((series, (at.ms(), bits), must));
                let now = self.at();
                self.writer.append(vec![appended], now).expect("fits");
            }
            Step::Restart => self.restart(),
            Step::Long(ms) => self.now_ms += ms,
        }
        let at = self.at();
        self.writer.maintain(at);
        offered
    }

    /// Whether a sample of a target has to be taken if it is late enough.
    fn is_free(&mut self, target: usize, series: usize) -> bool {
        let passed_over = &mut self.passed_over[target][series];
        if self.shows[1 - target][series] {
            *passed_over = 3;
        }
        let is_free = *passed_over == 0;
        *passed_over = passed_over.saturating_sub(1);
        is_free
    }

    fn own(&mut self, target: usize, lines: &[Option<Own>; SERIES]) {
        self.shows[target] = lines.map(|line| matches!(line, Some(Own::None)));
    }

    fn restart(&mut self) {
        let mut snapshot = self.writer.snapshot(self.at(), &[]);
        let mut bytes = Vec::new();
        while snapshot.next(&mut bytes) {}
        let restored = Engine::restore(limits(), self.at(), &mut reading(&bytes));
        let restored = restored.expect("a good snapshot");
        (self.writer, self.reader) = (restored.writer, restored.reader);
        self.stages.clear();
        self.discover();
    }
}

fn check(steps: &[Step]) {
    let mut scene = Scene::new();
    for (number, step) in steps.iter().enumerate() {
        scene.now_ms += 1_000;
        let before = scene.history();
        let offered = scene.run(step, number as u32);
        let after = scene.history();
        let since_ms = scene.now_ms - RETENTION_MS;
        for series in 0..SERIES {
            let empty = Vec::new();
            let of = |history: &History| history.get(&name(series)).unwrap_or(&empty).clone();
            let mut had = of(&before);
            had.retain(|(time_ms, _)| *time_ms > since_ms);
            let (had, has) = (without_first_markers(had), of(&after));
            let has = without_first_markers(has);
            let story = || format!("{number} {step:?} s{series}: {had:?} became {has:?}");
            assert_eq!(has.get(..had.len()), Some(&*had), "{}", story());
            let end_ms = of(&before).last().map_or(i64::MIN, |last| last.0);
            let end_ms = end_ms.max(scene.failed_ms);
            let new = &has[had.len()..];
            let mut is_new = 0;
            for &(_, sample, must) in offered.iter().filter(|of| of.0 == series) {
                let is_there = new.contains(&sample);
                is_new += usize::from(is_there && sample.1 != STALE_NAN_BITS);
                let is_due = must && sample.0 > end_ms && sample.0 > since_ms;
                assert!(is_there || !is_due, "{sample:?} is missing\n{}", story());
            }
            let values = new.iter().filter(|sample| sample.1 != STALE_NAN_BITS);
            assert_eq!(values.count(), is_new, "{}", story());
        }
    }
}

/// Of a stale marker before which nothing is kept nothing is told.
fn without_first_markers(mut samples: Vec<(i64, u64)>) -> Vec<(i64, u64)> {
    let first = samples.iter().position(|sample| sample.1 != STALE_NAN_BITS);
    samples.split_off(first.unwrap_or(samples.len()))
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn samples_ascend_and_stay_and_none_that_is_later_is_left_out(steps in vec(step(), 1..60)) {
        check(&steps);
    }
}

/// A series that a page had without a timestamp and that ended: a sample with a timestamp before its stale marker was stored behind
/// it, and a query of the range saw times that go back.
#[test]
fn a_timestamp_before_the_end_of_a_series_that_is_gone_is_left_out() {
    let plain = [Some(Own::None), None, None];
    let old = [Some(Own::Ago(5_000)), None, None];
    let gone = [None; SERIES];
    for other in 0..2 {
        let pages = [
            (0, plain),
            (0, plain),
            (0, gone),
            (other, old),
            (other, old),
        ];
        check(&pages.map(|(target, lines)| Step::Page(target, lines, 1)));
    }
}
