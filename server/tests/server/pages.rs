//! The sample pages of real gateway versions go through the whole server.

use crate::common::{TestTarget, server, state, until, value};
use stillwell_adapters::host::Health;
use stillwell_testing::outside::SAMPLE_PAGES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_page_ingests_whole() {
    let Some(folder) = SAMPLE_PAGES.find() else {
        return;
    };
    let mut pages = 0;
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "prom") {
            continue;
        }
        pages += 1;
        let page = std::fs::read_to_string(&path).expect("a readable page");
        let lines = page
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .count();
        let target = TestTarget::with_page(&page).await;
        let text = format!(
            "global: {{scrape_interval: 100ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n",
            target.address
        );
        let running = server(&text).await;
        until(&running.app, "a scrape", |app| {
            state(app, &target).health() != Health::Unknown
        })
        .await;
        assert_eq!(
            state(&running.app, &target).last_error(),
            "",
            "{}",
            path.display()
        );
        let scraped = value(running.addresses[0], "scrape_samples_scraped").await;
        assert_eq!(scraped, Some(lines as f64), "{}", path.display());
        running.stop().await;
    }
    assert!(pages > 0, "the folder holds no page");
}
