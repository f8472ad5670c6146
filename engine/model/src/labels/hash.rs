//! XXH64 over Prometheus' packed form of labels: `limit_ratio` selects series and rule groups are spread over their interval
//! by it, so that the same series are selected and the same times result as in Prometheus.

use twox_hash::XxHash64;

use super::Labels;

/// Prometheus' `Labels.Hash` (model/labels/labels_stringlabels.go): names and values in one string, each behind its length.
pub fn labels_hash(labels: &Labels) -> u64 {
    let mut packed = Vec::with_capacity(128);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            let length = text.len();
            if length < 255 {
                packed.push(length as u8);
            } else {
                packed.extend_from_slice(&[
                    255,
                    length as u8,
                    (length >> 8) as u8,
                    (length >> 16) as u8,
                ]);
            }
            packed.extend_from_slice(text.as_bytes());
        }
    }
    XxHash64::oneshot(0, &packed)
}

#[cfg(test)]
mod tests {
    use super::labels_hash;
    use crate::labels;

    #[test]
    fn is_the_hash_of_length_prefixed_names_and_values() {
        let by_hand = |text: &str| twox_hash::XxHash64::oneshot(0, text.as_bytes());
        assert_eq!(labels_hash(&labels! {}), 0xEF46_DB37_51D8_E999);
        assert_eq!(
            labels_hash(&labels! { "a" => "bc" }),
            by_hand("\u{1}a\u{2}bc")
        );
    }
}
