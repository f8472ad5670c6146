//! The stand-in's state, the loopback server that shows its page, and what can be made to happen to it from the console: an
//! outage, a restart, a wake from zero.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Request, Response, StatusCode, header};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use stillwell_adapters::reply::{JSON, reply};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::day::Day;
use super::gateway;

/// How long the gateway gives no answer.
const OUTAGE: Duration = Duration::from_secs(10);
/// How long its process takes to come back.
const RESTART: Duration = Duration::from_secs(2);
/// What can be made to happen: a name for the address, and what the button says.
const TRIGGERS: [(&str, &str); 3] = [
    ("outage", "Let the gateway fall silent for 10 s"),
    ("restart", "Restart the gateway"),
    ("wake", "Begin the day again: the pool wakes from zero"),
];

/// The gateway and its pool.
pub(super) struct Stage {
    /// Held for a page.
    state: Mutex<State>,
}

struct State {
    day: Day,
    /// When the day began.
    dawn: Instant,
    /// When the gateway's process began, in seconds since the epoch.
    process_start_s: f64,
    silent_until: Option<Instant>,
}

impl Stage {
    /// A day that begins now, of a process that starts at `now_s`.
    pub(super) fn new(now_s: f64) -> Arc<Stage> {
        Arc::new(Stage {
            state: Mutex::new(State {
                day: Day::default(),
                dawn: Instant::now(),
                process_start_s: now_s,
                silent_until: None,
            }),
        })
    }

    /// The page of this moment; `None` while the gateway is silent.
    pub(super) fn page(&self) -> Option<String> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let elapsed_s = now.duration_since(state.dawn).as_secs_f64();
        state.day.advance_to(elapsed_s); // the pool goes on, whoever watches it
        match state.silent_until {
            Some(until) if now < until => None,
            _ => Some(gateway::page(&state.day, state.process_start_s)),
        }
    }

    /// Makes something happen; false where nothing has this name. `now_s` is the wall clock.
    fn trigger(&self, name: &str, now_s: f64) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        match name {
            "outage" => state.silent_until = Some(now + OUTAGE),
            "restart" => {
                state.silent_until = Some(now + RESTART);
                state.process_start_s = now_s + RESTART.as_secs_f64();
                state.day.forget();
            }
            "wake" => {
                state.dawn = now;
                state.day.begin_again();
            }
            _ => return false,
        }
        true
    }

    /// `GET /demo` tells what there is; `POST /demo/NAME` makes it happen.
    pub(super) fn router(self: Arc<Stage>, now_s: fn() -> f64) -> Router {
        let list = || async {
            let items = TRIGGERS
                .map(|(name, says)| serde_json::json!({"name": name, "text": says}).to_string());
            let body = format!("{{\"triggers\":[{}]}}", items.join(","));
            reply(StatusCode::OK, JSON, body)
        };
        let trigger = move |Path(name): Path<String>| async move {
            let found = self.trigger(&name, now_s());
            triggered(&name, found)
        };
        Router::new()
            .route("/demo", get(list))
            .route("/demo/{name}", post(trigger))
    }
}

/// Serves pages of the stage until its runtime ends. While the gateway is silent, connections end without an answer.
pub(super) async fn serve(listener: TcpListener, stage: Arc<Stage>) {
    loop {
        // A connection that cannot be accepted is the scraper's to retry.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let stage = Arc::clone(&stage);
        let service = service_fn(move |_: Request<Incoming>| {
            let page = stage.page();
            async move {
                let page = page.ok_or_else(|| std::io::Error::other("silent"))?;
                Ok::<Response<Body>, std::io::Error>(reply(
                    StatusCode::OK,
                    "text/plain; version=0.0.4",
                    page,
                ))
            }
        });
        tokio::spawn(async move {
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

fn triggered(name: &str, found: bool) -> Response<Body> {
    let mut response = match found {
        true => reply(StatusCode::OK, JSON, "{\"status\":\"success\"}".to_owned()),
        false => {
            let names = TRIGGERS.map(|(name, _)| name).join(", ");
            let why = format!("there is no {name:?}; there are {names}\n");
            reply(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", why)
        }
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_of(page: &str) -> &str {
        let line = page
            .lines()
            .find(|line| line.starts_with("process_start_time_seconds "));
        line.expect("it is told")
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_silence_and_a_restart_is_another_process() {
        let stage = Stage::new(1_000.0);
        let before = stage.page().expect("a page");
        assert!(stage.trigger("outage", 1_000.0) && stage.page().is_none());
        tokio::time::advance(OUTAGE).await;
        let after = stage.page().expect("it is back");
        assert_eq!(start_of(&before), start_of(&after), "the same process");
        assert!(stage.trigger("restart", 1_010.0) && stage.page().is_none());
        tokio::time::advance(RESTART).await;
        assert_eq!(
            start_of(&stage.page().expect("it is back")),
            "process_start_time_seconds 1012"
        );
        assert!(!stage.trigger("party", 1_020.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_begins_at_zero_and_counters_go_on() {
        let stage = Stage::new(0.0);
        tokio::time::advance(Duration::from_secs(30)).await;
        stage.page();
        let arrived = stage.state.lock().day.arrived;
        assert!(arrived > 100.0 && stage.trigger("wake", 0.0));
        stage.page();
        let state = stage.state.lock();
        assert_eq!((state.day.queue(), state.day.replicas), (0, 0.0));
        assert_eq!(state.day.arrived, arrived);
    }
}
