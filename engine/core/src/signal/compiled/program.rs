//! The program: ops in topological order, a slot for each; it recurses only into subqueries, whose programs have none.

use crate::labels::Labels;
use crate::store::{ClockId, Store};

use super::super::evaluate::Evaluation;
use super::fold::{Folds, Step};
use super::halt::Halt;
use super::instant::Instant;
use super::links::Links;
use super::members::Source;
use super::op::{Op, Root, Scalar};
use super::order::place_elements;
use super::range::Function;
use super::slots::Slots;
use super::steps::Steps;
use super::vector::Vector;
use super::visibility::EvalSnapshot;
use super::window::Window;

/// A selector, and how its series are read.
pub(super) struct Leaf {
    pub(super) source: Source,
    pub(super) function: Option<Function>,
    pub(super) reads: Reads,
    pub(super) folds: Folds,
}

/// How a leaf reads.
#[expect(
    clippy::large_enum_variant,
    reason = "each commit looks at all instant leaves: one indirection less"
)]
pub(super) enum Reads {
    Instant(Instant),
    Window(Box<Window>),
}

/// A compiled query.
pub(super) struct Program {
    pub(super) leaves: Vec<Leaf>,
    pub(super) subqueries: Vec<Subquery>,
    pub(super) ops: Vec<Op>,
    pub(super) root: Root,
    /// Slots of the parts whose emptiness matters, by part.
    pub(super) parts: Vec<usize>,
    /// Slots of the queries by which it is told whether comparisons left out what was there.
    pub(super) compared: Vec<usize>,
    /// Slots of the series that are no finite number, by the queries for them.
    pub(super) not_finite: Vec<usize>,
    /// By op; empty where it yields a number.
    pub(super) vectors: Vec<Vector>,
    /// By op; NaN where it yields a vector.
    pub(super) scalars: Vec<f64>,
    /// By op.
    pub(super) links: Vec<Links>,
}

/// A subquery: the program of its inner query, which reads windows only, and what it yielded at each step.
pub(super) struct Subquery {
    pub(super) program: Program,
    pub(super) steps: Steps,
    /// Whether the function of the steps drops metric names.
    pub(super) drops_name: bool,
}

impl Program {
    /// Whether both compute the same.
    pub(super) fn is_same(&self, other: &Program) -> bool {
        let leaf = |leaf: &Leaf, other: &Leaf| {
            leaf.source == other.source && leaf.function == other.function
        };
        self.ops == other.ops
            && self.root == other.root
            && self.leaves.len() == other.leaves.len()
            && self
                .leaves
                .iter()
                .zip(&other.leaves)
                .all(|(one, two)| leaf(one, two))
    }

    /// Runs all ops. Error: also if a current value is a native histogram, of which a program would see a number.
    pub(super) fn run(&mut self, snapshot: &EvalSnapshot<'_>) -> Result<(), Halt> {
        // Nothing has been taken in then: windows stay as they are.
        if self.reads_clock(&|clock| snapshot.is_ahead(clock)) {
            return Err(Halt::Undecided);
        }
        let is_committing = |clock| snapshot.store.is_committing(clock);
        if snapshot.store.is_any_committing() && self.reads_clock(&is_committing) {
            return Err(Halt::Committing);
        }
        self.sync(snapshot)?;
        if self.reads_histograms(snapshot.store) {
            return Err(Halt::Unbound);
        }
        self.run_ops(snapshot)
    }

    /// Whether some of its series are on such a clock.
    fn reads_clock(&self, is_such: &impl Fn(ClockId) -> bool) -> bool {
        let mut leaves = self.leaves.iter();
        let own = leaves.any(|leaf| match &leaf.reads {
            Reads::Instant(instant) => instant.clocks().iter().any(|clock| is_such(*clock)),
            Reads::Window(window) => window.clocks().iter().any(|ticks| is_such(ticks.clock)),
        });
        let mut inner = self.subqueries.iter();
        own || inner.any(|subquery| subquery.program.reads_clock(is_such))
    }

