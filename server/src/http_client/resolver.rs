//! Names to addresses and records, by an asynchronous resolver with a cache: a name that does not answer holds no
//! thread, only the scrape that asks for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::sync::OnceCell;

use super::error::HttpError;
use crate::config::DnsRecord;

/// Entries of the cache: more names than a cluster's gateways have, a few hundred bytes each.
const CACHE_ENTRIES: u64 = 8_192;

/// Resolves names as the system is configured to (`/etc/resolv.conf`, `/etc/hosts`). Clones share the cache. Each
/// runtime needs one of its own, for its sockets belong to the runtime that asked first.
#[derive(Clone, Default)]
pub struct Resolver {
    inner: Arc<OnceCell<TokioResolver>>,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsAnswer {
    /// An address.
    Address(IpAddr),
    /// A host and, in an SRV record, its port.
    Host(String, Option<u16>),
}

impl Resolver {
    async fn resolver(&self) -> Result<&TokioResolver, String> {
        let build = async || {
            let mut builder = TokioResolver::builder_tokio().map_err(|error| error.to_string())?;
            builder.options_mut().cache_size = CACHE_ENTRIES;
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

    /// The records of a name; none where it has none of this kind.
    pub async fn records(&self, name: &str, kind: DnsRecord) -> Result<Vec<DnsAnswer>, String> {
        let resolver = self.resolver().await?;
        let record_type = match kind {
            DnsRecord::Srv => RecordType::SRV,
            DnsRecord::A => RecordType::A,
            DnsRecord::Aaaa => RecordType::AAAA,
            DnsRecord::Mx => RecordType::MX,
            DnsRecord::Ns => RecordType::NS,
        };
        let found = match resolver.lookup(name, record_type).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(in_words(&error)),
        };
        let answers = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(address) => Some(DnsAnswer::Address(IpAddr::V4(address.0))),
                RData::AAAA(address) => Some(DnsAnswer::Address(IpAddr::V6(address.0))),
                RData::SRV(srv) => Some(DnsAnswer::Host(srv.target.to_string(), Some(srv.port))),
                RData::MX(mx) => Some(DnsAnswer::Host(mx.exchange.to_string(), None)),
                RData::NS(ns) => Some(DnsAnswer::Host(ns.0.to_string(), None)),
                _ => None,
            });
        Ok(answers.collect())
    }
}

fn in_words(error: &hickory_resolver::net::NetError) -> String {
    if error.is_nx_domain() {
        "no such host".to_owned()
    } else if error.is_no_records_found() {
        "no address".to_owned()
    } else {
        error.to_string()
    }
}
