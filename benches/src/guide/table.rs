//! What was done and seen, as a table in Markdown; and waiting for what has to come.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use super::Failure;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A row of the table.
pub struct Row {
    /// The step.
    pub done: String,
    /// What came of it; where it failed, why.
    pub seen: Result<String, String>,
    /// How long it took, where that says something.
    pub took: Option<Duration>,
}

/// The rows so far.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Walks a step and notes what came of it. Later steps are walked all the same.
    pub fn step(&mut self, done: &str, step: impl FnOnce() -> Result<Seen, Failure>) {
        let result = step();
        let row = match result {
            Ok(Seen { what, took }) => Row {
                done: done.to_owned(),
                seen: Ok(what),
                took,
            },
            Err(error) => Row {
                done: done.to_owned(),
                seen: Err(error.to_string()),
                took: None,
            },
        };
        println!("{}", row.line());
        self.rows.push(row);
    }

    /// Notes a step that is not walked.
    pub fn not_run(&mut self, done: &str, why: &str) {
        self.step(done, || Ok(Seen::of(format!("not run: {why}"))));
    }

    /// The steps that failed.
    pub fn failures(&self) -> usize {
        self.rows.iter().filter(|row| row.seen.is_err()).count()
    }

    /// The whole table.
    pub fn markdown(&self) -> String {
        let mut out = String::from("| what was done | what was seen | took |\n|---|---|---|\n");
        for row in &self.rows {
            writeln!(out, "{}", row.line()).ok(); // a String takes everything
        }
        out
    }
}

impl Row {
    fn line(&self) -> String {
        let seen = match &self.seen {
            Ok(what) => what.clone(),
            Err(why) => format!("**failed**: {why}"),
        };
        let seen = seen.replace('|', "\\|").replace('\n', " ");
        let took = self
            .took
            .map_or(String::new(), |took| format!("{:.1} s", took.as_secs_f64()));
        format!("| {} | {seen} | {took} |", self.done.replace('|', "\\|"))
    }
}

/// What came of a step.
pub struct Seen {
    what: String,
    took: Option<Duration>,
}

impl Seen {
    /// Without a time.
    pub fn of(what: impl Into<String>) -> Seen {
        Seen {
            what: what.into(),
            took: None,
        }
    }

    /// With how long it took.
    pub fn after(what: impl Into<String>, took: Duration) -> Seen {
        Seen {
            what: what.into(),
            took: Some(took),
        }
    }
}

/// Looks until there is an answer; an error of a look is the answer "not yet". Returns it and how long it took.
pub fn wait_for<T>(
    what: &str,
    seconds: u64,
    mut look: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<(T, Duration), Failure> {
    let began = Instant::now();
    let mut last = String::new();
    while began.elapsed() < Duration::from_secs(seconds) {
        match look() {
            Ok(Some(found)) => return Ok((found, began.elapsed())),
            Ok(None) => {}
            Err(error) => last = format!("; at last: {error}"),
        }
        thread::sleep(LOOK);
    }
    Err(format!("waited {seconds} s for {what}{last}").into())
}
