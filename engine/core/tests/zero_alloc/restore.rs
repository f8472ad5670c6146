//! Memory while a snapshot is read: a file may have history that the memory limit dropped after it was written.

use std::fmt::Write as _;

use stillwell_engine::labels::Labels;
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};
use stillwell_testing::counting::peak_bytes;
use stillwell_testing::reading::reading;

const LIMIT_BYTES: u64 = 6 << 20;
const SERIES: u64 = 500;

fn limits(memory_bytes_max: u64) -> Limits {
    Limits {
        memory_bytes_max,
        ..Limits::default()
    }
}

/// The file of an engine whose series are others every five seconds, with a part every 15 s; and its last time.
fn churned() -> (Vec<u8>, i64) {
    let (mut writer, reader) = Engine::new(limits(LIMIT_BYTES));
    let spec = TargetSpec {
        labels: Labels::from_pairs([("job", "a"), ("instance", "a:1")]),
        interval_ms: 1_000,
        ..TargetSpec::default()
    };
    let (_, mut stage) = writer.add_target(spec);
    let (mut file, mut written, mut now_ms) = (Vec::new(), None, 10_000_000);
    for round in 0..450_u64 {
        now_ms += 1_000;
        let mut page = String::new();
        for n in 0..SERIES {
            let value = ((round * SERIES + n) as f64).sqrt();
            writeln!(page, "m{{pod=\"p{}-{n}\"}} {value}", round / 5)
                .expect("a String takes everything");
        }
        let at = Timestamp::from_ms(now_ms);
        let staged = stage.parse(page.as_bytes(), Format::Text);
        let staged = staged.expect("it is a page");
        // Not every one fits.
        if writer.commit(staged, at, ScrapeFacts::default()).is_err() {
            let failed = writer.fail(stage.target(), at, ScrapeFacts::default(), "refused");
            failed.expect("time ascends");
        }
        writer.maintain(at);
        if round % 15 == 14 {
            let mut part = match written.take() {
                None => writer.snapshot(at, &[]),
                Some(written) => writer.snapshot_since(written, at, &[]),
            };
            while part.next(&mut file) {}
            written = Some(part.written());
        }
    }
    assert!(reader.stats().blocks_dropped_for_memory > 0);
    (file, now_ms)
}

#[test]
fn what_the_memory_limit_dropped_does_not_come_back() {
    let (file, now_ms) = churned();
    let restored = |memory_bytes_max| {
        let mut read = reading(&file);
        let now = Timestamp::from_ms(now_ms + 1_000);
        let (restored, peak) =
            peak_bytes(|| Engine::restore(limits(memory_bytes_max), now, &mut read));
        let mut restored = restored.expect("a good snapshot");
        restored.writer.maintain(now);
        (restored.reader.stats(), peak)
    };
    let (all, unlimited_peak) = restored(4 << 30);
    assert!(
        unlimited_peak > 3 * LIMIT_BYTES,
        "the file has more than fits: {unlimited_peak}"
    );
    let (kept, peak) = restored(LIMIT_BYTES);
    assert!(peak < 2 * LIMIT_BYTES, "{peak} bytes of {LIMIT_BYTES}");
    let most = LIMIT_BYTES + LIMIT_BYTES / 16;
    assert!(kept.bytes.total() as u64 <= most, "{kept:?}");
    assert!(kept.bytes.history as u64 > LIMIT_BYTES / 8, "{kept:?}");
    assert!(kept.series < all.series / 2, "{kept:?} of {all:?}");

    // What is older than the retention goes as early.
    let short = Limits {
        retention_ms: 30_000,
        ..limits(LIMIT_BYTES)
    };
    let now = Timestamp::from_ms(now_ms + 1_000);
    let restored = Engine::restore(short, now, &mut reading(&file)).expect("a good snapshot");
    let stats = restored.reader.stats();
    assert!(stats.series < 10 * SERIES as usize, "{stats:?}");
}
