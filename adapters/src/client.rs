//! Where the client of a request is.

use std::net::IpAddr;

use axum::http::Request;

/// Put into the extensions of a request by whoever has its connection.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Where the client of this request is, if that is known.
pub(crate) fn address_of<B>(request: &Request<B>) -> Option<IpAddr> {
    let client = request.extensions().get::<ClientAddress>();
    client.map(|client| client.0)
}
