//! Stillwell, the binary, as a library: configuration, scraping, faces and lifetime. `main.rs` only calls it.

#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod scrape;
