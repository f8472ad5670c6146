//! The parameters of a request, from its URL and its body.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};

use crate::api_error::ApiError;
use crate::form::Form;

/// Bytes of a form: each connection may hold one. Go takes ten times as many, for queries that nothing evaluates.
const FORM_BYTES_MAX: usize = 1 << 20;
/// How long one may take, within which Prometheus' clients have sent it long since.
const FORM_TIMEOUT: Duration = Duration::from_secs(5);

/// Parameters of body and URL; those of a form's body come first, as in Go, and those of one in parts last.
pub(super) async fn read_form(
    headers: &HeaderMap,
    query: Option<&str>,
    body: Body,
) -> Result<Form, ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let is_parts = kind.starts_with("multipart/form-data");
    if !is_parts && !kind.starts_with("application/x-www-form-urlencoded") {
        return Ok(Form::parse(query));
    }
    let reading = tokio::time::timeout(FORM_TIMEOUT, to_bytes(body, FORM_BYTES_MAX));
    let bytes = reading
        .await
        .map_err(|_| ApiError::bad_data("the form did not come within 5 s".to_owned()))?
        .map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
    if is_parts {
        return Form::parse(query)
            .with_parts(kind, &bytes)
            .map_err(|why| ApiError::bad_data(format!("error parsing form values: {why}")));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Form::parse([&*text].into_iter().chain(query)))
}
