//! HTTP/2 over one connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{Request, Response, Uri, uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::body::Body;
use tower_service::Service;

use super::client::Client;

/// Streams that a client expects to be allowed; hyper assumes 100 until the server has said what it allows.
const STREAMS_EXPECTED: usize = 20_000;

/// One connection; cheap to clone, calls share it.
#[derive(Clone)]
pub struct Transport(SendRequest<Body>);

/// Connects without TLS.
pub async fn connect(address: SocketAddr) -> io::Result<Client<Transport>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    over(stream).await
}

/// A client over a connection of any kind.
pub async fn over<S>(stream: S) -> io::Result<Client<Transport>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_max_send_streams(STREAMS_EXPECTED)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection); // it ends with its last sender, or with the server
    Ok(Client::new(Transport(sender)))
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let mut target = uri::Parts::default();
        target.scheme = Some(uri::Scheme::HTTP);
        target.authority = Some(uri::Authority::from_static("stillwell"));
        target.path_and_query = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from_parts(target).unwrap_or(parts.uri); // all three are there
        Box::pin(self.0.send_request(Request::from_parts(parts, body)))
    }
}
