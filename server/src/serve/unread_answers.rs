//! Answers that nobody has read yet hold memory until they are written. Those of all connections together have a bound; the
//! newest is refused. Scalers' answers and small ones are not counted: places for connections bound them.

use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{Response, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of answers that wait to be read.
const UNREAD_BYTES_MAX: usize = 32 << 20;
/// Smaller ones do not count: with one on each connection they hold as much.
const COUNTED_BYTES_MIN: u64 = 64 << 10;
/// What permits count.
const UNIT_BYTES: usize = 1 << 10;

/// One bound for all listeners of the process.
static UNREAD: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(UNREAD_BYTES_MAX / UNIT_BYTES)));

/// Bytes of an answer with the permits that they hold until the last of them is written or given up.
struct Counted {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether answers to this path are refused to nobody.
pub(super) fn is_for_scalers(path: &str) -> bool {
    [
        "/apis/",
        "/guarded/",
        "/livez",
        "/readyz",
        "/healthz",
        "/-/",
    ]
    .iter()
    .any(|start| path.starts_with(start))
}

/// The answer, counted; or what says that there is no room for it. A stream is passed on: it is made as it is read.
pub(super) async fn counted(response: Response<Body>) -> Response<Body> {
    let size = response.body().size_hint().exact();
    let Some(size) = size.filter(|size| *size >= COUNTED_BYTES_MIN) else {
        return response;
    };
    // One that is larger than all waits for nobody where nobody else waits.
    let units = (size as usize).min(UNREAD_BYTES_MAX).div_ceil(UNIT_BYTES);
    let permit =
        u32::try_from(units).map(|units| Arc::clone(&UNREAD).try_acquire_many_owned(units));
    let Ok(Ok(permit)) = permit else {
        return refused();
    };
    let (parts, body) = response.into_parts();
    // It is there already: nothing is waited for, and one piece is not copied.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return refused();
    };
    let counted = Counted {
        bytes,
        _permit: permit,
    };
    Response::from_parts(parts, Body::from(Bytes::from_owner(counted)))
}

fn refused() -> Response<Body> {
    let why = format!(
        "answers that clients have not read yet hold all of the {} MiB that they may hold; ask again, or for less",
        UNREAD_BYTES_MAX >> 20
    );
    let json =
        format!("{{\"status\":\"error\",\"errorType\":\"unavailable\",\"error\":\"{why}\"}}");
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 clients that read one byte a second held 1.2 GB.
    #[tokio::test]
    async fn answers_that_nobody_reads_have_a_bound() {
        let answer = |bytes: usize| Response::new(Body::from(vec![b'x'; bytes]));
        let mut held = Vec::new();
        for _ in 0..10 {
            held.push(counted(answer(5 << 20)).await);
        }
        let fits = held
            .iter()
            .filter(|one| one.status() == StatusCode::OK)
            .count();
        assert_eq!(fits, 6);
        assert_eq!(held[9].status(), StatusCode::SERVICE_UNAVAILABLE);
        // Small ones, and what is there again after others were given up, are answered.
        assert_eq!(counted(answer(1000)).await.status(), StatusCode::OK);
        let body = held.swap_remove(0).into_body();
        let bytes = to_bytes(body, usize::MAX).await.expect("it is there");
        assert_eq!(bytes.len(), 5 << 20);
        let rest = bytes.slice(10..20);
        drop(bytes);
        let still = counted(answer(5 << 20)).await;
        assert_eq!(still.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(rest);
        assert_eq!(counted(answer(5 << 20)).await.status(), StatusCode::OK);
    }
}
