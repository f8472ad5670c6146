//! What a page has that the template has not, and the other way round.
//!
//! It is kept from page to page, so that a page as long as the last one allocates nothing.

use std::ops::Range;

use crate::ids::SeriesId;
use crate::labels::Labels;

use super::super::template::Place;
use crate::metadata::FamilyType;

/// A value that is not the text it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) place: Place,
    /// Where the row's text begins in its chunk.
    pub(crate) text_at: u32,
    pub(crate) value_at: u32,
    pub(crate) value_len: u32,
    /// `None` where relabelling drops the sample or another line has its series.
    pub(crate) series: Option<SeriesId>,
    pub(crate) bits: u64,
}

/// A sample that is handed over at every scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Always {
    pub(crate) series: SeriesId,
    pub(crate) time_ms: Option<i64>,
    pub(crate) bits: u64,
}

/// What stands between two edits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    /// Rows of the old template.
    Keep(Place, Place),
    /// Entry of `Page::new_lines`.
    New(u32),
}

/// A line that the template does not have.
#[derive(Debug)]
pub(crate) struct NewLine {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
    pub(crate) kind: NewKind,
}

/// What a new line is.
#[derive(Debug)]
pub(crate) enum NewKind {
    /// A run of lines that are passed over.
    Skipped(FamilyType),
    Comment,
    Type(FamilyType),
    Sample {
        labels: Option<Labels>,
        bits: u64,
        time_ms: Option<i64>,
    },
}

/// HELP or TYPE of a family, as the page says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    Help(String, String),
    Type(String, FamilyType),
}

/// The difference between a page and the template. Reused from page to page.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) changes: Vec<Change>,
    pub(crate) always: Vec<Always>,
    /// Empty where no line came, went or moved.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) new_lines: Vec<NewLine>,
    /// Series of rows that the page no longer has.
    pub(crate) gone: Vec<SeriesId>,
    pub(crate) metadata: Vec<Metadata>,
    /// Sample lines on the page.
    pub(crate) samples: u64,
    /// Those that relabelling drops, and those that are not kept.
    pub(crate) dropped: u64,
    /// Lines passed over.
    pub(crate) skipped: u64,
    /// New samples that are not kept, for what their labels tell.
    pub(crate) looked_at: Vec<Labels>,
    /// Scratch.
    pub(super) key: Vec<u8>,
}

impl Page {
    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.always.clear();
        self.pieces.clear();
        self.new_lines.clear();
        self.gone.clear();
        self.metadata.clear();
        self.looked_at.clear();
        self.samples = 0;
        self.dropped = 0;
        self.skipped = 0;
    }

    /// Bytes held between pages.
    pub(crate) fn bytes(&self) -> usize {
        self.changes.capacity() * size_of::<Change>()
            + self.always.capacity() * size_of::<Always>()
            + self.pieces.capacity() * size_of::<Piece>()
            + self.new_lines.capacity() * size_of::<NewLine>()
            + self.gone.capacity() * size_of::<SeriesId>()
    }
}
