//! Objects that come, change and go, in a cluster of several namespaces.

use std::collections::BTreeMap;

use serde_json::json;
use stillwell_engine::promql::Features;

use super::super::room::Room;
use super::*;
use crate::config::Global;

fn state() -> State {
    let (config, _) = crate::config::load("monitors: {}\n");
    let options = config.expect("it parses").monitors.remove(0);
    let section = Section {
        options,
        global: Global::default(),
        features: Features::default(),
    };
    let nowhere = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
    let client = Client::try_from(nowhere).expect("a client");
    State::new(section, client, BTreeSet::new())
}

/// A PodMonitor with so many endpoints.
fn monitor(endpoints: usize) -> Value {
    let endpoints = (0..endpoints).map(|at| json!({"port": format!("p{at}")}));
    json!({"selector": {}, "podMetricsEndpoints": endpoints.collect::<Vec<_>>()})
}

/// A PodMonitor whose endpoint has a token of this Secret.
fn with_secret(name: &str) -> Value {
    let token = json!({"name": name, "key": "t"});
    let endpoint = json!({"port": "p", "bearerTokenSecret": token});
    json!({"selector": {}, "podMetricsEndpoints": [endpoint]})
}

fn change(state: &mut State, kind: MonitorKind, change: Change<Value>) {
    let place = PLACES.iter().position(|place| place.kind == kind);
    state.take(Seen {
        place: place.expect("a kind"),
        namespace: String::new(),
        change,
    });
}

fn job_count(state: &State) -> usize {
    let given = state.given();
    given.by_object.values().map(|found| found.jobs.len()).sum()
}

fn rule_group_count(state: &State) -> usize {
    let given = state.given();
    given
        .by_object
        .values()
        .map(|found| found.rules.len())
        .sum()
}

/// Jobs by namespace.
fn jobs(state: &State) -> BTreeMap<String, usize> {
    let mut jobs = BTreeMap::new();
    for (id, made) in &state.made {
        if let Made::Gives(found) = made {
            *jobs.entry(namespace_of(id).to_owned()).or_default() += found.jobs.len();
        }
    }
    assert_eq!(job_count(state), jobs.values().sum::<usize>());
    jobs
}

/// Fifty monitors of 100 endpoints in the first namespace of the alphabet left nobody else a job, for ever; and where it gave way
/// to others, what its jobs showed was missed in sums.
#[tokio::test]
async fn a_namespace_that_takes_all_room_for_jobs_leaves_some_and_keeps_its_own() {
    let mut state = state();
    state.rooms.jobs = Room::new(50);
    let pods = MonitorKind::PodMonitor;
    let greedy = (0..6).map(|at| (format!("aaa/{at}"), monitor(10)));
    let others = (0..3).map(|at| (format!("zzz/{at}"), monitor(1)));
    change(
        &mut state,
        pods,
        Change::All(greedy.chain(others).collect()),
    );
    assert!(state.make().await);
    let expected = [("aaa".to_owned(), 40), ("zzz".to_owned(), 3)];
    assert_eq!(jobs(&state), expected.clone().into());
    assert!(!state.make().await, "nothing changes by itself");
    for at in 3..9 {
        let more = Change::Put(format!("zzz/{at}"), monitor(1));
        change(&mut state, pods, more);
    }
    assert!(state.make().await);
    assert_eq!(jobs(&state)["aaa"], 40, "nobody loses what they have");
    // Where some go, room is there again for who was refused.
    for at in 0..3 {
        change(&mut state, pods, Change::Gone(format!("aaa/{at}")));
    }
    assert!(state.make().await);
    let expected = [("aaa".to_owned(), 30), ("zzz".to_owned(), 9)];
    assert_eq!(jobs(&state), expected.into());
}

#[tokio::test]
async fn a_rule_that_finds_no_room_is_tried_again() {
    let mut state = state();
    state.rooms.rules = Room::new(40);
    let rule = |count: usize| {
        let rule = |at| json!({"record": format!("r{at}"), "expr": "1"});
        let rules: Vec<Value> = (0..count).map(rule).collect();
        json!({"groups": [{"name": "g", "rules": rules}]})
    };
    let (kind, name) = (MonitorKind::PrometheusRule, |at| format!("aaa/{at:02}"));
    let all = (0..20).map(|at| (name(at), rule(2)));
    change(&mut state, kind, Change::All(all.collect()));
    assert!(state.make().await);
    assert_eq!(rule_group_count(&state), 16);
    change(&mut state, kind, Change::Gone(name(0)));
    assert!(state.make().await);
    assert_eq!(rule_group_count(&state), 16, "another has its room");
}

/// Of a namespace of which there was more than is kept the jobs went, and their targets with them.
#[tokio::test]
async fn jobs_of_a_namespace_that_cannot_be_seen_stay() {
    let mut state = state();
    let pods = MonitorKind::PodMonitor;
    let list = |names: &[&str]| {
        let named = names.iter().map(|name| ((*name).to_owned(), monitor(1)));
        named.collect::<BTreeMap<String, Value>>()
    };
    change(&mut state, pods, Change::All(list(&["prod/a", "dev/a"])));
    assert!(state.make().await && state.partial().is_none());
    let part = Change::AllBut {
        all: list(&["dev/b"]),
        left_out: ["prod".to_owned()].into(),
        why: "too many".to_owned(),
    };
    change(&mut state, pods, part);
    assert!(state.make().await);
    let both = [("dev".to_owned(), 1), ("prod".to_owned(), 1)];
    assert_eq!(jobs(&state), both.into());
    let why = state.partial().expect("a part").why;
    assert_eq!(why, "podmonitors: too many");
    change(&mut state, pods, Change::All(list(&["dev/b"])));
    assert!(state.make().await && state.partial().is_none());
    assert_eq!(jobs(&state), [("dev".to_owned(), 1)].into());
}

