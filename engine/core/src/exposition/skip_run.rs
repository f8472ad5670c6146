//! Skips a run of lines by the metric names at their starts. Where lines are as long as on the page before, which is checked
//! (`line_lengths`), their ends are not searched for.
//!
//! Skipped lines are not validated, except for the first of each name. A raw line break inside a label value (the
//! format forbids it, the line parser accepts it) would end a skipped line early and make the rest of the value look
//! like a line. Therefore, where a new line follows a run, the run must not end inside quotes; otherwise the page is
//! refused.
//!
//! Budget: 8 ns for a skipped line of 253 bytes, no allocation (test: `zero_alloc`; figures:
//! `benches/README.md`): reading it takes 4 from the second cache and 10 from memory, comparing its name 2. Bench: `scrape`,
//! group `retain_signals`.

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
                let is_skipped = self.skipped_at(at, skipped_run.family_type);
                if !is_skipped.map_err(|why| (at, why))? {
                    break;
                }
                let (end, samples) = self.skip_metrics(at);
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

    /// Whether the line at `at` is skipped. Its name is `last` then.
    fn skipped_at(&mut self, at: usize, family_type: FamilyType) -> Result<bool, String> {
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
            let known = retain_filter.by_name.get(name).copied();
            match known {
                Some(number) if is_known(&retain_filter.names[number]) => number,
                _ => match self.add_metric(at, family_type) {
                    Ok(Some(number)) => number,
                    Ok(None) => return Ok(false),
                    // Where another process gives the page it is read again: no line that was skipped is an error then.
                    Err(why) => {
                        let known = known.filter(|one| self.retain_filter.meets_again(*one));
                        known.ok_or(why)?
                    }
                },
            }
        };
        let retain_filter = &mut *self.retain_filter;
        if let Some(before) = retain_filter.names.get_mut(retain_filter.last) {
            before.next = number;
        }
        retain_filter.last = number;
        Ok(retain_filter.names[number].decision == LineDecision::Skip)
    }

    /// Skips the line at `at`, whose name is `last`, and those behind it that have skipped names in the order of the page
    /// before: where they end, and how many there are.
    fn skip_metrics(&mut self, mut at: usize) -> (usize, u64) {
        let (body, mut samples) = (self.body, 0);
        loop {
            let foretold = self.foretold(at);
            let retain_filter = &mut *self.retain_filter;
            let stretch = &body[at..foretold.end];
            if retain_filter.line_lengths.are(foretold.lines, stretch) {
                (at, samples) = (foretold.end, samples + foretold.lines as u64);
                retain_filter.last = foretold.metric;
                if foretold.is_last {
                    return (at, samples);
                }
            }
            // The next line has another length.
            let name = &*retain_filter.names[retain_filter.last].name;
            samples += 1;
            let Some(rest) = memchr::memchr(b'\n', &body[at + name.len()..]) else {
                retain_filter.line_lengths.set(0);
                return (body.len(), samples);
            };
            retain_filter.line_lengths.set(name.len() + rest + 1);
            at += name.len() + rest + 1;
            if !is_sample_of(&body[at..], name) {
                return (at, samples);
            }
        }
    }

    /// The lines from `at` on that are as long as on the page before, if nothing but their ends divides them.
    fn foretold(&self, at: usize) -> Foretold {
        let RetainFilter {
            names,
            line_lengths,
            page,
            last,
            ..
        } = &*self.retain_filter;
        let mut foretold = Foretold {
            end: at,
            lines: 0,
            metric: *last,
            is_last: false,
        };
        let mut lengths = line_lengths.ahead();
        loop {
            let known = &names[foretold.metric];
            let (end, lines) = same_metric(self.body, foretold.end, &known.name, lengths);
            let was_none = lines == 0;
            (foretold.end, foretold.lines) = (end, foretold.lines + lines);
            lengths = &lengths[lines..];
            let rest = &self.body[end..];
            if was_none || is_sample_of(rest, &known.name) {
                return foretold; // the next line has another length
            }
            let next = names.get(known.next).filter(|next| {
                next.decision == LineDecision::Skip
                    && next.seen_on.is_none_or(|seen_on| seen_on == *page)
                    && is_sample_of(rest, &next.name)
            });
            foretold.is_last = next.is_none();
            if foretold.is_last {
                return foretold;
            }
            foretold.metric = known.next;
        }
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

/// The start of the first line that ends inside quotes.
pub(crate) fn open_quote(run: &[u8]) -> Option<usize> {
    let mut start = 0;
    while start < run.len() {
        let line = &run[start..start + line_len(&run[start..])];
        let is_open = match line[0] {
            b'#' => quoted_family(line).is_some_and(|quoted| closing_quote(&quoted[1..]).is_none()),
            _ => ends_inside_quotes(line),
        };
        if is_open {
            return Some(start);
        }
        start += line.len();
    }
    None
}

fn ends_inside_quotes(mut line: &[u8]) -> bool {
    while let Some(open) = memchr::memchr(b'"', line) {
        match closing_quote(&line[open + 1..]) {
            Some(len) => line = &line[open + 1 + len + 1..],
            None => return true,
        }
    }
    false
}

/// Where a quoted text ends. An escape is two bytes, whatever the second is.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// The family of a comment on its help or type, and what follows, where it stands in quotes.
fn quoted_family(line: &[u8]) -> Option<&[u8]> {
    let comment = line.strip_prefix(b"#")?.trim_ascii_start();
    let words = ["HELP", "TYPE", "UNIT"].map(str::as_bytes);
    let text = words.iter().find_map(|word| comment.strip_prefix(*word))?;
    let family = text.trim_ascii_start();
    family.starts_with(b"\"").then_some(family)
}

/// Lines that are as long as on the page before.
struct Foretold {
    end: usize,
    lines: usize,
    /// The name of the line behind them, or of their last one where `is_last`.
    metric: usize,
    /// What follows is no line with this name, nor with the skipped name that followed it on the page before.
    is_last: bool,
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

/// Of lines from `at` on with these lengths, those that end in a line break and behind which another of this name begins,
/// and one more, if it ends in a line break. Where they end, and how many there are. This is the hot loop.
fn same_metric(body: &[u8], at: usize, name: &[u8], lengths: &[u16]) -> (usize, usize) {
    let is_name = NameCheck::new(name);
    let mut end = at;
    for (lines, &length) in lengths.iter().enumerate() {
        let last = (end + usize::from(length)).checked_sub(1);
        let from_last = last
            .filter(|last| *last >= end)
            .and_then(|last| body.get(last..));
        let Some([b'\n', rest @ ..]) = from_last else {
            return (end, lines);
        };
        end += usize::from(length);
        if !is_name.fits(rest) {
            return (end, lines + 1);
        }
    }
    (end, lengths.len())
}

/// Whether a line is a sample of this name.
#[inline]
fn is_sample_of(rest: &[u8], name: &[u8]) -> bool {
    NameCheck::new(name).fits(rest)
}

/// Compares names. They are short, so that is done in one or two blocks, without a call.
#[derive(Clone, Copy)]
struct NameCheck<'n> {
    name: &'n [u8],
    /// The first and the last bytes of a name of 32 to 64.
    ends: Option<(&'n [u8; 32], &'n [u8; 32])>,
}

impl<'n> NameCheck<'n> {
    #[inline]
    fn new(name: &'n [u8]) -> NameCheck<'n> {
        let ends = match name.len() {
            32..=64 => name.first_chunk().zip(name.last_chunk()),
            _ => None,
        };
        NameCheck { name, ends }
    }

    #[inline]
    fn fits(self, rest: &[u8]) -> bool {
        let Some((here, [b'{' | b' ' | b'\t', ..])) = rest.split_at_checked(self.name.len()) else {
            return false;
        };
        match self.ends {
            // The end first: names of one subsystem share their beginnings.
            Some((first, last)) => {
                here.last_chunk() == Some(last) && here.first_chunk() == Some(first)
            }
            None => here == self.name,
        }
    }
}

fn ends_name(byte: u8) -> bool {
    matches!(byte, b'{' | b' ' | b'\t' | b'\n')
}
