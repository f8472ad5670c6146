//! Objects that are selected by labels, which the API server knows.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_select_pods_by_what_the_api_server_says() {
    let (server, files) = (ApiServer::start().await, Files::new("custom-cluster"));
    let pods = "/api/v1/namespaces/a/pods";
    for (name, labels) in [
        ("one", json!({"app": "vllm", "tier": ""})),
        ("two", json!({"app": "vllm"})),
        ("silent", json!({"app": "vllm"})),
        ("other", json!({"app": "proxy"})),
    ] {
        server.put_object(pods, name, Some(labels));
    }
    let setup = setup_in("custom-cluster", Some(server.kubeconfig(&files))).await;
    let address = setup.address;
    let list = |selector: &str| {
        format!("namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector={selector}")
    };
    let pairs = |pairs: &[(&str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Ok(pairs.collect::<Vec<_>>())
    };
    for (selector, expected) in [
        ("app%3Dvllm", &[("one", "5"), ("two", "1")][..]),
        ("app%3Dvllm,tier", &[("one", "5")]),
        ("app+in+(vllm,x),!tier", &[("two", "1")]),
        ("", &[("one", "5"), ("two", "1")]),
    ] {
        assert_eq!(
            told(address, "v1beta2", &list(selector)).await,
            pairs(expected),
            "{selector}"
        );
    }
    for (selector, says) in [
        (
            "app%3Dproxy",
            "404 vllm_num_requests_waiting is not there for any pods in namespace \"a\": no series of it has \
             pod=\"other\", and every target that could has answered; seen: \"one\", \"two\"",
        ),
        (
            "app%3Dnone",
            "404 vllm_num_requests_waiting: namespace \"a\" has no pods that fit labelSelector \"app=none\"",
        ),
    ] {
        let why = told(address, "v1beta2", &list(selector))
            .await
            .expect_err(selector);
        assert!(why.starts_with(says), "{why}");
    }
    let (_, _, page) = get(address, "/signals").await;
    assert!(
        page.contains("without a number: silent: no target has or shows pod=\"silent\""),
        "{page}"
    );
    // The watch sees pods come, change and go.
    server.put_object(pods, "two", Some(json!({"app": "other"})));
    eventually("the changed pod is no longer selected", || async {
        told(address, "v1beta2", &list("app%3Dvllm")).await == pairs(&[("one", "5")])
    })
    .await;
    server.put_object(pods, "two", Some(json!({"app": "vllm"})));
    server.put_object(pods, "one", None);
    eventually(
        "the pod that came back is, the one that went is not",
        || async { told(address, "v1beta2", &list("app%3Dvllm")).await == pairs(&[("two", "1")]) },
    )
    .await;
    // A custom resource is known from the API server alone.
    let why = told(
        address,
        "v1beta2",
        "namespaces/a/brands.cheese.io/x/queue_size",
    )
    .await;
    let why = why.expect_err("no rule is about it");
    assert!(
        why.starts_with("404 there is no metric queue_size of brands.cheese.io; there is one of"),
        "{why}"
    );
    let asked = server.asked(pods);
    assert!(
        asked.len() <= 3,
        "one list and one watch, however many reads: {}",
        asked.len()
    );
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_lists_no_pods_is_the_reason_and_no_empty_list() {
    let (server, files) = (ApiServer::start().await, Files::new("custom-refused"));
    server.state.lock().objects_mood = Some(Mood::Fails(403));
    let setup = setup_in("custom-refused", Some(server.kubeconfig(&files))).await;
    let path = "namespaces/a/pods/*/vllm_num_requests_waiting?labelSelector=app%3Dvllm";
    let why = told(setup.address, "v1beta1", path)
        .await
        .expect_err("it is refused");
    assert!(
        why.starts_with("503 vllm_num_requests_waiting: which pods there are is unknown: ")
            && why.contains("with the verbs get, list and watch"),
        "{why}"
    );
    // A single pod needs no list.
    let one = told(
        setup.address,
        "v1beta1",
        "namespaces/a/pods/one/vllm_num_requests_waiting",
    )
    .await;
    assert_eq!(one, Ok(vec![("one".to_owned(), "5".to_owned())]));
    setup.end().await;
}
