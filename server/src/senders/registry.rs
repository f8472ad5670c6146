//! The senders of all sections, and what of a batch is theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use stillwell_engine::labels::{Labels, LabelsBuilder};
use stillwell_engine::limits::FUTURE_MS_MAX;
use stillwell_engine::{AppendedSeries, Refusal, Refused, Timestamp};
use tokio::sync::{Notify, watch};

use super::before::{self, Before};
use super::known::Newest;
use super::memory::SenderMemory;
use super::sender::{Sender, Times};
use crate::clock::Clock;
use crate::config::SendersConfig;
use crate::discovery::Manager;
use crate::http_client::Url;
use crate::scrape::{Discovered, Found, JobTargets, PageSource, Target};

/// By this label replicas of one sender are told apart, as Mimir and Cortex do.
const REPLICA: &str = "__replica__";
/// Senders of one section: shards and replicas, not clients.
const SENDERS_MAX: usize = 1_000;

/// The handle by which batches are taken.
#[derive(Clone)]
pub struct Senders {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<Clock>,
    memory: Arc<SenderMemory>,
    /// See [`Times`].
    listens_since_ms: Option<i64>,
    before: Before,
    sections: RwLock<Vec<Arc<Section>>>,
    changed: Notify,
}

struct Section {
    config: SendersConfig,
    /// Held to look, never while samples are taken.
    senders: Mutex<BTreeMap<String, One>>,
}

