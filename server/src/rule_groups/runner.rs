//! Evaluates groups when they are due, on a thread of its own: rules that take long delay other rules and nothing else.
//!
//! A group is due at multiples of its interval, shifted by a hash of its file and name, so that groups do not come together
//! and a restart changes no times. The shift is Prometheus' own (rules/group.go, `EvalTimestamp`): with the same files both
//! record at the same times. Evaluations that were missed are left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use stillwell_adapters::host::{QuerySettings, RuleGroup};
use stillwell_engine::labels::{Labels, labels_hash};
use stillwell_engine::promql::select::View;
use stillwell_engine::promql::{EvalOptions, Stop};
use stillwell_engine::{AppendedSeries, Reader, Timestamp, Writer};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::warn;

use super::file::RuleFile;
use super::group::{Environment, Group, RuleStore};
use super::notification::Notification;
use super::recorded::recorded;
use super::restore::RestoreOptions;
use crate::scrape::Shared;

/// What rules need to know of the configuration.
#[derive(Clone, Debug)]
pub struct RuleOptions {
    /// How queries are evaluated.
    pub query: QuerySettings,
    /// Of this server.
    pub external_labels: Labels,
    /// Of this server.
    pub external_url: String,
    /// Between two evaluations of a group that does not say.
    pub interval_ms: u64,
    /// Of a group that does not say.
    pub query_offset_ms: u64,
    /// Between two messages about an alert that fires on.
    pub resend_ms: u64,
    /// What is restored of alerts after a start; `None` where nothing of an earlier run can be there.
    pub restore: Option<RestoreOptions>,
}

/// The handle by which others change and see the rules.
#[derive(Clone)]
pub struct Runner {
    inner: Arc<Inner>,
}

struct Inner {
    /// Replaced by a reload.
    wanted: Mutex<Option<(Vec<RuleFile>, RuleOptions)>>,
    changed: Notify,
    /// What the API shows: replaced after every evaluation.
    shown: RwLock<Arc<Vec<RuleGroup>>>,
    evaluations: AtomicU64,
    failures: AtomicU64,
    missed: AtomicU64,
}

/// Takes alerts that are to be told of, without waiting.
pub type SendAlerts = Box<dyn Fn(Vec<Notification>) + Send + Sync>;

/// A group and when it is due.
struct Due {
    group: Group,
    interval_ms: i64,
    phase_ms: i64,
    next_ms: i64,
}

impl Runner {
    /// Starts on the current runtime, which should have nothing else to do; ends when `quit` turns true. Rules that are
    /// `found` in a cluster are evaluated beside those that are applied.
    pub fn start(
        shared: Arc<Shared>,
        reader: Reader,
        found: watch::Receiver<Vec<RuleFile>>,
        send: SendAlerts,
        quit: watch::Receiver<bool>,
    ) -> Runner {
        let inner = Arc::new(Inner {
            wanted: Mutex::new(None),
            changed: Notify::new(),
            shown: RwLock::default(),
            evaluations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        });
        let task = Task {
            inner: Arc::clone(&inner),
            store: Store { shared, reader },
            send,
            due: Vec::new(),
            files: Vec::new(),
            options: None,
        };
        tokio::spawn(task.run(found, quit));
        Runner { inner }
    }

    /// Evaluates exactly these rules, and those found in the cluster, from now on. A group that stays as it is keeps its alerts.
    pub fn apply(&self, files: Vec<RuleFile>, options: RuleOptions) {
        *self.inner.wanted.lock() = Some((files, options));
        self.inner.changed.notify_one();
    }

    /// The groups as of their last evaluations.
    pub fn groups(&self) -> Arc<Vec<RuleGroup>> {
        Arc::clone(&self.inner.shown.read())
    }

    /// Evaluations of groups, failed rules among them, and evaluations that were missed.
    pub fn counts(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Inner {
            evaluations,
            failures,
            missed,
            ..
        } = &*self.inner;
        (read(evaluations), read(failures), read(missed))
    }
}

struct Task {
    inner: Arc<Inner>,
    store: Store,
    send: SendAlerts,
    due: Vec<Due>,
    /// Of the configuration.
    files: Vec<RuleFile>,
    options: Option<RuleOptions>,
}

