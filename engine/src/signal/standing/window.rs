//! Leaves that read ranges: the samples of each series' window, kept from page to page.
//!
//! A good scrape has a running number per target (`Ticks`), and a series' sample lies under it in a ring. What a
//! page did not change is known from the row; only where several pages passed unseen, or a series is new here, is the
//! store's history read. `rate`, `increase`, `delta`, `min`, `max`, `count`, `last`, `changes` and `resets` cost the
//! same however long the window is (one word of bits per 64 samples); the others go over the window's samples.
//!
//! Budget: 100 ns a series for the former, 2 ns a sample for the latter (bench `standing`).

use hashbrown::HashMap;

use crate::promql::FunctionId;
use crate::promql::standing::floats;
use crate::store::{ClockId, SeriesId, Stretch, TargetId};

use super::Blocked;
use super::bits;
use super::fold::{Folds, Step};
use super::members::{Found, Member, number};
use super::rings::Rings;
use super::sight::Moment;
use super::ticks::{Ticks, Unbound};

/// A range function with its window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Function {
    pub(super) id: FunctionId,
    pub(super) range_ms: i64,
    /// The scalar argument of those that have one.
    pub(super) param: f64,
}

/// What the marks of the rings mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    Nothing,
    /// The sample is lower than the one before it.
    Falls,
    /// The sample differs from the one before it.
    Changes,
    /// No later sample is higher: it may be the maximum one day.
    Maxima,
    /// The same for the minimum.
    Minima,
}

impl Function {
    /// Whether windows are kept for it.
    pub(super) fn is_kept(id: FunctionId) -> bool {
        use FunctionId as F;
        floats::is_refolded(id)
            || matches!(
                id,
                F::Rate
                    | F::Increase
                    | F::Delta
                    | F::Irate
                    | F::Idelta
                    | F::Changes
                    | F::Resets
                    | F::MinOverTime
                    | F::MaxOverTime
                    | F::CountOverTime
                    | F::PresentOverTime
                    | F::FirstOverTime
                    | F::LastOverTime
            )
    }

    fn marks(&self) -> Marks {
        use FunctionId as F;
        match self.id {
            F::Rate | F::Increase | F::Resets => Marks::Falls,
            F::Changes => Marks::Changes,
            F::MaxOverTime => Marks::Maxima,
            F::MinOverTime => Marks::Minima,
            _ => Marks::Nothing,
        }
    }
}

/// The series of one leaf and their samples.
pub(super) struct Window {
    function: Function,
    marks: Marks,
    clocks: Vec<Ticks>,
    series: Vec<Series>,
    /// Series in a row of one clock and group.
    spans: Vec<Span>,
    rings: Rings,
    times: Vec<i64>,
    values: Vec<f64>,
    sorted: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Series {
    id: SeriesId,
    column: u32,
    clamp_negative: bool,
    /// It has left the page: its number may be another's by now. It comes back with the structure.
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    clock: u32,
    group: u32,
    end: usize,
}

impl Window {
    pub(super) fn new(function: Function) -> Window {
        Window {
            function,
            marks: function.marks(),
            clocks: Vec::new(),
            series: Vec::new(),
            spans: Vec::new(),
            rings: Rings::default(),
            times: Vec::new(),
            values: Vec::new(),
            sorted: Vec::new(),
        }
    }

    pub(super) fn series(&self) -> usize {
        self.series.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.rings.bytes() + Ticks::bytes_for(self.rings.places()) * self.clocks.len()
    }

    /// Forgets every sample.
    pub(super) fn forget(&mut self) {
        *self = Window::new(self.function);
    }

    /// Takes over the series found. Those that were here before keep their samples, the others get theirs from history.
    pub(super) fn bind(
        &mut self,
        found: &Found,
        moment: &Moment<'_>,
        bytes_max: usize,
    ) -> Result<(), Blocked> {
        let mut ids: Vec<ClockId> = Vec::new();
        for member in &found.members {
            number(&mut ids, member.clock);
        }
        let clocks_before: Vec<ClockId> = self.clocks.iter().map(|ticks| ticks.clock).collect();
        let kept = self.take_clocks(&ids, moment);
        let mut columns: HashMap<(SeriesId, ClockId), u32> = HashMap::new();
        let mut start = 0;
        for span in std::mem::take(&mut self.spans) {
            for series in &self.series[start..span.end] {
                if kept[span.clock as usize] {
                    let clock = clocks_before[span.clock as usize];
                    columns.insert((series.id, clock), series.column);
                } else {
                    self.rings.release(series.column);
                }
            }
            start = span.end;
        }
        self.series.clear();
        let members = self.members(found, &ids, moment);
        let places = self.rings.places();
        let clocks = Ticks::bytes_for(places) * self.clocks.len();
        let rings = self.rings.bytes_for(members.len());
        if clocks + rings.max(self.rings.bytes()) > bytes_max {
            return Err(Blocked::ForNow);
        }
        for ticks in &mut self.clocks {
            ticks.resize(places);
        }
        self.fill(&members, columns, moment)?;
        self.times.reserve(places);
        self.values.reserve(places);
        self.sorted.reserve(places);
        Ok(())
    }

