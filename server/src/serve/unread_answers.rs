//! Answers that nobody has read yet hold memory until they are written. Those of all connections together have a bound; where it
//! is reached, answers of which nothing was taken for some seconds give way, and without such the newest is refused. Scalers'
//! answers and small ones are not counted: places for connections bound them.

use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{Response, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bytes of answers that wait to be read.
const UNREAD_BYTES_MAX: usize = 32 << 20;
/// Smaller ones do not count: with one on each connection they hold as much.
const COUNTED_BYTES_MIN: u64 = 64 << 10;
/// What permits count.
const UNIT_BYTES: usize = 1 << 10;
/// As much is handed on at a time.
const PIECE_BYTES: usize = 64 << 10;
/// An answer of which nothing was taken for so long gives way to others: whoever reads takes a piece within that, over a slow
/// line as well.
const STALLED: Duration = Duration::from_secs(5);

/// One bound for all listeners of the process.
static UNREAD: LazyLock<UnreadAnswers> = LazyLock::new(UnreadAnswers::default);

/// Answers that wait to be read.
struct UnreadAnswers {
    room: Arc<Semaphore>,
    /// Held for a look at each of them, of which a connection has one.
    answers: Mutex<Vec<Weak<Mutex<Unread>>>>,
}

/// What was not taken yet of an answer.
struct Unread {
    /// `None`: it has given way.
    rest: Option<Bytes>,
    /// For the whole answer: as long as anything is left of it, all of its memory is held.
    permit: OwnedSemaphorePermit,
    /// When something was taken last.
    taken: Instant,
}

/// A piece of an answer; the last one has the permits of the whole until it is written or given up.
struct Counted {
    bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of an answer, in pieces.
struct Pieces(Arc<Mutex<Unread>>);

/// Whether answers to this path are refused to nobody. Of what is below `/guarded` that is what a scaler asks: other answers there
/// are those of the ordinary endpoints.
pub(super) fn is_for_scalers(path: &str) -> bool {
    let of_guarded = path.strip_prefix("/guarded/");
    if let Some(rest) = of_guarded {
        return rest.trim_matches('/') == "api/v1/query";
    }
    ["/apis/", "/livez", "/readyz", "/healthz", "/-/"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// The answer, counted; or what says that there is no room for it. A stream is passed on: it is made as it is read.
pub(super) async fn counted(response: Response<Body>) -> Response<Body> {
    UNREAD.counted(response).await
}

impl Default for UnreadAnswers {
    fn default() -> UnreadAnswers {
        UnreadAnswers {
            room: Arc::new(Semaphore::new(UNREAD_BYTES_MAX / UNIT_BYTES)),
            answers: Mutex::default(),
        }
    }
}

impl UnreadAnswers {
    async fn counted(&self, response: Response<Body>) -> Response<Body> {
        let size = response.body().size_hint().exact();
        let Some(size) = size.filter(|size| *size >= COUNTED_BYTES_MIN) else {
            return response;
        };
        // One that is larger than all waits for nobody where nobody else waits.
        let units = (size as usize).min(UNREAD_BYTES_MAX).div_ceil(UNIT_BYTES);
        let Some(permit) = self.room_for(units) else {
            return refused();
        };
        let (parts, body) = response.into_parts();
        // It is there already: nothing is waited for, and one piece is not copied.
        let Ok(bytes) = to_bytes(body, usize::MAX).await else {
            return refused();
        };
        let unread = Arc::new(Mutex::new(Unread {
            rest: Some(bytes),
            permit,
            taken: Instant::now(),
        }));
        let mut answers = self.answers.lock();
        answers.retain(|one| one.strong_count() > 0);
        answers.push(Arc::downgrade(&unread));
        drop(answers);
        Response::from_parts(parts, Body::new(Pieces(unread)))
    }

    /// Room for so many units, after those that stand still the longest have given way.
    fn room_for(&self, units: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(units).ok()?;
        let take = || Arc::clone(&self.room).try_acquire_many_owned(units).ok();
        if let Some(permit) = take() {
            return Some(permit);
        }
        let now = Instant::now();
        let answers = self.answers.lock().clone();
        let mut stalled: Vec<(Instant, Arc<Mutex<Unread>>)> = answers
            .iter()
            .filter_map(|one| {
                let one = one.upgrade()?;
                let taken = one.lock().taken;
                (now - taken >= STALLED).then_some((taken, one))
            })
            .collect();
        stalled.sort_by_key(|(taken, _)| *taken);
        stalled.into_iter().find_map(|(_, one)| {
            one.lock().give_way();
            take()
        })
    }
}

impl Unread {
    fn give_way(&mut self) {
        self.rest = None;
        drop(self.all_permits());
    }

    fn all_permits(&mut self) -> Option<OwnedSemaphorePermit> {
        self.permit.split(self.permit.num_permits())
    }

    /// The next piece; `None` where it has given way. It is a copy: a part of the whole would keep all of it from being given up.
    fn take(&mut self) -> Option<Counted> {
        let rest = self.rest.as_mut()?;
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        let is_last = rest.is_empty();
        self.taken = Instant::now();
        Some(Counted {
            bytes: Bytes::copy_from_slice(&piece),
            _permit: is_last.then(|| self.all_permits()).flatten(),
        })
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut unread = self.0.lock();
        if unread.rest.as_ref().is_some_and(Bytes::is_empty) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match unread.take() {
            Some(piece) => Ok(Frame::data(Bytes::from_owner(piece))),
            None => Err(axum::Error::new("an answer that nobody read gave way")),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().rest.as_ref().is_some_and(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        let unread = self.0.lock();
        let rest = unread.rest.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(rest as u64)
    }
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
    use http_body_util::BodyExt as _;

    use super::*;

    fn answer(bytes: usize) -> Response<Body> {
        Response::new(Body::from(vec![b'x'; bytes]))
    }

    /// `/guarded/api/v1/series` was answered without a bound: 20 answers of 20 MB were held for who read none.
    #[test]
    fn below_guarded_what_scalers_ask_is_refused_to_nobody() {
        for (path, expected) in [
            ("/apis/external.metrics.k8s.io/v1beta1", true),
            ("/guarded/api/v1/query", true),
            ("/guarded//api/v1/query", true),
            ("/guarded/api/v1/query/", true),
            ("/guarded/api/v1/series", false),
            ("/guarded/api/v1/targets", false),
            ("/api/v1/query", false),
            ("/-/healthy", true),
        ] {
            assert_eq!(is_for_scalers(path), expected, "{path}");
        }
    }

    /// 200 clients that read one byte a second held 1.2 GB.
    #[tokio::test]
    async fn answers_that_nobody_reads_have_a_bound() {
        let unread = UnreadAnswers::default();
        let mut held = Vec::new();
        for _ in 0..10 {
            held.push(unread.counted(answer(5 << 20)).await);
        }
        let fits = held
            .iter()
            .filter(|one| one.status() == StatusCode::OK)
            .count();
        assert_eq!(fits, 6);
        assert_eq!(held[9].status(), StatusCode::SERVICE_UNAVAILABLE);
        // Small ones, and what is there again after others were read, are answered.
        assert_eq!(unread.counted(answer(1000)).await.status(), StatusCode::OK);
        let mut body = held.swap_remove(0).into_body();
        let mut last = Bytes::new();
        for _ in 0..(5 << 20) / PIECE_BYTES {
            // An answer of which all but the last piece was read holds all of its memory.
            let still = unread.counted(answer(7 << 20)).await;
            assert_eq!(still.status(), StatusCode::SERVICE_UNAVAILABLE);
            let piece = body.frame().await.expect("a piece").expect("it is there");
            last = piece.into_data().expect("data");
        }
        assert!(body.frame().await.is_none(), "it was the last one");
        // What was handed on counts until it is written.
        let still = unread.counted(answer(7 << 20)).await;
        assert_eq!(still.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop((last, still));
        assert_eq!(
            unread.counted(answer(7 << 20)).await.status(),
            StatusCode::OK
        );
    }

    /// 150 clients that read a byte a second kept everybody else's answers out for as long as they liked.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stands_still_gives_way_and_one_that_is_read_does_not() {
        let unread = UnreadAnswers::default();
        let mut silent = unread.counted(answer(20 << 20)).await.into_body();
        let mut slow = unread.counted(answer(10 << 20)).await.into_body();
        let mut of_slow = 0;
        for _ in 0..2 {
            let refused = unread.counted(answer(3 << 20)).await;
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
            tokio::time::advance(STALLED / 2).await;
            let piece = slow.frame().await.expect("more").expect("it is there");
            of_slow += piece.into_data().expect("data").len();
        }
        let taken = unread.counted(answer(3 << 20)).await;
        assert_eq!(taken.status(), StatusCode::OK);
        assert!(!silent.is_end_stream(), "it is not whole");
        assert!(silent.frame().await.is_some_and(|piece| piece.is_err()));
        let rest = to_bytes(slow, usize::MAX).await.expect("it is there");
        assert_eq!(of_slow + rest.len(), 10 << 20);
    }
}
