//! The store's part of a snapshot: clocks, and series with their history.
//!
//! A snapshot shows the store as of one moment, the *cut*, although its series are copied in batches between which pages
//! are committed: for every clock the next tick at the cut is noted first, and what a series has from that tick on is left
//! out. So no series shows a value at a time at which it had another.
//!
//! A later snapshot of the same engine writes what came since the cut of the one before: the scrapes from its ticks on, and
//! of every series that has changed the run that was current then, by which it goes on, and those that follow.
//!
//! ```text
//!  clock    | number u | first tick i | scrapes: list of (milliseconds since the one before i, failed) |
//!  series   | labels: list of (name, value) | runs: list | histograms: list |
//!  text     | number u | the text, if the number is a new one |
//!  run      | gap << 1 | on another clock u | ... | value |
//!  value    | difference of whole numbers, zigzag << 1 u |  or  | 1 u | bits xor those before, byte-swapped u |
//!  ... on another clock:  | clock u | end of the run before i | first tick i |
//! ```

use std::hash::Hasher;

use hashbrown::HashMap;
use twox_hash::XxHash64;

use super::clock::{Clock, ScrapeEntry};
use super::codec::STALE;
use super::epoch_reclaim::Pin;
use super::history::Store;
use super::native_histograms::TimedHistogram;
use super::persist_histograms;
use super::slab::BlockId;
use super::value_runs::ValueRun;
use crate::ids::{ClockId, SeriesId};
use crate::labels::Labels;
use crate::limits::{CLOCK_ENTRIES_MAX, READ_BATCH_BYTES, READ_BATCH_SERIES};
use crate::wire::{In, WireError, labels_of, put_bool, put_i, put_list, put_text, put_u};

/// Up to where an engine was written.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    /// Per clock, the next tick. Ticks are never given twice.
    ends: Vec<i64>,
    /// Of series with timestamps of their own, by id: the checksum of the labels, because an id may be given to another
    /// series, and the newest time.
    explicit: HashMap<u32, (u64, i64)>,
}

/// Writes series in batches.
pub(crate) struct SeriesWriter {
    cut: Cut,
    /// That of the snapshot before; what was written then is left out.
    before: Cut,
    /// Texts that were written, by symbol.
    texts: HashMap<u32, u64>,
    next: u32,
    runs: Vec<ValueRun>,
    /// No symbol gets another text meanwhile.
    _pins: [Pin; 2],
}

impl SeriesWriter {
    /// The cut is now. What came before another one is left out.
    pub(crate) fn new(store: &Store, before: Cut) -> SeriesWriter {
        SeriesWriter {
            cut: Cut {
                ends: store.clocks.iter().map(Clock::next_tick).collect(),
                explicit: HashMap::new(),
            },
            before,
            texts: HashMap::new(),
            next: 0,
            runs: Vec::new(),
            _pins: store.series.pin(),
        }
    }

    /// How many clocks there are.
    pub(crate) fn clocks(&self) -> usize {
        self.cut.ends.len()
    }

    /// All is written: its cut.
    pub(crate) fn into_cut(self) -> Cut {
        self.cut
    }

    /// Writes a clock as it was at the cut. False: it had no scrape since the one before.
    pub(crate) fn clock(&self, store: &Store, number: usize, out: &mut Vec<u8>) -> bool {
        let clock = &store.clocks[number];
        let before = self.before.ends.get(number).copied();
        let first = before.unwrap_or(i64::MIN).max(clock.first_tick());
        let mut entries = Vec::new();
        clock.copy(first, self.cut.ends[number], &mut entries);
        if before.is_some() && entries.is_empty() {
            return false;
        }
        put_u(out, number as u64);
        put_i(out, first);
        let mut before_ms = 0;
        put_list(out, entries.iter(), |out, entry| {
            put_i(out, entry.time_ms - before_ms);
            put_bool(out, !entry.good);
            before_ms = entry.time_ms;
        });
        true
    }

    /// Writes some series. False: there are no more.
    pub(crate) fn batch(&mut self, store: &Store, out: &mut Vec<u8>) -> bool {
        let (start, mut series) = (out.len(), 0);
        while self.next < store.series.id_end() {
            if series == READ_BATCH_SERIES || out.len() - start > READ_BATCH_BYTES {
                return true;
            }
            let id = SeriesId(self.next);
            self.next += 1;
            if store.series.row(id).clock != ClockId::NONE {
                self.series(store, id, out);
                series += 1;
            }
        }
        false
    }

