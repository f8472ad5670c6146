//! An engine that is read from a snapshot goes on as the one of which it was taken: history, what signals held, what
//! targets and processes were known. Whatever is damaged is refused with the reason.

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::{Policy, SignalId, State};
use stillwell_engine::snapshot::{Restored, SnapshotError};
use stillwell_engine::{
    AppendedSeries, Engine, Format, HistogramOptions, Limits, Reader, ScrapeFacts, Stage,
    TargetSpec, Timestamp, Writer,
};
use stillwell_testing::metrics_proto::{BucketSpan, Histogram, Metric, MetricFamily, page};
use stillwell_testing::reading::reading;

pub(super) const START_MS: i64 = 1_800_000_000_000;
pub(super) const QUEUE: &str =
    "sum(inference_extension_flow_control_queue_size{inference_pool=\"p\"})";

pub(super) struct Scene {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) stages: Vec<Stage>,
    pub(super) now_ms: i64,
}

pub(super) fn spec(instance: &str) -> TargetSpec {
    TargetSpec {
        labels: Labels::from_pairs([("job", "epp"), ("instance", instance)]),
        honor_timestamps: true,
        interval_ms: 1_000,
        histograms: HistogramOptions {
            native: true,
            ..HistogramOptions::default()
        },
        ..TargetSpec::default()
    }
}

/// A gateway's page: its process started at `started_s` and so many requests wait.
pub(super) fn gateway(started_s: i64, queue: i64) -> String {
    format!(
        "process_start_time_seconds {started_s}\n# TYPE inference_extension_flow_control_queue_size gauge\n\
         inference_extension_flow_control_queue_size{{inference_pool=\"p\",fairness_id=\"f\"}} {queue}\n\
         # TYPE inference_extension_flow_control_pool_saturation gauge\n\
         inference_extension_flow_control_pool_saturation{{inference_pool=\"p\"}} 0.5\n\
         # TYPE requests_total counter\nrequests_total{{inference_pool=\"p\"}} {}\n",
        1_000 + queue * 3
    )
}

impl Scene {
    pub(super) fn new(instances: &[&str]) -> Scene {
        Scene::with_limits(Limits::default(), instances)
    }

    pub(super) fn with_limits(limits: Limits, instances: &[&str]) -> Scene {
        let (writer, reader) = Engine::new(limits);
        let mut scene = Scene {
            writer,
            reader,
            stages: Vec::new(),
            now_ms: START_MS,
        };
        scene.discover(instances);
        scene
    }

