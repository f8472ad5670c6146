//! Why a caller gets no number: gRPC's code, the metadata key at fault, and the reason.

use std::fmt;

use tonic::{Code, Status};

/// An answer that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// gRPC's code.
    pub code: Code,
    /// The key of the trigger's metadata that is to blame; empty where none is.
    pub key: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl Refusal {
    /// The trigger itself is wrong; asking again does not help.
    pub fn invalid(key: &str, why: impl fmt::Display) -> Refusal {
        Refusal::new(Code::InvalidArgument, key, why)
    }

    /// A limit is reached.
    pub fn exhausted(key: &str, why: impl fmt::Display) -> Refusal {
        Refusal::new(Code::ResourceExhausted, key, why)
    }

    /// This caller may not.
    pub fn denied(key: &str, why: impl fmt::Display) -> Refusal {
        Refusal::new(Code::PermissionDenied, key, why)
    }

    /// No number may be told now (S9b).
    pub fn unknown(why: impl fmt::Display) -> Refusal {
        Refusal::new(Code::Unavailable, "", why)
    }

    fn new(code: Code, key: &str, why: impl fmt::Display) -> Refusal {
        Refusal {
            code,
            key: key.to_owned(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&self.why),
            key => write!(f, "{key}: {}", self.why),
        }
    }
}

impl std::error::Error for Refusal {}

/// Of a reason as much as fits well into a header; proxies refuse headers of more than a few kilobytes.
const MESSAGE_BYTES_MAX: usize = 2_000;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let mut message = refusal.to_string();
        if message.len() > MESSAGE_BYTES_MAX {
            let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
            message.truncate(end);
            message.push_str(" ...");
        }
        Status::new(refusal.code, message)
    }
}
