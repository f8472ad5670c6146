//! How the evaluator reads a store: a [`View`] answers a selector with a [`Selection`], whose samples are decoded
//! series by series, on demand, into a buffer that the evaluator reuses.
//!
//! A view delivers samples as Prometheus' storage would: stale markers included ([`STALE_NAN_BITS`]), times
//! ascending, nothing outside the requested range. `stillwell-engine` has two views of its store (plain and for
//! signals); [`crate::script::MemoryView`] is a small one for tests.

use std::fmt;
use std::sync::Arc;

use stillwell_model::histogram::FloatHistogram;
use stillwell_model::labels::{Labels, Matcher};

use super::{MemoryLease, QueryError};

/// The bits of Prometheus' staleness marker, a NaN that no computation yields (model/value, `StaleNaN`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether this is the staleness marker (and not an ordinary NaN).
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// What a selector requests from a view.
#[derive(Clone, Copy)]
pub struct SelectRequest<'a> {
    /// Conditions; a series has to match all of them.
    pub matchers: &'a [Matcher],
    /// Samples later than this (exclusive), in milliseconds ...
    pub after_ms: i64,
    /// ... and no later than this (inclusive).
    pub until_ms: i64,
    /// Which labels the evaluator reads; a view may leave out the others.
    pub projection: Projection<'a>,
    /// Only [`Selection::last`] will be called: a view may leave out everything before the newest sample.
    pub last_only: bool,
    /// Where the view counts what it copies; `None`: nowhere. Its errors are the selection's.
    pub memory: Option<&'a MemoryLease>,
    /// Asked now and then by a view that goes through many series; its errors are the selection's.
    pub stop: Option<&'a dyn Fn() -> Result<(), QueryError>>,
}

impl fmt::Debug for SelectRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectRequest")
            .field("matchers", &self.matchers)
            .field("after_ms", &self.after_ms)
            .field("until_ms", &self.until_ms)
            .field("projection", &self.projection)
            .field("last_only", &self.last_only)
            .finish_non_exhaustive()
    }
}

impl<'a> SelectRequest<'a> {
    /// Everything that the matchers fit, with all labels and without limits.
    pub fn all(matchers: &'a [Matcher], after_ms: i64, until_ms: i64) -> SelectRequest<'a> {
        SelectRequest {
            matchers,
            after_ms,
            until_ms,
            projection: Projection::All,
            last_only: false,
            memory: None,
            stop: None,
        }
    }
}

/// Which labels of the selected series are needed. With anything but `All`, series may come back with equal labels.
#[derive(Clone, Copy, Debug)]
pub enum Projection<'a> {
    /// Every label.
    All,
    /// Only these.
    Only(&'a [Arc<str>]),
}

/// A source of series for the evaluator. Implement it to run PromQL on a store of your own; the crate documentation has
/// an example.
pub trait View: Send + Sync {
    /// The series that match and have, or may have, samples in the range, in an order that is the same for every call.
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError>;
}

/// The series of one selector: a fixed list, all as of one moment of the store. Several threads may read it at once.
pub trait Selection: Send + Sync {
    /// The number of series.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels of series `index`.
    fn labels(&self, index: usize) -> &Labels;

    /// About how many samples all series have together. It decides whether other threads are asked to help
    /// ([`crate::Helpers`]), nothing else.
    fn samples_about(&self) -> usize {
        0
    }

    /// Replaces the contents of `samples` by the samples of series `index` in the requested range.
    fn read(&self, index: usize, samples: &mut Samples);

    /// The newest sample of series `index` in the requested range, stale markers included. Stores that know it without
    /// decoding the range override this.
    fn last(&self, index: usize, scratch: &mut Samples) -> Option<LastSample> {
        self.read(index, scratch);
        let at = scratch.times_ms.len().checked_sub(1)?;
        Some(LastSample {
            time_ms: scratch.times_ms[at],
            value: scratch.values[at],
            histogram: scratch.histograms.get(at).cloned().flatten(),
        })
    }
}

/// The newest sample of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct LastSample {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The value; meaningless where there is a histogram.
    pub value: f64,
    /// The value of a native histogram series.
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// Samples of one series, column by column, ascending in time.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Milliseconds since the epoch, strictly ascending.
    pub times_ms: Vec<i64>,
    /// As long as `times_ms`. Where `histograms` has an entry, the value here is 0 (or a stale marker).
    pub values: Vec<f64>,
    /// Empty where the series has floats only, else as long as `times_ms`.
    pub histograms: Vec<Option<Arc<FloatHistogram>>>,
    /// Start timestamps: empty where none is known, else as long as `times_ms` (0 is unknown).
    pub starts_ms: Vec<i64>,
}

impl Samples {
    /// Empties every column, keeping the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.times_ms.clear();
        self.values.clear();
        self.histograms.clear();
        self.starts_ms.clear();
    }
}
