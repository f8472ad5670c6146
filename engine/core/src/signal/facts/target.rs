//! Facts about one target: its configuration, its scrapes, and what the process behind it has exposed.

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashMap;

use crate::labels::Labels;
use crate::limits::{FIRST_SCRAPE_WAIT_MS_MAX, GAPS_MAX, HOLD_MS_MIN, INTERVAL_MS_MAX};
use crate::not_known::NotKnown;
use crate::scrape::{Retain, TargetSpec};
use crate::store::SeriesId;

use super::super::names::{
    INFO, Name, NameIndex, Names, TableMetric, TableMetrics, names_source, release,
};
use super::away::Away;
use super::group::group_of;
use super::other_names::{OtherNames, hash_of};
use super::sources_down::SourcesDown;
use super::starts::Starts;
use super::{ChangeKind, LeftOut, NamesSeen, Replicated};

/// One target.
#[derive(Debug)]
pub(crate) struct TargetFacts {
    /// Its label `instance`, by which reasons name it.
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) group: String,
    pub(crate) interval_ms: i64,
    /// The longest that it had since its last good page; 0 where it has had no other.
    pub(super) interval_before_ms: i64,
    pub(crate) retain: Retain,
    /// Discovery says that it is not ready to serve.
    pub(crate) not_ready: bool,
    /// ... and has said so since the target was added.
    pub(super) never_ready: bool,
    /// The newest scrape of any target when this one was added, in milliseconds; before everything where there was none.
    pub(crate) added_ms: i64,
    /// The same where others of its group had answered for longer than the hold by then: it was not there before.
    pub(super) joined_ms: Option<i64>,
    /// Whether series of its pages may replace the target's labels.
    pub(super) may_replace: bool,
    /// How its pages are read ([`TargetSpec::reading`]); `None` where a snapshot was written before the first page that was.
    pub(super) reading: Option<u64>,
    /// Where it is reached.
    pub(super) address: String,
    /// It has given good pages, but none at its address.
    pub(super) has_moved: bool,
    /// It has given good pages, but none since they are read otherwise: what the rules of now make of them is not known.
    pub(crate) awaits_page: bool,
    /// As of which [`GroupFacts::values_version`](super::GroupFacts) it has told its label values.
    pub(super) values_version: u64,
    pub(crate) first_good_ms: Option<i64>,
    /// Discovery had never called it ready when it gave its first good page.
    pub(super) answered_before_ready: bool,
    /// When its first scrape ended, successfully or not, in milliseconds.
    pub(crate) first_attempt_ms: Option<i64>,
    /// The newest finished scrape: its time in milliseconds, and whether it succeeded.
    pub(crate) last: Option<(i64, bool)>,
    pub(crate) last_good_ms: Option<i64>,
    /// Whether nothing answered for long.
    pub(super) away: Away,
    /// Why the newest scrape failed; empty if it succeeded.
    pub(crate) error: String,
    /// Why the first scrape after the last successful one failed. Reasons name this error, so that they do not change while
    /// the state stays the same. While there was no good page, it gives way to the next ones, of which the first says least.
    pub(crate) first_error: String,
    /// How often that was another one.
    pub(super) errors_named: u8,
    /// Metrics on the newest good page, with how many series each has.
    pub(crate) metrics: HashMap<Box<str>, u32>,
    pub(crate) names_seen: NamesSeen,
    /// The label `build_ref` of its build info; empty if there is none.
    pub(super) build_ref: String,
    /// For metrics that signals read: the label names that they have had on pages of the present process. A metric that is
    /// missing has not been exposed by it yet.
    pub(super) shown_labels: HashMap<Box<str>, BTreeSet<Box<str>>>,
    /// Metrics of the names table that pages of the present process have shown, whether a signal reads them or not.
    pub(super) shown: TableMetrics,
    /// Others that they have shown and of which no series is stored.
    pub(super) shown_others: OtherNames,
    /// Another process has come to give the pages since [`Facts::take_shows_anew`] was asked last.
    pub(super) shows_anew: bool,
    /// Those of them that the newest good page lacks, as far as that is known.
    pub(crate) lost: TableMetrics,
    /// Other metrics that the newest good page lacks though the present process has shown them: those that signals read, and of
    /// those whose series were stored [`LOST_METRICS_MAX`](crate::limits::LOST_METRICS_MAX) at most.
    pub(crate) lost_others: BTreeSet<Box<str>>,
    /// Metrics of which series have left the page that is being taken, with how many the page before had: those that signals
    /// read, and counters that are gone. Others may have come in their place, which is known at the end of the page.
    pub(super) left: Vec<(Box<str>, u32)>,
    /// The newest change of each kind, with its time in milliseconds.
    pub(super) recent_changes: Vec<(i64, ChangeKind)>,
    /// When it may have restarted last, without a page that says so, in milliseconds.
    pub(crate) may_have_restarted_ms: Option<i64>,
    /// The newest good page has no sample at all.
    pub(crate) is_empty: bool,
    pub(crate) left_out: LeftOut,
    /// What whoever writes its pages says not to be known.
    pub(crate) not_known: NotKnown,
    /// Sources behind its page that are down according to it.
    pub(crate) sources: SourcesDown,
    pub(crate) replicated: Replicated,
    /// The series about its scrapes are those of another target with the same labels.
    pub(crate) lacks_reports: bool,
    /// Some of these were so after its newest page; counted in [`super::Facts::targets_with_losses`].
    pub(crate) has_losses: bool,
    /// Target labels that some of its series have replaced (`honor_labels`, metric relabelling), so that they do not hold
    /// for every series.
    pub(super) replaced: BTreeSet<Box<str>>,
    /// Pools that pages of the present process named.
    pub(crate) pools: BTreeSet<String>,
    /// Leases: name, series, and whether it holds the lease according to the newest good page.
    pub(crate) leases: Vec<(String, SeriesId, bool)>,
    /// When the processes behind its pages started, as those tell.
    pub(super) starts: Starts,
    /// When a change of process was noticed, in milliseconds, newest last.
    pub(crate) changes_ms: VecDeque<i64>,
    /// Those changes at which the previous process had ended before the next one started.
    pub(crate) crashes_ms: VecDeque<i64>,
    /// Since when the present process has given good pages.
    pub(crate) process_since_ms: Option<i64>,
    /// It was known before this program started, at this time, and has given no good page since (S6f).
    pub(crate) restored_ms: Option<i64>,
    /// It was known before this program started, and discovery has not named it since.
    pub(crate) is_unclaimed: bool,
    /// Periods without a good page: from the scrape before to the scrape after, in milliseconds.
    pub(super) gaps: VecDeque<(i64, i64)>,
}