    fn discover(&mut self, instances: &[&str]) {
        for instance in instances {
            let (_, stage) = self.writer.add_target(spec(instance));
            self.stages.push(stage);
        }
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    pub(super) fn scrape(&mut self, target: usize, page: &[u8], format: Format) {
        let at = self.at();
        let staged = self.stages[target].parse(page, format).expect("valid");
        let committed = self.writer.commit(staged, at, ScrapeFacts::default());
        committed.expect("taken");
    }

    pub(super) fn register(&mut self, query: &str) -> SignalId {
        self.reader
            .register(query, Policy::default())
            .expect("valid")
    }

    pub(super) fn told(&self, signal: SignalId) -> (Option<f64>, State) {
        let reading = self
            .reader
            .signal(signal, self.at(), &[])
            .expect("registered");
        (reading.elements.first().map(|e| e.value), reading.state)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut snapshot = self.writer.snapshot(self.at(), &[("mine", vec![1, 2, 3])]);
        let mut bytes = Vec::new();
        while snapshot.next(&mut bytes) {}
        bytes
    }

    /// The same engine, read from a snapshot after `later_ms`.
    fn restarted(&self, later_ms: i64) -> Scene {
        let now_ms = self.now_ms + later_ms;
        let restored = restore(&self.bytes(), now_ms).expect("a good snapshot");
        assert_eq!(restored.written.ms(), self.now_ms);
        assert_eq!(restored.named, [("mine".to_owned(), vec![1, 2, 3])]);
        Scene {
            writer: restored.writer,
            reader: restored.reader,
            stages: Vec::new(),
            now_ms,
        }
    }

    /// Every sample of the last minutes.
    pub(super) fn history(&self, now_ms: i64) -> Vec<String> {
        self.history_since(now_ms - 1_800_000, now_ms)
    }

    /// Every sample after a time.
    pub(super) fn history_since(&self, after_ms: i64, now_ms: i64) -> Vec<String> {
        let query = format!("{{__name__!=\"\"}}[{}ms]", (now_ms - after_ms).max(1));
        let query = Query::parse(&query, &Features::default()).expect("valid");
        let at = Timestamp::from_ms(now_ms);
        let answer = query.instant(&self.reader.plain(), at, &EvalOptions::default());
        let Value::Matrix(matrix) = answer.expect("answers").value else {
            panic!("a range was asked for");
        };
        let mut shown: Vec<String> = matrix.iter().map(|series| format!("{series:?}")).collect();
        shown.sort();
        shown
    }
}

pub(super) fn restore(bytes: &[u8], now_ms: i64) -> Result<Restored, SnapshotError> {
    Engine::restore(
        Limits::default(),
        Timestamp::from_ms(now_ms),
        &mut reading(bytes),
    )
}

pub(super) fn native_page(count: i64) -> Vec<u8> {
    let histogram = Histogram {
        sample_count: Some(count as u64),
        sample_sum: Some(1.5),
        zero_threshold: Some(1e-9),
        schema: Some(2),
        positive_span: vec![BucketSpan {
            offset: Some(-3),
            length: Some(1),
        }],
        positive_delta: vec![count],
        ..Histogram::default()
    };
    let metric = Metric {
        histogram: Some(histogram),
        ..Metric::default()
    };
    page(&[MetricFamily {
        name: Some("native".to_owned()),
        r#type: Some(4),
        metric: vec![metric],
        ..MetricFamily::default()
    }])
}

fn busy() -> Scene {
    let mut scene = Scene::new(&["a:1", "b:1", "c:1"]);
    for second in 0..200 {
        scene.now_ms = START_MS + 1_000 * second;
        let started_s = if second < 90 {
            1_700_000_000
        } else {
            1_700_000_500
        };
        scene.scrape(0, gateway(started_s, second % 7).as_bytes(), Format::Text);
        let comes_and_goes = match second % 20 {
            0..10 => format!(
                "x{{n=\"{}\"}} NaN\nown 1 {}\n",
                second / 20,
                scene.now_ms - 300
            ),
            _ => "y 1e300\n".to_owned(),
        };
        scene.scrape(1, comes_and_goes.as_bytes(), Format::Text);
        if second % 13 == 5 {
            let (target, at) = (scene.stages[2].target(), scene.at());
            let failed = scene.writer.fail(target, at, ScrapeFacts::default(), "no");
            failed.expect("time moves on");
        } else {
            scene.scrape(2, &native_page(second / 30), Format::Protobuf);
        }
        let recorded = AppendedSeries {
            labels: Labels::from_pairs([("__name__", "recorded")]),
            floats: vec![(scene.at(), second as f64)],
            histograms: Vec::new(),
        };
        scene
            .writer
            .append(vec![recorded], scene.at())
            .expect("fits");
        scene.writer.maintain(scene.at());
    }
    scene
}

#[test]
fn history_is_the_same_and_goes_on() {
    let mut first = busy();
    let mut second = first.restarted(2_500);
    assert_eq!(first.history(first.now_ms), second.history(first.now_ms));
    assert!(first.history(first.now_ms).len() > 20);
    // What comes next is the same in both.
    second.discover(&["a:1", "b:1", "c:1"]);
    first.now_ms = second.now_ms;
    for step in 0..30 {
        for scene in [&mut first, &mut second] {
            scene.now_ms += 1_000;
            scene.scrape(0, gateway(1_700_000_500, step).as_bytes(), Format::Text);
            scene.scrape(
                1,
                if step % 3 == 0 {
                    b"y 2\n"
                } else {
                    b"x{n=\"0\"} 1\n"
                },
                Format::Text,
            );
            scene.scrape(2, &native_page(step), Format::Protobuf);
            scene.writer.maintain(scene.at());
        }
    }
    let without_added = |scene: &Scene| {
        let history = scene.history(scene.now_ms);
        let of_page = history
            .into_iter()
            .filter(|series| !series.contains("scrape_series_added"));
        of_page.collect::<Vec<String>>()
    };
    assert_eq!(without_added(&first), without_added(&second));
    let third = second.restarted(100);
    assert_eq!(third.history(second.now_ms), second.history(second.now_ms));
}

#[test]
fn a_signal_holds_over_a_restart_what_it_held() {
    let mut first = Scene::new(&["a:1"]);
    let signal = first.register(QUEUE);
    for second in 0..100 {
        first.now_ms = START_MS + 1_000 * second;
        first.scrape(0, gateway(1_700_000_000, 5).as_bytes(), Format::Text);
    }
    assert_eq!(first.told(signal), (Some(5.0), State::Value));
    // Before the first page there is no number (S6f).
    let mut second = first.restarted(1_500);
    let signal = second.register(QUEUE);
    second.discover(&["a:1"]);
    for _ in 0..6 {
        let (value, state) = second.told(signal);
        let State::Unknown { why } = &state else {
            panic!("{value:?} {state:?}");
        };
        assert!(why.contains("a:1"), "{why}");
        second.now_ms += 1_000;
    }
    // The gateway restarted meanwhile: its empty queue is no empty queue yet (S6b).
    second.scrape(0, gateway(1_800_000_100, 0).as_bytes(), Format::Text);
    let (value, state) = second.told(signal);
    assert!(
        value == Some(5.0) && matches!(state, State::Held { .. }),
        "{value:?} {state:?}"
    );
    // The same process as before: its empty queue is one.
    let mut third = first.restarted(1_500);
    let signal = third.register(QUEUE);
    third.discover(&["a:1"]);
    third.scrape(0, gateway(1_700_000_000, 0).as_bytes(), Format::Text);
    assert_eq!(third.told(signal), (Some(0.0), State::Value));
}

#[test]
fn a_grace_goes_on_over_a_restart() {
    let mut first = Scene::new(&["a:1"]);
    let signal = first.register(QUEUE);
    for (second, started_s, queue) in
        (0..60)
            .map(|s| (s, 1_700_000_000, 9))
            .chain([(60, 1_800_000_059, 0)])
    {
        first.now_ms = START_MS + 1_000 * second;
        first.scrape(0, gateway(started_s, queue).as_bytes(), Format::Text);
    }
    assert_eq!(first.told(signal).0, Some(9.0));
    let mut second = first.restarted(3_000);
    let signal = second.register(QUEUE);
    second.discover(&["a:1"]);
    second.scrape(0, gateway(1_800_000_059, 1).as_bytes(), Format::Text);
    let (value, state) = second.told(signal);
    assert!(
        value == Some(9.0) && matches!(state, State::Held { .. }),
        "{value:?} {state:?}"
    );
}

#[test]
fn absence_is_proven_by_what_was_seen_before_the_restart() {
    let mut first = Scene::new(&["a:1"]);
    let other =
        "sum(inference_extension_flow_control_queue_size{inference_pool=\"p\",fairness_id=\"f\"})";
    let signal = first.register(other);
    let without_queue = |second: i64| {
        let page = gateway(1_700_000_000, second);
        let lines = page.lines().filter(|line| !line.contains("queue_size{"));
        lines.fold(String::new(), |page, line| page + line + "\n")
    };
    for second in 0..100 {
        first.now_ms = START_MS + 1_000 * second;
        let page = match second < 10 {
            true => gateway(1_700_000_000, 2),
            false => without_queue(second),
        };
        first.scrape(0, page.as_bytes(), Format::Text);
    }
    assert_eq!(first.told(signal), (Some(0.0), State::Value));
    let mut second = first.restarted(1_000);
    let signal = second.register(other);
    second.discover(&["a:1"]);
    second.scrape(0, without_queue(1).as_bytes(), Format::Text);
    assert_eq!(second.told(signal), (Some(0.0), State::Value));
}

/// Gateways that came back under other addresses were summed with their last pages: 48 for 24, for a moment, and by a query
/// that was asked for then for the whole grace.
#[test]
fn gateways_under_other_addresses_are_not_summed_with_what_they_were() {
    const SUM: &str = "sum(inference_extension_flow_control_queue_size)";
    let mut first = Scene::new(&["a:1", "a:2"]);
    let signal = first.register(SUM);
    for _ in 0..5 {
        first.now_ms += 1_000;
        for target in 0..2 {
            first.scrape(target, gateway(1, 12).as_bytes(), Format::Text);
        }
    }
    assert_eq!(first.told(signal), (Some(24.0), State::Value));
    let mut second = first.restarted(1_000);
    let signal = second.register(SUM);
    second.discover(&["b:1", "b:2"]);
    let mut later = None;
    for tick in 0..150 {
        second.now_ms += 500;
        for target in (0..2).filter(|_| tick % 2 == 0) {
            second.scrape(target, gateway(1, 12).as_bytes(), Format::Text);
        }
        second.writer.maintain(second.at());
        // One is asked for between the maintenance that removes the old ones and the next page.
        if tick == 19 {
            later = Some(second.register(SUM));
        }
        for signal in [Some(signal), later].into_iter().flatten() {
            if let (Some(number), state) = second.told(signal) {
                assert_eq!(number, 24.0, "at tick {tick}: {state:?}");
            }
        }
    }
    for signal in [Some(signal), later].into_iter().flatten() {
        assert_eq!(second.told(signal), (Some(24.0), State::Value));
    }
}

#[test]
fn a_target_that_discovery_does_not_find_again_ends() {
    let mut first = Scene::new(&["a:1", "b:1"]);
    first.scrape(0, b"x 1\n", Format::Text);
    first.scrape(1, b"y 1\n", Format::Text);
    let mut second = first.restarted(1_000);
    second.discover(&["a:1"]);
    for _ in 0..12 {
        second.now_ms += 1_000;
        second.scrape(0, b"x 1\n", Format::Text);
        second.writer.maintain(second.at());
    }
    let now = |query: &str| {
        let query = Query::parse(query, &Features::default()).expect("valid");
        let answer = query.instant(&second.reader.plain(), second.at(), &EvalOptions::default());
        let Value::Vector(vector) = answer.expect("answers").value else {
            panic!("a vector was asked for");
        };
        vector.len()
    };
    assert_eq!((now("x"), now("y"), now("up")), (1, 0, 1));
}

#[test]
fn damage_is_refused_with_its_reason() {
    let scene = busy();
    let bytes = scene.bytes();
    let now_ms = scene.now_ms;
    let refused = |bytes: &[u8], now_ms: i64| restore(bytes, now_ms).err().expect("refused");
    assert_eq!(refused(b"", now_ms), SnapshotError::Foreign);
    assert_eq!(refused(&[b'x'; 100], now_ms), SnapshotError::Foreign);
    let mut other = bytes.clone();
    other[8] = 7;
    assert_eq!(refused(&other, now_ms), SnapshotError::Version(7));
    other = bytes.clone();
    other[13] ^= 1;
    assert_eq!(
        refused(&other, now_ms),
        SnapshotError::Checksum { section: 0 }
    );
    let written_ms = now_ms;
    assert_eq!(
        refused(&bytes, now_ms - 1),
        SnapshotError::Future { written_ms }
    );
    assert_eq!(
        refused(&bytes, now_ms + 3_600_001),
        SnapshotError::Old { written_ms }
    );
    for end in (0..bytes.len())
        .step_by(97)
        .chain(bytes.len() - 30..bytes.len())
    {
        refused(&bytes[..end], now_ms);
    }
    for at in (28..bytes.len()).step_by(101) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        refused(&damaged, now_ms);
    }
    assert!(restore(&bytes, now_ms).is_ok());
}

