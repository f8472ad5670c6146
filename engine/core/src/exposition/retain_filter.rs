//! Which lines of a page are skipped when its target keeps only what signals need (`retain: signals`).
//!
//! Most lines of such a page belong to metrics that no signal needs. The filter decides per metric name: keep, skip,
//! or parse for its label values only ([`LineDecision`]). Consecutive lines with skipped names form one run
//! (`skip_run`), which is passed without parsing, hashing or storing anything; the template holds one row per run,
//! whatever its length.
//!
//! The first line of each name is always parsed, because the decision depends on its labels: the values of some
//! labels prove that a selector's value exists (rules S3b and S4b in `signal/RULES.md`). Lines of such names are
//! parsed while they are new, then dropped. Of a histogram, only `_count` is used for that; its other series have the
//! same label values. The filter assumes that all lines of one name have the same label names, which client libraries
//! guarantee.
//!
//! Where relabelling may change metric names, no line is skipped; every sample is relabelled first and then dropped
//! if it is not needed.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::labels::{Labels, METRIC_NAME, RelabelAction};
use crate::limits::REMEMBERED_METRICS_MAX;
use crate::signal::{RetainHandle, RetainSet, START_TIME};

use super::line_lengths::LineLengths;
use crate::scrape::TargetSpec;
use crate::store::is_counter;

/// What happens to the lines of a metric name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineDecision {
    Keep,
    /// Parsed when new, for the values of its labels; not stored.
    Look,
    Skip,
}

/// A metric name that was on some page of the target.
#[derive(Debug)]
pub(super) struct KnownMetric {
    pub(super) name: Box<[u8]>,
    pub(super) decision: LineDecision,
    /// Label names of its first line, after relabelling.
    pub(super) labels: Box<[Box<str>]>,
    /// Whether relabelling keeps its first line.
    pub(super) survives: bool,
    /// The name that followed it on the previous page: the guess for the next line.
    pub(super) next: usize,
    /// The page on which it appeared first, cleared when that page is committed; [`NO_PAGE`] where it is to be told again.
    pub(super) seen_on: Option<u64>,
}

/// The metric names of a target's pages with the decision for each.
pub(crate) struct RetainFilter {
    pub(super) retain_handle: Arc<RetainHandle>,
    pub(super) retain_set: Arc<RetainSet>,
    pub(super) rules: RelabelEffects,
    pub(super) names: Vec<KnownMetric>,
    /// The name of the previous line, from which the next is guessed.
    pub(super) last: usize,
    pub(super) by_name: HashMap<Box<[u8]>, usize>,
    /// Families of HELP and TYPE lines: whether any of their metrics is kept.
    pub(super) families: HashMap<Box<[u8]>, bool>,
    /// The pages do not report a process start time, so counters are kept to detect restarts (rule S6a).
    pub(super) keeps_counters: bool,
    /// Whether the newest committed page reports a process start time; `None` before the first page.
    pub(super) reports_start_time: Option<bool>,
    pub(super) page: u64,
    /// The template was built with an older set.
    pub(super) outdated: bool,
    /// Names that appear first on the page under comparison.
    pub(super) new: Vec<usize>,
    /// ... or first of the process that gives it.
    tells_again: bool,
    /// Some line was decided individually, so a newer set may change that decision.
    pub(super) has_single_decisions: bool,
    /// Of skipped lines.
    pub(super) line_lengths: LineLengths,
}

/// What the relabelling rules can do to metric names and labels.
#[derive(Debug, Default)]
pub(super) struct RelabelEffects {
    /// A rule may write or remove the metric name.
    pub(super) changes_names: bool,
    /// Whether a sample is dropped depends on its name alone.
    drop_by_name: bool,
    /// Labels that rules may add.
    adds: Vec<String>,
}

/// Index that stands for no metric.
pub(super) const NO_METRIC: usize = usize::MAX;
/// Number of no page: the first that is compared is 1.
const NO_PAGE: u64 = 0;

