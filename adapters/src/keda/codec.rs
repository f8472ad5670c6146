//! Prost's codec with small buffers: tonic takes 8 kB for each stream that is open, and an answer has some twenty bytes.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// What an answer takes with its frame.
const ANSWER_BYTES: usize = 64;
/// What most requests take.
const REQUEST_BYTES: usize = 1 << 10;
/// Answers are handed on one by one.
const YIELD_BYTES: usize = 1;

/// Encodes `R`, decodes `M`.
pub(super) struct Small<R, M>(PhantomData<(R, M)>);

impl<R, M> Default for Small<R, M> {
    fn default() -> Small<R, M> {
        Small(PhantomData)
    }
}

impl<R, M> Codec for Small<R, M>
where
    R: Message + 'static,
    M: Message + Default + 'static,
{
    type Encode = R;
    type Decode = M;
    type Encoder = ProstEncoder<R>;
    type Decoder = ProstDecoder<M>;

    fn encoder(&mut self) -> ProstEncoder<R> {
        ProstEncoder::new(BufferSettings::new(ANSWER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> ProstDecoder<M> {
        ProstDecoder::new(BufferSettings::new(REQUEST_BYTES, YIELD_BYTES))
    }
}
