//! What a fault of ours leaves of a target.

use std::sync::atomic::{AtomicUsize, Ordering};

use stillwell_engine::{Engine, Limits, NotKnown, labels};

use super::*;
use crate::clock::Clock;
use crate::config::{Global, job_from_json};
use crate::http_client::Url;
use crate::scrape::{
    Discovered, Found, JobTargets, Scraper, WritesPages, WrittenPage, target_options,
};

/// Writes pages, but for every third.
#[derive(Debug, Default)]
struct Faulty {
    asked: AtomicUsize,
}

impl WritesPages for Faulty {
    fn page(
        &self,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<WrittenPage, String>> + Send + '_>> {
        let asked = self.asked.fetch_add(1, Ordering::AcqRel);
        assert!(asked % 3 != 1, "the fault of this test");
        let body = format!("x {asked}\n").into_bytes();
        let not_known = NotKnown::default();
        Box::pin(std::future::ready(Ok(WrittenPage { body, not_known })))
    }
}

/// A job with one target whose pages are written so.
fn job(interval: &str, source: &PageSource) -> JobTargets {
    let text = format!("{{\"job_name\": \"j\", \"scrape_interval\": \"{interval}\"}}");
    let job = job_from_json(&text, &Global::default()).expect("a job");
    let (options, labels) = (target_options(&job), labels! { "job" => "j" });
    let target = Target {
        discovered: Discovered::given(&options, &labels),
        url: Url::parse("http://h:1/x").expect("a URL"),
        interval_ms: job.interval_ms,
        timeout_ms: job.timeout_ms,
        job: options,
        labels,
        refused: None,
        source: Some(source.clone()),
    };
    JobTargets {
        name: job.name,
        http: job.http,
        dropped_targets_max: 0,
        found: Found {
            targets: vec![target],
            ..Found::default()
        },
    }
}

/// The worker ended with what the series of its target hang on: it was never scraped again, whatever a reload said, and its series stayed
/// when it left.
#[tokio::test]
async fn a_fault_in_a_scrape_fails_that_scrape_alone() {
    let (writer, reader) = Engine::new(Limits::default());
    let clock = Arc::new(Clock::start());
    let scraper = Scraper::start(Shared::new(writer, reader, clock, 1 << 20));
    let source = PageSource::new(Arc::new(Faulty::default()));
    for interval in ["10ms", "11ms"] {
        scraper.replace(vec![job(interval, &source)]).await;
        let counts = || scraper.states()[0].counts();
        let before = counts();
        let go_on = async {
            while counts().failures < before.failures + 2 || counts().scrapes < before.scrapes + 6 {
                scraper.shared().scraped.notified().await;
            }
        };
        let go_on = tokio::time::timeout(Duration::from_secs(30), go_on).await;
        assert!(go_on.is_ok(), "{interval}");
    }
    scraper.replace(Vec::new()).await;
    let left = async {
        while scraper.shared().reader.stats().template_bytes > 0 {
            tokio::task::yield_now().await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(30), left)
            .await
            .is_ok()
    );
}