impl TargetFacts {
    /// A target that has not been scraped yet.
    pub(super) fn new(spec: &TargetSpec) -> TargetFacts {
        let labels = &spec.labels;
        let interval_ms = i64::try_from(spec.interval_ms).unwrap_or(i64::MAX);
        let name = labels
            .get("instance")
            .unwrap_or("a target without instance");
        TargetFacts {
            name: name.to_owned(),
            labels: labels.clone(),
            group: group_of(labels),
            interval_ms: interval_ms.clamp(1, INTERVAL_MS_MAX),
            interval_before_ms: 0,
            retain: spec.retain,
            not_ready: spec.not_ready,
            never_ready: spec.not_ready,
            added_ms: i64::MIN,
            joined_ms: None,
            may_replace: spec.may_replace_labels(),
            reading: Some(spec.reading()),
            address: spec.address.clone(),
            has_moved: false,
            awaits_page: false,
            values_version: 0,
            first_good_ms: None,
            answered_before_ready: false,
            first_attempt_ms: None,
            last: None,
            last_good_ms: None,
            away: Away::default(),
            error: String::new(),
            first_error: String::new(),
            errors_named: 0,
            metrics: HashMap::new(),
            names_seen: NamesSeen::default(),
            build_ref: String::new(),
            shown_labels: HashMap::new(),
            shown: TableMetrics::default(),
            shown_others: OtherNames::default(),
            shows_anew: false,
            lost: TableMetrics::default(),
            lost_others: BTreeSet::new(),
            left: Vec::new(),
            recent_changes: Vec::new(),
            may_have_restarted_ms: None,
            is_empty: false,
            left_out: LeftOut::default(),
            not_known: NotKnown::default(),
            replicated: Replicated::default(),
            sources: SourcesDown::default(),
            lacks_reports: false,
            has_losses: false,
            replaced: BTreeSet::new(),
            pools: BTreeSet::new(),
            leases: Vec::new(),
            starts: Starts::default(),
            changes_ms: VecDeque::new(),
            crashes_ms: VecDeque::new(),
            process_since_ms: None,
            restored_ms: None,
            is_unclaimed: false,
            gaps: VecDeque::new(),
        }
    }

