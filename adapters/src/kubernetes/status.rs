//! Errors as the Kubernetes API tells them: a `Status` object, so that `kubectl describe hpa` shows our reason.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use crate::json;
use crate::reply::{JSON, reply};

/// An error with the reason that API machinery knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl Status {
    /// 400: the request is wrong.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status {
            code: StatusCode::BAD_REQUEST,
            reason: "BadRequest",
            message: message.into(),
        }
    }

    /// 401: nobody knows who asks.
    pub fn unauthorized(message: impl Into<String>) -> Status {
        Status {
            code: StatusCode::UNAUTHORIZED,
            reason: "Unauthorized",
            message: message.into(),
        }
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Status {
        Status {
            code: StatusCode::FORBIDDEN,
            reason: "Forbidden",
            message: message.into(),
        }
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Status {
        Status {
            code: StatusCode::NOT_FOUND,
            reason: "NotFound",
            message: message.into(),
        }
    }

    /// 405.
    pub fn method_not_allowed(message: impl Into<String>) -> Status {
        let code = StatusCode::METHOD_NOT_ALLOWED;
        Status {
            code,
            reason: "MethodNotAllowed",
            message: message.into(),
        }
    }

    /// 406, naming what there is.
    pub fn not_acceptable(types: &str) -> Status {
        let message = format!("only the following media types are accepted: {types}");
        Status {
            code: StatusCode::NOT_ACCEPTABLE,
            reason: "NotAcceptable",
            message,
        }
    }

    /// 503: there is no number to tell. Never with `Retry-After`: the HPA's workers would sleep on it.
    pub fn unavailable(message: impl Into<String>) -> Status {
        let code = StatusCode::SERVICE_UNAVAILABLE;
        Status {
            code,
            reason: "ServiceUnavailable",
            message: message.into(),
        }
    }

    /// The answer that carries it.
    pub fn into_response(self) -> Response<Body> {
        let mut body =
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"#
                .to_owned();
        json::string(&mut body, &self.message);
        body.push_str(",\"reason\":");
        json::string(&mut body, self.reason);
        body.push_str(&format!(",\"code\":{}}}\n", self.code.as_u16()));
        reply(self.code, JSON, body)
    }
}
