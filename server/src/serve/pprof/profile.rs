//! A profile in pprof's format (google/pprof, proto/profile.proto): samples with a stack of names, gzipped.

use std::collections::HashMap;
use std::io::Write;

use prost::Message;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What a value counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Count,
    Bytes,
    Nanoseconds,
}

/// A profile while it is put together.
pub(super) struct Profile {
    message: ProfileMessage,
    texts: HashMap<String, i64>,
    /// Names that have a function and a location; both have the number of the name.
    named: HashMap<String, u64>,
}

impl Profile {
    /// One whose samples have these values; `seconds` is how long was measured, 0 where it is about one moment.
    pub(super) fn new(values: &[(&str, Unit)], seconds: u64) -> Profile {
        let mut profile = Profile {
            message: ProfileMessage::default(),
            texts: HashMap::new(),
            named: HashMap::new(),
        };
        profile.text(""); // the first text must be empty
        for (name, unit) in values {
            let unit = match unit {
                Unit::Count => "count",
                Unit::Bytes => "bytes",
                Unit::Nanoseconds => "nanoseconds",
            };
            let value_type = ValueType {
                kind: profile.text(name),
                unit: profile.text(unit),
            };
            profile.message.sample_type.push(value_type);
        }
        profile.message.period_type = profile.message.sample_type.last().copied();
        profile.message.period = 1;
        profile.message.duration_nanos = (seconds * NANOS_PER_SECOND) as i64;
        profile
    }

    /// Adds a sample: the names from the outermost to the innermost, and a value per kind.
    pub(super) fn add(&mut self, stack: &[&str], values: &[u64]) {
        let locations = stack.iter().rev().map(|name| self.location(name));
        let sample = Sample {
            location_id: locations.collect(),
            value: values.iter().map(|value| *value as i64).collect(),
        };
        self.message.sample.push(sample);
    }

    fn location(&mut self, name: &str) -> u64 {
        if let Some(id) = self.named.get(name) {
            return *id;
        }
        let id = self.named.len() as u64 + 1;
        let text = self.text(name);
        self.message.function.push(Function {
            id,
            name: text,
            system_name: text,
        });
        self.message.location.push(Location {
            id,
            line: vec![Line { function_id: id }],
        });
        self.named.insert(name.to_owned(), id);
        id
    }

    fn text(&mut self, text: &str) -> i64 {
        if let Some(at) = self.texts.get(text) {
            return *at;
        }
        let at = self.message.string_table.len() as i64;
        self.message.string_table.push(text.to_owned());
        self.texts.insert(text.to_owned(), at);
        at
    }

    /// The profile as it is sent.
    pub(super) fn encode(self) -> Vec<u8> {
        let plain = self.message.encode_to_vec();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let packed = encoder.write_all(&plain).and_then(|()| encoder.finish());
        packed.unwrap_or(plain) // writing to memory does not fail
    }
}

#[derive(Clone, PartialEq, Message)]
struct ProfileMessage {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn names_are_told_once_and_stacks_begin_with_the_innermost() {
        let mut profile = Profile::new(&[("cpu", Unit::Nanoseconds)], 2);
        profile.add(&["all", "a"], &[5]);
        profile.add(&["all", "b"], &[7]);
        let packed = profile.encode();
        let mut plain = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
        decoder.read_to_end(&mut plain).expect("gzip");
        let read = ProfileMessage::decode(&plain[..]).expect("protobuf");
        let texts = ["", "cpu", "nanoseconds", "a", "all", "b"];
        assert_eq!(read.string_table, texts);
        assert_eq!(read.duration_nanos, 2_000_000_000);
        assert_eq!(read.function.len(), 3);
        let name = |location: u64| {
            let of = &read.location[location as usize - 1];
            let function = read.function[of.line[0].function_id as usize - 1];
            read.string_table[function.name as usize].as_str()
        };
        let stacks: Vec<Vec<&str>> = read
            .sample
            .iter()
            .map(|sample| sample.location_id.iter().map(|id| name(*id)).collect())
            .collect();
        assert_eq!(stacks, [["a", "all"], ["b", "all"]]);
    }
}
