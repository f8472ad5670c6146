//! One Alertmanager: its queue, and the task that empties it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use stillwell_engine::labels::RelabelRule;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::notification::body;
use super::queue::{Queue, Taken};
use crate::config::Secret;
use crate::http_client::{Call, Identity, Resolver, Url, call};
use crate::rule_groups::Notification;

/// The wait after a first failure; it doubles with each further one ...
const RETRY: Duration = Duration::from_secs(1);
/// ... up to this.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Nobody reads what an Alertmanager answers but people in the log.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// As much of it is logged.
const LOGGED_BYTES_MAX: usize = 200;

/// One Alertmanager.
pub(super) struct Endpoint {
    pub(super) url: Url,
    timeout_ms: u64,
    identity: Arc<Identity>,
    alert_relabel: Vec<RelabelRule>,
    /// Held for adding or taking some alerts.
    queue: Mutex<Queue>,
    batch_max: usize,
    filled: Notify,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// How sending to one Alertmanager goes.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Where alerts are posted.
    pub url: String,
    /// Alerts that it has taken.
    pub sent: u64,
    /// Alerts in requests that failed; they are sent again.
    pub failed: u64,
    /// Alerts that it will never get.
    pub dropped: u64,
    /// Alerts that wait.
    pub waiting: usize,
}

/// What became of a request.
enum Outcome {
    Taken,
    /// Another try may help.
    Failed(String),
    /// No other try helps.
    Refused(String),
}

impl Endpoint {
    /// One of which nothing was sent yet.
    pub(super) fn new(
        url: Url,
        timeout_ms: u64,
        identity: Arc<Identity>,
        alert_relabel: Vec<RelabelRule>,
        (capacity, batch_max): (usize, usize),
    ) -> Endpoint {
        Endpoint {
            url,
            timeout_ms,
            identity,
            alert_relabel,
            queue: Mutex::new(Queue::new(capacity)),
            batch_max: batch_max.max(1),
            filled: Notify::new(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Whether it is reached, and alerts for it are rewritten, in this way.
    pub(super) fn is_same(
        &self,
        url: &Url,
        timeout_ms: u64,
        identity: &Arc<Identity>,
        alert_relabel: &[RelabelRule],
    ) -> bool {
        self.url == *url
            && self.timeout_ms == timeout_ms
            && Arc::ptr_eq(&self.identity, identity)
            && self.alert_relabel == alert_relabel
    }

    /// Queues an alert.
    pub(super) fn put(&self, one: &Notification) {
        let Some(one) = one.clone().relabelled(&self.alert_relabel) else {
            return;
        };
        if self.queue.lock().put(one) && self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            let url = self.url.to_string();
            warn!(
                url,
                "more alerts wait for an alertmanager than --alertmanager.notification-queue-capacity; the oldest are dropped"
            );
        }
        self.filled.notify_one();
    }

    /// How it goes.
    pub(super) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            url: self.url.to_string(),
            sent: read(&self.sent),
            failed: read(&self.failed),
            dropped: read(&self.dropped),
            waiting: self.queue.lock().len(),
        }
    }

    /// Sends what is queued, until `quit` turns true.
    pub(super) async fn run(
        self: Arc<Endpoint>,
        resolver: Resolver,
        mut quit: watch::Receiver<bool>,
    ) {
        let mut wait = RETRY;
        let mut failing = false;
        loop {
            let sending = async {
                match self.send_batch(&resolver).await {
                    None => self.filled.notified().await,
                    Some(Ok(())) => {
                        if std::mem::take(&mut failing) {
                            let url = self.url.to_string();
                            info!(url, "an alertmanager takes alerts again");
                        }
                        wait = RETRY;
                    }
                    Some(Err(why)) => {
                        if !std::mem::replace(&mut failing, true) {
                            let url = self.url.to_string();
                            warn!(
                                url,
                                why, "alerts cannot be sent; they are kept and sent again"
                            );
                        }
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(RETRY_MAX);
                    }
                }
            };
            tokio::select! {
                () = sending => {}
                _ = quit.wait_for(|quit| *quit) => return,
            }
        }
    }

    /// Sends what is left, until the first failure.
    pub(super) async fn drain(&self, resolver: &Resolver) {
        while let Some(Ok(())) = self.send_batch(resolver).await {}
    }

    /// Sends one request. `None`: nothing waits. Alerts are back in the queue where it failed or was given up.
    async fn send_batch(&self, resolver: &Resolver) -> Option<Result<(), String>> {
        let mut batch = Batch {
            of: self,
            alerts: self.queue.lock().take(self.batch_max),
        };
        if batch.alerts.is_empty() {
            return None;
        }
        let count = batch.alerts.len() as u64;
        let outcome = self.post(&batch.alerts, resolver).await;
        match outcome {
            Outcome::Taken => {
                self.sent.fetch_add(count, Ordering::Relaxed);
                batch.alerts.clear();
                Some(Ok(()))
            }
            Outcome::Failed(why) => {
                self.failed.fetch_add(count, Ordering::Relaxed);
                Some(Err(why))
            }
            Outcome::Refused(why) => {
                self.failed.fetch_add(count, Ordering::Relaxed);
                self.dropped.fetch_add(count, Ordering::Relaxed);
                batch.alerts.clear();
                let url = self.url.to_string();
                warn!(
                    url,
                    why,
                    alerts = count,
                    "an alertmanager refuses alerts; they are dropped"
                );
                Some(Ok(()))
            }
        }
    }

    async fn post(&self, alerts: &[Taken], resolver: &Resolver) -> Outcome {
        let shown = match self.identity.header_lines(resolver).await {
            Ok(shown) => shown,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let request = Call {
            method: "POST",
            url: self.url.clone(),
            headers: Secret::new("content-type: application/json\r\n".to_owned()),
            shown,
            follow_redirects: false, // as in Go a POST is not repeated elsewhere
            body: body(alerts.iter().map(|(_, one)| one)).into_bytes(),
            timeout_ms: self.timeout_ms,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = match call(request, self.identity.transport(), resolver).await {
            Ok(answer) => answer,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let said = String::from_utf8_lossy(&answer.body[..answer.body.len().min(LOGGED_BYTES_MAX)]);
        let why = format!("status {}: {}", answer.status, said.trim());
        match answer.status {
            200..=299 => Outcome::Taken,
            401 | 403 => {
                self.identity.refused();
                Outcome::Failed(why)
            }
            // Another time, or after somebody has put it right, it may be taken.
            300..=399 | 404 | 405 | 407 | 408 | 425 | 429 => Outcome::Failed(why),
            400..=499 => Outcome::Refused(why),
            _ => Outcome::Failed(why),
        }
    }
}

/// Alerts under way: back in the queue unless they were taken, also where sending is given up half-way.
struct Batch<'e> {
    of: &'e Endpoint,
    alerts: Vec<Taken>,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.alerts);
        let lost = self.of.queue.lock().put_back(left);
        self.of.dropped.fetch_add(lost as u64, Ordering::Relaxed);
    }
}
