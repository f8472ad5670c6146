//! One sender: the newest samples of its series, and the page that they make.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_adapters::prometheus::quoted_label_value;
use stillwell_adapters::time::rfc3339;
use stillwell_engine::Timestamp;
use stillwell_engine::labels::{Labels, METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use stillwell_engine::number_text::push_json;
use stillwell_engine::promql::select::is_stale;

use crate::clock::Clock;
use crate::scrape::WritesPages;

/// Series of one sender: what it has added up, not what it has scraped.
const SERIES_MAX: usize = 100_000;
/// A series that its sender has forgotten without a stale marker is forgotten here, as by a query's look back.
const FORGOTTEN_MS: i64 = 300_000;
/// What a server like this one says of its signals.
const STATE: &str = "stillwell_signal_state";
const VALUE: &str = "stillwell_signal_value";

/// A sender.
pub(super) struct Sender {
    name: String,
    /// Its newest sample is no older than this, or there is no page.
    age_ms_max: i64,
    clock: Arc<Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Per series its newest sample.
    series: BTreeMap<Labels, (i64, f64)>,
    /// The newest of all, no later than it came.
    newest_ms: Option<i64>,
    /// Which of several replicas is taken, and the newest that it has sent.
    replica: Option<(String, i64)>,
}

impl Known {
    /// Whether samples of a replica are taken: one is, until it has been silent for so long (as Mimir's HA tracker has it).
    fn takes(&mut self, replica: &str, newest_ms: i64, age_ms_max: i64) -> bool {
        match &mut self.replica {
            Some((taken, last_ms)) if taken == replica => {
                *last_ms = newest_ms.max(*last_ms);
                true
            }
            Some((_, last_ms)) if newest_ms - *last_ms <= age_ms_max => false,
            _ => {
                self.replica = Some((replica.to_owned(), newest_ms));
                true
            }
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sender {:?}", self.name)
    }
}

impl Sender {
    pub(super) fn new(name: &str, age_ms_max: i64, clock: Arc<Clock>) -> Sender {
        Sender {
            name: name.to_owned(),
            age_ms_max,
            clock,
            known: Mutex::default(),
        }
    }

    /// When it has last sent something that was new then.
    pub(super) fn newest_ms(&self) -> Option<i64> {
        self.known.lock().newest_ms
    }

    /// Takes samples of a series that a replica has sent, ascending in time. False: there are too many series.
    pub(super) fn take(
        &self,
        replica: &str,
        labels: &Labels,
        samples: &[(Timestamp, f64)],
    ) -> bool {
        let Some((at, value)) = samples.last() else {
            return true;
        };
        let newest_ms = at.ms().min(self.clock.now().ms());
        let mut known = self.known.lock();
        if !known.takes(replica, newest_ms, self.age_ms_max) {
            return true; // another one's are
        }
        known.newest_ms = known.newest_ms.max(Some(newest_ms));
        let before = known.series.get(labels).map(|(before_ms, _)| *before_ms);
        if before.is_some_and(|before_ms| before_ms > at.ms()) {
            return true; // what came late says nothing of now
        }
        if is_stale(*value) {
            known.series.remove(labels);
            return true;
        }
        if before.is_none() && known.series.len() >= SERIES_MAX {
            return false;
        }
        known.series.insert(labels.clone(), (at.ms(), *value));
        true
    }

    /// The page as of now, in the text format. Error: it has sent nothing for too long.
    fn text(&self) -> Result<String, String> {
        let now_ms = self.clock.now().ms();
        let mut known = self.known.lock();
        let name = &self.name;
        let Some(newest_ms) = known.newest_ms else {
            return Err(format!("sender {name:?} has sent nothing yet"));
        };
        if now_ms - newest_ms > self.age_ms_max {
            let since = rfc3339(Timestamp::from_ms(newest_ms));
            return Err(format!("sender {name:?} has sent nothing since {since}"));
        }
        let oldest_ms = newest_ms - FORGOTTEN_MS;
        known.series.retain(|_, (at_ms, _)| *at_ms >= oldest_ms);
        let unknown = unknown_signals(&known.series);
        let mut out = String::new();
        for (labels, (_, value)) in &known.series {
            let of_unknown = labels.metric_name() == Some(VALUE)
                && labels
                    .get("signal")
                    .is_some_and(|signal| unknown.contains(signal));
            if !of_unknown {
                line(&mut out, labels, *value);
            }
        }
        for signal in unknown {
            // One number that is none makes every sum over it none.
            let labels = Labels::from_pairs([(METRIC_NAME, VALUE), ("signal", signal)]);
            line(&mut out, &labels, f64::NAN);
        }
        Ok(out)
    }
}

impl WritesPages for Sender {
    fn page(&self) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + '_>> {
        Box::pin(async move { self.text().map(String::into_bytes) })
    }
}

/// Signals of which the sender says that they are unknown.
fn unknown_signals(series: &BTreeMap<Labels, (i64, f64)>) -> BTreeSet<&str> {
    let states = series.iter().filter(|(labels, (_, value))| {
        labels.metric_name() == Some(STATE)
            && labels.get("state") == Some("unknown")
            && *value == 1.0
    });
    states
        .filter_map(|(labels, _)| labels.get("signal"))
        .collect()
}

/// A line of the text format; names that are not Prometheus' old ones stand in quotes.
fn line(out: &mut String, labels: &Labels, value: f64) {
    let name = labels.metric_name().unwrap_or("");
    let is_plain = is_legacy_metric_name(name);
    let mut first = true;
    if is_plain {
        out.push_str(name);
    }
    out.push('{');
    if !is_plain {
        quoted_label_value(out, name);
        first = false;
    }
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        match is_legacy_label_name(name) {
            true => out.push_str(name),
            false => quoted_label_value(out, name),
        }
        out.push('=');
        quoted_label_value(out, value);
    }
    out.push_str("} ");
    push_json(out, value);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;
    use stillwell_engine::promql::select::STALE_NAN_BITS;

    use super::*;

    fn sender() -> Sender {
        Sender::new("0", 1_000, Arc::new(Clock::start()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_has_the_newest_samples_while_there_are_new_ones() {
        let sender = sender();
        assert!(
            sender
                .text()
                .expect_err("nothing came")
                .contains("nothing yet")
        );
        let now = sender.clock.now();
        let a = labels! { "__name__" => "a", "x.y" => "q\"" };
        let b = labels! { "__name__" => "b.c" };
        assert!(sender.take("", &a, &[(now.minus_ms(5), 1.0), (now, 2.0)]));
        assert!(
            sender.take("", &a, &[(now.minus_ms(9), 7.0)]),
            "what comes late is passed over"
        );
        assert!(sender.take("", &b, &[(now, f64::INFINITY)]));
        assert_eq!(
            sender.text().as_deref(),
            Ok("a{\"x.y\"=\"q\\\"\"} 2\n{\"b.c\"} +Inf\n")
        );
        let stale = f64::from_bits(STALE_NAN_BITS);
        assert!(sender.take("", &b, &[(now, stale)]));
        assert_eq!(sender.text().as_deref(), Ok("a{\"x.y\"=\"q\\\"\"} 2\n"));
        tokio::time::advance(std::time::Duration::from_millis(1_002)).await;
        assert!(
            sender
                .text()
                .expect_err("it is silent")
                .contains("nothing since")
        );
        // Old samples, as after an outage, are no sign of life.
        assert!(sender.take("", &a, &[(now.plus_ms(1), 3.0)]));
        assert!(sender.text().is_err());
        assert!(sender.take("", &a, &[(sender.clock.now(), 3.0)]));
        assert!(sender.text().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_that_is_unknown_there_is_no_number_here() {
        let sender = sender();
        let now = sender.clock.now();
        let state =
            |name: &'static str| labels! { "__name__" => STATE, "signal" => "q", "state" => name };
        let value = labels! { "__name__" => VALUE, "signal" => "q", "pool" => "a" };
        sender.take("", &state("value"), &[(now, 1.0)]);
        sender.take("", &state("unknown"), &[(now, 0.0)]);
        sender.take("", &value, &[(now, 4.0)]);
        assert!(
            sender
                .text()
                .expect("a page")
                .contains("pool=\"a\",signal=\"q\"} 4")
        );
        sender.take("", &state("unknown"), &[(now, 1.0)]);
        let page = sender.text().expect("a page");
        assert!(
            page.contains("stillwell_signal_value{signal=\"q\"} NaN\n"),
            "{page}"
        );
        assert!(!page.contains("} 4"), "{page}");
    }

    #[tokio::test(start_paused = true)]
    async fn of_replicas_one_is_taken_until_it_is_silent() {
        let sender = sender();
        let a = labels! { "__name__" => "a" };
        let start = sender.clock.now();
        for (after_ms, replica, value, shown) in [
            (0, "x", 1.0, "a{} 1\n"),
            (100, "y", 2.0, "a{} 1\n"),
            (900, "x", 3.0, "a{} 3\n"),
            (1_800, "y", 4.0, "a{} 3\n"),
            (2_000, "y", 5.0, "a{} 5\n"),
            (2_100, "x", 6.0, "a{} 5\n"),
        ] {
            let at = start.plus_ms(after_ms);
            tokio::time::advance(std::time::Duration::from_millis(
                at.since_ms(sender.clock.now()) as u64,
            ))
            .await;
            assert!(sender.take(replica, &a, &[(at, value)]));
            assert_eq!(sender.text().as_deref(), Ok(shown), "{after_ms}");
        }
    }

    #[test]
    fn series_are_bounded() {
        let sender = sender();
        let now = sender.clock.now();
        for number in 0..SERIES_MAX {
            let labels = Labels::from_pairs([("__name__", "a"), ("n", &number.to_string())]);
            assert!(sender.take("", &labels, &[(now, 1.0)]));
        }
        assert!(!sender.take("", &labels! { "__name__" => "b" }, &[(now, 1.0)]));
    }
}
