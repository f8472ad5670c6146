//! KEDA's external scaler: any bytes are a message or none, and any metadata is a trigger or a refusal that names a key.

use std::collections::BTreeMap;

use prost::Message as _;
use stillwell_adapters::keda::{GetMetricsRequest, ScaledObjectRef, Trigger};

/// Decodes the bytes as each request; reads them as lines of `key=value` as well, so that mutations reach the trigger.
pub fn run(data: &[u8]) {
    let mut all = vec![lines(&String::from_utf8_lossy(data))];
    all.extend(ScaledObjectRef::decode(data).map(|reference| reference.scaler_metadata));
    if let Ok(request) = GetMetricsRequest::decode(data) {
        all.push(
            request
                .scaled_object_ref
                .unwrap_or_default()
                .scaler_metadata,
        );
    }
    for metadata in all {
        match Trigger::parse(&metadata) {
            Ok(trigger) => {
                assert!(trigger.threshold > 0.0 && trigger.threshold.is_finite());
                assert!(trigger.activation_threshold.is_finite());
                assert!(trigger.latch_ms >= 0 && trigger.hold_ms.is_none_or(|ms| ms >= 0));
                let name = trigger.metric_name();
                assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()));
            }
            Err(refusal) => assert!(!refusal.key.is_empty() && !refusal.why.is_empty()),
        }
    }
}

fn lines(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
