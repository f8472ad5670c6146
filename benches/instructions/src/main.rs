//! Counts the instructions of the engine's hot paths and compares them with the record in git. They do not depend on what else
//! the machine does, so a band of 3% holds where times would need ten times that.
//!
//! `cargo run --release -p stillwell-instructions [-- --record] [NAME ...]`
//!
//! Each path runs twice under `valgrind --tool=callgrind`, a few and some more times: the difference is what the repetitions
//! take, without start and settling. `--record` writes the counts into `counts.txt`; the commit that does so says why they
//! changed. Takes some 20 s. Needs valgrind and its emulated x86-64 with AVX2, for which the counts were recorded.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that prints what it counted"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use stillwell_instructions::counted::{self, PATHS};
use stillwell_instructions::record::compare;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt");
/// Repetitions of the two runs.
const FEW: usize = 2;
const MORE: usize = 12;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, times] = arguments.as_slice()
        && flag == "--repeat"
    {
        return repeat(name, times);
    }
    let records = arguments.iter().any(|argument| argument == "--record");
    let names: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let wanted =
        |path: &&counted::Path| names.is_empty() || names.iter().any(|name| *name == path.name);
    match run(PATHS.iter().filter(wanted), records) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What valgrind runs.
fn repeat(name: &str, times: &str) -> ExitCode {
    let path = PATHS.iter().find(|path| path.name == name);
    let (Some(path), Ok(times)) = (path, times.parse()) else {
        return ExitCode::FAILURE;
    };
    (path.run)(times);
    ExitCode::SUCCESS
}

fn run<'p>(paths: impl Iterator<Item = &'p counted::Path>, records: bool) -> Result<bool, Failure> {
    let record = std::fs::read_to_string(RECORD).unwrap_or_default();
    let mut text = "# Instructions of one repetition: cargo run --release -p stillwell-instructions -- --record\n".to_owned();
    let mut good = true;
    println!("{:28} {:>12} {:>12}", "path", "counted", "record");
    for path in paths {
        let counted = (count(path.name, MORE)? - count(path.name, FEW)?) / (MORE - FEW) as u64;
        // A String takes every write.
        let _ = writeln!(text, "{:28} {counted:>12}  {}", path.name, path.unit);
        match compare(path.name, counted, &record) {
            Ok(said) => println!("{said}"),
            Err(said) => {
                println!("{said}  <- outside of the band of 3%");
                good = false;
            }
        }
    }
    if records {
        std::fs::write(RECORD, text)?;
        println!("written to {RECORD}");
    } else if !good {
        eprintln!(
            "instructions: where the change is meant, `-- --record` writes the new counts, and the commit says why they changed"
        );
    }
    Ok(good || records)
}

/// Instructions of a process that repeats a path so many times.
fn count(name: &str, times: usize) -> Result<u64, Failure> {
    let this = std::env::current_exe()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(Path::new(&this))
        .args(["--repeat", name, &times.to_string()])
        // The same environment for everybody: its size moves the stack, and with it what is aligned how.
        .env_clear()
        .output()
        .map_err(|error| format!("valgrind: {error}; it has to be installed"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{name}: {}: {said}", output.status).into());
    }
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok());
    collected.ok_or_else(|| format!("{name}: valgrind told no count: {said}").into())
}
