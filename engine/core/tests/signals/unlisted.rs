//! Jobs of which not all targets are known (S6f): no sum is told for those that are.

use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::promql::{Features, Query};
use stillwell_engine::signal::{Namespaces, Partial, Policy, Unlisted, Unseen};
use stillwell_engine::{Retain, TargetSpec};

use crate::scenario::{INTERVAL_MS, Reported, Scenario, unknown, value};
use crate::servers::{WAITING, page, restarted, server};

/// We started while the discovery of one job answered 500, and what the other job showed was told for both: 5 of 35.
#[test]
fn no_sum_is_told_before_each_job_that_may_add_to_it_has_given_a_list() {
    let mut scenario = Scenario::new();
    let mut unlisted = Unlisted {
        jobs: ["w".to_owned()].into(),
        are_awaited: true,
        ..Unlisted::default()
    };
    scenario.reader.set_unlisted(unlisted.clone());
    let targets = [scenario.target_with(server("a:1", Retain::All))];
    let [any, of_v, of_w, of_any_job, listed] = [
        (format!("sum({WAITING})"), vec![]),
        (format!("sum({WAITING}{{job=\"v\"}})"), vec![]),
        (
            format!("sum({WAITING}{{job=\"w\"}}) + sum({WAITING})"),
            vec![],
        ),
        (format!("sum({WAITING}{{job=~\"v|w\"}})"), vec![]),
        (
            format!("sum({WAITING}) or sum({WAITING}{{job=\"v\"}})"),
            vec!["v".to_owned()],
        ),
    ]
    .map(|(text, jobs)| {
        let policy = Policy {
            jobs,
            ..Policy::default()
        };
        scenario.register_with(&text, policy)
    });
    for _ in 0..3 {
        scenario.take(targets[0], &page(1, Some(5)));
    }
    for signal in [any, of_w, of_any_job] {
        unknown(&scenario.reported(signal), &["targets w has", "no list"]);
    }
    assert_eq!(
        [of_v, listed].map(|one| scenario.reported(one)),
        [value(5.0), value(5.0)]
    );
    scenario.reader.set_unlisted(Unlisted::default());
    assert_eq!(scenario.reported(any), value(5.0));
    // One whose targets may have any label `job` may add to whatever is not another's.
    unlisted.are_of_any_name = true;
    scenario.reader.set_unlisted(unlisted.clone());
    unknown(&scenario.reported(of_v), &["targets w has"]);
    unlisted.listed = ["v".to_owned()].into();
    scenario.reader.set_unlisted(unlisted);
    unknown(&scenario.reported(any), &["targets w has"]);
    assert_eq!(
        [of_v, listed].map(|one| scenario.reported(one)),
        [value(5.0), value(5.0)]
    );
}

/// Of a namespace of which there was more than is kept the new pods were not seen, and what the others showed was told for all.
#[test]
fn no_sum_is_told_where_some_targets_of_a_job_cannot_be_seen() {
    let mut scenario = Scenario::new();
    let target = scenario.target_with(server("a:1", Retain::All));
    let any = scenario.register(&format!("sum({WAITING})"));
    let of_v = scenario.register(&format!("sum({WAITING}{{job=\"v\"}})"));
    for _ in 0..3 {
        scenario.take(target, &page(1, Some(5)));
    }
    let mut unlisted = Unlisted {
        listed: ["v".to_owned()].into(),
        partial: vec![Partial {
            job: "w".to_owned(),
            is_of_any_name: true,
            unseen: Unseen::default(),
            why: "there is too much".to_owned(),
        }],
        ..Unlisted::default()
    };
    scenario.reader.set_unlisted(unlisted.clone());
    unknown(&scenario.reported(any), &["targets w has", "too much"]);
    assert_eq!(scenario.reported(of_v), value(5.0));
    unlisted.listed.clear();
    scenario.reader.set_unlisted(unlisted.clone());
    unknown(&scenario.reported(of_v), &["targets w has"]);
    unlisted.partial[0].is_of_any_name = false;
    scenario.reader.set_unlisted(unlisted);
    unknown(&scenario.reported(any), &["targets w has"]);
    assert_eq!(scenario.reported(of_v), value(5.0));
    scenario.reader.set_unlisted(Unlisted::default());
    assert_eq!(scenario.reported(any), value(5.0));
}

