//! Tokens by OAuth 2.0 client credentials (RFC 6749, 4.4): fetched once for all targets of a job, and again shortly
//! before they end.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::time::Instant;

use super::call::{Answer, Call, call};
use super::resolver::Resolver;
use super::told::shortened;
use super::transport::Transport;
use super::url::{Url, encode_query};
use crate::config::{OAuth2, Secret};

/// A token this close to its end is replaced.
const EARLY: Duration = Duration::from_secs(10);
/// A token server that is slower is down.
const TIMEOUT_MS: u64 = 10_000;
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// A longer token fits into no head of a request that servers read, and is copied for each scrape.
const TOKEN_BYTES_MAX: usize = 32 << 10;
/// After a failure, which is that of all targets of a job until then.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// A token is used for this long whatever is said of its end: targets may be scraped ten times a second.
const USED_AT_LEAST: Duration = Duration::from_secs(2);

/// The token in use.
#[derive(Default)]
pub(super) struct Tokens {
    /// Held across the fetch, so that the targets of a job wait for one fetch instead of making one each.
    current: tokio::sync::Mutex<Option<Result<Token, Failure>>>,
    forgotten: std::sync::atomic::AtomicBool,
}

struct Token {
    /// The whole value of `Authorization`.
    value: Secret,
    /// When it is replaced.
    until: Option<Instant>,
}

/// Why there is none.
struct Failure {
    why: String,
    /// When the server is asked again.
    until: Instant,
}

impl Tokens {
    /// The value of `Authorization`.
    pub(super) async fn token(
        &self,
        oauth2: &OAuth2,
        resolver: &Resolver,
    ) -> Result<Secret, String> {
        use std::sync::atomic::Ordering::Relaxed;
        let mut current = self.current.lock().await;
        if self.forgotten.swap(false, Relaxed) {
            *current = None;
        }
        let is_used = |until: Instant| Instant::now() < until;
        match &*current {
            Some(Ok(token)) if token.until.is_none_or(is_used) => return Ok(token.value.clone()),
            Some(Err(failure)) if is_used(failure.until) => return Err(failure.why.clone()),
            _ => {}
        }
        let fetched = fetch(oauth2, resolver).await;
        let answer = match &fetched {
            Ok(token) => Ok(token.value.clone()),
            Err(why) => Err(why.clone()),
        };
        *current = Some(fetched.map_err(|why| Failure {
            why,
            until: Instant::now() + ASKED_AGAIN,
        }));
        answer
    }

