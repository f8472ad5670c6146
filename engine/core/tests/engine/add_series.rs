//! Series that are added in batches before their page is committed: nobody sees them, and other pages are committed
//! meanwhile.

use std::fmt::Write as _;

use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::limits::WRITE_BATCH_SERIES;
use stillwell_engine::promql::select::{Projection, SelectRequest, View as _};
use stillwell_engine::{
    CommitError, Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

fn target(writer: &mut Writer) -> Stage {
    // Both targets have the same labels, so their lines may name the same series.
    let spec = TargetSpec {
        labels: Labels::from_pairs([("job", "j")]),
        ..TargetSpec::default()
    };
    writer.add_target(spec).1
}

fn page(lines: usize) -> String {
    let mut page = String::new();
    for line in 0..lines {
        writeln!(page, "m{{n=\"{line}\"}} {line}").expect("a String takes everything");
    }
    page
}

fn stored(reader: &Reader) -> usize {
    let request = SelectRequest {
        matchers: &[Matcher::equal("__name__", "m")],
        after_ms: i64::MIN,
        until_ms: i64::MAX,
        projection: Projection::All,
        last_only: false,
        memory: None,
        stop: None,
    };
    let view = reader.plain();
    view.select(&request).expect("the view answers").len()
}

#[test]
fn nothing_is_seen_before_the_commit_and_other_pages_are_committed_between_two_batches() {
    let (mut writer, reader) = Engine::new(Limits::default());
    let (mut large, mut small) = (target(&mut writer), target(&mut writer));
    let (lines, facts) = (3 * WRITE_BATCH_SERIES - 1, ScrapeFacts::default());
    let page = page(lines);
    let mut staged = large
        .parse(page.as_bytes(), Format::Text)
        .expect("it parses");
    let at = Timestamp::from_ms(2_000);
    assert_eq!(writer.add_series(&mut staged, at), Ok(true));
    assert_eq!(stored(&reader), 0);

    // The other target takes a series that was added already, and one that was not.
    let taken = format!("m{{n=\"7\"}} 1\nm{{n=\"{}\"}} 2\n", lines - 1);
    let other = small
        .parse(taken.as_bytes(), Format::Text)
        .expect("it parses");
    let committed = writer
        .commit(other, Timestamp::from_ms(1_000), facts)
        .expect("it is taken");
    assert_eq!((committed.series_added, stored(&reader)), (2, 2));

    assert_eq!(writer.add_series(&mut staged, at), Ok(true));
    assert_eq!(writer.add_series(&mut staged, at), Ok(false));
    let committed = writer.commit(staged, at, facts).expect("it is taken");
    assert_eq!(committed.conflicts, 2);
    assert_eq!(committed.series_added, lines as u64 - 2);
    assert_eq!(stored(&reader), lines);
}

#[test]
fn of_two_lines_with_one_series_the_first_wins_although_it_was_added_before() {
    let (mut writer, reader) = Engine::new(Limits::default());
    let mut stage = target(&mut writer);
    let mut staged = stage.parse(b"m 1\nm 2\n", Format::Text).expect("it parses");
    let at = Timestamp::from_ms(1_000);
    assert_eq!(writer.add_series(&mut staged, at), Ok(false));
    let committed = writer
        .commit(staged, at, ScrapeFacts::default())
        .expect("it is taken");
    assert_eq!((committed.series_added, committed.duplicates), (1, 1));
    assert_eq!(stored(&reader), 1);
}

#[test]
fn what_does_not_fit_is_refused_before_any_series_is_added() {
    let (mut writer, reader) = Engine::new(Limits {
        memory_bytes_max: 2_200_000, // room for the lines, not for their series
        ..Limits::default()
    });
    let mut stage = target(&mut writer);
    let page = page(8 * WRITE_BATCH_SERIES);
    let before_bytes = reader.stats().bytes.total();
    let mut staged = stage
        .parse(page.as_bytes(), Format::Text)
        .expect("it parses");
    let refused = writer.add_series(&mut staged, Timestamp::from_ms(1_000));
    assert!(
        matches!(refused, Err(CommitError::Memory { .. })),
        "{refused:?}"
    );
    drop(staged);
    assert_eq!(reader.stats().bytes.total(), before_bytes);
}