/// One namespace could not be read, and the number of the other was told for both; what does not ask for it is told.
#[test]
fn only_what_may_select_series_that_cannot_be_seen_is_unknown() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let kube = |namespaces| Unseen {
        metrics: vec!["kube_spec_replicas".to_owned()],
        namespaces,
        but: Vec::new(),
    };
    let but = |query: &str| Unseen {
        but: vec![selector(query)],
        ..kube(Namespaces::Any)
    };
    let of_b = || kube(Namespaces::Of(names(&["b"])));
    let but_a = || kube(Namespaces::AllBut(names(&["a"])));
    for (query, unseen, is_known) in [
        ("sum(kube_spec_replicas{namespace=\"a\"})", of_b(), true),
        ("sum(kube_spec_replicas{namespace=\"a\"})", but_a(), true),
        ("sum(kube_spec_replicas{namespace=~\"a|b\"})", of_b(), false),
        (
            "sum(kube_spec_replicas{namespace=~\"a|b\"})",
            but_a(),
            false,
        ),
        ("sum(kube_spec_replicas)", of_b(), false),
        ("sum(kube_spec_replicas)", but_a(), false),
        ("sum(kube_spec_replicas{namespace!=\"b\"})", of_b(), true),
        ("sum(kube_spec_replicas{namespace!=\"b\"})", but_a(), false),
        ("sum({__name__=~\"kube_.*\"})", of_b(), false),
        ("sum(other)", but_a(), true),
        ("sum(other)", Unseen::default(), false),
        ("sum({namespace=~\"a|b\"})", of_b(), true),
        (
            "sum(kube_spec_replicas{namespace=\"a\"})",
            but("kube_spec_replicas{namespace=\"a\"}"),
            true,
        ),
        (
            "sum(kube_spec_replicas{namespace=\"a\"})",
            but("kube_spec_replicas"),
            true,
        ),
        (
            "sum(kube_spec_replicas)",
            but("kube_spec_replicas{namespace=\"a\"}"),
            false,
        ),
    ] {
        let mut scenario = Scenario::new();
        let target = scenario.target_with(server("a:1", Retain::All));
        let signal = scenario.register(query);
        for _ in 0..3 {
            scenario.take(
                target,
                "kube_spec_replicas{namespace=\"a\"} 5\nother{namespace=\"a\"} 5\n",
            );
        }
        assert!(
            matches!(scenario.reported(signal), Reported::Value(_)),
            "{query}"
        );
        let partial = Partial {
            job: "kube".to_owned(),
            is_of_any_name: true,
            unseen,
            why: "it may not be read".to_owned(),
        };
        scenario.reader.set_unlisted(Unlisted {
            partial: vec![partial.clone()],
            ..Unlisted::default()
        });
        let reported = scenario.reported(signal);
        match is_known {
            true => assert!(
                matches!(reported, Reported::Value(_)),
                "{query} {partial:?}"
            ),
            false => unknown(&reported, &["targets kube has", "may not be read"]),
        }
    }
}

/// A snapshot knew that the other job had 30; its discovery failed from our start on, and after 10 s the 5 of the first were told for
/// both.
#[test]
fn what_a_snapshot_knows_of_a_job_is_not_gone_before_its_discovery_says_so() {
    let of_job = |instance: &str, job: &str| TargetSpec {
        labels: Labels::from_pairs([("job", job), ("instance", instance)]),
        ..server(instance, Retain::All)
    };
    let of = |jobs: &[&str], listed: &[&str], are_of_any_name: bool| Unlisted {
        jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
        listed: listed.iter().map(|job| (*job).to_owned()).collect(),
        are_of_any_name,
        are_awaited: false,
        ..Unlisted::default()
    };
    for (case, label, unlisted, stays) in [
        ("its job", "w", of(&["w"], &["v"], false), true),
        (
            "objects",
            "service",
            of(&["ServiceMonitor"], &["v"], true),
            true,
        ),
        ("no job of ours", "old", of(&["w"], &["v"], false), false),
        ("a list that lacks it", "v", of(&["w"], &["v"], true), false),
        ("all have lists", "w", of(&[], &["v", "w"], false), false),
    ] {
        let mut scenario = Scenario::new();
        let (a, b) = (of_job("a:1", "v"), of_job("b:1", label));
        let targets = [a.clone(), b.clone()].map(|one| scenario.target_with(one));
        for _ in 0..3 {
            scenario.now_ms += INTERVAL_MS;
            scenario.take_now(targets[0], &page(1, Some(5)));
            scenario.take_now(targets[1], &page(1, Some(30)));
        }
        let mut scenario = restarted(scenario);
        let text = format!("sum({WAITING})");
        let signal = scenario.register(&text);
        let of_a = scenario.register(&format!("sum({WAITING}{{instance=\"a:1\"}})"));
        scenario.reader.set_unlisted(unlisted.clone());
        let a = scenario.target_with(a);
        // Longer than the grace of a target that has left.
        for _ in 0..200 {
            scenario.take(a, &page(1, Some(5)));
            scenario.now_ms += 900;
            scenario.writer.maintain(scenario.at());
        }
        scenario.take(a, &page(1, Some(5)));
        assert_eq!(scenario.reported(of_a), value(5.0), "{case}");
        if !stays {
            assert_eq!(scenario.reported(signal), value(5.0), "{case}");
            continue;
        }
        let first = unlisted.jobs.first().expect("one");
        unknown(
            &scenario.reported(signal),
            &["b:1", first, "has given no list"],
        );
        // It does not stay for good.
        let waits_for_ever = case == "objects";
        if waits_for_ever {
            scenario.now_ms += 3_600_000;
            for _ in 0..3 {
                scenario.writer.maintain(scenario.at());
                scenario.take(a, &page(1, Some(5)));
            }
            assert_eq!(scenario.reported(signal), value(5.0), "{case}");
            continue;
        }
        // The list names it, or does not.
        let b = (case == "its job").then(|| scenario.target_with(b));
        scenario.reader.set_unlisted(Unlisted::default());
        scenario.writer.maintain(scenario.at());
        scenario.take(a, &page(1, Some(5)));
        if let Some(b) = b {
            scenario.take_now(b, &page(1, Some(30)));
        }
        let told = if b.is_some() { 35.0 } else { 5.0 };
        assert_eq!(scenario.reported(signal), value(told), "{case}");
    }
}

/// The conditions of a query's only selector.
fn selector(query: &str) -> Vec<Matcher> {
    let query = Query::parse(query, &Features::default()).expect("the query is valid");
    let mut selectors = query.selectors();
    selectors.next().expect("it has one").matchers.to_vec()
}
