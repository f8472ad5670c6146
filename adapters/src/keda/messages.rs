//! The messages of KEDA's external scaler, by the field numbers of its published contract (`externalscaler.proto`).

use std::collections::BTreeMap;

/// Who asks: a ScaledObject and its trigger.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScaledObjectRef {
    /// The ScaledObject's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its namespace. Whoever can reach the port can write any.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// The trigger's metadata, KEDA's own keys included.
    #[prost(btree_map = "string, string", tag = "3")]
    pub scaler_metadata: BTreeMap<String, String>,
}

/// Whether to be awake.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct IsActiveResponse {
    /// True: at least one replica.
    #[prost(bool, tag = "1")]
    pub result: bool,
}

/// What the HPA shall hold its metric against.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetMetricSpecResponse {
    /// At least one; none is an error to KEDA.
    #[prost(message, repeated, tag = "1")]
    pub metric_specs: Vec<MetricSpec>,
}

/// One metric and its target.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricSpec {
    /// The metric; KEDA puts `s<index>-` before it.
    #[prost(string, tag = "1")]
    pub metric_name: String,
    /// Read where the float is not above 0, and by a KEDA that knows no floats.
    #[prost(int64, tag = "2")]
    pub target_size: i64,
    /// The target per replica.
    #[prost(double, tag = "3")]
    pub target_size_float: f64,
}

/// Asks for a number.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetMetricsRequest {
    /// Who asks.
    #[prost(message, optional, tag = "1")]
    pub scaled_object_ref: Option<ScaledObjectRef>,
    /// Which metric, without KEDA's prefix.
    #[prost(string, tag = "2")]
    pub metric_name: String,
}

/// The numbers; the HPA adds them up.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetMetricsResponse {
    /// One here.
    #[prost(message, repeated, tag = "1")]
    pub metric_values: Vec<MetricValue>,
}

/// One number.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricValue {
    /// The metric.
    #[prost(string, tag = "1")]
    pub metric_name: String,
    /// Read where the float is not above 0, and by a KEDA that knows no floats.
    #[prost(int64, tag = "2")]
    pub metric_value: i64,
    /// The number.
    #[prost(double, tag = "3")]
    pub metric_value_float: f64,
}
