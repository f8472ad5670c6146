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
//! Skipped lines are not validated, but for the first of each name. A line break inside a label's value, which the
//! format forbids and the line parser lets pass, would end a skipped line and have the rest of the value read as a
//! line of its own; so where a line is new, the run above it must leave no quotes open, or the page is refused.
//!
//! Where relabelling may write the name, nothing is skipped: each sample is decided after it, and dropped.
//!
//! Budget: 8 ns for a skipped line of 200 bytes, no allocation (`tests/retain_zero_alloc`); what is reached stands in
//! `benches/README.md`. Bench: `scrape`, `retain_signals`.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::labels::{Labels, METRIC_NAME, RelabelAction};
use crate::limits::EVER_METRICS_MAX;
use crate::signal::{Board, Needed, START_TIME};

use super::line::{self, FamilyType, Line};
use super::mapper::TargetSpec;
use super::page::MapLabels;

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
struct Known {
    name: Box<[u8]>,
    fate: Fate,
    /// Labels that its first line had, as relabelling left them.
    labels: Box<[Box<str>]>,
    /// Its first line survives relabelling.
    survives: bool,
    /// The name that followed it last time.
    next: usize,
    /// The page on which it was first seen, until that page is taken.
    seen_on: Option<u64>,
}

/// The names of a target's pages, and what becomes of each.
pub(crate) struct Sieve {
    board: Arc<Board>,
    needed: Arc<Needed>,
    rules: Rules,
    names: Vec<Known>,
    /// The name that was met last, by which the next is guessed.
    last: usize,
    by_name: HashMap<Box<[u8]>, usize>,
    /// Families by HELP and TYPE lines: whether some part is kept.
    families: HashMap<Box<[u8]>, bool>,
    /// The pages say nothing of when their process started, so falling counters must (S6a).
    keeps_counters: bool,
    /// Whether the newest page that was taken says it; `None` before the first.
    tells_start: Option<bool>,
    page: u64,
    /// The template was made by another set.
    outdated: bool,
    /// Names first seen on the page under comparison.
    new: Vec<usize>,
    /// Some line was decided on by itself: whether another set changes that is not known beforehand.
    decides_alone: bool,
}

/// What relabelling means for names.
#[derive(Debug, Default)]
struct Rules {
    /// A rule may write the name or take it away.
    touch_names: bool,
    /// Whether a sample is dropped depends on its name alone.
    drop_by_name: bool,
    /// Labels that rules may add.
    adds: Vec<String>,
}

/// A run of skipped lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    /// Where the next line begins.
    pub(crate) end: usize,
    pub(crate) lines: u64,
    pub(crate) samples: u64,
    /// The type by the TYPE lines up to there.
    pub(crate) family_type: FamilyType,
}

