//! Names and labels with a meaning of their own, which no row of the table says.

/// Whether whoever scraped a source behind a page could read it.
pub(crate) const UP: &str = "up";

/// The metric with the start time of a process, in seconds since the epoch (Prometheus' client libraries).
pub(crate) const START_TIME: &str = "process_start_time_seconds";

/// The metric that is 1 on the replica that holds a lease and 0 on the others (controller-runtime).
pub(crate) const LEADER: &str = "leader_election_master_status";

/// Labels that a client's request decides; they never put a target out of scope (S3b), and `or vector(c)` waives
/// their proof (S4).
pub(crate) const REQUEST_LABELS: &[&str] =
    &["fairness_id", "model_name", "priority", "target_model_name"];

/// The gauges in which gateways expose their build.
pub(crate) const INFO: [&str; 2] = ["llm_d_epp_info", "inference_extension_info"];

/// Labels that name the pool which a gateway serves: constant for a process (S3b).
pub(crate) const POOL_LABELS: &[&str] = &["inference_pool", "name"];

/// Parts of a histogram or summary.
pub(super) const SUFFIXES: [&str; 4] = ["", "_bucket", "_sum", "_count"];
