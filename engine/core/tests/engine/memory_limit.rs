//! The byte limit holds whatever pages do: labels that never repeat, churn, counters that fill history. History gives
//! way first; a page whose series are known is always taken, and its last values are always there.

use std::fmt::Write as _;

use parking_lot::Mutex;
use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, View as _, is_stale};
use stillwell_engine::{
    CommitError, Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

const LIMIT_BYTES: u64 = 3 << 20;
const STEADY_SERIES: usize = 1_000;

struct Fixture {
    writer: Mutex<Writer>,
    reader: Reader,
    steady: Stage,
    churning: Stage,
    now_ms: i64,
}

impl Fixture {
    fn new() -> Fixture {
        let (mut writer, reader) = Engine::new(Limits {
            memory_bytes_max: LIMIT_BYTES,
            retention_ms: 3_600_000,
        });
        let mut target = |job: &str| {
            let spec = TargetSpec {
                labels: Labels::from_pairs([("job", job)]),
                interval_ms: 1_000,
                ..TargetSpec::default()
            };
            writer.add_target(spec).1
        };
        let (steady, churning) = (target("steady"), target("churning"));
        Fixture {
            writer: Mutex::new(writer),
            reader,
            steady,
            churning,
            now_ms: 1_000_000,
        }
    }

    /// One second: both targets are scraped, then memory is looked after. The churning page may be refused.
    fn second(&mut self, churning: &str) -> Result<(), CommitError> {
        self.now_ms += 1_000;
        let at = Timestamp::from_ms(self.now_ms);
        let mut page = String::new();
        for series in 0..STEADY_SERIES {
            let value = self.now_ms as f64 * 1.37 + series as f64;
            writeln!(page, "steady{{n=\"{series}\"}} {value}").expect("a String takes everything");
        }
        let staged = self
            .steady
            .parse(page.as_bytes(), Format::Text)
            .expect("it parses");
        let steady = self
            .writer
            .lock()
            .commit(staged, at, ScrapeFacts::default());
        steady.expect("a page without new series is taken whatever is held");
        let staged = self
            .churning
            .parse(churning.as_bytes(), Format::Text)
            .expect("it parses");
        let taken = staged.commit_in_steps(&self.writer, at, ScrapeFacts::default());
        if taken.is_err() {
            let target = self.churning.target();
            self.writer
                .lock()
                .fail(target, at, ScrapeFacts::default(), "refused")
                .expect("time ascends");
        }
        Writer::maintain_in_steps(&self.writer, at);
        self.check();
        taken.map(|_| ())
    }

    fn check(&self) {
        let stats = self.reader.stats();
        let held = stats.bytes.total() + stats.template_bytes;
        assert!(
            held as u64 <= LIMIT_BYTES,
            "{held} bytes at {}: {stats:?}",
            self.now_ms
        );
        let newest = self.newest("steady");
        assert_eq!(newest.len(), STEADY_SERIES);
        for (series, value) in newest.iter().enumerate() {
            assert_eq!(*value, self.now_ms as f64 * 1.37 + series as f64);
        }
    }

    /// The last values of a metric, in the order of its series.
    fn newest(&self, metric: &str) -> Vec<f64> {
        let request = SelectRequest {
            matchers: &[Matcher::equal("__name__", metric)],
            after_ms: self.now_ms - 1_000,
            until_ms: self.now_ms,
            projection: Projection::All,
            last_only: true,
            memory: None,
            stop: None,
        };
        let selection = self.reader.plain().select(&request).expect("it selects");
        let mut scratch = Samples::default();
        (0..selection.len())
            .filter_map(|index| selection.last(index, &mut scratch))
            .map(|last| last.value)
            .filter(|value| !is_stale(*value))
            .collect()
    }
}

fn page_of(series: usize, mut label: impl FnMut(usize) -> String) -> String {
    let mut page = String::new();
    for at in 0..series {
        writeln!(page, "churning{{who=\"{}\"}} {at}", label(at))
            .expect("a String takes everything");
    }
    page
}

#[test]
fn labels_that_never_repeat_cost_history_and_then_only_themselves() {
    // Hash tables double when their seed says so; none of it may show.
    for _ in 0..6 {
        let mut fixture = Fixture::new();
        for second in 0..400 {
            let page = page_of(300, |at| {
                format!("caller-{second}-{at}-with-a-name-as-long-as-callers-like")
            });
            assert_eq!(fixture.second(&page), Ok(()), "page {second} of the churn");
            let mut newest = fixture.newest("churning");
            newest.sort_by(f64::total_cmp);
            let wanted: Vec<f64> = (0..300).map(f64::from).collect();
            assert_eq!(newest, wanted);
        }
        assert!(fixture.reader.stats().blocks_dropped_for_memory > 0);
        let calm = page_of(300, |at| format!("calm-{at}"));
        for page in 0..40 {
            assert_eq!(fixture.second(&calm), Ok(()), "page {page} after the churn");
        }
    }
}

#[test]
fn new_series_take_the_place_of_old_history() {
    let mut fixture = Fixture::new();
    while fixture.reader.stats().blocks_dropped_for_memory == 0 {
        fixture.second("").expect("nothing is new");
    }
    let before = fixture.reader.stats();
    assert!(
        before.bytes.history as u64 > LIMIT_BYTES / 2,
        "history fills what is free: {before:?}"
    );
    let page = page_of(3_000, |at| format!("{at}"));
    let taken = fixture.second(&page);
    let after = fixture.reader.stats();
    assert_eq!(
        taken,
        Ok(()),
        "last values are worth more than the oldest history: {before:?} {after:?}"
    );
    assert!(after.bytes.history < before.bytes.history, "{after:?}");
    assert_eq!(fixture.newest("churning").len(), 3_000);
}

#[test]
fn a_page_that_can_never_fit_is_refused_with_the_numbers() {
    let mut fixture = Fixture::new();
    let page = page_of(12_000, |at| format!("{at}"));
    let error = fixture.second(&page).expect_err("4 MB do not fit 3 MiB");
    assert!(matches!(
        error,
        CommitError::Memory {
            new_series: 12_000,
            limit_bytes: LIMIT_BYTES,
            ..
        }
    ));
    assert!(
        error.to_string().contains("--storage.memory.max"),
        "{error}"
    );
}

/// Lines cost memory while a page is read, whatever is kept of them.
#[test]
fn a_page_of_more_lines_than_could_fit_is_refused_while_it_is_read() {
    let mut fixture = Fixture::new();
    for line in ["\n", "# a comment\n", "m 1\n"] {
        let page = line.repeat(1_000_000);
        let error = fixture.churning.parse(page.as_bytes(), Format::Text);
        let error = error.err().expect("a million lines do not fit 3 MiB");
        assert!(
            error.line < 20_000 && error.reason.contains("more than 12288 lines"),
            "{error}"
        );
    }
}

/// Pages of 2,000,000 empty lines held 220 MB for each target that sent one.
#[test]
fn a_page_that_is_refused_leaves_nothing_behind() {
    let (mut writer, _) = Engine::new(Limits {
        memory_bytes_max: LIMIT_BYTES,
        retention_ms: 3_600_000,
    });
    let spec = TargetSpec {
        sample_limit: 10,
        ..TargetSpec::default()
    };
    let (_, mut stage) = writer.add_target(spec);
    let before = stage.bytes();
    let mut samples = String::new();
    for at in 0..5_000 {
        writeln!(samples, "metric_{at} 1").expect("memory takes it");
    }
    let help = "# HELP a b\n".repeat(50_000);
    for page in [
        "\n".repeat(500_000),
        help,
        samples.clone() + "what is this\n",
    ] {
        assert!(stage.parse(page.as_bytes(), Format::Text).is_err());
        assert!(stage.bytes() < before + 4_096, "{}", stage.bytes());
    }
    let staged = stage.parse(samples.as_bytes(), Format::Text);
    let staged = staged.expect("it is a page");
    let at = Timestamp::from_ms(1_000);
    let refused = writer.commit(staged, at, ScrapeFacts::default());
    assert!(refused.is_err(), "{refused:?}");
    assert!(stage.bytes() < before + 4_096, "{}", stage.bytes());
}

/// Maintenance comes every second and a large page takes longer: it counted the series of the page twice, as they were held and as
/// what was reserved for them, and dropped history that fits.
#[test]
fn maintenance_while_a_page_is_committed_drops_no_history_that_fits() {
    let mut fixture = Fixture::new();
    while fixture.reader.stats().blocks_dropped_for_memory == 0 {
        fixture.second("").expect("nothing is new");
    }
    let dropped = || fixture.reader.stats().blocks_dropped_for_memory;
    let at = Timestamp::from_ms(fixture.now_ms + 500);
    let page = page_of(3_000, |at| format!("{at}"));
    let staged = fixture.churning.parse(page.as_bytes(), Format::Text);
    let mut staged = staged.expect("it parses");
    let before = dropped();
    staged.make_room(&fixture.writer);
    let mut writer = fixture.writer.lock();
    while writer.add_series(&mut staged, at).expect("it fits") {
        writer.maintain(at);
    }
    let begun = writer.begin_commit(staged, at, ScrapeFacts::default());
    let mut commit = begun.expect("it fits");
    let added = dropped();
    assert!(added > before, "the page needs the memory of history");
    writer.maintain(at);
    while writer.commit_step(&mut commit, 1_000) {
        commit.prepare();
        writer.maintain(at);
    }
    assert_eq!(dropped(), added, "the page had its room");
    let (_, page) = writer.finish_commit(commit);
    writer.take_template(page.into_template());
}

/// All series of a page end and as many are new. Where both did not fit, no room was made beforehand, and the commit dropped history
/// at once.
#[test]
fn room_is_made_before_a_commit_also_where_new_and_ending_series_do_not_both_fit() {
    let mut fixture = Fixture::new();
    while fixture.reader.stats().blocks_dropped_for_memory == 0 {
        fixture.second("").expect("nothing is new");
    }
    let mut with_room = 0;
    for round in 0..24 {
        let page = page_of(1_500 + 100 * round, |at| format!("{round}_{at}"));
        let dropped = || fixture.reader.stats().blocks_dropped_for_memory;
        fixture.now_ms += 1_000;
        let at = Timestamp::from_ms(fixture.now_ms);
        let staged = fixture.churning.parse(page.as_bytes(), Format::Text);
        let mut staged = staged.expect("it parses");
        let before = dropped();
        staged.make_room(&fixture.writer);
        let made = dropped();
        let mut writer = fixture.writer.lock();
        let Ok(_) = writer.add_series(&mut staged, at) else {
            break; // it does not fit alone
        };
        assert_eq!(dropped(), made, "round {round}");
        with_room += u32::from(made > before);
        let committed = writer.commit(staged, at, ScrapeFacts::default());
        committed.expect("its series are added");
        writer.maintain(at);
    }
    assert!(
        with_room > 3,
        "{with_room} pages needed the memory of history"
    );
}

/// Pages of 64,000 label names that no other page has took twice the limit: what stands beside a name was counted once it was there.
#[test]
fn label_names_and_pairs_that_never_repeat_stay_within_the_limit() {
    let label = |form: &str, second: usize, line: usize, at: usize| match form {
        "names" => format!("l{second}_{line}_{at}=\"v\""),
        "values" => format!("l{at}=\"v{second}_{line}_{at}\""),
        // Names and values that the page before has, but not together.
        _ => format!("l{at}_{line}=\"v{}_{line}\"", (at + second) % 64),
    };
    for form in ["names", "values", "pairs"] {
        let (mut fixture, mut taken) = (Fixture::new(), 0);
        for second in 0..64 {
            let mut page = String::new();
            for line in 0..40 {
                let labels: Vec<String> = (0..64).map(|at| label(form, second, line, at)).collect();
                writeln!(page, "churning{{{}}} 1", labels.join(","))
                    .expect("a String takes everything");
            }
            taken += usize::from(fixture.second(&page).is_ok());
        }
        assert!(taken > 0, "{form}: nothing was taken");
    }
}