impl RelabelEffects {
    fn new(spec: &TargetSpec) -> RelabelEffects {
        use RelabelAction as Action;
        let mut seen = RelabelEffects {
            changes_names: spec.labels.metric_name().is_some(),
            drop_by_name: true,
            ..RelabelEffects::default()
        };
        for rule in &spec.metric_relabel {
            let spec = rule.spec();
            match spec.action {
                Action::Keep | Action::Drop => {
                    seen.drop_by_name &= spec.source_labels == [METRIC_NAME];
                }
                Action::KeepEqual | Action::DropEqual => seen.drop_by_name = false,
                Action::Replace | Action::HashMod | Action::Lowercase | Action::Uppercase => {
                    let target = &spec.target_label;
                    seen.changes_names |= target == METRIC_NAME || target.contains('$');
                    seen.adds.push(target.clone());
                }
                Action::LabelMap => seen.changes_names = true,
                Action::LabelDrop => seen.changes_names |= rule.fits_name(METRIC_NAME),
                Action::LabelKeep => seen.changes_names |= !rule.fits_name(METRIC_NAME),
            }
        }
        seen
    }
}

impl RetainFilter {
    pub(crate) fn new(retain_handle: Arc<RetainHandle>, spec: &TargetSpec) -> RetainFilter {
        RetainFilter {
            retain_set: retain_handle.newest(),
            retain_handle,
            rules: RelabelEffects::new(spec),
            names: Vec::new(),
            last: NO_METRIC,
            by_name: HashMap::new(),
            families: HashMap::new(),
            keeps_counters: false,
            reports_start_time: None,
            page: 0,
            outdated: false,
            new: Vec::new(),
            tells_again: false,
            has_single_decisions: false,
            line_lengths: LineLengths::default(),
        }
    }

    /// Starts a page. True: the needed set has changed, so the page must be compared as if it were the first.
    pub(crate) fn begin(&mut self, body: &[u8]) -> bool {
        self.tells_again = false; // the page before may have been refused
        let keeps_counters = match self.reports_start_time {
            Some(tells) => !tells,
            None => !has_sample_of(body, START_TIME),
        };
        if keeps_counters != self.keeps_counters
            || self.retain_handle.version() != self.retain_set.version
        {
            self.keeps_counters = keeps_counters;
            self.retain_set = self.retain_handle.newest();
            self.decide_again();
        }
        self.outdated
    }

    /// Starts a comparison.
    pub(crate) fn restart(&mut self) {
        self.page += 1;
        self.new.clear();
        self.line_lengths.restart();
    }

    /// The page was committed and is the template now. True: it contained new names.
    pub(crate) fn applied(&mut self) -> bool {
        let met = !self.new.is_empty();
        for &at in &self.new {
            self.names[at].seen_on = None;
        }
        self.new.clear();
        self.tells_again = false;
        self.outdated = false;
        met
    }

    /// Sets whether the newest page reports a process start time.
    pub(crate) fn set_reports_start_time(&mut self, tells: bool) {
        self.reports_start_time = Some(tells);
    }

    /// The version of the needed set with which the page was parsed.
    pub(crate) fn version(&self) -> u64 {
        self.retain_set.version
    }

    /// Metrics first seen on this page whose lines are skipped, though relabelling would keep them.
    pub(crate) fn new_names(&self) -> impl Iterator<Item = &str> {
        let known = self.new.iter().map(|&at| &self.names[at]);
        known
            .filter(|known| known.survives && known.decision == LineDecision::Skip)
            .filter_map(|known| std::str::from_utf8(&known.name).ok())
    }

    /// Counts every metric as new where a page has it, for another process gives the pages: of those before only names were
    /// remembered, not which page had them last.
    pub(crate) fn tell_again(&mut self) {
        self.tells_again = true;
        for known in &mut self.names {
            known.seen_on = Some(NO_PAGE);
        }
    }

