//! The slot of a vector: a place per element that it may have, and which of them it has now, in order.

use crate::labels::Labels;
use crate::promql::incremental::{ABSENT, is_absent};

use super::halt::Halt;

/// One vector of a program.
#[derive(Default)]
pub(super) struct Vector {
    /// By element.
    pub(super) labels: Vec<Labels>,
    /// By element; `ABSENT` where there is none now.
    pub(super) values: Vec<f64>,
    /// The elements that are there, in the order in which ordinary evaluation yields them.
    pub(super) order: Vec<u32>,
    /// Of the inner query of a subquery, by element: the last step at which it was there.
    seen: Vec<u64>,
    /// The elements that are there at any step of the window, in the order in which ordinary evaluation yields them.
    pub(super) wide: Vec<u32>,
    is_placed: Vec<bool>,
}

impl Vector {
    /// Makes it a vector of at most these elements.
    pub(super) fn bind(&mut self, labels: Vec<Labels>) {
        self.values.clear();
        self.values.resize(labels.len(), ABSENT);
        self.order.clear();
        self.order.reserve(labels.len());
        self.labels = labels;
    }

    /// Makes room for the steps of a subquery.
    pub(super) fn bind_steps(&mut self) {
        let elements = self.labels.len();
        self.seen = vec![0; elements];
        self.is_placed = vec![false; elements];
        self.wide = Vec::with_capacity(elements);
    }

    /// Notes which elements are there at a step.
    pub(super) fn note_step(&mut self, step: u64) {
        for &at in &self.order {
            self.seen[at as usize] = step;
        }
    }

    /// Forgets which elements were there at earlier steps.
    pub(super) fn forget_steps(&mut self) {
        self.seen.fill(0);
    }

    /// Removes all elements from `wide`.
    pub(super) fn clear_places(&mut self) {
        for at in self.wide.drain(..) {
            self.is_placed[at as usize] = false;
        }
    }

    /// Adds an element to `wide`, unless it has its place or was last there before `first_step`.
    pub(super) fn place(&mut self, at: u32, first_step: u64) {
        let element = at as usize;
        if self.seen[element] >= first_step && !self.is_placed[element] {
            self.is_placed[element] = true;
            self.wide.push(at);
        }
    }

    pub(super) fn clear(&mut self) {
        for &at in &self.order {
            self.values[at as usize] = ABSENT;
        }
        self.order.clear();
    }

    /// Adds an element behind those that are there.
    pub(super) fn push(&mut self, at: u32, value: f64) {
        self.values[at as usize] = value;
        self.order.push(at);
    }

    /// Adds an element whose labels another one may have, too. Error: that one is there.
    pub(super) fn push_once(&mut self, at: u32, value: f64) -> Result<(), Halt> {
        if !is_absent(self.values[at as usize]) {
            return Err(Halt::Undecided);
        }
        self.push(at, value);
        Ok(())
    }

    /// The elements that are there, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, f64)> + '_ {
        self.order.iter().map(|&at| (at, self.values[at as usize]))
    }
}
