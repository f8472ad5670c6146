//! Which forms of an answer a client may ask for, and what is said of paths that are no metrics: as prometheus-adapter does.

use super::lists::metrics_of_objects;
use super::{binaries, pair};
use crate::common::certificates::exchange;
use crate::common::{eventually, http};

const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Status and media type.
fn shown(head: &str) -> (String, String) {
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap_or("").to_owned();
    let kind = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type:"));
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("");
    (status, kind.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_are_those_of_prometheus_adapter() {
    let Some((prometheus, adapter)) = binaries() else {
        return;
    };
    let given = metrics_of_objects("adapter-forms").await;
    let pair = pair(&prometheus, &adapter, &given).await;
    let value = format!("{EXTERNAL}/namespaces/a/load");
    eventually("both know the metric", || async {
        let theirs = pair.theirs(&value).await;
        theirs.is_some_and(|(code, _)| code == 200) && pair.ours(&value).await.0 == 200
    })
    .await;
    let mut different = Vec::new();
    for path in [
        &value,
        EXTERNAL,
        "/apis/external.metrics.k8s.io",
        "/apis/custom.metrics.k8s.io/v1beta2",
        "/apis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis/external.metrics.k8s.io/v1beta1",
    ] {
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/yaml",
            "application/yaml, application/json",
            PROTOBUF,
            "application/vnd.kubernetes.protobuf, application/json",
            "application/cbor",
            "text/plain",
            "application/json;as=Table;v=v1;g=meta.k8s.io",
            "application/json;as=Table;v=v1;g=meta.k8s.io, application/json",
        ] {
            let headers = match accept {
                "" => String::new(),
                accept => format!("Accept: {accept}\r\n"),
            };
            let theirs = exchange(pair.theirs, &pair.authority.der(), None, &headers, path).await;
            let theirs = shown(&theirs.expect("an answer").0);
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
            let ours = shown(&http(pair.ours, &request).await.1);
            // Which groups there are is told here in what is JSON; of OpenAPI the forms are compared that somebody asks for.
            let is_usual = ["", "*/*", "application/json"].contains(&accept);
            let is_json_alone = (path != value && accept.contains("protobuf"))
                || (path.starts_with("/openapi") && !is_usual);
            // Numbers are tables here where kubectl asks for one; from the adapter it gets rows without a name.
            let is_table = path == value && accept.contains("as=Table");
            if ours != theirs && !is_json_alone && !is_table {
                different.push(format!(
                    "{path} Accept: {accept}: ours {ours:?}, theirs {theirs:?}"
                ));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
