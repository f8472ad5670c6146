//! What a signal says against the truth.

use std::cell::Cell;

use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::Query;
use stillwell_engine::signal::{Absent, Nan, Policy, Reading, State};

use crate::ask::{Ask, Operand, Selector, Signal, or_zero};
use crate::history::TARGETS_MAX;
use crate::license::may_lack;
use crate::play::{Game, Pages, Scraped, WINDOW_STEPS};
use crate::rules::Rules;
use crate::side::{Numbers, Side, nameless, parse};
use crate::world::families_of;

impl Game<'_> {
    /// Reads a signal, and holds what it says against the truth.
    pub(crate) fn check(&self, index: usize, at: Timestamp) {
        let reading = self.read(index, at);
        let told = without_constant(told(&reading), &self.asked[index].signal.ask);
        match reading.state {
            State::Value => self.check_value(index, at, &told),
            State::Held { .. } => self.check_held(index, at, &told),
            State::Configured { .. } => unreachable!("nothing is configured"),
            State::Unknown { why } => assert!(!why.is_empty(), "{}", self.of(index)),
        }
    }

    fn read(&self, index: usize, at: Timestamp) -> Reading {
        let asked = &self.asked[index];
        let pins = asked.signal.pins.iter();
        let pins: Vec<_> = pins
            .map(|(l, v)| ((*l).to_owned(), (*v).to_owned()))
            .collect();
        let reading = self.tested.reader.signal(asked.id, at, &pins);
        reading.expect("registered")
    }

    /// What is asked, for a message.
    fn of(&self, index: usize) -> String {
        let (asked, step) = (&self.asked[index], self.step);
        let Signal { policy, pins, .. } = asked.signal;
        let Policy {
            absent,
            nan,
            hold_ms,
            when_read,
            ..
        } = policy;
        format!(
            "{} at step {step}, pinned {pins:?}, absent {absent:?}, nan {nan:?}, hold {hold_ms:?}, when read {when_read}",
            asked.text
        )
    }

    fn check_value(&self, index: usize, at: Timestamp, told: &Numbers) {
        for scraped in self.targets.iter().filter(|one| !one.is_fresh(at)) {
            assert!(
                !self.concerns(index, scraped, told, at),
                "a value {told:?} without {}: {}",
                scraped.target.uid,
                self.of(index)
            );
        }
        let Some(newest) = self.pages.back() else {
            panic!("a value {told:?} without a page: {}", self.of(index));
        };
        if self.numbers(index, &self.truth, at).is_none() {
            return; // two series match one: whatever is told is judged by what was told before
        }
        let now = Pages {
            at,
            of_targets: newest.of_targets.clone(),
        };
        let mut pages = vec![&now, newest];
        if self.asked[index].signal.ask.has_window() {
            if self.hidden_step + WINDOW_STEPS > self.step {
                return; // what was hidden is in the window still
            }
            // It is evaluated as of the newest page of those that count.
            pages.extend(self.pages.iter().rev().skip(1).take(4 * TARGETS_MAX));
        }
        let is_so = |pages: &&Pages| self.is_true_of(index, told, pages);
        assert!(
            pages.iter().any(is_so),
            "a value {told:?} that is not true, but {:?}: {}",
            self.accepted(index, &now),
            self.of(index)
        );
    }

    /// Whether a value is what these pages yield.
    fn is_true_of(&self, index: usize, told: &Numbers, pages: &Pages) -> bool {
        let mut sides = self.sides_of(index, pages).into_iter();
        sides.any(|side| match self.accepted_of(index, side, pages) {
            Some(numbers) if numbers.is_empty() => match told.is_empty() {
                true => self.leaves_nothing(index, side, pages.at),
                false => self.is_of_absence(index, side, told, pages.at),
            },
            Some(numbers) => are_near(&numbers, told),
            None => false,
        })
    }

    /// Whether no series can be of a model that a signal asks for: the rules of all targets that show it call it otherwise.
    fn asks_for_what_rules_rename(&self, signal: &Signal) -> bool {
        let is_called = |selector: &Selector| {
            let shows = |server| families_of(server).any(|family| family == selector.family);
            let mut targets = self.targets.iter();
            let mut jobs = self.history.jobs.iter().zip(&self.has_left);
            targets.any(|one| shows(one.target.server) && one.rules.model("m") == Some("m"))
                || jobs.any(|(job, has_left)| *has_left && shows(job.server))
        };
        let mut selectors = signal.ask.selectors().into_iter();
        selectors.any(|one| one.matchers.contains(&"model_name=\"m\"") && !is_called(one))
    }

    /// Whether a number is what an absence means.
    fn is_of_absence(&self, index: usize, side: &Side, told: &Numbers, at: Timestamp) -> bool {
        let Signal { ask, policy, pins } = self.asked[index].signal;
        if policy.absent == Absent::Auto
            && !ask.ends_with_constant()
            && self.asks_for_what_rules_rename(self.asked[index].signal)
        {
            return false;
        }
        if policy.absent != Absent::Unknown {
            let numbers = side.evaluate(&query(&ask.text_of_zeros()), at);
            let mut numbers = without_constant(numbers.unwrap_or_default(), ask);
            numbers.retain(|labels, _| fits(labels, pins));
            if !numbers.is_empty() && are_near(&numbers, told) {
                return true;
            }
        }
        if told.values().any(|value| *value != 0.0) {
            return false;
        }
        let zeros = self.numbers(index, &self.zeros, at).unwrap_or_default();
        ask.ends_with_constant()
            || match policy.absent {
                Absent::Zero => true,
                Absent::Auto => ask.counts() || zeros.values().all(|value| *value == 0.0),
                Absent::Unknown => false,
            }
    }

    /// Whether nothing is told of what yields nothing: it compares what is there, or would be left out as 0.
    fn leaves_nothing(&self, index: usize, side: &Side, at: Timestamp) -> bool {
        let signal = self.asked[index].signal;
        let (ask, pins) = (&signal.ask, &signal.pins);
        if ask.ends_with_constant() {
            return true; // it is told as the constant
        }
        if !ask.may_leave_nothing() || ask.matches_labels() {
            return false;
        }
        let yields = |text: &str| side.evaluate(&query(text), at).unwrap_or_default();
        let is_sure = Cell::new(true);
        let with_zeros = ask.write(&|operand| {
            let Operand {
                text,
                may_be_zero,
                is_one_number,
            } = operand;
            let must_be_there = match signal.policy.absent {
                Absent::Zero => false,
                Absent::Auto => !may_be_zero,
                Absent::Unknown => true,
            };
            is_sure.set(is_sure.get() && (!must_be_there || !yields(&text).is_empty()));
            match may_be_zero && is_one_number {
                true => or_zero(&text),
                false => format!("({text})"),
            }
        });
        let is_told = |labels: &Labels| fits(labels, pins);
        is_sure.get() && !yields(&with_zeros).keys().any(is_told)
    }

    /// Each held number was true once.
    fn check_held(&self, index: usize, at: Timestamp, told: &Numbers) {
        if self.asked[index].signal.ask.has_window() {
            return; // the window of who is down ends with its last page, and that of others goes on
        }
        for (labels, value) in told {
            let is_so = |one: &Numbers| match one.get(labels) {
                Some(number) => is_near(*number, *value),
                None => *value == 0.0,
            };
            let was_true = |pages: &Pages| {
                self.accepted(index, pages).iter().any(is_so) || self.was_absent(index, told, pages)
            };
            if self.pages.iter().rev().any(was_true) {
                continue;
            }
            let pages = self.pages.iter().rev().take(12);
            let before: Vec<_> = pages
                .map(|one| (one.at.ms(), self.accepted(index, one)))
                .collect();
            panic!(
                "{value} of {labels} is held at {}, which never was: {}, {before:?}",
                at.ms(),
                self.of(index)
            );
        }
    }

    /// Whether there was nothing when these pages were the newest, and what is told is what that means.
    fn was_absent(&self, index: usize, told: &Numbers, pages: &Pages) -> bool {
        let mut sides = self.sides_of(index, pages).into_iter();
        sides.any(|side| {
            let accepted = self.accepted_of(index, side, pages);
            accepted.is_some_and(|numbers| numbers.is_empty())
                && self.is_of_absence(index, side, told, pages.at)
        })
    }

    /// What may be told when these pages are the newest: the truth, and what the query or its policy makes of it.
    fn accepted(&self, index: usize, pages: &Pages) -> Vec<Numbers> {
        let sides = self.sides_of(index, pages).into_iter();
        let accepted = sides.filter_map(|side| self.accepted_of(index, side, pages));
        accepted.collect()
    }

    fn accepted_of(&self, index: usize, side: &Side, pages: &Pages) -> Option<Numbers> {
        let mut numbers = self.numbers(index, side, pages.at)?;
        if self.asked[index].signal.policy.nan == Nan::Zero {
            let nan = numbers.values_mut().filter(|value| value.is_nan());
            nan.for_each(|value| *value = 0.0);
        }
        Some(without_constant(numbers, &self.asked[index].signal.ask))
    }

    /// Those of which what they yield may be told.
    fn sides_of(&self, index: usize, pages: &Pages) -> Vec<&Side> {
        let signal = self.asked[index].signal;
        let mut sides = vec![&self.truth];
        // What is absent is 0 where there is nothing else to tell.
        let truth = self.numbers(index, &self.truth, pages.at);
        sides.extend(
            truth
                .is_none_or(|one| one.is_empty())
                .then_some(&self.zeros),
        );
        // What is told of a group that is pinned is missing nothing of others, where it has the label.
        let seen = self.numbers(index, &self.seen, pages.at);
        let has_pins = |labels: &Labels| signal.pins.iter().all(|(l, _)| labels.get(l).is_some());
        let is_of_group = seen.is_some_and(|one| !one.is_empty() && one.keys().all(has_pins));
        let pins = if is_of_group { &signal.pins[..] } else { &[] };
        sides.extend(self.is_licensed(signal, pages, pins).then_some(&self.seen));
        sides.extend((signal.policy.nan == Nan::Zero).then_some(&self.nan_is_zero));
        sides
    }

    /// What a side's samples yield of what is asked for. `None`: two series match one.
    fn numbers(&self, index: usize, side: &Side, at: Timestamp) -> Option<Numbers> {
        let asked = &self.asked[index];
        let mut numbers = side.evaluate(&asked.query, at)?;
        numbers.retain(|labels, _| fits(labels, &asked.signal.pins));
        Some(without_constant(numbers, &asked.signal.ask))
    }

    /// Whether the query or its policy says of all that is not on these pages that it may be missing.
    fn is_licensed(&self, signal: &Signal, pages: &Pages, pins: &[(&str, &str)]) -> bool {
        let selectors = signal.ask.selectors();
        selectors.into_iter().all(|selector| {
            let family = selector.family;
            let mut hiding = pages.of_targets.iter().filter(|page| page.fits(pins));
            hiding.all(|page| {
                !selector.may_read(page)
                    || (!page.is_nan[family] || signal.policy.nan == Nan::Zero)
                        && (!page.hides[family]
                            || may_lack(signal, page, family, &pages.of_targets))
            })
        })
    }

    /// Whether a target has series by its newest good page that a signal reads for what it tells.
    fn concerns(&self, index: usize, scraped: &Scraped, told: &Numbers, at: Timestamp) -> bool {
        let asked = &self.asked[index];
        let instance = format!("t{}", scraped.target.uid);
        let of_pages = self.pages.back().map_or(&[][..], |pages| &pages.of_targets);
        // Of a job that has shown nothing of a family so far nobody knows that it has it.
        let is_known = |family: usize| {
            let mut of_job = of_pages
                .iter()
                .filter(|page| page.job == scraped.target.job);
            of_job.any(|page| page.has_shown[family])
        };
        let selectors = asked.signal.ask.selectors();
        let mut known = asked.selectors.iter().zip(selectors);
        known.any(|(query, selector)| {
            let numbers = self.truth.evaluate(query, at).unwrap_or_default();
            let mut of_it = numbers.keys().filter(|labels| {
                // Another group's trouble is not that of what is told.
                let group: Vec<_> = told.keys().map(|group| group.iter().collect()).collect();
                let of_group = |pins: &Vec<_>| fits(labels, pins);
                labels.get("instance") == Some(&instance)
                    && fits(labels, &asked.signal.pins)
                    && (group.is_empty()
                        || asked.signal.ask.compares() // what it leaves out is told as nothing
                        || group.iter().any(of_group))
            });
            of_it.next().is_some() && is_known(selector.family)
        })
    }

    /// Where nothing was wrong for long, aggregates of what every target shows are told.
    pub(crate) fn check_all_told(&self) {
        let at = self.read_at();
        for (index, asked) in self.asked.iter().enumerate() {
            let Some(family) = asked.signal.ask.aggregated() else {
                continue;
            };
            // What has shown a family and goes on without it has lost it, and what never did may be anything.
            let shows = |one: &Scraped| {
                if one.rules == Rules::NoModel {
                    return false; // series of several models are one
                }
                let has = families_of(one.target.server).any(|of_it| of_it == family);
                !has || one.target.loads.iter().any(Option::is_some)
            };
            let truth = self.numbers(index, &self.truth, at).unwrap_or_default();
            let is_above_zero = !truth.is_empty() && truth.values().all(|value| *value > 0.0);
            if is_above_zero && asked.signal.pins.is_empty() && self.targets.iter().all(shows) {
                let reading = self.read(index, at);
                assert_eq!(
                    reading.state,
                    State::Value,
                    "needless: {} {:?}, true {truth:?}",
                    asked.text,
                    asked.signal.policy
                );
            }
        }
    }
}

fn query(text: &str) -> Query {
    parse(text).unwrap_or_else(|| panic!("{text} is no query"))
}

fn told(reading: &Reading) -> Numbers {
    let elements = reading.elements.iter();
    elements
        .map(|one| (nameless(&one.labels), one.value))
        .collect()
}

/// Without the 0 of a constant at the end, which says what is told where there is nothing else: it is no group beside others,
/// and has the labels of the group that is asked for.
fn without_constant(mut numbers: Numbers, ask: &Ask) -> Numbers {
    if ask.ends_with_constant() {
        numbers.retain(|labels, value| !labels.is_empty() || *value != 0.0);
    }
    numbers
}

fn fits(labels: &Labels, pins: &[(&str, &str)]) -> bool {
    let fits = |(label, value): &(&str, &str)| labels.get(label).is_none_or(|have| have == *value);
    pins.iter().all(fits)
}

fn is_near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn are_near(a: &Numbers, b: &Numbers) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(labels, value)| b.get(labels).is_some_and(|other| is_near(*value, *other)))
}
