//! What a reload may not take away: targets of which nobody said that they are gone, and with them a part of a sum.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::common::certificates::Files;
use crate::common::objects::ObjectServer;
use crate::common::scripted::{Scripted, json_answer, status};
use crate::common::{Act, TestTarget, eventually, http, server_with, settings};
use stillwell::serve::Running;
use stillwell_adapters::host::Host;

/// A list of targets that can be replaced.
struct List {
    answer: Arc<Mutex<Vec<u8>>>,
    source: Scripted,
}

impl List {
    async fn of(targets: &[&TestTarget]) -> List {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::clone(&answer);
        let source = Scripted::start(None, move |_| answers.lock().clone()).await;
        let list = List { answer, source };
        list.set(targets);
        list
    }

    fn set(&self, targets: &[&TestTarget]) {
        let targets: Vec<String> = targets.iter().map(|one| one.address.to_string()).collect();
        *self.answer.lock() = json_answer(&json!([{ "targets": targets }]));
    }

    fn fail(&self) {
        *self.answer.lock() = status(500, "Internal Server Error", "");
    }

    /// Returns when it has been asked for twice more: one may have been asked before.
    async fn is_asked_again(&self) {
        let before = self.source.heads.lock().len();
        eventually("the list is asked for", || async {
            self.source.heads.lock().len() >= before + 2
        })
        .await;
    }

    fn job(&self, name: &str, refresh: &str) -> String {
        let address = self.source.address;
        format!(
            "- job_name: {name}\n  http_sd_configs: [{{url: 'http://{address}/list', refresh_interval: {refresh}}}]\n"
        )
    }
}

/// The signal's value, or all that is said of it.
async fn told(running: &Running) -> String {
    let ask = "GET /signals/all HTTP/1.0\r\nHost: x\r\nAccept: application/json\r\n\r\n";
    let (_, _, body) = http(running.addresses[0], ask).await;
    let read: Value = serde_json::from_str(&body).unwrap_or_default();
    let signal = &read["signals"][0];
    match signal["state"] == "value" {
        true => signal["elements"][0]["value"].to_string(),
        false => signal.to_string(),
    }
}

async fn tells(running: &Running, wanted: &str) {
    eventually(wanted, || async { told(running).await.contains(wanted) }).await;
}

/// After another `refresh_interval` and while its list was answered with 500, all targets of a job were gone, and the sum was that of the
/// others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_no_target_away_before_the_new_list_is_there() {
    let few = TestTarget::with_page("my_queue 5\n").await;
    let many = TestTarget::with_page("my_queue 30\n").await;
    let (list, other) = (List::of(&[&many]).await, List::of(&[&few]).await);
    let files = Files::new("reload-targets");
    let with = |jobs: &str| {
        let text = format!(
            "global: {{scrape_interval: 20ms}}\nscrape_configs:\n{jobs}signals:\n- {{name: all, expr: 'sum(my_queue)'}}\n"
        );
        (files.write("config.yml", &text), text)
    };
    let other = other.job("other", "50ms");
    let (path, text) = with(&(other.clone() + &list.job("found", "50ms")));
    let running = server_with(&text, settings(Some(path)), Default::default()).await;
    tells(&running, "35").await;
    list.fail();
    with(&(other.clone() + &list.job("found", "51ms")));
    running.app.reload().await.expect("valid");
    assert_eq!(told(&running).await, "\"35\"");
    list.is_asked_again().await;
    assert_eq!(told(&running).await, "\"35\"", "its last targets stay");
    list.set(&[]);
    tells(&running, "\"5\"").await;
    // What is new is waited for.
    list.fail();
    with(&(other + &list.job("new", "50ms")));
    running.app.reload().await.expect("valid");
    let why = "which targets new has is not known: its discovery has given no list since it was configured";
    let told = told(&running).await;
    assert!(told.contains(why), "{told}");
    list.set(&[&many]);
    tells(&running, "\"35\"").await;
    running.stop().await;
}

