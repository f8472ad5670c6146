//! Finds Alertmanagers and gives each its alerts.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use stillwell_engine::labels::{Labels, RelabelRule, relabel};
use tokio::sync::{Notify, watch};
use tracing::warn;

use super::endpoint::{Counts, Endpoint};
use super::queue::Queue;
use crate::config::{Alerting, AlertmanagerConfig};
use crate::discovery::WatchedGroups;
use crate::http_client::{Identity, Resolver, Url};
use crate::rule_groups::Notification;

/// The label by which relabelling can change where alerts are posted.
const PATH_LABEL: &str = "__alerts_path__";
/// Alertmanagers that are sent to: each has a task and a queue of its own.
const ALERTMANAGERS_MAX: usize = 100;
/// Changes of discovery that come in a row are taken together.
const GATHER: Duration = Duration::from_millis(20);
/// What is left at the end is sent for at most so long.
const DRAIN: Duration = Duration::from_secs(5);

/// How alerts are queued and sent.
#[derive(Clone, Copy, Debug)]
pub struct NotifierOptions {
    /// Alerts that wait for one Alertmanager.
    pub queue_capacity: usize,
    /// Alerts of one request.
    pub batch_size: usize,
    /// Whether what waits is sent before the process ends.
    pub drain: bool,
}

/// Prometheus' defaults.
impl Default for NotifierOptions {
    fn default() -> NotifierOptions {
        NotifierOptions {
            queue_capacity: 10_000,
            batch_size: 256,
            drain: true,
        }
    }
}

/// The handle by which alerts are sent.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

struct Inner {
    options: NotifierOptions,
    /// Replaced by a reload.
    wanted: Mutex<Option<Alerting>>,
    changed: Arc<Notify>,
    /// What becomes of alerts before they are queued.
    rewriting: RwLock<Arc<Rewriting>>,
    /// Replaced when discovery finds others.
    found: RwLock<Arc<Found>>,
    /// The newest states of alerts, of which an Alertmanager that is found later is told at once: otherwise it would
    /// learn of them a resend delay later.
    recent: Mutex<Queue>,
}

#[derive(Default)]
struct Rewriting {
    external_labels: Labels,
    relabel: Vec<RelabelRule>,
    /// Whether alerts are sent at all.
    any: bool,
}

#[derive(Default)]
struct Found {
    endpoints: Vec<Arc<Endpoint>>,
    /// URLs of those that relabelling has dropped.
    dropped: Vec<String>,
    /// How many are more than are sent to.
    left_out: usize,
}

impl Notifier {
    /// Starts on the current runtime; `run` has to be awaited on it.
    pub fn new(options: NotifierOptions) -> Notifier {
        Notifier {
            inner: Arc::new(Inner {
                options,
                wanted: Mutex::new(None),
                changed: Arc::default(),
                rewriting: RwLock::default(),
                found: RwLock::default(),
                recent: Mutex::new(Queue::new(options.queue_capacity)),
            }),
        }
    }

    /// Sends to exactly these Alertmanagers from now on. Those that stay keep what waits for them.
    pub fn apply(&self, alerting: Alerting, external_labels: Labels) {
        *self.inner.rewriting.write() = Arc::new(Rewriting {
            external_labels,
            relabel: alerting.relabel.clone(),
            any: !alerting.alertmanagers.is_empty(),
        });
        *self.inner.wanted.lock() = Some(alerting);
        self.inner.changed.notify_one();
    }

    /// Queues alerts for every Alertmanager. Waits for nothing.
    pub fn send(&self, alerts: impl IntoIterator<Item = Notification>) {
        let rewriting = Arc::clone(&self.inner.rewriting.read());
        if !rewriting.any {
            return;
        }
        let found = self.inner.found.read();
        for alert in alerts {
            let alert = alert.with_external_labels(&rewriting.external_labels);
            let Some(alert) = alert.relabelled(&rewriting.relabel) else {
                continue;
            };
            for endpoint in &found.endpoints {
                endpoint.put(&alert);
            }
            self.inner.recent.lock().put(alert);
        }
    }

