//! The steps of a subquery: what its inner query yielded at each, and the function of them.
//!
//! Steps lie at multiples of their distance, so most of a window's were in the one before it and are kept. They are computed
//! again as soon as they might differ from what ordinary evaluation yields for them now: when a target is frozen (its samples
//! move with the evaluation), when a page comes that is older than the last step, or when history is dropped.
//!
//! A page pays for [`SUBQUERY_VALUES_PER_PAGE`] of them at most. Where more have to be computed the next pages go on, but not
//! while they would have to begin anew with each page, and ordinary evaluation answers until all are there.

use crate::limits::SUBQUERY_VALUES_PER_PAGE;

use super::halt::Halt;
use super::range::{Function, Samples};
use super::scale::Scale;
use super::ticks::Ticks;
use super::vector::Vector;
use super::visibility::{EvalSnapshot, PageVisibility};
use super::window::Window;

/// The results of a subquery's steps, per element of its inner query.
pub(super) struct Steps {
    samples: Samples,
    step_ms: i64,
    /// The steps in the window, each by its time divided by their distance.
    window: (u64, u64),
    /// The first that has not been computed.
    next: u64,
    /// Whether those that were have just been found to be of no use.
    has_changed: bool,
    /// Values at each.
    values: usize,
    end_ms: i64,
    eval_ms: i64,
    /// By clock that the inner query reads: what its samples depend on beside pages.
    conditions: Vec<Conditions>,
    wall_offset_ms: i64,
}

/// What the samples of a clock depend on beside its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conditions {
    /// How much later than scraped they are seen; `None` if they are not.
    shift_ms: Option<i64>,
    /// The oldest time that is known, if that is within reach.
    oldest_ms: i64,
}

impl Steps {
    pub(super) fn new(function: Function, step_ms: i64) -> Steps {
        Steps {
            samples: Samples::new(function, 0),
            step_ms,
            window: (0, 0),
            next: 0,
            has_changed: false,
            values: 1,
            end_ms: 0,
            eval_ms: 0,
            conditions: Vec::new(),
            wall_offset_ms: 0,
        }
    }

    /// The function of a window, and the distance of steps.
    pub(super) fn key(&self) -> (Function, i64) {
        (self.samples.function, self.step_ms)
    }

    /// How many steps a window has at most.
    pub(super) fn count(&self) -> usize {
        (self.samples.function.range_ms / self.step_ms) as usize + 1
    }

    /// Bytes of the results of so many elements.
    pub(super) fn bytes_for(&self, elements: usize) -> usize {
        Samples::new(self.samples.function, self.count() + 1).bytes_for(elements)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.samples.bytes()
    }

    /// Forgets all steps, and frees what they hold.
    pub(super) fn forget(&mut self) {
        self.samples = Samples::new(self.samples.function, 0);
        self.next = 0;
        self.conditions = Vec::new();
    }

    /// Forgets all steps, and makes room for those of so many elements, on so many clocks, with so many values each.
    pub(super) fn bind(&mut self, elements: usize, clocks: usize, values: usize) {
        self.values = values.max(1);
        self.samples = Samples::new(self.samples.function, self.count() + 1);
        self.samples.reserve();
        for _ in 0..elements {
            self.samples.rings.take();
        }
        self.next = 0;
        self.conditions.clear();
        self.conditions.reserve(clocks);
    }

