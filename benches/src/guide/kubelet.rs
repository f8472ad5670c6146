//! Instead of a scheduler and a kubelet: a thread that binds each pod to the one node, says of it that it runs and is ready at
//! the address of this machine, and ends it at once when it is deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::ADDRESS;
use super::http;

/// Between two looks at the pods.
const LOOK: Duration = Duration::from_millis(200);
/// The node. Nobody looks after it: the controllers that would are off.
const NODE: &str = "node";

/// The thread. Ends when it is dropped.
pub struct Kubelet {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok(); // it has nothing to tell
        }
    }
}

impl Kubelet {
    /// Looks after the pods of the API server behind `proxy`.
    pub fn start(proxy: &str) -> Result<Kubelet, Failure> {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
        http::send(proxy, "POST", "/api/v1/nodes", &node)?;
        let over = Arc::new(AtomicBool::new(false));
        let (ended, proxy) = (Arc::clone(&over), proxy.to_owned());
        let thread = thread::spawn(move || {
            let mut said = String::new();
            while !ended.load(Ordering::Relaxed) {
                // The API server may be away: that is a step.
                let why = look_after(&proxy).err().map(|error| error.to_string());
                let why = why.unwrap_or_default();
                if !why.is_empty() && said != why {
                    eprintln!("instead of the kubelet: {why}");
                    said = why;
                }
                thread::sleep(LOOK);
            }
        });
        Ok(Kubelet {
            over,
            thread: Some(thread),
        })
    }
}

fn look_after(proxy: &str) -> Result<(), Failure> {
    let pods = http::get(proxy, "/api/v1/pods")?;
    let mut failed = None;
    for pod in pods["items"].as_array().into_iter().flatten() {
        let meta = &pod["metadata"];
        let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        if meta["deletionTimestamp"].is_string() {
            let now = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
            failed = http::send(proxy, "DELETE", &path, &now).err().or(failed);
            continue;
        }
        if pod["spec"]["nodeName"].is_null() {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
            });
            let path = format!("{path}/binding");
            failed = http::send(proxy, "POST", &path, &binding).err().or(failed);
        }
        if pod["status"]["phase"] != "Pending" {
            continue;
        }
        let path = format!("{path}/status");
        let time = text(&meta["creationTimestamp"]);
        let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"];
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": time}))
            .collect();
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let containers: Vec<Value> = containers
            .map(|one| {
                json!({
                    "name": one["name"], "ready": true, "restartCount": 0, "image": one["image"], "imageID": "",
                    "started": true, "state": {"running": {"startedAt": time}},
                })
            })
            .collect();
        let status = json!({"status": {
            "phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}], "hostIP": ADDRESS, "startTime": time,
            "conditions": conditions, "containerStatuses": containers,
        }});
        // It may be gone.
        failed = http::send(proxy, "PATCH", &path, &status).err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}
