//! The console: what it is served with, its plots, and what it shows of names that would like to be markup.

use std::process::Command;

use crate::common::{TestTarget, eventually, http, server, state, until};
use stillwell_adapters::host::Health;
use stillwell_testing::outside::BROWSER;

/// A label value that would be a script, goes from right to left, and is long.
fn hostile() -> String {
    format!(
        "<script>window.x=1</script>\u{202e}&quot;{}",
        "y".repeat(10_000)
    )
}

async fn running() -> (TestTarget, stillwell::serve::Running) {
    let value = hostile().replace('\\', "\\\\").replace('"', "\\\"");
    let page = format!(
        "llm_d_epp_flow_control_queue_size{{inference_pool=\"p\",fairness_id=\"{value}\"}} 7\n"
    );
    let target = TestTarget::with_page(&page).await;
    let text = format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['{}']}}]\n\
         signals:\n- name: queue\n  expr: sum by (fairness_id) (llm_d_epp_flow_control_queue_size)\n",
        target.address
    );
    let running = server(&text).await;
    until(&running.app, "a good scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    (target, running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assets_and_plots_come_with_a_policy_that_lets_nothing_else_in() {
    let (_target, running) = running().await;
    let address = running.addresses[0];
    for (path, kind) in [
        ("/", "text/html"),
        ("/console/app.js", "text/javascript"),
        ("/console/style.css", "text/css"),
        ("/console/icon.svg", "image/svg+xml"),
        ("/console/plot.svg?signal=queue", "image/svg+xml"),
        (
            "/console/plot.svg?signal=queue&small=1&theme=dark",
            "image/svg+xml",
        ),
        (
            "/console/plot.svg?query=sum(up)&minutes=5&width=99999999",
            "image/svg+xml",
        ),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (status, head, body) = http(address, &request).await;
        let head = head.to_ascii_lowercase();
        assert_eq!(status, 200, "{path}: {body}");
        assert!(
            head.contains(&format!("content-type: {kind}")),
            "{path}: {head}"
        );
        assert!(
            head.contains("content-security-policy: default-src 'none'"),
            "{path}: {head}"
        );
        assert!(!body.contains("window.x=1"), "{path}");
    }
    for (path, says) in [
        ("/console/plot.svg?signal=nobody", "no signal nobody"),
        ("/console/plot.svg?query=sum(", "parse error"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (status, head, body) = http(address, &request).await;
        assert!(status >= 400 && body.contains(says), "{status} {body}");
        assert!(
            head.to_ascii_lowercase().contains("text/plain"),
            "never as a page: {head}"
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_browser_shows_signals_and_gateways_and_hostile_names_as_text() {
    let Some(browser) = BROWSER.find() else {
        return;
    };
    let (_target, running) = running().await;
    let base = format!("http://{}", running.addresses[0]);
    let dom = |view: String| {
        let address = format!("{base}/{view}");
        let run = Command::new(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--virtual-time-budget=4000",
                "--dump-dom",
            ])
            .arg(address)
            .output();
        String::from_utf8_lossy(&run.expect("it runs").stdout).into_owned()
    };
    for (view, wanted) in [
        ("#/signals", vec!["queue", "state value"]),
        (
            "#/signal/queue",
            vec![
                "&lt;script&gt;window.x=1",
                "sum by (fairness_id)",
                "kubectl get --raw",
            ],
        ),
        ("#/gateways", vec!["/metrics", "state value"]),
        (
            "#/query?expr=llm_d_epp_flow_control_queue_size",
            vec!["&lt;script&gt;window.x=1", "1 elements in"],
        ),
        ("#/query?expr=sum(up))", vec!["parse error", "       ^"]),
        ("#/status", vec!["storageRetention", "scrape_interval"]),
    ] {
        // The browser's time is not ours: on a busy machine a page may need another try.
        eventually(view, || async {
            let shown = tokio::task::block_in_place(|| dom(view.to_owned()));
            assert!(
                !shown.contains("<script>window.x=1"),
                "{view}: markup of a label"
            );
            wanted.iter().all(|text| shown.contains(text))
        })
        .await;
    }
    running.stop().await;
}
