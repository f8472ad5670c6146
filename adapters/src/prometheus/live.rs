//! `/api/v1/notifications` and their stream of Server-Sent Events.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::host::Host;
use crate::reply::{JSON, reply};

pub(super) fn notifications(host: &dyn Host) -> String {
    let list = host.notifications().map(|all| all.list());
    let list = list.unwrap_or_else(|| "[]".to_owned());
    format!("{{\"status\":\"success\",\"data\":{list}}}")
}

/// The messages in force, and every change until the client goes. No content: there are too many streams.
pub(super) fn stream(host: &dyn Host) -> Response<Body> {
    let Some(mut subscription) = host.notifications().and_then(|all| all.subscribe()) else {
        return reply(StatusCode::NO_CONTENT, JSON, String::new());
    };
    // One event waits: what a slow client misses is in the next one.
    let (send, events) = tokio::sync::mpsc::channel::<String>(1);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = subscription.next() => event,
                () = send.closed() => return,
            };
            let Some(event) = event else { return };
            if !event.is_empty() && send.send(event).await.is_err() {
                return;
            }
        }
    });
    let events = ReceiverStream::new(events)
        .map(|event| Ok::<_, std::convert::Infallible>(Bytes::from(event)));
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
