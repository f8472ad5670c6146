//! A page of 150,000 lines in another order at every scrape held the writer for a second, and 40% of the scrapes of other
//! targets were lost: large pages are committed in steps, and nobody sees a part of one.

use std::fmt::Write as _;

use stillwell_engine::labels::Labels;
use stillwell_engine::limits::WRITE_BATCH_SERIES;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::{Policy, SignalId, State};
use stillwell_engine::{
    AppendedSeries, Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp,
    Writer,
};

use crate::commits::commit_beside;

const QUERIES: [&str; 4] = [
    "sum(m)",
    "count(m)",
    "sum(max_over_time(m[5s]))",
    "max(m) + count(m{job=\"small\"})",
];

struct Scene {
    writer: Writer,
    reader: Reader,
    signals: Vec<SignalId>,
    large: Stage,
    small: Stage,
    now_ms: i64,
}

fn target(writer: &mut Writer, job: &str) -> Stage {
    let spec = TargetSpec {
        labels: Labels::from_pairs([("job", job), ("instance", job)]),
        interval_ms: 1_000,
        ..TargetSpec::default()
    };
    writer.add_target(spec).1
}

fn page(lines: impl Iterator<Item = (usize, usize)>) -> String {
    let mut page = "# TYPE m gauge\n".to_owned();
    for (line, value) in lines {
        writeln!(page, "m{{n=\"{line}\"}} {value}").expect("a String takes everything");
    }
    page
}

fn scene() -> Scene {
    let (mut writer, reader) = Engine::new(Limits::default());
    let register = |query: &&str| writer.register(query, Policy::default()).expect("valid");
    let signals = QUERIES.iter().map(register).collect();
    let (large, small) = (target(&mut writer, "large"), target(&mut writer, "small"));
    Scene {
        writer,
        reader,
        signals,
        large,
        small,
        now_ms: 1_000_000,
    }
}

/// What a query says of what is visible.
fn ask(reader: &Reader, query: &str, at: Timestamp) -> Option<f64> {
    let query = Query::parse(query, &Features::default()).expect("valid");
    let answer = query.instant(&reader.plain(), at, &EvalOptions::default());
    match answer.expect("answers").value {
        Value::Vector(samples) => samples.first().map(|sample| sample.value),
        _ => panic!("a vector was asked for"),
    }
}

impl Scene {
    /// Commits a page of the large target in every way, one after the other, with the small one's pages between all steps.
    fn take(&mut self, page: &str, how: u32) {
        let facts = ScrapeFacts::default();
        self.now_ms += 1_000;
        let at = Timestamp::from_ms(self.now_ms);
        let staged = self.large.parse(page.as_bytes(), Format::Text);
        let staged = staged.expect("it parses");
        let before = ask(&self.reader, "sum(m{job=\"large\"})", at);
        let count_before = ask(&self.reader, "count(m{job=\"large\"})", at);
        let (small, reader, signals) = (&mut self.small, &self.reader, &self.signals);
        let mut now_ms = self.now_ms;
        let committed = commit_beside(&mut self.writer, staged, at, how, |writer| {
            now_ms += 1;
            let at = Timestamp::from_ms(now_ms);
            let page = format!("m{{n=\"a\"}} {now_ms}\n");
            let staged = small.parse(page.as_bytes(), Format::Text);
            writer
                .commit(staged.expect("it parses"), at, facts)
                .expect("it is taken");
            let is_visible = ask(reader, "sum(m{job=\"large\"})", at) != before;
            let whole = page_sum(reader, at);
            assert!(!is_visible || whole.is_some(), "a part of a page is seen");
            if !is_visible {
                let count = ask(reader, "count(m{job=\"large\"})", at);
                assert_eq!(count, count_before, "series of a page are seen before it");
            }
            same_as_asked(reader, signals, at);
        });
        committed.expect("it is taken");
        self.now_ms = now_ms + 1;
        let at = Timestamp::from_ms(self.now_ms);
        same_as_asked(&self.reader, &self.signals, at);
        self.writer.maintain(at);
    }
}

/// The sum of the large page, where all of its lines have the value of the first.
fn page_sum(reader: &Reader, at: Timestamp) -> Option<f64> {
    let least = ask(reader, "min(m{job=\"large\"})", at)?;
    let most = ask(reader, "max(m{job=\"large\"})", at)?;
    (least == most).then_some(least)
}

/// Every signal says what its query says of what is visible.
fn same_as_asked(reader: &Reader, signals: &[SignalId], at: Timestamp) {
    for (query, id) in QUERIES.iter().zip(signals) {
        let reading = reader.signal(*id, at, &[]).expect("it is registered");
        let value = match reading.state {
            State::Value => reading.elements.first().map(|element| element.value),
            _ => continue,
        };
        assert_eq!(value, ask(reader, query, at), "{query}");
    }
}

