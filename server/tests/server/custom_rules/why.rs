//! `stillwell why` of a metric that a rule makes.

use super::*;

/// Whoever asks at night why a pool does not scale knows the name of the metric, not the query that a rule made of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_is_asked_by_the_name_of_a_metric_and_answered_for_each_that_asked() {
    let setup = setup("why").await;
    let why = async |name: &str| {
        let url = format!("--url=http://{}", setup.address);
        let name = name.to_owned();
        let asking = tokio::task::spawn_blocking(move || {
            std::process::Command::new(env!("CARGO_BIN_EXE_stillwell"))
                .args(["why", &url, &name])
                .output()
        });
        let output = asking.await.expect("it ends").expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let (found, said) = why("vllm_num_requests_waiting").await;
    assert!(!found, "{said}");
    for part in [
        "is a custom metric, of namespaces, pods",
        "namespaces/NAMESPACE/namespaces/*/vllm_num_requests_waiting",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (found, said) = why("vllm_num_request_waiting").await;
    assert!(
        !found && said.contains("did you mean vllm_num_requests_waiting?"),
        "{said}"
    );
    let metric = "vllm_num_requests_waiting";
    let told_pods = told(
        setup.address,
        "v1beta2",
        &format!("namespaces/a/pods/*/{metric}"),
    )
    .await;
    assert_eq!(told_pods.expect("numbers").len(), 2);
    let of_model = format!("namespaces/b/pods/one/{metric}?metricLabelSelector=model_name%3Dn");
    told(setup.address, "v1beta2", &of_model)
        .await
        .expect("a number");
    let (found, said) = why("VLLM_num_requests_waiting").await;
    assert!(found, "{said}");
    let paragraphs: Vec<&str> = said.split("\n\n").collect();
    assert_eq!(paragraphs.len(), 2, "{said}");
    for (paragraph, parts) in [
        (
            0,
            [
                "vllm_num_requests_waiting (a, pods/*) is ",
                "a, pods/*: 2 of 2 pods.",
            ],
        ),
        (
            1,
            [
                "vllm_num_requests_waiting (b, pods/one, model_name=n) is 8, measured now.",
                "b, pods/one, model_name=n: 8.",
            ],
        ),
    ] {
        for part in parts {
            assert!(paragraphs[paragraph].contains(part), "{part}: {said}");
        }
    }
    let (_, _, list) = get(setup.address, "/signals").await;
    assert!(
        list.contains("\nvllm_num_requests_waiting (b, pods/one, model_name=n)  value"),
        "{list}"
    );
    setup.end().await;
}
