//! Reads series into a store.

use std::collections::VecDeque;

use super::Cut;
use super::bits::take_bits;
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;
use crate::store::codec::STALE;
use crate::store::id_set::GrowingIdSet;
use crate::store::order::Onward;
use crate::store::persist_histograms;
use crate::store::series::Series;
use crate::store::slab::BlockId;
use crate::store::store::Store;
use crate::store::symbol::Symbol;
use crate::wire::{In, WireError, labels_of};

/// Reads series into a store that had none.
#[derive(Default)]
pub(crate) struct SeriesReader {
    /// The texts of the part by their numbers: they are those of the store.
    texts: Vec<Symbol>,
    /// The series of the file by their numbers.
    pub(super) numbers: Vec<Named>,
    /// Per clock, the next tick at the cut before.
    pub(super) before: Option<Cut>,
    /// The series that were told since.
    pub(super) told: GrowingIdSet,
    has_begun: bool,
}

/// A series by its id, as long as that names it.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) id: SeriesId,
    generation: u8,
}

impl Named {
    /// Whether the series is there.
    pub(super) fn is_in(self, store: &Store) -> bool {
        store.series.row(self.id).clock != ClockId::NONE
            && store.series.generation(self.id) == self.generation
    }
}

/// A run that a series has, after which others are read.
type Base = (ClockId, i64, u64);

impl SeriesReader {
    /// What follows came after what has been read.
    pub(crate) fn next_cut(&mut self, store: &mut Store) {
        self.release_texts(store);
        self.told = GrowingIdSet::default();
        self.has_begun = false;
        self.before = Some(Cut::of(store));
    }

    /// What follows is in another file.
    pub(crate) fn next_file(&mut self, store: &mut Store) {
        self.next_cut(store);
        self.numbers.clear();
    }

    /// Nothing follows that names texts of what has been read.
    pub(crate) fn release_texts(&mut self, store: &mut Store) {
        for symbol in std::mem::take(&mut self.texts) {
            store.series.release_text(symbol);
        }
    }

    /// Whether a series was read since the cut before.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Reads the series of one batch.
    pub(crate) fn batch(&mut self, store: &mut Store, mut bytes: In<'_>) -> Result<(), WireError> {
        self.has_begun = true;
        let mut number = 0;
        while !bytes.is_empty() {
            let head = bytes.u()?;
            let id = match head.checked_sub(1) {
                Some(difference) => {
                    let difference = (difference >> 1) as i64 ^ -((difference & 1) as i64);
                    number = i64::wrapping_add(number, difference);
                    self.go_on(store, number, &mut bytes)?
                }
                None => {
                    let id = self.labelled(store, &mut bytes)?;
                    number = self.numbers.len() as i64;
                    let generation = store.series.generation(id);
                    self.numbers.push(Named { id, generation });
                    id
                }
            };
            self.told.insert(id);
            let histograms = persist_histograms::take(&mut bytes)?;
            let newest_ms = store.native_histograms.last(id).map(|(at_ms, _)| *at_ms);
            for (time_ms, histogram) in histograms {
                if newest_ms.is_none_or(|newest_ms| newest_ms < time_ms) {
                    store.native_histograms.restore(id, time_ms, histogram);
                }
            }
        }
        Ok(())
    }

    /// Reads a series with its labels.
    fn labelled(&mut self, store: &mut Store, bytes: &mut In<'_>) -> Result<SeriesId, WireError> {
        let labels = self.labels(store, bytes)?;
        let have = store.series.find(&labels);
        if have.is_some() && self.before.is_none() {
            return Err("a series is there twice");
        }
        let known = (have, self.before.as_ref());
        take_runs(store, &labels, known, bytes)
    }

