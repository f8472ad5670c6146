//! What the new series of a large page tell of its target, gathered line by line before the page is committed.
//!
//! Learning 200,000 series one by one takes 40 to 90 ms, and it has to happen at once with the page, because a family that is
//! known before its samples are visible would prove an absence (S4a). But such a page names some thousand metrics and few
//! values of labels that matter, again and again. Those are collected here, by whoever holds no lock; what is left to do with
//! the commit takes time by metric and by value, not by line.

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use super::super::names::Names;
use super::Facts;
use super::series::{is_about_process, is_remembered};
use crate::labels::{Labels, METRIC_NAME};
use crate::limits::{POOLS_PER_TARGET_MAX, REMEMBERED_VALUES_MAX, SHOWN_LABELS_MAX};
use crate::scrape::TargetSpec;
use crate::store::{SeriesId, TargetId};

/// Labels of which some query fixes the value, as they were when gathering began.
pub(crate) type RememberedLabels = HashSet<String>;

/// What the series of a page tell.
#[derive(Default)]
pub(crate) struct PageFacts {
    stored: Lines,
    /// Series that are looked at and not stored (`retain: signals`).
    looked_at: Lines,
    /// Stored series that say something of the process.
    about_process: Vec<(SeriesId, Labels)>,
    /// Stored series that replace labels of the target, which no series before replaces.
    replacing: Vec<Labels>,
    /// How many labels queries had added when gathering began. They only become more.
    remembered: usize,
}

/// Some lines by what is new in each.
#[derive(Default)]
struct Lines {
    /// How many series each metric has.
    metrics: HashMap<Box<str>, u32>,
    /// The first series of each metric, and others that have label names which those before do not have.
    with_labels: Vec<Labels>,
    /// The first series with each value of a label that matters, and the place of the label in it.
    with_values: Vec<(Labels, usize)>,
}

/// Collects [`PageFacts`].
pub(crate) struct Gatherer<'l> {
    facts: PageFacts,
    remembered: &'l RememberedLabels,
    spec: &'l TargetSpec,
    replaced: HashSet<&'l str>,
    stored: Seen<'l>,
    looked_at: Seen<'l>,
}

/// What the lines before have shown.
#[derive(Default)]
struct Seen<'l> {
    before: Option<&'l Labels>,
    /// Label names by metric: those of its first series, and what others have beside.
    names: HashMap<&'l str, &'l Labels>,
    more_names: HashMap<&'l str, HashSet<&'l str>>,
    /// Label values that name no pool, by label.
    values: HashSet<(&'l str, &'l str)>,
    /// Pools, whichever label names them.
    pools: HashSet<&'l str>,
}

impl<'l> Gatherer<'l> {
    pub(crate) fn new(remembered: &'l RememberedLabels, spec: &'l TargetSpec) -> Gatherer<'l> {
        Gatherer {
            facts: PageFacts {
                remembered: remembered.len(),
                ..PageFacts::default()
            },
            remembered,
            spec,
            replaced: HashSet::new(),
            stored: Seen::default(),
            looked_at: Seen::default(),
        }
    }

    /// Adds a series that is stored.
    pub(crate) fn store(&mut self, id: SeriesId, labels: &'l Labels) {
        let Some(metric) = labels.metric_name() else {
            return;
        };
        let lines = &mut self.facts.stored;
        self.stored.add(metric, labels, self.remembered, lines);
        if is_about_process(metric) {
            self.facts.about_process.push((id, labels.clone()));
        }
        if self.spec.may_replace_labels() {
            let mut replaces = false;
            for (label, value) in self.spec.labels.iter() {
                replaces |= labels.get(label) != Some(value) && self.replaced.insert(label);
            }
            if replaces {
                self.facts.replacing.push(labels.clone());
            }
        }
    }

    /// Adds a series that is looked at and not stored.
    pub(crate) fn look_at(&mut self, labels: &'l Labels) {
        if let Some(metric) = labels.metric_name() {
            let lines = &mut self.facts.looked_at;
            self.looked_at.add(metric, labels, self.remembered, lines);
        }
    }

    pub(crate) fn finish(self) -> PageFacts {
        self.facts
    }
}

impl<'l> Seen<'l> {
    fn add(
        &mut self,
        metric: &'l str,
        labels: &'l Labels,
        remembered: &RememberedLabels,
        lines: &mut Lines,
    ) {
        let before = self.before.replace(labels);
        let before = before.filter(|before| before.metric_name() == Some(metric));
        match lines.metrics.get_mut(metric) {
            Some(count) => *count += 1,
            None => {
                lines.metrics.insert(metric.into(), 1);
            }
        }
        let names = |labels: &'l Labels| labels.iter().map(|(name, _)| name);
        let is_repeated = before.is_some_and(|before| names(before).eq(names(labels)));
        if !is_repeated && self.has_new_name(metric, labels) {
            lines.with_labels.push(labels.clone());
        }
        let mut before = before.map(Labels::iter);
        for (at, (label, value)) in labels.iter().enumerate() {
            let is_repeated = before.as_mut().and_then(Iterator::next) == Some((label, value));
            if !is_repeated
                && is_remembered(label, remembered)
                && self.is_new_value(metric, label, value)
            {
                lines.with_values.push((labels.clone(), at));
            }
        }
    }

