//! A run of lines that are passed over, walked from line break to line break by the names at their starts.
//!
//! Skipped lines are not validated, but for the first of each name. A line break inside a label's value, which the
//! format forbids and the line parser lets pass, would end a skipped line and have the rest of the value read as a
//! line of its own; so where a line is new, the run above it must leave no quotes open, or the page is refused.
//!
//! Budget: 8 ns for a skipped line of 200 bytes, no allocation (`tests/retain_zero_alloc`); what is reached stands in
//! `benches/README.md`. Bench: `scrape`, `retain_signals`.

use crate::labels::{Labels, METRIC_NAME};
use crate::limits::EVER_METRICS_MAX;

use super::line::{self, Line};
use super::mapper::MapLabels;
use super::sieve::{Fate, Known, NOBODY, Sieve};
use crate::metadata::FamilyType;

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
            if line::is_name_start(first) {
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

fn ends_name(byte: u8) -> bool {
    matches!(byte, b'{' | b' ' | b'\t' | b'\n')
}
