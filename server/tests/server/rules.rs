//! Recording and alerting rules in a running server, and what the API tells of them; federation of what was recorded.

use crate::common::certificates::Files;
use crate::common::{TestTarget, data, eventually, get, server_with, settings, value};
use serde_json::json;
use stillwell::serve::web::WebOptions;

const RULES: &str = r#"
groups:
- name: queue
  interval: 100ms
  rules:
  - record: pool:q:sum
    expr: sum by (pool) (q)
  - record: pool:q:double
    expr: pool:q:sum * 2
    labels: {kind: doubled}
  - alert: QueueIsLong
    expr: pool:q:double > 10
    annotations: {summary: "{{ $labels.pool }} holds {{ $value }} in {{ $externalLabels.zone }}"}
- name: broken
  interval: 100ms
  limit: 1
  rules:
  - record: too:many
    expr: q
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_recorded_in_order_and_alerts_come_and_go() {
    let target = TestTarget::with_page("q{pool=\"a\"} 6\nq{pool=\"b\"} 1\n").await;
    let files = Files::new("rules");
    files.write("rules.yml", RULES);
    let text = format!(
        "global: {{scrape_interval: 20ms, external_labels: {{zone: z}}}}\nrule_files: ['*rules.yml']\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let config = files.write("config.yml", &text);
    let running = server_with(&text, settings(Some(config.clone())), WebOptions::default()).await;
    let (app, address) = (&running.app, running.addresses[0]);

    let double = "pool:q:double{pool=\"a\", kind=\"doubled\"}";
    eventually("the second rule reads the first", || async {
        value(address, double).await == Some(12.0)
    })
    .await;
    let firing = "ALERTS{alertname=\"QueueIsLong\", alertstate=\"firing\", pool=\"a\"}";
    eventually("the alert fires", || async {
        value(address, firing).await == Some(1.0)
    })
    .await;
    assert!(
        value(address, "ALERTS_FOR_STATE{pool=\"a\"}")
            .await
            .is_some()
    );
    let alerts = data(address, "/api/v1/alerts").await;
    let alert = &alerts["alerts"][0];
    assert_eq!(alert["labels"]["kind"], "doubled");
    assert_eq!(alert["annotations"]["summary"], "a holds 12 in z");
    assert_eq!(
        (&alert["state"], &alert["value"]),
        (&json!("firing"), &json!("1.2e+01"))
    );

    eventually("the other group was evaluated", || async {
        let rules = data(address, "/api/v1/rules?rule_group[]=broken").await;
        rules["groups"][0]["rules"][0]["health"] == "err"
    })
    .await;
    let rules = data(address, "/api/v1/rules").await;
    let groups = rules["groups"].as_array().expect("groups");
    let names: Vec<_> = groups.iter().map(|group| group["name"].clone()).collect();
    assert_eq!(names, [json!("broken"), json!("queue")]);
    assert_eq!(
        groups[0]["rules"][0]["lastError"],
        "exceeded limit of 1 with 2 series"
    );
    let alerting = &groups[1]["rules"][2];
    assert_eq!(
        (&alerting["state"], &alerting["type"]),
        (&json!("firing"), &json!("alerting"))
    );
    assert_eq!(groups[1]["interval"], 0.1);
    let (status, _, body) = get(address, "/api/v1/rules?group_limit=1").await;
    let first: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let token = first["data"]["groupNextToken"].as_str().expect("a token");
    assert_eq!(
        (status, &first["data"]["groups"][0]["name"]),
        (200, &json!("broken"))
    );
    let path = format!("/api/v1/rules?group_limit=1&group_next_token={token}");
    let second = data(address, &path).await;
    assert_eq!(second["groups"][0]["name"], "queue");
    assert!(
        second.get("groupNextToken").is_none(),
        "there are two groups"
    );
    let path = "/api/v1/rules?match[]={kind=%22doubled%22}";
    let of_kind = data(address, path).await;
    assert_eq!(of_kind["groups"].as_array().map(Vec::len), Some(1));
    assert_eq!(of_kind["groups"][0]["rules"][0]["name"], "pool:q:double");
    for wrong in [
        "group_limit=a",
        "group_limit=-1",
        "group_limit=0",
        "group_next_token=x",
        "group_limit=1&group_next_token=x",
        "match[]=(",
    ] {
        let (status, _, body) = get(address, &format!("/api/v1/rules?{wrong}")).await;
        assert_eq!(status, 400, "{wrong}: {body}");
        assert!(body.contains("bad_data"), "{wrong}: {body}");
    }
    let only = data(address, "/api/v1/rules?type=record&rule_name[]=pool:q:sum").await;
    assert_eq!(only["groups"].as_array().map(Vec::len), Some(1));
    assert_eq!(only["groups"][0]["rules"].as_array().map(Vec::len), Some(1));
    assert_eq!(get(address, "/api/v1/rules?type=x").await.0, 400);

    let (status, head, page) = get(address, "/federate?match[]=pool:q:sum&match[]=q").await;
    assert!(
        status == 200 && head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        page.contains(
            "# TYPE pool:q:sum untyped\npool:q:sum{pool=\"a\",zone=\"z\",instance=\"\"} 6 "
        ),
        "{page}"
    );
    assert!(page.contains(&format!(
        "q{{instance=\"{}\",job=\"j\",pool=\"b\",zone=\"z\"}} 1 ",
        target.address
    )));

    target.set_page("q{pool=\"a\"} 1\n");
    eventually("the alert ends", || async {
        value(address, firing).await.is_none()
    })
    .await;
    eventually("what is gone ends", || async {
        value(address, "pool:q:sum{pool=\"b\"}").await.is_none()
    })
    .await;
    assert_eq!(value(address, "pool:q:sum{pool=\"a\"}").await, Some(1.0));

    files.write(
        "rules.yml",
        "groups: [{name: queue, rules: [{record: x, expr: 'sum('}]}]\n",
    );
    let why = app.reload().await.expect_err("a rule that does not read");
    assert!(
        why.contains("rules.yml: line 1: expr: 1:5: parse error"),
        "{why}"
    );
    files.write(
        "rules.yml",
        "groups: [{name: other, interval: 100ms, rules: [{record: x, expr: '7'}]}]\n",
    );
    app.reload().await.expect("a good configuration");
    eventually("the new rule", || async {
        value(address, "x").await == Some(7.0)
    })
    .await;
    eventually("the old one ends", || async {
        value(address, "pool:q:sum").await.is_none()
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_the_api_answers_as_prometheus_does() {
    let target =
        TestTarget::with_page("# HELP q A queue.\n# TYPE q gauge\nq{pool=\"a\"} 6\n").await;
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: j\n  basic_auth: {{username: u, password: hidden}}\n  static_configs: [{{targets: ['{}']}}]\n  relabel_configs:\n  - {{target_label: x, replacement: y}}\n  - {{source_labels: [drop], regex: 'true', action: drop}}\n- job_name: elsewhere\n  ec2_sd_configs: [{{region: r, secret_key: hidden}}]\n",
        target.address
    );
    let running = crate::common::server(&text).await;
    let address = running.addresses[0];
    eventually("a scrape", || async { value(address, "q").await.is_some() }).await;
    for (path, expected) in [
        (
            "format_query?query=sum(a)by(x)%2Fb",
            json!("sum by (x) (a) / b"),
        ),
        ("query_exemplars?query=q&start=1&end=2", json!([])),
        ("scrape_pools", json!({"scrapePools": ["j"]})),
        (
            "status/walreplay",
            json!({"min": 0, "max": 0, "current": 0}),
        ),
        ("status/tsdb/blocks", json!({"blocks": []})),
        ("notifications", json!([])),
        ("alerts", json!({"alerts": []})),
    ] {
        assert_eq!(
            data(address, &format!("/api/v1/{path}")).await,
            expected,
            "{path}"
        );
    }
    let tree = data(address, "/api/v1/parse_query?query=sum(q)").await;
    assert_eq!(
        (&tree["type"], &tree["expr"]["name"]),
        (&json!("aggregation"), &json!("q"))
    );
    let metadata = data(address, "/api/v1/targets/metadata?metric=q").await;
    assert_eq!(
        (&metadata[0]["help"], &metadata[0]["type"]),
        (&json!("A queue."), &json!("gauge"))
    );
    assert_eq!(metadata[0]["target"]["job"], "j");
    let labels = "%7B%22drop%22%3A%22true%22%7D";
    let steps = format!("/api/v1/targets/relabel_steps?scrapePool=j&labels={labels}");
    let steps = data(address, &steps).await;
    assert_eq!(
        steps["steps"][0]["output"],
        json!({"drop": "true", "x": "y"})
    );
    assert_eq!(
        (&steps["steps"][1]["keep"], &steps["steps"][1]["output"]),
        (&json!(false), &json!({}))
    );
    let tsdb = data(address, "/api/v1/status/tsdb").await;
    assert!(
        tsdb["seriesCountByMetricName"]
            .as_array()
            .is_some_and(|rows| rows.len() > 3)
    );
    let features = data(address, "/api/v1/features").await;
    assert_eq!(features["service_discovery_providers"]["kubernetes"], true);
    let config = data(address, "/api/v1/status/config").await;
    let shown = config["yaml"].as_str().expect("text");
    assert!(
        shown.contains("username: u") && !shown.contains("hidden"),
        "{shown}"
    );
    let info = data(address, "/api/v1/status/runtimeinfo").await;
    for name in [
        "startTime",
        "CWD",
        "hostname",
        "lastConfigTime",
        "storageRetention",
    ] {
        assert!(
            info[name].as_str().is_some_and(|text| !text.is_empty()),
            "{name}: {info}"
        );
    }
    let (status, _, version) = get(address, "/version").await;
    assert!(
        status == 200 && version.contains("\"revision\":\"stillwell-"),
        "{version}"
    );
    for (path, status) in [
        ("format_query?query=sum(", 400),
        ("query_exemplars?query=q", 200),
        ("query_exemplars?query=q&start=x", 400),
        ("targets/relabel_steps?scrapePool=none&labels=%7B%7D", 400),
        ("targets/relabel_steps?scrapePool=j&labels=x", 400),
        ("nothing", 404),
    ] {
        assert_eq!(
            get(address, &format!("/api/v1/{path}")).await.0,
            status,
            "{path}"
        );
    }
    assert_eq!(get(address, "/federate?match[]=%7B").await.0, 400);
    running.stop().await;
}
