//! Scraping: who is due when, fetching the page, handing it to the engine, and what `/api/v1/targets` tells of it.

mod buffers;
mod client;
mod cost;
mod discovered;
mod doubtful;
mod error;
mod fetch_limiter;
mod gzip;
mod label_room;
mod media_type;
mod page_memory;
mod page_reader;
mod page_source;
mod quiet;
mod refusal;
mod schedule;
mod scraper;
mod shared;
mod state;
mod target;
mod worker;
mod zstd;

pub use client::{Access, Client, Encoding, FetchOptions, Page};
pub use discovered::{Discovered, TargetGroup, address_labels};
pub use error::ScrapeError;
pub use fetch_limiter::{FetchLimiter, Permit};
pub use gzip::Gunzip;
pub use label_room::LabelRoom;
pub use page_memory::{Lease, PageMemory, TooManyPages, page_share};
pub use page_source::{PageSource, WritesPages, WrittenPage};
pub use schedule::{Schedule, phase_hash};
pub use scraper::{JobTargets, Scraper};
pub use shared::Shared;
pub use state::{Counts, SETTLING_MS_MAX, TargetState};
pub use target::{
    Found, NO_ADDRESS, Outcome, Target, collect, outcomes, static_targets, target_options,
};
pub use zstd::Unzstd;
