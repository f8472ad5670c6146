//! Whatever is done between two steps of a commit, a snapshot of any moment, whole or in parts, holds what readers see then.

use proptest::collection::vec;
use proptest::prelude::*;
use stillwell_engine::labels::Labels;
use stillwell_engine::snapshot::Written;
use stillwell_engine::{
    AppendedSeries, Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp,
};

use super::snapshot::{Scene, gateway, restore, spec};

#[derive(Clone, Debug)]
enum Beside {
    Page(u8, u8, bool),
    Fails,
    Append(u8, i64),
    Maintain,
    Part,
    Whole,
}

#[derive(Clone, Debug)]
struct Round {
    shown: u8,
    value: u8,
    order: bool,
    own: u8,
    native: bool,
    lines: usize,
    added: bool,
    fails: bool,
    beside: Vec<Beside>,
}

fn beside() -> impl Strategy<Value = Beside> {
    prop_oneof![
        4 => (any::<u8>(), 0..4_u8, any::<bool>()).prop_map(|(a, b, c)| Beside::Page(a, b, c)),
        1 => Just(Beside::Fails),
        2 => (0..8_u8, 0..3_000_i64).prop_map(|(a, b)| Beside::Append(a, b)),
        2 => Just(Beside::Maintain),
        2 => Just(Beside::Part),
        2 => Just(Beside::Whole),

    ]
}

fn round() -> impl Strategy<Value = Round> {
    (
        any::<u8>(),
        0..4_u8,
        any::<bool>(),
        any::<u8>(),
        0..4_u8,
        1..4_usize,
        any::<bool>(),
        0..6_u8,
        vec(beside(), 0..8),
    )
        .prop_map(
            |(shown, value, order, own, native, lines, added, fails, beside)| Round {
                shown,
                value,
                order,
                own,
                native: native == 0,
                lines,
                added,
                fails: fails == 0,
                beside,
            },
        )
}

fn mixed(instance: &str) -> TargetSpec {
    TargetSpec {
        honor_labels: true,
        ..spec(instance)
    }
}

fn page(shown: u8, value: u8, reversed: bool, own: u8, now_ms: i64) -> String {
    let mut lines: Vec<String> = gateway(1_700_000_000 + i64::from(shown & 1), i64::from(value))
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    for bit in 0..8 {
        if shown >> bit & 1 == 1 {
            let of_all = if bit < 5 {
                ",instance=\"all\",job=\"all\""
            } else {
                ""
            };
            let time = if own >> bit & 1 == 1 {
                format!(" {}", now_ms - 300 - i64::from(bit))
            } else {
                String::new()
            };
            lines.push(format!(
                "x{{n=\"{bit}\"{of_all}}} {}{time}",
                value / (bit % 3 + 1)
            ));
        }
    }
    if reversed {
        lines.reverse();
    }
    lines.join("\n") + "\n"
}

struct Files {
    file: Vec<u8>,
    written: Option<Written>,
}

fn run(rounds: &[Round]) -> Result<(), TestCaseError> {
    let (writer, reader) = Engine::new(Limits {
        retention_ms: 60_000,
        ..Limits::default()
    });
    let mut scene = Scene {
        writer,
        reader,
        stages: Vec::new(),
        now_ms: 1_800_000_000_000,
    };
    for instance in ["a:1", "b:1"] {
        let (_, stage) = scene.writer.add_target(mixed(instance));
        scene.stages.push(stage);
    }
    let facts = ScrapeFacts::default();
    let mut files = Files {
        file: Vec::new(),
        written: None,
    };
    for round in rounds {
        scene.now_ms += 1_000;
        let at = scene.at();
        if round.fails {
            let id = scene.stages[0].target();
            scene
                .writer
                .fail(id, at, facts, "no")
                .expect("time moves on");
            continue;
        }
        let native = super::snapshot::native_page(i64::from(round.value));
        let text = page(
            round.shown,
            round.value,
            round.order,
            round.own,
            scene.now_ms,
        );
        let (bytes, format) = match round.native {
            true => (native.as_slice(), Format::Protobuf),
            false => (text.as_bytes(), Format::Text),
        };
        let mut stages = std::mem::take(&mut scene.stages);
        let (large, small) = stages.split_at_mut(1);
        let mut staged = large[0].parse(bytes, format).expect("valid");
        let mut besides = round.beside.iter();
        macro_rules! beside {
            () => {
                if let Some(one) = besides.next() {
                    other(&mut scene, &mut small[0], one, &mut files)?;
                }
            };
        }
        if round.added {
            while scene.writer.add_series(&mut staged, at).expect("fits") {
                beside!();
            }
            beside!();
        }
        let mut commit = scene.writer.begin_commit(staged, at, facts).expect("taken");
        beside!();
        while scene.writer.commit_step(&mut commit, round.lines) {
            commit.prepare();
            beside!();
        }
        commit.gather();
        beside!();
        let (_, page) = scene.writer.finish_commit(commit);
        let template = page.into_template();
        beside!();
        scene.writer.take_template(template);
        scene.stages = stages;
        check_whole(&scene)?;
    }
    part(&mut scene, &mut files);
    check_restored(&scene, &files.file, "parts")
}

fn part(scene: &mut Scene, files: &mut Files) {
    let at = scene.at();
    let mut snapshot = match files.written.take() {
        Some(written) => scene.writer.snapshot_since(written, at, &[]),
        None => scene.writer.snapshot(at, &[]),
    };
    while snapshot.next(&mut files.file) {}
    files.written = Some(snapshot.written());
}

fn check_whole(scene: &Scene) -> Result<(), TestCaseError> {
    check_restored(scene, &scene.bytes(), "whole")
}

/// What is restored has the history that the engine holds.
fn check_restored(scene: &Scene, file: &[u8], what: &str) -> Result<(), TestCaseError> {
    let restored = restore(file, scene.now_ms).expect("a good snapshot");
    let restored = Scene {
        writer: restored.writer,
        reader: restored.reader,
        stages: Vec::new(),
        now_ms: scene.now_ms,
    };
    let since = scene.now_ms - 59_000;
    prop_assert_eq!(
        restored.history_since(since, scene.now_ms),
        scene.history_since(since, scene.now_ms),
        "{}",
        what
    );
    Ok(())
}

fn other(
    scene: &mut Scene,
    small: &mut stillwell_engine::Stage,
    one: &Beside,
    files: &mut Files,
) -> Result<(), TestCaseError> {
    scene.now_ms += 10;
    let at = scene.at();
    let facts = ScrapeFacts::default();
    match *one {
        Beside::Page(shown, value, order) => {
            let text = page(shown, value, order, 0, scene.now_ms);
            let staged = small.parse(text.as_bytes(), Format::Text).expect("valid");
            scene.writer.commit(staged, at, facts).expect("taken");
        }
        Beside::Fails => scene
            .writer
            .fail(small.target(), at, facts, "no")
            .expect("time moves on"),
        Beside::Append(n, ago) => {
            let number = n.to_string();
            let batch = vec![AppendedSeries {
                labels: Labels::from_pairs([
                    ("__name__", "x"),
                    ("n", &number),
                    ("instance", "all"),
                    ("job", "all"),
                ]),
                floats: vec![(Timestamp::from_ms(scene.now_ms - ago), 9.0)],
                histograms: Vec::new(),
            }];
            let _ = scene.writer.append(batch, at);
        }
        Beside::Maintain => scene.writer.maintain(at),
        Beside::Part => part(scene, files),
        Beside::Whole => check_whole(scene)?,
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_between_steps_holds_what_is_seen(rounds in vec(round(), 1..14)) {
        run(&rounds)?;
    }
}
