//! Samples with timestamps of their own, while retention moves on: what is too old is left out, everything else goes on,
//! and a line whose timestamp is young again is stored again.
//!
//! Once a sample that retention had dropped left a freed row behind in the page's template, and every later page of the
//! target failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::commits;
use proptest::prelude::*;
use stillwell_engine::labels::Labels;
use stillwell_engine::limits::WRITE_BATCH_SERIES;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};
use stillwell_testing::cases::cases;

const RETENTION_MS: i64 = 20_000;
const START_MS: i64 = 1_800_000_000_000;

struct Scene {
    writer: Writer,
    reader: Reader,
    stage: Stage,
    now_ms: i64,
}

impl Scene {
    fn new() -> Scene {
        let (mut writer, reader) = Engine::new(Limits {
            retention_ms: RETENTION_MS,
            ..Limits::default()
        });
        let spec = TargetSpec {
            labels: Labels::from_pairs([("job", "a"), ("instance", "a:1")]),
            honor_timestamps: true,
            interval_ms: 1_000,
            ..TargetSpec::default()
        };
        let (_, stage) = writer.add_target(spec);
        Scene {
            writer,
            reader,
            stage,
            now_ms: START_MS,
        }
    }

    fn scrape(&mut self, page: &str) {
        self.now_ms += 1_000;
        let at = Timestamp::from_ms(self.now_ms);
        let staged = self.stage.parse(page.as_bytes(), Format::Text);
        let staged = staged.expect("the page parses");
        let committed = commits::commit(&mut self.writer, staged, at, self.now_ms.count_ones());
        committed.expect("the page is taken");
        self.writer.maintain(at);
    }

    fn ask(&self, query: &str) -> Option<f64> {
        let query = Query::parse(query, &Features::default()).expect("valid");
        let at = Timestamp::from_ms(self.now_ms);
        let answer = query.instant(&self.reader.plain(), at, &EvalOptions::default());
        match answer.expect("answers").value {
            Value::Vector(samples) => samples.first().map(|sample| sample.value),
            _ => panic!("a vector was asked for"),
        }
    }
}

#[test]
fn a_sample_older_than_the_retention_is_left_out_and_its_target_goes_on() {
    let mut scene = Scene::new();
    for _ in 0..5 {
        scene.scrape("live 1\nbatch_rows 5 1395066363000\n");
        assert_eq!((scene.ask("live"), scene.ask("up")), (Some(1.0), Some(1.0)));
        assert_eq!(scene.ask("batch_rows"), None);
        assert_eq!(scene.ask("scrape_samples_scraped"), Some(2.0));
    }
    // Young again.
    let page = format!("live 1\nbatch_rows 7 {}\n", scene.now_ms);
    scene.scrape(&page);
    assert_eq!(scene.ask("batch_rows"), Some(7.0));
}

/// The wall clock of this machine steps forward by an hour: an exporter that stamps its samples with it is read as before.
#[test]
fn a_step_of_the_wall_clock_leaves_out_no_sample_with_its_own_timestamp() {
    let mut scene = Scene::new();
    for hours in [0, 1, -1] {
        let offset_ms = hours * 3_600_000;
        scene.writer.set_wall_offset(offset_ms);
        for round in 0..3 {
            let stamp_ms = scene.now_ms + 1_000 + offset_ms;
            // Some series are new after the step.
            let page =
                format!("stamped {round} {stamp_ms}\nnew{{h=\"{hours}\"}} {round} {stamp_ms}\n");
            scene.scrape(&page);
            let new = format!("new{{h=\"{hours}\"}}");
            let asked = ["stamped", &new].map(|query| scene.ask(query));
            assert_eq!(asked, [Some(f64::from(round)); 2], "{hours} h");
        }
    }
}

