//! Snapshots: any bytes are an engine or a refusal. Checksums are set right first, or every mutation would end there. An
//! engine that was read works, and a snapshot of it is one of the same samples.

use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::snapshot::{Restored, put_header, put_section};
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};

const NOW_MS: i64 = 1_800_000_300_000;
/// Bytes of a header, and of what is before a payload.
const HEADER_BYTES: usize = 28;
const SECTION_HEAD_BYTES: usize = 13;
const END: u8 = 255;
/// A part that is appended begins.
const CUT: u8 = 7;

/// Reads the bytes as they are, and with right checksums.
pub fn run(data: &[u8]) {
    drop(restore(data));
    let Some(restored) = restore(&repaired(data)) else {
        return;
    };
    let Restored {
        mut writer, reader, ..
    } = restored;
    let now = Timestamp::from_ms(NOW_MS);
    let history = history(&reader);
    let mut snapshot = writer.snapshot(now, &[]);
    let mut bytes = Vec::new();
    while snapshot.next(&mut bytes) {}
    let again = restore(&bytes).expect("what was read can be written and read again");
    assert_eq!(history, self::history(&again.reader), "the same samples");
    let (_, mut stage) = writer.add_target(TargetSpec::default());
    let mut now_ms = NOW_MS;
    let mut written = snapshot.written();
    // What is appended is the same as what is written anew.
    for _ in 0..2 {
        now_ms += 60_000;
        let at = Timestamp::from_ms(now_ms);
        let part = format!("appended {now_ms}\n");
        let staged = stage.parse(part.as_bytes(), Format::Text).expect("valid");
        let _ = writer.commit(staged, at, ScrapeFacts::default());
        let mut part = writer.snapshot_since(written, at, &[]);
        while part.next(&mut bytes) {}
        written = part.written();
    }
    let again = restore_at(&bytes, now_ms).expect("parts follow one another");
    let at = Timestamp::from_ms(now_ms);
    assert_eq!(
        history_at(&reader, at),
        history_at(&again.reader, at),
        "the same samples"
    );
    writer.maintain(at);
    writer.maintain(Timestamp::from_ms(NOW_MS + 8 * 3_600_000));
}

fn restore(bytes: &[u8]) -> Option<Restored> {
    restore_at(bytes, NOW_MS)
}

fn restore_at(bytes: &[u8], now_ms: i64) -> Option<Restored> {
    let mut rest = bytes;
    let mut read = |buffer: &mut [u8]| match rest.split_at_checked(buffer.len()) {
        Some((next, after)) => {
            buffer.copy_from_slice(next);
            rest = after;
            true
        }
        None => false,
    };
    Engine::restore(Limits::default(), Timestamp::from_ms(now_ms), &mut read).ok()
}

/// The sections of a file with a header, checksums and an end that fit.
fn repaired(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // Parts that are appended are later, and none is later than now.
    put_header(&mut out, NOW_MS - 300_000);
    let mut rest = data.get(HEADER_BYTES..).unwrap_or(&[]);
    let mut sections = 0u8;
    while let [kind, a, b, c, d, ..] = *rest
        && sections < 100
    {
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let from = SECTION_HEAD_BYTES.min(rest.len());
        let to = from.saturating_add(len).min(rest.len());
        if kind == CUT {
            put_section(&mut out, END, &[sections]);
            sections += 1;
        }
        if kind != END {
            put_section(&mut out, kind, &rest[from..to]);
            sections += 1;
        }
        rest = &rest[to..];
    }
    put_section(&mut out, END, &[sections]);
    out
}

/// Every sample that is read, at most of a range in which all seeds lie.
fn history(reader: &stillwell_engine::Reader) -> Vec<String> {
    history_at(reader, Timestamp::from_ms(NOW_MS))
}

fn history_at(reader: &stillwell_engine::Reader, at: Timestamp) -> Vec<String> {
    let query = Query::parse("{__name__!=\"\"}[20m]", &Features::default()).expect("valid");
    let answer = query.instant(&reader.plain(), at, &EvalOptions::default());
    let Value::Matrix(matrix) = answer.expect("within limits").value else {
        unreachable!("a range yields a matrix");
    };
    let mut shown: Vec<String> = matrix.iter().map(|series| format!("{series:?}")).collect();
    shown.sort();
    shown
}
