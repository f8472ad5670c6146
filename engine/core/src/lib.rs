//! The embeddable engine of Stillwell: pages of metrics in, PromQL and scaling signals out.
//!
//! It stores the samples of scraped pages, evaluates PromQL over them as Prometheus does, and keeps *signals* up to
//! date: queries whose result is reported as a value, as a held value with its age, or as unknown with the reason.
//! Unknown never turns into a number; the rules are in `src/signal/RULES.md`.
//!
//! The engine does no I/O, reads no clock, starts no thread and knows no async runtime. Pages and times are
//! arguments:
//!
//! ```
//! use stillwell_engine::labels::Labels;
//! use stillwell_engine::signal::{Policy, State};
//! use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut writer, reader) = Engine::new(Limits::default());
//! let (_, mut stage) = writer.add_target(TargetSpec {
//!     labels: Labels::from_pairs([("job", "epp"), ("instance", "10.0.0.7:9090")]),
//!     interval_ms: 1_000,
//!     ..TargetSpec::default()
//! });
//! let queue = writer.register("sum(queue_size)", Policy::default())?;
//!
//! // One scrape: parse the page on any thread, then commit it.
//! let page = b"# TYPE queue_size gauge\nqueue_size{pool=\"a\"} 3\nqueue_size{pool=\"b\"} 4\n";
//! let now = Timestamp::from_ms(1_800_000_000_000);
//! let staged = stage.parse(page, Format::Text)?;
//! writer.commit(staged, now, ScrapeFacts::default())?;
//!
//! let reading = reader.signal(queue, now, &[]).expect("the signal is registered");
//! assert!(matches!(reading.state, State::Value));
//! assert_eq!(reading.elements[0].value, 7.0);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/embed.rs` is longer: a restart, an outage, and any PromQL beside signals.
//!
//! * [`Writer`] changes the engine, [`Reader`] reads it, [`Stage`] parses the pages of one target.
//! * [`promql`]: the query language (crate `stillwell-promql`), over this store or one of your own.
//! * [`labels`](mod@labels), [`histogram`], [`time`], [`number_text`]: the data model (crate `stillwell-model`).
//! * [`snapshot`]: what the engine holds as bytes, for a restart of the program.
//! * [`feed`]: the samples of the store in order, for whoever sends them elsewhere.
//! * [`signal`]: policies, readings, metric names. [`limits`]: every limit with its reason.

#![forbid(unsafe_code)]

pub mod exposition;
pub mod feed;
pub mod limits;
mod newest_page;
mod not_known;
mod reader;
mod scrape;
pub mod signal;
pub mod snapshot;
mod store;
mod waits;
mod wire;
mod writer;

use stillwell_model::ids;

pub use stillwell_model::{histogram, labels, metadata, nearest, number_text, time};
pub use stillwell_promql as promql;

pub use exposition::{Format, PageError, Stage, Staged};
pub use ids::{SeriesId, TargetId};
pub use limits::Limits;
pub use not_known::{NotKnown, with_labels_of};
pub use reader::{Reader, SeriesQuery, Stats};
pub use scrape::{HistogramOptions, Retain, TargetSpec};
pub use store::{Bytes, Exemplar, PlainView};
pub use time::Timestamp;
pub use waits::Durations;
pub use writer::{
    AppendError, Appended, AppendedSeries, CommitError, CommitInSteps, Committed, CommittedPage,
    Engine, PageTemplate, Refusal, Refused, ScrapeFacts, Writer,
};
