//! Parts that are appended to a snapshot, and files that go on from one another: together they are the engine as it was at the last of them, whatever happened in
//! between; one that ends early is left out and harms none of those before.

use proptest::collection::vec;
use proptest::prelude::*;
use stillwell_engine::labels::Labels;
use stillwell_engine::snapshot::{
    NextBytes, Restored, Snapshot, SnapshotError, Whole, Written, whole,
};
use stillwell_engine::{
    AppendedSeries, Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp,
};
use stillwell_testing::reading::reading;

use super::snapshot::{QUEUE, START_MS, Scene, gateway, native_page, restore, spec};

/// Something that happens to an engine with two targets.
#[derive(Clone, Debug)]
enum Step {
    /// A target shows some of these series with this value; `of_all` ones go from target to target.
    Page {
        target: usize,
        shown: u8,
        value: u8,
    },
    Native(i64),
    Fails(usize),
    /// Samples with times of their own: a series, and how long ago.
    Append(u8, i64),
    Explicit(u8, i64),
    /// The same series without a timestamp.
    Plain(u8),
    Replaced,
    Long,
    Maintain,
    /// A part, while which a page of the first target may come.
    Part(bool),
    /// The same as the first of another file.
    File(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, any::<u8>(), 0..4_u8)
            .prop_map(|(target, shown, value)| Step::Page { target, shown, value }),
        1 => (0..3_i64).prop_map(Step::Native),
        1 => (0..2_usize).prop_map(Step::Fails),
        2 => (0..3_u8, 0..5_000_i64).prop_map(|(series, ago)| Step::Append(series, ago)),
        2 => (0..4_u8, own_ago()).prop_map(|(value, ago)| Step::Explicit(value, ago)),
        1 => (0..4_u8).prop_map(Step::Plain),
        1 => Just(Step::Replaced),
        1 => Just(Step::Long),
        1 => Just(Step::Maintain),
        3 => any::<bool>().prop_map(Step::Part),
        1 => any::<bool>().prop_map(Step::File),
    ]
}

/// How old a timestamp of a page is: young, equal to that of a scrape, older than anything that is kept, ahead.
fn own_ago() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => Just(300_i64),
        2 => (0..8_i64).prop_map(|scrapes| 500 * scrapes),
        2 => Just(4_000_000_i64),
        1 => -2_000..0_i64,
    ]
}

/// An engine and its files.
struct Filed {
    limits: Limits,
    scene: Scene,
    /// Those before the newest, and when that after them was begun.
    older: Vec<(Vec<u8>, i64)>,
    file: Vec<u8>,
    written: Option<Written>,
    /// Bytes up to the end of each part of the newest file.
    ends: Vec<usize>,
}

