//! Runs Prometheus' own test scripts (`promqltest`): `load`, `clear`, `eval`, `expect`.
//!
//! A pure function from text to a report. Every feature is on, as in Prometheus' test engine. Each `eval` is one
//! case; it passes if the answer, its annotations and, for instant queries, the same query as a range query are as
//! the script wants them.

mod check;
mod command;
mod nhcb;
mod run;
mod series;
mod store;

pub use run::run;
pub use store::MemoryView;

/// What came of one script.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cases that were as wanted.
    pub passed: usize,
    /// Those that were not, in order.
    pub failures: Vec<Failure>,
}

/// A case that was not as wanted.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The script's name, as given.
    pub file: String,
    /// The line of the command, from 1.
    pub line: usize,
    /// The expression, or the command that could not be read.
    pub expression: String,
    /// What came.
    pub got: String,
    /// What the script wants.
    pub wanted: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure {
            file,
            line,
            expression,
            got,
            wanted,
        } = self;
        write!(
            f,
            "{file}:{line}: {expression}\n    got:    {got}\n    wanted: {wanted}"
        )
    }
}
