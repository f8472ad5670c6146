//! Latches over a restart: written into the snapshot, and taken up by the first trigger that is the same.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::{Value, json};

/// By namespace and name of the ScaledObject and the text of the trigger: since when it is active, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Latches(Mutex<HashMap<[String; 3], i64>>);

impl Latches {
    /// Of an earlier run; bytes that are not those of [`write`] are none.
    pub(super) fn read(bytes: &[u8]) -> Latches {
        let list: Vec<Value> = serde_json::from_slice(bytes).unwrap_or_default();
        let one = |item: &Value| {
            let text = |at: usize| Some(item.get(at)?.as_str()?.to_owned());
            Some(([text(0)?, text(1)?, text(2)?], item.get(3)?.as_i64()?))
        };
        Latches(Mutex::new(list.iter().filter_map(one).collect()))
    }

    /// Takes up that of a trigger.
    pub(super) fn take(&self, namespace: &str, name: &str, trigger: &str) -> Option<i64> {
        let mut latches = self.0.lock();
        if latches.is_empty() {
            return None;
        }
        latches.remove(&[namespace, name, trigger].map(str::to_owned))
    }

    /// Those that no trigger has taken up yet.
    pub(super) fn left(&self) -> Vec<([String; 3], i64)> {
        let latches = self.0.lock();
        latches.iter().map(|(of, ms)| (of.clone(), *ms)).collect()
    }
}

/// The bytes of latches.
pub(super) fn write(latches: impl Iterator<Item = ([String; 3], i64)>) -> Vec<u8> {
    let list: Vec<Value> = latches
        .map(|([namespace, name, trigger], since_ms)| json!([namespace, name, trigger, since_ms]))
        .collect();
    Value::Array(list).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latch_is_taken_up_once_and_by_its_trigger_alone() {
        let of = |name: &str| ["ns", name, "t"].map(str::to_owned);
        let bytes = write([(of("a"), 5), (of("b"), 6)].into_iter());
        let latches = Latches::read(&bytes);
        assert_eq!(latches.take("ns", "a", "other"), None);
        assert_eq!(latches.take("ns", "a", "t"), Some(5));
        assert_eq!(latches.take("ns", "a", "t"), None);
        assert_eq!(latches.left(), [(of("b"), 6)]);
        for garbage in [&b""[..], b"{}", b"[[1,2,3,4]]", b"[[\"a\"]]"] {
            assert!(Latches::read(garbage).left().is_empty());
        }
    }
}
