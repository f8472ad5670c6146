//! The states and numbers of signals as series of the store, for receivers of remote write that are to have them: the
//! families `stillwell_signal_state`, `stillwell_signal_value` and `stillwell_signal_age_seconds` of `/metrics`, and how many
//! signals that is. Stored once for every deadline of the quickest receiver, and sooner where a signal says something else: its
//! receiver may be what an autoscaler reads.
//!
//! A number that nobody measures any more gets a stale marker: at a receiver it then ends, as it does here (rule S5).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use stillwell_adapters::host::Host;
use stillwell_engine::labels::{Labels, METRIC_NAME};
use stillwell_engine::promql::select::STALE_NAN_BITS;
use stillwell_engine::{AppendedSeries, Timestamp, Writer};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::app::App;
use super::own_metrics::signal_samples;
use super::removed_signals::RemovedSignals;

/// How many signals there is something to be said of.
const COUNT: &str = "stillwell_signal_count";
/// The family of ages.
const AGE: &str = "stillwell_signal_age_seconds";
/// Whether somebody wants them, whether sending may begin, and whether signals say something else, is looked at this often.
const LOOK: Duration = Duration::from_millis(100);
/// ... but no sooner than so many times what the last look has taken.
const LOOK_REST_TIMES: u32 = 10;

/// Runs until `quit` turns true.
pub(super) async fn run(app: Arc<App>, mut quit: watch::Receiver<bool>) {
    let mut shown = HashSet::new();
    let mut stored = Stored::default();
    let mut removed = RemovedSignals::default();
    let mut failed = false;
    let mut rest = LOOK;
    loop {
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            _ = quit.changed() => return,
        }
        let ready = app.ready();
        let every = app.remote_writes().wants_signals();
        if every.is_none() && shown.is_empty() {
            begin(&app, ready);
            continue;
        }
        let (now, began) = (app.now(), Instant::now());
        let samples = match every {
            Some(_) => samples(&app, &mut removed, now).await,
            None => Vec::new(),
        };
        // Signals that are not compiled are evaluated by this: for a tenth of the time at most.
        rest = LOOK.max(began.elapsed() * LOOK_REST_TIMES);
        let said = says(&samples);
        if every.is_some_and(|every| !stored.is_due(now, every, &said)) {
            begin(&app, ready);
            continue;
        }
        let batch = batch(samples, &mut shown, now);
        let writing = Arc::clone(&app);
        let written = tokio::task::spawn_blocking(move || {
            let writer = &writing.scraper().shared().writer;
            Writer::append_in_steps(writer, batch, now).map(drop)
        });
        stored = match written.await {
            Ok(Ok(())) => Stored {
                at: Some(now),
                said,
            },
            Ok(Err(error)) => {
                if !std::mem::replace(&mut failed, true) {
                    warn!(%error, "states of signals are not sent on");
                }
                Stored::default()
            }
            Err(_) => Stored::default(), // a panic has been logged
        };
        // After the first states of a process that knows its targets.
        begin(&app, ready);
        app.remote_writes().signals_stored();
    }
}

/// What signals say now.
async fn samples(app: &App, removed: &mut RemovedSignals, now: Timestamp) -> Vec<(Labels, f64)> {
    let mut readings = app.sent_readings(now).await;
    // After them, so that none of them is missing here.
    removed.add_to(&mut readings, &app.signal_names(), now);
    let mut samples = signal_samples(&readings, now);
    // Sent whatever else there is: whoever has nothing to say is there nevertheless.
    let count = Labels::from_pairs([(METRIC_NAME, COUNT)]);
    samples.push((count, readings.len() as f64));
    samples
}

/// What was stored last, and when.
#[derive(Default)]
struct Stored {
    at: Option<Timestamp>,
    said: Vec<(Labels, u64)>,
}

impl Stored {
    /// Whether this is to be stored: it is something else than the last time, or that was `every` ago.
    fn is_due(&self, now: Timestamp, every: Duration, said: &[(Labels, u64)]) -> bool {
        let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        let is_recent = self.at.is_some_and(|at| now.since_ms(at) < every_ms);
        !is_recent || said != self.said
    }
}

/// Samples without ages, which change by themselves.
fn says(samples: &[(Labels, f64)]) -> Vec<(Labels, u64)> {
    let said = samples
        .iter()
        .filter(|(labels, _)| labels.metric_name() != Some(AGE));
    said.map(|(labels, value)| (labels.clone(), value.to_bits()))
        .collect()
}

fn begin(app: &App, ready: bool) {
    if ready {
        app.remote_writes().open();
    }
}

/// The samples, and stale markers of the series that are not among them any more.
fn batch(
    samples: Vec<(Labels, f64)>,
    shown: &mut HashSet<Labels>,
    now: Timestamp,
) -> Vec<AppendedSeries> {
    let one = |labels: Labels, value| AppendedSeries {
        labels,
        floats: vec![(now, value)],
        histograms: Vec::new(),
    };
    let before = std::mem::take(shown);
    shown.extend(samples.iter().map(|(labels, _)| labels.clone()));
    let ended = before.difference(shown).cloned();
    let ended = ended.map(|labels| one(labels, f64::from_bits(STALE_NAN_BITS)));
    let mut batch: Vec<AppendedSeries> = ended.collect();
    batch.extend(
        samples
            .into_iter()
            .map(|(labels, value)| one(labels, value)),
    );
    batch
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::*;

    #[test]
    fn what_changes_is_stored_at_once_and_what_does_not_after_a_while() {
        let every = Duration::from_millis(500);
        let says = |value, age| {
            [("stillwell_signal_value", value), (AGE, age)]
                .map(|(name, number)| (labels! { "__name__" => name }, number))
        };
        let mut stored = Stored::default();
        let due = [
            (0, says(1.0, 0.0)),
            (100, says(1.0, 0.1)),
            (200, says(2.0, 0.0)),
            (600, says(2.0, 0.4)),
            (700, says(2.0, 0.5)),
        ]
        .map(|(ms, samples)| {
            let now = Timestamp::from_ms(ms);
            let said = super::says(&samples);
            let is_due = stored.is_due(now, every, &said);
            if is_due {
                let at = Some(now);
                stored = Stored { at, said };
            }
            is_due
        });
        assert_eq!(due, [true, false, true, false, true]);
    }

    #[test]
    fn a_series_that_is_not_told_any_more_ends_once() {
        let (a, b) = (labels! { "__name__" => "a" }, labels! { "__name__" => "b" });
        let now = Timestamp::from_ms(5);
        let mut shown = HashSet::new();
        let mut told = |samples: Vec<(Labels, f64)>| {
            let batch = batch(samples, &mut shown, now).into_iter();
            let one = |one: AppendedSeries| (one.labels, one.floats[0].1.to_bits());
            batch.map(one).collect::<Vec<_>>()
        };
        let bits = f64::to_bits;
        assert_eq!(
            told(vec![(a.clone(), 1.0), (b.clone(), 2.0)]),
            [(a.clone(), bits(1.0)), (b.clone(), bits(2.0))]
        );
        assert_eq!(
            told(vec![(b.clone(), 3.0)]),
            [(a, STALE_NAN_BITS), (b.clone(), bits(3.0))]
        );
        assert_eq!(told(Vec::new()), [(b, STALE_NAN_BITS)]);
        assert_eq!(told(Vec::new()), []);
    }
}
