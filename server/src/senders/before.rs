//! What was known of senders' series before this program started (rule S6f): those of their last pages, and those that were
//! silent then. A snapshot has the pages; beside it stands who the senders are and what was silent.
//!
//! A series that has not come again is not known, as without the restart, until it comes, a stale marker ends it or it counts as
//! ended.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use stillwell_engine::Reader;
use stillwell_engine::labels::Labels;

/// Series, each with when it was sent last as far as that is known, in milliseconds.
pub(super) type Sent = Vec<(Labels, i64)>;

/// What was known, by the labels of the sender as a target.
#[derive(Debug, Default)]
pub struct Before(Mutex<HashMap<Labels, Sent>>);

impl Before {
    /// Of an earlier run, from the bytes of [`write`] and the engine that goes on from its snapshot. Bytes that are not those are
    /// no senders.
    pub fn read(bytes: &[u8], reader: &Reader) -> Before {
        let list: Vec<Value> = serde_json::from_slice(bytes).unwrap_or_default();
        let one = |item: &Value| {
            let silent = item.get(1)?.as_array()?.iter();
            let silent =
                silent.filter_map(|one| Some((labels(one.get(0)?)?, one.get(1)?.as_i64()?)));
            Some((labels(item.get(0)?)?, silent.collect()))
        };
        let mut senders: HashMap<Labels, Sent> = list.iter().filter_map(one).collect();
        let targets: Vec<Labels> = senders.keys().cloned().collect();
        for (target, page) in targets.iter().zip(reader.newest_pages(&targets)) {
            if let (Some((at, shown)), Some(sent)) = (page, senders.get_mut(target)) {
                sent.extend(shown.into_iter().map(|labels| (labels, at.ms())));
            }
        }
        Before(Mutex::new(senders))
    }

    /// Takes what was known of one sender.
    pub(super) fn take(&self, target: &Labels) -> Sent {
        self.0.lock().remove(target).unwrap_or_default()
    }

    /// What was known of senders that have not been heard of since.
    pub(super) fn left(&self) -> Vec<(Labels, Sent)> {
        let left = self.0.lock();
        left.iter()
            .map(|(of, sent)| (of.clone(), sent.clone()))
            .collect()
    }
}

/// The bytes of senders, each with what is silent.
pub(super) fn write(senders: impl Iterator<Item = (Labels, Sent)>) -> Vec<u8> {
    let series = |(labels, at_ms): &(Labels, i64)| json!([object(labels), at_ms]);
    let list: Vec<Value> = senders
        .map(|(target, silent)| {
            json!([
                object(&target),
                silent.iter().map(series).collect::<Vec<_>>()
            ])
        })
        .collect();
    Value::Array(list).to_string().into_bytes()
}

fn object(labels: &Labels) -> Value {
    let pairs = labels
        .iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn labels(object: &Value) -> Option<Labels> {
    let pairs: Option<Vec<(&str, &str)>> = object
        .as_object()?
        .iter()
        .map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    Some(Labels::from_pairs(pairs?))
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;
    use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};

    use super::*;

    #[test]
    fn of_each_sender_the_series_of_its_page_and_those_that_were_silent_come_back() {
        let target = labels! { "instance" => "0", "job" => "shards", "shard" => "0" };
        let (mut writer, reader) = Engine::new(Limits::default());
        let (_, mut stage) = writer.add_target(TargetSpec {
            labels: target.clone(),
            honor_labels: true,
            ..TargetSpec::default()
        });
        let at = Timestamp::from_ms(1_800_000_000_000);
        let staged = stage
            .parse(b"q{instance=\"a\"} 5\n", Format::Text)
            .expect("valid");
        writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("taken");
        let silent = labels! { "__name__" => "q", "instance" => "b \"x\"" };
        let other = labels! { "instance" => "1", "job" => "shards", "shard" => "1" };
        let senders = [
            (target.clone(), vec![(silent.clone(), 7)]),
            (other.clone(), Vec::new()),
        ];
        let before = Before::read(&write(senders.into_iter()), &reader);
        let shown =
            labels! { "__name__" => "q", "instance" => "a", "job" => "shards", "shard" => "0" };
        assert_eq!(before.take(&target), [(silent, 7), (shown, at.ms())]);
        assert!(before.take(&target).is_empty());
        assert_eq!(before.left(), [(other, Vec::new())]);
        for garbage in [&b""[..], b"{}", b"[[1,2]]", b"[[{\"a\":1},[]]]"] {
            assert!(Before::read(garbage, &reader).left().is_empty());
        }
    }
}
