//! What a client shows to servers: credentials and headers; and the transport by which it reaches them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::HttpError;
use super::oauth2::Tokens;
use super::resolver::Resolver;
use super::transport::Transport;
use crate::config::{BasicAuth, Credentials, HttpClientConfig, Secret, SecretSource};

/// A secret's file is not read more often than this: a rotated one is in use a second later, and a job of a hundred
/// targets at 100 ms does not read a thousand files a second.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The options of a client in use. Targets of one job share it.
pub struct Identity {
    config: HttpClientConfig,
    credentials: Credentials,
    transport: Transport,
    tokens: Tokens,
    /// Secrets from files, and when they were read. Held for a look only.
    files: Mutex<HashMap<PathBuf, (Instant, Secret)>>,
}

impl Identity {
    /// A client with these options.
    pub fn new(config: HttpClientConfig) -> Arc<Identity> {
        Arc::new(Identity {
            credentials: config.credentials(),
            transport: Transport::new(config.tls.clone(), config.proxy.clone()),
            tokens: Tokens::default(),
            files: Mutex::default(),
            config,
        })
    }

    /// A client without any.
    pub fn anonymous() -> Arc<Identity> {
        Identity::new(HttpClientConfig::default())
    }

    /// Its options.
    pub fn config(&self) -> &HttpClientConfig {
        &self.config
    }

    /// How it reaches servers.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Whether it adds nothing to a request.
    pub fn adds_nothing(&self) -> bool {
        self.credentials == Credentials::None && self.config.headers.is_empty()
    }

    /// The lines that it adds to the head of a request. They hold secrets.
    pub async fn header_lines(&self, resolver: &Resolver) -> Result<Secret, HttpError> {
        let mut lines = String::new();
        for header in &self.config.headers {
            for source in &header.values {
                let value = self.secret(source).await?;
                push_line(&mut lines, &header.name, value.expose())?;
            }
        }
        let authorization = match &self.credentials {
            Credentials::None => None,
            Credentials::Basic(basic) => Some(self.basic(basic).await?),
            Credentials::Authorization(authorization) => {
                let scheme = match authorization.scheme.as_str() {
                    "" => "Bearer",
                    scheme => scheme,
                };
                match &authorization.credentials {
                    Some(source) => {
                        let credentials = self.secret(source).await?;
                        Some(format!("{scheme} {}", credentials.expose()))
                    }
                    None => None,
                }
            }
            Credentials::OAuth2(oauth2) => {
                let token = self.tokens.token(oauth2, resolver).await;
                let token =
                    token.map_err(|why| HttpError::Credentials(format!("oauth2: {why}")))?;
                Some(token.expose().to_owned())
            }
        };
        if let Some(authorization) = authorization {
            push_line(&mut lines, "authorization", &authorization)?;
        }
        Ok(Secret::new(lines))
    }

    /// A server did not accept the credentials: what is remembered of them is dropped.
    pub fn refused(&self) {
        self.tokens.forget();
        self.files.lock().clear();
    }

    async fn basic(&self, basic: &BasicAuth) -> Result<String, HttpError> {
        let mut parts = [String::new(), String::new()];
        for (part, source) in parts.iter_mut().zip([&basic.username, &basic.password]) {
            if let Some(source) = source {
                *part = self.secret(source).await?.expose().to_owned();
            }
        }
        Ok(format!("Basic {}", STANDARD.encode(parts.join(":"))))
    }

    async fn secret(&self, source: &SecretSource) -> Result<Secret, HttpError> {
        let path = match source {
            SecretSource::Given(secret) => return Ok(secret.clone()),
            SecretSource::File(path) => path,
        };
        if let Some((read, secret)) = self.files.lock().get(path)
            && read.elapsed() < READ_AGAIN
        {
            return Ok(secret.clone());
        }
        let secret = source.read().await.map_err(HttpError::Credentials)?;
        let entry = (Instant::now(), secret.clone());
        self.files.lock().insert(path.clone(), entry);
        Ok(secret)
    }
}

/// A line of a head, where its value can be one.
fn push_line(lines: &mut String, name: &str, value: &str) -> Result<(), HttpError> {
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(HttpError::Credentials(format!(
            "the value of {name} has a line break or another control character"
        )));
    }
    lines.push_str(name);
    lines.push_str(": ");
    lines.push_str(value);
    lines.push_str("\r\n");
    Ok(())
}
