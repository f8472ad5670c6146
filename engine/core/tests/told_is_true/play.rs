//! A history, step by step: the world goes on, pages come, and what each signal says is held against the truth.

use std::collections::VecDeque;

use stillwell_engine::promql::Query;
use stillwell_engine::signal::SignalId;
use stillwell_engine::{Retain, Timestamp};

use crate::INTERVAL_MS;
use crate::ask::Signal;
use crate::history::{Event, History};
use crate::rules::Rules;
use crate::side::{Side, parse};
use crate::signals::GRACE_MS;
use crate::world::{
    FAMILIES, Faults, Load, MODELS, OnPage, POOLS, Page, Server, Target, families_of,
};

/// Steps without a fault after which everything has to be told: a crash loop's 5 graces, and the windows.
const QUIET_STEPS: usize = (5 * GRACE_MS / INTERVAL_MS) as usize + 16;
/// Steps for which a number may be held: a hold, a run of graces, a crash loop.
pub(crate) const HELD_STEPS: usize = QUIET_STEPS + 8;
/// Steps of a window that may hold what a page hid.
pub(crate) const WINDOW_STEPS: usize = 16;
/// How long before its pages something happens in a step, in milliseconds.
const BEFORE_MS: i64 = 300;
/// Between the pages of targets in a step, in milliseconds.
const STAGGER_MS: i64 = 20;

/// What is known of a target beside its state.
pub(crate) struct Scraped {
    pub(crate) target: Target,
    pool_label: Option<&'static str>,
    /// When its newest good page came, and what that shows.
    pub(crate) good: Option<(Timestamp, OnPage)>,
    /// Whether its newest finished scrape was good.
    is_good: bool,
    /// Its process is another since then.
    is_new: bool,
    pub(crate) rules: Rules,
    /// No good page has come since it is read by these.
    pub(crate) awaits_page: bool,
    /// It when that page came, and the step of it.
    pub(crate) then: Option<(Target, usize)>,
}

/// A signal.
pub(crate) struct Asked<'a> {
    pub(crate) signal: &'a Signal,
    pub(crate) text: String,
    pub(crate) query: Query,
    /// Its selectors alone.
    pub(crate) selectors: Vec<Query>,
    pub(crate) id: SignalId,
}

/// The newest good pages of all targets at a time at which one of them came or a target left.
pub(crate) struct Pages {
    pub(crate) at: Timestamp,
    pub(crate) of_targets: Vec<OnPage>,
}

pub(crate) struct Game<'a> {
    pub(crate) history: &'a History,
    pub(crate) tested: Side,
    pub(crate) truth: Side,
    pub(crate) zeros: Side,
    pub(crate) nan_is_zero: Side,
    /// What is on the pages, under the names of today.
    pub(crate) seen: Side,
    pub(crate) targets: Vec<Scraped>,
    /// Of the last `HELD_STEPS`, newest last.
    pub(crate) pages: VecDeque<Pages>,
    next_uid: usize,
    pub(crate) asked: Vec<Asked<'a>>,
    to_ask: Vec<&'a Signal>,
    /// The rules of the jobs.
    pub(crate) rules: Vec<Rules>,
    /// Jobs of which a target has left.
    pub(crate) has_left: Vec<bool>,
    /// When what happens now does, in milliseconds: one thing after another.
    pub(crate) happens_ms: i64,
    /// The step of the newest page that hid something.
    pub(crate) hidden_step: usize,
    pub(crate) step: usize,
}

pub(crate) fn play(history: &History, signals: &[Signal], keeps_all: bool) {
    let retain = if keeps_all {
        Retain::All
    } else {
        Retain::Signals
    };
    let mut game = Game {
        history,
        tested: Side::new(retain),
        truth: Side::new(Retain::All),
        zeros: Side::new(Retain::All),
        nan_is_zero: Side::new(Retain::All),
        seen: Side::new(Retain::All),
        targets: Vec::new(),
        pages: VecDeque::new(),
        next_uid: 0,
        asked: Vec::new(),
        to_ask: signals.iter().rev().collect(),
        rules: vec![Rules::Plain; history.jobs.len()],
        has_left: vec![false; history.jobs.len()],
        happens_ms: 0,
        hidden_step: 0,
        step: 1,
    };
    for _ in 0..signals.len().div_ceil(2) {
        game.ask();
    }
    for (job, spec) in history.jobs.iter().enumerate() {
        for loads in &spec.targets {
            game.join(job, *loads);
        }
    }
    for events in &history.steps {
        game.happens_ms = game.at().ms() - BEFORE_MS;
        for event in events {
            game.happens_ms += 1;
            game.happen(event);
        }
        game.go_on(true);
    }
    for scraped in &mut game.targets {
        scraped.target.faults = Faults::default();
    }
    while !game.to_ask.is_empty() {
        game.ask();
    }
    for at in 0..QUIET_STEPS {
        game.go_on(at + 2 > QUIET_STEPS || at % 3 == 0);
    }
    game.step -= 1;
    game.check_all_told();
}

