//! Reads series into a store.

use super::Cut;
use super::bits::take_bits;
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;
use crate::store::codec::STALE;
use crate::store::history::Store;
use crate::store::persist_histograms;
use crate::store::slab::BlockId;
use crate::wire::{In, WireError, labels_of};
use hashbrown::HashMap;

/// Reads series into a store that had none.
#[derive(Default)]
pub(crate) struct SeriesReader {
    texts: Vec<Box<str>>,
    /// The series of the file by their numbers.
    numbers: Vec<SeriesId>,
    /// Per clock, the next tick at the cut before.
    before: Option<Cut>,
    has_begun: bool,
}

/// A run that a series has, after which others are read.
type Base = (ClockId, i64, u64);

impl SeriesReader {
    /// What follows came after what has been read.
    pub(crate) fn next_cut(&mut self, store: &Store) {
        self.texts.clear();
        self.has_begun = false;
        self.before = Some(Cut::of(store));
    }

    /// What follows is in another file.
    pub(crate) fn next_file(&mut self, store: &Store) {
        self.next_cut(store);
        self.numbers.clear();
    }

    /// Whether a series was read since the cut before.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Reads the series of one batch. Those of version 2 have no numbers.
    pub(crate) fn batch(
        &mut self,
        store: &mut Store,
        mut bytes: In<'_>,
        has_numbers: bool,
    ) -> Result<(), WireError> {
        self.has_begun = true;
        let mut number = 0;
        while !bytes.is_empty() {
            let head = if has_numbers { bytes.u()? } else { 0 };
            let id = match head.checked_sub(1) {
                Some(difference) => {
                    let difference = (difference >> 1) as i64 ^ -((difference & 1) as i64);
                    number = i64::wrapping_add(number, difference);
                    self.go_on(store, number, &mut bytes)?
                }
                None => {
                    let id = self.labelled(store, &mut bytes)?;
                    if has_numbers {
                        number = self.numbers.len() as i64;
                        self.numbers.push(id);
                    }
                    id
                }
            };
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
        let labels = self.labels(bytes)?;
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
        let id = *self
            .numbers
            .get(number)
            .ok_or("a series has an unknown number")?;
        let row = *store.series.row(id);
        if matches!(row.clock, ClockId::NONE | ClockId::EXPLICIT) {
            return Err("a series has the number of one that is gone");
        }
        let mut last = (row.clock, row.since, row.bits);
        bytes.list(|bytes| {
            let (end, run) = take_run(store, Some(last), bytes)?;
            last = run;
            append(store, id, end, run)
        })?;
        Ok(id)
    }

    fn labels(&mut self, bytes: &mut In<'_>) -> Result<Labels, WireError> {
        let texts = &mut self.texts;
        let pairs = bytes.list(|bytes| Ok((text(texts, bytes)?, text(texts, bytes)?)))?;
        let text = |number: usize| &*self.texts[number];
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|&(n, v)| (text(n), text(v))).collect();
        match pairs.is_empty() {
            true => Err("a series has no labels"),
            false => labels_of(&pairs),
        }
    }
}

/// Reads the number of a text, and the text where it is new.
fn text(texts: &mut Vec<Box<str>>, bytes: &mut In<'_>) -> Result<usize, WireError> {
    let number = usize::try_from(bytes.u()?).unwrap_or(usize::MAX);
    if number == texts.len() {
        texts.push(bytes.text()?.into());
    }
    match number < texts.len() {
        true => Ok(number),
        false => Err("a text has an unknown number"),
    }
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
        let is_first = last.is_none();
        let (end, run) = take_run(store, last, bytes)?;
        last = Some(run);
        let (clock, tick, bits) = run;
        let Some(id) = id else {
            id = Some(store.create(labels, clock, bits, tick));
            return Ok(());
        };
        let row = store.series.row(id);
        let is_known = row.clock == clock && tick <= row.since;
        if is_first && !is_known {
            end_before_gap(store, id, before, (clock, tick));
        }
        append(store, id, end, run)
    })?;
    match id.filter(|_| last.is_some()) {
        Some(id) => Ok(id),
        None => Err("a series has no samples"),
    }
}
/// Appends a run to a series, if it does not have it; `end` is the end of the run before, where that is on another clock.
fn append(
    store: &mut Store,
    id: SeriesId,
    end: Option<i64>,
    (clock, tick, bits): (ClockId, i64, u64),
) -> Result<(), WireError> {
    let row = *store.series.row(id);
    match end {
        _ if row.clock == clock && tick <= row.since => {}
        Some(end) if row.clock != clock => {
            if row.is_present() && end <= row.since {
                return Err("a run ends before it begins");
            }
            store.move_to_clock(id, end, clock, tick, bits);
        }
        None if row.clock != clock => return Err("a series changes its clock silently"),
        _ if clock == ClockId::EXPLICIT => drop(store.append_explicit(id, tick, bits)),
        _ => store.change(id, tick, bits),
    }
    Ok(())
}

/// What follows does not go on from the run that the series has: the history in between was dropped. It is absent there,
/// from what was written before on.
fn end_before_gap(
    store: &mut Store,
    id: SeriesId,
    before: Option<&Cut>,
    (clock, tick): (ClockId, i64),
) {
    let row = *store.series.row(id);
    let end = match row.clock {
        ClockId::EXPLICIT => row.since.saturating_add(1),
        clock => before.map_or(row.since, |before| before.end(clock)),
    };
    let is_between = end > row.since && (row.clock != clock || end < tick);
    match row.clock {
        _ if !row.is_present() || !is_between => {}
        ClockId::EXPLICIT => drop(store.append_explicit(id, end, STALE)),
        _ => store.change(id, end, STALE),
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
        let mut newest: HashMap<SeriesId, (BlockId, Option<i64>)> = HashMap::new();
        let sealed = std::mem::take(&mut self.sealed);
        let mut ends: Vec<(Option<i64>, SeriesId)> = Vec::with_capacity(sealed.len());
        for id in sealed {
            let oldest = self.series.row(id).oldest;
            // Blocks of one series stay in their order, whatever their clocks say of their ends.
            let (block, end) = newest.entry(id).or_insert((oldest, None));
            *end = self.end_ms(*block).max(*end);
            *block = self.slab.header(*block).next();
            ends.push((*end, id));
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
