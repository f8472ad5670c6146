//! Kubernetes Events on what reads a signal: written when it becomes unknown and when it recovers, counted where they
//! repeat, and of no consequence where the API server is away.

use serde_json::{Value, json};

use crate::common::objects::ObjectServer;
use crate::common::{Act, TestTarget, eventually, ok, server, value};

const HPAS: &str = "/apis/autoscaling/v2/horizontalpodautoscalers";
const SCALED_OBJECTS: &str = "/apis/keda.sh/v1alpha1/scaledobjects";
const EVENTS: &str = "/api/v1/events";

fn hpa(name: &str, metric: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "llm", "uid": format!("uid-of-{name}")},
        "spec": {"maxReplicas": 3, "metrics": [{"type": "External", "external": {
            "metric": {"name": metric}, "target": {"type": "Value", "value": "1"},
        }}]},
    })
}

/// Object, type, reason and count of each Event.
fn told(cluster: &ObjectServer) -> Vec<(String, String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let all = cluster.objects(EVENTS).into_iter().map(|event| {
        let object = &event["involvedObject"];
        assert_eq!(object["namespace"], event["metadata"]["namespace"]);
        assert_eq!(
            text(&object["uid"]),
            format!("uid-of-{}", text(&object["name"]))
        );
        let count = event["count"].as_u64().unwrap_or(0);
        (
            text(&object["name"]),
            text(&event["type"]),
            text(&event["reason"]),
            count,
        )
    });
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

fn row(name: &str, kind: &str, reason: &str) -> (String, String, String, u64) {
    (name.to_owned(), kind.to_owned(), reason.to_owned(), 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_a_signal_is_told_when_it_becomes_unknown_and_when_it_recovers_and_nobody_else()
 {
    let cluster = ObjectServer::start(&[HPAS, SCALED_OBJECTS, EVENTS]).await;
    for (name, metric) in [
        ("reads", "queue"),
        ("reads-another", "s0-prometheus"),
        ("well", "fine"),
    ] {
        cluster.put(HPAS, hpa(name, metric));
    }
    let target = TestTarget::with_page("queued 3\n").await;
    let healthy = TestTarget::with_page("other 3\n").await;
    let text = format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n\
         - {{job_name: gateway, static_configs: [{{targets: ['{}']}}]}}\n\
         - {{job_name: other, static_configs: [{{targets: ['{}']}}]}}\n\
         signals:\n- {{name: queue, expr: 'sum(queued{{job=\"gateway\"}})', hold: 100ms}}\n\
         - {{name: fine, expr: 'sum(other{{job=\"other\"}})'}}\n\
         events: {{api_server: 'http://{}'}}\n",
        target.address, healthy.address, cluster.address
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    eventually("a number", || async {
        value(address, "queued").await == Some(3.0) && cluster.counts().0 == 2
    })
    .await;
    assert!(told(&cluster).is_empty(), "a good start is no news");

    // The API server is away while it happens: it is told when it is back, and scrapes do not miss it.
    cluster.set_away(true);
    target.set(Act::Reset);
    eventually("unknown", || async {
        crate::common::get(address, "/signals/queue")
            .await
            .2
            .contains("unknown")
    })
    .await;
    assert!(told(&cluster).is_empty());
    assert_eq!(value(address, "other").await, Some(3.0));
    cluster.set_away(false);
    let unknown = row("reads", "Warning", "SignalUnknown");
    eventually("an Event that it is unknown", || async {
        told(&cluster) == [unknown.clone()]
    })
    .await;
    let event = &cluster.objects(EVENTS)[0];
    let message = event["message"].as_str().expect("a message");
    let names = ["queue is unknown: ", &target.address.to_string()];
    assert!(names.iter().all(|part| message.contains(part)), "{message}");

    target.set(Act::Say(ok("queued 4\n")));
    let both = [row("reads", "Normal", "SignalRecovered"), unknown];
    eventually("an Event that it has a number again", || async {
        told(&cluster) == both
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_news_of_an_object_counts_in_one_event_and_a_cluster_without_keda_is_no_error() {
    let cluster = ObjectServer::start(&[HPAS, EVENTS]).await;
    cluster.put(HPAS, hpa("reads", "queue"));
    let target = TestTarget::start(Act::Reset).await;
    let text = format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n\
         - {{job_name: gateway, static_configs: [{{targets: ['{}']}}]}}\n\
         signals: [{{name: queue, expr: 'sum(queued)', hold: 100ms}}]\nevents: {{api_server: 'http://{}'}}\n",
        target.address, cluster.address
    );
    let running = server(&text).await;
    let unknown = row("reads", "Warning", "SignalUnknown");
    eventually("the first", || async {
        told(&cluster) == [unknown.clone()]
    })
    .await;
    running.stop().await;
    // Another process, later: what the first wrote is counted on.
    let mut event = cluster.objects(EVENTS).remove(0);
    event["lastTimestamp"] = json!("2020-01-01T00:00:00Z");
    cluster.put(EVENTS, event);
    let running = server(&text).await;
    eventually("the second", || async {
        told(&cluster)
            .first()
            .is_some_and(|(_, _, _, count)| *count == 2)
    })
    .await;
    running.stop().await;
}
