//! Who asks and whether he may: certificates first, then the API server's word on bearer tokens and on permissions.
//!
//! Fail closed: whoever cannot be judged gets no answer but a Status that says why. Without an API server to ask, only
//! the front proxy (which has authorised the request itself) and `system:masters` are let in.

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use rustls::pki_types::CertificateDer;
use stillwell_adapters::form::Form;
use stillwell_adapters::kubernetes::Status;
use stillwell_engine::Timestamp;

use super::attributes::RequestPath;
use super::cache::{Cache, Lifetimes, Room};
use super::identity::{ANONYMOUS, Authorities, Identity, UNAUTHENTICATED, authenticated};
use crate::cluster::{Attributes, Cluster, User, Verdict};

/// A member may do everything, as in every API server.
const MASTERS: &str = "system:masters";
/// Longer tokens are none: those of service accounts have about 1 KiB.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Tokens remembered.
const TOKENS_MAX: usize = 1024;
/// Verdicts remembered, as many as an API server remembers.
const VERDICTS_MAX: usize = 8192;
/// Bytes of the ones and of the others: tokens, users with their groups, and questions. Ordinary ones take 2 KiB each.
const REMEMBERED_MAX: usize = 16 << 20;
/// Longer questions are not remembered, as in an API server: somebody makes them up.
const REMEMBERED_BYTES_MAX: usize = 10_000;

/// Judges callers.
pub(super) struct Access {
    asking: Option<Asking>,
}

struct Asking {
    cluster: Cluster,
    lifetimes: Lifetimes,
    tokens: Cache<String, Option<User>>,
    verdicts: Cache<(User, Attributes), Verdict>,
}

impl Access {
    pub(super) fn new(cluster: Option<Cluster>, lifetimes: Lifetimes) -> Access {
        let asking = cluster.map(|cluster| Asking {
            cluster,
            lifetimes,
            tokens: Cache::new(Room {
                answers_max: TOKENS_MAX,
                bytes_max: REMEMBERED_MAX,
                bytes: |token, user| token.len() + user.as_ref().map_or(0, User::bytes),
            }),
            verdicts: Cache::new(Room {
                answers_max: VERDICTS_MAX,
                bytes_max: REMEMBERED_MAX,
                bytes: |question, verdict| bytes(question) + verdict.reason.len(),
            }),
        });
        Access { asking }
    }

