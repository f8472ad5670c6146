//! Targets that are added together are seen by signals as if each had been added by itself. A target that is removed some series at a time is there until it is gone, and leaves what one leaves that is removed at once.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use stillwell_engine::labels::Labels;
use stillwell_engine::limits::WRITE_BATCH_SERIES;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::Policy;
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

const SERIES: usize = 3 * WRITE_BATCH_SERIES + 17;
const START_MS: i64 = 1_800_000_000_000;

/// A target with many series, some of which have timestamps of their own, and a small one.
fn scene() -> (Mutex<Writer>, Reader, Vec<Stage>) {
    let (mut writer, reader) = Engine::new(Limits::default());
    let mut stages = Vec::new();
    for (instance, series) in [("large", SERIES), ("small", 3)] {
        let (_, mut stage) = writer.add_target(TargetSpec {
            labels: Labels::from_pairs([("job", "j"), ("instance", instance)]),
            honor_timestamps: true,
            ..TargetSpec::default()
        });
        for scrape in 0..4 {
            let at = Timestamp::from_ms(START_MS + 1_000 * scrape);
            let mut page = String::new();
            for n in 0..series {
                let own = match n % 100 {
                    7 => format!(" {}", at.ms() - 300),
                    _ => String::new(),
                };
                writeln!(page, "x{{n=\"{n}\"}} {scrape}{own}").expect("a String takes everything");
            }
            let staged = stage.parse(page.as_bytes(), Format::Text);
            let staged = staged.expect("the page parses");
            let committed = writer.commit(staged, at, ScrapeFacts::default());
            committed.expect("the page is taken");
        }
        stages.push(stage);
    }
    (Mutex::new(writer), reader, stages)
}

fn ask(reader: &Reader, query: &str, at_ms: i64) -> Vec<String> {
    let query = Query::parse(query, &Features::default()).expect("valid");
    let at = Timestamp::from_ms(at_ms);
    let answer = query.instant(&reader.plain(), at, &EvalOptions::default());
    let mut shown = match answer.expect("answers").value {
        Value::Vector(samples) => samples.iter().map(|one| format!("{one:?}")).collect(),
        Value::Matrix(series) => series.iter().map(|one| format!("{one:?}")).collect(),
        _ => Vec::new(),
    };
    shown.sort();
    shown
}

#[test]
fn a_target_that_leaves_is_seen_whole_or_not_at_all() {
    let at = Timestamp::from_ms(START_MS + 5_000);
    let (at_once, by_steps) = (scene(), scene());
    let (writer, reader, mut stages) = at_once;
    writer.lock().remove_target(stages.remove(0), at);
    let expected = ask(&reader, "{__name__!=\"\"}[1h]", at.ms() + 1);

    let (writer, reader, mut stages) = by_steps;
    let is_over = AtomicBool::new(false);
    let counted = |reader: &Reader| ask(reader, "count(x{n!~\"[0-9]*07\"})", at.ms() + 1).pop();
    let whole = counted(&reader);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::Acquire) {
                seen.push(counted(&reader));
            }
            seen
        });
        Writer::remove_in_steps(&writer, stages.remove(0), at);
        is_over.store(true, Ordering::Release);
        let left = counted(&reader);
        assert_ne!(left, whole);
        let seen = looks.join().expect("it only asks");
        assert!(seen.iter().all(|seen| *seen == whole || *seen == left));
    });
    assert_eq!(ask(&reader, "{__name__!=\"\"}[1h]", at.ms() + 1), expected);
}

#[test]
fn targets_that_are_added_together_are_waited_for_as_those_that_are_added_one_by_one() {
    let told = [false, true].map(|together| {
        let (mut writer, reader) = Engine::new(Limits::default());
        let query = "sum(inference_extension_flow_control_queue_size)";
        let signal = writer.register(query, Policy::default()).expect("valid");
        if together {
            writer.begin_targets();
        }
        let mut stages: Vec<Stage> = (0..50)
            .map(|number| {
                let instance = format!("a:{number}");
                let labels = [("job", "epp"), ("instance", instance.as_str())];
                let spec = TargetSpec {
                    labels: Labels::from_pairs(labels),
                    ..TargetSpec::default()
                };
                writer.add_target(spec).1
            })
            .collect();
        if together {
            writer.finish_targets();
        }
        let mut told = Vec::new();
        let mut tell = |at| {
            let reading = reader.signal(signal, at, &[]).expect("registered");
            told.push(format!("{reading:?}"));
        };
        tell(Timestamp::from_ms(START_MS));
        for (number, stage) in stages.iter_mut().enumerate() {
            let at = Timestamp::from_ms(START_MS + 10 * number as i64);
            let page = "inference_extension_flow_control_queue_size 3\n";
            let staged = stage.parse(page.as_bytes(), Format::Text);
            let staged = staged.expect("the page parses");
            let committed = writer.commit(staged, at, ScrapeFacts::default());
            committed.expect("the page is taken");
            tell(at);
        }
        told
    });
    assert_eq!(told[0], told[1]);
    assert_ne!(told[0].first(), told[0].last());
}
