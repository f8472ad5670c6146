//! The states and numbers of signals as series of the store, for receivers of remote write that are to have them: the
//! families `stillwell_signal_state`, `stillwell_signal_value` and `stillwell_signal_age_seconds` of `/metrics`, and how many
//! signals that is.
//!
//! A number that nobody measures any more gets a stale marker: at a receiver it then ends, as it does here (rule S5).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use stillwell_adapters::host::Host;
use stillwell_engine::labels::{Labels, METRIC_NAME};
use stillwell_engine::promql::select::STALE_NAN_BITS;
use stillwell_engine::{AppendedSeries, Timestamp};
use tokio::sync::watch;
use tracing::warn;

use super::app::App;
use super::own_metrics::signal_samples;

/// As often as the quickest receiver gets something, and no more often than this: each is a sample of every signal.
const EVERY_MIN: Duration = Duration::from_millis(100);
/// How many signals there is something to be said of.
const COUNT: &str = "stillwell_signal_count";
/// Whether somebody wants them, and whether sending may begin, is looked at this often.
const LOOK: Duration = Duration::from_millis(100);

/// Runs until `quit` turns true.
pub(super) async fn run(app: Arc<App>, mut quit: watch::Receiver<bool>) {
    let mut shown = HashSet::new();
    let mut failed = false;
    let mut rest = LOOK;
    loop {
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            _ = quit.changed() => return,
        }
        let ready = app.ready();
        let every = app.remote_writes().wants_signals();
        rest = match (ready, every) {
            (true, Some(every)) => every.max(EVERY_MIN),
            _ => LOOK,
        };
        if every.is_none() && shown.is_empty() {
            begin(&app, ready);
            continue;
        }
        let now = app.now();
        let samples = match every.is_some() {
            true => {
                let readings = app.sent_readings(now).await;
                let mut samples = signal_samples(&readings, now);
                // Sent whatever else there is: whoever has nothing to say is there nevertheless.
                let count = Labels::from_pairs([(METRIC_NAME, COUNT)]);
                samples.push((count, readings.len() as f64));
                samples
            }
            false => Vec::new(),
        };
        let batch = batch(samples, &mut shown, now);
        let writing = Arc::clone(&app);
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writing.scraper().shared().writer.lock();
            writer.append(batch, now).map(drop)
        });
        if let Ok(Err(error)) = written.await
            && !std::mem::replace(&mut failed, true)
        {
            warn!(%error, "states of signals are not sent on");
        }
        // After the first states of a process that knows its targets.
        begin(&app, ready);
    }
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