/// A comment above them took away all targets of monitors, of `kube_state` and of lists with credentials until the API server had answered
/// again; so did another `evaluation_interval` those of `kube_state`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_stands_at_another_line_goes_on_while_nothing_can_be_listed() {
    const CONFIGS: &str = "/apis/monitoring.coreos.com/v1alpha1/scrapeconfigs";
    const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
    let (few, many) = (
        TestTarget::with_page("my_queue 5\n").await,
        TestTarget::with_page("my_queue 30\n").await,
    );
    let cluster = ObjectServer::start(&[CONFIGS, DEPLOYMENTS]).await;
    cluster.put(CONFIGS, json!({
        "apiVersion": "any/v1", "kind": "ScrapeConfig", "metadata": {"name": "few", "namespace": "llm"},
        "spec": {"staticConfigs": [{"targets": [few.address.to_string()]}]},
    }));
    cluster.put(DEPLOYMENTS, json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "decode", "namespace": "llm"},
        "spec": {"replicas": 100}, "status": {"replicas": 100},
    }));
    let list = List::of(&[&many]).await;
    let files = Files::new("reload-lines");
    let with = |above: &str, every: &str| {
        let text = format!(
            "{above}global: {{scrape_interval: 1s, evaluation_interval: {every}}}\n\
             monitors: {{api_server: 'http://{0}', bearer_token: t}}\nkube_state: {{api_server: 'http://{0}', bearer_token: t}}\n\
             scrape_configs:\n{1}  authorization: {{credentials: c}}\n\
             signals:\n- {{name: all, expr: 'sum(my_queue) + sum(kube_deployment_spec_replicas{{namespace=\"llm\"}})'}}\n",
            cluster.address,
            list.job("found", "50ms")
                .replace("}]", ", authorization: {credentials: c}}]"),
        );
        (files.write("config.yml", &text), text)
    };
    let (path, text) = with("", "1m");
    let running = server_with(&text, settings(Some(path)), Default::default()).await;
    tells(&running, "135").await;
    cluster.hold_lists(true);
    list.fail();
    for (above, every) in [("# more\n\n", "1m"), ("", "2m")] {
        with(above, every);
        running.app.reload().await.expect("valid");
        assert_eq!(told(&running).await, "\"135\"", "{above:?} {every}");
        assert_eq!(running.app.targets().active.len(), 3, "{above:?} {every}");
        list.is_asked_again().await;
        assert_eq!(told(&running).await, "\"135\"", "{above:?} {every}");
        assert_eq!(running.app.targets().active.len(), 3, "{above:?} {every}");
    }
    running.stop().await;
}

/// After a reload that changed how a target is scraped its series were gone until its next scrape, half a minute with a usual
/// interval: a query was empty, which KEDA takes for 0, where Prometheus shows what it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_scraped_otherwise_keeps_its_series_until_its_next_page() {
    let target = TestTarget::with_page("my_queue 7\n").await;
    let files = Files::new("reload-options");
    let with = |options: &str| {
        let address = target.address;
        let text = format!(
            "global: {{scrape_interval: 1h, scrape_timeout: 1h}}\nscrape_configs:\n- job_name: a\n{options}  \
             static_configs: [{{targets: ['{address}']}}]\nsignals:\n- {{name: all, expr: 'sum(my_queue)'}}\n"
        );
        (files.write("config.yml", &text), text)
    };
    let (path, text) = with("");
    let running = server_with(&text, settings(Some(path)), Default::default()).await;
    tells(&running, "\"7\"").await;
    // The next page does not come before the end.
    target.set(Act::Hang);
    for options in [
        "  scrape_interval: 2h\n",
        "  scrape_timeout: 30m\n",
        "  sample_limit: 100\n",
        "  basic_auth: {username: u, password: p}\n",
        "  extra_scrape_metrics: true\n",
    ] {
        let requests = target.requests();
        with(options);
        running.app.reload().await.expect("valid");
        eventually("a scrape", || async { target.requests() > requests }).await;
        assert_eq!(told(&running).await, "\"7\"", "{options}");
        assert_eq!(queue(&running).await, Some(7.0), "{options}");
    }
    // Where it is another page, or gives other series now, signals wait for it.
    let rule = "  metric_relabel_configs: [{target_label: team, replacement: x}]\n";
    for options in ["  metrics_path: /other\n", "  params: {a: [b]}\n", rule] {
        with(options);
        running.app.reload().await.expect("valid");
        tells(&running, "waiting for the first scrape").await;
        assert_eq!(queue(&running).await, Some(7.0), "{options}");
    }
    target.set_page("my_queue 9\n");
    // All is told again when it is there, though its series may be the same.
    for options in [
        &format!("{rule}  sample_limit: 100\n"),
        "  honor_labels: true\n",
        "  honor_timestamps: false\n",
        "  retain: signals\n",
        "",
    ] {
        with(options);
        running.app.reload().await.expect("valid");
        tells(&running, "\"9\"").await;
    }
    running.stop().await;
}

async fn queue(running: &Running) -> Option<f64> {
    crate::common::value(running.addresses[0], "sum(my_queue)").await
}
