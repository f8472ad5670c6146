//! Runs of lines that no signal needs: one row of the template each, however long they are on the page.
//!
//! What is in them is `run`'s business. Here they are counted, and held against the one trick by which a client could
//! bring lines of its own into the page.

use super::super::run::{Passed, Walk, open_quote};
use super::Compare;
use super::in_step::Fit;
use crate::metadata::FamilyType;

impl Compare<'_, '_> {
    /// Lines that are passed over, as on the last page; how many does not matter.
    pub(super) fn fit_run(&mut self, family_type: FamilyType) -> Fit {
        match self.pass() {
            Ok(Some(passed)) if passed.family_type == family_type => {
                self.old_type = family_type;
                self.take_run(&passed);
                Fit::Yes(passed.end)
            }
            // What breaks is found again, and told, when the line is taken by itself.
            _ => Fit::No,
        }
    }

    /// The run of lines here that are passed over.
    pub(super) fn pass(&mut self) -> Result<Option<Passed>, String> {
        let Some(sieve) = &mut self.sieve else {
            return Ok(None);
        };
        let mut walk = Walk {
            sieve,
            map: self.map,
            body: self.body,
        };
        match walk.pass(self.at, self.new_type) {
            Ok(passed) => Ok((passed.lines > 0).then_some(passed)),
            Err((at, why)) => {
                self.at = at;
                Err(why)
            }
        }
    }

    pub(super) fn take_run(&mut self, passed: &Passed) {
        self.run = self.at..passed.end;
        self.new_type = passed.family_type;
        self.page.samples += passed.samples;
        self.page.dropped += passed.samples;
        self.page.skipped += passed.lines;
    }

    /// A new line says something, and what stands above it was passed over: it must not be part of a label's value that
    /// holds a line break.
    pub(super) fn check_run(&mut self) -> Result<(), String> {
        if self.run.is_empty() || self.run.end != self.at {
            return Ok(());
        }
        if let Some(at) = open_quote(&self.body[self.run.clone()]) {
            self.at = self.run.start + at;
            return Err("a label's value holds a line break, written as such".to_owned());
        }
        Ok(())
    }
}
