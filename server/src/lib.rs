//! Stillwell, the binary, as a library: configuration, scraping, APIs and lifetime. `main.rs` only calls it.

#![forbid(unsafe_code)]

pub mod alertmanager;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod demo;
mod der;
pub mod discovery;
mod files;
pub mod floor;
pub mod http_client;
mod log_writer;
pub mod logging;
pub mod memory;
pub mod remote_write;
pub mod rule_groups;
pub mod rules;
pub mod scrape;
pub mod senders;
pub mod serve;
mod signal_spec;
mod template;
pub mod web_config;
mod yaml;
