//! The store: the newest value and the compressed history of every series, and the label index.
//!
//! One writer changes it, any number of readers copy from it. The lock is held briefly: the writer touches only what
//! changed on a page and releases the lock between batches; a reader copies at most `READ_BATCH_SERIES` series per
//! lock hold and decodes after releasing it.
//!
//! * `store` is the type [`Store`], whose methods stand in the files of what they are about.
//! * Series: `series` (rows), `symbols` (interned strings), `label_shapes` and `label_interner` (label sets),
//!   `postings` (label index), `matching` (matchers to series ids).
//! * Samples: `clock` (scrape times), `history` (appending, sealing), `retention` (dropping), `order` (which samples are too
//!   late), `codec` (the format), `slab` (the memory), `listed` (rows that templates name), `eviction` (giving memory back),
//!   `native_histograms`, `exemplars`.
//! * Reading: `selection` (copies for queries), `explicit_times` (samples with times of their own), `visible_ticks`
//!   (failed scrapes and staleness), `value_runs` (uncompressed runs for compiled signals), `time_range` (of which times there
//!   is something), `lookup` (what the writer asks beside samples).
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
mod retention;
mod selection;
mod series;
mod sharded_table;
mod slab;
#[expect(
    clippy::module_inception,
    reason = "it is the file of the type `Store`"
)]
mod store;
mod symbol;
mod symbols;
mod time_range;
mod value_runs;
mod visible_ticks;

pub(crate) use crate::ids::ClockId;
pub(crate) use clock::{Clock, ScrapeEntry};
pub(crate) use codec::STALE;
pub(crate) use epoch_reclaim::Pin;
pub(crate) use families::Families;
pub(crate) use growth::{AtMost, CountedGrowth, Growth};
pub(crate) use history::AppendOutcome;
pub(crate) use id_set::{GrowingIdSet, IdSet};
pub(crate) use lookup::is_counter;
pub(crate) use matching::{ReadBudget, for_each_match, for_each_match_within};
pub(crate) use native_histograms::{
    HISTOGRAM, TimedHistogram, bytes as histogram_bytes, fill as fill_histograms,
};
pub(crate) use postings::IndexRuns;

pub(crate) use crate::ids::{SeriesId, TargetId};
pub use exemplars::Exemplar;
pub(crate) use order::Onward;
pub(crate) use persist::{Cut, SeriesReader, SeriesWriter};
pub(crate) use selection::{SelectionSnapshot, Visibility};
pub(crate) use series::{REMOVALS_CHUNK, Row, Series};
pub(crate) use slab::SMALL_BLOCK_BYTES;
pub use store::Bytes;
pub(crate) use store::Store;
pub(crate) use visible_ticks::{ClockVisibility, Ticks};

pub(crate) use value_runs::{LabelGroups, ValueRun};

pub use selection::PlainView;
