//! The Stillwell binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    stillwell::cli::run(std::env::args_os())
}
