//! A TLS handshake by the configuration that is in force when the connection comes.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::reload::ReloadedConfig;

/// A client that has not finished its handshake by then is not going to.
const HANDSHAKE_MS: u64 = 10_000;

/// A connection over TLS.
pub struct Accepted<S> {
    /// The connection.
    pub stream: TlsStream<S>,
    /// The client showed a certificate, and it was verified by the CA.
    pub verified: bool,
}

/// Shakes hands. The error says why there is no connection.
pub async fn accept<S>(stream: S, reloaded: &ReloadedConfig) -> Result<Accepted<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some((config, verifies)) = reloaded.tls() else {
        return Err("there is no TLS configuration".to_owned());
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS), handshake)
        .await
        .map_err(|_| "the handshake took too long".to_owned())?
        .map_err(|error| error.to_string())?;
    let shown = stream
        .get_ref()
        .1
        .peer_certificates()
        .is_some_and(|chain| !chain.is_empty());
    Ok(Accepted {
        stream,
        verified: verifies && shown,
    })
}
