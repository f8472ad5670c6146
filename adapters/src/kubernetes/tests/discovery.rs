//! What the APIs say of themselves, in every form that clients ask for.

use super::*;

#[tokio::test]
async fn discovery_is_answered_in_every_form() {
    let group = "external.metrics.k8s.io";
    let (_, _, list) = ask(Method::GET, BASE, &[]).await;
    assert_eq!(
        (&list["kind"], &list["groupVersion"]),
        (
            &json!("APIResourceList"),
            &json!(format!("{group}/v1beta1"))
        )
    );
    assert_eq!(
        list["resources"][0],
        json!({"name": "igw_queue_depth", "singularName": "", "namespaced": true, "kind": "ExternalMetricValueList", "verbs": ["get"]})
    );
    let (_, _, one) = ask(Method::GET, &format!("/apis/{group}"), &[]).await;
    assert_eq!(
        (&one["kind"], &one["preferredVersion"]["version"]),
        (&json!("APIGroup"), &json!("v1beta1"))
    );
    let (_, _, plain) = ask(Method::GET, "/apis", &[("accept", "application/json")]).await;
    assert_eq!(
        (&plain["kind"], &plain["groups"][0]["name"]),
        (&json!("APIGroupList"), &json!(group))
    );

    let custom = "/apis/custom.metrics.k8s.io/v1beta2";
    let (_, _, list) = ask(Method::GET, custom, &[]).await;
    let pool = "inferencepools.inference.networking.k8s.io";
    assert_eq!(
        list["resources"][0],
        json!({"name": format!("{pool}/igw_queue_depth"), "singularName": "", "namespaced": true, "kind": "MetricValueList", "verbs": ["get"]})
    );

    let (v2, beta) = (accept::Discovery::V2, accept::Discovery::V2Beta1);
    let mut etags = Vec::new();
    for form in [v2, beta] {
        let aggregated = [("accept", form.content_type())];
        let (status, headers, body) = ask(Method::GET, "/apis", &aggregated).await;
        assert_eq!(
            (status, headers["content-type"].as_bytes()),
            (StatusCode::OK, form.content_type().as_bytes())
        );
        assert_eq!(
            body["apiVersion"],
            json!(format!("apidiscovery.k8s.io/{}", form.version()))
        );
        let groups: Vec<&Value> = body["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| &item["metadata"]["name"])
            .collect();
        assert_eq!(
            groups,
            [group, "metrics.example.com", "custom.metrics.k8s.io"]
        );
        let version = &body["items"][0]["versions"][0];
        assert_eq!(
            (&version["freshness"], &version["resources"][0]["resource"]),
            (&json!("Current"), &json!("igw_queue_depth"))
        );
        let objects = &body["items"][2]["versions"][0]["resources"][0];
        assert_eq!(
            (
                &objects["resource"],
                &objects["subresources"][0]["subresource"]
            ),
            (&json!(pool), &json!("igw_queue_depth"))
        );
        let etag = headers["etag"].to_str().expect("text").to_owned();
        for (known, code) in [
            (etag.clone(), 304),
            (format!("\"other\", W/{etag}"), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let asked = [aggregated[0], ("if-none-match", known.as_str())];
            let (status, headers, _) = ask(Method::GET, "/apis", &asked).await;
            assert_eq!(status.as_u16(), code, "{known}");
            assert_eq!(headers["etag"], etag.as_str());
        }
        etags.push(etag);
    }
    assert_ne!(etags[0], etags[1]);
    let (status, _, body) = ask(Method::GET, "/apis/", &[]).await;
    assert_eq!(
        (status, &body["kind"]),
        (StatusCode::OK, &json!("APIGroupList"))
    );
}
