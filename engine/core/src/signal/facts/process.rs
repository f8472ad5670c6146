//! What the series of a page tell of the process that serves it, gathered before the page is committed where another process
//! gives it than before.
//!
//! What is constant for a process is then learned anew from all series of the page (S6a), together with its commit. Of 400,000 they
//! tell little: label names of metrics that signals read, pools, values of few labels. So those that tell something that none before
//! them told are picked here, by whoever holds no lock for long, and learned with the commit.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use super::super::names::{Names, POOL_LABELS, TableMetric, TableMetrics};
use super::gathered::RememberedLabels;
use super::other_names::OtherNames;
use super::series::is_remembered;
use super::{CounterMoves, Facts};
use crate::labels::{Labels, METRIC_NAME};
use crate::limits::{POOLS_PER_TARGET_MAX, REMEMBERED_VALUES_MAX};
use crate::store::{SeriesId, TargetId};

/// Series that tell something of the process.
pub(crate) struct ProcessFacts {
    asked: Asked,
    told: Vec<Labels>,
    replaced: BTreeSet<Box<str>>,
    shown: TableMetrics,
    /// Of those that are passed over.
    shown_others: OtherNames,
}

/// What signals ask of a page.
pub(crate) struct Asked {
    metrics: HashSet<String>,
    remembered: RememberedLabels,
}

/// Picks the series of [`ProcessFacts`]. Texts are known by their hashes.
pub(crate) struct ProcessGatherer {
    found: ProcessFacts,
    /// Labels of the target, where it is not known which of them its series replace.
    replaceable: Option<Labels>,
    hasher: DefaultHashBuilder,
    metrics: HashMap<u64, Metric>,
    names: HashSet<(u64, u64)>,
    values: HashSet<(u64, u64)>,
    pools: HashSet<u64>,
}

#[derive(Clone, Copy)]
struct Metric {
    is_read: bool,
    /// Whether its label `name` names a pool.
    names_pool: bool,
}

impl ProcessGatherer {
    pub(crate) fn new(asked: Asked, replaceable: Option<Labels>) -> ProcessGatherer {
        ProcessGatherer {
            replaceable,
            found: ProcessFacts {
                asked,
                told: Vec::new(),
                replaced: BTreeSet::new(),
                shown: TableMetrics::default(),
                shown_others: OtherNames::default(),
            },
            hasher: DefaultHashBuilder::default(),
            metrics: HashMap::new(),
            names: HashSet::new(),
            values: HashSet::new(),
            pools: HashSet::new(),
        }
    }

    /// Looks at a series of the page; `labels` are all of its labels.
    pub(crate) fn look_at<'l>(
        &mut self,
        metric: &str,
        pairs: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        labels: impl FnOnce() -> Labels,
    ) {
        let hash = |text: &str| self.hasher.hash_one(text);
        let of = hash(metric);
        let ProcessFacts {
            asked,
            shown,
            replaced,
            ..
        } = &mut self.found;
        for (label, value) in self.replaceable.iter().flat_map(Labels::iter) {
            let mut own = pairs.clone();
            if !replaced.contains(label) && !own.any(|pair| pair == (label, value)) {
                replaced.insert(label.into());
            }
        }
        let kind = *self.metrics.entry(of).or_insert_with(|| {
            TableMetric::of(metric)
                .into_iter()
                .for_each(|one| shown.insert(one));
            Metric {
                is_read: asked.metrics.contains(metric),
                names_pool: Names::is_pool_label(metric, "name"),
            }
        });
        let mut names = pairs.clone().map(|(name, _)| name);
        if !kind.is_read && !names.any(|name| POOL_LABELS.contains(&name)) {
            return;
        }
        let is_full = self.values.len() + self.pools.len() >= REMEMBERED_VALUES_MAX;
        // That the metric is there is told without a label, too.
        let mut is_new = kind.is_read && self.names.insert((of, of));
        for (name, value) in pairs.filter(|(name, _)| *name != METRIC_NAME) {
            let label = hash(name);
            is_new |= kind.is_read && self.names.insert((of, label));
            if !is_remembered(name, &asked.remembered) {
                continue;
            }
            let is_pool = name == "inference_pool" || name == "name" && kind.names_pool;
            is_new |= match is_pool {
                true if is_full && self.pools.len() >= POOLS_PER_TARGET_MAX => false,
                true => self.pools.insert(hash(value)),
                false => !is_full && self.values.insert((label, hash(value))),
            };
        }
        if is_new {
            self.found.told.push(labels());
        }
    }

    /// The page has a metric whose lines are passed over.
    pub(crate) fn pass_over(&mut self, metric: &str) {
        match TableMetric::of(metric) {
            Some(one) => self.found.shown.insert(one),
            None => self.found.shown_others.insert(metric),
        }
    }

    pub(crate) fn finish(self) -> ProcessFacts {
        self.found
    }
}

