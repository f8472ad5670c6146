//! Options of an HTTP client: of a scrape job, of `http_sd_configs`, of an OAuth2 token endpoint.
//!
//! Names, defaults and what excludes what are those of Prometheus (common/config/http_config.go).

mod check;
mod credentials;
mod header_keys;
mod keys;
mod options;
mod secret_keys;
mod tls_keys;

pub use credentials::Credentials;
pub(super) use header_keys::RESERVED;
pub(crate) use keys::HTTP;
pub(super) use keys::UnusedHttp;
pub use options::{
    Authorization, BasicAuth, Header, HttpClientConfig, OAuth2, ProxyConfig, TlsClientConfig,
    TlsVersion,
};
