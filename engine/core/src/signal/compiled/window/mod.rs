//! Leaves that read ranges: the samples of each series' window, kept from page to page.
//!
//! Every good scrape has a running number per target (`Ticks`), which is the place of a series' sample in its ring. The
//! sample of the newest page is taken from the row of the series; history is read only for series that are new here (`bind`),
//! and after several pages without an evaluation.
//!
//! Budget: 100 ns a series where the function looks at bits (measured: `rate` 43, `max_over_time` 18), 15 ns a sample
//! where it goes over them (60 samples: `avg` 126 ns, `deriv` 530, `stddev` 720; bench `query`, group `compiled`).

mod bind;
mod samples;
mod values;

use crate::store::SeriesId;

use super::range::{Function, Samples};
use super::summed::Summed;
use super::ticks::Ticks;

/// The series of one leaf and their samples.
pub(super) struct Window {
    clocks: Vec<Ticks>,
    series: Vec<Series>,
    /// Series in a row of one clock and group.
    spans: Vec<Span>,
    /// Behind the spans: series that are read as their sums.
    sums: Vec<Summed>,
    /// By series, then by sum: the last step of a subquery at which it had a value.
    seen: Vec<u64>,
    samples: Samples,
}

#[derive(Clone, Copy, Debug)]
struct Series {
    id: SeriesId,
    column: u32,
    clamp_negative: bool,
    /// It has disappeared from the page, and its id may belong to another series by now. If it appears again, the structure
    /// changes.
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    clock: u32,
    group: u32,
    end: usize,
    /// Its series are no elements, but parts of a sum.
    of_sum: bool,
}

impl Window {
    pub(super) fn new(function: Function) -> Window {
        Window {
            clocks: Vec::new(),
            series: Vec::new(),
            spans: Vec::new(),
            sums: Vec::new(),
            seen: Vec::new(),
            samples: Samples::new(function, 0),
        }
    }

    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    pub(super) fn clocks(&self) -> &[Ticks] {
        &self.clocks
    }

    /// How long ago a sample may be that any of its windows has.
    pub(super) fn span_ms(&self) -> i64 {
        self.samples.function.span_ms()
    }

    pub(super) fn bytes(&self) -> usize {
        self.samples.bytes() + Ticks::bytes_for(self.samples.rings.places()) * self.clocks.len()
    }

    /// Removes every sample.
    pub(super) fn forget(&mut self) {
        *self = Window::new(self.samples.function);
    }
}