    /// Since [`RetainFilter::tell_again`], metrics that are on this page and that relabelling would keep, of which no line is kept.
    pub(crate) fn passed_over(&self) -> impl Iterator<Item = &str> {
        let known = self.new.iter().map(|&at| &self.names[at]);
        let passed = known.filter(|one| one.survives && one.decision != LineDecision::Keep);
        passed.filter_map(|known| std::str::from_utf8(&known.name).ok())
    }

    /// Whether metrics that were known count as new on this page.
    pub(crate) fn tells_again(&self) -> bool {
        self.tells_again
    }

    /// A metric that was known is on the page under comparison. False if it is not one that is to be told again.
    pub(super) fn meets_again(&mut self, at: usize) -> bool {
        let known = &mut self.names[at];
        let is_told_again = known.seen_on == Some(NO_PAGE);
        if is_told_again {
            known.seen_on = Some(self.page);
            self.new.push(at);
        }
        is_told_again
    }

    /// Whether a relabelled sample is kept.
    pub(crate) fn keeps(&self, labels: &Labels) -> bool {
        labels
            .metric_name()
            .is_none_or(|metric| self.keeps_metric(metric))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let label_bytes = |known: &KnownMetric| {
            let texts: usize = known.labels.iter().map(|label| label.len()).sum();
            texts + known.labels.len() * size_of::<Box<str>>()
        };
        let names = self
            .names
            .iter()
            .map(|known| 2 * known.name.len() + label_bytes(known));
        let families = self.families.keys().map(|family| family.len());
        names.chain(families).sum::<usize>()
            + self.names.capacity() * size_of::<KnownMetric>()
            + self.by_name.allocation_size()
            + self.families.allocation_size()
            + self.line_lengths.bytes()
    }

    fn keeps_metric(&self, metric: &str) -> bool {
        self.retain_set.retains(metric) || (self.keeps_counters && is_counter(metric))
    }

    /// The decision for a name whose first line has these labels.
    pub(super) fn decision(&self, name: &str, labels: &[Box<str>], survives: bool) -> LineDecision {
        if self.keeps_metric(name) {
            return LineDecision::Keep;
        }
        if !survives {
            return if self.rules.drop_by_name {
                LineDecision::Skip
            } else {
                LineDecision::Look
            };
        }
        let has = |wanted: &str| labels.iter().any(|label| &**label == wanted);
        let buckets = name.strip_suffix("_sum").map(|of| format!("{of}_bucket"));
        let is_sum = buckets.is_some_and(|buckets| self.by_name.contains_key(buckets.as_bytes()));
        let is_bucket = name.ends_with("_bucket") && has("le");
        let mut all = labels
            .iter()
            .map(|label| &**label)
            .chain(self.rules.adds.iter().map(String::as_str));
        if !is_bucket && !is_sum && all.any(|label| self.retain_set.learns_label(label)) {
            return LineDecision::Look;
        }
        LineDecision::Skip
    }

    /// Repeats the decision for every name. Where none changes, the template stays valid.
    fn decide_again(&mut self) {
        self.families.clear();
        for at in 0..self.names.len() {
            let known = &self.names[at];
            let name = std::str::from_utf8(&known.name).unwrap_or_default();
            let decision = self.decision(name, &known.labels, known.survives);
            self.outdated |= decision != known.decision;
            self.names[at].decision = decision;
        }
        self.outdated |= self.rules.changes_names || self.has_single_decisions;
    }
}

/// Whether the page has a line that begins with this name.
fn has_sample_of(body: &[u8], name: &str) -> bool {
    let ends = |at: usize| body.get(at).is_some_and(|byte| b"{ \t".contains(byte));
    memchr::memmem::find_iter(body, name)
        .any(|at| (at == 0 || body[at - 1] == b'\n') && ends(at + name.len()))
}

impl RetainFilter {
    /// Decides and remembers whether any metric of a family is kept.
    pub(super) fn remember_family(&mut self, family: &str) -> bool {
        let is_kept = self.retain_set.retains_family(family);
        if self.families.len() >= REMEMBERED_METRICS_MAX {
            return true;
        }
        self.families.insert(family.as_bytes().into(), is_kept);
        is_kept
    }
}
