//! Scraping: who is due when, fetching the page, handing it to the engine, and what `/api/v1/targets` tells of it.

mod buffers;
mod client;
mod error;
mod gzip;
pub mod http;
mod lane;
mod schedule;
mod scraper;
mod state;
mod target;
mod url;
mod worker;

pub use client::{Client, FetchOptions, Page};
pub use error::ScrapeError;
pub use gzip::Gunzip;
pub use lane::{Lane, Place};
pub use schedule::{Schedule, phase_hash};
pub use scraper::Scraper;
pub use state::{Counts, SETTLING_MS_MAX, TargetState};
pub use target::{Found, Target, targets};
pub use url::{Url, UrlError, encode_query};
pub use worker::Shared;
