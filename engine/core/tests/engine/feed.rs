//! Feeds against the plain view: whatever is scraped, written and missed, in whichever windows it is taken, what came out of
//! the feed is what the store shows, once and in order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stillwell_engine::feed::{Feed, Interest, WindowOptions};
use stillwell_engine::histogram::{Bucket, Buckets, FloatHistogram};
use stillwell_engine::labels::{Labels, MatchOp, Matcher};
use stillwell_engine::promql::select::{Samples, SelectRequest, View};
use stillwell_engine::{
    AppendedSeries, Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetId, TargetSpec,
    Timestamp, Writer,
};
use stillwell_testing::cases::cases;
use stillwell_testing::reading::reading;

#[derive(Clone, Debug)]
enum Step {
    /// A page of a target, each series with its value.
    Page(usize, Vec<(u8, i8)>),
    Fail(usize),
    /// Samples of a series with explicit timestamps, so many milliseconds ago.
    Write(u8, Vec<(u8, i8)>),
    WriteHistogram(u8, i8),
    /// A window with at most so many samples of one series; whether it is given up half-way.
    Take(usize, bool),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let page = prop::collection::vec((0u8..12, -3i8..4), 0..8);
    let written = prop::collection::vec((0u8..250, any::<i8>()), 1..6);
    let step = prop_oneof![
        8 => (0usize..2, page).prop_map(|(target, page)| Step::Page(target, page)),
        2 => (0usize..2).prop_map(Step::Fail),
        3 => (0u8..3, written).prop_map(|(series, samples)| Step::Write(series, samples)),
        1 => (0u8..3, 0i8..50).prop_map(|(series, count)| Step::WriteHistogram(series, count)),
        4 => (1usize..5, prop::bool::weighted(0.2)).prop_map(|(max, gives_up)| Step::Take(max, gives_up)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..80)
}

type Series = BTreeMap<Labels, Vec<(i64, u64)>>;

const START_MS: i64 = 1_800_000_000_000;

struct Run {
    writer: Writer,
    reader: Reader,
    stages: Vec<(TargetId, Stage)>,
    feed: Feed,
    taken: Series,
    now_ms: i64,
}

fn spec(target: usize) -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("job", format!("j{target}").as_str())]),
        interval_ms: 100,
        ..TargetSpec::default()
    }
}

fn value_bits(samples: &Samples, at: usize) -> u64 {
    match samples.histograms.get(at).and_then(Option::as_ref) {
        Some(histogram) => histogram.count.to_bits() ^ 1,
        None => samples.values[at].to_bits(),
    }
}

fn pairs(samples: &Samples) -> Vec<(i64, u64)> {
    let times = samples.times_ms.iter().enumerate();
    times
        .map(|(at, time_ms)| (*time_ms, value_bits(samples, at)))
        .collect()
}

