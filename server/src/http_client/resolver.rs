//! Names to addresses, by an asynchronous resolver with a cache: a name that does not answer holds no
//! thread, only the scrape that asks for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use tokio::sync::OnceCell;

use super::error::HttpError;

/// Entries of the cache: more names than a cluster's gateways have, a few hundred bytes each.
const CACHE_ENTRIES: u64 = 8_192;

/// How long an answer is kept at most, whatever it says: a gateway that moves is found soon, where Prometheus asks before each
/// connection. Connections are kept, so that a target whose scrapes succeed asks nobody.
const ANSWER_KEPT_MAX: Duration = Duration::from_secs(5);
/// The same where there is none: of a name that does not exist yet.
const NO_ANSWER_KEPT_MAX: Duration = Duration::from_secs(1);

/// Resolves names as the system is configured to (`/etc/resolv.conf`, `/etc/hosts`). Clones share the cache. Each
/// runtime needs one of its own, for its sockets belong to the runtime that asked first.
#[derive(Clone, Default)]
pub struct Resolver {
    inner: Arc<OnceCell<TokioResolver>>,
}

impl Resolver {
    async fn resolver(&self) -> Result<&TokioResolver, String> {
        let build = async || {
            let mut builder = TokioResolver::builder_tokio().map_err(|error| error.to_string())?;
            let options = builder.options_mut();
            options.cache_size = CACHE_ENTRIES;
            options.positive_max_ttl = Some(ANSWER_KEPT_MAX);
            options.negative_max_ttl = Some(NO_ANSWER_KEPT_MAX);
            builder.build().map_err(|error| error.to_string())
        };
        self.inner.get_or_try_init(build).await
    }

    /// The addresses of a host, which may be one itself.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, HttpError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let refuse = |why: String| HttpError::Resolve(host.to_owned(), why);
        let resolver = self.resolver().await.map_err(refuse)?;
        let found = resolver.lookup_ip(host).await;
        let found = found.map_err(|error| refuse(in_words(&error)))?;
        let addresses: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(ip, port)).collect();
        if addresses.is_empty() {
            return Err(refuse("no address".to_owned()));
        }
        Ok(addresses)
    }
}

/// What a look-up failed with, shortly.
pub(crate) fn in_words(error: &hickory_resolver::net::NetError) -> String {
    if error.is_nx_domain() {
        "no such host".to_owned()
    } else if error.is_no_records_found() {
        "no address".to_owned()
    } else {
        error.to_string()
    }
}
