//! The embeddable engine of Stillwell.

#![forbid(unsafe_code)]

pub mod exposition;
pub mod limits;
mod reader;
mod scrape;
pub mod signal;
mod store;
mod waits;
mod writer;

use stillwell_model::{ids, metadata};

pub use stillwell_model::{histogram, labels, number_text, time};
pub use stillwell_promql as promql;

pub use exposition::{Format, PageError, Stage, Staged};
pub use ids::{SeriesId, TargetId};
pub use limits::Limits;
pub use reader::{Reader, Stats};
pub use scrape::{Retain, TargetSpec};
pub use store::{Bytes, PlainView};
pub use time::Timestamp;
pub use waits::Durations;
pub use writer::{
    AppendError, Appended, AppendedSeries, CommitError, Committed, Engine, Refusal, Refused,
    ScrapeFacts, Writer,
};