impl Run {
    fn new() -> Run {
        let (mut writer, reader) = Engine::new(Limits::default());
        let stages = (0..2)
            .map(|target| writer.add_target(spec(target)))
            .collect();
        Run {
            feed: Feed::from_now(&reader),
            writer,
            reader,
            stages,
            taken: Series::new(),
            now_ms: START_MS,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    fn step(&mut self, step: &Step) {
        self.now_ms += 100;
        let at = self.now();
        match step {
            Step::Page(target, lines) => {
                let line = |(series, value): &(u8, i8)| format!("a{{l=\"{series}\"}} {value}\n");
                let page: String = lines.iter().map(line).collect();
                let staged = self.stages[*target].1.parse(page.as_bytes(), Format::Text);
                let staged = staged.expect("the page parses");
                self.writer
                    .commit(staged, at, ScrapeFacts::default())
                    .expect("the page is taken");
            }
            Step::Fail(target) => {
                let target = self.stages[*target].0;
                let failed = self
                    .writer
                    .fail(target, at, ScrapeFacts::default(), "refused");
                failed.expect("time ascends");
            }
            Step::Write(series, samples) => {
                let floats = samples.iter().map(|(ago_ms, value)| {
                    let at = self.now().minus_ms(i64::from(*ago_ms));
                    (at, f64::from(*value))
                });
                let floats = floats.collect();
                self.append(*series, floats, Vec::new());
            }
            Step::WriteHistogram(series, count) => {
                let count = f64::from(*count);
                let histogram = FloatHistogram {
                    count,
                    positive: Buckets::from_sorted(vec![Bucket { index: 1, count }]),
                    ..FloatHistogram::default()
                };
                self.append(*series, Vec::new(), vec![(at, histogram)]);
            }
            Step::Take(samples_max, gives_up) => self.take(*samples_max, *gives_up),
            Step::Restart => self.restart(),
        }
        self.writer.maintain(at);
    }

    fn append(
        &mut self,
        series: u8,
        floats: Vec<(Timestamp, f64)>,
        histograms: Vec<(Timestamp, FloatHistogram)>,
    ) {
        let labels = Labels::from_pairs([("__name__", "a"), ("w", &series.to_string())]);
        let batch = vec![AppendedSeries {
            labels,
            floats,
            histograms,
        }];
        let now = self.now();
        self.writer.append(batch, now).expect("there is room");
    }

    /// What is not taken of a window that is given up comes again with the next.
    fn take(&mut self, samples_max: usize, gives_up: bool) {
        let options = WindowOptions {
            now: self.now(),
            samples_max,
            interval_ms: None,
        };
        if !self.feed.open(&options) {
            return;
        }
        let mut window = Series::new();
        while self.feed.read(&mut |series| {
            assert!(series.samples.times_ms.len() <= samples_max, "{series:?}");
            if !is_wanted(series.labels) {
                return Interest::Never;
            }
            let before = window.insert(series.labels.clone(), pairs(series.samples));
            assert_eq!(before, None, "a series comes once in a window");
            Interest::Wanted
        }) && !gives_up
        {}
        if gives_up {
            return;
        }
        assert_eq!(self.feed.close(), 0, "nothing is lost");
        for (labels, samples) in window {
            self.taken.entry(labels).or_default().extend(samples);
        }
    }

    /// Goes on from a snapshot and the cursor's bytes.
    fn restart(&mut self) {
        let cursor = self.feed.cursor_bytes();
        let mut bytes = Vec::new();
        let mut snapshot = self.writer.snapshot(self.now(), &[]);
        while snapshot.next(&mut bytes) {}
        let restored = Engine::restore(Limits::default(), self.now(), &mut reading(&bytes));
        let restored = restored.expect("what was written is read");
        (self.writer, self.reader) = (restored.writer, restored.reader);
        self.feed = Feed::restored(&self.reader, &cursor).expect("what was written is read");
        self.stages = (0..2)
            .map(|target| self.writer.add_target(spec(target)))
            .collect();
    }

    fn stored(&self) -> Series {
        let matchers = [Matcher::new(MatchOp::NotEqual, "__name__", "").expect("no pattern")];
        let request = SelectRequest::all(&matchers, i64::MIN, i64::MAX);
        let selection = self.reader.plain().select(&request).expect("answers");
        let mut samples = Samples::default();
        let series = (0..selection.len()).map(|index| {
            selection.read(index, &mut samples);
            (selection.labels(index).clone(), pairs(&samples))
        });
        let wanted = series.filter(|(labels, samples)| !samples.is_empty() && is_wanted(labels));
        wanted.collect()
    }
}

/// The reader of the feed wants two of three.
fn is_wanted(labels: &Labels) -> bool {
    let of = |label| {
        labels
            .get(label)
            .and_then(|value| value.parse::<u32>().ok())
    };
    of("l").or(of("w")).unwrap_or(1) % 3 != 0
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn what_is_fed_is_what_is_stored(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        for _ in 0..200 {
            run.take(3, false);
        }
        prop_assert_eq!(&run.taken, &run.stored());
        prop_assert_eq!(run.feed.pending().scrapes, 0);
    }
}

#[test]
fn a_feed_begins_where_it_is_made() {
    let mut run = Run::new();
    run.step(&Step::Page(0, vec![(1, 1)]));
    run.step(&Step::Write(0, vec![(0, 1)]));
    run.feed = Feed::from_now(&run.reader);
    run.take(100, false);
    assert_eq!(run.taken, Series::new());
    run.step(&Step::Page(0, vec![(1, 1)]));
    run.step(&Step::Write(0, vec![(0, 1)]));
    run.take(100, false);
    assert!(run.taken.len() > 2, "{:?}", run.taken);
    assert!(
        run.taken.values().all(|samples| samples.len() == 1),
        "{:?}",
        run.taken
    );
}

#[test]
fn intervals_are_whole() {
    let mut run = Run::new();
    let options = |now_ms| WindowOptions {
        now: Timestamp::from_ms(now_ms),
        samples_max: 2,
        interval_ms: Some(1_000),
    };
    for _ in 0..25 {
        run.step(&Step::Page(0, vec![(1, 1)])); // 100, 200, ... 2500 ms
    }
    let mut times = Vec::new();
    let mut take = |run: &mut Run, now_ms| {
        let mut window = Vec::new();
        if run.feed.open(&options(now_ms)) {
            while run.feed.read(&mut |series| {
                if series.labels.metric_name() == Some("a") {
                    window.extend(series.samples.times_ms.iter().map(|ms| ms - START_MS));
                }
                Interest::Wanted
            }) {}
            run.feed.close();
        }
        times.push((window.first().copied(), window.last().copied()));
    };
    take(&mut run, START_MS + 2_500);
    take(&mut run, START_MS + 2_500);
    take(&mut run, START_MS + 2_500);
    take(&mut run, START_MS + 3_999);
    take(&mut run, START_MS + 4_000); // no scrape for a whole interval: the one before is whole
    let whole = |from, until| (Some(from), Some(until));
    let nothing = (None, None);
    assert_eq!(
        times,
        [
            whole(100, 900),
            whole(1_000, 1_900),
            nothing,
            nothing,
            whole(2_000, 2_500)
        ]
    );
}

/// An id that named a series in which there was no interest comes to name another one.
#[test]
fn a_series_with_the_id_of_one_that_was_passed_over_is_fed() {
    let limits = Limits {
        retention_ms: 1_000,
        ..Limits::default()
    };
    let (mut writer, reader) = Engine::new(limits);
    let (_, mut stage) = writer.add_target(spec(0));
    let mut feed = Feed::from_now(&reader);
    let (mut taken, mut passed_over, mut ids) = (0, 0, 0);
    for scrape in 0..400 {
        let at = Timestamp::from_ms(START_MS + scrape * 100);
        // Every series is on 20 pages; every other twenty pages hold none that is wanted.
        let wanted = scrape / 20 % 2 == 1;
        let line = |n: i64| {
            format!(
                "{}{{n=\"{n}-{}\"}} {scrape}\n",
                if wanted { "a" } else { "b" },
                scrape / 20
            )
        };
        let page: String = (0..50).map(line).collect();
        let staged = stage
            .parse(page.as_bytes(), Format::Text)
            .expect("it parses");
        writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("it is taken");
        writer.maintain(at);
        let options = WindowOptions {
            now: at,
            samples_max: 100,
            interval_ms: None,
        };
        assert!(feed.open(&options));
        while feed.read(&mut |series| {
            ids = ids.max(series.number);
            match series.labels.metric_name() {
                Some("a") => {
                    taken += series.samples.values.iter().filter(|v| !v.is_nan()).count();
                    Interest::Wanted
                }
                Some("b") => Interest::Never,
                _ => Interest::Wanted,
            }
        }) {}
        passed_over += feed.samples_passed_over();
        feed.close();
    }
    assert_eq!(taken, 200 * 50);
    // A series is shown before it is passed over, and again where others near its id are removed.
    assert!(
        (8_000..=10 * 19 * 50).contains(&passed_over),
        "{passed_over}"
    );
    assert!(ids < 600, "ids are used again: {ids} for 1,000 series");
}

#[test]
fn a_cursor_that_is_none_is_refused() {
    let run = Run::new();
    let good = run.feed.cursor_bytes();
    for bytes in [
        &b""[..],
        b"x",
        &good[..good.len() - 1],
        &[1, 0xff, 0xff, 0xff],
    ] {
        assert!(Feed::restored(&run.reader, bytes).is_err(), "{bytes:?}");
    }
}

/// What the memory limit takes before a receiver had it is told, not passed over.
#[test]
fn what_the_memory_limit_takes_is_counted() {
    let limits = Limits {
        memory_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let (mut writer, reader) = Engine::new(limits);
    let (_, mut stage) = writer.add_target(spec(0));
    let mut feed = Feed::from_now(&reader);
    let (mut now_ms, mut scrapes) = (START_MS, 0u64);
    while reader.stats().blocks_dropped_for_memory < 200 {
        now_ms += 100;
        scrapes += 1;
        let line = |series: u64| {
            format!(
                "a{{l=\"{series}\"}} 0.{}\n",
                (scrapes * 7_919 + series * 31) % 99_991
            )
        };
        let page: String = (0..200).map(line).collect();
        let staged = stage
            .parse(page.as_bytes(), Format::Text)
            .expect("it parses");
        let at = Timestamp::from_ms(now_ms);
        writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("it is taken");
        writer.maintain(at);
    }
    let options = WindowOptions {
        now: Timestamp::from_ms(now_ms),
        samples_max: usize::MAX,
        interval_ms: None,
    };
    let mut taken = 0;
    assert!(feed.open(&options));
    while feed.read(&mut |series| {
        if series.labels.metric_name() == Some("a") {
            taken += series.samples.times_ms.len() as u64;
        }
        Interest::Wanted
    }) {}
    let lost = feed.close();
    assert!(taken < 200 * scrapes, "{taken} of {scrapes}");
    assert!(
        lost >= 200 * scrapes - taken,
        "{lost} of {scrapes} scrapes, {taken} taken"
    );
}
