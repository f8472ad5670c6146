//! The store against a simple model: random pages, edits, failures and restarts of a target, with every sample kept in a
//! plain list by the rules of Prometheus' scrape loop. Both return the same samples for every window.

use std::collections::{BTreeMap, BTreeSet};

use crate::commits;
use proptest::prelude::*;
use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::promql::select::{Projection, STALE_NAN_BITS, Samples, SelectRequest, View};
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};
use stillwell_testing::cases::cases;

/// One line of a generated page.
#[derive(Clone, Debug)]
struct Line {
    family: u8,
    label: u8,
    value: f64,
    own_time: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Page(Vec<Line>),
    Broken(Vec<Line>),
    Fail,
}

fn line() -> impl Strategy<Value = Line> {
    let value = prop_oneof![
        (0i32..5).prop_map(f64::from),
        any::<i32>().prop_map(f64::from),
        (-1e6..1e6f64),
        Just(f64::INFINITY),
    ];
    (0u8..4, 0u8..40, value, prop::bool::weighted(0.01)).prop_map(
        |(family, label, value, own_time)| Line {
            family,
            label,
            value,
            own_time,
        },
    )
}

/// Pages that resemble the one before: most lines stay, some move, some come and go.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let edit = prop_oneof![
        6 => prop::collection::vec((any::<prop::sample::Index>(), line()), 0..4).prop_map(Edit::Change),
        2 => (any::<prop::sample::Index>(), line()).prop_map(|(at, line)| Edit::Insert(at, line)),
        2 => (any::<prop::sample::Index>(), 1usize..90).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => any::<prop::sample::Index>().prop_map(Edit::Rotate),
        1 => Just(Edit::Fail),
        1 => Just(Edit::Break),
    ];
    (
        prop::collection::vec(line(), 0..150),
        prop::collection::vec(edit, 1..25),
    )
        .prop_map(|(mut page, edits)| {
            let mut steps = vec![Step::Page(page.clone())];
            for edit in edits {
                match edit {
                    Edit::Change(changes) => {
                        for (at, line) in changes {
                            if page.is_empty() {
                                break;
                            }
                            let at = at.index(page.len());
                            page[at].value = line.value;
                        }
                    }
                    Edit::Insert(at, line) => page.insert(at.index(page.len() + 1), line),
                    Edit::Remove(at, count) => {
                        let start = at.index(page.len() + 1);
                        page.drain(start..(start + count).min(page.len()));
                    }
                    Edit::Rotate(at) => {
                        let middle = at.index(page.len() + 1);
                        page.rotate_left(middle);
                    }
                    Edit::Fail => {
                        steps.push(Step::Fail);
                        continue;
                    }
                    Edit::Break => {
                        steps.push(Step::Broken(page.clone()));
                        continue;
                    }
                }
                steps.push(Step::Page(page.clone()));
            }
            steps
        })
}

#[derive(Clone, Debug)]
enum Edit {
    Change(Vec<(prop::sample::Index, Line)>),
    Insert(prop::sample::Index, Line),
    Remove(prop::sample::Index, usize),
    Rotate(prop::sample::Index),
    Fail,
    Break,
}

fn render(lines: &[Line], at_ms: i64) -> String {
    let mut page = String::new();
    let mut family = None;
    for line in lines {
        if family != Some(line.family) {
            page += &format!("# HELP f{0} family {0}\n# TYPE f{0} gauge\n", line.family);
            family = Some(line.family);
        }
        page += &format!(
            "f{}{{l=\"value number {}\",other=\"x\"}} {}",
            line.family, line.label, line.value
        );
        if line.own_time {
            page += &format!(" {}", at_ms - 3);
        }
        page.push('\n');
    }
    page
}

fn labels_of(line: &Line) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("f{}", line.family).as_str()),
        ("l", format!("value number {}", line.label).as_str()),
        ("other", "x"),
        ("job", "j"),
    ])
}

type Series = BTreeMap<Labels, Vec<(i64, u64)>>;

/// Samples as Prometheus' scrape loop would append them.
#[derive(Default)]
struct Twin {
    series: Series,
    present: BTreeSet<Labels>,
}

impl Twin {
    fn append(&mut self, labels: &Labels, time_ms: i64, bits: u64) {
        let samples = self.series.entry(labels.clone()).or_default();
        if samples.last().is_none_or(|&(last_ms, _)| last_ms < time_ms) {
            samples.push((time_ms, bits));
        }
    }

    fn end(&mut self, still: &BTreeSet<Labels>, time_ms: i64) {
        for labels in self.present.difference(still).cloned().collect::<Vec<_>>() {
            self.append(&labels, time_ms, STALE_NAN_BITS);
        }
        self.present.clone_from(still);
    }