    /// Lets the request pass, or says why not. Its identity headers and its token are gone afterwards.
    pub(super) async fn admit(
        &self,
        request: &mut Request<Body>,
        path: &RequestPath,
        chain: &[CertificateDer<'_>],
        authorities: &Authorities,
        (now, wall_now): (Timestamp, Timestamp),
    ) -> Result<(), Status> {
        let now_s = u64::try_from(wall_now.ms() / 1000).unwrap_or(0);
        let by_certificate = authorities.identify(chain, request.headers_mut(), now_s);
        let token = take_token(request.headers_mut());
        if path.is_health() {
            return Ok(());
        }
        let identity = match (by_certificate, token) {
            (Ok(identity), _) => Ok(identity),
            (Err(_), Some(token)) => Ok(self.by_token(token, now).await?),
            (Err(why), None) => Err(why),
        };
        let identity = match identity {
            Ok(identity) => identity,
            // A certificate that is not believed is a mistake to be told of; none at all is an anonymous caller.
            Err(why) if self.asking.is_none() || !chain.is_empty() => {
                return Err(Status::forbidden(format!(
                    "{}: {why}",
                    request.uri().path()
                )));
            }
            Err(_) => Identity {
                user: User {
                    name: ANONYMOUS.to_owned(),
                    groups: vec![UNAUTHENTICATED.to_owned()],
                    ..User::default()
                },
                from_front_proxy: false,
            },
        };
        let masters = identity.user.groups.iter().any(|group| group == MASTERS);
        if masters || identity.from_front_proxy && path.is_discovery() {
            return Ok(());
        }
        let query = Form::parse(request.uri().query());
        let watch = matches!(query.get("watch"), "true" | "1");
        let attributes = path.attributes(request.method(), watch);
        self.authorize(identity, attributes, now).await
    }

    async fn by_token(&self, token: String, now: Timestamp) -> Result<Identity, Status> {
        let Some(asking) = &self.asking else {
            return Err(Status::unauthorized(
                "bearer tokens are checked by the API server, and none is known (--kubeconfig)",
            ));
        };
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Status::unauthorized(format!(
                "the bearer token is longer than {TOKEN_BYTES_MAX} bytes"
            )));
        }
        let (cluster, ttl_ms) = (asking.cluster.clone(), asking.lifetimes.token_ms);
        let review = |token| async move {
            let user = cluster.token_review(token).await?;
            Ok((user, ttl_ms))
        };
        match asking.tokens.get(token, now, review).await {
            Ok(Some(user)) => Ok(Identity {
                user: authenticated(user),
                from_front_proxy: false,
            }),
            Ok(None) => Err(Status::unauthorized(
                "the API server does not know the bearer token",
            )),
            Err(why) => Err(Status::unavailable(format!(
                "the bearer token cannot be checked: {why}"
            ))),
        }
    }

    async fn authorize(
        &self,
        identity: Identity,
        attributes: Attributes,
        now: Timestamp,
    ) -> Result<(), Status> {
        let Identity {
            user,
            from_front_proxy,
        } = identity;
        let Some(asking) = &self.asking else {
            if from_front_proxy {
                return Ok(());
            }
            let why =
                "did not come through the API server, and there is none to ask (--kubeconfig)";
            return Err(forbidden(&user.name, &attributes, why));
        };
        let denied = |reason: &str| forbidden(&user.name, &attributes, reason);
        let cluster = asking.cluster.clone();
        let lifetimes = asking.lifetimes;
        let review = |(user, attributes): (User, Attributes)| async move {
            let verdict = cluster.access_review(user, attributes).await?;
            let ttl_ms = if verdict.allowed {
                lifetimes.allowed_ms
            } else {
                lifetimes.denied_ms
            };
            Ok((verdict, ttl_ms))
        };
        let question = (user.clone(), attributes.clone());
        let verdict = if bytes(&question) > REMEMBERED_BYTES_MAX {
            review(question).await.map(|(verdict, _)| verdict)
        } else {
            asking.verdicts.get(question, now, review).await
        };
        match verdict {
            Ok(Verdict { allowed: true, .. }) => Ok(()),
            Ok(Verdict { reason, .. }) => Err(denied(&reason)),
            Err(why) => Err(Status::unavailable(format!(
                "whether {:?} may do this cannot be asked: {why}",
                user.name
            ))),
        }
    }
}

/// What part of a question its sender chooses.
fn bytes((user, attributes): &(User, Attributes)) -> usize {
    let what = match attributes {
        Attributes::Path { verb, path } => verb.len() + path.len(),
        Attributes::Resource {
            verb,
            namespace,
            group,
            version,
            resource,
            subresource,
            name,
        } => [verb, namespace, group, version, resource, subresource, name]
            .iter()
            .map(|part| part.len())
            .sum(),
    };
    user.bytes() + what
}

/// Takes the token out of the headers.
fn take_token(headers: &mut HeaderMap) -> Option<String> {
    let value = headers.remove(header::AUTHORIZATION)?;
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// In the words of every API server, so that whoever knows them knows what to grant.
fn forbidden(user: &str, attributes: &Attributes, why: &str) -> Status {
    let what = match attributes {
        Attributes::Path { verb, path } => {
            format!("forbidden: User {user:?} cannot {verb} path {path:?}")
        }
        Attributes::Resource {
            verb,
            namespace,
            group,
            resource,
            subresource,
            name,
            ..
        } => {
            let dot = if group.is_empty() { "" } else { "." };
            let named = if name.is_empty() {
                String::new()
            } else {
                format!(" {name:?}")
            };
            let slash = if subresource.is_empty() { "" } else { "/" };
            let place = if namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {namespace:?}")
            };
            format!(
                "{resource}{dot}{group}{named} is forbidden: User {user:?} cannot {verb} resource \
                 \"{resource}{slash}{subresource}\" in API group {group:?} {place}"
            )
        }
    };
    let colon = if why.is_empty() { "" } else { ": " };
    Status::forbidden(format!("{what}{colon}{why}"))
}
