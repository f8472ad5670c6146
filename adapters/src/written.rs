//! Bodies of requests: how many are held and, where they bring samples, decoded at a time, and how long they may take.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{Request, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::client::address_of;
use crate::fair_room::{FairRoom, RoomPermit};
use crate::reply::reply;
use crate::waiting::Allowance;

/// What a sender may send before its request needs a place: most requests are whole by then, and who sends slowly waits
/// outside. Listeners bound how many there are.
const WITHOUT_PLACE_BYTES_MAX: usize = 64 << 10;

/// Of the memory limit, this part is what one request may take once it is decoded, within these bounds; the bodies of all
/// together may take as much.
const REQUEST_PART: u64 = 8;
const REQUEST_BYTES_MIN: u64 = 16 << 20;
const REQUEST_BYTES_MAX: u64 = 64 << 20;

/// Below this memory limit one request is decoded at a time.
const ONE_BY_ONE_BYTES: u64 = 512 << 20;
/// Requests decoded at a time above it.
const WRITES_AT_ONCE_MAX: usize = 4;

/// In what bodies are counted.
const KIB: usize = 1 << 10;

/// How long a body may take to arrive; one without a place, for which nobody waits, as long as one that is alone.
const BODY_ALLOWANCE: Allowance = Allowance {
    alone: Duration::from_secs(10),
    beside_others: Duration::from_secs(1),
};

/// For requests of all protocols.
pub(crate) struct BodySlots {
    /// Of bodies, in KiB.
    bodies: FairRoom,
    body_bytes_max: usize,
    writes: Arc<Semaphore>,
    writes_max: usize,
    request_bytes_max: usize,
}

/// Why a body is not taken.
enum Refused {
    /// It is larger than this, or its connection ended.
    Unreadable(String),
    /// It took too long.
    Slow(Duration),
    ShuttingDown,
}

impl BodySlots {
    /// For a server with this memory limit: what requests take is not counted as held, so the smaller it is the less they may
    /// take.
    pub(crate) fn new(memory_bytes_max: u64) -> BodySlots {
        let request = (memory_bytes_max / REQUEST_PART).clamp(REQUEST_BYTES_MIN, REQUEST_BYTES_MAX);
        let request_bytes_max = usize::try_from(request).unwrap_or(usize::MAX);
        let writes_max = match memory_bytes_max < ONE_BY_ONE_BYTES {
            true => 1,
            false => WRITES_AT_ONCE_MAX,
        };
        BodySlots {
            bodies: FairRoom::new(request_bytes_max / KIB),
            body_bytes_max: request_bytes_max,
            writes: Arc::new(Semaphore::new(writes_max)),
            writes_max,
            request_bytes_max,
        }
    }

    /// Bytes that one request may take in memory once it is decoded.
    pub(crate) fn request_bytes_max(&self) -> usize {
        self.request_bytes_max
    }

    /// For requests that only ask for something: their bodies take so many bytes together.
    pub(crate) fn of_bodies(bytes_max: usize) -> BodySlots {
        BodySlots {
            bodies: FairRoom::new(bytes_max / KIB),
            body_bytes_max: bytes_max,
            ..BodySlots::new(0)
        }
    }

    /// Reads a request's body of at most so many bytes and gives it to `work`, on a thread that may block; of such works, `share` fill the
    /// places of decoding.
    pub(crate) async fn take(
        &self,
        request: Request<Body>,
        (bytes_max, share): (usize, usize),
        work: impl FnOnce(Bytes) -> Response<Body> + Send + 'static,
    ) -> Response<Body> {
        let (packed, body_place) = match self.body(request, bytes_max).await {
            Ok(whole) => whole,
            Err(refused) => return refused,
        };
        let permits = (self.writes_max / share).max(1) as u32; // at most WRITES_AT_ONCE_MAX
        let writes = Arc::clone(&self.writes);
        let Ok(place) = writes.acquire_many_owned(permits).await else {
            return Refused::ShuttingDown.answer(bytes_max);
        };
        let work = move || {
            let _place = place; // freed when the work ends, not when its client goes
            work(packed)
        };
        let answer = tokio::task::spawn_blocking(work).await;
        drop(body_place);
        answer.unwrap_or_else(|_| {
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "writing failed; a part may have been taken",
            )
        })
    }

    /// Reads a request's body of at most so many bytes, with the place that it takes among others where it is large or comes slowly. The
    /// error is the answer to it.
    pub(crate) async fn body(
        &self,
        request: Request<Body>,
        bytes_max: usize,
    ) -> Result<(Bytes, Option<RoomPermit>), Response<Body>> {
        let address = address_of(&request);
        let mut body = request.into_body();
        let mut packed = BytesMut::new();
        let first_max = WITHOUT_PLACE_BYTES_MAX.min(bytes_max);
        let mut place = None;
        let mut whole = read(&mut body, &mut packed, first_max, || false).await;
        if matches!(whole, Ok(false)) && packed.len() <= bytes_max {
            // All that it may need: two that each had half of it would wait for one another.
            let most = body
                .size_hint()
                .upper()
                .and_then(|left| usize::try_from(left).ok());
            let most = most.map_or(bytes_max, |left| left.saturating_add(packed.len()));
            let most = most.min(bytes_max).min(self.body_bytes_max);
            let units = most.div_ceil(KIB).min(self.body_bytes_max / KIB);
            let Some(taken) = self.bodies.take(address, units).await else {
                return Err(Refused::ShuttingDown.answer(bytes_max));
            };
            place = Some(taken);
            let others_wait = || self.bodies.is_awaited();
            whole = read(&mut body, &mut packed, bytes_max, others_wait).await;
        }
        match whole {
            Ok(true) => Ok((packed.freeze(), place)),
            Ok(false) => Err(Refused::Unreadable("it is larger".to_owned()).answer(bytes_max)),
            Err(refused) => Err(refused.answer(bytes_max)),
        }
    }
}