    /// Whether a series has a label name that those of its metric before do not have, as far as names are remembered.
    fn has_new_name(&mut self, metric: &'l str, labels: &'l Labels) -> bool {
        let first = match self.names.entry(metric) {
            Entry::Vacant(first) => {
                first.insert(labels);
                return true;
            }
            Entry::Occupied(first) => *first.get(),
        };
        let mut is_new = false;
        for (name, _) in labels.iter().filter(|(name, _)| first.get(name).is_none()) {
            let more = self.more_names.entry(metric).or_default();
            is_new |= first.len() + more.len() <= SHOWN_LABELS_MAX && more.insert(name);
        }
        is_new
    }

    /// Whether a value may tell something that those before do not. Once there are as many as a group remembers, and for a pool
    /// as many as a target remembers, [`Facts::learn_value`] would do nothing with another.
    fn is_new_value(&mut self, metric: &'l str, label: &'l str, value: &'l str) -> bool {
        let is_group_full = self.values.len() + self.pools.len() >= REMEMBERED_VALUES_MAX;
        if Names::is_pool_label(metric, label) {
            let is_full = is_group_full && self.pools.len() >= POOLS_PER_TARGET_MAX;
            return !is_full && self.pools.insert(value);
        }
        !is_group_full && self.values.insert((label, value))
    }
}

impl Facts {
    /// The labels of which queries fix the value.
    pub(crate) fn remembered_labels(&self) -> RememberedLabels {
        self.remembered.clone()
    }

    /// Whether what was gathered is complete: no query has added a label meanwhile.
    pub(crate) fn is_complete(&self, page: &PageFacts) -> bool {
        self.remembered.len() == page.remembered
    }

    /// The series of a page have appeared: the same as [`Facts::series_appeared`] for each that is stored, and
    /// [`Facts::learn_from_series`] for each that is not.
    pub(crate) fn page_appeared(&mut self, id: TargetId, page: PageFacts, names: &Names) {
        for labels in &page.stored.with_labels {
            if let Some(metric) = labels.metric_name() {
                self.metric_appeared(id, metric);
                let labels = labels.iter().map(|(name, _)| name);
                self.learn_labels(id, metric, labels.filter(|name| *name != METRIC_NAME));
            }
        }
        self.learn_gathered_values(id, &page.stored);
        for (series, labels) in &page.about_process {
            if let Some(metric) = labels.metric_name() {
                self.learn_about_process(id, *series, metric, labels);
            }
        }
        for labels in &page.looked_at.with_labels {
            if let Some(metric) = labels.metric_name() {
                self.metric_skipped(id, metric, names);
            }
        }
        self.learn_gathered_values(id, &page.looked_at);
        let Some(facts) = self.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        for labels in &page.replacing {
            self.epoch += u64::from(facts.record_replaced_labels(labels));
        }
        let present = page.stored.metrics.keys();
        present.for_each(|metric| facts.note_shown(metric));
        if facts.metrics.is_empty() {
            facts.metrics = page.stored.metrics;
            return;
        }
        for (metric, count) in page.stored.metrics {
            *facts.metrics.entry(metric).or_default() += count;
        }
    }

