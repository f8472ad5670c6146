//! The flags of the secure listener: those of Kubernetes' extension API servers.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches};

use super::value;
use crate::serve::secure::SecureOptions;

/// Where a pod finds its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The Service of the shipped manifests.
const SERVICE: &str = "stillwell";

const PORT: &str = "secure-port";
const BIND: &str = "bind-address";
const CERTIFICATE: &str = "tls-cert-file";
const KEY: &str = "tls-private-key-file";
const CLIENT_CA: &str = "client-ca-file";
const FRONT_PROXY_CA: &str = "requestheader-client-ca-file";
const ALLOWED_NAMES: &str = "requestheader-allowed-names";

pub(super) fn flags() -> [Arg; 7] {
    [
        value(PORT, "PORT", "Serve the external metrics API over TLS here"),
        value(BIND, "ADDRESS", "Of the secure port").default_value("0.0.0.0"),
        value(
            CERTIFICATE,
            "FILE",
            "Serving certificate; one is made where it is left out",
        ),
        value(KEY, "FILE", "Its key"),
        value(CLIENT_CA, "FILE", "CA of clients that speak for themselves"),
        value(FRONT_PROXY_CA, "FILE", "CA of the API server's front proxy"),
        value(
            ALLOWED_NAMES,
            "NAMES",
            "Names of the front proxy's certificate, comma-separated; any where it is left out",
        )
        .action(ArgAction::Append),
    ]
}

/// The secure listener; `None` where none of its flags is given.
pub(super) fn options(matches: &ArgMatches) -> Result<Option<SecureOptions>, String> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let path = |name: &str| text(name).map(PathBuf::from);
    let port = match text(PORT) {
        Some(port) => port
            .parse::<u16>()
            .map_err(|_| format!("--{PORT}: {port:?} is not a port"))?,
        None => match [CERTIFICATE, KEY, CLIENT_CA, FRONT_PROXY_CA]
            .into_iter()
            .find(|name| path(name).is_some())
        {
            Some(name) => {
                return Err(format!(
                    "--{name} needs --{PORT}, for example --{PORT}=6443"
                ));
            }
            None => return Ok(None),
        },
    };
    let certificate = match (path(CERTIFICATE), path(KEY)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(format!("--{CERTIFICATE} and --{KEY} come together")),
    };
    let (client_ca, request_header_ca) = (path(CLIENT_CA), path(FRONT_PROXY_CA));
    if request_header_ca.is_none() {
        return Err(format!(
            "--{PORT} needs --{FRONT_PROXY_CA}: without it nobody could be let in"
        ));
    }
    let names = matches
        .get_many::<String>(ALLOWED_NAMES)
        .into_iter()
        .flatten();
    let names = names
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty());
    Ok(Some(SecureOptions {
        address: format!("{}:{port}", text(BIND).unwrap_or_default()),
        certificate,
        client_ca,
        request_header_ca,
        allowed_names: names.map(str::to_owned).collect(),
        self_made_names: self_made_names(),
    }))
}

fn self_made_names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    if let Ok(namespace) = std::fs::read_to_string(NAMESPACE_FILE) {
        names.push(format!("{SERVICE}.{}.svc", namespace.trim()));
    }
    names
}
