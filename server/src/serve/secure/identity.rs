//! Who asks, by certificate. As in a Kubernetes API server each CA is verified against its own pool: one certificate of
//! the ordinary client CA must not be able to speak for the front proxy.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use stillwell_adapters::form::decode;

use super::files::Pool;
use super::subject::{Subject, subject};
use crate::cluster::User;

/// A caller, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: User,
    /// Vouched for by the API server, which has authorised the request already.
    pub(super) from_front_proxy: bool,
}

/// Which certificates are believed, and for what.
#[derive(Default)]
pub(super) struct Authorities {
    /// Of the front proxy.
    pub(super) front_proxy: Option<FrontProxy>,
    /// Of clients that speak for themselves.
    pub(super) client: Option<Pool>,
    /// Why there are none, where there should be.
    pub(super) missing: Option<String>,
}

/// The front proxy, and the headers in which it says for whom it asks.
#[derive(Clone, Debug)]
pub(super) struct FrontProxy {
    pub(super) pool: Pool,
    /// Its names; empty is any.
    pub(super) allowed_names: Vec<String>,
    pub(super) headers: Headers,
}

/// Names of identity headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The first that is there names the user.
    pub user: Vec<String>,
    /// The first that is there is the user's UID.
    pub uid: Vec<String>,
    /// Each holds groups.
    pub group: Vec<String>,
    /// What follows names an extra.
    pub extra_prefix: Vec<String>,
}

impl Default for Headers {
    /// As every API server has them.
    fn default() -> Headers {
        let one = |name: &str| vec![name.to_owned()];
        Headers {
            user: one("x-remote-user"),
            uid: one("x-remote-uid"),
            group: one("x-remote-group"),
            extra_prefix: one("x-remote-extra-"),
        }
    }
}

impl Authorities {
    /// The same CA for both without a name would let every client speak for everybody.
    pub(super) fn check(&self) -> Result<(), String> {
        let (Some(front_proxy), Some(client)) = (&self.front_proxy, &self.client) else {
            return Ok(());
        };
        let certificates = &front_proxy.pool.certificates;
        let shared = certificates
            .iter()
            .any(|one| client.certificates.contains(one));
        if shared && front_proxy.allowed_names.is_empty() {
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
        let claimed = self.take_claims(headers);
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
        if let Some(front_proxy) = &self.front_proxy {
            let names = &front_proxy.allowed_names;
            let named = names.is_empty() || names.contains(&common_name);
            match front_proxy.pool.verifies(chain, now_s) {
                Ok(()) if !named => why.push(format!(
                    "{common_name:?} is not one of --requestheader-allowed-names"
                )),
                Ok(()) if claimed.name.is_empty() => {
                    why.push("the front proxy sent no X-Remote-User".to_owned());
                }
                Ok(()) => {
                    return Ok(Identity {
                        user: authenticated(claimed),
                        from_front_proxy: true,
                    });
                }
                Err(error) => why.push(format!("not of the front proxy's CA: {error}")),
            }
        }
        if let Some(pool) = &self.client {
            match pool.verifies(chain, now_s) {
                Ok(()) => {
                    let user = User {
                        name: common_name,
                        groups: organizations,
                        ..User::default()
                    };
                    return Ok(Identity {
                        user: authenticated(user),
                        from_front_proxy: false,
                    });
                }
                Err(error) => why.push(format!("not of the client CA: {error}")),
            }
        }
        why.extend(self.missing.clone());
        if why.is_empty() {
            why.push("no CA is configured (--requestheader-client-ca-file)".to_owned());
        }
        Err(format!(
            "the client certificate of {common_name:?}: {}",
            why.join("; ")
        ))
    }

    /// Takes the identity headers out, those of every API server and those in force.
    fn take_claims(&self, headers: &mut HeaderMap) -> User {
        let standard = Headers::default();
        let named = self.front_proxy.as_ref().map(|proxy| &proxy.headers);
        let user = claims(headers, named.unwrap_or(&standard));
        for names in [Some(&standard), named].into_iter().flatten() {
            strip(headers, names);
        }
        user
    }
}

/// Nobody in particular.
pub(super) const ANONYMOUS: &str = "system:anonymous";
/// The group of nobody in particular.
pub(super) const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Everybody who is known is a member of this, by the API server's rules.
pub(super) fn authenticated(mut user: User) -> User {
    const AUTHENTICATED: &str = "system:authenticated";
    let told = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
    if user.name != ANONYMOUS && !user.groups.iter().any(told) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

fn claims(headers: &HeaderMap, names: &Headers) -> User {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = |names: &[String]| -> Vec<String> {
        let values = names.iter().flat_map(|name| headers.get_all(name.as_str()));
        values.map(text).filter(|value| !value.is_empty()).collect()
    };
    let first = |names: &[String]| all(names).into_iter().next().unwrap_or_default();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (header, value) in headers {
        let header = header.as_str();
        let key = names
            .extra_prefix
            .iter()
            .find_map(|prefix| header.strip_prefix(&prefix.to_ascii_lowercase()));
        if let Some(key) = key {
            // Characters that a header's name cannot hold come as %xx.
            extra
                .entry(decode(key, false))
                .or_default()
                .push(text(value));
        }
    }
    User {
        name: first(&names.user),
        uid: first(&names.uid),
        groups: all(&names.group),
        extra,
    }
}

fn strip(headers: &mut HeaderMap, names: &Headers) {
    let fits = |header: &HeaderName| {
        let header = header.as_str();
        let mut whole = names.user.iter().chain(&names.uid).chain(&names.group);
        let mut prefixes = names.extra_prefix.iter();
        whole.any(|name| name.eq_ignore_ascii_case(header))
            || prefixes.any(|prefix| header.starts_with(&prefix.to_ascii_lowercase()))
    };
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| fits(name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_whole_and_leave_no_header_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "jane"),
            ("x-remote-uid", "42"),
            ("x-remote-group", "a"),
            ("x-remote-group", "b"),
            ("x-remote-extra-scopes", "view"),
            ("x-remote-extra-scopes", "edit"),
            ("x-remote-extra-acme.com%2fproject", "p"),
            ("accept", "*/*"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let authorities = Authorities::default();
        let user = authorities.take_claims(&mut headers);
        assert_eq!(
            (user.name.as_str(), user.uid.as_str(), user.groups.len()),
            ("jane", "42", 2)
        );
        assert_eq!(user.extra["scopes"], ["view", "edit"]);
        assert_eq!(user.extra["acme.com/project"], ["p"]);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept"]);
    }
}