    /// See [`NamesSeen::reads_as`].
    pub(crate) fn reads_as(&self, requested: NameIndex) -> usize {
        self.names_seen.reads_as(requested)
    }

    /// The release of the gateway, as far as its page tells.
    pub(crate) fn release(&self) -> Option<String> {
        release(&self.build_ref, |metric| self.metrics.contains_key(metric))
    }

    /// The pool that the present process serves, if its pages named exactly one.
    pub(crate) fn certain_pool(&self) -> Option<&str> {
        match self.pools.first() {
            Some(pool) if self.pools.len() == 1 => Some(pool),
            _ => None,
        }
    }

    /// The value of this label that all series of the target have: its target label, unless some series replaces it.
    pub(crate) fn constant_label(&self, label: &str) -> Option<&str> {
        self.labels
            .get(label)
            .filter(|_| !self.replaced.contains(label))
    }

    /// Whether a series with these labels may be one of the target's own.
    pub(super) fn may_have_had(&self, series: &Labels) -> bool {
        let metric = series.metric_name().unwrap_or("");
        let is_other = |(label, value): (&str, &str)| {
            self.constant_label(label).is_some() && series.get(label) != Some(value)
        };
        self.metrics.contains_key(metric) && !self.labels.iter().any(is_other)
    }

    /// Takes the metrics whose series have left with the last page, each with how many it had before, where that may mean something;
    /// and whether some of them are of sources behind the target.
    pub(super) fn take_left(&mut self) -> (Vec<(Box<str>, u32)>, bool) {
        let mut left = std::mem::take(&mut self.left);
        let has = |metric: &str| self.metrics.get(metric).copied().unwrap_or(0);
        let mut of_sources = false;
        left.retain(|(metric, before)| {
            // One source may have come as another left, or who sends it is silent.
            let is_of_sources = self.tells_of_sources(metric) || self.not_known.has(metric);
            of_sources |= is_of_sources;
            is_of_sources || has(metric) < *before
        });
        (left, of_sources)
    }

    /// Whether series of a metric name sources behind the target, each of which may leave while the page goes on.
    pub(crate) fn tells_of_sources(&self, metric: &str) -> bool {
        let shown = self.shown_labels.get(metric);
        let mut labels = shown.into_iter().flatten();
        labels.any(|label| self.names_source_behind(Some(metric), label))
    }

    /// Whether a label of a metric's series on the target names a source behind it (S4b). A label of the target itself names none,
    /// nor does one that the names table gives the family, which is the process' own word (Ray Serve's `deployment`).
    pub(crate) fn names_source_behind(&self, metric: Option<&str>, label: &str) -> bool {
        names_source(label)
            && !metric.is_some_and(|metric| Names::gives_label(metric, label))
            && self.constant_label(label).is_none()
    }

