//! Custom rules beside external rules that make metrics of the same names.

use super::*;

/// An external rule made `later_queue` as well: it answered for objects while the custom rule's pattern had no series yet, and
/// the number of one HPA became that of another when they came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn external_rules_answer_for_no_object_where_there_are_custom_rules() {
    const PAGE: &str = "queue_size{namespace=\"a\",deployment=\"d\"} 3\n";
    const RULES: &str = r#"
rules:
- seriesQuery: '{__name__=~"^later_.*"}'
  resources: {overrides: {namespace: {resource: namespace}, deployment: {group: apps, resource: deployment}}}
  metricsQuery: sum by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})
externalRules:
- seriesQuery: queue_size
  resources: {namespaced: false}
  name: {as: later_queue}
  metricsQuery: sum by (deployment, namespace) (queue_size)
- seriesQuery: queue_size
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {as: later_asked}
  metricsQuery: sum by (deployment) (queue_size{<<.LabelMatchers>>})
"#;
    let target = TestTarget::with_page(PAGE).await;
    let files = Files::new("later-rules");
    files.write("rules.yaml", RULES);
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n\
         signals: [{{name: own, expr: 'sum by (deployment, namespace) (queue_size)'}}]\n\
         external_metrics: {{insecure: true, rules_files: [rules.yaml]}}\n",
        target.address
    );
    let config_file = files.write("stillwell.yml", &text);
    let apis = ApiOptions::default();
    let running = server_of(&text, settings(Some(config_file)), apis).await;
    let address = running.addresses[0];
    until(&running.app, "a scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    let object = |metric: &str| format!("namespaces/a/deployments.apps/d/{metric}");
    let about_d = |value: &str| Ok(vec![("d".to_owned(), value.to_owned())]);
    for metric in ["later_queue", "later_asked"] {
        let external = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/a/{metric}");
        let (status, _, body) = get(address, &external).await;
        assert_eq!(status, 200, "{metric}: {body}");
        for names in [object(metric), object(metric).replace("/d/", "/*/")] {
            let answer = told(address, "v1beta2", &names).await;
            let why = answer.expect_err("an external rule's number");
            assert!(why.starts_with("404"), "{names}: {why}");
        }
    }
    assert_eq!(told(address, "v1beta2", &object("own")).await, about_d("3"));
    target.set_page(&format!(
        "{PAGE}later_queue{{namespace=\"a\",deployment=\"d\"}} 8\n"
    ));
    eventually("the custom rule answers", || async {
        told(address, "v1beta2", &object("later_queue")).await == about_d("8")
    })
    .await;
    running.stop().await;
}
