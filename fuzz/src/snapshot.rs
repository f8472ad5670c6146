//! Snapshots: any bytes are an engine or a refusal. Checksums are set right first, or every mutation would end there. An
//! engine that was read works, and a snapshot of it is one of the same samples.

use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::snapshot::{NextBytes, Restored, put_header, put_section, whole};
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};
use stillwell_testing::reading::reading;

const NOW_MS: i64 = 1_800_000_300_000;
/// Bytes of a header, and of what is before a payload.
const HEADER_BYTES: usize = 28;
const SECTION_HEAD_BYTES: usize = 13;
const END: u8 = 255;
/// A part that is appended begins.
const CUT: u8 = 7;
/// A file goes on from the one before.
const GOES_ON: u8 = 9;

/// Reads the bytes as they are, and with right checksums.
pub fn run(data: &[u8]) {
    drop(restore_at(&[data], NOW_MS));
    let files = repaired(data);
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    drop(restore_at(&files[files.len() - 1..], NOW_MS));
    let Some(restored) = restore_at(&files, NOW_MS) else {
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
    let again = restore_at(&[&bytes], NOW_MS).expect("what was read can be written and read again");
    assert_eq!(history, self::history(&again.reader), "the same samples");
    let (_, mut stage) = writer.add_target(TargetSpec::default());
    let mut now_ms = NOW_MS;
    let mut written = snapshot.written();
    let mut another = Vec::new();
    // What is appended, or another file goes on with, is the same as what is written anew.
    for round in 0..4 {
        now_ms += 60_000;
        let at = Timestamp::from_ms(now_ms);
        let page = format!("appended {now_ms}\nsome {}\n", round / 2);
        let staged = stage.parse(page.as_bytes(), Format::Text).expect("valid");
        let _ = writer.commit(staged, at, ScrapeFacts::default());
        let (mut part, file) = match round {
            0 | 1 => (writer.snapshot_since(written, at, &[]), &mut bytes),
            2 => (writer.snapshot_in_new_file(written, at, &[]), &mut another),
            _ => (writer.snapshot_since(written, at, &[]), &mut another),
        };
        while part.next(file) {}
        written = part.written();
    }
    let again = restore_at(&[&bytes, &another], now_ms).expect("parts follow one another");
    let at = Timestamp::from_ms(now_ms);
    assert_eq!(
        history_at(&reader, at),
        history_at(&again.reader, at),
        "the same samples"
    );
    drop(restore_at(&[&another], now_ms).expect("it can be read alone"));
    writer.maintain(at);
    writer.maintain(Timestamp::from_ms(NOW_MS + 8 * 3_600_000));
}

fn restore_at(files: &[&[u8]], now_ms: i64) -> Option<Restored> {
    let mut readers: Vec<_> = files.iter().map(|file| reading(file)).collect();
    let mut readers: Vec<NextBytes<'_>> = readers
        .iter_mut()
        .map(|read| read as NextBytes<'_>)
        .collect();
    Engine::restore_files(Limits::default(), Timestamp::from_ms(now_ms), &mut readers).ok()
}

/// The sections as files with headers, checksums, ends and chains that fit.
fn repaired(data: &[u8]) -> Vec<Vec<u8>> {
    // Parts that are appended are later, and none is later than now.
    let mut written_ms = NOW_MS - 300_000;
    let mut files = vec![Vec::new()];
    let mut out = Vec::new();
    put_header(&mut out, written_ms);
    let mut rest = data.get(HEADER_BYTES..).unwrap_or(&[]);
    let mut sections = 0u8;
    while let [kind, a, b, c, d, ..] = *rest
        && sections < 100
        && files.len() < 4
    {
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let from = SECTION_HEAD_BYTES.min(rest.len());
        let to = from.saturating_add(len).min(rest.len());
        let payload = &rest[from..to];
        if kind == CUT || kind == GOES_ON {
            put_section(&mut out, END, &[sections]);
            sections += 1;
        }
        if kind == GOES_ON {
            let chain = whole(&mut reading(&out)).map_or(0, |file| file.chain);
            *files.last_mut().expect("there is one") = std::mem::take(&mut out);
            files.push(Vec::new());
            put_header(&mut out, written_ms);
            put_section(&mut out, kind, &varint(chain));
            sections = 1;
        } else if kind != END {
            if kind == CUT {
                written_ms = written_ms.max(time(payload));
            }
            put_section(&mut out, kind, payload);
            sections += 1;
        }
        rest = &rest[to..];
    }
    put_section(&mut out, END, &[sections]);
    *files.last_mut().expect("there is one") = out;
    files
}

/// A number in seven bits a byte.
fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// The time that such a number tells, where it may be one.
fn time(payload: &[u8]) -> i64 {
    let mut number = 0u64;
    for (at, byte) in payload.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    ((number >> 1) as i64).min(NOW_MS)
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
