//! How the listener is configured.

use std::path::PathBuf;

use super::cache::Lifetimes;
use super::identity::Headers;
use crate::cluster::ServiceName;

/// From the flags of extension API servers.
#[derive(Clone, Debug, Default)]
pub struct SecureOptions {
    /// Where to listen.
    pub address: String,
    /// The serving certificate and its key; one is made where they are left out.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// CA of clients that speak for themselves.
    pub client_ca: Option<PathBuf>,
    /// CA of the front proxy.
    pub request_header_ca: Option<PathBuf>,
    /// Names of the front proxy's certificates; empty is any.
    pub allowed_names: Vec<String>,
    /// In which headers the front proxy says for whom it asks.
    pub headers: Headers,
    /// Names of a certificate that is made here.
    pub self_made_names: Vec<String>,
    /// What tells this replica from others, and is the same after a restart of its container: the pod's name.
    pub replica: String,
    /// How the API server is reached; in a pod it is found without.
    pub kubeconfig: Option<PathBuf>,
    /// Whom to believe is in the files; the API server is not asked.
    pub skip_lookup: bool,
    /// How long the API server's answers are kept.
    pub lifetimes: Lifetimes,
    /// The Service through which the API server reaches this process.
    pub service: Option<ServiceName>,
    /// Write the self-made certificate's CA into the APIServices that point here.
    pub write_ca_bundle: bool,
    /// Point APIServices here that point elsewhere.
    pub take_over: bool,
}