    /// Forgets all steps if one of them may have changed. The windows have just taken in what pages have brought.
    pub(super) fn sync<'w>(
        &mut self,
        snapshot: &EvalSnapshot<'_>,
        windows: impl Iterator<Item = &'w Window>,
    ) {
        let newest_ms = (self.next as i64 - 1).saturating_mul(self.step_ms);
        let mut has_changed = self.wall_offset_ms != snapshot.facts.wall_offset_ms;
        self.wall_offset_ms = snapshot.facts.wall_offset_ms;
        let mut count = 0;
        for window in windows {
            for ticks in window.clocks() {
                let now = Conditions::of(ticks, window.span_ms(), snapshot);
                match self.conditions.get_mut(count) {
                    Some(before) => has_changed |= std::mem::replace(before, now) != now,
                    None => {
                        has_changed = true;
                        self.conditions.push(now);
                    }
                }
                has_changed |= ticks.news_ms().is_some_and(|news_ms| news_ms <= newest_ms);
                count += 1;
            }
        }
        if has_changed {
            self.next = 0;
        }
        self.has_changed = has_changed;
    }

    /// How many of so many steps are computed with this page. `None`: all.
    pub(super) fn allowed(&self, steps: u64) -> Option<u64> {
        let max = (SUBQUERY_VALUES_PER_PAGE / self.values).max(1) as u64;
        // What has just changed changes with every page while a target is frozen.
        (steps > max).then_some(if self.has_changed { 0 } else { max })
    }

    /// Sets the window. Returns the first step in it and those to compute; true if none of those before counts any more:
    /// they have left it, or time has gone back, and rings hold what comes in the order of time.
    /// Error: it begins before 1970.
    pub(super) fn set_window(
        &mut self,
        snapshot: &EvalSnapshot<'_>,
    ) -> Result<(std::ops::Range<u64>, bool), Halt> {
        let function = self.samples.function;
        self.eval_ms = snapshot.at_ms;
        self.end_ms = self.eval_ms.saturating_sub(function.offset_ms);
        let after_ms = self.end_ms.saturating_sub(function.range_ms);
        if after_ms < 0 {
            return Err(Halt::Undecided);
        }
        let first = (after_ms / self.step_ms) as u64 + 1;
        let until = (self.end_ms / self.step_ms) as u64 + 1;
        self.window = (first, until.max(first));
        let is_anew = self.next < first || until < self.next;
        if is_anew {
            self.samples.rings.clear();
            self.next = first;
        }
        Ok((self.next..until, is_anew))
    }

    /// How long ago a step is.
    pub(super) fn back_ms(&self, step: u64) -> i64 {
        self.eval_ms - step as i64 * self.step_ms
    }

    /// Takes the results of a step, which is the one after the last.
    pub(super) fn put(&mut self, step: u64, results: &Vector) {
        for (element, value) in results.values.iter().enumerate() {
            // An absent one has the bits of a stale sample.
            self.samples
                .append(element as u32, step, value.to_bits(), false);
        }
        self.next = step + 1;
    }

    /// The first step in the window.
    pub(super) fn first(&self) -> u64 {
        self.window.0
    }

    /// The function of an element's steps in the window.
    pub(super) fn value(&mut self, element: u32) -> Option<f64> {
        let grid = Grid {
            window: self.window,
            step_ms: self.step_ms,
            end_ms: self.end_ms,
            eval_ms: self.eval_ms,
        };
        self.samples.value(&grid, element)
    }
}

impl Conditions {
    fn of(ticks: &Ticks, span_ms: i64, snapshot: &EvalSnapshot<'_>) -> Conditions {
        let (shift_ms, end_ms) = match snapshot.visibility(ticks.clock) {
            PageVisibility::Hidden => (None, snapshot.at_ms),
            PageVisibility::Visible { end_ms, .. } => (Some(snapshot.at_ms - end_ms), end_ms),
        };
        let oldest_ms = snapshot.oldest_ms(ticks.clock);
        let is_within_reach = oldest_ms > end_ms.saturating_sub(span_ms);
        Conditions {
            shift_ms,
            oldest_ms: if is_within_reach { oldest_ms } else { i64::MIN },
        }
    }
}

/// The times of steps.
struct Grid {
    window: (u64, u64),
    step_ms: i64,
    end_ms: i64,
    eval_ms: i64,
}

impl Scale for Grid {
    fn window(&self) -> (u64, u64) {
        self.window
    }

    fn time_ms(&self, number: u64) -> i64 {
        number as i64 * self.step_ms
    }

    fn end_ms(&self) -> i64 {
        self.end_ms
    }

    fn eval_ms(&self) -> i64 {
        self.eval_ms
    }
}
