//! A connection to where a URL leads: the name resolved, through a proxy where one is configured, with TLS where the
//! scheme asks for it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::connection::Connection;
use super::error::HttpError;
use super::head::Head;
use super::proxy::Proxy;
use super::resolver::Resolver;
use super::stream::Stream;
use super::transport::Transport;
use super::url::{Scheme, Url};
use super::zone::without_zone;
use crate::config::Secret;

/// How long one address is waited for before the next is tried, too (Go's `Dialer.FallbackDelay`).
const NEXT_ADDRESS: Duration = Duration::from_millis(300);
/// Addresses of a host that are tried; who has 10,000 is tried no longer than others.
const ADDRESSES_MAX: usize = 8;
/// Bytes of a proxy's answer to CONNECT.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Connects to the server of `url`. There is no deadline here: it is the caller's.
pub async fn connect(
    url: &Url,
    transport: &Transport,
    resolver: &Resolver,
) -> Result<Connection<Stream>, HttpError> {
    let (host, port) = url.host_port().map_err(HttpError::Redirect)?;
    let proxy = transport.proxy.of(url)?;
    let mut tcp = match &proxy {
        Some(proxy) => {
            let (host, port) = proxy.url.host_port().map_err(HttpError::Redirect)?;
            let dialled = dial(host, port, resolver).await;
            dialled.map_err(|error| HttpError::Proxy(error.to_string()))?
        }
        None => dial(host, port, resolver).await?,
    };
    let stream = match url.scheme {
        Scheme::Http => Stream::Plain(tcp),
        Scheme::Https => {
            if let Some(proxy) = &proxy {
                tunnel(&mut tcp, (host, port), proxy, transport).await?;
            }
            let tls = transport.tls.handshake(&without_zone(host), tcp).await?;
            Stream::Tls(Box::new(tls))
        }
    };
    Ok(Connection::new(origin(url), stream))
}

/// What a connection is kept for.
pub(super) fn origin(url: &Url) -> String {
    format!("{}://{}", url.scheme.as_str(), url.authority)
}

/// The first lines of a request for `url`: through a proxy its target is the whole URL.
pub fn request_head(method: &str, url: &Url, transport: &Transport) -> Result<String, HttpError> {
    let (path, host) = (&url.path_and_query, without_zone(&url.authority));
    let proxy = match url.scheme {
        Scheme::Http => transport.proxy.of(url)?,
        Scheme::Https => None,
    };
    Ok(match proxy {
        None => format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n"),
        Some(proxy) => {
            let authorization = proxy.authorization.as_ref().map_or(String::new(), |value| {
                format!("proxy-authorization: {}\r\n", value.expose())
            });
            format!("{method} {url} HTTP/1.1\r\nhost: {host}\r\n{authorization}")
        }
    })
}

/// Connects to the first address of a host that answers. One that does not answer for [`NEXT_ADDRESS`] does not keep the next from
/// being tried beside it (RFC 8305).
async fn dial(host: &str, port: u16, resolver: &Resolver) -> Result<TcpStream, HttpError> {
    let addresses = resolver.addresses(host, port).await?;
    first_to_answer(host, addresses).await
}

async fn first_to_answer(host: &str, addresses: Vec<SocketAddr>) -> Result<TcpStream, HttpError> {
    let mut rest = addresses.into_iter().take(ADDRESSES_MAX);
    let attempt = async |address: SocketAddr| {
        let connected = TcpStream::connect(address).await;
        connected.map_err(|error| HttpError::Connect(address.to_string(), error))
    };
    let mut last = HttpError::Resolve(host.to_owned(), "no address".to_owned());
    let mut attempts: FuturesUnordered<_> = rest.next().map(attempt).into_iter().collect();
    loop {
        let ended = tokio::time::timeout(NEXT_ADDRESS, attempts.next()).await;
        match ended {
            Ok(Some(Ok(stream))) => {
                stream.set_nodelay(true).ok(); // a request is one small write; without it only latency suffers
                return Ok(stream);
            }
            Ok(Some(Err(error))) => last = error,
            Ok(None) => return Err(last),
            Err(_) => {}
        }
        attempts.extend(rest.next().map(attempt));
    }
}

/// Asks the proxy for a tunnel (RFC 9110, 9.3.6).
async fn tunnel(
    tcp: &mut TcpStream,
    (host, port): (&str, u16),
    proxy: &Proxy,
    transport: &Transport,
) -> Result<(), HttpError> {
    let whom = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let mut request = format!("CONNECT {whom} HTTP/1.1\r\nhost: {whom}\r\n");
    let mut line = |name: &str, value: &Secret| {
        request.push_str(&format!("{name}: {}\r\n", value.expose()));
    };
    if let Some(value) = &proxy.authorization {
        line("proxy-authorization", value);
    }
    for (name, value) in transport.proxy.connect_headers() {
        line(name, value);
    }
    request.push_str("\r\n");
    let broken = |error: std::io::Error| HttpError::Proxy(format!("asking for a tunnel: {error}"));
    tcp.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to the tunnel.
    while answer.len() < ANSWER_BYTES_MAX && !answer.ends_with(b"\r\n\r\n") {
        answer.push(tcp.read_u8().await.map_err(broken)?);
    }
    match Head::parse(&answer).map_err(HttpError::Proxy)? {
        Some((head, _)) if (200..300).contains(&head.status) => Ok(()),
        Some((head, _)) => Err(HttpError::Proxy(format!(
            "no tunnel to {whom}: status {} {}",
            head.status, head.reason
        ))),
        None => Err(HttpError::Proxy(
            "its answer has no end within 16 KiB".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_address_that_answers_is_taken_of_a_few() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let answers = listener.local_addr().expect("bound");
        let refuses = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            gone.local_addr().expect("bound")
        };
        let connected = first_to_answer("h", vec![refuses, refuses, answers]).await;
        assert_eq!(
            connected.expect("one answers").peer_addr().ok(),
            Some(answers)
        );
        let mut many = vec![refuses; ADDRESSES_MAX];
        many.push(answers);
        for addresses in [many, vec![refuses], Vec::new()] {
            assert!(first_to_answer("h", addresses).await.is_err());
        }
    }
}
