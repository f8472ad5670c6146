//! Requests that bring samples: how many are held and decoded at a time, and how long their bodies may take.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::reply::reply;

/// Requests whose bodies are held at a time: the bound of what senders can make us hold.
const BODIES_AT_ONCE_MAX: usize = 16;

/// How long a body may take to arrive, so that slow senders do not keep the others out.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// Places for requests of one protocol.
pub(crate) struct Places {
    bodies: Semaphore,
    writes: Arc<Semaphore>,
}

impl Places {
    /// So many requests are decoded at a time; others wait.
    pub(crate) fn new(writes_at_once_max: usize) -> Places {
        Places {
            bodies: Semaphore::new(BODIES_AT_ONCE_MAX),
            writes: Arc::new(Semaphore::new(writes_at_once_max)),
        }
    }

    /// Reads a body of at most so many bytes and gives it to `work`, on a thread that may block.
    pub(crate) async fn take(
        &self,
        body: Body,
        bytes_max: usize,
        work: impl FnOnce(Bytes) -> Response<Body> + Send + 'static,
    ) -> Response<Body> {
        let closing = || text(StatusCode::SERVICE_UNAVAILABLE, "shutting down");
        let Ok(_body_place) = self.bodies.acquire().await else {
            return closing();
        };
        let packed = match tokio::time::timeout(BODY_WAIT, to_bytes(body, bytes_max)).await {
            Ok(Ok(packed)) => packed,
            Ok(Err(error)) => {
                let why = format!(
                    "the body could not be read; at most {bytes_max} bytes are taken: {error}"
                );
                return text(StatusCode::PAYLOAD_TOO_LARGE, &why);
            }
            Err(_) => {
                let why = format!("the body took longer than {} s", BODY_WAIT.as_secs());
                return text(StatusCode::REQUEST_TIMEOUT, &why);
            }
        };
        let Ok(place) = Arc::clone(&self.writes).acquire_owned().await else {
            return closing();
        };
        let work = move || {
            let _place = place; // freed when the work ends, not when its client goes
            work(packed)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "writing failed; a part may have been taken",
            )
        })
    }
}

/// An answer in words.
pub(crate) fn text(status: StatusCode, why: &str) -> Response<Body> {
    reply(status, "text/plain; charset=utf-8", format!("{why}\n"))
}