    /// URLs of the Alertmanagers in use, and of those that relabelling has dropped.
    pub fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        let found = self.inner.found.read();
        let active = found.endpoints.iter().map(|one| one.url.to_string());
        (active.collect(), found.dropped.clone())
    }

    /// How sending to each Alertmanager goes.
    pub fn counts(&self) -> Vec<Counts> {
        let found = self.inner.found.read();
        found.endpoints.iter().map(|one| one.counts()).collect()
    }

    /// Finds Alertmanagers and sends, until `quit` turns true and what waits is sent.
    pub async fn run(self, mut quit: watch::Receiver<bool>) {
        let mut task = Task {
            inner: Arc::clone(&self.inner),
            resolver: Resolver::default(),
            watched: Vec::new(),
            senders: Vec::new(),
        };
        loop {
            let calm = async {
                self.inner.changed.notified().await;
                tokio::time::sleep(GATHER).await;
            };
            tokio::select! {
                () = calm => task.refresh(),
                _ = quit.wait_for(|quit| *quit) => break,
            }
        }
        task.end().await;
    }
}

struct Task {
    inner: Arc<Inner>,
    resolver: Resolver,
    watched: Vec<Watched>,
    senders: Vec<Sender>,
}

/// One entry of the configuration and what it finds.
struct Watched {
    config: AlertmanagerConfig,
    identity: Arc<Identity>,
    groups: WatchedGroups,
}

/// A running sender; it ends when this is dropped.
struct Sender {
    endpoint: Arc<Endpoint>,
    quit: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Task {
    /// Takes a new configuration, where there is one, and what discovery has found.
    fn refresh(&mut self) {
        let wanted = self.inner.wanted.lock().take();
        if let Some(alerting) = wanted {
            self.configure(alerting);
        }
        let mut found = Found::default();
        for watched in &self.watched {
            for labels in watched.labels() {
                match watched.url(&labels) {
                    Ok(Some(url)) => self.add(watched, url, &mut found),
                    Ok(None) => found.dropped.extend(watched.dropped_url(&labels)),
                    Err(why) => {
                        let (labels, line) = (labels.to_string(), watched.config.line.0);
                        warn!(
                            labels,
                            line, why, "no alerts are sent to this target of alertmanagers"
                        );
                    }
                }
            }
        }
        found.dropped.sort();
        found.dropped.dedup();
        // Held until the new ones are known to `send`: an alert that comes meanwhile is in `recent` or given to them.
        let mut shown = self.inner.found.write();
        if found.left_out > 0 && shown.left_out == 0 {
            warn!(
                left_out = found.left_out,
                "no alerts are sent to more than {ALERTMANAGERS_MAX} Alertmanagers"
            );
        }
        let mut gone = std::mem::take(&mut self.senders);
        for endpoint in &found.endpoints {
            let running = gone
                .iter()
                .position(|sender| Arc::ptr_eq(&sender.endpoint, endpoint));
            self.senders.push(match running {
                Some(at) => gone.swap_remove(at),
                None => {
                    for alert in self.inner.recent.lock().iter() {
                        endpoint.put(alert);
                    }
                    self.start(Arc::clone(endpoint))
                }
            });
        }
        *shown = Arc::new(found);
    }

    fn configure(&mut self, alerting: Alerting) {
        let mut before = std::mem::take(&mut self.watched);
        for config in alerting.alertmanagers {
            let same = |watched: &Watched| watched.config == config;
            if let Some(at) = before.iter().position(same) {
                self.watched.push(before.swap_remove(at));
                continue;
            }
            let owner = format!("the alertmanagers of line {}", config.line);
            self.watched.push(Watched {
                identity: Identity::new(config.http.clone()),
                groups: WatchedGroups::start(
                    &owner,
                    &config.discovery,
                    &self.inner.changed,
                    &self.resolver,
                ),
                config,
            });
        }
    }

    /// Adds an endpoint, the running one where there is one; two ways to the same URL are one.
    fn add(&self, watched: &Watched, url: Url, found: &mut Found) {
        if found.endpoints.iter().any(|one| one.url == url) {
            return;
        }
        if found.endpoints.len() >= ALERTMANAGERS_MAX {
            found.left_out += 1;
            return;
        }
        let config = &watched.config;
        let (timeout_ms, rules) = (config.timeout_ms, &config.alert_relabel);
        let same = |sender: &&Sender| {
            let one = &sender.endpoint;
            one.is_same(&url, timeout_ms, &watched.identity, rules)
        };
        let endpoint = match self.senders.iter().find(same) {
            Some(sender) => Arc::clone(&sender.endpoint),
            None => {
                let options = &self.inner.options;
                Arc::new(Endpoint::new(
                    url,
                    timeout_ms,
                    Arc::clone(&watched.identity),
                    rules.clone(),
                    (options.queue_capacity, options.batch_size),
                ))
            }
        };
        found.endpoints.push(endpoint);
    }

    fn start(&self, endpoint: Arc<Endpoint>) -> Sender {
        let (quit, quitting) = watch::channel(false);
        let running = Arc::clone(&endpoint).run(self.resolver.clone(), quitting);
        Sender {
            endpoint,
            quit,
            task: tokio::spawn(running),
        }
    }

    /// Ends every sender; what waits is sent first, where that is wanted and does not take long.
    async fn end(self) {
        for sender in &self.senders {
            sender.quit.send_replace(true);
        }
        let drain = self.inner.options.drain;
        let mut ending = Vec::new();
        for sender in self.senders {
            let resolver = self.resolver.clone();
            ending.push(tokio::spawn(async move {
                sender.task.await.ok(); // one that panicked has ended too
                if drain {
                    sender.endpoint.drain(&resolver).await;
                }
            }));
        }
        let all = async {
            for one in ending {
                one.await.ok(); // likewise
            }
        };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            let seconds = DRAIN.as_secs();
            warn!(
                seconds,
                "alerts still wait; the process ends without sending them"
            );
        }
    }
}

