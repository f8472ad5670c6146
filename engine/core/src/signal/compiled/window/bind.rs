//! Binding a window: the series that it has from now on, their clocks, and the columns of their samples.

use hashbrown::HashMap;

use crate::store::{ClockId, SeriesId};

use super::super::bits;
use super::super::halt::{Blocked, OUT_OF_MEMORY};
use super::super::members::{Found, Member, number};
use super::super::range::Samples;
use super::super::summed::Summed;
use super::super::ticks::Ticks;
use super::super::visibility::EvalSnapshot;
use super::{Series, Span, Window};

/// Columns by series and clock.
type Columns = HashMap<(SeriesId, ClockId), u32>;

/// A member with the place of its clock, and the number of the sum that it is a part of.
struct Placed<'f> {
    clock: u32,
    member: &'f Member,
    sum: Option<usize>,
}

impl Window {
    /// Sets the series. Those that it had before keep their samples; those of the others are read from history. Error: they
    /// exceed `bytes_max`, or the history of one spans two targets.
    pub(in super::super) fn bind(
        &mut self,
        found: &Found,
        snapshot: &EvalSnapshot<'_>,
        bytes_max: usize,
    ) -> Result<(), Blocked> {
        let mut ids: Vec<ClockId> = Vec::new();
        for member in found.members.iter().chain(found.sums.iter().flatten()) {
            number(&mut ids, member.clock);
        }
        let columns = self.take_columns(&ids, snapshot);
        let members = self.members(found, &ids, snapshot);
        let elements = members.len() + found.sums.len();
        let places = self.samples.rings.places();
        let clocks = Ticks::bytes_for(places).saturating_mul(self.clocks.len());
        let samples = self.samples.bytes_for(elements).max(self.samples.bytes());
        // Nothing of the length of the range has been made yet.
        if clocks.saturating_add(samples) > bytes_max {
            return Err(OUT_OF_MEMORY);
        }
        self.samples.reserve();
        for ticks in &mut self.clocks {
            ticks.resize(places);
        }
        self.fill(&members, columns, snapshot)?;
        self.seen = vec![0; self.series.len() + self.sums.len()];
        Ok(())
    }

    /// Puts the clocks into the order of `ids`. Returns the columns of series whose samples can be continued.
    fn take_columns(&mut self, ids: &[ClockId], snapshot: &EvalSnapshot<'_>) -> Columns {
        let before: Vec<ClockId> = self.clocks.iter().map(|ticks| ticks.clock).collect();
        let kept = self.take_clocks(ids, snapshot);
        let mut columns = Columns::new();
        let mut start = 0;
        for span in std::mem::take(&mut self.spans) {
            for series in &self.series[start..span.end] {
                if kept[span.clock as usize] {
                    columns.insert((series.id, before[span.clock as usize]), series.column);
                } else {
                    self.samples.rings.release(series.column);
                }
            }
            start = span.end;
        }
        self.series.clear();
        for sum in self.sums.drain(..) {
            self.samples.rings.release(sum.column());
        }
        columns
    }

