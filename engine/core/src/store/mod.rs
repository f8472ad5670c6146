//! The store: the newest value and the compressed history of every series, and the label index.
//!
//! One writer changes it, any number of readers copy from it. The lock is held briefly: the writer touches only what
//! changed on a page and releases the lock between batches; a reader copies at most `READ_BATCH_SERIES` series per
//! lock hold and decodes after releasing it.
//!
//! * Series: `series` (rows), `symbols` (interned strings), `label_shapes` and `label_interner` (label sets),
//!   `postings` (label index), `matching` (matchers to series ids).
//! * Samples: `clock` (scrape times), `history` (appending, sealing, retention), `order` (which samples are too late), `codec` (the format), `slab` (the
//!   memory), `listed` (rows that templates name), `eviction` (giving memory back), `native_histograms`, `exemplars`.
//! * Reading: `snapshot` (copies for queries), `explicit_times` (samples with times of their own), `visible_ticks`
//!   (failed scrapes and staleness), `value_runs` (uncompressed runs for compiled signals), `lookup`.
//! * Snapshots: `persist`, `persist_histograms`.
//! * Families: `families` (type and help).
//! * Memory: `arena`, `epoch_reclaim` (reuse of ids), `growth` (what series will add).

mod arena;
mod clock;
mod codec;
mod epoch_reclaim;
mod eviction;
mod exemplars;
mod explicit_times;
mod families;
mod growth;
mod history;
mod id_set;
mod label_interner;
mod label_shapes;
mod listed;
mod lookup;
mod matching;
mod native_histograms;
mod order;
mod persist;
mod persist_histograms;
mod postings;
mod series;
mod sharded_table;
mod slab;
mod snapshot;
mod symbol;
mod symbols;
mod value_runs;
mod visible_ticks;

pub(crate) use crate::ids::ClockId;
pub(crate) use clock::{Clock, ScrapeEntry};
pub(crate) use codec::STALE;
pub(crate) use epoch_reclaim::Pin;
pub(crate) use families::Families;
pub(crate) use growth::{AtMost, CountedGrowth, Growth};
pub(crate) use history::{AppendOutcome, Store};
pub(crate) use id_set::{GrowingIdSet, IdSet};
pub(crate) use lookup::is_counter;
pub(crate) use matching::{ReadBudget, for_each_match, for_each_match_within};
pub(crate) use native_histograms::{
    HISTOGRAM, TimedHistogram, bytes as histogram_bytes, fill as fill_histograms,
};
pub(crate) use postings::IndexRuns;

pub(crate) use crate::ids::{SeriesId, TargetId};
pub use exemplars::Exemplar;
pub use history::Bytes;
pub(crate) use order::Onward;
pub(crate) use persist::{Cut, SeriesReader, SeriesWriter};
pub(crate) use series::{REMOVALS_CHUNK, Row, Series};
pub(crate) use slab::SMALL_BLOCK_BYTES;
pub(crate) use snapshot::{SelectionSnapshot, Visibility};
pub(crate) use visible_ticks::{ClockVisibility, Ticks};

pub(crate) use value_runs::{LabelGroups, ValueRun};

pub use snapshot::PlainView;
