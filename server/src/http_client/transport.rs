//! How bytes reach a server: through which proxy, and with which TLS.

use super::proxy::ProxyRules;
use super::tls::Tls;
use crate::config::{ProxyConfig, TlsClientConfig};

/// TLS and proxy of a client.
pub struct Transport {
    pub(super) tls: Tls,
    pub(super) proxy: ProxyRules,
}

impl Transport {
    /// With these options.
    pub fn new(tls: TlsClientConfig, proxy: ProxyConfig) -> Transport {
        Transport {
            tls: Tls::new(tls),
            proxy: ProxyRules::new(proxy),
        }
    }
}
