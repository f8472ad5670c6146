//! Waiting for events instead of sleeping.

use std::sync::Arc;
use std::time::Duration;

use stillwell::scrape::TargetState;
use stillwell::serve::App;
use stillwell_adapters::host::Host;

use super::target::TestTarget;

/// A test that waits longer than this for an event has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `fits` holds, asking after every scrape.
pub async fn until(app: &App, what: &str, mut fits: impl FnMut(&App) -> bool) {
    let waiting = async {
        loop {
            let scraped = app.scraper().shared().scraped.notified();
            tokio::pin!(scraped);
            scraped.as_mut().enable(); // before looking, so that no scrape is missed
            if fits(app) {
                return;
            }
            scraped.await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!(
            "never happened: {what}; targets: {:#?}",
            app.targets().active
        );
    }
}

/// Waits until `fits` holds, asking again and again: for what no scrape announces.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut fits: impl FnMut() -> F) {
    let waiting = async {
        while !fits().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
    assert!(in_time, "never happened: {what}");
}

/// The state of the target at this address.
pub fn state(app: &App, target: &TestTarget) -> Arc<TargetState> {
    let address = target.address.to_string();
    let states = app.scraper().states();
    let found = states
        .iter()
        .find(|state| state.target.url.authority == address);
    Arc::clone(found.expect("the target is scraped"))
}