/// At our start the API server answered 500, which counted as a list, and what a snapshot knew of its targets as gone.
#[tokio::test]
async fn a_first_list_that_fails_is_no_list() {
    let pods = MonitorKind::PodMonitor;
    let place = PLACES.iter().position(|place| place.kind == pods);
    let watch = (place.expect("a kind"), String::new());
    for (told, are_listed) in [
        (Change::Failed("500".to_owned()), false),
        (Change::Beyond("too many".to_owned()), false),
        (Change::Failed(NO_SUCH_KIND.to_owned()), true),
        (Change::All(BTreeMap::new()), true),
    ] {
        let mut state = state();
        state.expected.insert(watch.clone());
        let case = format!("{told:?}");
        let is_beyond = matches!(told, Change::Beyond(_));
        change(&mut state, pods, told);
        assert_eq!(state.given().are_targets_listed, are_listed, "{case}");
        assert_eq!(state.given().partial.is_some(), is_beyond, "{case}");
        change(&mut state, pods, Change::All(BTreeMap::new()));
        let given = state.given();
        assert!(
            given.are_targets_listed && given.partial.is_none(),
            "{case}"
        );
        // Somebody removes the kind while there is more of it than is kept.
        change(&mut state, pods, Change::Beyond("too many".to_owned()));
        assert!(state.partial().is_some(), "{case}");
        change(&mut state, pods, Change::Failed(NO_SUCH_KIND.to_owned()));
        assert!(state.partial().is_none(), "{case}");
    }
}

/// An object that was rendered again, as those with a Secret are each minute, was refused the room that it had.
#[tokio::test]
async fn an_object_that_changes_keeps_its_room() {
    let mut state = state();
    state.rooms.jobs = Room::new(50);
    let pods = MonitorKind::PodMonitor;
    let greedy = (0..4).map(|at| (format!("aaa/{at}"), monitor(10)));
    let all = greedy.chain([("zzz/0".to_owned(), monitor(8))]);
    change(&mut state, pods, Change::All(all.collect()));
    assert!(state.make().await);
    assert_eq!(job_count(&state), 48);
    // As many as before, fewer, and more, for which there is no room: then what it gave before stays.
    let other = json!({"selector": {"matchLabels": {"a": "b"}}, "podMetricsEndpoints": (0..10).map(|at| json!({"port": format!("q{at}")})).collect::<Vec<_>>()});
    for (spec, jobs) in [
        (other, 48),
        (monitor(9), 47),
        (monitor(14), 47),
        (monitor(10), 47),
    ] {
        change(&mut state, pods, Change::Put("aaa/3".to_owned(), spec));
        assert!(state.make().await);
        assert_eq!(job_count(&state), jobs);
    }
    assert_eq!(state.refused.len(), 1);
    change(&mut state, pods, Change::Gone("zzz/0".to_owned()));
    assert!(state.make().await && state.refused.is_empty());
    assert_eq!(job_count(&state), 40, "room is there again");
}

/// Each minute the API server was asked for Secrets, and where it did not answer the jobs that use one were gone.
#[tokio::test(start_paused = true)]
async fn an_object_whose_secret_cannot_be_read_gives_what_it_gave() {
    let mut state = state();
    let pods = MonitorKind::PodMonitor;
    let put = |state: &mut State, key: &str, spec| {
        change(state, pods, Change::Put(key.to_owned(), spec));
    };
    put(&mut state, "a/new", with_secret("s"));
    put(&mut state, "a/known", monitor(1));
    assert!(state.make().await);
    let given = state.given();
    assert_eq!((job_count(&state), given.are_targets_listed), (1, false));
    assert!(given.partial.expect("one is not read").why.contains("a/s"));
    assert!(state.secrets_due().is_some());
    put(&mut state, "a/known", with_secret("other"));
    assert!(state.make().await);
    assert_eq!(job_count(&state), 1, "what it gave before");
    state.read_secrets_again();
    assert!(state.make().await, "both are tried again");
    assert_eq!(job_count(&state), 1);
    // Not for ever: others' numbers are told again.
    assert!(state.partial().is_some());
    tokio::time::advance(UNREAD_MISSED).await;
    state.read_secrets_again();
    assert!(state.make().await && state.partial().is_none());
    assert!(!state.are_targets_listed());
}

/// One PodMonitor with a name that no Secret can have made every signal unknown, for ever.
#[tokio::test]
async fn a_secret_that_cannot_be_named_is_nobody_elses_trouble() {
    let mut state = state();
    let pods = MonitorKind::PodMonitor;
    for (key, spec, jobs) in [
        ("a/empty", with_secret(""), 1),
        ("a/odd", with_secret("a b"), 1),
        ("a/other", monitor(1), 2),
    ] {
        change(&mut state, pods, Change::Put(key.to_owned(), spec));
        assert!(state.make().await);
        assert_eq!(job_count(&state), jobs, "{key}");
        assert!(state.partial().is_none() && state.are_targets_listed());
    }
}
