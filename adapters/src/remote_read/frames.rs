//! Frames of a streamed answer (storage/remote/chunked.go):
//!
//! ```text
//! | length, varint | CRC-32C of the message, 4 bytes, big-endian | message |
//! ```

use prost::Message;
use prost::encoding::encode_varint;

use super::messages::{Chunk, ChunkedReadResponse, ChunkedSeries};
use crate::remote_write::messages::Label;

/// A frame is closed once it is larger; Prometheus' default of `--storage.remote.read-max-bytes-in-frame`.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Writes the chunks of one series, in as many frames as they need.
pub(super) fn write(out: &mut Vec<u8>, query_index: i64, labels: &[Label], chunks: Vec<Chunk>) {
    let (mut frame, mut bytes) = (Vec::new(), 0);
    let mut chunks = chunks.into_iter().peekable();
    while let Some(chunk) = chunks.next() {
        bytes += chunk.data.len();
        frame.push(chunk);
        if bytes < FRAME_BYTES_MAX && chunks.peek().is_some() {
            continue;
        }
        let message = ChunkedReadResponse {
            chunked_series: vec![ChunkedSeries {
                labels: labels.to_vec(),
                chunks: std::mem::take(&mut frame),
            }],
            query_index,
        };
        let message = message.encode_to_vec();
        encode_varint(message.len() as u64, out);
        out.extend_from_slice(&crc32c(&message).to_be_bytes());
        out.extend_from_slice(&message);
        bytes = 0;
    }
}

/// Castagnoli's CRC-32, a table entry per byte.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut crc, mut bit) = (byte as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ POLYNOMIAL
                } else {
                    crc >> 1
                };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    let step = |crc: u32, byte: &u8| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8;
    !bytes.iter().fold(!0, step)
}
