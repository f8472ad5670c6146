//! Remote write: any bytes are series or a refusal, packed or not, in both protocols.

use stillwell_adapters::remote_write::{Protocol, decode};
use stillwell_engine::{Engine, Limits, Timestamp};

/// Decodes the bytes as sent and as if a sender had packed them; appends what came out.
pub fn run(data: &[u8]) {
    let literal = as_block(data);
    for packed in [data, &literal] {
        for protocol in [Protocol::V1, Protocol::V2] {
            let Ok(batch) = decode(packed, protocol) else {
                continue;
            };
            let samples = batch
                .iter()
                .map(|series| series.floats.len() + series.histograms.len())
                .sum::<usize>() as u64;
            let (mut writer, _) = Engine::new(Limits::default());
            if let Ok(appended) = writer.append(batch, Timestamp::from_ms(1_800_000_000_000)) {
                let told = appended.floats + appended.histograms + appended.refused;
                assert_eq!(told, samples, "every sample is told of");
            }
        }
    }
}

/// A snappy block that holds `data` as literals of at most 60 bytes.
fn as_block(data: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(data.len() + data.len() / 32 + 8);
    let mut length = data.len();
    while length >= 0x80 {
        block.push(length as u8 | 0x80);
        length >>= 7;
    }
    block.push(length as u8);
    for literal in data.chunks(60) {
        block.push(((literal.len() - 1) as u8) << 2);
        block.extend_from_slice(literal);
    }
    block
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_are_messages() {
        use stillwell_adapters::remote_write::{Protocol, decode};
        let seeds = [
            (
                &include_bytes!("../seeds/remote_write/v1")[..],
                Protocol::V1,
            ),
            (
                &include_bytes!("../seeds/remote_write/v2")[..],
                Protocol::V2,
            ),
        ];
        for (seed, protocol) in seeds {
            let series = decode(&super::as_block(seed), protocol).expect("a good request");
            assert_eq!((series.len(), series[0].floats.len()), (1, 2));
            assert_eq!(series[0].histograms.len(), 1);
        }
    }
}
