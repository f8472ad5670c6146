//! What a call is answered: it ends at its deadline, or for others, with the status that says so.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use super::Call;

/// A deadline that is further away is none.
const DEADLINE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The answer of a call. It ends at its deadline, or for others, before there is an answer as well: no connection may end because
/// a handler takes its time.
pub(in crate::serve::keda) async fn answered(
    call: Call,
    deadline: Option<Instant>,
    answering: impl Future<Output = Response<Body>>,
) -> Response<Answer> {
    let late = async {
        match deadline {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    let refused = |status: Status| {
        let refused: Response<Body> = status.into_http();
        refused.map(|body| Answer::new(body, None, None))
    };
    tokio::select! {
        biased;
        () = poll_fn(|context| call.ending.poll(context)) => refused(too_many()),
        answer = answering => answer.map(|body| Answer::new(body, Some(call), deadline)),
        () = late => refused(too_late()),
    }
}

/// When the client wants no answer any more: `grpc-timeout`, at most eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub(in crate::serve::keda) fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(Instant::now() + timeout.min(DEADLINE_MAX))
}

/// Said to whoever has too many calls.
pub(in crate::serve::keda) fn too_many() -> Status {
    Status::resource_exhausted(
        "there are too many streams and calls under way from this address, or in all; end some, or come later",
    )
}

/// Said where `grpc-timeout` has passed.
fn too_late() -> Status {
    Status::deadline_exceeded("the time that the client gave has passed (grpc-timeout)")
}

/// The body of an answer, which is a call until it has ended, and ends at its deadline, or for others.
pub(in crate::serve::keda) struct Answer {
    body: Body,
    call: Option<Call>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Before its end.
    has_ended: bool,
}

impl Answer {
    pub(in crate::serve::keda) fn new(
        body: Body,
        call: Option<Call>,
        deadline: Option<Instant>,
    ) -> Answer {
        let deadline = deadline.filter(|_| !body.is_end_stream());
        Answer {
            body,
            call,
            deadline: deadline.map(|at| Box::pin(sleep_until(at))),
            has_ended: false,
        }
    }

    /// Why it ends before its end, if it does.
    fn ends(&mut self, context: &mut Context<'_>) -> Option<Status> {
        if let Some(call) = &self.call
            && call.ending.poll(context).is_ready()
        {
            return Some(too_many());
        }
        let late = self.deadline.as_mut()?;
        let is_late = late.as_mut().poll(context).is_ready();
        is_late.then(too_late)
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Some(status) = self.ends(context) {
            self.has_ended = true;
            self.body = Body::empty();
            self.call = None;
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers).ok(); // its text is ASCII
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.deadline, &self.call) {
            (None, None) => self.body.size_hint(),
            _ => SizeHint::default(), // it may end before
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::address;
    use super::super::{Calls, UNREAD_MAX};
    use super::*;

    #[tokio::test]
    async fn an_answer_ends_for_others_with_the_status_of_it() {
        let calls = Calls::default();
        let peer = calls.connected(address(1));
        let open = futures_util::stream::pending::<Result<Bytes, axum::Error>>();
        let mut answer = Answer::new(Body::from_stream(open), peer.call(), None);
        let read = tokio::spawn(async move {
            poll_fn(|context| Pin::new(&mut answer).poll_frame(context)).await
        });
        tokio::task::yield_now().await;
        let ending = Arc::clone(&calls.0.lock().peers[&peer.address].calls[&0]);
        ending.come(0);
        let frame = read.await.expect("no panic").expect("one");
        let trailers = frame.expect("no error").into_trailers().expect("trailers");
        assert_eq!(trailers.get("grpc-status").expect("a status"), "8");
    }

    /// A call that waited for its turn counted as one that its client does not read, and KEDA's connection ended with all streams.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_ended_while_its_handler_works_is_answered_at_once() {
        let calls = Calls::default();
        let peer = calls.connected(address(1));
        let call = peer.call().expect("there is room");
        call.ending.come(0);
        let answer = answered(call, None, std::future::pending()).await;
        assert_eq!(answer.headers().get("grpc-status").expect("a status"), "8");
        let silent = tokio::time::timeout(10 * UNREAD_MAX, peer.does_not_read()).await;
        assert!(silent.is_err(), "nothing is unread");
        let call = peer.call().expect("there is room");
        let answer = answered(call, Some(Instant::now()), std::future::pending()).await;
        assert_eq!(answer.headers().get("grpc-status").expect("a status"), "4");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_at_its_deadline_with_the_status_of_it() {
        let mut headers = HeaderMap::new();
        for (text, expected) in [
            ("1m", Some(Duration::from_millis(1))),
            ("20S", Some(Duration::from_secs(20))),
            ("99999999H", Some(DEADLINE_MAX)),
            ("123456789m", None),
            ("m", None),
            ("-1S", None),
            ("1x", None),
            ("", None),
        ] {
            headers.insert("grpc-timeout", text.parse().expect("a value"));
            let expected = expected.map(|after| Instant::now() + after);
            assert_eq!(
                deadline(&headers),
                expected.filter(|_| text != "m"),
                "{text}"
            );
        }
        headers.insert("grpc-timeout", "100m".parse().expect("a value"));
        let calls = Calls::default();
        let call = calls.connected(address(1)).call();
        let open = futures_util::stream::pending::<Result<Bytes, axum::Error>>();
        let body = Body::from_stream(open);
        let mut answer = Answer::new(body, call, deadline(&headers));
        assert_eq!(calls.0.lock().open, 1);
        let began = Instant::now();
        let frame = poll_fn(|context| Pin::new(&mut answer).poll_frame(context)).await;
        assert_eq!(began.elapsed().as_millis(), 100);
        let trailers = frame.expect("one").expect("no error").into_trailers();
        let trailers = trailers.expect("trailers");
        assert_eq!(trailers.get("grpc-status").expect("a status"), "4");
        assert!(answer.is_end_stream());
        assert_eq!(calls.0.lock().open, 0);
    }
}
