//! Targets that fail in every way in which a socket can fail cost healthy ones nothing: the short form of the bench
//! `broken_targets`.

use std::time::Duration;

use stillwell::serve::App;
use stillwell_adapters::host::Host as _;
use stillwell_benches::broken::{Failing, Targets};
use stillwell_benches::soak::serve_text;
use stillwell_engine::Limits;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};

const HEALTHY: usize = 40;
const SCRAPES: f64 = 4.0;

/// The one number of a query; 0 where there is none.
fn number(app: &App, promql: &str) -> f64 {
    let query = Query::parse(promql, &Features::default()).expect("valid");
    let answer = query.instant(&app.reader().plain(), app.now(), &EvalOptions::default());
    match answer.expect("an answer").value {
        Value::Vector(samples) => samples.first().map_or(0.0, |sample| sample.value),
        _ => 0.0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_healthy_target_misses_a_scrape_beside_targets_that_fail_in_every_way() {
    let targets = Targets::start().await.expect("loopback");
    let failing = Failing::ALL.len();
    // Slow, so that a healthy page arrives in its time on a machine that does other things too.
    let text = targets.configuration(HEALTHY, failing, "2s");
    let running = serve_text(text, None, &[], Limits::default());
    let running = running.await.expect("it starts");
    let scraped = |app: &App| {
        number(app, "min(count_over_time(up{job=\"healthy\"}[5m]))") >= SCRAPES
            && number(app, "min(count_over_time(up{job=\"failing\"}[5m]))") >= SCRAPES - 1.0
    };
    let waiting = async {
        while !scraped(&running.app) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(120), waiting).await;
    assert!(in_time.is_ok(), "some target is not scraped");
    let app = &running.app;
    for (promql, expected) in [
        ("count(up{job=\"healthy\"})", HEALTHY as f64),
        ("min(min_over_time(up{job=\"healthy\"}[5m]))", 1.0),
        ("count(up{job=\"failing\"})", failing as f64),
        ("max(max_over_time(up{job=\"failing\"}[5m]))", 0.0),
    ] {
        assert_eq!(number(app, promql), expected, "{promql}");
    }
    running.stop().await;
}