impl Task {
    async fn run(
        mut self,
        mut found: watch::Receiver<Vec<RuleFile>>,
        mut quit: watch::Receiver<bool>,
    ) {
        let inner = Arc::clone(&self.inner);
        let quitting = quit.clone();
        loop {
            let clock = Arc::clone(&self.store.shared.clock);
            let next_ms = self.due.iter().map(|due| due.next_ms).min();
            let waking = async {
                match next_ms {
                    Some(next_ms) => tokio::time::sleep_until(clock.moment(next_ms)).await,
                    None => std::future::pending().await,
                }
            };
            let ending = async {
                quit.wait_for(|quit| *quit).await.ok(); // gone is as good as true
            };
            tokio::select! {
                () = ending => return,
                () = inner.changed.notified() => {
                    if let Some((files, options)) = inner.wanted.lock().take() {
                        self.files = files;
                        self.options = Some(options);
                    }
                    self.configure(&found.borrow_and_update());
                }
                Ok(()) = found.changed() => self.configure(&found.borrow_and_update()),
                () = waking => self.evaluate(&quitting),
            }
        }
    }

    fn configure(&mut self, found: &[RuleFile]) {
        let Some(options) = &self.options else {
            return; // found before the configuration was applied, which reads them again
        };
        let now = self.store.shared.clock.now();
        let mut before: Vec<Due> = std::mem::take(&mut self.due);
        let files = self.files.iter().chain(found);
        for spec in files.flat_map(|file| file.groups.iter().cloned()) {
            let interval_ms = spec.interval_ms.unwrap_or(options.interval_ms).max(1) as i64;
            let known = before.iter().position(|due| *due.group.spec() == spec);
            let group = match known {
                Some(at) => before.swap_remove(at).group,
                // What an earlier run has left belongs to the groups of the start, not to those of a reload.
                None if options.restore.is_some() && self.options.is_none() => {
                    Group::new(spec).restoring()
                }
                None => Group::new(spec),
            };
            let phase_ms = phase_ms(&group.spec().file, &group.spec().name, interval_ms);
            self.due.push(Due {
                next_ms: next_ms(now.ms(), interval_ms, phase_ms),
                group,
                interval_ms,
                phase_ms,
            });
        }
        for mut gone in before {
            gone.group.end(now, &mut self.store);
        }
        let files = self.files.iter().chain(found);
        let recorded = recorded(files, options.interval_ms);
        self.store.reader.set_recorded(recorded);
        self.show();
    }

    /// Evaluates the groups that are due, until `quitting` turns true.
    fn evaluate(&mut self, quitting: &watch::Receiver<bool>) {
        let Some(options) = self.options.clone() else {
            return;
        };
        let clock = Arc::clone(&self.store.shared.clock);
        let now = clock.now();
        let mut due: Vec<usize> = (0..self.due.len()).collect();
        due.retain(|at| self.due[*at].next_ms <= now.ms());
        due.sort_by_key(|at| self.due[*at].next_ms);
        for at in due {
            if *quitting.borrow() {
                return; // what is evaluated now would fail, and is evaluated after the next start
            }
            let began = Instant::now();
            let timeout = Duration::from_millis(options.query.timeout_ms);
            let stop = || match *quitting.borrow() {
                true => Some(Stop::Canceled),
                false => (began.elapsed() >= timeout).then_some(Stop::Timeout),
            };
            let environment = environment(&options, clock.wall_offset_ms(), Some(&stop));
            let one = &mut self.due[at];
            let time = Timestamp::from_ms(one.next_ms);
            one.group.evaluate(time, &mut self.store, &environment);
            let due = one.group.take_due(time, options.resend_ms, &environment);
            (self.send)(due);
            if let Some(restore) = &options.restore {
                one.group.restore(time, &self.store, restore);
            }
            let now_ms = clock.now().ms();
            let next_ms = next_ms(now_ms, one.interval_ms, one.phase_ms);
            let missed = (next_ms - one.next_ms) / one.interval_ms - 1;
            one.next_ms = next_ms;
            let failures = one.group.errors().count();
            self.count(missed.max(0) as u64, failures as u64);
            if let Some((rule, why)) = self.due[at].group.errors().next() {
                let group = self.due[at].group.spec().name.as_str();
                tracing::debug!(group, rule, why, "a rule failed");
            }
        }
        self.store.shared.scraped.notify_waiters(); // streams wait for whatever is new
        self.show();
    }

