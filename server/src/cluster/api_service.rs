//! The APIService of a group: who serves it, and our certificate's CA in it.
//!
//! A group has one APIService in a cluster. KEDA owns that of external metrics where it is installed; taking it over
//! would blind every ScaledObject, so that takes a flag which says so.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::Cluster;
use crate::der::take;

/// One read or write.
const ASK_MS: u64 = 5_000;
/// The server ends a watch after this long; a stream that stays silent for longer is dead.
const WATCH_S: u32 = 290;
const SILENCE_MS: u64 = 300_000;
/// Two replicas that write at once: the second one reads again.
const TRIES: u32 = 5;
/// Each replica has a CA of its own, which replaces that of its process before. Those of replicas that are gone are left
/// behind: the newest so many stay (some 20 kB), so that a rollout of as many pods pushes no live replica's out.
const BUNDLE_MAX: usize = 32;
/// A Service without a port serves this one.
const HTTPS_PORT: u16 = 443;

/// A Service's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceName {
    /// Reads `NAMESPACE/NAME`.
    pub fn parse(text: &str) -> Option<ServiceName> {
        let (namespace, name) = text.split_once('/')?;
        let fits = |part: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !part.is_empty() && part.len() <= 63 && part.chars().all(plain)
        };
        (fits(namespace) && fits(name)).then(|| ServiceName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The name that the APIService of a group and version has.
pub fn api_service_name(group: &str, version: &str) -> String {
    format!("{version}.{group}")
}

/// Who serves a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// There is no APIService: nobody does.
    Nobody,
    /// Our Service.
    Us,
    /// Another Service.
    Other {
        /// Which.
        service: ServiceName,
        /// By its labels; may be empty.
        managed_by: String,
    },
    /// The API server itself.
    ApiServer,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Nobody => f.write_str("nobody: there is no such APIService"),
            Owner::Us => f.write_str("this Service"),
            Owner::ApiServer => f.write_str("the API server itself"),
            Owner::Other {
                service,
                managed_by,
            } => {
                write!(f, "the Service {service}")?;
                if !managed_by.is_empty() {
                    write!(f, " (managed by {managed_by})")?;
                }
                Ok(())
            }
        }
    }
}

/// What became of writing a CA.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was there already.
    Unchanged,
    /// It is there now.
    Added,
    /// The group was somebody else's.
    TakenOver(Owner),
    /// It is somebody else's, or nobody's, and stays so.
    Refused(Owner),
}

/// How a CA is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteCa {
    /// Also where another Service serves the group.
    pub(crate) take_over: bool,
    /// In place of those of the same issuer, which are of processes before this one.
    pub(crate) replace_same_issuer: bool,
}

impl Cluster {
    /// Who serves a group.
    pub async fn owner(
        &self,
        group: &str,
        version: &str,
        us: &ServiceName,
    ) -> Result<Owner, String> {
        let found = self.read(&api_service_name(group, version)).await?;
        Ok(owner_of(found.as_ref(), us))
    }

    /// Tells of each change of an APIService until the watch ends; answers why it did.
    pub(crate) async fn watch_api_service(&self, name: &str, mut changed: impl FnMut()) -> String {
        let api: Api<APIService> = Api::all(self.client.clone());
        // A role that is restricted to this name allows a watch that is, too.
        let only = format!("metadata.name={name}");
        let parameters = WatchParams::default().fields(&only).timeout(WATCH_S);
        let stream = match api.watch(&parameters, "0").await {
            Ok(stream) => stream,
            Err(error) => return super::words(&error),
        };
        let mut stream = pin!(stream);
        loop {
            match tokio::time::timeout(Duration::from_millis(SILENCE_MS), stream.next()).await {
                Err(_) => return "it was silent for too long".to_owned(),
                Ok(None) => return "the server ended it".to_owned(),
                Ok(Some(Err(error))) => return super::words(&error),
                Ok(Some(Ok(WatchEvent::Error(status)))) => return status.message.clone(),
                Ok(Some(Ok(WatchEvent::Bookmark(_)))) => {}
                Ok(Some(Ok(_))) => changed(),
            }
        }
    }

    async fn read(&self, name: &str) -> Result<Option<APIService>, String> {
        let api: Api<APIService> = Api::all(self.client.clone());
        in_time(name, api.get_opt(name)).await
    }

