//! The flags of the secure listener: those of Kubernetes' extension API servers, and ours about the APIService.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches};

use super::{switch, value};
use crate::cluster::ServiceName;
use crate::config::units::duration_ms;
use crate::serve::secure::{Headers, Lifetimes, SecureOptions};

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
const USER_HEADERS: &str = "requestheader-username-headers";
const UID_HEADERS: &str = "requestheader-uid-headers";
const GROUP_HEADERS: &str = "requestheader-group-headers";
const EXTRA_PREFIXES: &str = "requestheader-extra-headers-prefix";
const KUBECONFIG: &str = "kubeconfig";
const SKIP_LOOKUP: &str = "authentication-skip-lookup";
const TOKEN_TTL: &str = "authentication-token-webhook-cache-ttl";
const ALLOWED_TTL: &str = "authorization-webhook-cache-authorized-ttl";
const DENIED_TTL: &str = "authorization-webhook-cache-unauthorized-ttl";
const API_SERVICE: &str = "api-service.service";
const CA_BUNDLE: &str = "api-service.ca-bundle";
const TAKE_OVER: &str = "api-service.take-over";

pub(super) fn flags() -> Vec<Arg> {
    let list = |name, what, help| value(name, what, help).action(ArgAction::Append);
    vec![
        value(
            PORT,
            "PORT",
            "Serve the Kubernetes metrics APIs over TLS here",
        ),
        value(BIND, "ADDRESS", "Of the secure port").default_value("0.0.0.0"),
        value(
            CERTIFICATE,
            "FILE",
            "Serving certificate; one is made where it is left out",
        ),
        value(KEY, "FILE", "Its key"),
        value(CLIENT_CA, "FILE", "CA of clients that speak for themselves"),
        value(FRONT_PROXY_CA, "FILE", "CA of the API server's front proxy"),
        list(
            ALLOWED_NAMES,
            "NAMES",
            "Names of the front proxy's certificate, comma-separated; any where it is left out",
        ),
        list(
            USER_HEADERS,
            "NAMES",
            "Headers in which the front proxy names the user [default: X-Remote-User]",
        ),
        list(UID_HEADERS, "NAMES", "His UID [default: X-Remote-Uid]"),
        list(
            GROUP_HEADERS,
            "NAMES",
            "His groups [default: X-Remote-Group]",
        ),
        list(
            EXTRA_PREFIXES,
            "PREFIXES",
            "Prefixes of headers with more about him [default: X-Remote-Extra-]",
        ),
        kubeconfig_flag(),
        switch(SKIP_LOOKUP).help("Do not ask the API server for the CAs to believe; the files hold them all"),
        value(TOKEN_TTL, "DURATION", "How long a token's review is kept").default_value("10s"),
        value(ALLOWED_TTL, "DURATION", "How long a permission is kept").default_value("10s"),
        value(DENIED_TTL, "DURATION", "How long a refusal is kept").default_value("10s"),
        service_flag(),
        switch(CA_BUNDLE).help("Write the CA of the self-made certificate into the APIServices that point here"),
        switch(TAKE_OVER).help("With --api-service.ca-bundle: point APIServices here that belong to somebody else, KEDA for example"),
    ]
}

/// How the API server is reached; `check` takes it too.
pub(super) fn kubeconfig_flag() -> Arg {
    value(
        KUBECONFIG,
        "FILE",
        "The API server to ask about callers and objects; in a pod it is found without",
    )
}

/// Through which Service the API server reaches us; `check` takes it too.
pub(super) fn service_flag() -> Arg {
    value(
        API_SERVICE,
        "NAMESPACE/NAME",
        "The Service of this process [default: stillwell, in the pod's namespace]",
    )
}

