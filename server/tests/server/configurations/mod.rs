//! Configurations of the kinds that people publish, in our own words: each that Prometheus takes starts here, with warnings
//! at most, and what Prometheus refuses is refused. A real promtool is the judge where one is given; it may have been
//! built without some clouds' discovery.
//!
//! One file per kind, configurations apart by `---`, each with a comment that says what it is. `refused.yml` holds those
//! that nobody takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::common::certificates::Files;
use crate::common::{data, server_with, settings};
use stillwell::serve::app;
use stillwell_engine::promql::Features;
use stillwell_testing::outside::RIVALS;

const REFUSED: &str = "refused";
/// What the issue asks for.
const COUNT_MIN: usize = 100;

/// By kind: each configuration with what it is.
fn configurations() -> BTreeMap<String, Vec<(String, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/configurations");
    let files = std::fs::read_dir(folder).expect("they are here");
    let files = files.map(|file| file.expect("readable").path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "yml"));
    let read = files.map(|path| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let one = |text: &str| {
            let about = text.lines().next().unwrap_or("").trim_start_matches("# ");
            (about.to_owned(), format!("{text}\n"))
        };
        let kind = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (kind, text.split("\n---\n").map(one).collect())
    });
    read.collect()
}

#[test]
fn there_are_a_hundred_and_each_says_what_it_is() {
    let all = configurations();
    let good = all.iter().filter(|(kind, _)| *kind != REFUSED);
    let count: usize = good.map(|(_, list)| list.len()).sum();
    assert!(count >= COUNT_MIN, "{count}");
    assert!(all[REFUSED].len() > 40);
    for (about, _) in all.values().flatten() {
        assert!(about.len() > 3 && !about.contains(": {"), "{about}");
    }
}

#[test]
fn what_prometheus_takes_is_taken_and_what_it_refuses_is_refused_with_line_and_reason() {
    for (kind, list) in configurations() {
        for (about, text) in list {
            let (config, report) = app::read(&text, Path::new(""), &Features::default());
            let errors: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
            if kind == REFUSED {
                assert!(config.is_none() && !errors.is_empty(), "{about} is taken");
                let last_line = text.lines().count();
                let in_text = |line: usize| line >= 1 && line <= last_line;
                assert!(
                    report.errors.iter().all(|error| in_text(error.line)),
                    "{about}: {errors:?}"
                );
            } else {
                assert!(config.is_some(), "{kind}, {about}: {errors:?}");
            }
        }
    }
}

#[test]
fn a_real_promtool_judges_alike() {
    let Some(promtool) = RIVALS.find_inside("usr/bin/promtool") else {
        return;
    };
    let files = Files::new("configurations");
    let mut judged = 0;
    for (kind, list) in configurations() {
        for (about, text) in list {
            let path = files.write("prometheus.yml", &text);
            let mut check = Command::new(&promtool);
            let output = check
                .args(["check", "config", "--syntax-only"])
                .arg(path)
                .output();
            let output = output.expect("promtool runs");
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let without = said.contains("_sd_configs not found in type");
            if !without {
                assert_eq!(
                    output.status.success(),
                    kind != REFUSED,
                    "{kind}, {about}: {said}"
                );
                judged += 1;
            }
        }
    }
    assert!(judged > COUNT_MIN, "{judged}");
}

/// Every configuration in a running server: it starts, tells its jobs, takes a reload, and ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_starts_tells_its_jobs_and_ends() {
    let files = Files::new("starts");
    for (kind, list) in configurations() {
        if kind == REFUSED {
            continue;
        }
        for (about, text) in list {
            let config = files.write("config.yml", &text);
            let running = server_with(&text, settings(Some(config)), Default::default()).await;
            let address = running.addresses[0];
            let pools = data(address, "/api/v1/scrape_pools").await;
            let (config, _) = app::read(&text, Path::new(""), &Features::default());
            let jobs = config.expect("valid").config.jobs;
            let scraped = jobs.iter().filter(|job| job.not_scraped.is_none()).count();
            let told = pools["scrapePools"].as_array().map_or(0, Vec::len);
            assert_eq!(told, scraped, "{kind}, {about}");
            let yaml = data(address, "/api/v1/status/config").await["yaml"].clone();
            assert!(yaml.is_string(), "{kind}, {about}");
            running
                .app
                .reload()
                .await
                .unwrap_or_else(|why| panic!("{kind}, {about}: {why}"));
            running.stop().await;
        }
    }
}
