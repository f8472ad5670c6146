//! The series of one selector, copied out of the store, and how they are decoded.

use std::sync::Arc;

use hashbrown::HashMap;

use super::super::codec::{Encoded, STALE};
use super::super::explicit_times;
use super::super::native_histograms::{self, HISTOGRAM, TimedHistogram};
use super::super::visible_ticks::Ticks;
use crate::ids::ClockId;
use crate::labels::Labels;
use crate::promql::select::{LastSample, Samples, Selection};

/// The series of one selector, copied out of the store.
pub(crate) struct SelectionSnapshot {
    pub(super) items: Vec<SnapshotSeries>,
    pub(super) segments: Vec<Segment>,
    pub(super) data: Vec<u8>,
    pub(super) label_bytes: usize,
    pub(super) clocks: HashMap<u32, Ticks>,
    /// By index of the series, ascending: those that have native histograms.
    pub(super) native_histograms: Vec<(usize, Vec<TimedHistogram>)>,
    pub(super) after_ms: i64,
    pub(super) until_ms: i64,
    /// Whether a page lists a series of which nothing is in the range, because its page states another time.
    pub(super) lists_unread: bool,
}

/// One series of a snapshot: runs in some segments, then the current run.
pub(super) struct SnapshotSeries {
    pub(super) labels: Labels,
    pub(super) segments: std::ops::Range<u32>,
    pub(super) clock: ClockId,
    pub(super) since: i64,
    pub(super) bits: u64,
    pub(super) clamp_negative: bool,
}

/// The ops of one block: heads, then bodies.
pub(super) struct Segment {
    pub(super) clock: ClockId,
    pub(super) first_tick: i64,
    pub(super) heads: std::ops::Range<usize>,
    pub(super) end: usize,
}

impl SelectionSnapshot {
    /// Whether the newest page of a target lists a series of which the range has no sample, because the page states a time
    /// of its own for it.
    pub(crate) fn lists_unread(&self) -> bool {
        self.lists_unread
    }

    /// Bytes that it holds: series, their labels, history.
    pub(super) fn held_bytes(&self) -> u64 {
        let series = self.items.len() * size_of::<SnapshotSeries>();
        let segments = self.segments.len() * size_of::<Segment>();
        (series + segments + self.label_bytes + self.data.len()) as u64
    }

    fn ops(&self, segment: &Segment) -> Encoded<'_> {
        Encoded {
            heads: &self.data[segment.heads.clone()],
            bodies: &self.data[segment.heads.end..segment.end],
        }
    }

    /// The value that a series has now.
    fn push_current(&self, item: &SnapshotSeries, samples: &mut Samples) {
        let (tick, bits) = (item.since, item.bits);
        if item.clock == ClockId::EXPLICIT {
            if tick > self.after_ms && tick <= self.until_ms {
                samples.times_ms.push(tick);
                samples.values.push(f64::from_bits(bits));
            }
        } else if let Some(ticks) = self.clocks.get(&item.clock.0) {
            if bits == STALE {
                ticks.push_absent(tick, samples);
            } else {
                ticks.push_run(tick, i64::MAX, bits, samples);
            }
        }
    }
}

impl Selection for SelectionSnapshot {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.items[index].labels
    }

    /// A byte of history is about a sample, and so is a tick at which a value stood.
    fn samples_about(&self) -> usize {
        let ticks = self.clocks.values().map(Ticks::len).max();
        self.data.len() + self.items.len().saturating_mul(ticks.unwrap_or(0))
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        samples.clear();
        let item = &self.items[index];
        for segment in &self.segments[item.segments.start as usize..item.segments.end as usize] {
            let ops = self.ops(segment);
            if segment.clock == ClockId::EXPLICIT {
                let window = (self.after_ms, self.until_ms);
                explicit_times::push(ops, segment.first_tick, window, samples);
            } else if let Some(ticks) = self.clocks.get(&segment.clock.0) {
                ticks.push_ops(segment.first_tick, ops, samples);
            }
        }
        self.push_current(item, samples);
        if item.clamp_negative {
            samples.values.iter_mut().for_each(clamp_negative);
        }
        if let Some(histograms) = self.histograms_of(index) {
            native_histograms::fill(samples, histograms);
        }
    }

    fn last(&self, index: usize, scratch: &mut Samples) -> Option<LastSample> {
        let item = &self.items[index];
        let quick = self
            .clocks
            .get(&item.clock.0)
            .and_then(|ticks| ticks.newest_good());
        if let Some((tick, time_ms)) =
            quick.filter(|(tick, _)| item.bits != STALE && item.since <= *tick)
        {
            debug_assert!(tick >= item.since);
            if item.bits == HISTOGRAM {
                let histograms = self.histograms_of(index)?;
                let at = histograms.binary_search_by_key(&time_ms, |(at_ms, _)| *at_ms);
                return Some(LastSample {
                    time_ms,
                    value: 0.0,
                    histogram: Some(Arc::clone(&histograms[at.ok()?].1)),
                });
            }
            let mut value = f64::from_bits(item.bits);
            if item.clamp_negative {
                clamp_negative(&mut value);
            }
            return Some(LastSample {
                time_ms,
                value,
                histogram: None,
            });
        }
        self.read(index, scratch);
        let at = scratch.times_ms.len().checked_sub(1)?;
        let (time_ms, value) = (scratch.times_ms[at], scratch.values[at]);
        Some(LastSample {
            time_ms,
            value,
            histogram: scratch.histograms.get(at).cloned().flatten(),
        })
    }
}

/// A negative queue length is a known race of the gateway and means an empty queue.
fn clamp_negative(value: &mut f64) {
    if *value < 0.0 {
        *value = 0.0;
    }
}

impl SelectionSnapshot {
    /// The clock of a series; `None` if its samples have explicit timestamps.
    pub(crate) fn clock(&self, index: usize) -> Option<ClockId> {
        let clock = self.items[index].clock;
        (clock != ClockId::EXPLICIT).then_some(clock)
    }

    fn histograms_of(&self, index: usize) -> Option<&[TimedHistogram]> {
        if self.native_histograms.is_empty() {
            return None;
        }
        let at = self
            .native_histograms
            .binary_search_by_key(&index, |(item, _)| *item);
        at.ok().map(|at| self.native_histograms[at].1.as_slice())
    }
}
