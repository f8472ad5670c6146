//! Bytes of an answer while it is put together, which count as what they take.
//!
//! A series is encoded as soon as it is read: as messages, with two texts of their own for each label, the series of an answer
//! take several times the bytes that they are sent as.

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, message};
use stillwell_engine::promql::select::Samples;
use stillwell_engine::promql::{MemoryLease, QueryError};

use crate::remote_write::messages::{Label, Sample};
use crate::remote_write::outgoing::histogram;

/// A key and a length.
const HEAD_BYTES_MAX: usize = 15;

/// Tags of `prometheus.TimeSeries` (prompb/types.proto).
const LABELS: u32 = 1;
const SAMPLES: u32 = 2;
const HISTOGRAMS: u32 = 4;

/// Bytes that grow.
pub(super) struct Buffer<'m> {
    bytes: Vec<u8>,
    memory: &'m MemoryLease,
}

impl<'m> Buffer<'m> {
    pub(super) fn new(memory: &'m MemoryLease) -> Buffer<'m> {
        Buffer {
            bytes: Vec::new(),
            memory,
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// What was written, which counts on.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.shrink_to_fit();
        bytes
    }

    /// Makes room for so many bytes more.
    fn grow(&mut self, more: usize) -> Result<(), QueryError> {
        let (len, have) = (self.bytes.len(), self.bytes.capacity());
        if have - len >= more {
            return Ok(());
        }
        let wanted = (len + more).max(2 * have);
        self.memory.hold((wanted - have) as u64)?;
        self.bytes.reserve_exact(wanted - len);
        Ok(())
    }

    /// Appends a message as a field of the one that is written here.
    pub(super) fn put(&mut self, tag: u32, field: &impl Message) -> Result<(), QueryError> {
        self.grow(field.encoded_len() + HEAD_BYTES_MAX)?;
        message::encode(tag, field, &mut self.bytes);
        Ok(())
    }

    /// The same for one that is encoded already.
    pub(super) fn put_encoded(&mut self, tag: u32, field: &[u8]) -> Result<(), QueryError> {
        self.grow(field.len() + HEAD_BYTES_MAX)?;
        encode_key(tag, WireType::LengthDelimited, &mut self.bytes);
        encode_varint(field.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(field);
        Ok(())
    }

    /// Appends what `write` appends.
    pub(super) fn written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), QueryError> {
        let before = self.bytes.capacity();
        write(&mut self.bytes);
        self.memory.hold((self.bytes.capacity() - before) as u64)
    }

    /// Appends the fields of a `prometheus.TimeSeries`.
    pub(super) fn put_series(
        &mut self,
        labels: &[Label],
        samples: &Samples,
    ) -> Result<(), QueryError> {
        for label in labels {
            self.put(LABELS, label)?;
        }
        let of = |at: usize| samples.histograms.get(at).and_then(Option::as_ref);
        for (at, timestamp) in samples.times_ms.iter().enumerate() {
            if of(at).is_none() {
                let sample = Sample {
                    value: samples.values[at],
                    timestamp: *timestamp,
                };
                self.put(SAMPLES, &sample)?;
            }
        }
        for (at, time_ms) in samples.times_ms.iter().enumerate() {
            if let Some(native) = of(at) {
                self.put(HISTOGRAMS, &histogram(native, *time_ms))?;
            }
        }
        Ok(())
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.memory.release(self.bytes.capacity() as u64);
    }
}