/// The secure listener; `None` where none of its flags is given.
pub(super) fn options(matches: &ArgMatches) -> Result<Option<SecureOptions>, String> {
    let Some(port) = text(matches, PORT) else {
        let needs = [CERTIFICATE, KEY, CLIENT_CA, FRONT_PROXY_CA];
        let given = needs.into_iter().find(|name| path(matches, name).is_some());
        return match given {
            Some(name) => Err(format!(
                "--{name} needs --{PORT}, for example --{PORT}=6443"
            )),
            None => Ok(None),
        };
    };
    let certificate = certificate(matches)?;
    let (write_ca_bundle, take_over) = api_service(matches, certificate.is_some())?;
    let service = service(matches)?;
    Ok(Some(SecureOptions {
        address: address(matches, port)?,
        certificate,
        client_ca: path(matches, CLIENT_CA),
        request_header_ca: path(matches, FRONT_PROXY_CA),
        allowed_names: list(matches, ALLOWED_NAMES),
        headers: headers(matches),
        self_made_names: self_made_names(&service),
        replica: crate::serve::app::hostname(),
        kubeconfig: kubeconfig(matches),
        skip_lookup: matches.get_flag(SKIP_LOOKUP),
        lifetimes: Lifetimes {
            token_ms: lifetime_ms(matches, TOKEN_TTL)?,
            allowed_ms: lifetime_ms(matches, ALLOWED_TTL)?,
            denied_ms: lifetime_ms(matches, DENIED_TTL)?,
        },
        service: Some(service),
        write_ca_bundle,
        take_over,
    }))
}

/// What a flag says, where it says something.
fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    let given = matches.get_one::<String>(name);
    given.map(String::as_str).filter(|text| !text.is_empty())
}

fn path(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    text(matches, name).map(PathBuf::from)
}

fn address(matches: &ArgMatches, port: &str) -> Result<String, String> {
    let port: u16 = port
        .parse()
        .map_err(|_| format!("--{PORT}: {port:?} is not a port"))?;
    let host = text(matches, BIND).unwrap_or("0.0.0.0");
    Ok(if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    })
}

fn certificate(matches: &ArgMatches) -> Result<Option<(PathBuf, PathBuf)>, String> {
    match (path(matches, CERTIFICATE), path(matches, KEY)) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err(format!("--{CERTIFICATE} and --{KEY} come together")),
    }
}

/// Whether APIServices get our CA, and whether those of others are pointed here.
fn api_service(matches: &ArgMatches, has_certificate: bool) -> Result<(bool, bool), String> {
    let (write_ca_bundle, take_over) = (matches.get_flag(CA_BUNDLE), matches.get_flag(TAKE_OVER));
    if write_ca_bundle && has_certificate {
        return Err(format!(
            "--{CA_BUNDLE} is for the certificate that is made here; who issued --{CERTIFICATE} puts its CA into the \
             APIService"
        ));
    }
    if take_over && !write_ca_bundle {
        return Err(format!(
            "--{TAKE_OVER} needs --{CA_BUNDLE}: an APIService that points here with another's CA reaches nobody"
        ));
    }
    Ok((write_ca_bundle, take_over))
}

fn lifetime_ms(matches: &ArgMatches, name: &str) -> Result<i64, String> {
    let ms = duration_ms(text(matches, name).unwrap_or("0s"));
    ms.map(|ms| ms as i64)
        .map_err(|error| format!("--{name}: {error}"))
}

fn headers(matches: &ArgMatches) -> Headers {
    let standard = Headers::default();
    let or = |name, standard| match list(matches, name) {
        names if names.is_empty() => standard,
        names => names,
    };
    Headers {
        user: or(USER_HEADERS, standard.user),
        uid: or(UID_HEADERS, standard.uid),
        group: or(GROUP_HEADERS, standard.group),
        extra_prefix: or(EXTRA_PREFIXES, standard.extra_prefix),
    }
}

fn list(matches: &ArgMatches, name: &str) -> Vec<String> {
    let given = matches.get_many::<String>(name).into_iter().flatten();
    given
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The kubeconfig's path, where one is given.
pub(super) fn kubeconfig(matches: &ArgMatches) -> Option<PathBuf> {
    path(matches, KUBECONFIG)
}

/// Our Service: as given, else by the shipped manifests.
pub(super) fn service(matches: &ArgMatches) -> Result<ServiceName, String> {
    if let Some(text) = matches.get_one::<String>(API_SERVICE) {
        return ServiceName::parse(text)
            .ok_or_else(|| format!("--{API_SERVICE}: {text:?} is not NAMESPACE/NAME"));
    }
    let namespace = std::fs::read_to_string(NAMESPACE_FILE).unwrap_or_default(); // outside of a pod there is none
    Ok(ServiceName {
        namespace: match namespace.trim() {
            "" => "default".to_owned(),
            namespace => namespace.to_owned(),
        },
        name: SERVICE.to_owned(),
    })
}

/// The first is the one that the API server checks.
fn self_made_names(service: &ServiceName) -> Vec<String> {
    let ServiceName { namespace, name } = service;
    vec![
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}.svc.cluster.local"),
        format!("{name}.{namespace}"),
        name.clone(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ]
}
