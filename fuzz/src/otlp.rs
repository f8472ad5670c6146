//! OTLP: any bytes are series or a refusal, in both encodings and with every way of naming.

use stillwell_adapters::host::{OtlpSettings, TranslationStrategy};
use stillwell_adapters::otlp::{Encoding, series};
use stillwell_engine::{Engine, Limits, Timestamp};

/// Reads the bytes in both encodings; appends what came out.
pub fn run(data: &[u8]) {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        for (_, strategy) in TranslationStrategy::ALL {
            let settings = OtlpSettings {
                strategy,
                promote_all: true,
                promote_scope_metadata: true,
                convert_histograms_to_nhcb: strategy == TranslationStrategy::NoTranslation,
                ..OtlpSettings::default()
            };
            let Ok(batch) = series(data, encoding, &settings) else {
                break; // names make no difference to that
            };
            for one in &batch {
                assert!(one.labels.metric_name().is_some(), "{}", one.labels);
                let ascends = one.floats.windows(2).all(|pair| pair[0].0 <= pair[1].0);
                assert!(ascends, "{}", one.labels);
            }
            let (mut writer, _) = Engine::new(Limits::default());
            // A refusal is an answer too.
            let _ = writer.append(batch, Timestamp::from_ms(1_800_000_000_000));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_are_messages() {
        use stillwell_adapters::host::OtlpSettings;
        use stillwell_adapters::otlp::{Encoding, series};
        let seeds = [
            (
                &include_bytes!("../seeds/otlp/protobuf")[..],
                Encoding::Protobuf,
            ),
            (&include_bytes!("../seeds/otlp/json")[..], Encoding::Json),
        ];
        for (seed, encoding) in seeds {
            let series = series(seed, encoding, &OtlpSettings::default()).expect("a good request");
            assert!(series.len() >= 8, "{}", series.len());
        }
    }
}