    /// Of some metrics those that pages of the present process have shown and the newest good one lacks, though it would have
    /// them: those whose value is always known, those of a gateway of which nothing is left on the page, and those whose absence
    /// the process has proven before by what the page has no more either.
    pub(crate) fn lost_metrics<'a>(
        &'a self,
        names: &'a Names,
        of: &TableMetrics,
    ) -> impl Iterator<Item = TableMetric> + 'a {
        let is_gateway_s = || INFO.iter().any(|info| self.metrics.contains_key(*info));
        let lost: Vec<TableMetric> = self.lost.and(of).iter().collect();
        // Older releases delete an idle queue's series and show no witness; one that has shown it shows it still.
        let had_witness = |metric: &TableMetric| {
            let is_witness = names.absence_witnesses(metric.text());
            let mut others = self.shown.iter().filter(|shown| shown != metric);
            others.any(|shown| is_witness(shown.text()))
        };
        let is_lost = move |metric: &TableMetric| {
            names.is_never_absent(metric.text()) || !is_gateway_s() || had_witness(metric)
        };
        lost.into_iter().filter(is_lost)
    }

    /// Whether the newest page lacks a witness of a metric's absence that pages of the present process have shown: they said that
    /// it would show the metric if there were any of it.
    pub(crate) fn has_lost_witness(&self, names: &Names, metric: &str) -> bool {
        let is_witness = names.absence_witnesses(metric);
        let mut of_table = self.lost.iter().map(TableMetric::text);
        of_table.any(&is_witness) || self.lost_others.iter().any(|one| is_witness(one))
    }

    /// Whether it is not known if the process has shown this metric, for it has shown more than are remembered.
    pub(crate) fn may_have_shown(&self, metric: &str) -> bool {
        self.shown_others.has_more()
            && TableMetric::of(metric).is_none()
            && !self.shown_others.contains(hash_of(metric))
    }

    /// Label names that a metric has had on pages of the present process; `None` if it has not been exposed, or no signal
    /// reads it.
    pub(crate) fn shown_labels(&self, metric: &str) -> Option<&BTreeSet<Box<str>>> {
        self.shown_labels.get(metric)
    }

    /// Whether series of this metric lack the label `inference_pool`, which other releases give them under this name of the
    /// table, so that it has to be derived (S8).
    pub(crate) fn lacks_pool(&self, metric: &str, name: &Name) -> bool {
        name.may_have("inference_pool")
            && self
                .shown_labels(metric)
                .is_some_and(|labels| !labels.contains("inference_pool"))
    }

    /// Records which of the target's labels a series has replaced. True if one is new.
    pub(super) fn record_replaced_labels(&mut self, series: &Labels) -> bool {
        let before = self.replaced.len();
        for (label, value) in self.labels.iter() {
            if series.get(label) != Some(value) && !self.replaced.contains(label) {
                self.replaced.insert(label.into());
            }
        }
        self.replaced.len() != before
    }

    /// When the newest of the processes behind its page started, according to it, in milliseconds.
    pub(crate) fn newest_start_ms(&self) -> Option<i64> {
        self.starts.newest_ms()
    }

    /// When its first scrape ended, successfully or not, in milliseconds.
    pub(crate) fn first_attempt_ms(&self) -> Option<i64> {
        self.first_attempt_ms
    }

    /// Metrics for which [`TargetFacts::lacks_pool`] is true, sorted.
    pub(crate) fn metrics_without_pool(&self, names: &Names) -> Vec<String> {
        // The look at the labels is cheap, that at the names table is not, and every evaluation comes here.
        let shown = self.shown_labels.iter();
        let candidates = shown.filter(|(_, labels)| !labels.contains("inference_pool"));
        let lacking = candidates.map(|(metric, _)| metric).filter(|metric| {
            let named = names.family(metric);
            named.is_some_and(|(_, name, _)| self.lacks_pool(metric, name))
        });
        let mut metrics: Vec<String> = lacking.map(|metric| metric.to_string()).collect();
        metrics.sort_unstable();
        metrics
    }

    /// S6f: after this program has started, how it knew the target before is no number until the target has given a good page
    /// or has been waited for.
    pub(crate) fn is_awaited(&self, now_ms: i64, hold_ms: i64) -> bool {
        let wait_ms = hold_ms.min(FIRST_SCRAPE_WAIT_MS_MAX);
        self.restored_ms
            .is_some_and(|since_ms| now_ms.saturating_sub(since_ms) < wait_ms)
    }

    /// How long a target without any good page is waited for: the hold that it would have by default (S3c).
    pub(crate) fn first_page_wait_ms(&self) -> i64 {
        HOLD_MS_MIN.max(self.interval_ms.saturating_mul(3))
    }

    /// Whether no good page tells what it shows under its configuration.
    pub(crate) fn is_unknown(&self) -> bool {
        self.last_good_ms.is_none() || self.awaits_page
    }

    /// S2a: the newest finished scrape was good, under the configuration of now, and not too long ago.
    pub(crate) fn is_fresh(&self, now_ms: i64) -> bool {
        self.last.is_some_and(|(_, good)| good)
            && !self.awaits_page
            && self
                .last_good_ms
                .is_some_and(|good_ms| now_ms.saturating_sub(good_ms) <= 2 * self.interval_ms)
    }

    /// Why good pages do not cover `from_ms..=until_ms`, with no gap longer than `hold_ms`; `None` where they do (S4c).
    /// With `tells_of_itself` its series are its own, so that there was nothing to tell before its process started.
    pub(crate) fn uncovered(
        &self,
        (from_ms, until_ms): (i64, i64),
        hold_ms: i64,
        tells_of_itself: impl FnOnce() -> bool,
    ) -> Option<Uncovered> {
        let forgotten = self.gaps.front().filter(|_| self.gaps.len() == GAPS_MAX);
        let known_since_ms = forgotten.map(|gap| gap.1).max(self.first_good_ms);
        // The newest gap: the window is covered once that has left it.
        let gap = self.gaps.iter().rev().find(|&&(after, before)| {
            before - after > hold_ms && before > from_ms && after < until_ms
        });
        match (known_since_ms, gap) {
            (_, Some(&(after_ms, before_ms))) => Some(Uncovered::Gap {
                after_ms,
                before_ms,
            }),
            (Some(since_ms), None) if since_ms <= from_ms => None,
            (Some(_), None)
                if tells_of_itself() && self.is_known_from_its_start(from_ms, hold_ms) =>
            {
                None
            }
            (since_ms, None) => Some(Uncovered::Before { since_ms }),
        }
    }
}

