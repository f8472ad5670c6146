//! From matchers to series ids by the label index, in batches small enough that no commit waits.
//!
//! The matcher with the fewest candidates determines the candidates; each candidate is then checked against all
//! matchers by symbol. A regular expression is evaluated once per distinct label value, not once per series.

use hashbrown::HashMap;
use parking_lot::{RwLock, RwLockReadGuard};

use super::epoch_reclaim::Pin;
use super::store::Store;
use super::symbol::Symbol;
use crate::ids::{ClockId, SeriesId};
use crate::labels::{MatchOp, Matcher};
use crate::limits::READ_BATCH_SERIES;

/// How much one selection may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadBudget {
    /// Candidates, including those that another matcher excludes.
    pub(crate) series_max: usize,
    /// Bytes of history copied.
    pub(crate) bytes_max: usize,
}

/// A selection would exceed its [`ReadBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverBudget;

/// Calls `visit` for every series that all matchers match, ascending by id. `visit` returns how many bytes it copied;
/// the lock is released after each batch of series or bytes. The pins prevent ids from being reused meanwhile.
pub(crate) fn for_each_match(
    store: &RwLock<Store>,
    matchers: &[Matcher],
    visit: impl FnMut(&Store, SeriesId) -> usize,
) {
    match for_each_match_within(store, matchers, None, &|| true, visit) {
        Ok(()) | Err(OverBudget) => {} // without a budget none is exceeded
    }
}

/// The same within a budget: a selection that would exceed it ends early, or does not begin. It ends early, too, once
/// `goes_on`, which is asked after each batch, says no.
pub(crate) fn for_each_match_within(
    store: &RwLock<Store>,
    matchers: &[Matcher],
    budget: Option<ReadBudget>,
    goes_on: &dyn Fn() -> bool,
    mut visit: impl FnMut(&Store, SeriesId) -> usize,
) -> Result<(), OverBudget> {
    let guard = store.read();
    let _pins: [Pin; 2] = guard.series.pin();
    let mut checks = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match Check::resolve(&guard, matcher) {
            Some(check) => checks.push(check),
            None => return Ok(()),
        }
    }
    drop(guard);
    let series_max = budget.map(|budget| budget.series_max);
    let Some(candidates) = candidates(store, matchers, series_max, goes_on)? else {
        return Ok(());
    };
    let bytes_max = budget.map_or(usize::MAX, |budget| budget.bytes_max);
    let mut bytes_total = 0usize;
    let mut walk = candidates.iter().flat_map(|&(start, end)| start..end);
    let mut batch: Vec<SeriesId> = Vec::with_capacity(READ_BATCH_SERIES);
    let mut next = 0;
    let mut guard = store.read();
    loop {
        if next == batch.len() {
            batch.clear();
            batch.extend(walk.by_ref().take(READ_BATCH_SERIES).map(SeriesId));
            next = 0;
        }
        if batch.is_empty() {
            return Ok(());
        }
        let (seen, bytes, untried) = visit_some(&checks, &guard, &batch[next..], &mut visit);
        next += seen;
        bytes_total = bytes_total.saturating_add(bytes);
        if bytes_total > bytes_max {
            return Err(OverBudget);
        }
        // Without the lock: it may wait for other queries, and a pattern may take long over a long value.
        let try_values = || {
            for (at, value, text) in untried {
                if let Check::Pattern { matcher, known, .. } = &mut checks[at] {
                    known.insert(value, matcher.matches(&text));
                }
            }
            goes_on()
        };
        if !RwLockReadGuard::unlocked_fair(&mut guard, try_values) {
            return Ok(());
        }
    }
}