const NOBODY: usize = usize::MAX;

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

    fn fate(&self, name: &str, labels: &[Box<str>], survives: bool) -> Fate {
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

/// One page on its way through the sieve.
pub(crate) struct Walk<'a, 's> {
    pub(crate) sieve: &'s mut Sieve,
    pub(crate) map: &'s mut dyn MapLabels,
    pub(crate) body: &'a [u8],
}

impl Walk<'_, '_> {
    /// The run of skipped lines that begins at `start`; an empty one where that line is not to be skipped.
    /// An error comes with the place of its line.
    pub(crate) fn pass(
        &mut self,
        start: usize,
        family_type: FamilyType,
    ) -> Result<Passed, (usize, String)> {
        let body = self.body;
        let mut passed = Passed {
            end: start,
            lines: 0,
            samples: 0,
            family_type,
        };
        if self.sieve.rules.touch_names {
            return Ok(passed);
        }
        while let Some(&first) = body.get(passed.end) {
            let at = passed.end;
            if is_name_start(first) {
                let len = self.skipped_at(at, passed.family_type);
                let Some(len) = len.map_err(|why| (at, why))? else {
                    break;
                };
                let (end, samples) = pass_name(body, at, len);
                passed.samples += samples;
                passed.lines += samples;
                passed.end = end;
                continue;
            }
            match self.other_at(at).map_err(|why| (at, why))? {
                Other::Kept => break,
                Other::Type(family_type) => passed.family_type = family_type,
                Other::Skipped => {}
            }
            passed.lines += 1;
            passed.end += line_len(&body[at..]);
        }
        Ok(passed)
    }

    /// The length of the name with which the line at `at` begins; none where its lines are not skipped.
    fn skipped_at(&mut self, at: usize, family_type: FamilyType) -> Result<Option<usize>, String> {
        let rest = &self.body[at..];
        let sieve = &mut *self.sieve;
        let is_known = |known: &Known| known.seen_on.is_none_or(|page| page == sieve.page);
        let before = sieve.names.get(sieve.last);
        let guess = before.map_or(NOBODY, |before| before.next);
        let guessed = sieve.names.get(guess);
        let fits = guessed.is_some_and(|known| is_known(known) && is_sample_of(rest, &known.name));
        let number = if fits {
            guess
        } else {
            let len = rest.iter().position(|&byte| ends_name(byte));
            let name = &rest[..len.unwrap_or(rest.len())];
            match sieve.by_name.get(name).copied() {
                Some(number) if is_known(&sieve.names[number]) => number,
                _ => match self.meet(at, family_type)? {
                    Some(number) => number,
                    None => return Ok(None),
                },
            }
        };
        let sieve = &mut *self.sieve;
        if let Some(before) = sieve.names.get_mut(sieve.last) {
            before.next = number;
        }
        sieve.last = number;
        let known = &sieve.names[number];
        Ok((known.fate == Fate::Skip).then_some(known.name.len()))
    }

    /// The first line of a name: it is parsed, and says what becomes of the others. None where names are too many to be
    /// remembered, or where the line begins otherwise than with the name.
    fn meet(&mut self, at: usize, family_type: FamilyType) -> Result<Option<usize>, String> {
        let number = self.try_to_meet(at, family_type)?;
        self.sieve.decides_alone |= number.is_none();
        Ok(number)
    }

    fn try_to_meet(&mut self, at: usize, family_type: FamilyType) -> Result<Option<usize>, String> {
        let (Line::Sample(sample), _) = line::parse(self.body, at)? else {
            return Ok(None);
        };
        let page_has = |label: &str| sample.labels.iter().any(|(name, _)| name == label);
        let Some((_, name)) = sample.labels.iter().find(|(name, _)| name == METRIC_NAME) else {
            return Ok(None);
        };
        if !is_sample_of(&self.body[at..], name.as_bytes()) {
            return Ok(None);
        }
        let mapped = self.map.map(&sample.labels, family_type)?;
        let labels = mapped.iter().flat_map(Labels::iter);
        // What the target adds to every series is known without its pages.
        let own = labels.filter(|(name, _)| page_has(name) || !self.map.adds(name));
        let labels: Box<[Box<str>]> = own.map(|(name, _)| name.into()).collect();
        let survives = mapped.is_some();
        let sieve = &mut *self.sieve;
        let fate = sieve.fate(name, &labels, survives);
        let next = sieve.names.len();
        let number = sieve.by_name.get(name.as_bytes()).copied().unwrap_or(next);
        let known = Known {
            name: name.as_bytes().into(),
            fate,
            labels,
            survives,
            next: NOBODY,
            seen_on: Some(sieve.page),
        };
        if number < next {
            sieve.names[number] = known;
        } else if next < EVER_METRICS_MAX {
            sieve.by_name.insert(known.name.clone(), number);
            sieve.names.push(known);
        } else {
            return Ok(None);
        }
        sieve.new.push(number);
        Ok(Some(number))
    }

    /// A line that begins with no name.
    fn other_at(&mut self, at: usize) -> Result<Other, String> {
        let rest = &self.body[at..];
        if rest[0] == b'\n' {
            return Ok(Other::Skipped);
        }
        let Some((is_type, text)) = metadata(rest) else {
            // A comment in another spelling, a sample that begins with a blank or a quoted name: rare.
            return Ok(match line::parse(self.body, at)? {
                (Line::Comment, _) => Other::Skipped,
                (Line::Sample(_), _) => {
                    self.sieve.decides_alone = true;
                    Other::Kept
                }
                _ => Other::Kept,
            });
        };
        let len = text
            .iter()
            .position(|&byte| ends_name(byte))
            .unwrap_or(text.len());
        let family = &text[..len];
        let is_kept = match self.sieve.families.get(family) {
            Some(&is_kept) => is_kept,
            None => {
                let (Line::Help { family, .. } | Line::Type { family, .. }, _) =
                    line::parse(self.body, at)?
                else {
                    return Ok(Other::Kept);
                };
                self.sieve.meet_family(&family)
            }
        };
        if is_kept {
            return Ok(Other::Kept);
        }
        if !is_type {
            return Ok(Other::Skipped);
        }
        let word = &text[len..line_len(text)];
        let family_type = match word.strip_suffix(b"\n").unwrap_or(word) {
            b" counter" => FamilyType::Counter,
            b" gauge" => FamilyType::Gauge,
            b" histogram" => FamilyType::Histogram,
            b" summary" => FamilyType::Summary,
            b" untyped" => FamilyType::Unknown,
            _ => return Ok(Other::Kept),
        };
        Ok(Other::Type(family_type))
    }
}

impl Sieve {
    fn meet_family(&mut self, family: &str) -> bool {
        let is_kept = self.needed.needs_family(family);
        if self.families.len() >= EVER_METRICS_MAX {
            return true;
        }
        self.families.insert(family.as_bytes().into(), is_kept);
        is_kept
    }
}

/// Where the first sample begins whose line ends inside quotes.
pub(crate) fn open_quote(run: &[u8]) -> Option<usize> {
    let mut start = 0;
    while start < run.len() {
        let line = &run[start..start + line_len(&run[start..])];
        if line[0] != b'#' {
            let (mut at, mut is_open) = (0, false);
            while let Some(found) = memchr::memchr2(b'"', b'\\', &line[at..]) {
                let is_quote = line[at + found] == b'"';
                is_open ^= is_quote;
                // An escape is two bytes, whatever the second is.
                at = (at + found + if is_quote { 1 } else { 2 }).min(line.len());
            }
            if is_open {
                return Some(start);
            }
        }
        start += line.len();
    }
    None
}

/// A line without a sample.
enum Other {
    Kept,
    Skipped,
    Type(FamilyType),
}

/// Whether it is TYPE rather than HELP, and the text from the family's name on, of a line in the usual spelling.
fn metadata(line: &[u8]) -> Option<(bool, &[u8])> {
    if let Some(text) = line.strip_prefix(b"# HELP ") {
        return Some((false, text));
    }
    Some((true, line.strip_prefix(b"# TYPE ")?))
}

/// Bytes up to the next line.
fn line_len(rest: &[u8]) -> usize {
    memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1)
}

