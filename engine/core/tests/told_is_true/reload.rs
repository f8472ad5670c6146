//! Reloads: pages are read by other rules from now on.

use stillwell_engine::Timestamp;

use crate::play::Game;
use crate::rules::Rules;
use crate::world::{Page, Target};

impl Game<'_> {
    /// A target, or all of its job, is read by other rules: the truth is what its newest good page yields by them.
    pub(crate) fn reload(&mut self, (job, uid): (usize, usize), is_of_job: bool, rules: Rules) {
        if is_of_job {
            self.rules[job] = rules;
        }
        for index in 0..self.targets.len() {
            let target = &self.targets[index].target;
            if target.uid != uid && !(is_of_job && target.job == job) {
                continue;
            }
            let uid = target.uid;
            for side in self.sides() {
                side.configure(uid, rules);
            }
            let before = std::mem::replace(&mut self.targets[index].rules, rules);
            if rules.differ_from(before) {
                self.read_otherwise(index);
            }
        }
    }

    fn read_otherwise(&mut self, index: usize) {
        self.hidden_step = self.step;
        let scraped = &mut self.targets[index];
        let (Some((_, page)), Some((then, step))) = (&mut scraped.good, &scraped.then) else {
            return; // nothing is known of it
        };
        scraped.awaits_page = true;
        *page = page.read_by(scraped.rules, then, *step);
        let (then, step) = (then.clone(), *step);
        self.happens_ms += 1;
        let at = Timestamp::from_ms(self.happens_ms);
        self.take_true(&then, step, at);
        self.note_pages(at);
    }

    /// The page of a target at a step comes to those that know the truth.
    pub(crate) fn take_true(&mut self, target: &Target, step: usize, at: Timestamp) {
        for (side, kind) in [
            (&mut self.truth, Page::True),
            (&mut self.zeros, Page::Zeros),
            (&mut self.nan_is_zero, Page::NanIsZero),
            (&mut self.seen, Page::Seen),
        ] {
            side.take(target.uid, &target.page(kind, step), at);
        }
    }
}