/// A snapshot is taken in pieces; pages that are committed in between do not show in it.
#[test]
fn a_snapshot_is_of_one_moment() {
    let mut scene = Scene::new(&["a:1"]);
    let page = |value: i64| {
        (0..500).fold(String::new(), |page, n| {
            page + &format!("x{{n=\"{n}\"}} {value}\n")
        })
    };
    for second in 0..20 {
        scene.now_ms = START_MS + 1_000 * second;
        scene.scrape(0, page(second / 4).as_bytes(), Format::Text);
    }
    let now_ms = scene.now_ms;
    let before = scene.history(now_ms);
    let mut snapshot = scene.writer.snapshot(scene.at(), &[]);
    let mut bytes = Vec::new();
    let mut more = true;
    while more {
        more = snapshot.next(&mut bytes);
        scene.now_ms += 1_000;
        let page = if scene.now_ms % 2_000 == 0 {
            page(77)
        } else {
            "z 1\n".to_owned()
        };
        scene.scrape(0, page.as_bytes(), Format::Text);
    }
    let restored = restore(&bytes, scene.now_ms).expect("a good snapshot");
    let restored = Scene {
        writer: restored.writer,
        reader: restored.reader,
        stages: Vec::new(),
        now_ms,
    };
    assert_eq!(restored.history(now_ms), before);
}
