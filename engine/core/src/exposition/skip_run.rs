//! Skips a run of lines by the metric names at their starts, line break by line break.
//!
//! Skipped lines are not validated, except for the first of each name. A raw line break inside a label value (the
//! format forbids it, the line parser accepts it) would end a skipped line early and make the rest of the value look
//! like a line. Therefore, where a new line follows a run, the run must not end inside quotes; otherwise the page is
//! refused.
//!
//! Budget: 8 ns for a skipped line of 200 bytes, no allocation (test: `zero_alloc`; figures:
//! `benches/README.md`). Bench: `scrape`, group `retain_signals`.

use crate::labels::{Labels, METRIC_NAME};
use crate::limits::REMEMBERED_METRICS_MAX;

use super::any_line;
use super::dialect::Dialect;
use super::line::{self, Line};
use super::mapper::MapLabels;
use super::retain_filter::{KnownMetric, LineDecision, NO_METRIC, RetainFilter};
use crate::metadata::FamilyType;

/// A run of skipped lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SkippedRun {
    /// Where the next line begins.
    pub(crate) end: usize,
    pub(crate) lines: u64,
    pub(crate) samples: u64,
    /// The type from the last TYPE line in the run.
    pub(crate) family_type: FamilyType,
}

/// Scans one page for runs of skipped lines.
pub(crate) struct RunScanner<'a, 's> {
    pub(crate) retain_filter: &'s mut RetainFilter,
    pub(crate) map: &'s mut dyn MapLabels,
    pub(crate) body: &'a [u8],
    pub(crate) dialect: Dialect,
}

impl RunScanner<'_, '_> {
    /// The run of skipped lines that begins at `start`; empty where that line is not skipped. An error carries the
    /// position of its line.
    pub(crate) fn pass(
        &mut self,
        start: usize,
        family_type: FamilyType,
    ) -> Result<SkippedRun, (usize, String)> {
        let body = self.body;
        let mut skipped_run = SkippedRun {
            end: start,
            lines: 0,
            samples: 0,
            family_type,
        };
        if self.retain_filter.rules.changes_names {
            return Ok(skipped_run);
        }
        while let Some(&first) = body.get(skipped_run.end) {
            let at = skipped_run.end;
            if line::is_name_start(first) {
                let len = self.skipped_at(at, skipped_run.family_type);
                let Some(len) = len.map_err(|why| (at, why))? else {
                    break;
                };
                let (end, samples) = skip_metric(body, at, len);
                skipped_run.samples += samples;
                skipped_run.lines += samples;
                skipped_run.end = end;
                continue;
            }
            match self.other_at(at).map_err(|why| (at, why))? {
                Other::Kept => break,
                Other::Type(family_type) => skipped_run.family_type = family_type,
                Other::Skipped => {}
            }
            skipped_run.lines += 1;
            skipped_run.end += line_len(&body[at..]);
        }
        Ok(skipped_run)
    }

    /// The length of the metric name at `at`; `None` where its lines are not skipped.
    fn skipped_at(&mut self, at: usize, family_type: FamilyType) -> Result<Option<usize>, String> {
        let rest = &self.body[at..];
        let retain_filter = &mut *self.retain_filter;
        let is_known =
            |known: &KnownMetric| known.seen_on.is_none_or(|page| page == retain_filter.page);
        let before = retain_filter.names.get(retain_filter.last);
        let guess = before.map_or(NO_METRIC, |before| before.next);
        let guessed = retain_filter.names.get(guess);
        let fits = guessed.is_some_and(|known| is_known(known) && is_sample_of(rest, &known.name));
        let number = if fits {
            guess
        } else {
            let len = rest.iter().position(|&byte| ends_name(byte));
            let name = &rest[..len.unwrap_or(rest.len())];
            match retain_filter.by_name.get(name).copied() {
                Some(number) if is_known(&retain_filter.names[number]) => number,
                _ => match self.add_metric(at, family_type)? {
                    Some(number) => number,
                    None => return Ok(None),
                },
            }
        };
        let retain_filter = &mut *self.retain_filter;
        if let Some(before) = retain_filter.names.get_mut(retain_filter.last) {
            before.next = number;
        }
        retain_filter.last = number;
        let known = &retain_filter.names[number];
        Ok((known.decision == LineDecision::Skip).then_some(known.name.len()))
    }