/// Series that were added before the commit waited with the time of their sample. A page that the commit then compared as if
/// it were the first found each of them with a sample of that time already, and left out its own.
#[test]
fn samples_of_series_that_were_added_before_are_kept_where_the_page_is_compared_as_if_it_were_the_first()
 {
    let lines = WRITE_BATCH_SERIES + 76; // a batch and a part of one
    let mut kept = String::new();
    for line in 0..200 {
        writeln!(kept, "kept{line} {line}").expect("a String takes everything");
    }
    for (conflicts, batches) in [(false, 0), (false, 9), (true, 0), (true, 1), (true, 9)] {
        let mut scene = Scene::new();
        for _ in 0..3 {
            scene.scrape(&kept);
        }
        // A new line with the series of a kept one, before it: which of them is first shows only when all are compared.
        let first = if conflicts { "kept5{} 7\n" } else { "" };
        let mut page = format!("{first}{kept}");
        for line in 0..lines {
            writeln!(page, "own{{i=\"{line}\"}} 1 {}", scene.now_ms + 50)
                .expect("a String takes everything");
        }
        for round in 0..2 {
            scene.now_ms += 1_000;
            let at = Timestamp::from_ms(scene.now_ms);
            let staged = scene.stage.parse(page.as_bytes(), Format::Text);
            let mut staged = staged.expect("the page parses");
            for _ in 0..batches {
                if !scene.writer.add_series(&mut staged, at).expect("it fits") {
                    break;
                }
            }
            let committed = scene.writer.commit(staged, at, ScrapeFacts::default());
            let committed = committed.expect("the page is taken");
            let case = format!("{conflicts} {batches} {round}: {committed:?}");
            assert_eq!(scene.ask("count(own)"), Some(lines as f64), "{case}");
            // The second line of `kept5` is the only one that is left out. It counts where it is new.
            assert_eq!(
                committed.duplicates,
                u64::from(conflicts && round == 0),
                "{case}"
            );
            assert_eq!(
                (committed.out_of_order, committed.conflicts),
                (0, 0),
                "{case}"
            );
        }
    }
}

#[test]
fn a_timestamp_that_stands_ages_past_the_retention_and_becomes_young_again() {
    let mut scene = Scene::new();
    let page = format!("live 1\nstands 5 {START_MS}\n");
    for _ in 0..40 {
        scene.scrape(&page);
        let is_kept = scene.now_ms - START_MS <= RETENTION_MS;
        assert_eq!(scene.ask("stands"), is_kept.then_some(5.0));
        assert_eq!(scene.ask("live"), Some(1.0));
    }
    let page = format!("live 1\nstands 6 {}\n", scene.now_ms);
    scene.scrape(&page);
    assert_eq!(scene.ask("stands"), Some(6.0));
    // The line goes, its row is freed, other series come.
    for round in 0..60 {
        scene.scrape(&format!("live 1\nother{{round=\"{round}\"}} 1\n"));
    }
    assert_eq!(
        (scene.ask("stands"), scene.ask("count(other)")),
        (None, Some(1.0))
    );
}

/// Of a series that a page has twice, once with a timestamp of its own, the second scrape kept another line than the first. As in
/// Prometheus' scrape loop: a line without a timestamp is left out behind another one of its series, and one with a timestamp
/// where it is older than what the page has said before.
#[test]
fn a_series_that_a_page_has_twice_is_told_the_same_at_every_scrape() {
    let old_ms = START_MS - 500;
    let (old, other) = (format!("x 5 {old_ms}\n"), format!("x 6 {}\n", old_ms - 1));
    // The page, how many samples are kept after three scrapes and their sum, and what is seen.
    let cases = [
        (format!("x 7\n{old}"), 3.0, 21.0),
        (format!("{old}x 7\n"), 1.0, 5.0),
        (format!("x 7\nx 8\n{old}"), 3.0, 21.0),
        (format!("x 7\n{old}{other}"), 3.0, 21.0),
        (format!("{old}{other}x 7\n"), 1.0, 5.0),
        (format!("{old}{old}"), 1.0, 5.0),
    ];
    for (page, count, sum) in &cases {
        // The numbers of milliseconds decide in which way each scrape is committed.
        for shift_ms in 0..8 {
            let mut scene = Scene::new();
            scene.now_ms += shift_ms;
            for scrape in 1..=3 {
                scene.scrape(&format!("live 1\n{page}"));
                let is_kept = *count > 1.0;
                let count = if is_kept { f64::from(scrape) } else { *count };
                let case = format!("{page:?} {shift_ms} {scrape}");
                let kept = scene.ask("count_over_time(x[1m])");
                assert_eq!(kept, Some(count), "{case}");
            }
            assert_eq!(scene.ask("sum_over_time(x[1m])"), Some(*sum), "{page:?}");
            // Once another line comes and goes, it is the same.
            scene.scrape(&format!("live 1\nnew 1\n{page}"));
            let last = if *count > 1.0 { 7.0 } else { 5.0 };
            assert_eq!(scene.ask("last_over_time(x[1m])"), Some(last), "{page:?}");
        }
    }
}

