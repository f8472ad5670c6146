//! Scraping: who is due when, fetching the page, handing it to the engine, and what `/api/v1/targets` tells of it.

mod buffers;
mod client;
mod error;
mod gzip;
mod lane;
mod refusal;
mod schedule;
mod scraper;
mod state;
mod target;
mod worker;

pub use client::{Access, Client, FetchOptions, Page};
pub use error::ScrapeError;
pub use gzip::Gunzip;
pub use lane::{Lane, Place};
pub use schedule::{Schedule, phase_hash};
pub use scraper::{JobTargets, Scraper};
pub use state::{Counts, SETTLING_MS_MAX, TargetState};
pub use target::{Found, Outcome, Target, collect, outcomes, target_options};
pub use worker::Shared;
