//! A place in a file.

use std::fmt;

/// The line of what is configured, counted from 1: for what is said about it.
///
/// Any two are equal. What is configured is the same wherever it stands, and a reload compares it: a comment above must not end what
/// runs, nor take away what it has found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line(pub usize);

impl PartialEq for Line {
    fn eq(&self, _: &Line) -> bool {
        true
    }
}

impl Eq for Line {}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
