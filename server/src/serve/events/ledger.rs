//! What each scaler was told last of each of its metrics, and what of that is no longer so. It decides what is news, and how
//! much of it an object gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::scaler::Scaler;

/// Events that an object may get at once; ...
const BURST: u32 = 10;
/// ... and then one in so many seconds. What is kept back is told later, if it is so by then.
const ONE_EVERY_S: u64 = 60;

/// What a metric says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A number that was measured, now or within its hold.
    Measured,
    /// A number that the configuration gives, and why.
    Configured(String),
    /// No number, and why.
    Unknown(String),
}

/// The same without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Measured,
    Configured,
    Unknown,
}

impl Told {
    fn phase(&self) -> Phase {
        match self {
            Told::Measured => Phase::Measured,
            Told::Configured(_) => Phase::Configured,
            Told::Unknown(_) => Phase::Unknown,
        }
    }
}

/// A metric of a scaler, seen now.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) scaler: Arc<Scaler>,
    /// Which of its reads.
    pub(super) read: usize,
    pub(super) told: Told,
}

/// What a scaler has to be told.
#[derive(Clone, Debug)]
pub(super) struct News {
    pub(super) scaler: Arc<Scaler>,
    /// What it is about, for telling Events apart.
    pub(super) about: String,
    pub(super) phase: Phase,
    pub(super) message: String,
}

/// By uid and name of the metric.
type Key = (String, String);

#[derive(Default)]
pub(super) struct Ledger {
    last: BTreeMap<Key, Last>,
    /// By uid.
    budgets: BTreeMap<String, Budget>,
}

struct Last {
    phase: Phase,
    since_s: u64,
}

struct Budget {
    left: u32,
    /// When the last one was added.
    added_s: u64,
}

impl Ledger {
    /// What is to be told now, at most `max`. A metric that is seen for the first time and has a number is no news.
    pub(super) fn news(&mut self, seen: &[Seen], now_s: u64, max: usize) -> Vec<News> {
        let there: BTreeSet<&str> = seen.iter().map(|one| one.scaler.uid.as_str()).collect();
        self.last.retain(|(uid, _), _| there.contains(uid.as_str()));
        self.budgets.retain(|uid, _| there.contains(uid.as_str()));
        let mut spent: BTreeMap<&str, u32> = BTreeMap::new();
        let mut news = Vec::new();
        for one in seen {
            let about = one.scaler.reads[one.read].name();
            let key = (one.scaler.uid.clone(), about.to_owned());
            let last = self.last.entry(key).or_insert(Last {
                phase: Phase::Measured,
                since_s: now_s,
            });
            if last.phase == one.told.phase() || news.len() >= max {
                continue;
            }
            let budget = self
                .budgets
                .entry(one.scaler.uid.clone())
                .or_insert(Budget {
                    left: BURST,
                    added_s: now_s,
                });
            budget.refill(now_s);
            let spent = spent.entry(one.scaler.uid.as_str()).or_default();
            if *spent >= budget.left {
                continue;
            }
            *spent += 1;
            news.push(News {
                scaler: Arc::clone(&one.scaler),
                about: about.to_owned(),
                phase: one.told.phase(),
                message: message(about, &one.told, last, now_s),
            });
        }
        news
    }

    /// It has been told.
    pub(super) fn told(&mut self, news: &News, now_s: u64) {
        let key = (news.scaler.uid.clone(), news.about.clone());
        let last = Last {
            phase: news.phase,
            since_s: now_s,
        };
        self.last.insert(key, last);
        if let Some(budget) = self.budgets.get_mut(&news.scaler.uid) {
            budget.left = budget.left.saturating_sub(1);
        }
    }
}

impl Budget {
    fn refill(&mut self, now_s: u64) {
        let more = now_s.saturating_sub(self.added_s) / ONE_EVERY_S;
        if more == 0 {
            return;
        }
        self.added_s += more * ONE_EVERY_S;
        let more = u32::try_from(more).unwrap_or(BURST);
        self.left = self.left.saturating_add(more).min(BURST);
    }
}