impl TargetFacts {
    /// Whether the target's only process so far started after `from_ms`, and nothing that it did before its first page can
    /// matter: that came within the hold, or before it was ever ready, as far as we know from its start on.
    fn is_known_from_its_start(&self, from_ms: i64, hold_ms: i64) -> bool {
        // Of one that does not tell its start it is when it came to others of its group that were known.
        let joined_ms = self.joined_ms.filter(|_| self.starts.is_empty());
        let told_ms = self.starts.only_ms();
        let (Some(started_ms), Some(first_ms), Some(asked_ms)) = (
            told_ms.or(joined_ms),
            self.first_good_ms,
            self.first_attempt_ms,
        ) else {
            return false;
        };
        let is_only_process = self.changes_ms.is_empty() && self.gaps.len() < GAPS_MAX;
        let unseen_ms = first_ms.saturating_sub(started_ms);
        let is_watched = asked_ms.saturating_sub(started_ms) <= hold_ms;
        let is_quick = told_ms.is_some() && unseen_ms <= hold_ms;
        let is_seen = is_quick || (self.answered_before_ready && is_watched);
        is_only_process && started_ms > from_ms && unseen_ms >= 0 && is_seen
    }
}

/// What a window lacks.
pub(crate) enum Uncovered {
    /// No good page between these two.
    Gap { after_ms: i64, before_ms: i64 },
    /// Nothing is known of the time before, or of any.
    Before { since_ms: Option<i64> },
}