impl Refused {
    fn answer(self, bytes_max: usize) -> Response<Body> {
        match self {
            Refused::Unreadable(why) => {
                let why = format!(
                    "the body could not be read; at most {bytes_max} bytes are taken: {why}"
                );
                text(StatusCode::PAYLOAD_TOO_LARGE, &why)
            }
            Refused::Slow(wait) => {
                let why = format!("the body took longer than {} s", wait.as_secs());
                text(StatusCode::REQUEST_TIMEOUT, &why)
            }
            Refused::ShuttingDown => text(StatusCode::SERVICE_UNAVAILABLE, "shutting down"),
        }
    }
}

/// Reads on until there are more than `bytes_max` bytes, which is `false`, or the body ends, which is `true`, for as long as
/// [`BODY_ALLOWANCE`] says.
async fn read(
    body: &mut Body,
    into: &mut BytesMut,
    bytes_max: usize,
    others_wait: impl Fn() -> bool,
) -> Result<bool, Refused> {
    let began = Instant::now();
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let frame = BODY_ALLOWANCE.wait(began, &others_wait, frame).await;
        let frame = match frame.map_err(Refused::Slow)? {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(Refused::Unreadable(error.to_string())),
            None => return Ok(true),
        };
        if let Ok(data) = frame.into_data() {
            into.extend_from_slice(&data);
        }
        if into.len() > bytes_max {
            return Ok(false);
        }
    }
}

/// An answer in words.
pub(crate) fn text(status: StatusCode, why: &str) -> Response<Body> {
    reply(status, "text/plain; charset=utf-8", format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::client::ClientAddress;

    /// A body of so many bytes that never ends.
    fn silent(bytes: usize) -> Body {
        let sent = tokio_stream::iter([Ok::<_, Infallible>(vec![0; bytes])]);
        Body::from_stream(sent.chain(tokio_stream::pending()))
    }

    /// A request from a host of this number.
    fn from(host: u8, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        let address = ClientAddress::of([10, 0, 0, host], None);
        request.extensions_mut().insert(address);
        request
    }

    async fn written(slots: &BodySlots, bytes: usize) -> StatusCode {
        let taken = |body: Bytes| text(StatusCode::OK, &body.len().to_string());
        let body = Body::from(vec![0; bytes]);
        slots
            .take(from(1, body), (1 << 20, 4), taken)
            .await
            .status()
    }

    /// 48 writers that sent a byte a second kept others out for eleven seconds.
    #[tokio::test]
    async fn writers_that_send_little_keep_nobody_out() {
        let slots = Arc::new(BodySlots::new(64 << 20));
        for _ in 0..48 {
            let slots = Arc::clone(&slots);
            let ignored = |_| text(StatusCode::OK, "");
            tokio::spawn(
                async move { slots.take(from(2, silent(10)), (1 << 20, 4), ignored).await },
            );
        }
        tokio::task::yield_now().await;
        assert_eq!(written(&slots, 1_000).await, StatusCode::OK);
        assert_eq!(written(&slots, 200_000).await, StatusCode::OK);
    }

    /// 300 bodies that did not come kept everybody else's out for 74 seconds.
    #[tokio::test(start_paused = true)]
    async fn bodies_of_one_address_that_do_not_come_keep_others_for_a_second_at_most() {
        let slots = Arc::new(BodySlots::new(64 << 20));
        for _ in 0..300 {
            let slots = Arc::clone(&slots);
            tokio::spawn(async move {
                let read = slots.body(from(2, silent(70_000)), 16 << 20).await;
                read.map(|(bytes, _)| bytes.len()).ok()
            });
        }
        tokio::task::yield_now().await;
        let began = Instant::now();
        let body = Body::from_stream(tokio_stream::iter(
            [vec![0; 100_000], vec![0; 100_000]].map(Ok::<_, Infallible>),
        ));
        let read = slots.body(from(1, body), 1 << 20).await;
        assert_eq!(read.expect("it is whole").0.len(), 200_000);
        assert!(began.elapsed() <= BODY_ALLOWANCE.beside_others);
    }

    #[tokio::test]
    async fn bodies_that_are_too_large_are_refused_with_and_without_a_place() {
        let slots = BodySlots::new(64 << 20);
        assert_eq!(
            written(&slots, (1 << 20) + 1).await,
            StatusCode::PAYLOAD_TOO_LARGE
        );
        let small = slots.take(from(1, Body::from(vec![0; 11])), (10, 4), |_| {
            text(StatusCode::OK, "")
        });
        assert_eq!(small.await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    /// Sixteen bodies of 16 MiB were held at a time, under whatever memory limit.
    #[tokio::test]
    async fn bodies_of_all_requests_take_a_part_of_the_memory_limit() {
        let slots = Arc::new(BodySlots::new(64 << 20));
        assert_eq!(slots.request_bytes_max(), 16 << 20);
        assert_eq!(BodySlots::new(4 << 30).request_bytes_max(), 64 << 20);
        let ignored = |_| text(StatusCode::OK, "");
        // One that may have 16 MiB and sends some of it keeps all others that need a place waiting.
        let first = Arc::clone(&slots);
        tokio::spawn(async move {
            first
                .take(from(1, silent(200_000)), (16 << 20, 4), ignored)
                .await
        });
        let second = Arc::clone(&slots);
        tokio::spawn(async move {
            second
                .take(from(2, silent(200_000)), (1 << 20, 4), ignored)
                .await
        });
        while !slots.bodies.is_awaited() {
            tokio::task::yield_now().await;
        }
    }
}
