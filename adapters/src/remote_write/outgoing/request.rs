//! A request while it is written.

use prost::Message;
use stillwell_engine::Exemplar;
use stillwell_engine::metadata::{FamilyMetadata, FamilyType};
use stillwell_engine::promql::select::Samples;

use super::histogram::histogram;
use super::packed::{Counts, Packed, Packer};
use super::symbols::Symbols;
use super::wire::{bytes_length, put_bytes, put_double, put_key, put_varint, varint_length};
use crate::remote_write::{Protocol, messages};

/// The wire type of what has a length before it.
const LENGTH: u32 = 2;
/// The tag of samples, the same in both versions.
const SAMPLES: u32 = 2;

/// A request under way.
pub struct Outgoing {
    protocol: Protocol,
    /// Entries, and in 1.0 metadata.
    entries: Vec<u8>,
    symbols: Symbols,
    counts: Counts,
    newest_ms: i64,
    /// The entry under way, and its parts.
    entry: Vec<u8>,
    part: Vec<u8>,
}

/// What of a sample's family 2.0 tells with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described<'a> {
    /// The type.
    pub family_type: FamilyType,
    /// The help text.
    pub help: &'a str,
    /// The unit.
    pub unit: &'a str,
}

/// Tags that the two versions number differently.
struct Fields {
    series: u32,
    histograms: u32,
    exemplars: u32,
}

impl Outgoing {
    /// An empty request.
    pub fn new(protocol: Protocol) -> Outgoing {
        Outgoing {
            protocol,
            entries: Vec::new(),
            symbols: Symbols::default(),
            counts: Counts::default(),
            newest_ms: i64::MIN,
            entry: Vec::new(),
            part: Vec::new(),
        }
    }

    /// Of which version it is.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What it holds so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Its bytes so far, before they are packed.
    pub fn bytes(&self) -> usize {
        self.entries.len() + self.symbols.bytes()
    }