    /// Reads what follows of a series that the file has.
    fn go_on(
        &self,
        store: &mut Store,
        number: i64,
        bytes: &mut In<'_>,
    ) -> Result<SeriesId, WireError> {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let named = *self
            .numbers
            .get(number)
            .ok_or("a series has an unknown number")?;
        let id = named.id;
        let row = *store.series.row(id);
        if !named.is_in(store) || row.clock == ClockId::EXPLICIT {
            return Err("a series has the number of one that is gone");
        }
        let mut last = (row.clock, row.since, row.bits);
        bytes.list(|bytes| {
            let (end, run) = take_run(store, Some(last), bytes)?;
            let previous = Some((last, end));
            last = run;
            append(store, id, (previous, run), self.before.as_ref());
            Ok(())
        })?;
        Ok(id)
    }

    fn labels(&mut self, store: &mut Store, bytes: &mut In<'_>) -> Result<Labels, WireError> {
        let series = &mut store.series;
        let texts = &mut self.texts;
        let pairs =
            bytes.list(|bytes| Ok((text(texts, series, bytes)?, text(texts, series, bytes)?)))?;
        let text = |symbol: Symbol| series.symbols.text(symbol);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|&(n, v)| (text(n), text(v))).collect();
        match pairs.is_empty() {
            true => Err("a series has no labels"),
            false => labels_of(&pairs),
        }
    }
}

/// Reads the number of a text, and the text where it is new.
fn text(
    texts: &mut Vec<Symbol>,
    series: &mut Series,
    bytes: &mut In<'_>,
) -> Result<Symbol, WireError> {
    let number = usize::try_from(bytes.u()?).unwrap_or(usize::MAX);
    if number == texts.len() {
        texts.push(series.hold_text(bytes.text()?));
    }
    let known = texts.get(number).copied();
    known.ok_or("a text has an unknown number")
}

/// Reads a run that follows another one, and the end of that where it is on another clock.
fn take_run(
    store: &Store,
    before: Option<Base>,
    bytes: &mut In<'_>,
) -> Result<(Option<i64>, Base), WireError> {
    let head = bytes.u()?;
    let (end, clock, tick) = if head & 1 == 1 {
        let number = u32::try_from(bytes.u()?).map_err(|_| "a clock has an unknown number")?;
        let end = bytes.time()?;
        (Some(end), ClockId(number), bytes.time()?)
    } else {
        let (clock, tick, _) = before.ok_or("a series begins on no clock")?;
        let gap = i64::try_from(head >> 1).map_err(|_| "a run is too long")?;
        let next = tick.checked_add(gap).filter(|_| gap > 0);
        (None, clock, next.ok_or("a run is too long")?)
    };
    let bits = take_bits(bytes, before.map_or(0, |(_, _, bits)| bits))?;
    check_tick(store, clock, tick)?;
    Ok((end, (clock, tick, bits)))
}

/// Reads the runs of a series, and appends them to what it has.
fn take_runs(
    store: &mut Store,
    labels: &Labels,
    (have, before): (Option<SeriesId>, Option<&Cut>),
    bytes: &mut In<'_>,
) -> Result<SeriesId, WireError> {
    let mut id = have;
    let mut last = None;
    bytes.list(|bytes| {
        let (end, run) = take_run(store, last, bytes)?;
        let previous = last.map(|last| (last, end));
        last = Some(run);
        match id {
            Some(id) => append(store, id, (previous, run), before),
            None => {
                let (clock, tick, bits) = run;
                id = Some(store.create(labels, clock, bits, tick));
            }
        }
        Ok(())
    })?;
    match id.filter(|_| last.is_some()) {
        Some(id) => Ok(id),
        None => Err("a series has no samples"),
    }
}