fn message(about: &str, told: &Told, last: &Last, now_s: u64) -> String {
    let since_s = now_s.saturating_sub(last.since_s);
    match (told, last.phase) {
        (Told::Unknown(why), _) => format!("{about} is unknown: {why}"),
        (Told::Configured(why), _) => {
            format!("{about} is told with a number that was not measured: {why}")
        }
        (Told::Measured, Phase::Unknown) => {
            format!("{about} has a number again; it was unknown for {since_s} s")
        }
        (Told::Measured, _) => {
            format!("{about} is told as measured again, after {since_s} s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scaler::{Read, ScalerKind};
    use super::*;

    fn scaler(uid: &str, names: &[&str]) -> Arc<Scaler> {
        let read = |name: &&str| Read::Trigger {
            source: (*name).to_owned(),
        };
        Arc::new(Scaler {
            kind: ScalerKind::Hpa,
            namespace: "n".to_owned(),
            name: "h".to_owned(),
            uid: uid.to_owned(),
            reads: names.iter().map(read).collect(),
        })
    }

    fn seen(scaler: &Arc<Scaler>, read: usize, told: Told) -> Seen {
        Seen {
            scaler: Arc::clone(scaler),
            read,
            told,
        }
    }

    fn unknown() -> Told {
        Told::Unknown("the gateway is down".to_owned())
    }

    /// Looks, and takes what is news as told.
    fn tell(ledger: &mut Ledger, seen: &[Seen], now_s: u64) -> Vec<String> {
        let news = ledger.news(seen, now_s, usize::MAX);
        news.iter().for_each(|one| ledger.told(one, now_s));
        news.into_iter().map(|one| one.message).collect()
    }

    #[test]
    fn a_change_is_told_once_and_a_good_start_never() {
        let (hpa, mut ledger) = (scaler("u", &["q"]), Ledger::default());
        let mut at = |told: Told, now_s| tell(&mut ledger, &[seen(&hpa, 0, told)], now_s);
        assert!(at(Told::Measured, 0).is_empty());
        assert_eq!(at(unknown(), 2), ["q is unknown: the gateway is down"]);
        assert!(at(unknown(), 4).is_empty());
        assert!(
            at(Told::Unknown("another reason".to_owned()), 6).is_empty(),
            "reasons change all the time"
        );
        let fallback = Told::Configured("the fallback".to_owned());
        assert_eq!(
            at(fallback, 8),
            ["q is told with a number that was not measured: the fallback"]
        );
        assert_eq!(
            at(Told::Measured, 20),
            ["q is told as measured again, after 12 s"]
        );
        at(unknown(), 30);
        assert_eq!(
            at(Told::Measured, 65),
            ["q has a number again; it was unknown for 35 s"]
        );
    }

    #[test]
    fn what_could_not_be_written_stays_news_and_what_has_gone_back_is_none() {
        let (hpa, mut ledger) = (scaler("u", &["q"]), Ledger::default());
        for now_s in [0, 10, 20] {
            let news = ledger.news(&[seen(&hpa, 0, unknown())], now_s, usize::MAX);
            assert_eq!(news.len(), 1, "it was not told");
        }
        let news = ledger.news(&[seen(&hpa, 0, Told::Measured)], 30, usize::MAX);
        assert!(news.is_empty());
    }

    #[test]
    fn an_object_that_flaps_gets_a_burst_and_then_one_a_minute_and_others_are_not_held_back() {
        let (flapping, calm) = (scaler("f", &["q"]), scaler("c", &["q"]));
        let mut ledger = Ledger::default();
        let mut events = 0;
        for look in 0..1_800_u64 {
            let told = if look % 2 == 0 {
                unknown()
            } else {
                Told::Measured
            };
            events += tell(&mut ledger, &[seen(&flapping, 0, told)], look * 2).len();
        }
        assert!((60..=70).contains(&events), "{events} in an hour");
        let both = [seen(&flapping, 0, unknown()), seen(&calm, 0, unknown())];
        assert!(!tell(&mut ledger, &both, 3_601).is_empty());
    }

    #[test]
    fn a_look_tells_at_most_so_many_and_objects_that_are_gone_are_forgotten() {
        let scalers: Vec<_> = (0..50)
            .map(|at| scaler(&format!("u{at}"), &["q"]))
            .collect();
        let all: Vec<Seen> = scalers.iter().map(|one| seen(one, 0, unknown())).collect();
        let mut ledger = Ledger::default();
        assert_eq!(ledger.news(&all, 0, 20).len(), 20);
        assert_eq!(ledger.last.len(), 50);
        ledger.news(&all[..1], 2, 20);
        assert_eq!((ledger.last.len(), ledger.budgets.len()), (1, 1));
    }
}