    fn count(&self, missed: u64, failures: u64) {
        self.inner.evaluations.fetch_add(1, Ordering::Relaxed);
        self.inner.failures.fetch_add(failures, Ordering::Relaxed);
        if missed > 0 && self.inner.missed.fetch_add(missed, Ordering::Relaxed) == 0 {
            warn!(
                missed,
                "rules take longer than their interval; evaluations are left out"
            );
        }
    }

    fn show(&self) {
        let Some(options) = &self.options else {
            return;
        };
        let environment = environment(options, 0, None);
        let groups = self.due.iter().map(|due| due.group.describe(&environment));
        let mut groups: Vec<RuleGroup> = groups.collect();
        groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
        *self.inner.shown.write() = Arc::new(groups);
    }
}

fn environment<'s>(
    options: &RuleOptions,
    wall_offset_ms: i64,
    stop: Option<&'s (dyn Fn() -> Option<Stop> + Sync)>,
) -> Environment<'s> {
    let query = &options.query;
    Environment {
        options: EvalOptions {
            lookback_ms: query.lookback_ms,
            samples_max: query.samples_max,
            subquery_step_ms: query.subquery_step_ms,
            features: query.features,
            wall_offset_ms,
            stop,
            ..EvalOptions::default()
        },
        external_labels: options.external_labels.clone(),
        external_url: options.external_url.clone(),
        interval_ms: options.interval_ms,
        query_offset_ms: options.query_offset_ms,
        now_ns: crate::clock::monotonic_ns,
    }
}

fn phase_ms(file: &str, name: &str, interval_ms: i64) -> i64 {
    const NS_PER_MS: u64 = 1_000_000;
    let hash = labels_hash(&Labels::from_pairs([("file", file), ("name", name)]));
    let interval_ns = interval_ms.unsigned_abs().saturating_mul(NS_PER_MS);
    (hash % interval_ns / NS_PER_MS) as i64
}

/// The first time after `now_ms` at which a group is due.
fn next_ms(now_ms: i64, interval_ms: i64, phase_ms: i64) -> i64 {
    let past = (now_ms - phase_ms).div_euclid(interval_ms);
    (past + 1) * interval_ms + phase_ms
}

/// The engine.
struct Store {
    shared: Arc<Shared>,
    reader: Reader,
}

impl RuleStore for Store {
    fn view(&self) -> Box<dyn View + '_> {
        Box::new(self.reader.plain())
    }

    fn append(&mut self, series: Vec<AppendedSeries>) -> Result<(), String> {
        if series.is_empty() {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let appended = Writer::append_in_steps(&self.shared.writer, series, now);
        let appended = appended.map_err(|error| error.to_string())?;
        match appended.first_refused {
            Some(refused) => Err(refused.to_string()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Prometheus' own `Labels.Hash`.
    #[test]
    fn groups_are_shifted_as_in_prometheus() {
        for (file, name, interval_ms, expected_ms) in [
            ("rules.yml", "demand", 1_000, 395),
            ("/etc/prometheus/rules/a.yml", "latency", 60_000, 19_952),
            ("x", "x", 100, 58),
        ] {
            assert_eq!(phase_ms(file, name, interval_ms), expected_ms, "{file}");
        }
    }

    #[test]
    fn groups_are_due_at_their_phase_and_missed_times_are_left_out() {
        for (now_ms, interval_ms, phase_ms, due_ms) in [
            (0, 100, 0, 100),
            (99, 100, 0, 100),
            (100, 100, 0, 200),
            (1_234, 100, 50, 1_250),
            (1_250, 100, 50, 1_350),
            (10, 60_000, 5_000, 5_000),
        ] {
            assert_eq!(next_ms(now_ms, interval_ms, phase_ms), due_ms, "{now_ms}");
        }
    }
}
