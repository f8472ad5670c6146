//! Errors of the API: Prometheus' kinds, codes and JSON.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use stillwell_engine::promql::QueryError;

use crate::json;
use crate::reply::{JSON, reply};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    code: u16,
    kind: &'static str,
    message: String,
}

/// Nobody waits for the answer any more; the code is nginx's, and Prometheus'.
const CLIENT_CLOSED: u16 = 499;

impl ApiError {
    /// `bad_data`, 400.
    pub fn bad_data(message: impl Into<String>) -> ApiError {
        ApiError {
            code: 400,
            kind: "bad_data",
            message: message.into(),
        }
    }

    /// A parameter that does not parse, in Prometheus' words.
    pub fn parameter(name: &str, why: impl std::fmt::Display) -> ApiError {
        ApiError::bad_data(format!("invalid parameter {name:?}: {why}"))
    }

    /// `execution`, 422.
    pub fn execution(message: impl Into<String>) -> ApiError {
        ApiError {
            code: 422,
            kind: "execution",
            message: message.into(),
        }
    }

    /// `unavailable`, 503: no number may be told.
    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError {
            code: 503,
            kind: "unavailable",
            message: message.into(),
        }
    }

    /// `not_found`, 404.
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError {
            code: 404,
            kind: "not_found",
            message: message.into(),
        }
    }

    /// Whether the query is at fault, and not what is scraped or how much there is to do.
    pub fn is_of_the_query(&self) -> bool {
        matches!(self.code, 400 | 422)
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Its status, and what is wrong, for APIs whose errors are plain text.
    pub fn into_status(self) -> (StatusCode, String) {
        (self.status(), self.message)
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer that carries it.
    pub fn into_response(self) -> Response<Body> {
        let mut body = String::from("{\"status\":\"error\",\"errorType\":");
        json::string(&mut body, self.kind);
        body.push_str(",\"error\":");
        json::string(&mut body, &self.message);
        body.push('}');
        reply(self.status(), JSON, body)
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> ApiError {
        let message = error.to_string();
        let (code, kind) = match error {
            QueryError::BadData { .. } => (400, "bad_data"),
            QueryError::Execution(_) => (422, "execution"),
            QueryError::Timeout(_) => (503, "timeout"),
            QueryError::Overloaded(_) => (503, "unavailable"),
            QueryError::Canceled(_) => (CLIENT_CLOSED, "canceled"),
            _ => (500, "internal"),
        };
        ApiError {
            code,
            kind,
            message,
        }
    }
}