#[test]
fn nobody_sees_a_part_of_a_page_that_is_committed_in_steps() {
    for how in [2, 3, 6, 7, 10, 11] {
        let mut scene = scene();
        let lines = 20;
        // All lines of a page have one value, so that a part of it shows.
        scene.take(&page((0..lines).map(|line| (line, 1))), how);
        scene.take(&page((0..lines).map(|line| (line, 2))), how);
        scene.take(&page((0..lines).rev().map(|line| (line, 3))), how);
        scene.take(&page((0..lines / 2).map(|line| (line, 4))), how);
        scene.take(&page((5..lines + 5).map(|line| (line, 5))), how);
        scene.take(&page((100..100 + lines).map(|line| (line, 6))), how);
        scene.take(&page((0..lines).map(|line| (line, 7))), how);
        let at = Timestamp::from_ms(scene.now_ms);
        let sum = ask(&scene.reader, "sum(m{job=\"large\"})", at);
        assert_eq!(sum, Some(7.0 * lines as f64), "{how}");
    }
}

/// What a request appends to a series that the page has just left is not older than the page before.
#[test]
fn a_request_takes_a_series_that_leaves_while_its_page_is_committed() {
    let mut scene = scene();
    scene.take("m{n=\"1\"} 1\nm{n=\"2\"} 1\n", 2);
    scene.now_ms += 1_000;
    let at = Timestamp::from_ms(scene.now_ms);
    let staged = scene.large.parse(b"m{n=\"1\"} 2\n", Format::Text);
    let mut late = Vec::new();
    let labels = [
        ("__name__", "m"),
        ("instance", "large"),
        ("job", "large"),
        ("n", "2"),
    ];
    let committed = commit_beside(
        &mut scene.writer,
        staged.expect("it parses"),
        at,
        2,
        |writer| {
            let batch = |at_ms: i64| {
                vec![AppendedSeries {
                    labels: Labels::from_pairs(labels),
                    floats: vec![(Timestamp::from_ms(at_ms), 5.0)],
                    histograms: Vec::new(),
                }]
            };
            let appended = writer.append(batch(at.ms() - 900_000), at);
            late.push(appended.expect("it fits").refused);
        },
    );
    committed.expect("it is taken");
    assert!(late.iter().all(|refused| *refused == 1), "{late:?}");
}

#[test]
fn a_page_in_another_order_is_committed_in_steps_of_a_batch() {
    let mut scene = scene();
    let lines = 10 * WRITE_BATCH_SERIES;
    let facts = ScrapeFacts::default();
    let first = page((0..lines).map(|line| (line, 1)));
    let second = page((0..lines).rev().map(|line| (line, line)));
    for (number, text) in [first, second].iter().enumerate() {
        let at = Timestamp::from_ms(2_000_000 + number as i64 * 1_000);
        let staged = scene.large.parse(text.as_bytes(), Format::Text);
        let staged = staged.expect("it parses");
        let begun = scene.writer.begin_commit(staged, at, facts);
        let (mut commit, mut steps) = (begun.expect("it fits"), 0);
        while scene.writer.commit_step(&mut commit, WRITE_BATCH_SERIES) {
            commit.prepare();
            steps += 1;
        }
        assert!(steps >= 10, "{steps} steps");
        commit.gather();
        let (committed, page) = scene.writer.finish_commit(commit);
        assert_eq!(committed.samples_scraped, lines as u64);
        scene.writer.take_template(page.into_template());
    }
    let at = Timestamp::from_ms(2_001_000);
    assert_eq!(ask(&scene.reader, "count(m)", at), Some(lines as f64));
    let sum = (lines * (lines - 1) / 2) as f64;
    assert_eq!(ask(&scene.reader, "sum(m)", at), Some(sum));
}

/// Of a page whose series are ended in steps, where memory is nearly used up, the last values were the oldest history that was left: three
/// quarters of them were dropped before the next page was visible, and a signal that another target's page evaluated was the sum of the rest.
#[test]
fn where_memory_is_used_up_a_page_is_seen_whole_until_the_next_one_is() {
    let (lines, facts) = (20_000, ScrapeFacts::default());
    let mut taken = 0;
    // The least limits with which the second page is taken.
    for limit_kib in (16_000..).step_by(500) {
        let (mut writer, reader) = Engine::new(Limits {
            memory_bytes_max: limit_kib << 10,
            ..Limits::default()
        });
        let mut large = target(&mut writer, "large");
        let first = page((0..lines).map(|line| (line, 1)));
        let staged = large.parse(first.as_bytes(), Format::Text);
        let at = Timestamp::from_ms(1_000_000);
        let committed = writer.commit(staged.expect("it parses"), at, facts);
        committed.expect("it fits");
        writer.maintain(at);
        let second = page((lines..2 * lines).map(|line| (line, 1)));
        let staged = large.parse(second.as_bytes(), Format::Text);
        let at = Timestamp::from_ms(1_001_000);
        let Ok(mut commit) = writer.begin_commit(staged.expect("it parses"), at, facts) else {
            continue;
        };
        while writer.commit_step(&mut commit, WRITE_BATCH_SERIES) {
            commit.prepare();
            assert_eq!(
                ask(&reader, "count(m)", at),
                Some(lines as f64),
                "{limit_kib}"
            );
        }
        commit.gather();
        let (_, page) = writer.finish_commit(commit);
        writer.take_template(page.into_template());
        assert_eq!(ask(&reader, "count(m)", at), Some(lines as f64));
        taken += 1;
        if taken == 2 {
            break;
        }
    }
}