    /// Sets the clocks. Returns for each of those before whether its samples can be continued.
    fn take_clocks(&mut self, ids: &[ClockId], snapshot: &EvalSnapshot<'_>) -> Vec<bool> {
        let reach = self.samples.function.reach();
        let mut before = std::mem::take(&mut self.clocks);
        let can_continue = |ticks: &Ticks| {
            ids.contains(&ticks.clock)
                && ticks.can_continue(&snapshot.store.clocks[ticks.clock.index()])
        };
        let mut kept: Vec<bool> = before.iter().map(can_continue).collect();
        let fresh: Vec<Option<Ticks>> = ids
            .iter()
            .map(|id| {
                let stays = before
                    .iter()
                    .zip(&kept)
                    .any(|(ticks, kept)| *kept && ticks.clock == *id);
                (!stays).then(|| Ticks::new(*id, &snapshot.store.clocks[id.index()], reach))
            })
            .collect();
        let needed = fresh
            .iter()
            .flatten()
            .map(Ticks::samples)
            .chain(ids.iter().map(|id| {
                let target = snapshot.facts.target_of(*id);
                target.map_or(0, |target| (reach.ms / target.interval_ms) as usize)
            }));
        // Two more: scrapes may come a little early.
        let more = 2 + usize::from(reach.one_before);
        let needed = needed.max().unwrap_or(0).saturating_add(more);
        if needed > self.samples.rings.places() || before.is_empty() {
            self.samples = Samples::new(self.samples.function, needed);
            self.series.clear();
            self.spans.clear();
            self.sums.clear();
            kept.fill(false);
            let clocks = ids
                .iter()
                .map(|id| Ticks::new(*id, &snapshot.store.clocks[id.index()], reach));
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

    /// Members that are on the page or may have samples in the window.
    fn members<'f>(
        &self,
        found: &'f Found,
        ids: &[ClockId],
        snapshot: &EvalSnapshot<'_>,
    ) -> Vec<Placed<'f>> {
        let of_sums = found.sums.iter().enumerate();
        let of_sums = of_sums.flat_map(|(at, sum)| sum.iter().map(move |one| (one, Some(at))));
        let all = found.members.iter().map(|one| (one, None)).chain(of_sums);
        let mut at = 0;
        let members = all.filter_map(|(member, sum)| {
            if ids[at] != member.clock {
                at = ids.iter().position(|id| *id == member.clock)?;
            }
            let row = snapshot.store.series.row(member.series);
            let matters = row.is_present() || row.since > self.clocks[at].oldest_tick();
            matters.then_some(Placed {
                clock: at as u32,
                member,
                sum,
            })
        });
        members.collect()
    }

    /// Gives every member a column, and reads the samples of new ones from history.
    fn fill(
        &mut self,
        members: &[Placed<'_>],
        mut columns: Columns,
        snapshot: &EvalSnapshot<'_>,
    ) -> Result<(), Blocked> {
        let stay: Vec<Option<u32>> = members
            .iter()
            .map(|Placed { member, .. }| columns.remove(&(member.series, member.clock)))
            .collect();
        for column in columns.into_values() {
            self.samples.rings.release(column);
        }
        for (placed, stays) in members.iter().zip(stay) {
            let series = self.series(placed, stays, snapshot)?;
            let is_present = snapshot.store.series.row(series.id).is_present();
            let (from, until) = self.clocks[placed.clock as usize].numbers();
            let present = self.samples.rings.present(series.column);
            if !is_present && series.ended && bits::first(present, from, until).is_none() {
                self.samples.rings.release(series.column);
                continue;
            }
            self.series.push(series);
            let (clock, group) = (placed.clock, placed.member.group);
            let of_sum = placed.sum.is_some();
            match self.spans.last_mut() {
                Some(span) if (span.clock, span.group, span.of_sum) == (clock, group, of_sum) => {
                    span.end += 1;
                }
                _ => self.spans.push(Span {
                    clock,
                    group,
                    end: self.series.len(),
                    of_sum,
                }),
            }
            if let Some(sum) = placed.sum {
                self.add_part((clock, group), sum, series.column);
            }
        }
        for sum in &self.sums {
            let numbers = self.clocks[sum.clock as usize].numbers();
            sum.append(&mut self.samples, numbers);
        }
        Ok(())
    }

    /// Adds a column to the sum of this number, the last one or the next.
    fn add_part(&mut self, place: (u32, u32), sum: usize, column: u32) {
        match self.sums.last_mut() {
            Some(last) if last.number == sum => last.add(column),
            _ => {
                let own = self.samples.rings.take();
                self.sums.push(Summed::new(sum, place, own, column));
            }
        }
    }

    /// A member with its samples: those of its column if it stays, or those of history.
    fn series(
        &mut self,
        placed: &Placed<'_>,
        stays: Option<u32>,
        snapshot: &EvalSnapshot<'_>,
    ) -> Result<Series, Blocked> {
        let Placed { clock, member, .. } = *placed;
        let is_present = snapshot.store.series.row(member.series).is_present();
        let ticks = &self.clocks[clock as usize];
        let mut series = Series {
            id: member.series,
            column: stays.unwrap_or_default(),
            clamp_negative: member.clamp_negative,
            ended: !is_present && ticks.is_current(&snapshot.store.clocks[ticks.clock.index()]),
        };
        if stays.is_none() {
            series.column = self.samples.rings.take();
            let numbers = self.clocks[clock as usize].numbers();
            self.read(clock, &series, numbers, snapshot)?;
        }
        Ok(series)
    }
}