#[derive(Clone)]
struct One {
    sender: Sender,
    source: PageSource,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Taken {
    /// Series that are nobody's.
    pub rest: Vec<AppendedSeries>,
    /// Floats that were taken.
    pub floats: u64,
    /// How many were not, and the first of them.
    pub refused: Option<(u64, Refused)>,
}

impl Taken {
    fn refuse(&mut self, count: usize, labels: &Labels, at_ms: i64, why: Refusal) {
        if count > 0 {
            let first = || Refused {
                labels: labels.clone(),
                at: Timestamp::from_ms(at_ms),
                why,
            };
            let refused = self.refused.get_or_insert_with(|| (0, first()));
            refused.0 += count as u64;
        }
    }
}

impl Senders {
    /// None yet. Of the memory limit they may hold a sixteenth together. `before`: what they sent before this program started, so
    /// that a series that is missing from a first page is missed; `None` where that is not known.
    pub fn new(clock: Arc<Clock>, memory_bytes_max: u64, before: Option<Before>) -> Senders {
        let listens_since_ms = before.is_none().then(|| clock.now().ms());
        Senders {
            inner: Arc::new(Inner {
                clock,
                listens_since_ms,
                memory: SenderMemory::of_limit(memory_bytes_max),
                before: before.unwrap_or_default(),
                sections: RwLock::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// Takes from exactly these senders from now on. Sections that stay keep what they know.
    pub fn apply(&self, configs: &[SendersConfig]) -> Vec<JobTargets> {
        let mut sections = self.inner.sections.write();
        let before = std::mem::take(&mut *sections);
        for config in configs {
            let same = before.iter().find(|one| one.config.has_senders_of(config));
            let senders = same.map(|same| {
                let mut senders = same.senders.lock().clone();
                // Who was named and is no more has left.
                let left = |name: &String| {
                    same.config.known.contains(name) && !config.known.contains(name)
                };
                senders.retain(|name, _| !left(name));
                senders
            });
            let section = Section::new(config.clone(), senders.unwrap_or_default(), &self.inner);
            sections.push(Arc::new(section));
        }
        sections.iter().map(|section| section.targets()).collect()
    }

    /// Takes the series that carry a sender's label; native histograms among them are not its page's, and stay.
    pub fn take(&self, batch: Vec<AppendedSeries>) -> Taken {
        let sections = self.inner.sections.read().clone();
        if sections.is_empty() {
            return Taken {
                rest: batch,
                ..Taken::default()
            };
        }
        let mut taken = Taken::default();
        let now_ms = self.inner.clock.now().ms();
        let newest_ms = now_ms.saturating_add(FUTURE_MS_MAX);
        // Per section, sender and replica what it has sent: a page is written before or after all of it.
        let mut parts: BTreeMap<(usize, String, String), Vec<Newest>> = BTreeMap::new();
        for mut series in batch {
            let of = sections.iter().enumerate().find_map(|(at, section)| {
                let name = series.labels.get(&section.config.label)?;
                Some((at, name.to_owned()))
            });
            let Some((section, name)) = of.filter(|_| !series.floats.is_empty()) else {
                taken.rest.push(series);
                continue;
            };
            let mut floats = std::mem::take(&mut series.floats);
            let replica = series.labels.get(REPLICA).unwrap_or("").to_owned();
            if !replica.is_empty() {
                series.labels = series.labels.filter(|name| name != REPLICA);
            }
            let sent = floats.len();
            floats.retain(|(at, _)| at.ms() <= newest_ms);
            taken.refuse(sent - floats.len(), &series.labels, now_ms, Refusal::TooNew);
            if let Some((at, value)) = floats.iter().max_by_key(|(at, _)| *at) {
                taken.floats += floats.len() as u64;
                let of = parts.entry((section, name, replica)).or_default();
                of.push(Newest {
                    labels: series.labels.clone(),
                    at_ms: at.ms(),
                    value: *value,
                });
            }
            if !series.histograms.is_empty() {
                taken.rest.push(series);
            }
        }
        for ((section, name, replica), part) in parts {
            let (count, labels) = (part.len(), part[0].labels.clone()); // no part is empty
            let sender = sections[section].sender(&name, &self.inner);
            let refused = sender.map_or(count, |sender| sender.take(&replica, part));
            taken.floats -= refused as u64; // a series of it counts as one sample
            taken.refuse(refused, &labels, now_ms, Refusal::TooMany);
        }
        taken
    }

    /// What a snapshot keeps of them beside their pages, for [`Before::read`].
    pub fn written(&self) -> Vec<u8> {
        let sections = self.inner.sections.read().clone();
        let mut all = self.inner.before.left();
        for section in sections {
            let senders = section.senders.lock().clone();
            let of = senders.iter().map(|(name, one)| {
                let target = target_labels(&section.config, name);
                (target, one.sender.silent())
            });
            all.extend(of);
        }
        before::write(all.into_iter())
    }

    /// Tells the scraper of senders that are new, and of those that are gone, until `quit` turns true.
    pub async fn run(self, manager: Manager, mut quit: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(std::time::Duration::from_secs(10));
        loop {
            tokio::select! {
                () = self.inner.changed.notified() => {}
                _ = look.tick() => {
                    let sections = self.inner.sections.read().clone();
                    let now_ms = self.inner.clock.now().ms();
                    // A look at each, none left out by the first that changes.
                    let gone = sections.iter().filter(|section| section.forget(now_ms)).count();
                    if gone == 0 {
                        continue;
                    }
                }
                _ = quit.wait_for(|quit| *quit) => return,
            }
            let sections = self.inner.sections.read().clone();
            for section in sections {
                manager.set_written(section.targets()).await;
            }
        }
    }
}

impl Section {
    /// One that goes on with these senders.
    fn new(config: SendersConfig, mut senders: BTreeMap<String, One>, inner: &Inner) -> Section {
        for name in &config.known {
            let new = || one(&config, name, inner);
            senders.entry(name.clone()).or_insert_with(new);
        }
        let forget_ms = ms(config.forget_series_after_ms);
        let all = senders.values();
        all.for_each(|one| one.sender.set_forget_ms(forget_ms));
        Section {
            config,
            senders: Mutex::new(senders),
        }
    }

    /// The sender of this name, a new one where there is none; `None` where there are too many.
    fn sender(&self, name: &str, inner: &Inner) -> Option<Sender> {
        let mut senders = self.senders.lock();
        if let Some(one) = senders.get(name) {
            return Some(one.sender.clone());
        }
        if senders.len() >= SENDERS_MAX {
            return None;
        }
        let one = one(&self.config, name, inner);
        let sender = one.sender.clone();
        senders.insert(name.to_owned(), one);
        inner.changed.notify_one();
        Some(sender)
    }

    /// Forgets senders that nobody knows and that have been silent for long. Answers whether there were some.
    fn forget(&self, now_ms: i64) -> bool {
        let forget_ms = i64::try_from(self.config.forget_after_ms).unwrap_or(i64::MAX);
        let mut senders = self.senders.lock();
        let before = senders.len();
        senders.retain(|name, one| {
            let silent_ms = now_ms.saturating_sub(one.sender.newest_ms().unwrap_or(now_ms));
            self.config.known.contains(name) || silent_ms <= forget_ms
        });
        senders.len() != before
    }

    /// Each sender as a target.
    fn targets(&self) -> JobTargets {
        let config = &self.config;
        let senders = self.senders.lock().clone();
        let targets = senders.iter().filter_map(|(name, one)| {
            let labels = target_labels(config, name);
            Some(Target {
                job: Arc::clone(&config.job),
                discovered: Discovered::given(&config.job, &labels),
                labels,
                // Nothing is fetched there; it is what people are shown.
                url: shown_url(&config.job.name, name)?,
                interval_ms: config.interval_ms,
                timeout_ms: config.job.timeout_ms,
                refused: None,
                source: Some(one.source.clone()),
            })
        });
        JobTargets {
            name: config.job.name.clone(),
            http: config.job.http.clone(),
            dropped_targets_max: 0,
            found: Found {
                targets: targets.collect(),
                ..Found::default()
            },
        }
    }
}

/// The labels of a sender as a target.
fn target_labels(config: &SendersConfig, name: &str) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels.set("job", &config.job.name);
    labels.set("instance", name);
    labels.set(&config.label, name);
    labels.build()
}

/// A job's name need not be that of a host.
fn shown_url(job: &str, name: &str) -> Option<Url> {
    let of = |host: &str| Url::from_parts("http", host, name, "").ok();
    of(job).or_else(|| of("senders"))
}

fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 4)
}

fn one(config: &SendersConfig, name: &str, inner: &Inner) -> One {
    let times = Times {
        age_ms_max: ms(config.interval_ms).saturating_mul(2),
        listens_since_ms: inner.listens_since_ms,
    };
    let (clock, memory) = (Arc::clone(&inner.clock), Arc::clone(&inner.memory));
    let sender = Sender::new(name, times, clock, memory);
    sender.set_forget_ms(ms(config.forget_series_after_ms));
    let target = target_labels(config, name);
    let sent = inner.before.take(&target);
    if !sent.is_empty() {
        sender.remember(&target, sent);
    }
    One {
        source: PageSource::new(Arc::new(sender.clone())),
        sender,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn sections(known: &str, more: &str) -> Vec<SendersConfig> {
        let text = format!(
            "senders: [{{job_name: shards, label: shard, interval: 1s, known: [{known}]}}{more}]\n"
        );
        let (config, report) = load(&text);
        config.unwrap_or_else(|| panic!("{report:?}")).senders
    }

    fn names(targets: &[JobTargets]) -> Vec<Vec<String>> {
        let of = |job: &JobTargets| {
            let instances = job.found.targets.iter();
            instances
                .map(|one| one.labels.get("instance").unwrap_or("").to_owned())
                .collect()
        };
        targets.iter().map(of).collect()
    }

    fn series(labels: &[(&str, &str)], now: stillwell_engine::Timestamp) -> AppendedSeries {
        AppendedSeries {
            labels: Labels::from_pairs(labels.iter().copied()),
            floats: vec![(now, 1.0)],
            histograms: Vec::new(),
        }
    }

    #[test]
    fn senders_are_those_that_are_named_and_those_that_send() {
        let clock = Arc::new(Clock::start());
        let senders = Senders::new(Arc::clone(&clock), 1 << 40, Some(Before::default()));
        assert_eq!(names(&senders.apply(&sections("a, b", ""))), [["a", "b"]]);
        let now = clock.now();
        let batch = vec![
            series(
                &[("__name__", "x"), ("shard", "c"), ("__replica__", "1")],
                now,
            ),
            series(&[("__name__", "x"), ("other", "d")], now),
        ];
        let taken = senders.take(batch);
        assert_eq!((taken.floats, taken.rest.len()), (1, 1));
        assert_eq!(taken.rest[0].labels.get("other"), Some("d"));
        // A reload names another and no longer one of the first; who sends stays.
        let after = senders.apply(&sections(
            "a, e",
            ", {job_name: others, label: other, interval: 1s}",
        ));
        assert_eq!(names(&after), [vec!["a", "c", "e"], vec![]]);
        let taken = senders.take(vec![series(&[("__name__", "x"), ("other", "d")], now)]);
        assert_eq!((taken.floats, taken.rest.len()), (1, 0));
    }

    #[test]
    fn senders_are_bounded() {
        let clock = Arc::new(Clock::start());
        let senders = Senders::new(Arc::clone(&clock), 1 << 40, Some(Before::default()));
        senders.apply(&sections("", ""));
        let batch = (0..SENDERS_MAX + 5).map(|number| {
            series(
                &[("__name__", "x"), ("shard", &number.to_string())],
                clock.now(),
            )
        });
        let taken = senders.take(batch.collect());
        assert_eq!(taken.floats, SENDERS_MAX as u64);
        assert_eq!(taken.refused.map(|(count, _)| count), Some(5));
    }

    #[test]
    fn two_sections_need_two_labels_and_two_names() {
        for more in [
            ", {job_name: shards, label: x, interval: 1s}",
            ", {job_name: y, label: shard, interval: 1s}",
        ] {
            let text =
                format!("senders: [{{job_name: shards, label: shard, interval: 1s}}{more}]\n");
            assert!(load(&text).0.is_none(), "{more}");
        }
        for text in [
            "senders: [{label: x}]\n",
            "senders: [{job_name: x}]\n",
            "senders: [{job_name: x, label: y, interval: 1ms}]\n",
            "senders: [{job_name: x, label: y, interval: 1m, forget_series_after: 1m}]\n",
        ] {
            assert!(load(text).0.is_none(), "{text}");
        }
    }
}
