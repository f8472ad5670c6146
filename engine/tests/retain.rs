//! `retain: signals` against two twins that know nothing of it. One keeps every page whole: whatever a signal says
//! where only what signals need is kept, it says there too, or else it is unknown because it came too late. The other
//! keeps all of pages from which a naive filter has taken the lines of names that no signal needs: the same series,
//! the same samples.

#[path = "common/cases.rs"]
mod cases;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cases::cases;
use proptest::prelude::*;
use stillwell_engine::labels::{Labels, Matcher, RelabelAction, RelabelRule, RelabelSpec};
use stillwell_engine::promql::select::{Projection, STALE_NAN_BITS, Samples, SelectRequest, View};
use stillwell_engine::signal::{Policy, SignalId, State};
use stillwell_engine::{
    Engine, Format, Limits, Reader, Retain, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

const INTERVAL_MS: i64 = 1_000;
const TARGETS: usize = 2;
const START: &str = "process_start_time_seconds";

/// Families with the labels of their series and their type. All lines of a name have the same labels.
const FAMILIES: &[(&str, &[&str], &str)] = &[
    (
        "llm_d_epp_flow_control_queue_size",
        &["inference_pool", "model_name"],
        "gauge",
    ),
    (
        "inference_extension_flow_control_queue_size",
        &["inference_pool", "model_name"],
        "gauge",
    ),
    (
        "llm_d_epp_flow_control_pool_saturation",
        &["inference_pool"],
        "gauge",
    ),
    ("llm_d_epp_request_running", &["model_name"], "gauge"),
    ("llm_d_epp_request_total", &["model_name"], "counter"),
    (
        "llm_d_epp_request_duration_seconds",
        &["model_name"],
        "histogram",
    ),
    ("go_goroutines", &[], "gauge"),
    ("go_threads", &[], "gauge"),
    ("other_total", &["l"], "counter"),
    ("inference_pool_average_queue_size", &["name"], "gauge"),
    ("workqueue_depth", &["name"], "gauge"),
    ("leader_election_master_status", &["name"], "gauge"),
    ("junk", &["x"], "gauge"),
    ("junk_seconds", &["model_name"], "histogram"),
];

const FLOW: &[&str] = &[
    "llm_d_epp_flow_control_queue_size",
    "inference_extension_flow_control_queue_size",
    "llm_d_epp_flow_control_pool_saturation",
];
const POOL: &str = "inference_pool_average_queue_size";

/// Queries, and the names that each needs of the families above.
const QUERIES: &[(&str, &[&str])] = &[
    (
        "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"v1\"})",
        FLOW,
    ),
    (
        "sum(inference_extension_flow_control_queue_size{inference_pool=\"v2\"})",
        FLOW,
    ),
    (
        "sum by (model_name) (llm_d_epp_request_running)",
        &["llm_d_epp_request_running", POOL],
    ),
    (
        "sum(llm_d_epp_flow_control_queue_size{model_name=\"v1\"})",
        FLOW,
    ),
    (
        "sum(rate(llm_d_epp_request_total[3s]))",
        &["llm_d_epp_request_total", POOL],
    ),
    (
        "histogram_quantile(0.5, sum by (le) (rate(llm_d_epp_request_duration_seconds_bucket[4s])))",
        &[
            "llm_d_epp_request_duration_seconds_bucket",
            "llm_d_epp_request_duration_seconds_count",
            POOL,
        ],
    ),
    (
        "sum({__name__=~\"go_.*\"})",
        &["go_goroutines", "go_threads"],
    ),
    (
        "max_over_time(sum(llm_d_epp_flow_control_queue_size)[3s:1s])",
        FLOW,
    ),
    ("sum(other_total)", &["other_total"]),
    ("count({job=\"epp\"})", &["*"]),
    (
        "sum(inference_pool_average_queue_size{name=\"v1\"})",
        &[POOL],
    ),
];

#[derive(Clone, Debug)]
struct Line {
    family: usize,
    label: u8,
    value: u32,
}

#[derive(Clone, Debug)]
struct Page {
    lines: Vec<Line>,
    start: u32,
    start_first: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Pages(Vec<Page>),
    Broken(usize),
    Fail(usize),
    Watch(usize),
    Unwatch(prop::sample::Index),
}

#[derive(Clone, Debug)]
enum Edit {
    Change(Vec<(prop::sample::Index, Line)>),
    Insert(prop::sample::Index, Line),
    Remove(prop::sample::Index, usize),
    Rotate(prop::sample::Index),
    Restart,
    Other(Step),
}

fn line() -> impl Strategy<Value = Line> {
    (0..FAMILIES.len(), 0u8..4, 0u32..30).prop_map(|(family, label, value)| Line {
        family,
        label,
        value,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = any::<prop::sample::Index>;
    let other = prop_oneof![
        2 => (0..TARGETS).prop_map(Step::Fail),
        1 => (0..TARGETS).prop_map(Step::Broken),
        4 => (0..QUERIES.len()).prop_map(Step::Watch),
        3 => at().prop_map(Step::Unwatch),
    ];
    let edit = prop_oneof![
        6 => prop::collection::vec((at(), line()), 0..6).prop_map(Edit::Change),
        4 => (at(), line()).prop_map(|(at, line)| Edit::Insert(at, line)),
        3 => (at(), 1usize..12).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => at().prop_map(Edit::Rotate),
        1 => Just(Edit::Restart),
        4 => other.prop_map(Edit::Other),
    ];
    let page = prop::collection::vec(line(), 0..40).prop_map(|mut lines| {
        lines.sort_by_key(|line| line.family);
        Page {
            lines,
            start: 1_000,
            start_first: false,
        }
    });
    let edits = prop::collection::vec((0..TARGETS, edit), 1..40);
    (prop::collection::vec(page, TARGETS), edits).prop_map(|(mut pages, edits)| {
        let mut steps = vec![Step::Pages(pages.clone())];
        for (target, edit) in edits {
            let page = &mut pages[target];
            match edit {
                Edit::Change(changes) => {
                    for (at, line) in changes {
                        if !page.lines.is_empty() {
                            let at = at.index(page.lines.len());
                            page.lines[at].value = line.value;
                        }
                    }
                }
                Edit::Insert(at, line) => {
                    page.lines.insert(at.index(page.lines.len() + 1), line);
                }
                Edit::Remove(at, count) => {
                    let start = at.index(page.lines.len() + 1);
                    let end = (start + count).min(page.lines.len());
                    page.lines.drain(start..end);
                }
                Edit::Rotate(at) => {
                    let middle = at.index(page.lines.len() + 1);
                    page.lines.rotate_left(middle);
                    page.start_first = !page.start_first;
                }
                Edit::Restart => page.start += 7,
                Edit::Other(step) => steps.push(step),
            }
            steps.push(Step::Pages(pages.clone()));
        }
        steps
    })
}

/// The page's text, without samples of names that `keeps` refuses.
fn render(page: &Page, tells_start: bool, keeps: &dyn Fn(&str) -> bool) -> String {
    let mut out = String::new();
    let start = format!("{START} {}\n", page.start);
    if tells_start && page.start_first {
        out += &start;
    }
    let mut family = usize::MAX;
    for line in &page.lines {
        let (name, labels, kind) = FAMILIES[line.family];
        if family != line.family {
            family = line.family;
            // What stands between families belongs to no sample.
            let extra = ["", "\n", "# a remark\n"][line.family % 3];
            out += &format!("{extra}# HELP {name} \"what\" it is\n# TYPE {name} {kind}\n");
        }
        let pairs = labels
            .iter()
            .map(|label| format!("{label}=\"v{}\"", line.label));
        let pairs: Vec<String> = pairs.collect();
        let braced = |more: Option<&str>| {
            let all: Vec<&str> = pairs.iter().map(String::as_str).chain(more).collect();
            if all.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", all.join(","))
            }
        };
        let value = f64::from(line.value);
        let mut sample = |name: String, labels: String, value: f64| {
            if keeps(&name) {
                writeln!(out, "{name}{labels} {value}").expect("a string takes everything");
            }
        };
        if kind == "histogram" {
            sample(format!("{name}_bucket"), braced(Some("le=\"1\"")), value);
            sample(
                format!("{name}_bucket"),
                braced(Some("le=\"+Inf\"")),
                value + 2.0,
            );
            sample(format!("{name}_sum"), braced(None), value * 1.5);
            sample(format!("{name}_count"), braced(None), value + 2.0);
        } else {
            sample(name.to_owned(), braced(None), value);
        }
    }
    if tells_start && !page.start_first {
        out += &start;
    }
    out
}

struct Side {
    writer: Writer,
    reader: Reader,
    stages: Vec<Stage>,
    signals: Vec<SignalId>,
}

impl Side {
    fn new(retain: Retain) -> Side {
        let (mut writer, reader) = Engine::new(Limits::default());
        let targets = (0..TARGETS).map(|target| {
            let instance = format!("t{target}");
            let spec = TargetSpec {
                labels: Labels::from_pairs([("job", "epp"), ("instance", instance.as_str())]),
                interval_ms: INTERVAL_MS as u64,
                retain,
                ..TargetSpec::default()
            };
            writer.add_target(spec).1
        });
        let stages = targets.collect();
        Side {
            writer,
            reader,
            stages,
            signals: Vec::new(),
        }
    }

    fn watch(&mut self, query: &str) {
        let policy = Policy {
            restart_grace_ms: 5_000,
            ..Policy::default()
        };
        self.signals
            .push(self.writer.watch(query, policy).expect("valid"));
    }

    fn unwatch(&mut self, at: usize) {
        self.reader.unwatch(self.signals.remove(at));
    }

    /// Whether the page was taken, how many samples it had and how many were kept.
    fn scrape(&mut self, target: usize, page: &str, at: Timestamp) -> Option<(u64, u64)> {
        let facts = ScrapeFacts::default();
        let stage = &mut self.stages[target];
        match stage.parse(page.as_bytes(), Format::Text) {
            Ok(staged) => {
                let committed = self.writer.commit(staged, at, facts).expect("taken");
                Some((committed.samples_scraped, committed.samples_post_relabel))
            }
            Err(error) => {
                assert_eq!(error.line, page.lines().count(), "{error}");
                self.fail(target, at);
                None
            }
        }
    }

    fn fail(&mut self, target: usize, at: Timestamp) {
        let id = self.stages[target].target();
        let failed = self.writer.fail(id, at, ScrapeFacts::default(), "refused");
        failed.expect("time ascends");
    }

    fn holds(&self) -> BTreeMap<Labels, Vec<(i64, u64)>> {
        let named = Matcher::new(
            stillwell_engine::labels::MatchOp::NotRegex,
            "__name__",
            "up|scrape_.*",
        );
        let view = self.reader.plain();
        let request = SelectRequest {
            matchers: &[named.expect("valid")],
            after_ms: i64::MIN,
            until_ms: i64::MAX,
            projection: Projection::All,
            last_only: false,
        };
        let selection = view.select(&request).expect("the plain view answers");
        let mut samples = Samples::default();
        let mut held = BTreeMap::new();
        for index in 0..selection.len() {
            selection.read(index, &mut samples);
            let mut list: Vec<(i64, u64)> = Vec::new();
            for (&ms, value) in samples.times_ms.iter().zip(&samples.values) {
                let bits = value.to_bits();
                // A second marker in a row says nothing new.
                let repeats = list.last().is_none_or(|last| last.1 == STALE_NAN_BITS);
                if bits != STALE_NAN_BITS || !repeats {
                    list.push((ms, bits));
                }
            }
            held.insert(selection.labels(index).clone(), list);
        }
        held
    }
}

fn is_needed(name: &str, watched: &[(usize, bool)], keeps_counters: bool) -> bool {
    let by = |query: usize| {
        QUERIES[query]
            .1
            .iter()
            .any(|&one| one == "*" || one == name)
    };
    name == START
        || name == "leader_election_master_status"
        || (keeps_counters && (name.ends_with("_total") || name.ends_with("_count")))
        || watched.iter().any(|&(query, _)| by(query))
}

fn run(first: &[usize], steps: &[Step], tells_start: bool) {
    let mut all = Side::new(Retain::All);
    let mut filtered = Side::new(Retain::All);
    let mut signals = Side::new(Retain::Signals);
    // By signal: its query, and whether it came after the first pages.
    let mut watched: Vec<(usize, bool)> = Vec::new();
    let watch = |sides: [&mut Side; 3], query: usize| {
        for side in sides {
            side.watch(QUERIES[query].0);
        }
    };
    for &query in first {
        watch([&mut all, &mut filtered, &mut signals], query);
        watched.push((query, false));
    }
    for (index, step) in steps.iter().enumerate() {
        let now_ms = 1_000_000 + index as i64 * INTERVAL_MS;
        let at = Timestamp::from_ms(now_ms);
        match step {
            Step::Pages(pages) => {
                for (target, page) in pages.iter().enumerate() {
                    let text = render(page, tells_start, &|_| true);
                    let keeps = |name: &str| is_needed(name, &watched, !tells_start);
                    let less = render(page, tells_start, &keeps);
                    let (scraped, kept) = all.scrape(target, &text, at).expect("taken");
                    assert_eq!(scraped, kept);
                    let (_, kept) = filtered.scrape(target, &less, at).expect("taken");
                    let counts = signals.scrape(target, &text, at).expect("taken");
                    assert_eq!(counts, (scraped, kept));
                }
            }
            Step::Broken(target) => {
                for side in [&mut all, &mut filtered, &mut signals] {
                    assert_eq!(side.scrape(*target, "unheard_of{l=\"open 1\n", at), None);
                }
            }
            Step::Fail(target) => {
                for side in [&mut all, &mut filtered, &mut signals] {
                    side.fail(*target, at);
                }
            }
            Step::Watch(query) => {
                watch([&mut all, &mut filtered, &mut signals], *query);
                watched.push((*query, true));
            }
            Step::Unwatch(at) => {
                if !watched.is_empty() {
                    let at = at.index(watched.len());
                    watched.remove(at);
                    for side in [&mut all, &mut filtered, &mut signals] {
                        side.unwatch(at);
                    }
                }
            }
        }
        for side in [&mut all, &mut filtered, &mut signals] {
            side.writer.maintain(at);
        }
        compare_readings(&all, &signals, &watched, now_ms);
        assert_eq!(signals.holds(), filtered.holds());
    }
}

fn compare_readings(all: &Side, signals: &Side, watched: &[(usize, bool)], now_ms: i64) {
    for (at, &(query, late)) in watched.iter().enumerate() {
        for (later_ms, pins) in [
            (0, vec![]),
            (500, vec![("inference_pool".to_owned(), "v2".to_owned())]),
            (2_500, vec![]),
        ] {
            let now = Timestamp::from_ms(now_ms + later_ms);
            let read = |side: &Side| {
                let reading = side.reader.signal(side.signals[at], now, &pins);
                let mut reading = reading.expect("watched");
                // Groups come in the order in which their series were first seen.
                reading.elements.sort_by(|a, b| a.labels.cmp(&b.labels));
                reading
            };
            let (want, got) = (read(all), read(signals));
            // One that came late may not know yet. It never knows anything else.
            if late && matches!(got.state, State::Unknown { .. }) {
                continue;
            }
            assert_eq!(
                got, want,
                "{} {pins:?} at {now_ms}+{later_ms}",
                QUERIES[query].0
            );
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_signals_need_is_kept_and_they_say_what_they_would_say(
        first in prop::collection::vec(0..QUERIES.len(), 0..4),
        steps in steps(),
        tells_start in prop::bool::weighted(0.8),
    ) {
        run(&first, &steps, tells_start);
    }
}

/// One target with these rules and one signal, `sum(q)`.
fn sparing(spec: TargetSpec) -> Side {
    let (mut writer, reader) = Engine::new(Limits::default());
    let signals = vec![writer.watch("sum(q)", Policy::default()).expect("valid")];
    let labels = Labels::from_pairs([("job", "epp"), ("instance", "t0")]);
    let (_, stage) = writer.add_target(TargetSpec {
        labels,
        interval_ms: INTERVAL_MS as u64,
        retain: Retain::Signals,
        ..spec
    });
    Side {
        writer,
        reader,
        stages: vec![stage],
        signals,
    }
}

fn names(side: &Side) -> Vec<String> {
    let held = side.holds().into_keys();
    let mut names: Vec<String> = held
        .map(|labels| labels.metric_name().unwrap_or_default().to_owned())
        .collect();
    names.dedup();
    names
}

#[test]
fn what_is_kept_is_decided_by_the_name_that_relabelling_leaves() {
    let rule = |spec: RelabelSpec| RelabelRule::new(spec).expect("valid");
    let renames = rule(RelabelSpec {
        source_labels: vec!["__name__".to_owned()],
        regex: "old_(.*)".to_owned(),
        target_label: "__name__".to_owned(),
        ..RelabelSpec::default()
    });
    let drops = rule(RelabelSpec {
        source_labels: vec!["pod".to_owned()],
        regex: "x".to_owned(),
        action: RelabelAction::Drop,
        ..RelabelSpec::default()
    });
    let page = format!(
        "{START} 1\nold_q{{pod=\"a\"}} 3\nold_q{{pod=\"x\"}} 4\nother{{pod=\"a\"}} 5\nq{{pod=\"a\"}} 6\n"
    );
    for (rules, kept, value) in [
        (vec![], 2, 6.0),
        (vec![drops.clone()], 2, 6.0),
        (vec![renames.clone()], 4, 7.0),
        // The second line has the series of the first.
        (vec![renames, drops], 3, 3.0),
    ] {
        let mut side = sparing(TargetSpec {
            metric_relabel: rules.clone(),
            ..TargetSpec::default()
        });
        for step in 1..4 {
            let at = Timestamp::from_ms(step * INTERVAL_MS);
            assert_eq!(side.scrape(0, &page, at), Some((5, kept)), "{rules:?}");
        }
        assert_eq!(names(&side), [START, "q"], "{rules:?}");
        let now = Timestamp::from_ms(3 * INTERVAL_MS);
        let reading = side
            .reader
            .signal(side.signals[0], now, &[])
            .expect("watched");
        let whole: f64 = reading.elements.iter().map(|element| element.value).sum();
        assert_eq!(whole, value, "{rules:?}: {reading:?}");
    }
}

#[test]
fn the_sample_limit_counts_what_is_kept() {
    let mut side = sparing(TargetSpec {
        sample_limit: 2,
        ..TargetSpec::default()
    });
    let at = Timestamp::from_ms(1_000);
    let page = format!("{START} 1\na 1\nb 2\nc 3\nq 4\n");
    assert_eq!(side.scrape(0, &page, at), Some((5, 2)));
    let more = page + "q{l=\"2\"} 1\n";
    let staged = side.stages[0].parse(more.as_bytes(), Format::Text);
    let refused = side.writer.commit(
        staged.expect("parses"),
        Timestamp::from_ms(2_000),
        ScrapeFacts::default(),
    );
    assert!(refused.is_err(), "three are kept");
}

/// A value that a client can set must not bring lines of its own into the page, though it stands in a line that is
/// passed over.
#[test]
fn a_line_break_in_a_skipped_value_makes_no_line() {
    let mut side = sparing(TargetSpec::default());
    let at = |step: i64| Timestamp::from_ms(step * INTERVAL_MS);
    let page =
        |value: &str| format!("{START} 1\nq 4\njunk{{l=\"{value}\",m=\"\"}} 1\nq{{l=\"2\"}} 1\n");
    let held = |side: &Side| side.holds().len();
    side.scrape(0, &page("a"), at(1)).expect("taken");
    assert_eq!(held(&side), 3);
    for (step, value) in [
        "a\nq{l=\\\"9\\\"} 99\nz{l=\\\"",
        "a\nq 99\n# ",
        "a\nq_x 7\nq{l=9} 1",
    ]
    .into_iter()
    .enumerate()
    {
        let text = page(value);
        let parsed = side.stages[0].parse(text.as_bytes(), Format::Text);
        assert!(parsed.is_err(), "{value:?}");
        side.fail(0, at(2 + step as i64));
    }
    side.scrape(0, &page("escaped \\\" quotes \\\\ \\n"), at(9))
        .expect("taken");
    assert_eq!(held(&side), 3);
}

#[test]
fn what_comes_and_goes_by_need_is_no_new_series_of_the_page() {
    let mut side = sparing(TargetSpec::default());
    let page = format!("{START} 1\nq 4\nother 5\n");
    let added = |side: &mut Side, step: i64| {
        let staged = side.stages[0]
            .parse(page.as_bytes(), Format::Text)
            .expect("parses");
        let at = Timestamp::from_ms(step * INTERVAL_MS);
        let committed = side.writer.commit(staged, at, ScrapeFacts::default());
        committed.expect("taken").series_added
    };
    assert_eq!((added(&mut side, 1), added(&mut side, 2)), (2, 0));
    side.watch("sum(other)");
    assert_eq!((added(&mut side, 3), added(&mut side, 4)), (1, 0));
    side.unwatch(1);
    assert_eq!((added(&mut side, 5), added(&mut side, 6)), (0, 0));
    let other = side.holds();
    let ended = |labels: &&Labels| labels.metric_name() == Some("other");
    let labels = other.keys().find(ended).expect("it has history");
    assert_eq!(
        other[labels].last().map(|last| last.1),
        Some(STALE_NAN_BITS)
    );
}
