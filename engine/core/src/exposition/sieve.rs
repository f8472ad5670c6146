//! What is passed over of a page whose target keeps only what signals need (`retain: signals`).
//!
//! Most lines of such a page belong to metrics that nobody needs. They are told by the name at the line's start, by
//! which a run of them is walked from line break to line break: nothing of it is parsed, hashed or stored, and lines
//! that come or go inside it cost nothing. The template holds one row per run.
//!
//! The first line of every name is parsed, though: its labels say whether the name is *looked at*, because the values
//! of some label prove something (`signal/needed`). Such lines are ordinary rows that are dropped once they have been
//! learned from. Of a histogram the `_count` lines are looked at, and not the others, which say the same. So a name is
//! taken to have the same labels on all of its lines, as client libraries see to.
//!
//! Where relabelling may write the name, nothing is skipped: each sample is decided after it, and dropped.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::labels::{Labels, METRIC_NAME, RelabelAction};
use crate::limits::EVER_METRICS_MAX;
use crate::signal::{Board, Needed, START_TIME};

use crate::scrape::TargetSpec;

/// What becomes of the lines of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Keep,
    /// Parsed while new, learned from, and dropped.
    Look,
    Skip,
}

/// A name that the target's pages have had.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: Box<[u8]>,
    pub(super) fate: Fate,
    /// Labels that its first line had, as relabelling left them.
    pub(super) labels: Box<[Box<str>]>,
    /// Its first line survives relabelling.
    pub(super) survives: bool,
    /// The name that followed it last time.
    pub(super) next: usize,
    /// The page on which it was first seen, until that page is taken.
    pub(super) seen_on: Option<u64>,
}

/// The names of a target's pages, and what becomes of each.
pub(crate) struct Sieve {
    pub(super) board: Arc<Board>,
    pub(super) needed: Arc<Needed>,
    pub(super) rules: Rules,
    pub(super) names: Vec<Known>,
    /// The name that was met last, by which the next is guessed.
    pub(super) last: usize,
    pub(super) by_name: HashMap<Box<[u8]>, usize>,
    /// Families by HELP and TYPE lines: whether some part is kept.
    pub(super) families: HashMap<Box<[u8]>, bool>,
    /// The pages say nothing of when their process started, so falling counters must (S6a).
    pub(super) keeps_counters: bool,
    /// Whether the newest page that was taken says it; `None` before the first.
    pub(super) tells_start: Option<bool>,
    pub(super) page: u64,
    /// The template was made by another set.
    pub(super) outdated: bool,
    /// Names first seen on the page under comparison.
    pub(super) new: Vec<usize>,
    /// Some line was decided on by itself: whether another set changes that is not known beforehand.
    pub(super) decides_alone: bool,
}

/// What relabelling means for names.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// A rule may write the name or take it away.
    pub(super) touch_names: bool,
    /// Whether a sample is dropped depends on its name alone.
    drop_by_name: bool,
    /// Labels that rules may add.
    adds: Vec<String>,
}

/// The number of no name.
pub(super) const NOBODY: usize = usize::MAX;

impl Rules {
    fn new(spec: &TargetSpec) -> Rules {
        use RelabelAction as Action;
        let mut seen = Rules {
            touch_names: spec.labels.metric_name().is_some(),
            drop_by_name: true,
            ..Rules::default()
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
                    seen.touch_names |= target == METRIC_NAME || target.contains('$');
                    seen.adds.push(target.clone());
                }
                Action::LabelMap => seen.touch_names = true,
                Action::LabelDrop => seen.touch_names |= rule.fits_name(METRIC_NAME),
                Action::LabelKeep => seen.touch_names |= !rule.fits_name(METRIC_NAME),
            }
        }
        seen
    }
}

impl Sieve {
    pub(crate) fn new(board: Arc<Board>, spec: &TargetSpec) -> Sieve {
        Sieve {
            needed: board.newest(),
            board,
            rules: Rules::new(spec),
            names: Vec::new(),
            last: NOBODY,
            by_name: HashMap::new(),
            families: HashMap::new(),
            keeps_counters: false,
            tells_start: None,
            page: 0,
            outdated: false,
            new: Vec::new(),
            decides_alone: false,
        }
    }