    /// Puts the clocks into the order of `ids`. For each clock there was: whether what is known of it goes on.
    fn take_clocks(&mut self, ids: &[ClockId], moment: &Moment<'_>) -> Vec<bool> {
        let range_ms = self.function.range_ms;
        let mut before = std::mem::take(&mut self.clocks);
        let goes_on = |ticks: &Ticks| {
            ids.contains(&ticks.clock) && ticks.goes_on(&moment.store.clocks[ticks.clock.index()])
        };
        let mut kept: Vec<bool> = before.iter().map(goes_on).collect();
        let fresh: Vec<Option<Ticks>> = ids
            .iter()
            .map(|id| {
                let stays = before
                    .iter()
                    .zip(&kept)
                    .any(|(ticks, kept)| *kept && ticks.clock == *id);
                (!stays).then(|| Ticks::new(*id, &moment.store.clocks[id.index()], range_ms))
            })
            .collect();
        let needed = fresh
            .iter()
            .flatten()
            .map(Ticks::samples)
            .chain(ids.iter().map(|id| {
                let target = moment.facts.target(TargetId(id.0 / 2));
                target.map_or(0, |target| (range_ms / target.interval_ms) as usize)
            }));
        // Two more: the newest may come a little early.
        let needed = needed.max().unwrap_or(0).min(PLACES_MAX) + 2;
        if needed > self.rings.places() || before.is_empty() {
            self.rings = Rings::new(needed);
            self.series.clear();
            self.spans.clear();
            kept.fill(false);
            let clocks = ids
                .iter()
                .map(|id| Ticks::new(*id, &moment.store.clocks[id.index()], range_ms));
            self.clocks = clocks.collect();
        } else {
            let clocks = ids.iter().zip(fresh).map(|(id, fresh)| {
                fresh.unwrap_or_else(|| {
                    let at = before.iter().position(|ticks| ticks.clock == *id);
                    before.swap_remove(at.unwrap_or_default())
                })
            });
            self.clocks = clocks.collect();
        }
        kept
    }

    /// Members that are on the page or may have samples in the window, each with the place of its clock.
    fn members<'f>(
        &self,
        found: &'f Found,
        ids: &[ClockId],
        moment: &Moment<'_>,
    ) -> Vec<(u32, &'f Member)> {
        let mut at = 0;
        let members = found.members.iter().filter_map(|member| {
            if ids[at] != member.clock {
                at = ids.iter().position(|id| *id == member.clock)?;
            }
            let row = moment.store.series.row(member.series);
            let matters = row.is_present() || row.since > self.clocks[at].oldest_tick();
            matters.then_some((at as u32, member))
        });
        members.collect()
    }

    fn fill(
        &mut self,
        members: &[(u32, &Member)],
        mut columns: HashMap<(SeriesId, ClockId), u32>,
        moment: &Moment<'_>,
    ) -> Result<(), Blocked> {
        let stay: Vec<Option<u32>> = members
            .iter()
            .map(|(_, member)| columns.remove(&(member.series, member.clock)))
            .collect();
        for column in columns.into_values() {
            self.rings.release(column);
        }
        for (&(clock, member), stays) in members.iter().zip(stay) {
            let is_present = moment.store.series.row(member.series).is_present();
            let ticks = &self.clocks[clock as usize];
            let mut series = Series {
                id: member.series,
                column: stays.unwrap_or_default(),
                clamp_negative: member.clamp_negative,
                ended: !is_present && ticks.is_up_to(&moment.store.clocks[ticks.clock.index()]),
            };
            if stays.is_none() {
                series.column = self.rings.take();
                let (from, until) = self.clocks[clock as usize].numbers();
                if !self.read(clock, &series, (from, until), moment) {
                    return Err(Blocked::ForNow);
                }
            }
            let (from, until) = self.clocks[clock as usize].numbers();
            let empty = bits::first(self.rings.present(series.column), from, until).is_none();
            if !is_present && empty && series.ended {
                self.rings.release(series.column);
                continue;
            }
            self.series.push(series);
            match self.spans.last_mut() {
                Some(span) if (span.clock, span.group) == (clock, member.group) => span.end += 1,
                _ => self.spans.push(Span {
                    clock,
                    group: member.group,
                    end: self.series.len(),
                }),
            }
        }
        Ok(())
    }

