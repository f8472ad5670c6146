//! Answers of the API server have a size at most: it may be an impostor, or broken, and a client reads to the end whatever it
//! is sent. Of a watch, which is read for hours, each line has one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use axum::http::{Method, Request, Response, Uri};
use http_body_util::{Either, LengthLimitError, Limited};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// A review answers with a user, which has 32 KiB at most here, and repeats the question.
const REVIEW_BYTES_MAX: usize = 1 << 20;
/// A page of a list has 500 objects; pods have some 10 to 50 KiB, and 1.5 MiB at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A line of a watch has one object.
const LINE_BYTES_MAX: usize = 4 << 20;

/// A client whose answers have a size at most, for the namespace where none is given.
pub(crate) fn bounded(client: Client, namespace: String) -> Client {
    Client::new(Bounded(client), namespace)
}

/// Asks through a client.
struct Bounded(Client);

impl Service<Request<Body>> for Bounded {
    type Response = Response<Either<Limited<Body>, LimitedLines>>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(())) // `send` waits until the client is
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        let bytes_max = bytes_max(request.method(), request.uri());
        Box::pin(async move {
            let answer = client.send(request).await?;
            Ok(answer.map(|body| match bytes_max {
                Some(bytes_max) => Either::Left(Limited::new(body, bytes_max)),
                None => Either::Right(LimitedLines {
                    body,
                    line_bytes: 0,
                }),
            }))
        })
    }
}

/// Whether this is what is said of an answer that is longer than it may be.
pub(super) fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The size of an answer; `None` for a watch.
fn bytes_max(method: &Method, uri: &Uri) -> Option<usize> {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    match *method {
        Method::POST if uri.path().ends_with("reviews") => Some(REVIEW_BYTES_MAX),
        Method::GET if parameters.any(|one| matches!(one, "watch=true" | "watch=1")) => None,
        _ => Some(ANSWER_BYTES_MAX),
    }
}

/// A body that fails with a line longer than [`LINE_BYTES_MAX`].
pub(super) struct LimitedLines {
    body: Body,
    /// Bytes of the line under way.
    line_bytes: usize,
}

impl HttpBody for LimitedLines {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame.map(|failed| failed.map_err(BoxError::from)));
        };
        if let Some(data) = frame.data_ref() {
            this.line_bytes = line_bytes_after(this.line_bytes, data);
            if this.line_bytes > LINE_BYTES_MAX {
                let why = format!("a line of a watch is longer than {LINE_BYTES_MAX} bytes");
                return Poll::Ready(Some(Err(why.into())));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// Bytes of the line under way behind more data; the longest one within the data counts where that is longer.
fn line_bytes_after(before: usize, data: &[u8]) -> usize {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = before + lines.next().map_or(0, <[u8]>::len);
    if first > LINE_BYTES_MAX {
        return first;
    }
    lines.next_back().map_or(first, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_long_says_so_and_is_told_from_what_fails_otherwise() {
        use http_body_util::BodyExt as _;

        let long = Limited::new(Body::from(vec![b' '; 11]), 10);
        let error = long.collect().await.expect_err("too long");
        let error = kube::Error::Service(Box::new(kube::Error::Service(error)));
        assert!(is_too_long(&error));
        let refused = std::io::Error::other("connection refused");
        assert!(!is_too_long(&kube::Error::Service(Box::new(refused))));
    }

    #[test]
    fn all_answers_but_watches_have_a_size_at_most() {
        for (method, uri, expected) in [
            (
                Method::POST,
                "/apis/authentication.k8s.io/v1/tokenreviews?",
                Some(REVIEW_BYTES_MAX),
            ),
            (
                Method::POST,
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                Some(REVIEW_BYTES_MAX),
            ),
            (
                Method::GET,
                "/api/v1/pods?limit=500",
                Some(ANSWER_BYTES_MAX),
            ),
            (
                Method::GET,
                "/api/v1/pods?&watch=true&timeoutSeconds=290",
                None,
            ),
            (
                Method::PATCH,
                "/api/v1/x?watch=true",
                Some(ANSWER_BYTES_MAX),
            ),
        ] {
            let uri: Uri = uri.parse().expect("valid");
            assert_eq!(bytes_max(&method, &uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn lines_of_a_watch_have_a_length_at_most() {
        let mut bytes = 0;
        for (data, expected) in [("a", 1), ("bc\n", 0), ("\n\nabc", 3), ("d\ne\nfg", 2)] {
            bytes = line_bytes_after(bytes, data.as_bytes());
            assert_eq!(bytes, expected, "{data:?}");
        }
        let long = vec![b' '; LINE_BYTES_MAX - 2];
        assert_eq!(line_bytes_after(bytes, &long), LINE_BYTES_MAX);
        assert!(line_bytes_after(bytes + 1, &long) > LINE_BYTES_MAX);
    }
}