    /// Adds a series. Histograms are left out unless `with_histograms`; times are moved by `offset_ms`. Of its labels none may
    /// have a name twice.
    pub fn push<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        described: Option<Described<'_>>,
        samples: &Samples,
        (offset_ms, with_histograms): (i64, bool),
    ) {
        let head = self.begin(labels);
        let is_histogram = |at: usize| samples.histograms.get(at).is_some_and(Option::is_some);
        let mut at = 0;
        while at < samples.times_ms.len() {
            let of_histograms = is_histogram(at);
            let from = at;
            while at < samples.times_ms.len() && is_histogram(at) == of_histograms {
                at += 1;
            }
            if of_histograms && !with_histograms {
                continue;
            }
            self.entry.truncate(head);
            for index in from..at {
                let time_ms = samples.times_ms[index].saturating_add(offset_ms);
                self.newest_ms = self.newest_ms.max(samples.times_ms[index]);
                match samples.histograms.get(index).and_then(Option::as_ref) {
                    Some(value) => self.histogram(&histogram(value, time_ms)),
                    None => self.sample(samples.values[index], time_ms),
                }
            }
            if let (Protocol::V2, Some(described)) = (self.protocol, described) {
                self.described(described);
            }
            self.end();
        }
    }

    /// Adds an exemplar of a series.
    pub fn push_exemplar<'a>(
        &mut self,
        series: impl Iterator<Item = (&'a str, &'a str)>,
        exemplar: &Exemplar,
        offset_ms: i64,
    ) {
        self.begin(series);
        let mut one = Vec::new();
        std::mem::swap(&mut self.entry, &mut one);
        self.labels(exemplar.labels.iter());
        put_double(&mut self.entry, 2, exemplar.value);
        let time_ms = exemplar.time_ms.saturating_add(offset_ms);
        put_key(&mut self.entry, 3, 0);
        put_varint(&mut self.entry, time_ms as u64);
        std::mem::swap(&mut self.entry, &mut one);
        let tag = self.fields().exemplars;
        put_bytes(&mut self.entry, tag, &one);
        self.counts.exemplars += 1;
        self.end();
    }

    /// Adds what is known of a family. 2.0 tells it with the series instead: nothing is added.
    pub fn push_metadata(&mut self, family: &str, metadata: &FamilyMetadata) {
        if self.protocol == Protocol::V2 {
            return;
        }
        self.part.clear();
        put_key(&mut self.part, 1, 0);
        put_varint(&mut self.part, type_number(metadata.family_type));
        put_bytes(&mut self.part, 2, family.as_bytes());
        put_bytes(&mut self.part, 4, metadata.help.as_bytes());
        put_bytes(&mut self.part, 5, metadata.unit.as_bytes());
        put_bytes(&mut self.entries, 3, &self.part);
        self.counts.metadata += 1;
    }

    /// The request as it is sent; an empty one begins. `None`: there is nothing in it.
    pub fn take(&mut self, packer: &mut Packer) -> Option<Packed> {
        let counts = std::mem::take(&mut self.counts);
        let newest_ms = std::mem::replace(&mut self.newest_ms, i64::MIN);
        if self.entries.is_empty() {
            return None;
        }
        // Symbols stand first; 1.0 has none, and its entries are packed where they are.
        let bytes = match self.protocol {
            Protocol::V1 => packer.pack(&self.entries),
            Protocol::V2 => {
                let mut plain = std::mem::take(&mut packer.plain);
                plain.clear();
                for text in self.symbols.texts() {
                    put_bytes(&mut plain, 4, text.as_bytes());
                }
                self.symbols.clear();
                plain.extend_from_slice(&self.entries);
                let packed = packer.pack(&plain);
                packer.plain = plain;
                packed
            }
        };
        self.entries.clear();
        Some(Packed {
            protocol: self.protocol,
            bytes: bytes?,
            counts,
            newest_ms,
        })
    }

    fn fields(&self) -> Fields {
        match self.protocol {
            Protocol::V1 => Fields {
                series: 1,
                histograms: 4,
                exemplars: 3,
            },
            Protocol::V2 => Fields {
                series: 5,
                histograms: 3,
                exemplars: 4,
            },
        }
    }

    /// Begins an entry with its labels. Answers how long it is now.
    fn begin<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
        self.entry.clear();
        self.labels(labels);
        self.entry.len()
    }

    fn end(&mut self) {
        let tag = self.fields().series;
        put_bytes(&mut self.entries, tag, &self.entry);
    }

    /// Writes labels as field 1 of the entry.
    fn labels<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        if self.protocol == Protocol::V2 {
            self.part.clear();
            for (name, value) in labels {
                for text in [name, value] {
                    let number = self.symbols.number(text);
                    put_varint(&mut self.part, u64::from(number));
                }
            }
            return put_bytes(&mut self.entry, 1, &self.part);
        }
        for (name, value) in labels {
            let length = bytes_length(name) + bytes_length(value);
            put_key(&mut self.entry, 1, LENGTH);
            put_varint(&mut self.entry, length as u64);
            put_bytes(&mut self.entry, 1, name.as_bytes());
            put_bytes(&mut self.entry, 2, value.as_bytes());
        }
    }

    fn sample(&mut self, value: f64, time_ms: i64) {
        let value_bytes = if value.to_bits() == 0 { 0 } else { 9 };
        let time_bytes = 1 + varint_length(time_ms as u64);
        put_key(&mut self.entry, SAMPLES, LENGTH);
        self.entry.push((value_bytes + time_bytes) as u8);
        put_double(&mut self.entry, 1, value);
        put_key(&mut self.entry, 2, 0);
        put_varint(&mut self.entry, time_ms as u64);
        self.counts.samples += 1;
    }

    fn histogram(&mut self, value: &messages::Histogram) {
        let tag = self.fields().histograms;
        put_key(&mut self.entry, tag, LENGTH);
        put_varint(&mut self.entry, value.encoded_len() as u64);
        value.encode_raw(&mut self.entry);
        self.counts.histograms += 1;
    }

    fn described(&mut self, described: Described<'_>) {
        let help = self.symbols.number(described.help);
        let unit = self.symbols.number(described.unit);
        self.part.clear();
        let fields = [
            (1, type_number(described.family_type)),
            (3, u64::from(help)),
            (4, u64::from(unit)),
        ];
        for (tag, number) in fields {
            if number != 0 {
                put_key(&mut self.part, tag, 0);
                put_varint(&mut self.part, number);
            }
        }
        put_bytes(&mut self.entry, 5, &self.part);
    }
}

/// The numbers of both messages (`MetricMetadata.MetricType`, `Metadata.MetricType`).
fn type_number(of: FamilyType) -> u64 {
    match of {
        FamilyType::Unknown => 0,
        FamilyType::Counter => 1,
        FamilyType::Gauge => 2,
        FamilyType::Histogram => 3,
        FamilyType::GaugeHistogram => 4,
        FamilyType::Summary => 5,
        FamilyType::Info => 6,
        FamilyType::StateSet => 7,
    }
}
