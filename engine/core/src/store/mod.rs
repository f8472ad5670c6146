//! The store: columns of last values by series, history behind them, an index before them.
//!
//! One writer changes it, many readers copy from it. What both do under the lock is short: the writer touches only
//! what changed on a page, a reader copies at most 256 series per hold and decodes afterwards.

mod apart;
mod arena;
mod clock;
mod codec;
mod history;
mod limbo;
mod lookup;
mod matching;
mod natives;
mod postings;
mod read;
mod reclaim;
mod runs;
mod series;
mod slab;
mod stems;
mod symbol;
mod symbols;
mod ticks;

pub(crate) use crate::ids::ClockId;
pub(crate) use clock::{Clock, Entry};
pub(crate) use codec::STALE;
pub(crate) use history::{OwnSample, Store};
pub(crate) use matching::{Reach, for_each_match};
pub(crate) use natives::{HISTOGRAM, bytes as histogram_bytes};

pub(crate) use crate::ids::{SeriesId, TargetId};
pub use history::Bytes;
pub(crate) use read::{Frame, Lens};
pub(crate) use ticks::Shown;

pub(crate) use runs::{Groups, Stretch};

pub use read::PlainView;