/// A line's timestamp.
#[derive(Clone, Copy, Debug)]
enum Own {
    None,
    /// So long before now.
    Ago(i64),
    /// Always the same: so long after the start.
    Stands(i64),
}

fn own() -> impl Strategy<Value = Own> {
    prop_oneof![
        2 => Just(Own::None),
        2 => (0..30_000i64).prop_map(Own::Ago),
        3 => (-30_000..30_000i64).prop_map(Own::Stands),
    ]
}

/// Whether a line is on the page, its timestamp, its value.
type Line = (bool, Own, u8);

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn whatever_timestamps_lines_have_each_newest_sample_is_the_one_that_is_read(
        steps in prop::collection::vec((prop::collection::vec((any::<bool>(), own(), 0u8..4), 3), 1..12usize), 1..8),
    ) {
        let mut scene = Scene::new();
        // Per series with timestamps of its own: the newest sample that was taken.
        let mut newest: BTreeMap<usize, (i64, f64)> = BTreeMap::new();
        let mut mixed = BTreeSet::new();
        for (lines, repeats) in steps {
            for _ in 0..repeats {
                scrape(&mut scene, &lines, &mut newest, &mut mixed);
            }
        }
    }
}

fn scrape(
    scene: &mut Scene,
    lines: &[Line],
    newest: &mut BTreeMap<usize, (i64, f64)>,
    mixed: &mut BTreeSet<usize>,
) {
    let now_ms = scene.now_ms + 1_000;
    let mut page = "live 1\n".to_owned();
    for (name, &(listed, own, value)) in lines.iter().enumerate() {
        let time_ms = match own {
            Own::None => None,
            Own::Ago(ms) => Some(now_ms - ms),
            Own::Stands(ms) => Some(START_MS + ms),
        };
        if !listed {
            continue;
        }
        let text = time_ms.map_or(String::new(), |ms| format!(" {ms}"));
        page += &format!("s{name} {value}{text}\n");
        let Some(time_ms) = time_ms else {
            // From here on some of its samples have the time of their scrape: that it is read is not checked.
            mixed.insert(name);
            continue;
        };
        let is_young = time_ms >= now_ms - RETENTION_MS;
        let is_next = newest.get(&name).is_none_or(|(have, _)| time_ms > *have);
        if is_young && is_next {
            newest.insert(name, (time_ms, f64::from(value)));
        }
    }
    scene.scrape(&page);
    assert_eq!((scene.ask("live"), scene.ask("up")), (Some(1.0), Some(1.0)));
    // Of a line that is gone nothing is left once its newest sample is too old.
    let is_listed = |name: usize| lines.get(name).is_some_and(|line| line.0);
    newest.retain(|name, (time_ms, _)| is_listed(*name) || *time_ms >= now_ms - RETENTION_MS);
    let checked = |name: &usize, time_ms: i64| !mixed.contains(name) && time_ms <= now_ms;
    for (name, &(time_ms, value)) in newest.iter().filter(|(name, (ms, _))| checked(name, *ms)) {
        let said = scene.ask(&format!("s{name}"));
        if time_ms < now_ms - RETENTION_MS {
            assert_eq!(said, None, "s{name} is too old\n{page}");
        } else if said.is_some() {
            assert_eq!(said, Some(value), "s{name}\n{page}");
        }
    }
}