    fn reads_histograms(&self, store: &Store) -> bool {
        let mut leaves = self.leaves.iter();
        !store.native_histograms.is_empty()
            && leaves.any(|leaf| match &leaf.reads {
                Reads::Instant(instant) => instant.reads_histograms(store),
                // Windows look at what they take in.
                Reads::Window(_) => false,
            })
    }

    /// Adds to all windows what pages have brought since the last run.
    fn sync(&mut self, snapshot: &EvalSnapshot<'_>) -> Result<(), Halt> {
        for leaf in &mut self.leaves {
            if let Reads::Window(window) = &mut leaf.reads {
                window.sync(snapshot)?;
            }
        }
        for subquery in &mut self.subqueries {
            subquery.program.sync(snapshot)?;
            let windows = subquery.program.windows();
            subquery.steps.sync(snapshot, windows);
        }
        Ok(())
    }

    fn run_ops(&mut self, snapshot: &EvalSnapshot<'_>) -> Result<(), Halt> {
        for at in 0..self.ops.len() {
            let (before, rest) = self.vectors.split_at_mut(at);
            let slots = Slots {
                vectors: before,
                scalars: &self.scalars,
            };
            let (op, out) = (&self.ops[at], &mut rest[0]);
            out.clear();
            if let Op::Leaf { leaf, step } = op {
                self.leaves[*leaf].run(snapshot, *step, out);
            } else if let Op::Subquery { at: subquery } = op {
                self.subqueries[*subquery].run(snapshot, &self.links[at], out)?;
            } else if let Some(number) = slots.scalar_op(op, snapshot) {
                self.scalars[at] = number;
            } else {
                slots.vector_op(op, &mut self.links[at], out)?;
            }
            if let Some(step) = snapshot.step {
                out.note_step(step);
            }
        }
        Ok(())
    }

    /// Forgets which elements were there at earlier steps.
    fn forget_steps(&mut self) {
        self.vectors.iter_mut().for_each(Vector::forget_steps);
        for leaf in &mut self.leaves {
            if let Reads::Window(window) = &mut leaf.reads {
                window.forget_steps();
            }
        }
    }

    /// Puts the elements of all slots into the order in which they come if all steps from this one on are computed at once.
    fn place_elements(&mut self, first_step: u64) {
        for at in 0..self.ops.len() {
            let (before, rest) = self.vectors.split_at_mut(at);
            let (op, out) = (&self.ops[at], &mut rest[0]);
            out.clear_places();
            match op {
                Op::Leaf { leaf, .. } => {
                    if let Reads::Window(window) = &self.leaves[*leaf].reads {
                        window.place(first_step, out);
                    }
                }
                _ => place_elements(op, before, &mut self.links[at], first_step, out),
            }
        }
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        self.leaves.iter().filter_map(|leaf| match &leaf.reads {
            Reads::Instant(_) => None,
            Reads::Window(window) => Some(&**window),
        })
    }

    /// How many clocks its windows read.
    pub(super) fn window_clocks(&self) -> usize {
        self.windows().map(|window| window.clocks().len()).sum()
    }

    /// The slot of the result; `None` if it is a number.
    pub(super) fn root_vector(&self) -> Option<&Vector> {
        match self.root {
            Root::Vector(slot) => Some(&self.vectors[slot]),
            Root::Scalar(_) => None,
        }
    }

    /// What it selects.
    pub(super) fn sources(&self) -> Vec<&Source> {
        let own = self.leaves.iter().map(|leaf| &leaf.source);
        let inner = self.subqueries.iter();
        own.chain(inner.flat_map(|subquery| subquery.program.sources()))
            .collect()
    }

