//! Answers of the API server have a size at most: it may be an impostor, or broken, and a client reads to the end whatever it
//! is sent. Watches have none, which are read line by line for hours.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{Method, Request, Response, Uri};
use http_body_util::Limited;
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// A review answers with a user, which has 32 KiB at most here, and repeats the question.
const REVIEW_BYTES_MAX: usize = 1 << 20;
/// A page of a list has 500 objects; pods have some 10 to 50 KiB, and 1.5 MiB at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Asks through a client.
pub(super) struct Bounded(pub(super) Client);

impl Service<Request<Body>> for Bounded {
    type Response = Response<Limited<Body>>;
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
            Ok(answer.map(|body| Limited::new(body, bytes_max)))
        })
    }
}

fn bytes_max(method: &Method, uri: &Uri) -> usize {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    match method {
        &Method::POST if uri.path().ends_with("reviews") => REVIEW_BYTES_MAX,
        &Method::GET if parameters.any(|one| matches!(one, "watch=true" | "watch=1")) => usize::MAX,
        _ => ANSWER_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_answers_but_watches_have_a_size_at_most() {
        for (method, uri, expected) in [
            (Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews?", REVIEW_BYTES_MAX),
            (
                Method::POST,
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                REVIEW_BYTES_MAX,
            ),
            (Method::GET, "/api/v1/pods?limit=500", ANSWER_BYTES_MAX),
            (Method::GET, "/api/v1/pods?&watch=true&timeoutSeconds=290", usize::MAX),
            (Method::PATCH, "/api/v1/x?watch=true", ANSWER_BYTES_MAX),
        ] {
            let uri: Uri = uri.parse().expect("valid");
            assert_eq!(bytes_max(&method, &uri), expected, "{method} {uri}");
        }
    }
}
