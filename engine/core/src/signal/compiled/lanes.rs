//! Sums and means of several groups at the same time.
//!
//! A compensated sum is a chain: each addition waits for the one before it, three to four cycles, and the order inside a group
//! is given. Four groups side by side hide that wait, and need no branch: the rounding error of an addition is computed by
//! `kahan_inc_finite`, which is wrong only where a total is not finite. Series that are absent have the bits of a NaN, so one
//! look at the sums tells whether a group had anything but numbers; then the caller adds one by one.
//!
//! Members are taken in stretches of all groups, so that rows of neighbours in different groups are read once.

use crate::promql::incremental::{kahan_inc, kahan_inc_finite};
use crate::store::Row;

use super::fold::{Folds, State};

/// Groups that are added at the same time.
const WIDTH: usize = 4;

/// Rows that are read between two turns of the same group: 16 kB, half of the nearest cache.
const ROWS_PER_TURN: usize = 512;

/// Evaluations that are not tried after one in which some group had no finite sum.
const PAUSE: u8 = 15;

/// The members of all groups of a leaf.
#[derive(Default)]
pub(super) struct Lanes {
    /// Ids of series, group by group, each in order.
    ids: Vec<u32>,
    /// The longest first.
    lanes: Vec<Lane>,
    /// By lane.
    sums: Vec<f64>,
    /// By lane.
    compensations: Vec<f64>,
    /// Groups by their first member.
    order: Vec<u32>,
    /// By group, while lanes are set.
    lengths: Vec<u32>,
    clamp_negative: bool,
    pause: u8,
}

/// The members of one group.
#[derive(Clone, Copy, Debug)]
struct Lane {
    group: u32,
    start: u32,
    len: u32,
}

/// Series with consecutive ids in one group.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupRun {
    pub(super) first: u32,
    pub(super) len: u32,
    pub(super) group: u32,
    pub(super) clamp_negative: bool,
}

impl Lanes {
    /// Makes room, so that `set` allocates nothing.
    pub(super) fn bind(&mut self, members: usize, groups: usize) {
        *self = Lanes {
            ids: Vec::with_capacity(members),
            lanes: Vec::with_capacity(groups),
            sums: Vec::with_capacity(groups),
            compensations: Vec::with_capacity(groups),
            order: Vec::with_capacity(groups),
            lengths: vec![0; groups],
            ..Lanes::default()
        };
    }

    /// Sets the members, in order. Groups of one or two, and series that are clamped beside others that are not, gain nothing:
    /// then there are no lanes.
    pub(super) fn set(&mut self, runs: impl Iterator<Item = GroupRun> + Clone) {
        self.lanes.clear();
        self.order.clear();
        self.lengths.fill(0);
        self.pause = 0;
        let mut members = 0;
        let (mut any_clamped, mut all_clamped) = (false, true);
        for run in runs.clone() {
            let length = &mut self.lengths[run.group as usize];
            if *length == 0 {
                self.order.push(run.group);
            }
            *length += run.len;
            members += run.len;
            any_clamped |= run.clamp_negative;
            all_clamped &= run.clamp_negative;
        }
        if any_clamped != all_clamped || (members as usize) < 3 * self.order.len() {
            return;
        }
        self.clamp_negative = any_clamped;
        self.ids.clear();
        self.ids.resize(members as usize, 0);
        let mut start = 0;
        for &group in &self.order {
            let len = self.lengths[group as usize];
            self.lanes.push(Lane { group, start, len });
            // From here on where the next member of the group goes.
            self.lengths[group as usize] = start;
            start += len;
        }
        for run in runs {
            let next = &mut self.lengths[run.group as usize];
            for id in run.first..run.first + run.len {
                self.ids[*next as usize] = id;
                *next += 1;
            }
        }
        self.lanes
            .sort_unstable_by_key(|lane| (u32::MAX - lane.len, lane.start));
    }