    fn page(&mut self, lines: &[Line], time_ms: i64) {
        let mut seen = BTreeSet::new();
        for line in lines {
            let labels = labels_of(line);
            if seen.insert(labels.clone()) {
                self.append(&labels, time_ms, line.value.to_bits());
            }
        }
        self.end(&seen, time_ms);
    }
}

/// A second marker in a row says nothing new; the store writes one where a series left during an outage.
fn without_repeated_markers(samples: &[(i64, u64)]) -> Vec<(i64, u64)> {
    let mut kept: Vec<(i64, u64)> = Vec::new();
    for &sample in samples {
        if sample.1 != STALE_NAN_BITS || kept.last().is_some_and(|last| last.1 != STALE_NAN_BITS) {
            kept.push(sample);
        }
    }
    kept
}

fn stored(view: &dyn View, after_ms: i64, until_ms: i64) -> Series {
    let request = SelectRequest {
        matchers: &[Matcher::equal("other", "x")],
        after_ms,
        until_ms,
        projection: Projection::All,
        last_only: false,
        memory: None,
        stop: None,
    };
    let selection = view.select(&request).expect("the plain view answers");
    let mut samples = Samples::default();
    let mut series = Series::new();
    for index in 0..selection.len() {
        selection.read(index, &mut samples);
        let list = samples
            .times_ms
            .iter()
            .copied()
            .zip(samples.values.iter().map(|value| value.to_bits()));
        series.insert(selection.labels(index).clone(), list.collect());
        let newest = selection
            .last(index, &mut Samples::default())
            .map(|last| (last.time_ms, last.value.to_bits()));
        assert_eq!(newest, series[selection.labels(index)].last().copied());
    }
    series
}

fn check(view: &dyn View, twin: &Twin, after_ms: i64, until_ms: i64) {
    let got: Series = stored(view, after_ms, until_ms)
        .into_iter()
        .map(|(labels, samples)| (labels, without_repeated_markers(&samples)))
        .filter(|(_, samples)| !samples.is_empty())
        .collect();
    let want: Series = twin
        .series
        .iter()
        .map(|(labels, samples)| {
            let inside: Vec<_> = samples
                .iter()
                .copied()
                .filter(|&(ms, _)| ms > after_ms && ms <= until_ms)
                .collect();
            (labels.clone(), without_repeated_markers(&inside))
        })
        .filter(|(_, samples)| !samples.is_empty())
        .collect();
    assert_eq!(got, want, "window ({after_ms}, {until_ms}]");
}

fn run(steps: &[Step], windows: &[(i64, i64)], own_times: bool) {
    let (mut writer, reader) = Engine::new(Limits::default());
    let spec = TargetSpec {
        labels: Labels::from_pairs([("job", "j")]),
        honor_timestamps: own_times,
        ..TargetSpec::default()
    };
    let (target, mut stage) = writer.add_target(spec);
    let mut twin = Twin::default();
    let facts = ScrapeFacts::default();
    for (index, step) in steps.iter().enumerate() {
        let at_ms = 1000 + index as i64 * 100;
        let at = Timestamp::from_ms(at_ms);
        match step {
            Step::Page(lines) => {
                let page = render(lines, at_ms);
                let staged = stage
                    .parse(page.as_bytes(), Format::Text)
                    .expect("the page parses");
                let committed = commits::commit(&mut writer, staged, at, index as u32);
                let committed = committed.expect("the page is taken");
                assert_eq!(committed.samples_scraped, lines.len() as u64);
                twin.page(lines, at_ms);
            }
            Step::Broken(lines) => {
                let page = render(lines, at_ms) + "f0{l=\"open 1\n";
                let error = stage
                    .parse(page.as_bytes(), Format::Text)
                    .err()
                    .expect("the page breaks");
                assert_eq!(error.line, page.lines().count());
                writer
                    .fail(target, at, facts, "refused")
                    .expect("time ascends");
                twin.end(&BTreeSet::new(), at_ms);
            }
            Step::Fail => {
                writer
                    .fail(target, at, facts, "refused")
                    .expect("time ascends");
                twin.end(&BTreeSet::new(), at_ms);
            }
        }
        writer.maintain(at);
    }
    let view = reader.plain();
    check(&view, &twin, i64::MIN, i64::MAX);
    for &(after_ms, until_ms) in windows {
        check(&view, &twin, after_ms, until_ms);
    }
    let end_ms = 1000 + steps.len() as i64 * 100;
    writer.remove_target(stage, Timestamp::from_ms(end_ms));
    twin.end(&BTreeSet::new(), end_ms);
    check(&reader.plain(), &twin, i64::MIN, i64::MAX);
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn what_was_scraped_is_what_is_read(
        steps in steps(),
        windows in prop::collection::vec((900i64..4000, 900i64..4000), 0..6)
    ) {
        run(&steps, &windows, false);
    }
}
