//! What a function of a window needs of the times of its samples, which are known by running numbers.

/// The numbers of samples, and the window at this evaluation.
pub(super) trait Scale {
    /// The numbers in the window.
    fn window(&self) -> (u64, u64);

    /// The time of a sample.
    fn time_ms(&self, number: u64) -> i64;

    /// Where the window ends.
    fn end_ms(&self) -> i64;

    /// The time of the evaluation, which an offset does not move.
    fn eval_ms(&self) -> i64;
}

/// How far back samples are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Those later than this long before the newest ...
    pub(super) ms: i64,
    /// ... and the last one that is not.
    pub(super) one_before: bool,
}