    /// Puts a CA into the bundle of the APIService of a group, and points it at us where that was asked for.
    pub(crate) async fn write_ca(
        &self,
        (group, version): (&str, &str),
        us: &ServiceName,
        ca: &CertificateDer<'_>,
        how: WriteCa,
    ) -> Result<Written, String> {
        let name = api_service_name(group, version);
        let mut tries = 1;
        loop {
            let found = self.read(&name).await?;
            let owner = owner_of(found.as_ref(), us);
            let Some(found) = found.filter(|_| owner == Owner::Us || how.take_over) else {
                return Ok(Written::Refused(owner));
            };
            let Some(patch) = patch(&found, us, owner == Owner::Us, (ca, how)) else {
                return Ok(Written::Unchanged);
            };
            let api: Api<APIService> = Api::all(self.client.clone());
            let parameters = PatchParams::default();
            let merge = Patch::Merge(&patch);
            let writing = api.patch(&name, &parameters, &merge);
            match tokio::time::timeout(Duration::from_millis(ASK_MS), writing).await {
                Ok(Ok(_)) if owner == Owner::Us => return Ok(Written::Added),
                Ok(Ok(_)) => return Ok(Written::TakenOver(owner)),
                Ok(Err(kube::Error::Api(status))) if status.code == 409 && tries < TRIES => {
                    tries += 1;
                }
                Ok(Err(error)) => return Err(format!("{name}: {}", super::words(&error))),
                Err(_) => return Err(format!("{name}: no answer within {ASK_MS} ms")),
            }
        }
    }
}

async fn in_time<T>(
    name: &str,
    asking: impl Future<Output = kube::Result<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(Duration::from_millis(ASK_MS), asking).await {
        Ok(result) => result.map_err(|error| format!("{name}: {}", super::words(&error))),
        Err(_) => Err(format!("{name}: no answer within {ASK_MS} ms")),
    }
}

fn owner_of(found: Option<&APIService>, us: &ServiceName) -> Owner {
    let Some(found) = found else {
        return Owner::Nobody;
    };
    let Some(service) = found.spec.as_ref().and_then(|spec| spec.service.as_ref()) else {
        return Owner::ApiServer;
    };
    let service = ServiceName {
        namespace: service.namespace.clone().unwrap_or_default(),
        name: service.name.clone().unwrap_or_default(),
    };
    if service == *us {
        return Owner::Us;
    }
    let label = |name: &str| found.metadata.labels.as_ref()?.get(name).cloned();
    let managed_by = label("app.kubernetes.io/part-of").or(label("app.kubernetes.io/managed-by"));
    Owner::Other {
        service,
        managed_by: managed_by.unwrap_or_default(),
    }
}

/// What to change so that this CA is believed and we are asked; `None` where nothing is to be. It holds the version that
/// was read, so that nobody's change in between is lost.
fn patch(
    found: &APIService,
    us: &ServiceName,
    ours: bool,
    (ca, how): (&CertificateDer<'_>, WriteCa),
) -> Option<Value> {
    let spec = found.spec.clone().unwrap_or_default();
    let bundle = spec.ca_bundle.filter(|_| ours).unwrap_or_default();
    let mut certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bundle.0)
        .collect::<Result<_, _>>()
        .unwrap_or_default(); // what is no PEM makes nobody believe anything
    let insecure = spec.insecure_skip_tls_verify == Some(true);
    if certificates.iter().any(|known| known == ca) && !insecure {
        return None;
    }
    // Restarts of one replica must not push the other replicas' out.
    let is_replaced = |known: &CertificateDer<'_>| {
        known == ca || (how.replace_same_issuer && issuer(known) == issuer(ca))
    };
    certificates.retain(|known| !is_replaced(known));
    certificates.push(ca.clone().into_owned());
    let excess = certificates.len().saturating_sub(BUNDLE_MAX);
    certificates.drain(..excess);
    let port = spec
        .service
        .filter(|_| ours)
        .and_then(|service| service.port);
    Some(json!({
        "metadata": {"resourceVersion": found.metadata.resource_version},
        "spec": {
            "caBundle": ByteString(pem(&certificates).into_bytes()),
            "insecureSkipTLSVerify": null, // never beside a bundle: the API server refuses both
            "service": {"namespace": us.namespace, "name": us.name, "port": port.unwrap_or(HTTPS_PORT.into())},
        },
    }))
}

/// Whom a certificate names as its issuer; for a CA that signed itself, its own name, which holds the replica's.
fn issuer(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = take(certificate)?;
    let (_, mut fields, _) = take(certificate)?;
    // RFC 5280, 4.1: version (left out in version 1), serial number, signature algorithm, issuer.
    if fields.first() == Some(&VERSION) {
        fields = take(fields)?.2;
    }
    let after_serial = take(fields)?.2;
    let after_algorithm = take(after_serial)?.2;
    Some(take(after_algorithm)?.1)
}

/// The tag of a certificate's version.
const VERSION: u8 = 0xa0;

/// Works out who owns an APIService and what to change in it, and does nothing: for a fuzz target.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_api_service(found: &APIService) -> bool {
    let us = ServiceName {
        namespace: "a".to_owned(),
        name: "b".to_owned(),
    };
    let ours = owner_of(Some(found), &us) == Owner::Us;
    let ca = CertificateDer::from(vec![0]);
    let how = WriteCa {
        take_over: false,
        replace_same_issuer: true,
    };
    patch(found, &us, ours, (&ca, how)).is_some()
}

/// Certificates as PEM.
fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        let encoded = ByteString(certificate.to_vec());
        let base64 = match serde_json::to_value(&encoded) {
            Ok(Value::String(base64)) => base64,
            _ => String::new(), // a ByteString is a string
        };
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in base64.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}