/// Appends a run to a series, if it does not have it. It comes after another one, whose end is told where that is on another
/// clock; the first that is told may follow a gap.
fn append(
    store: &mut Store,
    id: SeriesId,
    (previous, run): (Option<(Base, Option<i64>)>, Base),
    before: Option<&Cut>,
) {
    let row = *store.series.row(id);
    let (clock, tick, bits) = run;
    let is_known = match clock {
        _ if row.clock == clock => tick <= row.since,
        ClockId::EXPLICIT => false, // by its time, see `Store::move_from`
        clock => before.is_some_and(|before| tick < before.end(clock)),
    };
    if is_known {
        return;
    }
    let told_end = previous
        .filter(|((clock, tick, _), _)| (*clock, *tick) == (row.clock, row.since))
        .and_then(|(_, end)| end);
    let end = told_end.unwrap_or_else(|| end_at(store, id, before));
    let is_after_gap = previous.is_none() && row.is_present() && end > row.since;
    if row.clock == clock {
        if is_after_gap && end < tick {
            put(store, id, end, STALE);
        }
        return put(store, id, tick, bits);
    }
    let time_ms = match clock {
        ClockId::EXPLICIT => tick,
        clock => {
            let scrape = store.clocks[clock.index()].at(tick);
            scrape.map_or(i64::MAX, |scrape| scrape.time_ms)
        }
    };
    let onward = Onward {
        clock,
        since: tick,
        bits,
        time_ms,
    };
    let mut end = end.min(store.end_tick(id));
    let marker_ms = match row.clock {
        ClockId::EXPLICIT => Some(end),
        clock => store.clocks[clock.index()].at(end).map(|at| at.time_ms),
    };
    if is_after_gap && marker_ms.is_some_and(|marker_ms| marker_ms < time_ms) {
        put(store, id, end, STALE);
        end += 1;
    }
    store.move_from(id, end, onward);
}

/// Sets the value of a series from a tick of its clock on.
fn put(store: &mut Store, id: SeriesId, tick: i64, bits: u64) {
    match store.series.row(id).clock {
        ClockId::EXPLICIT => drop(store.append_explicit(id, tick, bits)),
        _ => store.change(id, tick, bits),
    }
}

/// Where the run of a series ends of whose end nothing is told: the history in between was dropped, and it is absent there from
/// what was written before on.
fn end_at(store: &Store, id: SeriesId, before: Option<&Cut>) -> i64 {
    let row = store.series.row(id);
    match (row.clock, before) {
        (ClockId::EXPLICIT, _) => row.since.saturating_add(1),
        _ if !row.is_present() => row.since.saturating_add(1),
        (clock, Some(before)) => before.end(clock),
        (_, None) => store.end_tick(id),
    }
}

fn check_tick(store: &Store, clock: ClockId, tick: i64) -> Result<(), WireError> {
    if clock == ClockId::EXPLICIT {
        return match tick.unsigned_abs() <= 1 << 52 {
            true => Ok(()),
            false => Err("a time is no time"),
        };
    }
    match store.clocks.get(clock.index()) {
        Some(clock) if tick < clock.next_tick() && tick >= -(1 << 52) => Ok(()),
        Some(_) => Err("a sample is later than its clock"),
        None => Err("a clock has an unknown number"),
    }
}

impl Store {
    /// All series are there: orders what retention and the memory limit drop first.
    pub(crate) fn order_sealed(&mut self) {
        let mut ends: Vec<(Option<i64>, SeriesId)> = Vec::with_capacity(self.sealed.len());
        self.sealed = VecDeque::new();
        for id in (0..self.series.id_end()).map(SeriesId) {
            let row = self.series.row(id);
            let mut at = match row.clock {
                ClockId::NONE => BlockId::NONE,
                _ => row.oldest,
            };
            // Blocks of one series stay in their order, whatever their clocks say of their ends.
            let mut end = None;
            while let Some(block) = at.some() {
                let header = self.slab.header(block);
                if !header.sealed() {
                    break;
                }
                at = header.next();
                end = self.end_ms(block).max(end);
                ends.push((end, id));
            }
        }
        ends.sort_by_key(|(end, _)| *end);
        self.sealed = ends.into_iter().map(|(_, id)| id).collect();
        self.sealed.shrink_to_fit(); // it may have the place of the times
    }

    /// The series that the newest page of each target shows: on its clock and present.
    pub(crate) fn present(&self) -> impl Iterator<Item = (ClockId, SeriesId)> + '_ {
        let ids = (0..self.series.id_end()).map(SeriesId);
        ids.filter_map(|id| {
            let row = self.series.row(id);
            (row.clock != ClockId::NONE && row.bits != STALE).then_some((row.clock, id))
        })
    }
}