impl Filed {
    fn new() -> Filed {
        Filed::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Filed {
        let mut scene = Scene::with_limits(limits, &[]);
        for instance in ["a:1", "b:1"] {
            let (_, stage) = scene.writer.add_target(mixed(instance));
            scene.stages.push(stage);
        }
        Filed {
            limits,
            scene,
            older: Vec::new(),
            file: Vec::new(),
            written: None,
            ends: Vec::new(),
        }
    }

    fn do_step(&mut self, step: &Step) {
        let scene = &mut self.scene;
        scene.now_ms += 500;
        match *step {
            Step::Page {
                target,
                shown,
                value,
            } => scene.scrape(target, page(shown, value).as_bytes(), Format::Text),
            Step::Native(count) => scene.scrape(1, &native_page(count), Format::Protobuf),
            Step::Fails(target) => {
                let (target, at) = (scene.stages[target].target(), scene.at());
                let failed = scene.writer.fail(target, at, ScrapeFacts::default(), "no");
                failed.expect("time moves on");
            }
            Step::Append(series, ago_ms) => {
                let at = Timestamp::from_ms(scene.now_ms - ago_ms);
                let number = series.to_string();
                let appended = AppendedSeries {
                    labels: Labels::from_pairs([("__name__", "sent"), ("n", &number)]),
                    floats: vec![(at, f64::from(series) + ago_ms as f64)],
                    histograms: Vec::new(),
                };
                let _ = scene.writer.append(vec![appended], scene.at()); // it may be too old
            }
            Step::Explicit(value, ago_ms) => {
                let page = format!("own {value} {}\n", scene.now_ms - ago_ms);
                scene.scrape(0, page.as_bytes(), Format::Text);
            }
            Step::Plain(value) => {
                scene.scrape(0, format!("own {value}\n").as_bytes(), Format::Text);
            }
            Step::Replaced => {
                let at = scene.at();
                let stage = scene.stages.pop().expect("two targets");
                scene.writer.remove_target(stage, at);
                let (_, stage) = scene.writer.add_target(mixed("b:1"));
                scene.stages.push(stage);
            }
            // Retention drops what is older.
            Step::Long => scene.now_ms += 400_000,
            Step::Maintain => scene.writer.maintain(scene.at()),
            Step::Part(beside) => self.part(beside),
            Step::File(beside) if self.written.is_some() => {
                let older = std::mem::take(&mut self.file);
                self.older.push((older, self.scene.now_ms));
                self.ends.clear();
                self.part(beside);
            }
            Step::File(beside) => self.part(beside),
        }
    }

    fn part(&mut self, beside: bool) {
        let named = [("mine", vec![self.ends.len() as u8])];
        let mut snapshot = self.begin(&named);
        let mut more = true;
        while more {
            more = snapshot.next(&mut self.file);
            if beside {
                self.scene.now_ms += 500;
                let value = (self.scene.now_ms / 500 % 5) as u8;
                let page = page(0xff, value);
                self.scene.scrape(0, page.as_bytes(), Format::Text);
            }
        }
        self.written = Some(snapshot.written());
        self.ends.push(self.file.len());
    }

    fn begin(&mut self, named: &[(&str, Vec<u8>)]) -> Snapshot {
        let (writer, at) = (&self.scene.writer, self.scene.at());
        match self.written.take() {
            Some(written) if self.file.is_empty() => {
                writer.snapshot_in_new_file(written, at, named)
            }
            Some(written) => writer.snapshot_since(written, at, named),
            None => writer.snapshot(at, named),
        }
    }

    fn restored(&self, bytes: &[u8]) -> Scene {
        self.restored_from(&[bytes])
    }

    fn restored_from(&self, files: &[&[u8]]) -> Scene {
        let now = Timestamp::from_ms(self.scene.now_ms);
        let restored = read_files(self.limits, files, now).expect("a good snapshot");
        let Restored { writer, reader, .. } = restored;
        Scene {
            writer,
            reader,
            stages: Vec::new(),
            now_ms: self.scene.now_ms,
        }
    }

    /// All files, the oldest first.
    fn files(&self) -> Vec<&[u8]> {
        let older = self.older.iter().map(|(file, _)| file.as_slice());
        older.chain([self.file.as_slice()]).collect()
    }
}

fn read_files(limits: Limits, files: &[&[u8]], now: Timestamp) -> Result<Restored, SnapshotError> {
    let mut readers: Vec<_> = files.iter().map(|file| reading(file)).collect();
    let mut readers: Vec<NextBytes<'_>> = readers
        .iter_mut()
        .map(|read| read as NextBytes<'_>)
        .collect();
    Engine::restore_files(limits, now, &mut readers)
}

/// Series without the target's labels may be shown by either.
fn mixed(instance: &str) -> TargetSpec {
    TargetSpec {
        honor_labels: true,
        ..spec(instance)
    }
}

fn page(shown: u8, value: u8) -> String {
    let mut text = gateway(1_700_000_000 + i64::from(shown & 1), i64::from(value));
    for bit in 1..7 {
        if shown >> bit & 1 == 1 {
            let of_all = if bit < 3 { ",instance=\"all\"" } else { "" };
            text += &format!("x{{n=\"{bit}\"{of_all}}} {}\n", value / (bit % 3 + 1));
        }
    }
    text
}

fn whole_of(bytes: &[u8]) -> Result<Whole, SnapshotError> {
    whole(&mut reading(bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn parts_are_the_engine_at_the_last_of_them(steps in vec(step(), 1..60)) {
        let mut filed = Filed::new();
        for step in &steps {
            let now_ms = filed.scene.now_ms + 500;
            let before = filed.scene.history(now_ms);
            filed.do_step(step);
            if matches!(step, Step::Part(_) | Step::File(_)) {
                let restored = filed.restored_from(&filed.files());
                prop_assert_eq!(restored.history(now_ms), before, "at {:?}", step);
            }
        }
        filed.scene.writer.maintain(filed.scene.at());
        filed.part(false);
        let now_ms = filed.scene.now_ms;
        let files = filed.files();
        let mut restored = filed.restored_from(&files);
        prop_assert_eq!(restored.history(now_ms), filed.scene.history(now_ms));
        // Files that are older than what is asked for are not needed.
        for (at, (_, begun_ms)) in filed.older.iter().enumerate() {
            let later = filed.restored_from(&files[at + 1..]);
            let since = |scene: &Scene| scene.history_since(*begun_ms, now_ms);
            prop_assert_eq!(since(&later), since(&filed.scene), "without {} files", at + 1);
        }
        // Nor does it matter for what is known of targets and groups.
        let mut once = filed.restored(&filed.scene.bytes());
        let signals = [&mut restored, &mut once].map(|scene| {
            let signal = scene.register(QUEUE);
            scene.told(signal)
        });
        prop_assert_eq!(&signals[0], &signals[1]);
    }
}

fn busy() -> Filed {
    let mut filed = Filed::new();
    for number in 0..40_u8 {
        filed.do_step(&Step::Page {
            target: usize::from(number % 2),
            shown: number.wrapping_mul(37),
            value: number % 5,
        });
        if number % 10 == 9 {
            filed.do_step(&Step::Part(false));
        }
    }
    filed
}

#[test]
fn an_end_that_is_missing_costs_its_part_and_no_other() {
    let filed = busy();
    assert_eq!(filed.ends.len(), 4);
    let all = whole_of(&filed.file).expect("whole");
    assert_eq!(
        (all.bytes as usize, all.parts, all.rest),
        (filed.file.len(), 4, None)
    );
    for end in (0..filed.file.len()).step_by(61).chain(filed.ends.clone()) {
        let parts = filed.ends.iter().filter(|at| **at <= end).count();
        match whole_of(&filed.file[..end]) {
            Err(_) => assert_eq!(parts, 0, "{end}"),
            Ok(found) => {
                let upto = filed.ends[parts - 1];
                assert_eq!((found.parts as usize, found.bytes as usize), (parts, upto));
                assert_eq!(found.rest.is_some(), upto < end, "{end}");
                let restored = restore(&filed.file[..upto], filed.scene.now_ms).expect("whole");
                assert_eq!(restored.named, [("mine".to_owned(), vec![parts as u8 - 1])]);
            }
        }
        let is_whole = filed.ends.contains(&end);
        assert_eq!(
            restore(&filed.file[..end], filed.scene.now_ms).is_ok(),
            is_whole
        );
    }
}

#[test]
fn damage_in_a_part_costs_it_and_those_after_it() {
    let filed = busy();
    for at in (filed.ends[0]..filed.file.len()).step_by(53) {
        let mut damaged = filed.file.clone();
        damaged[at] ^= 0x10;
        let before = filed.ends.iter().filter(|end| **end <= at).count();
        let found = whole_of(&damaged).expect("the first part is whole");
        assert_eq!(found.parts as usize, before, "{at}");
        assert!(found.rest.is_some(), "{at}");
    }
}

/// Four targets of a hundred series, of which a few change.
#[test]
fn a_part_has_what_changed_and_no_more() {
    let mut filed = Filed::new();
    let page = |moving: u8| {
        (0..100).fold(format!("moving {moving}\n"), |page, n| {
            page + &format!("still{{n=\"{n}\"}} {n}\n")
        })
    };
    for moving in 0..100 {
        filed.scene.now_ms += 500;
        let text = page(moving);
        filed.scene.scrape(0, text.as_bytes(), Format::Text);
        filed.scene.scrape(1, text.as_bytes(), Format::Text);
        if moving % 10 == 9 {
            filed.part(false);
        }
    }
    let lengths: Vec<usize> = filed
        .ends
        .windows(2)
        .map(|ends| ends[1] - ends[0])
        .collect();
    let longest = lengths.iter().max().expect("nine");
    assert!(
        longest * 4 < filed.ends[0],
        "{lengths:?} after {}",
        filed.ends[0]
    );
    assert!(filed.scene.now_ms > START_MS);
}

#[test]
fn files_are_read_in_their_order_only_and_the_newest_without_the_others() {
    let mut filed = busy();
    for value in 0..2 {
        filed.do_step(&Step::File(false));
        filed.do_step(&Step::Page {
            target: 0,
            shown: 0xff,
            value,
        });
        filed.do_step(&Step::Part(false));
    }
    let now = Timestamp::from_ms(filed.scene.now_ms);
    let files = filed.files();
    let chains: Vec<Whole> = files
        .iter()
        .map(|file| whole_of(file).expect("whole"))
        .collect();
    for (before, after) in chains.iter().zip(&chains[1..]) {
        assert_eq!(after.goes_on_from, Some(before.chain));
    }
    assert_eq!(chains[0].goes_on_from, None);
    for chosen in [&[0, 1, 2][..], &[1, 2], &[2], &[0, 1], &[1], &[0]] {
        let chosen: Vec<&[u8]> = chosen.iter().map(|at| files[*at]).collect();
        assert!(read_files(filed.limits, &chosen, now).is_ok());
    }
    for chosen in [&[0, 2][..], &[1, 0], &[2, 1], &[0, 0], &[1, 1]] {
        let chosen: Vec<&[u8]> = chosen.iter().map(|at| files[*at]).collect();
        let refused = read_files(filed.limits, &chosen, now).err();
        assert!(
            matches!(refused, Some(SnapshotError::Malformed { .. })),
            "{refused:?}"
        );
    }
}

/// A series was absent when a file was begun, and a page of another target showed it before it was copied. The old clock has no
/// run of its absence, so the file told that it was there all the time.
#[test]
fn a_series_that_changes_its_clock_while_a_file_is_begun_stays_absent_before() {
    let mut filed = Filed::new();
    for step in [
        Step::Page {
            target: 1,
            shown: 2,
            value: 0,
        },
        Step::Page {
            target: 1,
            shown: 60,
            value: 0,
        },
        Step::Part(false),
        Step::File(true),
        Step::Part(false),
    ] {
        filed.do_step(&step);
    }
    let (_, begun_ms) = filed.older[0];
    let now_ms = filed.scene.now_ms;
    let expected = filed.scene.history_since(begun_ms, now_ms);
    let read = filed.restored_from(&[&filed.file]);
    assert_eq!(read.history_since(begun_ms, now_ms), expected);
}

/// With blocks of both clocks at hand a part told runs that the file had, or runs before those, and the file was refused.
#[test]
fn a_series_that_had_timestamps_of_its_own_for_a_while_is_as_it_was() {
    for parts_between in [false, true] {
        let mut filed = Filed::new();
        for _ in 0..2 {
            for value in 0..5 {
                filed.do_step(&Step::Plain(value));
            }
            filed.do_step(&Step::Part(false));
            for value in 0..5 {
                filed.do_step(&Step::Explicit(value, 300));
            }
            if parts_between {
                filed.do_step(&Step::Part(false));
            }
            for number in 0..180_u8 {
                filed.do_step(&Step::Plain(number.wrapping_mul(37)));
                if number % 60 == 59 {
                    filed.do_step(&Step::Part(false));
                }
            }
        }
        let now_ms = filed.scene.now_ms;
        let restored = filed.restored_from(&filed.files());
        assert_eq!(restored.history(now_ms), filed.scene.history(now_ms));
    }
}

/// A series that ended and of which nothing was left when the next part was written came back from it, present to the end, and stayed
/// until the first page of its target.
#[test]
fn a_series_that_was_removed_between_two_parts_is_not_there() {
    let limits = Limits {
        retention_ms: 60_000,
        ..Limits::default()
    };
    for next in [Step::Part(false), Step::File(false)] {
        let mut filed = Filed::with_limits(limits);
        let page = |shown: u8| Step::Page {
            target: 0,
            shown,
            value: 3,
        };
        filed.do_step(&page(0b111_1110));
        let sent = |ago_ms| Step::Append(0, ago_ms);
        filed.do_step(&sent(0));
        filed.do_step(&Step::Part(false));
        // Some of them end, nothing of them is left, and their ids name others.
        for round in 0..300 {
            let others = if round < 150 { 0b1000 } else { 0b10_1000 };
            filed.do_step(&page(others));
            filed.do_step(&Step::Maintain);
        }
        filed.do_step(&next);
        let now_ms = filed.scene.now_ms;
        let restored = filed.restored_from(&filed.files());
        assert_eq!(
            restored.history_since(now_ms - 55_000, now_ms),
            filed.scene.history_since(now_ms - 55_000, now_ms),
            "{next:?}"
        );
        // What comes after that goes on from it.
        filed.do_step(&page(0b111_1110));
        filed.do_step(&sent(0));
        filed.do_step(&Step::Part(false));
        let now_ms = filed.scene.now_ms;
        let restored = filed.restored_from(&filed.files());
        assert_eq!(
            restored.history_since(now_ms - 55_000, now_ms),
            filed.scene.history_since(now_ms - 55_000, now_ms),
            "{next:?}"
        );
    }
}
