//! Pages under the steps' control; where it was told to, only for tokens that the API server knows and lets read `/metrics`,
//! as the Endpoint Picker asks (TokenReview, then SubjectAccessReview).

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::Failure;
use super::control_plane::ADDRESS;
use super::http;

/// How long an answer of the API server about a token is kept.
const KEPT: Duration = Duration::from_secs(10);

#[derive(Default)]
struct State {
    /// By the value of the parameter `pod`; the one of nobody else under the empty name.
    pages: BTreeMap<String, String>,
    is_dead: bool,
    /// What the API server said of a token, and when.
    known: BTreeMap<String, (u16, Instant)>,
    /// Answers by status.
    answers: BTreeMap<u16, usize>,
}

/// A listener that shows pages.
#[derive(Clone)]
pub struct Gateway {
    /// Its port.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Gateway {
    /// Listens on a free port. With the address of a `kubectl proxy` it asks for a token.
    pub fn start(reviews_by: Option<&str>) -> Result<Gateway, Failure> {
        Gateway::at(0, reviews_by)
    }

    /// Listens on this port.
    pub fn at(port: u16, reviews_by: Option<&str>) -> Result<Gateway, Failure> {
        let listener = TcpListener::bind((ADDRESS, port))?;
        let gateway = Gateway {
            port: listener.local_addr()?.port(),
            state: Arc::default(),
        };
        let (served, reviews_by) = (gateway.clone(), reviews_by.map(str::to_owned));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, reviews_by) = (served.clone(), reviews_by.clone());
                thread::spawn(move || served.connection(stream, reviews_by.as_deref()).ok());
            }
        });
        Ok(gateway)
    }

    /// Shows this page.
    pub fn show(&self, page: &str) {
        self.show_for("", page);
    }

    /// Shows this page to who asks for this pod's; an empty one is none (404).
    pub fn show_for(&self, pod: &str, page: &str) {
        let pages = &mut self.state.lock().pages;
        pages.insert(pod.to_owned(), page.to_owned());
    }

    /// Shows the page of nobody else to everybody.
    pub fn forget_pods(&self) {
        self.state.lock().pages.retain(|pod, _| pod.is_empty());
    }

    /// Hangs up on everybody, or no longer.
    pub fn set_dead(&self, is_dead: bool) {
        self.state.lock().is_dead = is_dead;
    }

    /// How often it answered with this status.
    pub fn answers(&self, status: u16) -> usize {
        self.state.lock().answers.get(&status).copied().unwrap_or(0)
    }

    fn connection(&self, stream: TcpStream, reviews_by: Option<&str>) -> Result<(), Failure> {
        let mut out = stream.try_clone()?;
        let mut lines = BufReader::new(stream).lines();
        loop {
            let mut path = String::new();
            let mut token = String::new();
            for line in lines.by_ref() {
                let line = line?;
                if line.is_empty() {
                    break;
                }
                if path.is_empty() {
                    line.split(' ').nth(1).unwrap_or("/").clone_into(&mut path);
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("authorization")
                {
                    value
                        .trim()
                        .trim_start_matches("Bearer ")
                        .clone_into(&mut token);
                }
            }
            if path.is_empty() || self.state.lock().is_dead {
                return Ok(());
            }
            let allowed = match reviews_by {
                Some(proxy) => self.review(proxy, &token),
                None => 200,
            };
            let pod = path.split("pod=").nth(1).unwrap_or("");
            let pod = pod.split('&').next().unwrap_or("");
            let mut state = self.state.lock();
            let page = state.pages.get(pod).or(state.pages.get("")).cloned();
            let (status, body) = match page {
                _ if allowed != 200 => (allowed, "Authorization denied\n".to_owned()),
                Some(page) if !page.is_empty() => (200, page),
                _ => (404, String::new()),
            };
            *state.answers.entry(status).or_default() += 1;
            drop(state);
            let length = body.len();
            write!(
                out,
                "HTTP/1.1 {status} Any\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n\r\n{body}"
            )?;
        }
    }

    /// 200, 401 or 403; 500 where the API server cannot be asked.
    fn review(&self, proxy: &str, token: &str) -> u16 {
        if let Some((status, at)) = self.state.lock().known.get(token)
            && at.elapsed() < KEPT
        {
            return *status;
        }
        let status = match self.ask(proxy, token) {
            Ok(status) => status,
            // What it said last stands while it cannot be asked, as in a webhook's cache.
            Err(_) => self
                .state
                .lock()
                .known
                .get(token)
                .map_or(500, |known| known.0),
        };
        let known = (status, Instant::now());
        self.state.lock().known.insert(token.to_owned(), known);
        status
    }

    fn ask(&self, proxy: &str, token: &str) -> Result<u16, Failure> {
        if token.is_empty() {
            return Ok(401);
        }
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let reviewed = http::send(proxy, "POST", path, &review)?;
        if reviewed["status"]["authenticated"] != true {
            return Ok(401);
        }
        let user = &reviewed["status"]["user"];
        let access = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user["username"], "groups": user["groups"], "nonResourceAttributes": {"path": "/metrics", "verb": "get"}},
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let reviewed = http::send(proxy, "POST", path, &access)?;
        Ok(match reviewed["status"]["allowed"] == true {
            true => 200,
            false => 403,
        })
    }
}