    /// A page is at hand. True where it has to be taken as a whole, because what is needed has changed.
    pub(crate) fn begin(&mut self, body: &[u8]) -> bool {
        let keeps_counters = match self.tells_start {
            Some(tells) => !tells,
            None => !tells_start(body),
        };
        if keeps_counters != self.keeps_counters || self.board.version() != self.needed.version {
            self.keeps_counters = keeps_counters;
            self.needed = self.board.newest();
            self.decide_anew();
        }
        self.outdated
    }

    /// A comparison begins.
    pub(crate) fn restart(&mut self) {
        self.page += 1;
        self.new.clear();
    }

    /// The page is the template now. True where names were met on it.
    pub(crate) fn applied(&mut self) -> bool {
        let met = !self.new.is_empty();
        for &at in &self.new {
            self.names[at].seen_on = None;
        }
        self.new.clear();
        self.outdated = false;
        met
    }

    /// Whether the newest page tells when its process started.
    pub(crate) fn set_tells_start(&mut self, tells: bool) {
        self.tells_start = Some(tells);
    }

    /// The version of what is needed by which the page was read.
    pub(crate) fn version(&self) -> u64 {
        self.needed.version
    }

    /// Metrics first seen on this page whose lines are skipped, though relabelling would keep them.
    pub(crate) fn new_names(&self) -> impl Iterator<Item = &str> {
        let known = self.new.iter().map(|&at| &self.names[at]);
        known
            .filter(|known| known.survives && known.fate == Fate::Skip)
            .filter_map(|known| std::str::from_utf8(&known.name).ok())
    }

    /// Whether a sample that relabelling has left is kept.
    pub(crate) fn keeps(&self, labels: &Labels) -> bool {
        labels
            .metric_name()
            .is_none_or(|metric| self.keeps_metric(metric))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let label_bytes = |known: &Known| {
            let texts: usize = known.labels.iter().map(|label| label.len()).sum();
            texts + known.labels.len() * size_of::<Box<str>>()
        };
        let names = self
            .names
            .iter()
            .map(|known| 2 * known.name.len() + label_bytes(known));
        let families = self.families.keys().map(|family| family.len());
        names.chain(families).sum::<usize>()
            + self.names.capacity() * size_of::<Known>()
            + self.by_name.allocation_size()
            + self.families.allocation_size()
    }

    fn keeps_metric(&self, metric: &str) -> bool {
        let is_counter = metric.ends_with("_total") || metric.ends_with("_count");
        self.needed.needs(metric) || (is_counter && self.keeps_counters)
    }

    /// What becomes of the lines of a name whose first line has these labels.
    pub(super) fn fate(&self, name: &str, labels: &[Box<str>], survives: bool) -> Fate {
        if self.keeps_metric(name) {
            return Fate::Keep;
        }
        if !survives {
            return if self.rules.drop_by_name {
                Fate::Skip
            } else {
                Fate::Look
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
        if !is_bucket && !is_sum && all.any(|label| self.needed.learns(label)) {
            return Fate::Look;
        }
        Fate::Skip
    }

    /// Decides on every name again; where nothing changes, the template stands.
    fn decide_anew(&mut self) {
        self.families.clear();
        for at in 0..self.names.len() {
            let known = &self.names[at];
            let name = std::str::from_utf8(&known.name).unwrap_or_default();
            let fate = self.fate(name, &known.labels, known.survives);
            self.outdated |= fate != known.fate;
            self.names[at].fate = fate;
        }
        self.outdated |= self.rules.touch_names || self.decides_alone;
    }
}

/// Whether the page has a line by which its process tells when it started.
fn tells_start(body: &[u8]) -> bool {
    memchr::memmem::find_iter(body, START_TIME).any(|at| at == 0 || body[at - 1] == b'\n')
}

impl Sieve {
    /// Remembers whether some part of a family is kept.
    pub(super) fn meet_family(&mut self, family: &str) -> bool {
        let is_kept = self.needed.needs_family(family);
        if self.families.len() >= EVER_METRICS_MAX {
            return true;
        }
        self.families.insert(family.as_bytes().into(), is_kept);
        is_kept
    }
}