    /// The result of the last run.
    pub(super) fn result(&self, out: &mut Evaluation) {
        let Evaluation {
            values,
            empty_parts,
            left_out,
            not_finite,
            nan_in_part,
        } = out;
        values.clear();
        match self.root {
            Root::Vector(slot) => {
                let vector = &self.vectors[slot];
                let elements = vector.iter();
                values.extend(
                    elements.map(|(at, value)| (vector.labels[at as usize].clone(), value)),
                );
            }
            Root::Scalar(Scalar::Constant(value)) => values.push((Labels::empty(), value)),
            Root::Scalar(Scalar::Slot(slot)) => {
                values.push((Labels::empty(), self.scalars[slot]));
            }
        }
        empty_parts.clear();
        let empty = |slot: &usize| self.vectors[*slot].order.is_empty();
        empty_parts.extend((0..self.parts.len()).filter(|&part| empty(&self.parts[part])));
        left_out.clear();
        if values.is_empty() {
            left_out.note(self.compared.len(), |at| empty(&self.compared[at]));
        }
        not_finite.clear();
        nan_in_part.clear();
        for slot in &self.not_finite {
            let vector = &self.vectors[*slot];
            let labels = vector.iter().map(|(at, _)| &vector.labels[at as usize]);
            not_finite.extend(labels.cloned());
        }
        not_finite.sort_unstable();
    }

    pub(super) fn has_windows(&self) -> bool {
        !self.subqueries.is_empty() || self.windows().next().is_some()
    }

    pub(super) fn forget_windows(&mut self) {
        for leaf in &mut self.leaves {
            if let Reads::Window(window) = &mut leaf.reads {
                window.forget();
            }
        }
        for subquery in &mut self.subqueries {
            subquery.program.forget_windows();
            subquery.steps.forget();
        }
    }

    /// The number of series that it reads; leaves that read the same count once.
    pub(super) fn series(&self) -> usize {
        let is_first = |(at, leaf): &(usize, &Leaf)| {
            let mut before = self.leaves[..*at].iter();
            !before.any(|have| have.source == leaf.source)
        };
        let distinct = self.leaves.iter().enumerate().filter(is_first);
        let own = distinct.map(|(_, leaf)| match &leaf.reads {
            Reads::Instant(instant) => instant.series(),
            Reads::Window(window) => window.series_count(),
        });
        let inner = self.subqueries.iter();
        own.sum::<usize>()
            + inner
                .map(|subquery| subquery.program.series())
                .sum::<usize>()
    }

    pub(super) fn window_bytes(&self) -> usize {
        let own: usize = self.windows().map(Window::bytes).sum();
        let inner = self.subqueries.iter();
        let inner = inner.map(|one| one.program.window_bytes() + one.steps.bytes());
        own + inner.sum::<usize>()
    }
}

impl Subquery {
    /// The function of the steps of each element.
    fn run(
        &mut self,
        snapshot: &EvalSnapshot<'_>,
        links: &Links,
        out: &mut Vector,
    ) -> Result<(), Halt> {
        let Root::Vector(root) = self.program.root else {
            return Ok(());
        };
        let (steps, is_anew) = self.steps.set_window(snapshot)?;
        if is_anew {
            self.program.forget_steps();
        }
        let allowed = self.steps.allowed(steps.end.saturating_sub(steps.start));
        for step in steps.take(allowed.map_or(usize::MAX, |allowed| allowed as usize)) {
            let at_step = snapshot.at_step(step, self.steps.back_ms(step));
            self.program.run_ops(&at_step)?;
            self.steps.put(step, &self.program.vectors[root]);
        }
        if allowed.is_some() {
            return Err(Halt::Unfinished);
        }
        self.program.place_elements(self.steps.first());
        for &at in &self.program.vectors[root].wide {
            if let Some(value) = self.steps.value(at) {
                links.push(at, value, out)?;
            }
        }
        Ok(())
    }
}

impl Leaf {
    fn run(&mut self, snapshot: &EvalSnapshot<'_>, step: Step, out: &mut Vector) {
        self.folds.clear();
        match &mut self.reads {
            Reads::Instant(instant) => instant.fold(snapshot, step, &mut self.folds),
            Reads::Window(window) => window.fold(snapshot, step, &mut self.folds),
        }
        self.folds.finish(step, out);
    }
}