/// Passes the lines of the name that stands at `at` and is `len` bytes long: where they end, and how many there are.
/// This is the hot loop.
fn pass_name(body: &[u8], at: usize, len: usize) -> (usize, u64) {
    let name = &body[at..at + len];
    let (mut at, mut lines) = (at, 0);
    loop {
        lines += 1;
        let after_name = at + len;
        let Some(rest) = memchr::memchr(b'\n', &body[after_name..]) else {
            return (body.len(), lines);
        };
        at = after_name + rest + 1;
        if !is_sample_of(&body[at..], name) {
            return (at, lines);
        }
    }
}

/// Whether a line begins with this name. Names are short: compared by blocks, without a call.
#[inline]
fn is_sample_of(rest: &[u8], name: &[u8]) -> bool {
    if !matches!(rest.get(name.len()), Some(b'{' | b' ' | b'\t')) {
        return false;
    }
    let here = &rest[..name.len()];
    // The end first, by which names of one subsystem differ.
    match (name.last_chunk::<16>(), here.last_chunk::<16>()) {
        (Some(end), Some(end_here)) => {
            let (blocks, _) = name.as_chunks::<16>();
            let (blocks_here, _) = here.as_chunks::<16>();
            end == end_here && blocks.iter().zip(blocks_here).all(|(a, b)| a == b)
        }
        _ => here == name,
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':'
}

fn ends_name(byte: u8) -> bool {
    matches!(byte, b'{' | b' ' | b'\t' | b'\n')
}
