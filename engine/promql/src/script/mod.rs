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

use stillwell_model::labels::Labels;

pub use run::run;
pub use series::Item as SeriesItem;
pub use store::MemoryView;

/// Reads a series in the scripts' notation: `metric{a="b"} 1 2+3x2 _ stale`. The items are its values, step by step.
pub fn read_series(text: &str) -> Result<(Labels, Vec<SeriesItem>), String> {
    let described = series::describe(text)?;
    if described.is_start {
        return Err("start timestamps belong to scripts".to_owned());
    }
    Ok((described.labels, described.items))
}

/// Reads a series without values: `metric{a="b"}`, or nothing for no labels.
pub fn read_metric(text: &str) -> Result<Labels, String> {
    match text.trim() {
        "" => Ok(Labels::empty()),
        text => series::describe(text).map(|described| described.labels),
    }
}

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
