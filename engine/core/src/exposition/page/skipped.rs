//! Runs of lines that no signal needs: each is one row of the template, whatever its length on the page.
//!
//! `skip_run` finds them. Here they are counted, and guarded against a label value with a raw line break that would
//! smuggle a line into the page.

use super::super::skip_run::{RunScanner, SkippedRun, open_quote};
use super::Compare;
use super::in_order::LineMatch;
use crate::metadata::FamilyType;

impl Compare<'_, '_> {
    /// Matches a run of skipped lines; its length may differ from the previous page.
    pub(super) fn match_run(&mut self, family_type: FamilyType) -> LineMatch {
        match self.pass() {
            Ok(Some(skipped_run)) if skipped_run.family_type == family_type => {
                self.old_type = family_type;
                self.take_run(&skipped_run);
                LineMatch::Yes(skipped_run.end)
            }
            // An error is found again, and reported, when the line is parsed by itself.
            _ => LineMatch::No,
        }
    }

    /// The run of skipped lines at the current position.
    pub(super) fn pass(&mut self) -> Result<Option<SkippedRun>, String> {
        let Some(retain_filter) = &mut self.retain_filter else {
            return Ok(None);
        };
        let mut walk = RunScanner {
            retain_filter,
            map: self.map,
            body: self.body,
            dialect: self.dialect,
        };
        match walk.pass(self.at, self.new_type) {
            Ok(skipped_run) => Ok((skipped_run.lines > 0).then_some(skipped_run)),
            Err((at, why)) => {
                self.at = at;
                Err(why)
            }
        }
    }

    pub(super) fn take_run(&mut self, skipped_run: &SkippedRun) {
        self.run = self.at..skipped_run.end;
        self.new_type = skipped_run.family_type;
        self.page.samples += skipped_run.samples;
        self.page.dropped += skipped_run.samples;
        self.page.skipped += skipped_run.lines;
    }

    /// A new line follows a skipped run: refuses the page if the run ends inside quotes, because the line could then be
    /// part of a label value.
    pub(super) fn check_run(&mut self) -> Result<(), String> {
        if self.run.is_empty() || self.run.end != self.at {
            return Ok(());
        }
        if let Some(at) = open_quote(&self.body[self.run.clone()]) {
            self.at = self.run.start + at;
            return Err("a quoted text holds a line break, written as such".to_owned());
        }
        Ok(())
    }
}
