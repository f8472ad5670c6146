//! A whole server on loopback, targets that do what a test says, and waiting for events instead of sleeping.
#![allow(dead_code, unreachable_pub, reason = "every test takes what it needs")]

pub mod api_server;
pub mod certificates;
pub mod demo;
pub mod name_service;
pub mod objects;
pub mod process;
pub mod receiver;
mod requests;
pub mod rival;
pub mod scripted;
mod servers;
mod target;
mod waiting;
pub mod write_receiver;

use std::io::Write;

pub use requests::{data, get, http, value};
pub use servers::{secure_server, server, server_of, server_with, server_within, settings};
pub use target::{Act, TestTarget, ok, read_head};
pub use waiting::{PATIENCE, eventually, state, until};

/// Says something that the test runner does not swallow: that a test did not run must be seen.
pub fn say(line: &str) {
    std::io::stderr()
        .write_all(format!("\n{line}\n").as_bytes())
        .ok();
}
