//! The steps of an evaluation and the windows that range selectors open at them.

/// Times `start`, `start + step`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
}

impl Grid {
    pub(crate) fn single(at_ms: i64) -> Grid {
        Grid {
            start_ms: at_ms,
            step_ms: 1,
            count: 1,
        }
    }

    /// From `start` to `end` inclusive; none where `end` is before `start`.
    pub(crate) fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Grid {
        let count = if end_ms < start_ms {
            0
        } else {
            1 + (end_ms.saturating_sub(start_ms) / step_ms.max(1)) as usize
        };
        Grid {
            start_ms,
            step_ms: step_ms.max(1),
            count,
        }
    }

    pub(crate) fn at(&self, step: usize) -> i64 {
        self.start_ms
            .saturating_add(self.step_ms.saturating_mul(step as i64))
    }

    pub(crate) fn last_ms(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    pub(crate) fn times(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.count).map(|step| self.at(step))
    }
}

/// The windows of a range selector, one per step: `(end - range, end]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) grid: Grid,
    pub(crate) range_ms: i64,
    pub(crate) offset_ms: i64,
    /// `@`: all windows are the same.
    pub(crate) fixed_ms: Option<i64>,
}

impl Windows {
    pub(crate) fn end_ms(&self, step: usize) -> i64 {
        self.fixed_ms
            .unwrap_or_else(|| self.grid.at(step))
            .saturating_sub(self.offset_ms)
    }

    pub(crate) fn start_ms(&self, step: usize) -> i64 {
        self.end_ms(step).saturating_sub(self.range_ms)
    }

    pub(crate) fn last_end_ms(&self) -> i64 {
        self.end_ms(self.grid.count.saturating_sub(1))
    }
}