    /// Reads the samples `from..until` of a series from history. False where some of what is seen there was another
    /// target's, whose times are not these.
    fn read(
        &mut self,
        clock: u32,
        series: &Series,
        (from, until): (u64, u64),
        moment: &Moment<'_>,
    ) -> bool {
        let mut is_whole = true;
        let range_ms = self.function.range_ms;
        let mut at = from;
        let from_tick = self.clocks[clock as usize].tick(from.min(until.saturating_sub(1)));
        moment.store.each_run(series.id, from_tick, |run: Stretch| {
            let ticks = &self.clocks[clock as usize];
            if run.clock != ticks.clock {
                is_whole &= !is_seen(&run, moment, range_ms);
                return;
            }
            while at < until && ticks.tick(at) < run.first_tick {
                self.rings.put_absent(series.column, at);
                at += 1;
            }
            while at < until && self.clocks[clock as usize].tick(at) < run.end_tick {
                self.append(series.column, at, run.bits, series.clamp_negative);
                at += 1;
            }
        });
        is_whole
    }

    /// The series has this value (or none) at the sample `number`, its newest.
    #[inline]
    fn append(&mut self, column: u32, number: u64, sample_bits: u64, clamp_negative: bool) {
        if sample_bits == crate::store::STALE {
            return self.rings.put_absent(column, number);
        }
        let mut value = f64::from_bits(sample_bits);
        if clamp_negative && value < 0.0 {
            value = 0.0;
        }
        let oldest = (number + 1).saturating_sub(self.rings.places() as u64);
        let marked = match self.marks {
            Marks::Nothing => false,
            Marks::Falls | Marks::Changes => {
                let before = bits::last(self.rings.present(column), oldest, number);
                let resets = self.marks == Marks::Falls;
                before.is_some_and(|before| {
                    floats::is_transition(resets, self.rings.value(column, before), value)
                })
            }
            Marks::Maxima | Marks::Minima => {
                let max = self.marks == Marks::Maxima;
                while let Some(back) = bits::last(self.rings.marks(column), oldest, number)
                    && floats::beaten(max, self.rings.value(column, back), value)
                {
                    self.rings.unmark(column, back);
                }
                !value.is_nan()
            }
        };
        self.rings.put(column, number, value, marked);
    }

    /// Takes in what has happened since the last evaluation.
    fn sync(&mut self, moment: &Moment<'_>) -> Result<(), Unbound> {
        let range_ms = self.function.range_ms;
        for ticks in &mut self.clocks {
            ticks.advance(&moment.store.clocks[ticks.clock.index()], range_ms)?;
        }
        let mut at = 0;
        for index in 0..self.spans.len() {
            let span = self.spans[index];
            let ticks = &self.clocks[span.clock as usize];
            let (clock, news) = (ticks.clock, ticks.news());
            if news.0 == news.1 {
                at = span.end;
                continue;
            }
            let first_tick = ticks.tick(news.0);
            while at < span.end {
                let mut series = self.series[at];
                let row = moment.store.series.row(series.id);
                let ended = series.ended || row.clock != clock;
                if !ended && row.since > first_tick {
                    // Several pages have passed, and it changed in one that is not the first of them.
                    if !self.read(span.clock, &series, news, moment) {
                        return Err(Unbound);
                    }
                } else {
                    let sample = if ended { crate::store::STALE } else { row.bits };
                    for number in news.0..news.1 {
                        self.append(series.column, number, sample, series.clamp_negative);
                    }
                }
                series.ended = ended || !row.is_present();
                self.series[at] = series;
                at += 1;
            }
        }
        Ok(())
    }

