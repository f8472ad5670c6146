//! What messages of several APIs share in Kubernetes' protobuf, with the numbers of their fields as in `generated.proto` of
//! `k8s.io/apimachinery` and `k8s.io/metrics`; and the messages of `metrics.k8s.io`.

use std::collections::BTreeMap;

use prost::Message;
use stillwell_engine::Timestamp;

/// Before every message: tells protobuf from JSON.
const MAGIC: [u8; 4] = *b"k8s\0";

/// A message in the envelope of Kubernetes: four bytes, then `runtime.Unknown`.
pub(super) fn envelope(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let envelope = Unknown {
        type_meta: Some(TypeMeta {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        }),
        raw,
    };
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&envelope.encode_to_vec());
    out
}

/// `runtime.Unknown`
#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

/// `metav1.ListMeta`, of which nothing is used.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListMeta {}

/// `metav1.Time`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Time {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

impl Time {
    /// To the second, as the JSON form has it.
    pub(super) fn of(at: Timestamp) -> Time {
        Time {
            seconds: at.ms().div_euclid(1000),
            nanos: 0,
        }
    }
}

/// `metav1.Duration`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Duration {
    #[prost(int64, tag = "1")]
    pub(super) ns: i64,
}

/// `resource.Quantity`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Quantity {
    #[prost(string, tag = "1")]
    pub(super) text: String,
}

/// `metav1.ObjectMeta`, as much as is said here.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ObjectMeta {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
    #[prost(message, optional, tag = "8")]
    pub(super) created: Option<Time>,
    #[prost(btree_map = "string, string", tag = "11")]
    pub(super) labels: BTreeMap<String, String>,
}

/// `metrics.v1beta1.NodeMetricsList`
#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeMetricsList {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ListMeta>,
    #[prost(message, repeated, tag = "2")]
    pub(super) items: Vec<NodeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeMetrics {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) timestamp: Option<Time>,
    #[prost(message, optional, tag = "3")]
    pub(super) window: Option<Duration>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub(super) usage: BTreeMap<String, Quantity>,
}

/// `metrics.v1beta1.PodMetricsList`
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodMetricsList {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ListMeta>,
    #[prost(message, repeated, tag = "2")]
    pub(super) items: Vec<PodMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodMetrics {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) timestamp: Option<Time>,
    #[prost(message, optional, tag = "3")]
    pub(super) window: Option<Duration>,
    #[prost(message, repeated, tag = "4")]
    pub(super) containers: Vec<ContainerMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerMetrics {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(super) usage: BTreeMap<String, Quantity>,
}
