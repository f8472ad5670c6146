//! The Prometheus HTTP API, version 1: what KEDA, Grafana, promtool and client libraries send.

mod answer;
mod ast;
mod endpoints;
mod escaped_name;
mod federate;
mod guarded;
mod histogram;
mod live;
mod lookup;
mod metadata;
mod number;
mod params;
mod printer;
mod query;
mod request_form;
mod router;
mod rules;
mod search;
mod search_score;
mod stats;
mod status;
mod targets;
mod tsdb;

pub use crate::api_error::ApiError;
pub use answer::query_body;
pub use federate::quoted as quoted_label_value;
pub use guarded::REMEDY;
pub use printer::print_query;
pub use router::router;
