//! A client of the API server that a `kubernetes_sd_config` names, and the namespaces that it looks at.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::cluster::bounded;
use crate::config::{BasicAuth, Credentials, KubernetesDiscovery, SecretSource};

/// Between two tries to read the credentials.
pub(crate) const TRY_AGAIN: Duration = Duration::from_secs(5);
/// A connection that is not there by then is not going to be.
const CONNECT: Duration = Duration::from_secs(10);
/// The namespace that a pod runs in.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A client, and the namespaces to look at; one that is empty stands for all.
pub(crate) async fn connect(
    discovery: &KubernetesDiscovery,
) -> Result<(Client, Vec<String>), String> {
    let mut config = if let Some(path) = &discovery.kubeconfig_file {
        let refuse = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
        let read = Kubeconfig::read_from(path).map_err(|error| refuse(&error))?;
        Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
            .await
            .map_err(|error| refuse(&error))?
    } else if discovery.api_server.is_empty() {
        Config::incluster().map_err(|error| {
            format!("{error}: outside of a pod, set api_server or kubeconfig_file")
        })?
    } else {
        given(discovery).await?
    };
    // Two providers may be compiled in by somebody else's features; rustls would not choose between them.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok(); // somebody has done so before
    config.connect_timeout = Some(CONNECT);
    config.default_retry = false; // what is tried again, and when, is decided here
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    let client = bounded(client, namespace);
    let mut namespaces = discovery.namespaces.clone();
    if discovery.own_namespace {
        let own = std::fs::read_to_string(OWN_NAMESPACE);
        let own = own.map_err(|error| format!("own_namespace: {OWN_NAMESPACE}: {error}"))?;
        namespaces.push(own.trim().to_owned());
    }
    namespaces.sort();
    namespaces.dedup();
    if namespaces.is_empty() {
        namespaces.push(String::new());
    }
    Ok((client, namespaces))
}

/// The API server and the credentials that the configuration gives.
async fn given(discovery: &KubernetesDiscovery) -> Result<Config, String> {
    let address = discovery.api_server.parse();
    let address = address.map_err(|error| format!("api_server: {error}"))?;
    let mut config = Config::new(address);
    let tls = &discovery.http.tls;
    if let Some(ca) = &tls.ca {
        let text = ca.read().await?;
        let read: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(text.expose().as_bytes()).collect();
        let certificates = read.map_err(|error| format!("tls_config: ca: {error}"))?;
        config.root_cert = Some(certificates.iter().map(|one| one.to_vec()).collect());
    }
    config.accept_invalid_certs = tls.insecure_skip_verify;
    if !tls.server_name.is_empty() {
        config.tls_server_name = Some(tls.server_name.clone());
    }
    let auth = &mut config.auth_info;
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let (cert, key) = (cert.read().await?, key.read().await?);
        auth.client_certificate_data = Some(STANDARD.encode(cert.expose()));
        auth.client_key_data = Some(STANDARD.encode(key.expose()).into());
    }
    match discovery.http.credentials() {
        Credentials::None => {}
        Credentials::Basic(BasicAuth { username, password }) => {
            if let Some(username) = username {
                auth.username = Some(username.read().await?.expose().to_owned());
            }
            if let Some(password) = password {
                auth.password = Some(password.read().await?.expose().to_owned().into());
            }
        }
        Credentials::Authorization(bearer) => match bearer.credentials {
            Some(SecretSource::Given(token)) => auth.token = Some(token.expose().to_owned().into()),
            // The client reads it again before it ends.
            Some(SecretSource::File(path)) => {
                auth.token_file = Some(path.to_string_lossy().into_owned());
            }
            None => {}
        },
        Credentials::OAuth2(_) => {
            return Err("oauth2 towards an API server is not built".to_owned());
        }
    }
    Ok(config)
}
