//! Who the client is, by whichever of the options says so.

use super::super::secret::{Secret, SecretSource};
use super::options::{Authorization, BasicAuth, HttpClientConfig, OAuth2};

/// Who the client is.
#[derive(Clone, Debug, PartialEq)]
pub enum Credentials {
    /// Nobody.
    None,
    /// A name and a password.
    Basic(BasicAuth),
    /// `Authorization: SCHEME CREDENTIALS`.
    Authorization(Authorization),
    /// A token that is fetched with client credentials.
    OAuth2(Box<OAuth2>),
}

impl HttpClientConfig {
    /// Who the client is.
    pub fn credentials(&self) -> Credentials {
        if let Some(basic) = &self.basic_auth {
            return Credentials::Basic(basic.clone());
        }
        if let Some(oauth2) = &self.oauth2 {
            return Credentials::OAuth2(oauth2.clone());
        }
        if let Some(authorization) = &self.authorization {
            return Credentials::Authorization(authorization.clone());
        }
        let bearer = match (&self.bearer_token, &self.bearer_token_file) {
            (Some(token), _) => SecretSource::Given(token.clone()),
            (None, Some(path)) => SecretSource::File(path.clone()),
            (None, None) => return Credentials::None,
        };
        Credentials::Authorization(Authorization {
            scheme: String::new(),
            credentials: Some(bearer),
        })
    }

    /// Takes the user and password that a URL names, where no credentials are given otherwise, as Go's client does.
    pub(in crate::config) fn take_user_of(&mut self, url: &str) {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let Some((user, _)) = authority.rsplit_once('@') else {
            return;
        };
        if !matches!(self.credentials(), Credentials::None) {
            return;
        }
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let given = |text: &str| SecretSource::Given(Secret::new(percent_decoded(text)));
        self.basic_auth = Some(BasicAuth {
            username: Some(given(name)),
            password: Some(given(password)),
        });
    }
}

/// `%40` as `@`; what is no such escape stays.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let decoded = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match decoded.filter(|_| byte == b'%') {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