    /// Adds the current values of all groups; false if they have to be added one by one.
    pub(super) fn sum(&mut self, rows: &[Row], folds: &mut Folds) -> bool {
        if self.lanes.is_empty() {
            return false;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        // Minus zero: what is added first stays what it is.
        self.sums.clear();
        self.sums.resize(self.lanes.len(), -0.0);
        self.compensations.clear();
        self.compensations.resize(self.lanes.len(), 0.0);
        match self.clamp_negative {
            true => self.add_all::<true>(rows),
            false => self.add_all::<false>(rows),
        }
        let mut all = self.sums.iter().chain(&self.compensations);
        if !all.all(|number| number.is_finite()) {
            self.pause = PAUSE;
            return false;
        }
        folds.set_order(&self.order);
        let sums = self.sums.iter().zip(&self.compensations);
        for (lane, (&sum, &compensation)) in self.lanes.iter().zip(sums) {
            folds.set(lane.group, State::of_sum(lane.len, sum, compensation));
        }
        true
    }

    fn add_all<const CLAMP: bool>(&mut self, rows: &[Row]) {
        let longest = self.lanes.first().map_or(0, |lane| lane.len as usize);
        let turn = (ROWS_PER_TURN / self.lanes.len()).max(8);
        for from in (0..longest).step_by(turn) {
            let stretch = (from, from + turn);
            let (lanes, alone) = self.lanes.as_chunks::<WIDTH>();
            let (sums, sums_alone) = self.sums.as_chunks_mut::<WIDTH>();
            let (compensations, compensations_alone) = self.compensations.as_chunks_mut::<WIDTH>();
            let states = sums.iter_mut().zip(compensations);
            for (lanes, (sums, compensations)) in lanes.iter().zip(states) {
                let all = lanes.map(|lane| members(&self.ids, &lane, stretch));
                // The last one is the shortest.
                let common = all[WIDTH - 1].len();
                let together = all.map(|members| &members[..common]);
                add_together::<CLAMP>(rows, together, sums, compensations);
                let states = sums.iter_mut().zip(compensations);
                for (members, (sum, compensation)) in all.iter().zip(states) {
                    add_alone::<CLAMP>(rows, &members[common..], sum, compensation);
                }
            }
            let states = sums_alone.iter_mut().zip(compensations_alone);
            for (lane, (sum, compensation)) in alone.iter().zip(states) {
                let members = members(&self.ids, lane, stretch);
                add_alone::<CLAMP>(rows, members, sum, compensation);
            }
        }
    }
}

/// The members of a lane in this stretch of it.
fn members<'i>(ids: &'i [u32], lane: &Lane, (from, until): (usize, usize)) -> &'i [u32] {
    let (start, len) = (lane.start as usize, lane.len as usize);
    &ids[start + from.min(len)..start + until.min(len)]
}

/// Adds the members of several groups, as many of each. Not inlined, and with the sums in arrays: so the additions become
/// vector instructions.
#[inline(never)]
fn add_together<const CLAMP: bool>(
    rows: &[Row],
    together: [&[u32]; WIDTH],
    sums: &mut [f64; WIDTH],
    compensations: &mut [f64; WIDTH],
) {
    let (mut sum, mut compensation) = (*sums, *compensations);
    let [first, second, third, fourth] = together;
    let others = second.iter().zip(third).zip(fourth);
    for (first, ((second, third), fourth)) in first.iter().zip(others) {
        let ids = [*first, *second, *third, *fourth];
        let values = ids.map(|id| value::<CLAMP>(rows, id));
        for at in 0..WIDTH {
            kahan_inc_finite(values[at], &mut sum[at], &mut compensation[at]);
        }
    }
    (*sums, *compensations) = (sum, compensation);
}

/// Adds the members of one group: a chain, for which the usual addition takes fewer instructions.
fn add_alone<const CLAMP: bool>(
    rows: &[Row],
    members: &[u32],
    sum: &mut f64,
    compensation: &mut f64,
) {
    let (mut total, mut rest) = (*sum, *compensation);
    for &id in members {
        kahan_inc(value::<CLAMP>(rows, id), &mut total, &mut rest);
    }
    (*sum, *compensation) = (total, rest);
}

/// The value of a series; a NaN if it is absent.
#[inline(always)]
fn value<const CLAMP: bool>(rows: &[Row], id: u32) -> f64 {
    let value = f64::from_bits(rows[id as usize].bits);
    match CLAMP && value < 0.0 {
        true => 0.0,
        false => value,
    }
}
