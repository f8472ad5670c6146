//! The difference between a page and the template. It is reused from page to page, so a page no larger than earlier
//! ones allocates nothing.

use std::ops::Range;

use crate::ids::SeriesId;
use crate::labels::Labels;

use super::super::template::Place;
use crate::metadata::FamilyType;
use crate::store::AtMost;

/// A sample whose value has another text than in the template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) place: Place,
    /// Where the row's text begins in its chunk.
    pub(crate) text_at: u32,
    pub(crate) value_at: u32,
    pub(crate) value_len: u32,
    /// `None`: relabelling drops the sample, or its series belongs to another line.
    pub(crate) series: Option<SeriesId>,
    pub(crate) bits: u64,
}

/// A sample with an explicit timestamp. It is passed to the store at every scrape, changed or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExplicitSample {
    pub(crate) series: SeriesId,
    pub(crate) time_ms: Option<i64>,
    pub(crate) bits: u64,
}

/// A native histogram. It is passed to the store at every scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HistogramSample {
    pub(crate) series: SeriesId,
    pub(crate) time_ms: Option<i64>,
    /// Its place among those of the page.
    pub(crate) index: u32,
}

/// The sample to which an exemplar belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ExemplarOf {
    Series(SeriesId),
    /// The nth new sample.
    New(u32),
}

/// One step of the edit that turns the template into the page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EditOp {
    /// Rows of the old template.
    Keep(Place, Place),
    /// Entry of `PageDiff::new_lines`.
    New(u32),
}

/// A line that the template does not contain.
#[derive(Debug)]
pub(crate) struct NewLine {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
    pub(crate) kind: NewKind,
}

/// The kind of a new line.
#[derive(Debug)]
pub(crate) enum NewKind {
    /// A run of skipped lines.
    Skipped(FamilyType),
    Comment,
    Type(FamilyType),
    Sample {
        labels: Option<Labels>,
        bits: u64,
        /// The place of its native histogram, if it is one.
        histogram: Option<u32>,
        time_ms: Option<i64>,
    },
}

impl NewLine {
    /// Those of its sample, if it is one that is kept.
    pub(crate) fn labels(&self) -> Option<&Labels> {
        match &self.kind {
            NewKind::Sample { labels, .. } => labels.as_ref(),
            NewKind::Skipped(_) | NewKind::Comment | NewKind::Type(_) => None,
        }
    }
}

/// A HELP, TYPE or UNIT line: the family, and its help text, type or unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    Help(String, String),
    Type(String, FamilyType),
    Unit(String, String),
}

/// New lines whose memory is kept for the next page.
const NEW_LINES_KEPT_MAX: usize = 1_024;

/// The difference between a page and the template. Reused from page to page.
pub(crate) struct PageDiff {
    /// Lines that a page may have; one with more is refused.
    pub(super) lines_max: usize,
    pub(crate) changes: Vec<Change>,
    pub(crate) explicit: Vec<ExplicitSample>,
    pub(crate) histograms: Vec<HistogramSample>,
    /// Exemplars with the places of their texts.
    pub(crate) exemplars: Vec<(ExemplarOf, Range<usize>)>,
    /// New lines that are samples.
    pub(super) new_samples: u32,
    /// Those of them that are kept, and the bytes of their labels.
    pub(crate) new_series: AtMost,
    pub(crate) new_label_bytes: usize,
    /// The metrics of these, each as often as it follows another one.
    pub(crate) new_metrics: usize,
    /// Empty when no line was added, removed or moved.
    pub(crate) edits: Vec<EditOp>,
    pub(crate) new_lines: Vec<NewLine>,
    /// Series of template rows that are not on the page.
    pub(crate) removed: Vec<SeriesId>,
    pub(crate) metadata: Vec<Metadata>,
    /// Sample lines on the page.
    pub(crate) samples: u64,
    /// Samples dropped by relabelling or not kept.
    pub(crate) dropped: u64,
    /// Lines skipped by the filter.
    pub(crate) skipped: u64,
    /// Labels of new samples that are not kept but whose values are remembered.
    pub(crate) learned: Vec<Labels>,
    /// Scratch.
    pub(super) key: Vec<u8>,
}

impl PageDiff {
    /// For pages of at most so many lines.
    pub(crate) fn new(lines_max: usize) -> PageDiff {
        PageDiff {
            lines_max,
            changes: Vec::new(),
            explicit: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            new_samples: 0,
            new_series: AtMost::default(),
            new_label_bytes: 0,
            new_metrics: 0,
            edits: Vec::new(),
            new_lines: Vec::new(),
            removed: Vec::new(),
            metadata: Vec::new(),
            samples: 0,
            dropped: 0,
            skipped: 0,
            learned: Vec::new(),
            key: Vec::new(),
        }
    }

    /// How many lines a page may have.
    pub(crate) fn lines_max(&self) -> usize {
        self.lines_max
    }

    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.explicit.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.new_samples = 0;
        self.new_series = AtMost::default();
        self.new_label_bytes = 0;
        self.new_metrics = 0;
        self.edits.clear();
        self.new_lines.clear();
        self.removed.clear();
        self.metadata.clear();
        self.learned.clear();
        self.samples = 0;
        self.dropped = 0;
        self.skipped = 0;
    }

    /// Frees what many new lines took: a page that is refused for them would hold up to 200 MB for each target that sends it.
    pub(crate) fn release(&mut self) {
        if self.new_lines.capacity() > NEW_LINES_KEPT_MAX
            || self.metadata.capacity() > NEW_LINES_KEPT_MAX
            || self.learned.capacity() > NEW_LINES_KEPT_MAX
        {
            self.new_lines = Vec::new();
            self.metadata = Vec::new();
            self.learned = Vec::new();
            self.edits = Vec::new();
            self.exemplars = Vec::new();
        }
    }

    /// Bytes held between pages.
    pub(crate) fn bytes(&self) -> usize {
        self.changes.capacity() * size_of::<Change>()
            + self.explicit.capacity() * size_of::<ExplicitSample>()
            + self.histograms.capacity() * size_of::<HistogramSample>()
            + self.exemplars.capacity() * size_of::<(ExemplarOf, Range<usize>)>()
            + self.edits.capacity() * size_of::<EditOp>()
            + self.new_lines.capacity() * size_of::<NewLine>()
            + self.metadata.capacity() * size_of::<Metadata>()
            + self.removed.capacity() * size_of::<SeriesId>()
    }
}
