//! Leaves that read current values: runs of series with consecutive ids, aggregated group by group.
//!
//! Budget: 1 ns a series of a sum over several groups, 2 ns of others. Measured beside other work (bench `query`, group `compiled`): 0.8 ns,
//! wherever the series of a group lie; 1.5 ns for one group alone, which is hardly more than the latency of an addition.

use crate::promql::plan::AggregateOp;
use crate::store::{ClockId, HISTOGRAM, SeriesId, Store};

use super::fold::{Folds, Step};
use super::lanes::{GroupRun, Lanes};
use super::members::{Found, Member};
use super::visibility::{EvalSnapshot, PageVisibility};

/// The series of one leaf.
#[derive(Default)]
pub(super) struct Instant {
    clocks: Vec<ClockId>,
    /// By clock, at this evaluation.
    current: Vec<bool>,
    runs: Vec<IdRun>,
    lanes: Lanes,
    /// Behind the runs: series that are read as one.
    sums: Vec<SumOf>,
    sum_rows: Vec<SumRow>,
    series: usize,
}

/// Series that are equal under the name that the query requests: their sum is one element.
#[derive(Clone, Copy, Debug)]
struct SumOf {
    clock: u32,
    group: u32,
    /// The end of its rows in the list of all.
    end: usize,
}

#[derive(Clone, Copy, Debug)]
struct SumRow {
    series: SeriesId,
    clamp_negative: bool,
}

/// Series with consecutive ids, of one clock and group.
#[derive(Clone, Copy, Debug)]
struct IdRun {
    first: u32,
    len: u32,
    clock: u32,
    group: u32,
    clamp_negative: bool,
}

impl Instant {
    pub(super) fn bind(&mut self, found: &Found) {
        self.clocks.clear();
        self.runs.clear();
        self.bind_sums(found);
        self.series = found.members.len() + self.sum_rows.len();
        for member in &found.members {
            let clock = super::members::number(&mut self.clocks, member.clock);
            match self.runs.last_mut() {
                Some(last)
                    if last.first + last.len == member.series.0
                        && (last.clock, last.group) == (clock, member.group)
                        && last.clamp_negative == member.clamp_negative =>
                {
                    last.len += 1;
                }
                _ => self.runs.push(IdRun {
                    first: member.series.0,
                    len: 1,
                    clock,
                    group: member.group,
                    clamp_negative: member.clamp_negative,
                }),
            }
        }
        self.current.clear();
        self.current.resize(self.clocks.len(), false);
        self.lanes.bind(found.members.len(), found.groups.len());
    }

    fn bind_sums(&mut self, found: &Found) {
        self.sums.clear();
        self.sum_rows.clear();
        for rows in &found.sums {
            let Some(first) = rows.first() else { continue };
            let row = |member: &Member| SumRow {
                series: member.series,
                clamp_negative: member.clamp_negative,
            };
            self.sum_rows.extend(rows.iter().map(row));
            self.sums.push(SumOf {
                clock: super::members::number(&mut self.clocks, first.clock),
                group: first.group,
                end: self.sum_rows.len(),
            });
        }
    }

    pub(super) fn clocks(&self) -> &[ClockId] {
        &self.clocks
    }

    pub(super) fn series(&self) -> usize {
        self.series
    }

    /// Whether a current value is a native histogram.
    pub(super) fn reads_histograms(&self, store: &Store) -> bool {
        let of_runs = self
            .runs
            .iter()
            .flat_map(|run| run.first..run.first + run.len);
        let of_sums = self.sum_rows.iter().map(|row| row.series);
        let mut all = of_runs.map(SeriesId).chain(of_sums);
        all.any(|id| store.series.row(id).bits == HISTOGRAM)
    }

    /// Adds the current values to their groups.
    pub(super) fn fold(&mut self, snapshot: &EvalSnapshot<'_>, step: Step, folds: &mut Folds) {
        let mut has_changed = false;
        for (clock, current) in self.clocks.iter().zip(&mut self.current) {
            let now = match snapshot.visibility(*clock) {
                PageVisibility::Hidden => false,
                PageVisibility::Visible { current, .. } => current,
            };
            has_changed |= std::mem::replace(current, now) != now;
        }
        if has_changed {
            self.set_lanes();
        }
        let is_sum = matches!(step, Step::Aggregate(AggregateOp::Sum | AggregateOp::Avg));
        if is_sum && self.sums.is_empty() && self.lanes.sum(snapshot.store.series.rows(), folds) {
            return;
        }
        // The sum has a loop of its own.
        if step == Step::Aggregate(AggregateOp::Sum) {
            self.each(snapshot.store, |group, mut values| match values.ids.len() {
                // Runs of one series: keeping the sum in registers would gain nothing.
                1 => {
                    if let Some(value) = values.next() {
                        folds.add(Step::Aggregate(AggregateOp::Sum), group, value);
                    }
                }
                _ => folds.sum(group, &mut values),
            });
        } else {
            self.each(snapshot.store, |group, values| {
                values.for_each(|value| folds.add(step, group, value));
            });
        }
        self.add_sums(snapshot.store, step, folds);
    }

    /// Gives lanes the series of the clocks that are current.
    fn set_lanes(&mut self) {
        let current = &self.current;
        let runs = self.runs.iter();
        let runs = runs.filter(|run| current[run.clock as usize]);
        self.lanes.set(runs.map(|run| GroupRun {
            first: run.first,
            len: run.len,
            group: run.group,
            clamp_negative: run.clamp_negative,
        }));
    }

    /// Adds the sum of the current values of each set of equal series, without compensation as the signal view does.
    fn add_sums(&self, store: &Store, step: Step, folds: &mut Folds) {
        let mut start = 0;
        for sum in &self.sums {
            let rows = &self.sum_rows[start..sum.end];
            start = sum.end;
            if !self.current[sum.clock as usize] {
                continue;
            }
            let values = rows.iter().filter_map(|row| {
                let present = store.series.row(row.series);
                present
                    .is_present()
                    .then(|| shown(present.bits, row.clamp_negative))
            });
            if let Some(value) = values.reduce(|sum, value| sum + value) {
                folds.add(step, sum.group, value);
            }
        }
    }

    /// Calls `fold` with the group and the values of each run.
    #[inline(always)]
    fn each(&self, store: &Store, mut fold: impl FnMut(u32, Values<'_>)) {
        for stretch in &self.runs {
            if self.current[stretch.clock as usize] {
                let values = Values {
                    store,
                    ids: stretch.first..stretch.first + stretch.len,
                    clamp_negative: stretch.clamp_negative,
                };
                fold(stretch.group, values);
            }
        }
    }
}

/// The current values of a run.
struct Values<'s> {
    store: &'s Store,
    ids: std::ops::Range<u32>,
    clamp_negative: bool,
}

impl Iterator for Values<'_> {
    type Item = f64;

    #[inline(always)]
    fn next(&mut self) -> Option<f64> {
        loop {
            let row = self.store.series.row(SeriesId(self.ids.next()?));
            if !row.is_present() {
                continue;
            }
            return Some(shown(row.bits, self.clamp_negative));
        }
    }
}

/// The value that a query sees.
#[inline(always)]
fn shown(bits: u64, clamp_negative: bool) -> f64 {
    let value = f64::from_bits(bits);
    if clamp_negative && value < 0.0 {
        0.0
    } else {
        value
    }
}
