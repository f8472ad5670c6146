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
    let later = Timestamp::from_ms(NOW_MS + 60_000);
    if let Ok(staged) = stage.parse(b"a 1\n", Format::Text) {
        // A page of a target whose last scrape is later is refused.
        let _ = writer.commit(staged, later, ScrapeFacts::default());
    }
    writer.maintain(later);
    writer.maintain(Timestamp::from_ms(NOW_MS + 8 * 3_600_000));
}

fn restore(bytes: &[u8]) -> Option<Restored> {
    let mut rest = bytes;
    let mut read = |buffer: &mut [u8]| match rest.split_at_checked(buffer.len()) {
        Some((next, after)) => {
            buffer.copy_from_slice(next);
            rest = after;
            true
        }
        None => false,
    };
    Engine::restore(Limits::default(), Timestamp::from_ms(NOW_MS), &mut read).ok()
}

/// The sections of a file with a header, checksums and an end that fit.
fn repaired(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_header(&mut out, NOW_MS);
    let mut rest = data.get(HEADER_BYTES..).unwrap_or(&[]);
    let mut sections = 0u8;
    while let [kind, a, b, c, d, ..] = *rest
        && kind != END
        && sections < 100
    {
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let from = SECTION_HEAD_BYTES.min(rest.len());
        let to = from.saturating_add(len).min(rest.len());
        put_section(&mut out, kind, &rest[from..to]);
        rest = &rest[to..];
        sections += 1;
    }
    put_section(&mut out, END, &[sections]);
    out
}

/// Every sample that is read, at most of a range in which all seeds lie.
fn history(reader: &stillwell_engine::Reader) -> Vec<String> {
    let query = Query::parse("{__name__!=\"\"}[20m]", &Features::default()).expect("valid");
    let at = Timestamp::from_ms(NOW_MS);
    let answer = query.instant(&reader.plain(), at, &EvalOptions::default());
    let Value::Matrix(matrix) = answer.expect("within limits").value else {
        unreachable!("a range yields a matrix");
    };
    let mut shown: Vec<String> = matrix.iter().map(|series| format!("{series:?}")).collect();
    shown.sort();
    shown
}
