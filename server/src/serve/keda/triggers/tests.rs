use std::time::Duration;

use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec};

use super::*;
use crate::serve::keda::cost::Cost;
use crate::serve::keda::missing_names::COMPARED_PER_SECOND_MAX;

fn triggers() -> (Triggers, watch::Sender<bool>) {
    let (mut writer, reader) = Engine::new(Limits::default());
    let (_, mut stage) = writer.add_target(TargetSpec {
        interval_ms: 60_000,
        ..TargetSpec::default()
    });
    let clock = Arc::new(Clock::start());
    let staged = stage.parse(b"q 7\n", Format::Text).expect("it parses");
    let committed = writer.commit(staged, clock.now(), ScrapeFacts::default());
    committed.expect("it is taken");
    let (quit, ending) = watch::channel(false);
    let signals = Arc::new(ConfiguredSignals::none(reader.clone()));
    (Triggers::new(reader, clock, signals, &[], ending), quit)
}

fn asked(triggers: &Triggers, name: &str, query: &str) -> Result<Arc<dyn Kept>, Refusal> {
    asked_from(triggers, 0, ("ns", name), query)
}

fn asked_from(
    triggers: &Triggers,
    host: u8,
    (namespace, name): (&str, &str),
    query: &str,
) -> Result<Arc<dyn Kept>, Refusal> {
    let metadata = [("query", query), ("threshold", "5")];
    let metadata = metadata.map(|(key, text)| (key.to_owned(), text.to_owned()));
    let trigger = Trigger::parse(&metadata.into())?;
    let caller = Caller {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        authenticated: false,
    };
    triggers.trigger(
        &caller,
        Some(ClientAddress::of([10, 0, 0, host], None)),
        &trigger,
    )
}

/// Of a hundred ScaledObjects with wrong names at once ten were shown.
#[test]
fn each_name_that_is_not_there_is_noted() {
    let (triggers, _quit) = triggers();
    let metadata = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    let metadata = [metadata("signal", "nowhere"), metadata("threshold", "5")];
    let trigger = Trigger::parse(&metadata.into()).expect("a trigger");
    let count = 10 * COMPARED_PER_SECOND_MAX as usize;
    for at in 0..2 * count {
        let caller = Caller {
            namespace: "ns".to_owned(),
            name: (at % count).to_string(),
            authenticated: false,
        };
        triggers.specified(&caller, &trigger);
    }
    let (shown, _) = triggers.describe();
    assert_eq!(shown.len(), count);
    let says = |text: &str| shown.iter().filter(|one| one.reason.contains(text)).count();
    assert_eq!(says("there is no signal \"nowhere\""), count);
    let looked = says("the configuration has none");
    assert!(looked >= COMPARED_PER_SECOND_MAX as usize, "{looked}");
}

/// KEDA with 700 queries was refused the next beside a stranger with 650, and had 500 of its 900 beside one who came first.
#[test]
fn a_stranger_leaves_keda_as_many_queries_as_he_has_whoever_comes_first() {
    const KEDA: u8 = 1;
    const STRANGER: u8 = 2;
    let ask = |triggers: &Triggers, host: u8, at: usize| {
        let namespace = format!("of{host}-{}", at % 50);
        let query = format!("sum(q) + {at}");
        asked_from(triggers, host, (&namespace, "a"), &query).is_ok()
    };
    let (triggers, _quit) = triggers();
    let taken = |host: u8, queries: std::ops::Range<usize>| {
        let kept = queries.clone().filter(|at| ask(&triggers, host, *at));
        (kept.count(), queries.len())
    };
    for (host, queries, all) in [
        (KEDA, 0..700, true),
        (STRANGER, 0..650, true),
        (KEDA, 700..701, true),
        (STRANGER, 650..2_000, false), // he holds most
    ] {
        let (kept, asked) = taken(host, queries);
        assert_eq!(kept == asked, all, "{host}: {kept} of {asked}");
    }
    assert_eq!(taken(KEDA, 0..900), (900, 900));
    // With another stranger each has a third.
    assert_eq!(taken(3, 0..600), (600, 600));
    taken(STRANGER, 2_000..2_500);
    let kept = taken(KEDA, 0..900).0;
    assert!((666..900).contains(&kept), "{kept}");
    let all = triggers.0.state.lock().triggers();
    assert!((1_990..=2_000).contains(&all), "{all}");
}

/// A second ScaledObject with a query that costs much was told that nobody had looked at it yet.
#[test]
fn a_new_trigger_on_a_query_that_rests_is_told_what_the_others_know() {
    let (triggers, _quit) = triggers();
    let first = asked(&triggers, "a", "sum(q)").expect("taken");
    assert_eq!(first.read().expect("a number").value, 7.0);
    for slot in triggers.0.state.lock().sources.values_mut() {
        slot.cost = Cost::of(Duration::from_secs(60), || Duration::from_secs(600));
    }
    let second = asked(&triggers, "b", "sum(q)").expect("taken");
    let told = second.read().expect("a number");
    assert_eq!((told.value, told.active), (7.0, true));
}

#[test]
fn a_look_at_a_query_that_costs_much_is_told_once_to_each_of_its_triggers() {
    let (triggers, _quit) = triggers();
    let [first, _second] = ["a", "b"].map(|name| asked(&triggers, name, "sum(q)").expect("taken"));
    let told = || -> Vec<usize> {
        let state = triggers.0.state.lock();
        let entries = state
            .sources
            .values()
            .flat_map(|slot| slot.entries.values());
        entries
            .map(|entry| entry.told_times.swap(0, Ordering::Relaxed))
            .collect()
    };
    told();
    for slot in triggers.0.state.lock().sources.values_mut() {
        slot.cost = Cost {
            last: Duration::from_secs(60),
            due: None,
        };
    }
    assert_eq!(first.read().expect("a number").value, 7.0);
    assert_eq!(told(), [1, 1]);
}

#[test]
fn what_is_kept_for_triggers_is_given_back_with_them() {
    let (triggers, _quit) = triggers();
    for at in 0..60 {
        let kept = asked(&triggers, "a", &format!("sum(q) + {at}"));
        assert_eq!(kept.is_ok(), at < 50, "{at}");
    }
    assert!(asked(&triggers, "b", "sum(").is_err());
    assert_eq!(triggers.0.state.lock().triggers(), 50);
    let later = triggers.0.clock.now().plus_ms(EXPIRES_MS);
    triggers.0.expire(later);
    assert_eq!(triggers.0.state.lock().triggers(), 0);
    assert!(asked(&triggers, "a", "sum(q) + 55").is_ok());
}