    /// The token is not used again.
    pub(super) fn forget(&self) {
        self.forgotten
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

async fn fetch(oauth2: &OAuth2, resolver: &Resolver) -> Result<Token, String> {
    let url = Url::parse(&oauth2.token_url).map_err(|error| format!("token_url: {error}"))?;
    let secret = match &oauth2.client_secret {
        Some(source) => source.read().await?,
        None => Secret::new(""),
    };
    let transport = Transport::new(oauth2.tls.clone(), oauth2.proxy.clone());
    let ask = async |in_body: bool| {
        let request = request(oauth2, &url, &secret, in_body);
        let answered = call(request, &transport, resolver).await;
        answered.map_err(|error| error.to_string())
    };
    // As Go's client does: by the header that every server must know, and if it is refused, in the body.
    let mut answer = ask(false).await?;
    if matches!(answer.status, 400 | 401) {
        answer = ask(true).await?;
    }
    read(&answer)
}

fn request(oauth2: &OAuth2, url: &Url, secret: &Secret, in_body: bool) -> Call {
    let mut pairs = vec![("grant_type", "client_credentials".to_owned())];
    if !oauth2.scopes.is_empty() {
        pairs.push(("scope", oauth2.scopes.join(" ")));
    }
    for (name, value) in &oauth2.endpoint_params {
        pairs.push((name, value.clone()));
    }
    let mut headers = "content-type: application/x-www-form-urlencoded\r\n".to_owned();
    if in_body {
        pairs.push(("client_id", oauth2.client_id.clone()));
        pairs.push(("client_secret", secret.expose().to_owned()));
    } else {
        let (mut id, mut encoded) = (String::new(), String::new());
        encode_query(&oauth2.client_id, &mut id);
        encode_query(secret.expose(), &mut encoded);
        let pair = STANDARD.encode(format!("{id}:{encoded}"));
        headers.push_str(&format!("authorization: Basic {pair}\r\n"));
    }
    let mut body = String::new();
    for (name, value) in &pairs {
        if !body.is_empty() {
            body.push('&');
        }
        encode_query(name, &mut body);
        body.push('=');
        encode_query(value, &mut body);
    }
    Call {
        method: "POST",
        url: url.clone(),
        headers: Secret::new(""),
        shown: Secret::new(headers),
        follow_redirects: false,
        body: body.into_bytes(),
        timeout_ms: TIMEOUT_MS,
        answer_bytes_max: ANSWER_BYTES_MAX,
    }
}

fn read(answer: &Answer) -> Result<Token, String> {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if !(200..300).contains(&answer.status) {
        let [code, more] =
            ["error", "error_description"].map(|key| shortened(json[key].as_str().unwrap_or("")));
        return Err(format!(
            "the token server answered {} {code} {more}",
            answer.status
        ));
    }
    let Some(token) = json["access_token"].as_str() else {
        return Err("the token server's answer holds no access_token".to_owned());
    };
    let kind = match json["token_type"].as_str() {
        None | Some("") => "Bearer",
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        Some(kind) => kind,
    };
    let seconds = json["expires_in"]
        .as_f64()
        .or_else(|| json["expires_in"].as_str()?.parse().ok());
    let lasts = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let lasts = lasts.filter(|lasts| !lasts.is_zero());
    let used = lasts.map(|lasts| lasts.saturating_sub(EARLY).max(USED_AT_LEAST));
    let value = format!("{kind} {token}");
    if value.len() > TOKEN_BYTES_MAX {
        let bytes = value.len();
        return Err(format!(
            "the token server gave a token of {bytes} bytes; {TOKEN_BYTES_MAX} at most are used"
        ));
    }
    Ok(Token {
        value: Secret::new(value),
        until: used.and_then(|used| Instant::now().checked_add(used)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<(String, bool), String> {
        let answer = Answer {
            status,
            content_type: String::new(),
            body: body.as_bytes().to_vec(),
        };
        let token = read(&answer)?;
        Ok((token.value.expose().to_owned(), token.until.is_some()))
    }

    /// A token of a megabyte that ended at once was fetched and copied for each of 200 targets.
    #[test]
    fn a_token_is_small_and_used_for_a_while() {
        let token = "x".repeat(TOKEN_BYTES_MAX);
        let refused = answer(200, &format!(r#"{{"access_token":"{token}"}}"#));
        assert!(refused.is_err_and(|why| why.contains("bytes")));
        let body = br#"{"access_token":"a","expires_in":1}"#.to_vec();
        let content_type = String::new();
        let token = read(&Answer {
            status: 200,
            content_type,
            body,
        })
        .expect("a token");
        assert!(
            token
                .until
                .is_some_and(|until| until > Instant::now() + USED_AT_LEAST / 2)
        );
    }

    /// A description of a megabyte was kept five times for each target of a job.
    #[test]
    fn of_what_a_token_server_says_of_a_refusal_the_start_is_told() {
        let long = "x".repeat(1 << 20);
        let refused = answer(
            400,
            &format!(r#"{{"error":"e","error_description":"{long}"}}"#),
        );
        assert!(refused.is_err_and(
            |why| why.starts_with("the token server answered 400 e xx") && why.len() < 500
        ));
    }

    #[test]
    fn answers_of_token_servers_are_read() {
        for (body, value, ends) in [
            (
                r#"{"access_token":"a","token_type":"bearer","expires_in":3600}"#,
                "Bearer a",
                true,
            ),
            (
                r#"{"access_token":"a","expires_in":"60"}"#,
                "Bearer a",
                true,
            ),
            (r#"{"access_token":"a","token_type":"MAC"}"#, "MAC a", false),
            (r#"{"access_token":"a","expires_in":-1}"#, "Bearer a", false),
            (
                r#"{"access_token":"a","expires_in":1e300}"#,
                "Bearer a",
                false,
            ),
        ] {
            assert_eq!(answer(200, body), Ok((value.to_owned(), ends)), "{body}");
        }
        for (status, body, says) in [
            (401, r#"{"error":"invalid_client"}"#, "401 invalid_client"),
            (200, "{}", "no access_token"),
            (200, "<html>", "no access_token"),
        ] {
            let error = answer(status, body).expect_err(body);
            assert!(error.contains(says), "{error}");
        }
    }
}
