//! The embeddable engine of Stillwell.

#![forbid(unsafe_code)]

pub mod exposition;
pub mod histogram;
pub mod labels;
pub mod limits;
pub mod number_text;
pub mod promql;
mod reader;
pub mod signal;
mod store;
pub mod time;
mod waits;
mod writer;

pub use exposition::{Format, PageError, Retain, Stage, Staged, TargetSpec};
pub use limits::Limits;
pub use reader::{Reader, Stats};
pub use store::{Bytes, PlainView, SeriesId, TargetId};
pub use time::Timestamp;
pub use waits::Durations;
pub use writer::{
    AppendError, Appended, AppendedSeries, CommitError, Committed, Engine, Refusal, Refused,
    ScrapeFacts, Writer,
};