    /// Adds the function of each series' window to its group.
    pub(super) fn fold(
        &mut self,
        moment: &Moment<'_>,
        step: Step,
        folds: &mut Folds,
    ) -> Result<(), Unbound> {
        self.sync(moment)?;
        for ticks in &mut self.clocks {
            ticks.look(moment, self.function.range_ms);
        }
        let mut at = 0;
        for index in 0..self.spans.len() {
            let span = self.spans[index];
            if self.clocks[span.clock as usize].is_seen() {
                for member in at..span.end {
                    if let Some(value) = self.value(span.clock, self.series[member].column) {
                        folds.add(step, span.group, value);
                    }
                }
            }
            at = span.end;
        }
        Ok(())
    }

    /// The function of one series' window.
    #[inline]
    fn value(&mut self, clock: u32, column: u32) -> Option<f64> {
        use FunctionId as F;
        let ticks = &self.clocks[clock as usize];
        let (from, until) = ticks.window();
        let (present, marks) = (self.rings.present(column), self.rings.marks(column));
        let first = bits::first(present, from, until)?;
        let value = |number: u64| self.rings.value(column, number);
        let last = || bits::last(present, from, until).unwrap_or(first);
        Some(match self.function.id {
            F::Rate | F::Increase | F::Delta => {
                return self.extrapolated(ticks, column, first, last());
            }
            F::Irate | F::Idelta => {
                let last = last();
                let before = bits::last(present, from, last)?;
                let sample = |number: u64| (ticks.time_ms(number), value(number));
                return floats::instant(self.function.id, sample(before), sample(last));
            }
            F::Changes | F::Resets => bits::count(marks, first + 1, until) as f64,
            // Only NaNs: the last one, as the evaluator has it.
            F::MaxOverTime | F::MinOverTime => {
                value(bits::first(marks, from, until).unwrap_or_else(last))
            }
            F::CountOverTime => bits::count(present, from, until) as f64,
            F::PresentOverTime => 1.0,
            F::FirstOverTime => value(first),
            F::LastOverTime => value(last()),
            _ => return self.refold(clock, column),
        })
    }

    fn extrapolated(&self, ticks: &Ticks, column: u32, first: u64, last: u64) -> Option<f64> {
        let (present, marks) = (self.rings.present(column), self.rings.marks(column));
        let value = |number: u64| self.rings.value(column, number);
        let mut difference = value(last) - value(first);
        if self.marks == Marks::Falls {
            let mut after = first + 1;
            while let Some(fall) = bits::first(marks, after, last + 1) {
                difference += value(bits::last(present, first, fall)?);
                after = fall + 1;
            }
        }
        let sampled = floats::Sampled {
            first_ms: ticks.time_ms(first),
            last_ms: ticks.time_ms(last),
            count: bits::count(present, first, last + 1) as usize,
            first: value(first),
            difference,
        };
        let end_ms = ticks.end_ms();
        let start_ms = end_ms.saturating_sub(self.function.range_ms);
        floats::extrapolated(self.function.id, sampled, start_ms, end_ms)
    }

    fn refold(&mut self, clock: u32, column: u32) -> Option<f64> {
        let ticks = &self.clocks[clock as usize];
        let time_ms = |number: u64| ticks.time_ms(number);
        let times: Option<(&dyn Fn(u64) -> i64, &mut Vec<i64>)> =
            floats::needs_times(self.function.id).then_some((&time_ms, &mut self.times));
        self.rings
            .copy(column, ticks.window(), times, &mut self.values);
        let Function { id, param, .. } = self.function;
        floats::refold(
            id,
            &self.times,
            &self.values,
            ticks.end_ms(),
            param,
            &mut self.sorted,
        )
    }
}

/// No ring is longer, whatever interval a target claims: a day at 100 ms.
const PLACES_MAX: usize = 864_000;

/// Whether a run on another clock than the series' own may be seen in the window.
fn is_seen(run: &Stretch, moment: &Moment<'_>, range_ms: i64) -> bool {
    if run.bits == crate::store::STALE {
        return false;
    }
    if run.clock == ClockId::OWN {
        return true;
    }
    let Some(last) = moment.store.clocks[run.clock.index()].at(run.end_tick - 1) else {
        return false;
    };
    let target = moment.facts.target(TargetId(run.clock.0 / 2));
    let end_ms = target
        .and_then(|target| target.last_good_ms)
        .unwrap_or(moment.at_ms)
        .min(moment.at_ms);
    last.time_ms > end_ms.saturating_sub(range_ms)
}