    fn series(&mut self, store: &Store, id: SeriesId, out: &mut Vec<u8>) {
        let row = store.series.row(id);
        let own_before = self.explicit_before(store, id);
        let before = |clock: ClockId| match clock {
            ClockId::EXPLICIT => own_before,
            clock => self.before.end(clock),
        };
        let histograms = self.histograms(store, id, own_before);
        if row.since < before(row.clock) && histograms.is_empty() {
            return; // the run of the cut before goes on
        }
        let mut runs = std::mem::take(&mut self.runs);
        runs.clear();
        let (mut is_over, mut is_new) = (false, false);
        store.each_run(id, before(row.clock).saturating_sub(1), |run| {
            is_over |= run.first_tick >= self.cut.end(run.clock);
            if is_over {
                return;
            }
            is_new |= run.first_tick >= before(run.clock);
            if !is_new {
                runs.clear(); // only the last of those that were written is of use
            }
            runs.push(run);
        });
        if !runs.is_empty() && (is_new || !histograms.is_empty()) {
            let pairs = store.series.pairs(id);
            put_u(out, pairs.clone().count() as u64);
            for (name, value) in pairs {
                self.text(store, name.0, out);
                self.text(store, value.0, out);
            }
            put_runs(&runs, out);
            persist_histograms::put(histograms.into_iter(), out);
        }
        self.runs = runs;
    }

    /// The native histograms of a series that were not written before.
    fn histograms<'s>(
        &self,
        store: &'s Store,
        id: SeriesId,
        own_before: i64,
    ) -> Vec<&'s TimedHistogram> {
        let Some(all) = store.native_histograms.get(id) else {
            return Vec::new();
        };
        let after_ms = match store.series.row(id).clock {
            ClockId::EXPLICIT => own_before.saturating_sub(1),
            clock => self.before.time_ms(store, clock),
        };
        all.iter()
            .filter(|(time_ms, _)| *time_ms > after_ms)
            .collect()
    }

    /// Of explicit timestamps there is no cut: each is a time of its own. The time after the newest that was written, which is
    /// noted for the next snapshot.
    fn explicit_before(&mut self, store: &Store, id: SeriesId) -> i64 {
        let row = store.series.row(id);
        if row.clock != ClockId::EXPLICIT {
            return i64::MIN;
        }
        let mut hasher = XxHash64::with_seed(0);
        for (name, value) in store.series.pairs(id) {
            for symbol in [name, value] {
                hasher.write(store.series.symbols.text(symbol).as_bytes());
                hasher.write_u8(0);
            }
        }
        let labels = hasher.finish();
        self.cut.explicit.insert(id.0, (labels, row.since));
        match self.before.explicit.get(&id.0) {
            Some((have, newest_ms)) if *have == labels => newest_ms.saturating_add(1),
            _ => i64::MIN,
        }
    }

    fn text(&mut self, store: &Store, symbol: u32, out: &mut Vec<u8>) {
        let next = self.texts.len() as u64;
        let number = *self.texts.entry(symbol).or_insert(next);
        put_u(out, number);
        if number == next {
            put_text(
                out,
                store.series.symbols.text(super::symbol::Symbol(symbol)),
            );
        }
    }
}

impl Cut {
    /// The next tick of a clock then; the least there is, if it was no clock yet.
    fn end(&self, clock: ClockId) -> i64 {
        match clock {
            ClockId::EXPLICIT => i64::MAX,
            clock => self.ends.get(clock.index()).copied().unwrap_or(i64::MIN),
        }
    }

    /// The time of its newest scrape then; the least there is, if that is not known.
    fn time_ms(&self, store: &Store, clock: ClockId) -> i64 {
        let end = self.ends.get(clock.index());
        let newest = end.and_then(|end| store.clocks[clock.index()].at(end - 1));
        newest.map_or(i64::MIN, |scrape| scrape.time_ms)
    }
}

fn put_runs(runs: &[ValueRun], out: &mut Vec<u8>) {
    let (mut clock, mut before, mut bits) = (ClockId::NONE, None::<ValueRun>, 0);
    put_list(out, runs.iter(), |out, run| {
        match before.filter(|_| run.clock == clock) {
            Some(before) => put_u(out, ((run.first_tick - before.first_tick) as u64) << 1),
            None => {
                put_u(out, 1);
                put_u(out, u64::from(run.clock.0));
                put_i(out, before.map_or(0, |before| before.end_tick));
                put_i(out, run.first_tick);
            }
        }
        put_bits(out, bits, run.bits);
        (clock, before, bits) = (run.clock, Some(*run), run.bits);
    });
}

/// A value after another one. Most are whole numbers that move by little.
fn put_bits(out: &mut Vec<u8>, before: u64, bits: u64) {
    match (whole(before), whole(bits)) {
        (Some(before), Some(now)) => {
            let delta = now - before;
            put_u(out, (((delta << 1) ^ (delta >> 63)) as u64) << 1);
        }
        _ => {
            put_u(out, 1);
            put_u(out, (bits ^ before).swap_bytes());
        }
    }
}

fn take_bits(bytes: &mut In<'_>, before: u64) -> Result<u64, WireError> {
    let head = bytes.u()?;
    if head == 1 {
        return Ok(before ^ bytes.u()?.swap_bytes());
    }
    let delta = (head >> 2) as i64 ^ -((head >> 1 & 1) as i64);
    let sum = whole(before).and_then(|before| before.checked_add(delta));
    match sum.filter(|sum| head & 1 == 0 && sum.unsigned_abs() <= WHOLE_MAX as u64) {
        Some(sum) => Ok((sum as f64).to_bits()),
        None => Err("a value follows none"),
    }
}

