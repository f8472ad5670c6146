//! A large cluster: thousands of pods over list and watch, with churn, lost places, disconnects and an API server that goes
//! away; and a rolling restart of an Endpoint Picker beside them.
//!
//! 1,000 pods, or as many as `STILLWELL_PODS` says: `STILLWELL_PODS=10000 cargo test -p stillwell --test server cluster_size`.

use std::sync::Arc;

use crate::common::objects::ObjectServer;
use crate::common::{TestTarget, eventually, server, server_within, settings, state, until};
use serde_json::{Value, json};
use stillwell::serve::{ApiOptions, App};
use stillwell_adapters::host::{Health, Host};
use stillwell_engine::Limits;

const PODS: &str = "/api/v1/pods";
/// What the process may hold more after rounds of churn than before them: allocators keep something.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

fn pods_max() -> usize {
    let given = std::env::var("STILLWELL_PODS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

/// A pod of a model server: nobody scrapes it in the time of this test.
fn model_pod(name: &str, generation: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "models", "uid": name, "labels": {"app": "vllm", "generation": generation.to_string()}},
        "spec": {"nodeName": "n", "containers": [{"name": "vllm", "ports": [{"name": "http", "containerPort": 9}]}]},
        "status": {"podIP": "127.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn picker_pod(name: &str, target: &TestTarget) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "gateways", "uid": name, "labels": {"app": "epp"}},
        "spec": {"containers": [{"name": "epp", "ports": [{"name": "metrics", "containerPort": target.address.port()}]}]},
        "status": {"podIP": "127.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// Targets of the large job.
fn models(app: &App) -> usize {
    let targets = app.targets().active;
    targets
        .iter()
        .filter(|target| target.job == "models")
        .count()
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.expect("a number") << 10
}

/// Replaces a tenth of the pods by others of new names.
fn churn(cluster: &ObjectServer, pods: usize, round: usize) {
    for at in (0..pods).step_by(10) {
        let before = match round {
            0 => format!("vllm-{at}"),
            round => format!("vllm-{at}-{}", round - 1),
        };
        cluster.delete(PODS, &format!("models/{before}"));
        cluster.put(PODS, model_pod(&format!("vllm-{at}-{round}"), round));
    }
}

async fn converges(app: &App, pods: usize, round: usize) {
    let newest = format!("-{round}");
    eventually("the targets of now", || async {
        let targets = app.targets().active;
        let names = targets.iter().filter_map(|one| one.labels.get("pod"));
        let new = names.filter(|name| name.matches('-').count() == 2 && name.ends_with(&newest));
        models(app) == pods && new.count() == pods.div_ceil(10)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_follow_a_large_cluster_through_everything_and_nothing_is_left_behind() {
    let pods = pods_max();
    let cluster = ObjectServer::start(&[PODS]).await;
    for at in 0..pods {
        cluster.put(PODS, model_pod(&format!("vllm-{at}"), 0));
    }
    let job = |name: &str, interval: &str, label: &str| {
        format!(
            "- job_name: {name}\n  scrape_interval: {interval}\n  kubernetes_sd_configs: [{{role: pod, api_server: 'http://{}'}}]\n  \
             relabel_configs:\n  - {{source_labels: [__meta_kubernetes_pod_label_app], regex: {label}, action: keep}}\n  \
             - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}\n",
            cluster.address
        )
    };
    let text = format!(
        "scrape_configs:\n{}{}",
        job("models", "1h", "vllm"),
        job("pickers", "20ms", "epp")
    );
    let pickers = [
        TestTarget::with_page("q 1\n").await,
        TestTarget::with_page("q 2\n").await,
        TestTarget::with_page("q 3\n").await,
    ];
    for (at, target) in pickers.iter().enumerate() {
        cluster.put(PODS, picker_pod(&format!("epp-{at}"), target));
    }
    // What is gone stays in history for as long as anything does: here that is short.
    let limits = Limits {
        retention_ms: 1_000,
        ..Limits::default()
    };
    let running = server_within(&text, settings(None), ApiOptions::default(), limits).await;
    let app = &running.app;
    eventually("all pods", || async { models(app) == pods }).await;
    until(app, "the pickers", |app| {
        pickers
            .iter()
            .all(|one| state(app, one).health() == Health::Up)
    })
    .await;
    assert_eq!(
        cluster.counts().0,
        1,
        "two jobs that ask for the same share a watch"
    );
    let lasting = state(app, &pickers[0]);

    churn(&cluster, pods, 0);
    converges(app, pods, 0).await;

    // A disconnect: the watch goes on from its place, without another list.
    let lists = cluster.counts().1;
    cluster.bookmark();
    cluster.disconnect();
    churn(&cluster, pods, 1);
    converges(app, pods, 1).await;
    assert_eq!(cluster.counts().1, lists, "no list was read again");

    // The place is lost (410): the list is read again.
    cluster.set_away(true);
    churn(&cluster, pods, 2);
    cluster.compact();
    cluster.set_away(false);
    converges(app, pods, 2).await;
    assert!(cluster.counts().1 > lists);

    // The API server goes away: what it said last stands, and is brought up to date when it is back.
    cluster.set_away(true);
    eventually("the loss to be known", || async {
        let states = app.discovery().states();
        states.iter().any(|source| source.problem.is_some())
    })
    .await;
    churn(&cluster, pods, 3);
    assert_eq!(models(app), pods);
    cluster.set_away(false);
    converges(app, pods, 3).await;

    let before = resident();
    for round in 4..10 {
        match round % 2 {
            0 => cluster.disconnect(),
            _ => cluster.compact(),
        }
        churn(&cluster, pods, round);
        converges(app, pods, round).await;
    }
    let after = resident();
    assert!(
        after < before + GROWTH_BYTES_MAX,
        "{before} bytes before six rounds of churn, {after} after them"
    );
    eventually("one watch and no more", || async {
        cluster.counts().0 == 1
    })
    .await;
    assert!(
        Arc::ptr_eq(&lasting, &state(app, &pickers[0])),
        "a pod that stays is never let go"
    );
    // That no scrape of it fails is no property of this test: with thousands of pods its two cores are late now and then.
    eventually("a page of the pod that stays", || async {
        lasting.health() == Health::Up
    })
    .await;
    running.stop().await;
    eventually("the watch to end", || async { cluster.counts().0 == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_scrape_of_a_pod_that_is_up() {
    let cluster = ObjectServer::start(&[PODS]).await;
    let text = format!(
        "scrape_configs:\n- job_name: epp\n  scrape_interval: 20ms\n  kubernetes_sd_configs: [{{role: pod, api_server: 'http://{}'}}]\n",
        cluster.address
    );
    let old = [
        TestTarget::with_page("q 1\n").await,
        TestTarget::with_page("q 1\n").await,
        TestTarget::with_page("q 1\n").await,
    ];
    for (at, target) in old.iter().enumerate() {
        cluster.put(PODS, picker_pod(&format!("old-{at}"), target));
    }
    let running = server(&text).await;
    let app = &running.app;
    let up = |app: &App, target: &TestTarget| {
        let address = target.address.to_string();
        let targets = app.targets().active;
        targets.iter().any(|one| {
            one.labels.get("instance") == Some(&address) && matches!(one.health, Health::Up)
        })
    };
    until(app, "the old pods", |app| {
        old.iter().all(|one| up(app, one))
    })
    .await;
    let old_states: Vec<_> = old.iter().map(|one| state(app, one)).collect();
    let mut new = Vec::new();
    for (at, target) in old.iter().enumerate() {
        // As a Deployment does it: one more is ready before one goes.
        let next = TestTarget::with_page("q 1\n").await;
        cluster.put(PODS, picker_pod(&format!("new-{at}"), &next));
        until(app, "the new pod", |app| up(app, &next)).await;
        cluster.delete(PODS, &format!("gateways/old-{at}"));
        until(app, "the old pod to be gone", |app| !up(app, target)).await;
        new.push((state(app, &next), next));
        for remaining in old_states.iter().skip(at + 1) {
            let scrapes = remaining.counts().scrapes;
            until(app, "the others go on", |_| {
                remaining.counts().scrapes > scrapes + 3
            })
            .await;
        }
    }
    let new_states = new.iter().map(|(state, _)| state);
    for one in old_states.iter().chain(new_states) {
        assert_eq!(one.counts().failures, 0, "{}", one.target.url);
    }
    running.stop().await;
}
