//! Objects of which there is no number: left out, not found or unknown.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_one_pod_leaves_it_out_and_is_said_on_signals() {
    let setup = setup("custom-outage").await;
    let address = setup.address;
    let path = "namespaces/a/pods/*/vllm_num_requests_waiting";
    assert_eq!(
        told(address, "v1beta2", path).await.map(|list| list.len()),
        Ok(2)
    );
    setup.pods[0].set(crate::common::Act::Reset);
    eventually("only the other pod is told", || async {
        told(address, "v1beta2", path).await == Ok(vec![("two".to_owned(), "1".to_owned())])
    })
    .await;
    let why = told(
        address,
        "v1beta2",
        "namespaces/a/pods/one/vllm_num_requests_waiting",
    )
    .await;
    let why = why.expect_err("it is down");
    assert!(why.contains("fails since"), "{why}");
    let (_, _, page) = get(address, "/signals").await;
    assert!(page.contains("without a number: one: "), "{page}");
    setup.end().await;
}

/// A mistyped Deployment was "unknown" because a gateway's page that has nothing to do with it was missing, so that people
/// looked for the fault at the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_not_found_though_another_target_fails() {
    let setup = setup("custom-not-there").await;
    let address = setup.address;
    // The pods' pages are of their own: nobody but the gateway can tell of Deployments, nobody but a pod of itself.
    setup.pods[0].set(crate::common::Act::Reset);
    let one = "namespaces/a/pods/one/vllm_num_requests_waiting";
    eventually("the pod that is down is unknown", || async {
        told(address, "v1beta2", one)
            .await
            .is_err_and(|why| why.starts_with("503 "))
    })
    .await;
    let there = told(
        address,
        "v1beta2",
        "namespaces/a/deployments.apps/d/queue_size",
    )
    .await;
    assert_eq!(there, Ok(vec![("d".to_owned(), "3".to_owned())]));
    for (path, says) in [
        (
            "namespaces/a/deployments.apps/ee/queue_size",
            "404 queue_size is not there for deployments \"ee\" in namespace \"a\": no series of it has deploy=\"ee\", \
             and every target that could has answered; seen: \"e\"",
        ),
        (
            "namespaces/x/deployments.apps/d/queue_size",
            "404 queue_size is not there for deployments \"d\" in namespace \"x\": no series of it has namespace=\"x\"",
        ),
        (
            "namespaces/a/inferencepools.inference.networking.k8s.io/pp/queue_size",
            "404 queue_size is not there for inferencepools \"pp\" in namespace \"a\"",
        ),
        (
            "namespaces/x/metrics/vllm_num_requests_waiting",
            "404 vllm_num_requests_waiting is not there for namespaces \"x\": no series of it has namespace=\"x\"",
        ),
        (
            "nodes/n9/node_load",
            "404 node_load is not there for nodes \"n9\"",
        ),
        (
            "namespaces/a/pods/twoo/vllm_num_requests_waiting",
            "404 vllm_num_requests_waiting is not there for pods \"twoo\" in namespace \"a\"",
        ),
        // What is selected by a label is named, with what there is.
        (
            "namespaces/a/pods/two/vllm_num_requests_waiting?metricLabelSelector=engine%3D9",
            "404 vllm_num_requests_waiting is not there for pods \"two\" in namespace \"a\" (metricLabelSelector \
             \"engine=9\"): no series of it fits engine=9, and every target that could has answered; seen: \"0\"",
        ),
        (
            "namespaces/a/pods/two/vllm_num_requests_waiting?metricLabelSelector=shard%3D1",
            "no series of it fits shard=1, and every target that could has answered; none has a label shard",
        ),
        (
            "namespaces/b/pods/*/vllm_num_requests_waiting?metricLabelSelector=engine+in+(8,9),model_name%3Dn",
            "404 vllm_num_requests_waiting is not there for any pods in namespace \"b\" (metricLabelSelector \"engine in \
             (8,9),model_name=n\"): no series of it fits engine in (8,9), and every target that could has answered; \
             seen: \"0\", \"1\"",
        ),
        // A target that could tell has not answered.
        (one, "503 vllm_num_requests_waiting of one is unknown: "),
        (
            "namespaces/a/metrics/vllm_num_requests_waiting?metricLabelSelector=engine%3D9",
            "503 vllm_num_requests_waiting of a (metricLabelSelector \"engine=9\") is unknown: ",
        ),
    ] {
        // A scrape may be late on a machine that is busy, and then nobody has answered.
        let last = parking_lot::Mutex::new(String::new());
        let found = tokio::time::timeout(crate::common::PATIENCE, async {
            loop {
                let why = told(address, "v1beta2", path).await.expect_err(path);
                if why.contains(says) {
                    return;
                }
                *last.lock() = why;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        assert!(found.await.is_ok(), "{path}: {}", last.lock());
    }
    setup.end().await;
}
