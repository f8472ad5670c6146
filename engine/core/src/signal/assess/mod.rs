//! The reading of one signal: its newest result is judged group by group, absences are proven, graces are applied.
//!
//! `result` goes through the groups of the result and says in which order what is asked (`Signal::assess`). `groups` judges
//! the targets of one, `floors` has what it was before a restart, `numbers` says what is no number, and `empty` for which
//! group a result without one stands.

mod empty;
mod floors;
mod groups;
mod numbers;
mod result;

pub(super) use groups::fits;

/// For a held reading: the time of its oldest part, in milliseconds, and why it is held.
pub(super) type Held = Option<(i64, String)>;