    fn learn_gathered_values(&mut self, id: TargetId, lines: &Lines) {
        for (labels, at) in &lines.with_values {
            if let (Some(metric), Some((label, value))) =
                (labels.metric_name(), labels.iter().nth(*at))
            {
                self.learn_value(id, metric, label, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use stillwell_testing::cases::cases;

    use super::*;

    const TARGET: TargetId = TargetId(0);
    const METRICS: [&str; 6] = [
        "m",
        "inference_extension_flow_control_queue_size",
        "inference_pool_ready_pods",
        "inference_objective_request_total",
        "inference_extension_info",
        "leader_election_master_status",
    ];
    /// Labels that are remembered always, because a query asks, as labels of the target, and not.
    const LABELS: [&str; 6] = [
        "inference_pool",
        "name",
        "model_name",
        "asked",
        "job",
        "other",
    ];

    /// In what the lines of a run differ.
    #[derive(Clone, Copy, Debug)]
    enum Differs {
        Metric,
        Label,
        Value,
    }

    /// Lines of a page that follow one another.
    #[derive(Clone, Debug)]
    struct Run {
        metric: &'static str,
        label: &'static str,
        differs: Differs,
        from: usize,
        count: usize,
        is_stored: bool,
    }

    impl Run {
        fn lines(&self) -> impl Iterator<Item = Labels> {
            (self.from..self.from + self.count).map(|number| {
                let (mut metric, mut label) = (self.metric.to_owned(), self.label.to_owned());
                let mut value = "a".to_owned();
                match self.differs {
                    Differs::Metric => metric += &number.to_string(),
                    Differs::Label => label += &number.to_string(),
                    Differs::Value => value += &number.to_string(),
                }
                let pairs = [(METRIC_NAME, &metric), (&label, &value)];
                Labels::from_pairs(pairs.map(|(name, value)| (name, value.as_str())))
            })
        }
    }

    /// Many runs exceed what is remembered of labels and pools, some what is remembered of values and metrics.
    fn run() -> impl Strategy<Value = Run> {
        let (metric, label) = (
            prop::sample::select(&METRICS),
            prop::sample::select(&LABELS),
        );
        let differs = prop::sample::select(&[Differs::Metric, Differs::Label, Differs::Value]);
        let count = prop_oneof![1..4_usize, 100..POOLS_PER_TARGET_MAX + 100];
        let longest = prop::sample::select(&[
            ("m", "model_name", Differs::Value),
            ("m", "inference_pool", Differs::Value),
            ("m", "model_name", Differs::Metric),
        ]);
        let parts = prop_oneof![
            3 => ((metric, label, differs), count),
            1 => (longest, Just(REMEMBERED_VALUES_MAX + 10)),
        ];
        let from = prop_oneof![0..4_usize, Just(1_000_000)];
        (parts, from, prop::bool::weighted(0.8)).prop_map(|(parts, from, is_stored)| {
            let ((metric, label, differs), count) = parts;
            Run {
                metric,
                label,
                differs,
                from,
                count,
                is_stored,
            }
        })
    }

    fn facts() -> Facts {
        let mut facts = Facts::default();
        let spec = TargetSpec {
            labels: Labels::from_pairs([("job", "a"), ("instance", "a:1")]),
            honor_labels: true,
            ..TargetSpec::default()
        };
        facts.add(TARGET, &spec, 0);
        facts.remember("asked");
        for metric in METRICS {
            facts.track_metric(metric, &Names::default());
        }
        facts
    }

    /// A page's lines with whether they are stored.
    type Page = Vec<(Labels, bool)>;

    fn gathered(facts: &mut Facts, page: &Page) {
        let remembered = facts.remembered_labels();
        let spec = TargetSpec {
            labels: facts.target(TARGET).unwrap().labels.clone(),
            honor_labels: true,
            ..TargetSpec::default()
        };
        let mut gatherer = Gatherer::new(&remembered, &spec);
        for (number, (labels, is_stored)) in page.iter().enumerate() {
            match is_stored {
                true => gatherer.store(SeriesId(number as u32), labels),
                false => gatherer.look_at(labels),
            }
        }
        let page = gatherer.finish();
        facts.page_appeared(TARGET, page, &Names::default());
    }

    fn line_by_line(facts: &mut Facts, page: &Page) {
        let mut before = None;
        for (number, (labels, is_stored)) in page.iter().enumerate() {
            if *is_stored {
                facts.series_appeared(TARGET, SeriesId(number as u32), labels, before);
                before = Some(labels);
            }
        }
        for (labels, _) in page.iter().filter(|(_, is_stored)| !is_stored) {
            facts.learn_from_series(TARGET, labels, &Names::default());
        }
    }

    /// The metrics of which some signal has to look again.
    fn changed(facts: &Facts, since: u64) -> BTreeSet<&'static str> {
        let has_changed = |metric: &&str| facts.has_changed(&[(*metric).to_owned()], since);
        METRICS.into_iter().filter(has_changed).collect()
    }

    proptest! {
        #![proptest_config(cases(24))]

        /// A small page is learned line by line, a large one at once; both must prove the same.
        #[test]
        fn a_page_teaches_the_same_gathered_as_line_by_line(pages in vec(vec(run(), 1..6), 1..3)) {
            let (mut at_once, mut by_line) = (facts(), facts());
            for runs in &pages {
                let lines = runs.iter().flat_map(|run| run.lines().map(|line| (line, run.is_stored)));
                let page: Page = lines.collect();
                let since = (at_once.structure, by_line.structure);
                gathered(&mut at_once, &page);
                line_by_line(&mut by_line, &page);
                prop_assert_eq!(at_once.epoch, by_line.epoch);
                prop_assert_eq!(changed(&at_once, since.0), changed(&by_line, since.1));
                let (one, other) = (at_once.target(TARGET).unwrap(), by_line.target(TARGET).unwrap());
                prop_assert_eq!(&one.pools, &other.pools);
                prop_assert_eq!(&one.replaced, &other.replaced);
                prop_assert_eq!(&one.leases, &other.leases);
                prop_assert_eq!(&one.build_ref, &other.build_ref);
                prop_assert_eq!(&one.shown_labels, &other.shown_labels);
                prop_assert_eq!((&one.lost, &one.shown), (&other.lost, &other.shown));
                prop_assert_eq!(format!("{:?}", one.names_seen), format!("{:?}", other.names_seen));
                // Not by prop_assert_eq: they would be printed.
                prop_assert!(one.metrics == other.metrics, "metrics of the target");
                let (one, other) = (&at_once.groups[&one.group], &by_line.groups[&other.group]);
                prop_assert!(one.exposed == other.exposed, "metrics of the group");
                prop_assert!(one.values == other.values, "label values");
            }
        }
    }
}
