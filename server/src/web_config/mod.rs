//! `--web.config.file`: TLS, passwords and headers of a listener, in Prometheus' format (exporter-toolkit's
//! `web-configuration.md`), with one key more: `bearer_token_file`.
//!
//! `file` reads it into `settings`, `tls` makes what rustls needs, `verifier` and `names` judge client certificates, `auth` lets requests
//! in, `reload` reads everything again when it changes, as Prometheus does.

mod accept;
mod auth;
pub(crate) mod file;
mod names;
mod reload;
mod settings;
mod tls;
pub(crate) mod verifier;

pub use accept::{Accepted, accept};
pub use auth::Authenticator;
pub use file::parse;
pub use reload::ReloadedConfig;
pub use settings::{ClientAuth, FILE_BYTES_MAX, Material, TlsSection, WebConfig};