/// Whole numbers up to here are floats without loss.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn whole(bits: u64) -> Option<i64> {
    let value = f64::from_bits(bits);
    let is_whole = value.abs() <= WHOLE_MAX && value.trunc() == value;
    (is_whole && bits != (-0.0f64).to_bits()).then_some(value as i64)
}

/// Reads series into a store that had none.
#[derive(Default)]
pub(crate) struct SeriesReader {
    texts: Vec<Box<str>>,
    /// Per clock, the next tick at the cut before.
    before: Option<Cut>,
}

impl SeriesReader {
    /// What follows came after what has been read.
    pub(crate) fn next_cut(&mut self, store: &Store) {
        self.texts.clear();
        self.before = Some(Cut {
            ends: store.clocks.iter().map(Clock::next_tick).collect(),
            explicit: HashMap::new(),
        });
    }

    /// Reads the series of one batch.
    pub(crate) fn batch(&mut self, store: &mut Store, mut bytes: In<'_>) -> Result<(), WireError> {
        while !bytes.is_empty() {
            let labels = self.labels(&mut bytes)?;
            let have = store.series.find(&labels);
            let id = match (have, &self.before) {
                (Some(_), None) => return Err("a series is there twice"),
                (have, before) => take_runs(store, &labels, (have, before.as_ref()), &mut bytes)?,
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

    /// Whether a series was read since the cut before.
    pub(crate) fn has_begun(&self) -> bool {
        !self.texts.is_empty()
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

/// Reads the runs of a series, and appends them to what it has.
fn take_runs(
    store: &mut Store,
    labels: &Labels,
    (have, before): (Option<SeriesId>, Option<&Cut>),
    bytes: &mut In<'_>,
) -> Result<SeriesId, WireError> {
    let mut id = have;
    let mut is_first = true;
    let (mut clock, mut tick, mut bits) = (ClockId::NONE, 0i64, 0u64);
    bytes.list(|bytes| {
        let head = bytes.u()?;
        let mut end = None;
        if head & 1 == 1 {
            let number = u32::try_from(bytes.u()?).map_err(|_| "a clock has an unknown number")?;
            end = Some(bytes.time()?);
            (clock, tick) = (ClockId(number), bytes.time()?);
        } else {
            if is_first {
                return Err("a series begins on no clock");
            }
            let gap = i64::try_from(head >> 1).map_err(|_| "a run is too long")?;
            let next = tick.checked_add(gap).filter(|_| gap > 0);
            tick = next.ok_or("a run is too long")?;
        }
        bits = take_bits(bytes, bits)?;
        check_tick(store, clock, tick)?;
        let Some(id) = id else {
            id = Some(store.create(labels, clock, bits, tick));
            is_first = false;
            return Ok(());
        };
        let row = store.series.row(id);
        let is_known = row.clock == clock && tick <= row.since;
        if std::mem::take(&mut is_first) && !is_known {
            end_before_gap(store, id, before, (clock, tick));
        }
        append(store, id, end, (clock, tick, bits))
    })?;
    match id.filter(|_| !is_first) {
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
    /// Reads one clock.
    pub(crate) fn take_clock(&mut self, bytes: &mut In<'_>) -> Result<(), WireError> {
        let number = usize::try_from(bytes.u()?).unwrap_or(usize::MAX);
        let first = bytes.time()?;
        let mut time_ms = 0i64;
        let mut is_first = true;
        let entries = bytes.list(|bytes| {
            let delta = bytes.time()?;
            if !is_first && delta <= 0 {
                return Err("scrapes are not in order");
            }
            is_first = false;
            time_ms = time_ms.checked_add(delta).ok_or("a time is no time")?;
            let good = !bytes.bool()?;
            Ok(ScrapeEntry { time_ms, good })
        })?;
        if entries.len() > CLOCK_ENTRIES_MAX || time_ms.unsigned_abs() > 1 << 52 {
            return Err("a clock has more scrapes than it may hold");
        }
        let clock = self
            .clocks
            .get_mut(number)
            .ok_or("a clock has an unknown number")?;
        let next = clock.next_tick();
        match clock.last() {
            None => *clock = Clock::restored(first, &entries),
            Some(_) if first < next => return Err("scrapes are there twice"),
            Some(last) => {
                let begins_ms = entries.first().map(|entry| entry.time_ms);
                if begins_ms.is_some_and(|begins_ms| begins_ms <= last.time_ms) {
                    return Err("scrapes are not in order");
                }
                match first == next {
                    true => entries.iter().for_each(|entry| clock.push(*entry)),
                    // All that was read of it was dropped in the meantime.
                    false => *clock = Clock::restored(first, &entries),
                }
            }
        }
        Ok(())
    }

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
