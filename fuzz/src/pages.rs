//! Pages: any bytes are taken whole or refused, and what is known of a target's earlier pages never changes what a
//! page says: a server that has seen them all holds the same as one that sees only this one.
//!
//! The same holds of the pages read as OpenMetrics, and the strict check takes any bytes.
//!
//! Where only what signals need is kept, the same holds of what is kept, on pages that both take: lines that are
//! passed over are not validated, and which those are is known by the first line of each name.

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::signal::Policy;
use stillwell_engine::{
    Engine, Format, Limits, Reader, Retain, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

/// Between the pages of an input.
const SEPARATOR: u8 = 0;
/// Pages of an input that are played.
const PAGES_MAX: usize = 8;
/// Bytes of a page that are played.
const PAGE_BYTES_MAX: usize = 1 << 14;

/// All that is on a page.
const ALL: &str = "{__name__!=\"\",__name__!=\"scrape_series_added\"}";
/// What the signal reads, where only that is kept.
const NEEDED: &str = "{__name__=~\"[a-m].*\"}";

/// A gateway that has one target.
struct Gateway {
    writer: Writer,
    reader: Reader,
    stage: Stage,
}

impl Gateway {
    fn new(retain: Retain) -> Gateway {
        let (mut writer, reader) = Engine::new(Limits::default());
        writer
            .register(&format!("count({NEEDED})"), Policy::default())
            .expect("a valid query");
        let (_, stage) = writer.add_target(TargetSpec {
            labels: Labels::from_pairs([("instance", "i"), ("job", "j")]),
            interval_ms: 1_000,
            retain,
            ..TargetSpec::default()
        });
        Gateway {
            writer,
            reader,
            stage,
        }
    }

    /// Scrapes a page; answers whether it was taken.
    fn scrape(&mut self, page: &[u8], format: Format, at: Timestamp) -> bool {
        let target = self.stage.target();
        let taken = match self.stage.parse(page, format) {
            Ok(staged) => self
                .writer
                .commit(staged, at, ScrapeFacts::default())
                .is_ok(),
            Err(error) => {
                assert!(
                    error.line > 0 && !error.reason.is_empty(),
                    "a place and a reason"
                );
                false
            }
        };
        if !taken {
            let failed = self
                .writer
                .fail(target, at, ScrapeFacts::default(), "refused");
            assert!(failed.is_ok(), "a failure can always be noted");
        }
        taken
    }

    /// Every series that fits with its value's bits, sorted.
    fn holds(&self, what: &str, at: Timestamp) -> Vec<(Labels, u64)> {
        let query = Query::parse(what, &Features::default()).expect("a valid query");
        let answer = query
            .instant(&self.reader.plain(), at, &EvalOptions::default())
            .expect("within limits");
        let Value::Vector(samples) = answer.value else {
            unreachable!("a selector yields a vector");
        };
        let mut held: Vec<_> = samples
            .into_iter()
            .map(|sample| (sample.labels, sample.value.to_bits()))
            .collect();
        held.sort();
        held
    }
}

/// Plays the pages to one gateway, and each alone to a new one.
pub fn run(data: &[u8]) {
    for format in [Format::Text, Format::OpenMetrics] {
        play(data, format);
    }
}

fn play(data: &[u8], format: Format) {
    let mut known = Gateway::new(Retain::All);
    let mut sparing = Gateway::new(Retain::Signals);
    let pages = data.split(|byte| *byte == SEPARATOR).take(PAGES_MAX);
    for (number, page) in pages.enumerate() {
        let mut page = page[..page.len().min(PAGE_BYTES_MAX)].to_vec();
        if format == Format::OpenMetrics && !page.ends_with(b"# EOF\n") {
            page.extend_from_slice(b"\n# EOF\n");
        }
        let is_valid = stillwell_engine::exposition::check_openmetrics(&page).is_ok();
        let at = Timestamp::from_ms(1_800_000_000_000 + number as i64 * 1_000);
        let mut fresh = Gateway::new(Retain::All);
        let takes = fresh.scrape(&page, format, at);
        let is_openmetrics = format == Format::OpenMetrics;
        assert!(
            takes || !(is_valid && is_openmetrics),
            "a valid page is taken"
        );
        assert_eq!(known.scrape(&page, format, at), takes, "one judgement");
        assert_eq!(known.holds(ALL, at), fresh.holds(ALL, at), "one content");
        let mut sparing_fresh = Gateway::new(Retain::Signals);
        let warm_takes = sparing.scrape(&page, format, at);
        let takes = sparing_fresh.scrape(&page, format, at);
        let kept = sparing_fresh.holds(NEEDED, at);
        if warm_takes && takes {
            assert_eq!(sparing.holds(NEEDED, at), kept, "one kept content");
        }
        if takes
            && fresh
                .holds("up", at)
                .iter()
                .all(|up| up.1 == 1f64.to_bits())
        {
            assert_eq!(fresh.holds(NEEDED, at), kept, "what all of it would have");
        }
    }
}