impl Watched {
    /// The labels of what was found, before relabelling.
    fn labels(&self) -> Vec<Labels> {
        let mut all = Vec::new();
        for group in self.groups.get() {
            for at in 0..group.targets.len() {
                let mut labels = group.labels_of(at);
                labels.set("__scheme__", &self.config.scheme);
                labels.set(PATH_LABEL, &alerts_path(&self.config.path_prefix));
                all.push(labels.build());
            }
        }
        all
    }

    /// Where alerts are posted; `None` where relabelling drops it.
    fn url(&self, labels: &Labels) -> Result<Option<Url>, String> {
        let mut labels = labels.to_builder();
        if !relabel(&self.config.relabel, &mut labels) {
            return Ok(None);
        }
        url_of(|name| labels.get(name).to_owned()).map(Some)
    }

    fn dropped_url(&self, labels: &Labels) -> Option<String> {
        let url = url_of(|name| labels.get(name).unwrap_or("").to_owned());
        url.ok().map(|url| url.to_string())
    }
}

fn url_of(label: impl Fn(&str) -> String) -> Result<Url, String> {
    let address = label("__address__");
    if address.is_empty() {
        return Err("it has no __address__".to_owned());
    }
    if address.contains('/') {
        return Err(format!(
            "address {address:?} must be host:port; the path goes into path_prefix"
        ));
    }
    let url = Url::from_parts(&label("__scheme__"), &address, &label(PATH_LABEL), "");
    url.map_err(|error| error.to_string())
}

/// Below a prefix, with one slash between parts, as Go's `path.Join`.
fn alerts_path(prefix: &str) -> String {
    let parts = prefix.split('/').chain(["api", "v2", "alerts"]);
    let parts = parts.filter(|part| !part.is_empty() && *part != ".");
    let mut path = String::new();
    for part in parts {
        path.push('/');
        path.push_str(part);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_with_one_slash() {
        for (prefix, path) in [
            ("", "/api/v2/alerts"),
            ("/", "/api/v2/alerts"),
            ("am", "/am/api/v2/alerts"),
            ("/am//x/", "/am/x/api/v2/alerts"),
        ] {
            assert_eq!(alerts_path(prefix), path, "{prefix}");
        }
    }

    #[test]
    fn an_address_with_a_path_is_no_alertmanager() {
        for (address, says) in [("", "no __address__"), ("h:1/x", "must be host:port")] {
            let label = |name: &str| match name {
                "__address__" => address.to_owned(),
                "__scheme__" => "http".to_owned(),
                _ => "/p".to_owned(),
            };
            let why = url_of(label).expect_err(says);
            assert!(why.contains(says), "{why}");
        }
    }
}