impl Facts {
    /// What signals ask of a page now.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            metrics: self.read_metrics.keys().cloned().collect(),
            remembered: self.remembered_labels(),
        }
    }

    /// Whether something will be learned again from all series of a page that is about to be shown: it comes from another process
    /// than the one before, see [`Facts::scrape_succeeded`], or is read otherwise.
    pub(crate) fn will_learn(
        &self,
        id: TargetId,
        value: impl Fn(SeriesId) -> f64,
        has_left: impl Fn(SeriesId) -> bool,
        counters: CounterMoves,
    ) -> bool {
        let Some(facts) = self.target(id) else {
            return false;
        };
        self.tells_again(facts)
            || facts.is_restart(&value, counters)
            || (counters.fell && !facts.pools.is_empty())
            || facts.starts.is_one_other(value, has_left)
    }

    /// Learns again what was gathered, and answers whether it is complete: no query asks for more meanwhile.
    pub(crate) fn learn_process(&mut self, id: TargetId, page: &ProcessFacts) -> bool {
        let ProcessFacts {
            asked,
            told,
            replaced,
            shown,
            shown_others,
        } = page;
        let is_complete = self.remembered.len() == asked.remembered.len()
            && self
                .read_metrics
                .keys()
                .all(|of| asked.metrics.contains(of));
        if is_complete {
            told.iter().for_each(|labels| self.learn_again(id, labels));
            if let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) {
                facts.replaced.extend(replaced.iter().cloned());
                facts.shown.add(shown);
                facts.shown_others.add(shown_others);
            }
        }
        is_complete
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use stillwell_testing::cases::cases;

    use super::*;
    use crate::scrape::TargetSpec;

    const TARGET: TargetId = TargetId(0);
    const METRICS: [&str; 4] = [
        "m",
        "inference_extension_flow_control_queue_size",
        "inference_pool_ready_pods",
        "other",
    ];
    const LABELS: [&str; 5] = ["inference_pool", "name", "model_name", "asked", "more"];

    fn facts() -> Facts {
        let mut facts = Facts::default();
        facts.add(TARGET, &TargetSpec::default(), 0);
        facts.remember("asked");
        for metric in &METRICS[..3] {
            facts.track_metric(metric, &Names::default());
        }
        facts
    }

    proptest! {
        #![proptest_config(cases(200))]

        #[test]
        fn what_is_gathered_teaches_the_same_as_every_series(
            lines in vec((0..METRICS.len(), vec((0..LABELS.len(), 0..6_u8), 0..4)), 0..60),
        ) {
            let lines: Vec<Labels> = lines
                .iter()
                .map(|(metric, pairs)| {
                    let values: Vec<(&str, String)> = pairs
                        .iter()
                        .map(|(label, value)| (LABELS[*label], value.to_string()))
                        .collect();
                    let pairs = values.iter().map(|(label, value)| (*label, &**value));
                    Labels::from_pairs(pairs.chain([(METRIC_NAME, METRICS[*metric])]))
                })
                .collect();
            let (mut gathered, mut by_line) = (facts(), facts());
            let mut gatherer = ProcessGatherer::new(gathered.asked(), None);
            for labels in &lines {
                let metric = labels.metric_name().expect("has one");
                gatherer.look_at(metric, labels.iter(), || labels.clone());
                by_line.learn_again(TARGET, labels);
            }
            let page = gatherer.finish();
            prop_assert!(gathered.learn_process(TARGET, &page));
            let (one, other) = (gathered.target(TARGET).expect("there"), by_line.target(TARGET).expect("there"));
            prop_assert_eq!(&one.pools, &other.pools);
            prop_assert_eq!(&one.shown_labels, &other.shown_labels);
            prop_assert_eq!(&one.shown, &other.shown);
            gathered.track_metric("other", &Names::default());
            prop_assert!(!gathered.learn_process(TARGET, &page), "a query asks for more");
        }
    }
}
