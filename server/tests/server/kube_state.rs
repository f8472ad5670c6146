//! Series about workloads from watches of our own: what is told, and what an API server that is away leaves of it.

use crate::common::certificates::Files;
use crate::common::objects::ObjectServer;
use crate::common::{TestTarget, eventually, http, server, server_with, settings, value};
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const PODS: &str = "/api/v1/pods";

fn deployment(namespace: &str, name: &str, replicas: u32, ready: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "readyReplicas": ready, "unavailableReplicas": replicas - ready},
    })
}

/// The state of a signal and its value, as `/signals` shows them.
async fn signal(address: std::net::SocketAddr, name: &str) -> (String, Option<f64>) {
    let request =
        "GET /signals HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    let (_, _, body) = http(address, request).await;
    let all: Value = serde_json::from_str(&body).expect("JSON");
    let signals = all["signals"].as_array().expect("a list");
    let of = signals.iter().find(|one| one["name"] == name);
    let of = of.expect("a signal of this name");
    let state = of["state"].as_str().expect("a state").to_owned();
    let shown = of["elements"][0]["value"].as_str();
    (state, shown.and_then(|text| text.parse().ok()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_signals_name_is_told_and_an_api_server_that_is_away_holds_it_and_then_makes_it_unknown()
 {
    let cluster = ObjectServer::start(&[DEPLOYMENTS, PODS]).await;
    cluster.put(DEPLOYMENTS, deployment("llm", "decode", 4, 3));
    cluster.put(DEPLOYMENTS, deployment("llm", "other", 9, 9));
    cluster.put(DEPLOYMENTS, deployment("elsewhere", "decode", 7, 7));
    let text = format!(
        "global: {{scrape_interval: 1s}}\nkube_state: {{api_server: 'http://{}'}}\nsignals:\n\
         - name: unavailable\n  expr: max(kube_deployment_status_replicas_unavailable{{namespace=\"llm\",deployment=\"decode\"}})\n\
         - name: ready\n  expr: sum(kube_deployment_status_replicas_ready{{namespace=\"llm\",deployment=\"decode\",job=\"kube-state-metrics\"}})\n  hold: 2s\n",
        cluster.address
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    eventually("the numbers of the named deployment", || async {
        let unavailable = signal(address, "unavailable").await;
        unavailable == ("value".to_owned(), Some(1.0))
            && signal(address, "ready").await == ("value".to_owned(), Some(3.0))
    })
    .await;
    assert_eq!(
        cluster.counts().0,
        1,
        "pods and other namespaces are not watched"
    );
    assert_eq!(
        value(address, "count(kube_deployment_spec_replicas)").await,
        None,
        "families that nobody reads are not told of"
    );
    assert_eq!(
        value(address, "count(kube_deployment_status_replicas_ready)").await,
        Some(1.0)
    );

    cluster.put(DEPLOYMENTS, deployment("llm", "decode", 4, 4));
    eventually("a change", || async {
        signal(address, "unavailable").await == ("value".to_owned(), Some(0.0))
    })
    .await;

    cluster.set_away(true);
    cluster.put(DEPLOYMENTS, deployment("llm", "decode", 1, 1));
    let seen = parking_lot::Mutex::new(Vec::new());
    eventually("ready to be unknown", || async {
        let (state, shown) = signal(address, "ready").await;
        assert!(
            shown.is_none_or(|number| number >= 4.0),
            "{state} {shown:?}"
        );
        seen.lock().push(state.clone());
        state == "unknown"
    })
    .await;
    assert!(seen.lock().iter().any(|state| state == "held"));

    cluster.set_away(false);
    eventually("the number of now", || async {
        signal(address, "ready").await == ("value".to_owned(), Some(1.0))
    })
    .await;

    // What is no longer there is told of no more, and an absence is no 0.
    cluster.delete(DEPLOYMENTS, "llm/decode");
    eventually("a deleted deployment to be unknown", || async {
        signal(address, "ready").await == ("unknown".to_owned(), None)
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_may_not_be_read_keeps_nothing_of_another_back() {
    let cluster = ObjectServer::start(&[DEPLOYMENTS, PODS]).await;
    cluster.put(DEPLOYMENTS, deployment("llm", "decode", 2, 2));
    cluster.forbid(PODS);
    let target = TestTarget::with_page("q 5\n").await;
    let text = format!(
        "global: {{scrape_interval: 1s}}\nkube_state: {{api_server: 'http://{}'}}\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{}']}}]}}]\nsignals:\n\
         - {{name: pods, expr: 'sum(kube_pod_status_ready{{namespace=\"llm\",condition=\"true\"}})'}}\n\
         - {{name: sets, expr: 'sum(kube_leaderworkerset_spec_replicas{{namespace=\"llm\"}})'}}\n\
         - {{name: spec, expr: 'max(kube_deployment_spec_replicas{{namespace=\"llm\"}})'}}\n\
         - {{name: other, expr: 'sum(q)'}}\n",
        cluster.address, target.address
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    eventually("what can be read", || async {
        signal(address, "spec").await == ("value".to_owned(), Some(2.0))
            && signal(address, "other").await == ("value".to_owned(), Some(5.0))
    })
    .await;
    for name in ["pods", "sets"] {
        assert_eq!(
            signal(address, name).await,
            ("unknown".to_owned(), None),
            "{name}"
        );
    }
    eventually("the refusal to be told", || async {
        let states = running.app.discovery().states();
        let mut problems = states.iter().filter_map(|state| state.problem.as_deref());
        problems.any(|why| {
            why.contains("pods: forbidden by the test: bind a ClusterRole")
                && why.contains("leaderworkersets: the API server has no such kind")
        })
    })
    .await;
    running.stop().await;
}

/// What a reload has read from another API server is not told for what was read from this one, nor beside it; queries have that until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_api_server_takes_over_once_it_has_given_a_list() {
    let clusters = [
        ObjectServer::start(&[DEPLOYMENTS]).await,
        ObjectServer::start(&[DEPLOYMENTS]).await,
    ];
    clusters[0].put(DEPLOYMENTS, deployment("llm", "decode", 2, 2));
    clusters[1].put(DEPLOYMENTS, deployment("llm", "decode", 5, 5));
    clusters[1].hold_lists(true);
    let files = Files::new("another-api-server");
    let with = |cluster: &ObjectServer| {
        let text = format!(
            "global: {{scrape_interval: 1s}}\nkube_state: {{api_server: 'http://{}'}}\nsignals:\n\
             - {{name: spec, expr: 'sum(kube_deployment_spec_replicas{{namespace=\"llm\"}})'}}\n",
            cluster.address
        );
        (files.write("config.yml", &text), text)
    };
    let (path, text) = with(&clusters[0]);
    let running = server_with(&text, settings(Some(path)), Default::default()).await;
    let address = running.addresses[0];
    let is_told = |number: f64| async move {
        signal(address, "spec").await == ("value".to_owned(), Some(number))
    };
    eventually("what the first one has", || is_told(2.0)).await;
    with(&clusters[1]);
    running.app.reload().await.expect("valid");
    let all = "sum(kube_deployment_spec_replicas)";
    for _ in 0..3 {
        let (state, _) = signal(address, "spec").await;
        assert_eq!(state, "unknown");
        assert_eq!(value(address, all).await, Some(2.0));
    }
    clusters[1].hold_lists(false);
    eventually("what the second one has", || async {
        let told = value(address, all).await;
        assert!(told.is_none_or(|sum| sum == 2.0 || sum == 5.0), "{told:?}");
        is_told(5.0).await
    })
    .await;
    running.stop().await;
}

/// A trigger came for two namespaces of which one may not be read, or whose list had not come, and the number of the other was told for
/// both; one for all namespaces took away what was told of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_listed_makes_unknown_what_may_select_it_and_nothing_else() {
    let cluster = ObjectServer::start(&[DEPLOYMENTS, PODS]).await;
    cluster.put(DEPLOYMENTS, deployment("llm", "decode", 2, 2));
    cluster.put(DEPLOYMENTS, deployment("new", "decode", 7, 7));
    cluster.put(DEPLOYMENTS, deployment("dark", "decode", 9, 9));
    let files = Files::new("kube-state-namespaces");
    let of = |name: &str, matcher: &str| {
        format!(
            "- {{name: {name}, expr: 'sum(kube_deployment_spec_replicas{matcher}) or vector(0)'}}\n"
        )
    };
    let write = |signals: &str| {
        let address = cluster.address;
        let text = format!(
            "global: {{scrape_interval: 1s}}\nkube_state: {{api_server: 'http://{address}'}}\nsignals:\n{signals}"
        );
        (files.write("config.yml", &text), text)
    };
    let one = of("one", "{namespace=\"llm\"}");
    let (path, text) = write(&one);
    let running = server_with(&text, settings(Some(path)), Default::default()).await;
    let address = running.addresses[0];
    let value = |number: f64| ("value".to_owned(), Some(number));
    let unknown = ("unknown".to_owned(), None);
    eventually("its number", || async {
        signal(address, "one").await == value(2.0)
    })
    .await;
    cluster.forbid("/apis/apps/v1/namespaces/dark/deployments");
    let both = of("both", "{namespace=~\"llm|dark\"}");
    let new = of("new", "{namespace=\"new\"}");
    let some = one + &both + &new;
    write(&some);
    running.app.reload().await.expect("valid");
    // No zero before the first list, and nothing of the namespace that may not be read.
    eventually("what can be read", || async {
        let now = signal(address, "new").await;
        assert!(now == unknown || now == value(7.0), "{now:?}");
        assert_eq!(signal(address, "both").await, unknown);
        // Held for a moment, for its stream was ended, too.
        let one = signal(address, "one").await;
        assert!(one == unknown || one.1 == Some(2.0), "{one:?}");
        now == value(7.0) && one == value(2.0)
    })
    .await;
    // Whoever asks for all namespaces takes nothing from those who ask for one.
    write(&(some + &of("all", "")));
    running.app.reload().await.expect("valid");
    eventually("all namespaces", || async {
        for (name, number) in [("one", 2.0), ("new", 7.0)] {
            // For the moment before the first page of the watch that comes nothing is known.
            let now = signal(address, name).await;
            assert!(now == unknown || now == value(number), "{name} {now:?}");
        }
        let (all, both) = (signal(address, "all").await, signal(address, "both").await);
        assert!(all == unknown || all.1 == Some(18.0), "{all:?}");
        assert!(both == unknown || both.1 == Some(11.0), "{both:?}");
        all == value(18.0) && both == value(11.0)
    })
    .await;
    running.stop().await;
}

/// A page was written for whoever had asked before, and somebody who asked for more of the namespace was told what was on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_more_of_a_namespace_is_told_nothing_before_a_page_has_it() {
    let cluster = ObjectServer::start(&[DEPLOYMENTS, PODS]).await;
    cluster.put(DEPLOYMENTS, deployment("llm", "decode", 2, 2));
    cluster.put(DEPLOYMENTS, deployment("llm", "other", 9, 9));
    let address = cluster.address;
    let text = format!(
        "global: {{scrape_interval: 1s}}\nkube_state: {{api_server: 'http://{address}'}}\nsignals:\n\
         - {{name: decode, expr: 'sum(kube_deployment_spec_replicas{{namespace=\"llm\",deployment=\"decode\"}})'}}\n"
    );
    let running = server(&text).await;
    let address = running.addresses[0];
    let decode = || async { signal(address, "decode").await == ("value".to_owned(), Some(2.0)) };
    eventually("its number", decode).await;
    for (query, number) in [
        (
            "sum(kube_deployment_spec_replicas%7Bnamespace=%22llm%22%7D)",
            11.0,
        ),
        ("sum(kube_deployment_spec_replicas)", 11.0),
        (
            "sum(kube_deployment_status_replicas_ready%7Bnamespace=~%22llm%7Cx%22%7D)",
            11.0,
        ),
    ] {
        eventually(query, || async {
            let request = format!(
                "GET /guarded/api/v1/query?query={query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            );
            let (status, _, body) = http(address, &request).await;
            let now = signal(address, "decode").await.1;
            assert!(now.is_none_or(|number| number == 2.0), "{now:?}");
            if status != 200 {
                assert_eq!(status, 503, "{body}");
                return false;
            }
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let shown = body["data"]["result"][0]["value"][1].as_str();
            assert_eq!(shown, Some(number.to_string().as_str()), "{query} {body}");
            decode().await
        })
        .await;
    }
    running.stop().await;
}
