//! Requests over plain HTTP, one a connection: to `kubectl proxy`, which speaks for an administrator, and to Stillwell.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::Failure;

/// One request.
const WAIT: Duration = Duration::from_secs(20);

/// Sends a request and returns the status and the body.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> Result<(u16, String), Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("half an answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or("no status")?, body.to_owned()))
}

/// GETs JSON.
pub fn get(address: &str, path: &str) -> Result<Value, Failure> {
    let (status, body) = request(address, "GET", path, "application/json", "")?;
    match status {
        200..=299 => Ok(serde_json::from_str(&body)?),
        status => Err(format!("{path}: {status} {body}").into()),
    }
}

/// Sends JSON and returns what comes back.
pub fn send(address: &str, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let (status, text) = request(address, method, path, content_type, &body.to_string())?;
    match status {
        200..=299 => Ok(serde_json::from_str(&text)?),
        status => Err(format!("{method} {path}: {status} {text}").into()),
    }
}