    /// Parses the first line of a name and decides on the name. `None`: too many names are remembered already, or the
    /// line does not begin with its name.
    fn add_metric(&mut self, at: usize, family_type: FamilyType) -> Result<Option<usize>, String> {
        let number = self.parse_first_line(at, family_type)?;
        self.retain_filter.has_single_decisions |= number.is_none();
        Ok(number)
    }

    fn parse_first_line(
        &mut self,
        at: usize,
        family_type: FamilyType,
    ) -> Result<Option<usize>, String> {
        let (Line::Sample(sample), _) = any_line::parse(self.body, at, self.dialect)? else {
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
        // Labels that the target adds to every series are known without the page.
        let own = labels.filter(|(name, _)| page_has(name) || !self.map.adds(name));
        let labels: Box<[Box<str>]> = own.map(|(name, _)| name.into()).collect();
        let survives = mapped.is_some();
        let retain_filter = &mut *self.retain_filter;
        let decision = retain_filter.decision(name, &labels, survives);
        let next = retain_filter.names.len();
        let number = retain_filter
            .by_name
            .get(name.as_bytes())
            .copied()
            .unwrap_or(next);
        let known = KnownMetric {
            name: name.as_bytes().into(),
            decision,
            labels,
            survives,
            next: NO_METRIC,
            seen_on: Some(retain_filter.page),
        };
        if number < next {
            retain_filter.names[number] = known;
        } else if next < REMEMBERED_METRICS_MAX {
            retain_filter.by_name.insert(known.name.clone(), number);
            retain_filter.names.push(known);
        } else {
            return Ok(None);
        }
        retain_filter.new.push(number);
        Ok(Some(number))
    }

    /// A line that does not begin with a metric name.
    fn other_at(&mut self, at: usize) -> Result<Other, String> {
        let rest = &self.body[at..];
        if rest[0] == b'\n' {
            return Ok(Other::Skipped);
        }
        let Some((is_type, text)) = metadata(rest) else {
            // Rare: a comment in another spelling, a sample that begins with a blank or a quoted name.
            return Ok(match any_line::parse(self.body, at, self.dialect)? {
                (Line::Comment, _) => Other::Skipped,
                (Line::Sample(_), _) => {
                    self.retain_filter.has_single_decisions = true;
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
        let is_kept = match self.retain_filter.families.get(family) {
            Some(&is_kept) => is_kept,
            None => {
                let (Line::Help { family, .. } | Line::Type { family, .. }, _) =
                    any_line::parse(self.body, at, self.dialect)?
                else {
                    return Ok(Other::Kept);
                };
                self.retain_filter.remember_family(&family)
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
            b" untyped" | b" unknown" => FamilyType::Unknown,
            _ => return Ok(Other::Kept),
        };
        Ok(Other::Type(family_type))
    }
}

/// The start of the first sample line that ends inside quotes.
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

/// For a HELP or TYPE line in the usual spelling: whether it is TYPE, and the text from the family name on.
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

/// Skips the lines that begin with the name at `at` (`len` bytes): where they end, and how many there are. This is the
/// hot loop.
fn skip_metric(body: &[u8], at: usize, len: usize) -> (usize, u64) {
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

/// Whether a line is a sample of this name. Names are short, so they are compared in blocks of 16 bytes without a call.
#[inline]
fn is_sample_of(rest: &[u8], name: &[u8]) -> bool {
    if !matches!(rest.get(name.len()), Some(b'{' | b' ' | b'\t')) {
        return false;
    }
    let here = &rest[..name.len()];
    // The end first: names of one subsystem share their beginnings.
    match (name.last_chunk::<16>(), here.last_chunk::<16>()) {
        (Some(end), Some(end_here)) => {
            let (blocks, _) = name.as_chunks::<16>();
            let (blocks_here, _) = here.as_chunks::<16>();
            end == end_here && blocks.iter().zip(blocks_here).all(|(a, b)| a == b)
        }
        _ => here == name,
    }
}

fn ends_name(byte: u8) -> bool {
    matches!(byte, b'{' | b' ' | b'\t' | b'\n')
}