impl<'a> Game<'a> {
    /// When the present step begins.
    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_ms(10_000_000 + self.step as i64 * INTERVAL_MS)
    }

    /// When signals are read in it, after all pages.
    pub(crate) fn read_at(&self) -> Timestamp {
        Timestamp::from_ms(self.at().ms() + INTERVAL_MS / 2)
    }

    pub(crate) fn note_pages(&mut self, at: Timestamp) {
        let good = self.targets.iter().filter_map(|one| one.good.as_ref());
        let of_targets = good.map(|(_, page)| page.clone()).collect();
        let oldest_ms = at.ms() - HELD_STEPS as i64 * INTERVAL_MS;
        self.pages.retain(|pages| pages.at.ms() >= oldest_ms);
        self.pages.push_back(Pages { at, of_targets });
    }

    pub(crate) fn sides(&mut self) -> [&mut Side; 5] {
        let Game {
            tested,
            truth,
            zeros,
            nan_is_zero,
            seen,
            ..
        } = self;
        [tested, truth, zeros, nan_is_zero, seen]
    }

    fn ask(&mut self) {
        let Some(signal) = self.to_ask.pop() else {
            return;
        };
        let text = signal.ask.text();
        let Some(query) = parse(&text) else {
            panic!("{text} is no query");
        };
        let id = self.tested.writer.register(&text, signal.policy.clone());
        let id = id.unwrap_or_else(|error| panic!("{text}: {error}"));
        let selectors = signal.ask.selectors().into_iter();
        let selectors = selectors.filter_map(|one| parse(&one.text())).collect();
        self.asked.push(Asked {
            signal,
            text,
            query,
            selectors,
            id,
        });
    }

    fn join(&mut self, job: usize, loads: [Load; MODELS.len()]) {
        let spec = &self.history.jobs[job];
        let uid = self.next_uid;
        self.next_uid += 1;
        let pool = POOLS[uid % POOLS.len()];
        let is_gateway = matches!(spec.server, Server::Gateway | Server::OldGateway);
        let pool_label = (spec.has_pool_label && is_gateway).then_some(pool);
        let rules = self.rules[job];
        for side in self.sides() {
            side.add(uid, job, pool_label, rules);
        }
        let target = Target {
            uid,
            job,
            server: spec.server,
            pool,
            start_s: 1_000,
            shows_start: spec.shows_start,
            loads,
            faults: Faults::default(),
        };
        self.targets.push(Scraped {
            target,
            pool_label,
            good: None,
            is_good: false,
            is_new: true,
            rules,
            awaits_page: false,
            then: None,
        });
    }

    fn happen(&mut self, event: &Event) {
        let (step, start_s) = (self.step, self.at().ms() / 1_000 - 1);
        let count = self.targets.len();
        let until = |steps: &usize| step + steps;
        let index = |target: &usize| target % count;
        match event {
            Event::Ask => self.ask(),
            Event::Join(target) if count < 6 => {
                let job = self.targets[index(target)].target.job;
                self.join(job, [Some([7, 8, 9, 10]), None, None]);
            }
            Event::Leave(target) if count > 1 => {
                let gone = self.targets.remove(index(target));
                self.has_left[gone.target.job] = true;
                if gone.target.server == Server::OldGateway {
                    self.hidden_step = self.step; // see `main`: windows
                }
                let at = Timestamp::from_ms(self.at().ms() - 1);
                for side in self.sides() {
                    side.remove(gone.target.uid, at);
                }
                self.note_pages(at);
            }
            Event::Join(_) | Event::Leave(_) => {}
            Event::Reload(target, is_of_job, rules) => {
                let target = &self.targets[index(target)].target;
                let nth = |family: usize| families_of(target.server).nth(family);
                let rules = match *rules {
                    Rules::Without(family) => nth(family).map_or(Rules::Plain, Rules::Without),
                    Rules::Renamed(family) => nth(family).map_or(Rules::Plain, Rules::Renamed),
                    rules => rules,
                };
                self.reload((target.job, target.uid), *is_of_job, rules);
            }
            Event::Load(target, model, load) => {
                let load_of = &mut self.targets[index(target)].target.loads[*model];
                let counted = load_of.map_or(0, |had| had[2]);
                *load_of = Some([load[0], load[1], counted + load[2], load[3]]);
            }
            Event::Forget(target, model) => {
                let target = &mut self.targets[index(target)].target;
                if target.server != Server::Engine || *model > 0 {
                    target.loads[*model] = None;
                }
            }
            Event::Restart(target) => self.targets[index(target)].restart(start_s),
            Event::Down(target, steps) => {
                self.targets[index(target)].target.faults.down = until(steps)
            }
            Event::Broken(target, steps) => {
                self.targets[index(target)].target.faults.broken = until(steps)
            }
            Event::Late(target, steps) => {
                self.targets[index(target)].target.faults.late = until(steps)
            }
            Event::Empty(target, steps) => {
                self.targets[index(target)].target.faults.empty = until(steps)
            }
            Event::Lose(target, family, steps) => {
                let scraped = &mut self.targets[index(target)];
                if let Some(family) = families_of(scraped.target.server).nth(*family)
                    && scraped.has_shown(family)
                {
                    scraped.target.faults.lost[family] = until(steps);
                }
            }
            Event::Nan(target, family, steps) => {
                let target = &mut self.targets[index(target)].target;
                if let Some(family) = families_of(target.server).nth(*family) {
                    target.faults.nan[family] = until(steps);
                }
            }
        }
    }

    /// Pages come one after another, and signals are read.
    fn go_on(&mut self, reads: bool) {
        for index in 0..self.targets.len() {
            let at = Timestamp::from_ms(self.at().ms() + index as i64 * STAGGER_MS);
            self.scrape(index, at);
            if reads && (self.step + index).is_multiple_of(3) {
                self.check_all(at);
            }
        }
        let at = self.read_at();
        for side in self.sides() {
            side.writer.maintain(at);
        }
        if reads {
            self.check_all(at);
        }
        self.step += 1;
    }

    fn check_all(&self, at: Timestamp) {
        for index in 0..self.asked.len() {
            self.check(index, at);
        }
    }

    fn scrape(&mut self, index: usize, at: Timestamp) {
        let step = self.step;
        let target = self.targets[index].target.clone();
        let uid = target.uid;
        if target.faults.late > step {
            return;
        }
        let is_good = if target.faults.down > step {
            self.tested.fail(uid, at);
            false
        } else {
            self.tested.take(uid, &target.page(Page::Shown, step), at)
        };
        let scraped = &mut self.targets[index];
        scraped.is_good = is_good;
        if !is_good {
            return; // the other engines keep what is known
        }
        let mut page = OnPage::of(&target, scraped.rules, step);
        let is_known = !scraped.is_new && !scraped.awaits_page;
        let before = scraped.good.as_ref().filter(|_| is_known);
        page.follow(before.map(|(_, page)| page));
        scraped.is_new = false;
        scraped.awaits_page = false;
        scraped.then = Some((target.clone(), step));
        if page.has_faults() {
            self.hidden_step = step;
        }
        scraped.good = Some((at, page));
        self.take_true(&target, step, at);
        self.note_pages(at);
    }
}

impl Scraped {
    pub(crate) fn is_fresh(&self, at: Timestamp) -> bool {
        let is_young = |(good, _): &(Timestamp, _)| at.ms() - good.ms() <= 2 * INTERVAL_MS;
        self.is_good && !self.awaits_page && self.good.as_ref().is_some_and(is_young)
    }

    /// Whether its process has shown a family.
    fn has_shown(&self, family: usize) -> bool {
        let shown = |(_, page): &(Timestamp, OnPage)| page.has_shown[family];
        !self.is_new && self.good.as_ref().is_some_and(shown)
    }

    fn restart(&mut self, start_s: i64) {
        let target = &mut self.target;
        target.start_s = start_s;
        target.faults.lost = [0; FAMILIES.len()];
        self.is_new = true;
        let forgets = target.is_gateway();
        for load in &mut target.loads {
            *load = load.filter(|_| !forgets).map(|had| [0, 0, 0, had[3]]);
        }
        if forgets && self.pool_label.is_none() {
            target.pool = POOLS[start_s as usize % POOLS.len()];
        }
    }
}
