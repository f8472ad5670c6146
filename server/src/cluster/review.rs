//! TokenReview and SubjectAccessReview, asked as API servers ask them (`k8s.io/apiserver/plugin/pkg/authorizer/webhook`).

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::Cluster;
use super::bounded::is_too_long;

/// An HPA's worker waits for the answer; the whole of it has 4.5 s.
const REVIEW_MS: u64 = 3_000;
/// A connection that died while it lay idle fails at once; the next try has a new one.
const TRIES: u32 = 3;
const PAUSE_MS: u64 = 100;

/// Bytes of a user that are kept with a token, and of the reason of a verdict: a user in 500 groups takes 16 KiB.
const USER_BYTES_MAX: usize = 32 << 10;
const REASON_BYTES_MAX: usize = 1 << 10;

/// A user as API servers describe one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        let texts = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        let extra = self.extra.iter();
        let extra: usize = extra.map(|(key, values)| key.len() + texts(values)).sum();
        self.name.len() + self.uid.len() + texts(&self.groups) + extra
    }
}

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attributes {
    Resource {
        verb: String,
        namespace: String,
        group: String,
        version: String,
        resource: String,
        subresource: String,
        name: String,
    },
    Path {
        verb: String,
        path: String,
    },
}

/// What the API server says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    /// May be empty.
    pub(crate) reason: String,
}

impl Cluster {
    /// Who holds a token; `None` is nobody, by the API server's word.
    pub(crate) async fn token_review(&self, token: String) -> Result<Option<User>, String> {
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let review = TokenReview {
            spec: TokenReviewSpec {
                token,
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let answer = persist("TokenReview", || async {
            api.create(&PostParams::default(), &review).await
        });
        let Some(status) = answer.await?.status else {
            return Err("TokenReview: the API server answered without a status".to_owned());
        };
        if status.authenticated != Some(true) {
            return Ok(None);
        }
        let user = status.user.unwrap_or_default();
        let user = User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        };
        match user.bytes() {
            bytes if bytes > USER_BYTES_MAX => Err(format!(
                "TokenReview: the API server describes the user in {bytes} bytes; at most {USER_BYTES_MAX} are kept"
            )),
            _ => Ok(Some(user)),
        }
    }

    /// Whether a user may do something.
    pub(crate) async fn access_review(
        &self,
        user: User,
        attributes: Attributes,
    ) -> Result<Verdict, String> {
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = SubjectAccessReview {
            spec: spec(user, attributes),
            ..SubjectAccessReview::default()
        };
        let answer = persist("SubjectAccessReview", || async {
            api.create(&PostParams::default(), &review).await
        });
        let Some(status) = answer.await?.status else {
            return Err("SubjectAccessReview: the API server answered without a status".to_owned());
        };
        // An evaluation error beside `allowed` is for logs: some authorizer did not answer, another said yes.
        let mut why = status
            .reason
            .or(status.evaluation_error)
            .unwrap_or_default();
        why.truncate(why.floor_char_boundary(REASON_BYTES_MAX));
        Ok(Verdict {
            allowed: status.allowed && status.denied != Some(true),
            reason: why,
        })
    }
}

fn spec(user: User, attributes: Attributes) -> SubjectAccessReviewSpec {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let mut spec = SubjectAccessReviewSpec {
        user: text(user.name),
        uid: text(user.uid),
        groups: Some(user.groups).filter(|groups| !groups.is_empty()),
        extra: Some(user.extra).filter(|extra| !extra.is_empty()),
        ..SubjectAccessReviewSpec::default()
    };
    match attributes {
        Attributes::Resource {
            verb,
            namespace,
            group,
            version,
            resource,
            subresource,
            name,
        } => {
            spec.resource_attributes = Some(ResourceAttributes {
                verb: text(verb),
                namespace: text(namespace),
                group: text(group),
                version: text(version),
                resource: text(resource),
                subresource: text(subresource),
                name: text(name),
                ..ResourceAttributes::default()
            });
        }
        Attributes::Path { verb, path } => {
            spec.non_resource_attributes = Some(NonResourceAttributes {
                path: text(path),
                verb: text(verb),
            });
        }
    }
    spec
}

/// Asks, again where nobody answered or the server was in trouble, until the deadline.
async fn persist<T, F>(what: &str, ask: impl Fn() -> F) -> Result<T, String>
where
    F: Future<Output = kube::Result<T>>,
{
    let asking = async {
        let mut tries = 1;
        loop {
            match ask().await {
                Err(error) if tries < TRIES && passes(&error) => tries += 1,
                result => return result,
            }
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
    };
    match tokio::time::timeout(Duration::from_millis(REVIEW_MS), asking).await {
        Ok(result) => result.map_err(|error| format!("{what}: {}", super::words(&error))),
        Err(_) => Err(format!(
            "{what}: the API server did not answer within {REVIEW_MS} ms"
        )),
    }
}

/// Whether another try may succeed.
fn passes(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == 429,
        // An answer that is too long will be so again, and asking for it costs both sides the most.
        kube::Error::Service(error) => !is_too_long(&**error),
        kube::Error::HyperError(_) => true,
        _ => false,
    }
}
