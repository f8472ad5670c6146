//! Who asks. As in a Kubernetes API server each CA is verified against its own pool: one certificate of the ordinary
//! client CA must not be able to speak for the front proxy.

use axum::http::{HeaderMap, HeaderName};
use rustls::pki_types::CertificateDer;

use super::der::{Subject, subject};
use super::files::Pool;

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) groups: Vec<String>,
    /// Vouched for by the API server, which has authorised the request already.
    pub(super) from_front_proxy: bool,
}

/// Which certificates are believed, and for what.
pub(super) struct Authorities {
    /// Of the front proxy.
    pub(super) request_header: Option<Pool>,
    /// The front proxy's names; empty is any.
    pub(super) allowed_names: Vec<String>,
    /// Of clients that speak for themselves.
    pub(super) client: Option<Pool>,
}

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA_PREFIX: &str = "x-remote-extra-";

impl Authorities {
    /// The same CA for both without a name would let every client speak for everybody.
    pub(super) fn check(&self) -> Result<(), String> {
        let (Some(request_header), Some(client)) = (&self.request_header, &self.client) else {
            return Ok(());
        };
        let shared = request_header
            .certificates
            .iter()
            .any(|one| client.certificates.contains(one));
        if shared && self.allowed_names.is_empty() {
            return Err("--client-ca-file and --requestheader-client-ca-file have a certificate in common and \
                        --requestheader-allowed-names is empty: every client could pass for the API server; name its \
                        certificate (front-proxy-client)"
                .to_owned());
        }
        Ok(())
    }

    /// Who asks; the identity headers are gone afterwards, whoever sent them. An error says why it is nobody we know.
    pub(super) fn identify(
        &self,
        chain: &[CertificateDer<'_>],
        headers: &mut HeaderMap,
        now_s: u64,
    ) -> Result<Identity, String> {
        let claimed = take_claims(headers);
        let Some(certificate) = chain.first() else {
            return Err("a client certificate is needed".to_owned());
        };
        let Some(Subject {
            common_name,
            organizations,
        }) = subject(certificate)
        else {
            return Err("the client certificate has no subject that can be read".to_owned());
        };
        let mut why = Vec::new();
        if let Some(pool) = &self.request_header {
            let named = self.allowed_names.is_empty() || self.allowed_names.contains(&common_name);
            match pool.verifies(chain, now_s) {
                Ok(()) if !named => why.push(format!(
                    "{common_name:?} is not one of --requestheader-allowed-names"
                )),
                Ok(()) => {
                    let (user, groups) = claimed;
                    if user.is_empty() {
                        return Err("the front proxy sent no X-Remote-User".to_owned());
                    }
                    return Ok(Identity {
                        user,
                        groups,
                        from_front_proxy: true,
                    });
                }
                Err(error) => why.push(format!("not of the front proxy's CA: {error}")),
            }
        }
        if let Some(pool) = &self.client {
            match pool.verifies(chain, now_s) {
                Ok(()) => {
                    return Ok(Identity {
                        user: common_name,
                        groups: organizations,
                        from_front_proxy: false,
                    });
                }
                Err(error) => why.push(format!("not of the client CA: {error}")),
            }
        }
        if why.is_empty() {
            why.push("no CA is configured (--requestheader-client-ca-file)".to_owned());
        }
        Err(format!(
            "the client certificate of {common_name:?}: {}",
            why.join("; ")
        ))
    }
}

/// Takes the identity headers out: user and groups.
fn take_claims(headers: &mut HeaderMap) -> (String, Vec<String>) {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or("").to_owned();
    let user = headers.get(&USER).map(text).unwrap_or_default();
    let groups = headers.get_all(&GROUP).iter().map(text).collect();
    let extra: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(EXTRA_PREFIX))
        .cloned()
        .collect();
    for name in [USER, UID, GROUP].into_iter().chain(extra) {
        headers.remove(name);
    }
    (user, groups)
}
