//! Who is let in: a user with a password, or whoever has the token; and the headers that every answer gets.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use parking_lot::Mutex;
use stillwell_adapters::reply::reply;
use tokio::sync::Semaphore;

use super::settings::{WebConfig, read_file};

/// Passwords found right are remembered: KEDA sends its own with every poll, and each costs bcrypt tens of milliseconds.
const REMEMBERED_MAX: usize = 100;
/// Passwords at work at a time; guessing must not take all processors.
const AT_WORK_MAX: usize = 2;
/// Of a header with credentials.
const CREDENTIALS_BYTES_MAX: usize = 8 << 10;
/// A hash of nothing in particular, so that an unknown user costs what a known one does.
const NOBODY: &str = "$2b$10$CcE8o4c0VvW6Q8xg8m7B5uH9b5f1r9m5m9w8i9l0K2nq8xQzv3sVa";

/// Lets in, or not.
pub struct Authenticator {
    config: WebConfig,
    token: Option<String>,
    /// Fingerprints of what was found right, newest last. The keys are random per process, so they tell nobody anything.
    right: Mutex<Vec<(u64, u64)>>,
    keys: (RandomState, RandomState),
    at_work: Semaphore,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticator") // it holds secrets
    }
}

impl Authenticator {
    /// The gate of a configuration; reads its token.
    pub(super) fn new(config: WebConfig) -> Result<Authenticator, String> {
        let token = match &config.bearer_token_file {
            None => None,
            Some(path) => {
                let name = path.display();
                let text = String::from_utf8(read_file(path)?);
                let text = text.map_err(|_| format!("{name}: not UTF-8"))?;
                let token = text.trim().to_owned();
                if token.is_empty() {
                    return Err(format!("{name}: there is no token in it"));
                }
                Some(token)
            }
        };
        Ok(Authenticator {
            config,
            token,
            right: Mutex::default(),
            keys: (RandomState::new(), RandomState::new()),
            at_work: Semaphore::new(AT_WORK_MAX),
        })
    }

    /// Whether somebody has to show something to be let in.
    pub fn is_closed(&self) -> bool {
        !self.config.users.is_empty() || self.token.is_some()
    }

    /// The refusal, if this request is not let in.
    pub async fn refusal(self: &Arc<Authenticator>, headers: &HeaderMap) -> Option<Response<Body>> {
        if !self.is_closed() || self.lets_in(headers).await {
            return None;
        }
        let mut refusal = reply(
            StatusCode::UNAUTHORIZED,
            "text/plain; charset=utf-8",
            "Unauthorized\n".to_owned(),
        );
        let challenge = match self.config.users.is_empty() {
            true => "Bearer",
            false => "Basic",
        };
        refusal.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
        self.dress(&mut refusal);
        Some(refusal)
    }

    /// Puts the configured headers on an answer.
    pub fn dress(&self, response: &mut Response<Body>) {
        for (name, value) in &self.config.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }

    async fn lets_in(self: &Arc<Authenticator>, headers: &HeaderMap) -> bool {
        let Some(credentials) = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .filter(|text| text.len() <= CREDENTIALS_BYTES_MAX)
        else {
            return false;
        };
        let Some((scheme, rest)) = credentials.split_once(' ') else {
            return false;
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            let token = self.token.as_deref();
            return token.is_some_and(|token| same(token.as_bytes(), rest.trim().as_bytes()));
        }
        if !scheme.eq_ignore_ascii_case("basic") || self.config.users.is_empty() {
            return false;
        }
        match user_and_password(rest.trim()) {
            Some((user, password)) => self.knows(user, password).await,
            None => false,
        }
    }

    async fn knows(self: &Arc<Authenticator>, user: String, password: String) -> bool {
        let hash = self.config.users.get(&user).cloned();
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let fingerprint = {
            let what = (&user, &hash, &password);
            (self.keys.0.hash_one(what), self.keys.1.hash_one(what))
        };
        if self.right.lock().contains(&fingerprint) {
            return known;
        }
        let Ok(_slot) = self.at_work.acquire().await else {
            return false;
        };
        let work = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash));
        let right = matches!(work.await, Ok(Ok(true))) && known;
        if right {
            let mut all = self.right.lock();
            if all.len() >= REMEMBERED_MAX {
                all.remove(0);
            }
            all.push(fingerprint);
        }
        right
    }
}

fn user_and_password(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(base64(encoded)?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    LENIENT.decode(text).ok()
}

/// Compares in a time that does not tell how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_nobody_is_a_hash() {
        assert!(NOBODY.parse::<bcrypt::HashParts>().is_ok());
        assert!(!bcrypt::verify("", NOBODY).expect("a hash"));
    }

    #[test]
    fn base64_is_read_and_garbage_is_not() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("a2VkYTpzM2NyZXQ=", Some(b"keda:s3cret")),
            ("a2VkYTpzM2NyZXQ", Some(b"keda:s3cret")),
            ("+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("a b", None),
            ("ä", None),
        ] {
            assert_eq!(base64(text).as_deref(), bytes, "{text}");
        }
    }
}
