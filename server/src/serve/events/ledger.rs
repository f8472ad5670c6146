//! What each scaler was told last of each of its metrics, and what of that is no longer so. It decides what is news, how much
//! of it an object gets, and when one that could not be told is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::scaler::Scaler;

/// After an Event of an object that could not be written, it gets none for so many seconds at first, ...
const PAUSE_S: u64 = 2;
/// ... and at most.
const PAUSE_S_MAX: u64 = 60;
/// Of a metric's name, selector and object in a message: there is to be room for the reason.
const ABOUT_BYTES_MAX: usize = 300;

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
    /// Which of its reads it is about.
    pub(super) about: String,
    pub(super) phase: Phase,
    pub(super) message: String,
}

/// By uid and what is read, selector and object among that.
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
    /// None is written before, since the last could not be.
    not_before_s: u64,
    pause_s: u64,
}

impl Ledger {
    /// What is to be told now, at most `max`. A metric that is seen for the first time and has a number is no news.
    pub(super) fn news(&mut self, seen: &[Seen], now_s: u64, max: usize) -> Vec<News> {
        self.forget(seen);
        let mut spent: BTreeMap<&str, u32> = BTreeMap::new();
        let mut news = Vec::new();
        for one in seen {
            let about = one.scaler.reads[one.read].to_string();
            let key = (one.scaler.uid.clone(), about.clone());
            let last = self.last.entry(key).or_insert(Last {
                phase: Phase::Measured,
                since_s: now_s,
            });
            if last.phase == one.told.phase() || news.len() >= max {
                continue;
            }
            let budget = self.budgets.entry(one.scaler.uid.clone());
            let budget = budget.or_insert(Budget::new(now_s));
            budget.refill(now_s);
            let spent = spent.entry(one.scaler.uid.as_str()).or_default();
            if *spent >= budget.left || now_s < budget.not_before_s {
                continue;
            }
            *spent += 1;
            news.push(News {
                scaler: Arc::clone(&one.scaler),
                message: message(&about, &one.told, last, now_s),
                about,
                phase: one.told.phase(),
            });
        }
        news
    }

    /// Objects that are gone, and what others read no longer.
    fn forget(&mut self, seen: &[Seen]) {
        let there: BTreeMap<&str, &Scaler> = seen
            .iter()
            .map(|one| (one.scaler.uid.as_str(), &*one.scaler))
            .collect();
        let reads = there
            .iter()
            .flat_map(|(uid, scaler)| scaler.reads.iter().map(|read| (*uid, read.to_string())));
        let reads: BTreeSet<(&str, String)> = reads.collect();
        self.last
            .retain(|(uid, about), _| reads.contains(&(uid.as_str(), about.clone())));
        self.budgets
            .retain(|uid, _| there.contains_key(uid.as_str()));
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
            budget.pause_s = PAUSE_S;
        }
    }

    /// It could not be told. Its object waits, others do not.
    pub(super) fn failed(&mut self, news: &News, now_s: u64) {
        if let Some(budget) = self.budgets.get_mut(&news.scaler.uid) {
            budget.not_before_s = now_s + budget.pause_s;
            budget.pause_s = (budget.pause_s * 2).min(PAUSE_S_MAX);
        }
    }
}

impl Budget {
    fn new(now_s: u64) -> Budget {
        Budget {
            left: BURST,
            added_s: now_s,
            not_before_s: 0,
            pause_s: PAUSE_S,
        }
    }

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
    let end = about.floor_char_boundary(ABOUT_BYTES_MAX);
    let more = if end < about.len() { "..." } else { "" };
    let about = format!("{}{more}", &about[..end]);
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
    use stillwell_adapters::objects::Selector;

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

    #[test]
    fn metrics_of_one_name_are_told_apart_by_what_else_is_asked() {
        let metric = || "q".to_owned();
        let pool = |pool: &str| Read::External {
            metric: metric(),
            selector: Selector::parse(&format!("pool={pool}")).expect("valid"),
        };
        let object = |name: &str| Read::Object {
            metric: metric(),
            selector: Selector::default(),
            group: String::new(),
            kind: "Service".to_owned(),
            name: name.to_owned(),
        };
        let pods = Read::Pods {
            metric: metric(),
            selector: Selector::default(),
        };
        let reads = vec![pool("a"), pool("b"), object("a"), object("b"), pods];
        let hpa = Arc::new(Scaler {
            reads: reads.clone(),
            ..(*scaler("u", &[])).clone()
        });
        let mut ledger = Ledger::default();
        // Every second one is unknown, and stays so.
        let told = |read| {
            if read % 2 == 0 {
                unknown()
            } else {
                Told::Measured
            }
        };
        let all: Vec<Seen> = (0..reads.len())
            .map(|read| seen(&hpa, read, told(read)))
            .collect();
        let first = tell(&mut ledger, &all, 2);
        let names: Vec<&str> = first
            .iter()
            .filter_map(|one| one.split_once(" is unknown"))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["q{pool=a}", "q of Service a", "q of pods"]);
        assert!(tell(&mut ledger, &all, 4).is_empty(), "nothing has changed");
        // One is taken out of the HPA: nothing of it stays.
        let fewer = Arc::new(Scaler {
            reads: reads[1..].to_vec(),
            ..(*hpa).clone()
        });
        ledger.news(&[seen(&fewer, 0, Told::Measured)], 6, 20);
        assert_eq!(ledger.last.len(), reads.len() - 1);
        assert!(!ledger.last.keys().any(|(_, about)| about == "q{pool=a}"));
    }

    #[test]
    fn a_long_selector_leaves_room_for_the_reason() {
        let long = scaler("u", &["ä".repeat(5_000).as_str()]);
        let told = tell(&mut Ledger::default(), &[seen(&long, 0, unknown())], 0);
        assert!(told[0].len() < 400 && told[0].ends_with("the gateway is down"));
    }

    #[test]
    fn objects_that_cannot_be_told_keep_no_other_waiting() {
        let scalers: Vec<_> = (0..50)
            .map(|at| scaler(&format!("u{at}"), &["q"]))
            .collect();
        let all: Vec<Seen> = scalers.iter().map(|one| seen(one, 0, unknown())).collect();
        let mut ledger = Ledger::default();
        // The first 40 are of a namespace that ends; a look has place for 20.
        let is_bad = |news: &News| news.scaler.uid[1..].parse::<u32>().expect("a number") < 40;
        let (mut told, mut tries) = (0, 0);
        for now_s in (0..3_600).step_by(2) {
            for news in ledger.news(&all, now_s, 20) {
                match is_bad(&news) {
                    true => {
                        tries += 1;
                        ledger.failed(&news, now_s);
                    }
                    false => {
                        told += 1;
                        ledger.told(&news, now_s);
                    }
                }
            }
            assert!(now_s < 30 || told == 10, "{told} after {now_s} s");
        }
        let most = 40 * (3_600 / PAUSE_S_MAX + 10);
        assert!((40 * 50..most).contains(&tries), "{tries} in an hour");
        // It can be told again, and the pause begins anew.
        let news = ledger.news(&all, 4_000, 1);
        ledger.told(&news[0], 4_000);
        let uid = &news[0].scaler.uid;
        assert_eq!(ledger.budgets[uid].pause_s, PAUSE_S);
    }
}