/// Visits those of some series that fit, until they have given a batch of bytes, or one has a value on which a pattern was not tried
/// yet. Returns how many were looked at, the bytes, and such values of the others.
fn visit_some(
    checks: &[Check<'_>],
    store: &Store,
    ids: &[SeriesId],
    visit: &mut impl FnMut(&Store, SeriesId) -> usize,
) -> (usize, usize, Vec<Untried>) {
    let (mut seen, mut bytes) = (0, 0);
    for &id in ids {
        let is_there = store.series.row(id).clock != ClockId::NONE;
        match is_there.then(|| all_fit(checks, store, id)) {
            Some(Fit::Untried(..)) => {
                return (seen, bytes, untried_values(checks, store, &ids[seen..]));
            }
            Some(Fit::Yes) => bytes += visit(store, id),
            Some(Fit::No) | None => {}
        }
        seen += 1;
        if bytes > crate::limits::READ_BATCH_BYTES {
            break;
        }
    }
    (seen, bytes, Vec::new())
}

/// Sorted ranges of ids that hold every match; `None` where nothing can match.
fn candidates(
    store: &RwLock<Store>,
    matchers: &[Matcher],
    series_max: Option<usize>,
    goes_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<(u32, u32)>>, OverBudget> {
    let guard = store.read();
    let mut narrowest: Option<(usize, Vec<(u32, u32)>)> = None;
    for matcher in matchers {
        let literals: &[String] = match matcher.op() {
            MatchOp::Equal if !matcher.value().is_empty() => &[matcher.value().to_owned()],
            _ => match matcher.literal_values() {
                Some(literals) if literals.iter().all(|literal| !literal.is_empty()) => literals,
                _ => continue,
            },
        };
        let name = guard.series.symbols.find(matcher.name());
        let Some(values) = name.and_then(|name| guard.index.values(name)) else {
            return Ok(None);
        };
        let found: Vec<_> = literals
            .iter()
            .filter_map(|literal| values.get(guard.series.symbols.find(literal)?))
            .collect();
        let count = found.iter().map(|postings| postings.len()).sum();
        if narrowest.as_ref().is_none_or(|(least, _)| count < *least) {
            let mut ranges: Vec<(u32, u32)> = found
                .iter()
                .flat_map(|postings| postings.ranges().iter().copied())
                .collect();
            ranges.sort_unstable();
            narrowest = Some((count, ranges));
        }
    }
    let all = (0, guard.series.id_end());
    drop(guard);
    match (narrowest, series_max) {
        (Some((count, _)), Some(max)) if count > max => Err(OverBudget),
        (Some((_, ranges)), _) => Ok(Some(ranges)),
        // A pattern is tried on every value there is.
        (None, Some(_)) => Err(OverBudget),
        (None, None) => Ok(Some(
            pattern_candidates(store, matchers, goes_on).unwrap_or_else(|| vec![all]),
        )),
    }
}

/// Candidates from a pattern that does not match the empty value, so that the label must be present. Whoever asks has pinned the
/// symbols; values that come meanwhile are of series that come meanwhile.
fn pattern_candidates(
    store: &RwLock<Store>,
    matchers: &[Matcher],
    goes_on: &dyn Fn() -> bool,
) -> Option<Vec<(u32, u32)>> {
    let pattern = matchers.iter().find(|matcher| !matcher.matches(""))?;
    let mut guard = store.read();
    let name = guard.series.symbols.find(pattern.name())?;
    let values: Vec<Symbol> = match guard.index.values(name) {
        Some(values) => values.list().to_vec(),
        None => return Some(Vec::new()),
    };
    let mut ranges = Vec::new();
    let mut rest = &values[..];
    while !rest.is_empty() {
        let mut bytes = 0;
        let mut texts: Vec<(Symbol, Box<str>)> = Vec::new();
        for &value in rest.iter().take(READ_BATCH_SERIES) {
            let text = guard.series.symbols.text(value);
            texts.push((value, text.into()));
            bytes += text.len();
            if bytes > crate::limits::READ_BATCH_BYTES {
                break;
            }
        }
        rest = &rest[texts.len()..];
        // Without the lock: a pattern may take long over a long value.
        let is_wanted = RwLockReadGuard::unlocked_fair(&mut guard, || {
            texts.retain(|(_, text)| pattern.matches(text));
            goes_on()
        });
        if !is_wanted {
            return Some(Vec::new());
        }
        let values = guard.index.values(name);
        for (value, _) in texts {
            let postings = values.and_then(|values| values.get(value));
            ranges.extend(
                postings
                    .into_iter()
                    .flat_map(|p| p.ranges().iter().copied()),
            );
        }
    }
    ranges.sort_unstable();
    Some(ranges)
}

/// Whether a series fits.
enum Fit {
    Yes,
    No,
    /// The check at this place has a pattern that this value was not tried by.
    Untried(usize, Symbol),
}

fn all_fit(checks: &[Check<'_>], store: &Store, id: SeriesId) -> Fit {
    for (at, check) in checks.iter().enumerate() {
        match check.fits(store, id) {
            Ok(true) => {}
            Ok(false) => return Fit::No,
            Err(value) => return Fit::Untried(at, value),
        }
    }
    Fit::Yes
}

/// A value that a check has to be tried by: its place, the value and its text.
type Untried = (usize, Symbol, Box<str>);

/// Copies the values by which patterns were not tried yet, of some series.
fn untried_values(checks: &[Check<'_>], store: &Store, ids: &[SeriesId]) -> Vec<Untried> {
    let mut untried: Vec<Untried> = Vec::new();
    let mut bytes = 0;
    for &id in ids {
        if store.series.row(id).clock == ClockId::NONE {
            continue;
        }
        if let Fit::Untried(at, value) = all_fit(checks, store, id)
            && !untried
                .iter()
                .any(|known| (known.0, known.1) == (at, value))
        {
            let text = store.series.symbols.text(value);
            bytes += text.len();
            untried.push((at, value, text.into()));
        }
        if bytes > crate::limits::READ_BATCH_BYTES {
            break;
        }
    }
    untried
}

/// A matcher in terms of symbols.
enum Check<'a> {
    /// The label has this value.
    Is(Symbol, Symbol),
    /// The label is absent.
    Absent(Symbol),
    /// The label is present.
    Present(Symbol),
    /// The label is absent or has another value.
    IsNot(Symbol, Symbol),
    /// By pattern, remembered per value.
    Pattern {
        name: Symbol,
        matcher: &'a Matcher,
        absent: bool,
        known: HashMap<Symbol, bool>,
    },
    /// Fits every series.
    Always,
}

impl<'a> Check<'a> {
    /// `None` where no series can fit.
    fn resolve(store: &Store, matcher: &'a Matcher) -> Option<Check<'a>> {
        let symbols = &store.series.symbols;
        let Some(name) = symbols.find(matcher.name()) else {
            return matcher.matches("").then_some(Check::Always);
        };
        let value = symbols.find(matcher.value());
        Some(match (matcher.op(), matcher.value()) {
            (MatchOp::Equal, "") => Check::Absent(name),
            (MatchOp::NotEqual, "") => Check::Present(name),
            (MatchOp::Equal, _) => Check::Is(name, value?),
            (MatchOp::NotEqual, _) => {
                value.map_or(Check::Always, |value| Check::IsNot(name, value))
            }
            (MatchOp::Regex | MatchOp::NotRegex, _) => Check::Pattern {
                name,
                matcher,
                absent: matcher.matches(""),
                known: HashMap::new(),
            },
        })
    }

    /// Error: the pattern has to be tried by this value.
    fn fits(&self, store: &Store, id: SeriesId) -> Result<bool, Symbol> {
        let series = &store.series;
        Ok(match self {
            Check::Is(name, value) => series.label(id, *name) == Some(*value),
            Check::Absent(name) => series.label(id, *name).is_none(),
            Check::Present(name) => series.label(id, *name).is_some(),
            Check::IsNot(name, value) => series.label(id, *name) != Some(*value),
            Check::Pattern {
                name,
                absent,
                known,
                ..
            } => match series.label(id, *name) {
                None => *absent,
                Some(value) => *known.get(&value).ok_or(value)?,
            },
            Check::Always => true,
        })
    }
}
