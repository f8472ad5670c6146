//! Pages of real gateways under real load, asked for every demand family under each of its names, with every label that
//! any gateway family has, pinned to values that are on the page: what is told is the sum that the page gives, or there
//! is a reason that names the label. A 0 is told only of a label that the family has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use stillwell_engine::signal::FAMILIES;
use stillwell_testing::outside::SAMPLE_PAGES;

use crate::scenario::{Reported, Scenario};

type Series = (String, BTreeMap<String, String>, f64);

/// The pages by name; they belong to their projects, and stay outside the repository. `None` where they are missing.
fn pages() -> Option<Vec<(String, String)>> {
    let folder = SAMPLE_PAGES.find_inside("real")?;
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "prom"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path
            .file_stem()
            .expect("has a name")
            .to_string_lossy()
            .into_owned();
        (name, std::fs::read_to_string(&path).expect("a page"))
    };
    let pages: Vec<(String, String)> = paths.into_iter().map(read).collect();
    assert!(!pages.is_empty(), "the folder holds pages");
    Some(pages)
}

/// A page read without care for speed: no value of these pages holds a quote or a brace.
fn series_of(page: &str) -> Vec<Series> {
    let lines = page
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let series = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let pairs = labels.trim_end_matches('}').split_terminator("\",");
        let pairs = pairs.map(|pair| {
            let (label, value) = pair.split_once("=\"").expect("a label");
            (label.to_owned(), value.trim_end_matches('"').to_owned())
        });
        let labels = pairs.filter(|(_, value)| !value.is_empty()).collect();
        (name.to_owned(), labels, value.parse().expect("a number"))
    });
    series.collect()
}

fn is_of_gateway(name: &str) -> bool {
    name.starts_with("inference_") || name.starts_with("llm_d_epp_")
}

#[test]
fn every_label_of_every_demand_family_is_summed_or_refused_by_name() {
    let Some(pages) = pages() else {
        return;
    };
    let all: Vec<Vec<Series>> = pages.iter().map(|(_, page)| series_of(page)).collect();
    let gateway = all
        .iter()
        .flatten()
        .filter(|(name, ..)| is_of_gateway(name));
    let labels: BTreeSet<&String> = gateway.flat_map(|(_, labels, _)| labels.keys()).collect();
    let mut asked = 0;
    for ((name, page), series) in pages.iter().zip(&all) {
        let mut scenario = Scenario::new();
        scenario.now_ms = 2_000_000_000_000; // long after every process of the pages started
        let epp = scenario.target("epp:9090");
        for _ in 0..3 {
            scenario.take(epp, page);
        }
        let values = |label: &str| {
            let found = series.iter().filter_map(|(_, labels, _)| labels.get(label));
            found.cloned().collect::<BTreeSet<String>>()
        };
        let of_gateways = FAMILIES.iter().filter(|one| !one.class.is_of_engine());
        for family in of_gateways.filter(|family| family.demand) {
            let known_as: Vec<&str> = family.names.iter().map(|name| name.family).collect();
            for metric in &known_as {
                for label in &labels {
                    for value in values(label).into_iter().take(12) {
                        asked += 1;
                        let query = format!("sum({metric}{{{label}={value:?}}})");
                        let signal = scenario.register(&query);
                        let reported = scenario.reported(signal);
                        judge(
                            &reported,
                            series,
                            &known_as,
                            (metric, label, &value),
                            &format!("{name}: {query}"),
                        );
                        scenario.reader.remove(signal);
                    }
                }
            }
        }
    }
    assert!(asked > 5_000, "only {asked} questions");
}

/// Whether what was said of `metric{label="value"}` is what the page gives.
fn judge(
    reported: &Reported,
    series: &[Series],
    known_as: &[&str],
    (metric, label, value): (&str, &str, &str),
    question: &str,
) {
    let of = |name: &str| -> Vec<&Series> { series.iter().filter(|(n, ..)| n == name).collect() };
    let shown: Vec<&Series> = match of(metric) {
        own if !own.is_empty() => own,
        _ => {
            let mut others = known_as.iter().map(|name| of(name));
            others.find(|series| !series.is_empty()).unwrap_or_default()
        }
    };
    let has = |one: &&&Series| one.1.get(label).is_some_and(|have| have == value);
    let sum: f64 = shown
        .iter()
        .filter(has)
        .map(|(_, _, number)| number.max(0.0))
        .sum();
    let has_label = shown
        .iter()
        .any(|(_, labels, _)| labels.contains_key(label));
    let pools: BTreeSet<&str> = series
        .iter()
        .filter(|(name, ..)| {
            name == "inference_pool_ready_pods" || name == "inference_pool_per_pod_queue_size"
        })
        .filter_map(|(_, labels, _)| labels.get("name").map(String::as_str))
        .collect();
    match reported {
        Reported::Unknown(why) => assert!(
            why.contains(label),
            "{question}: the reason does not name {label}: {why}"
        ),
        Reported::Configured(..) => panic!("nothing is configured: {reported:?}"),
        Reported::Value(told) | Reported::Held(told) => {
            let derived = !shown.is_empty() && !has_label && label == "inference_pool";
            if derived && pools.contains(value) {
                let all: f64 = shown.iter().map(|(_, _, number)| *number).sum();
                assert_eq!(told, &[all], "{question}: the pool is certain");
            } else {
                assert_eq!(told, &[sum], "{question}");
                assert!(
                    has_label || shown.is_empty(),
                    "{question}: told 0 of a label that the family lacks"
                );
                assert!(
                    !shown.is_empty() || of_every_release(metric, label),
                    "{question}: told 0 of a label that the family would lack"
                );
            }
        }
    }
}

/// Labels that an idle gateway of the collected releases would show, by the source of those releases.
fn of_every_release(metric: &str, label: &str) -> bool {
    match metric {
        "inference_objective_running_requests" | "inference_model_running_requests" => {
            label == "model_name"
        }
        "llm_d_epp_request_running" => {
            ["fairness_id", "model_name", "priority", "target_model_name"].contains(&label)
        }
        metric if metric.contains("flow_control") => [
            "fairness_id",
            "inference_pool",
            "model_name",
            "priority",
            "target_model_name",
        ]
        .contains(&label),
        _ => false,
    }
}
