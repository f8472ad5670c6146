//! `selector: sanitized`: a value of a label that no selector of Kubernetes can hold is selected by a text that can.
//!
//! `Qwen/Qwen3-32B` is no label value of Kubernetes, so an HPA's `metric.selector` cannot name it. Where a signal or rule
//! asks for it, `Qwen_Qwen3-32B` and `Qwen.Qwen3-32B` select it, if no other value that was seen is written so.

use stillwell_adapters::objects::Selector;
use stillwell_engine::labels::Matcher;
use stillwell_engine::promql::EvalOptions;
use stillwell_engine::{Reader, SeriesQuery};

/// Values that an error lists.
const LISTED_MAX: usize = 10;

/// The selector with the values that it means. `series` are the selectors of the series that are read. Error: a value
/// stands for several.
pub(super) fn resolve(
    selector: &Selector,
    series: &[Vec<Matcher>],
    reader: &Reader,
) -> Result<Selector, String> {
    selector.clone().with_values(|label, asked| {
        let query = SeriesQuery {
            selectors: series,
            ..SeriesQuery::ALL
        };
        let seen = reader.label_values(label, query, &EvalOptions::default());
        let seen = seen.unwrap_or_default(); // nothing stops it, and it draws on no shared memory
        if seen.iter().any(|value| value == asked) {
            return Ok(asked.to_owned());
        }
        let fitting: Vec<&String> = seen.iter().filter(|value| fits(value, asked)).collect();
        match fitting.as_slice() {
            [] => Ok(asked.to_owned()),
            [one] => Ok((*one).clone()),
            several => {
                let listed: Vec<String> = several
                    .iter()
                    .take(LISTED_MAX)
                    .map(|value| format!("{value:?}"))
                    .collect();
                Err(format!(
                    "{label}={asked} stands for {} values: {}; give the signal its own query for one of them",
                    several.len(),
                    listed.join(", ")
                ))
            }
        }
    })
}

/// Whether a text of Kubernetes' characters is a value, where every other character is `_` or `.`, in any mixture.
fn fits(value: &str, asked: &str) -> bool {
    let same = |(have, want): (char, char)| {
        have == want || (!is_allowed(have) && matches!(want, '_' | '.'))
    };
    value.chars().count() == asked.chars().count() && value.chars().zip(asked.chars()).all(same)
}

/// The characters of label values (`k8s.io/apimachinery/pkg/util/validation`).
fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_with_allowed_characters_for_the_others() {
        for (value, asked, yes) in [
            ("Qwen/Qwen3-32B", "Qwen_Qwen3-32B", true),
            ("Qwen/Qwen3-32B", "Qwen.Qwen3-32B", true),
            ("Qwen/Qwen3-32B", "Qwen-Qwen3-32B", false),
            ("Qwen/Qwen3-32B", "qwen_qwen3-32b", false),
            ("a b:c", "a_b.c", true),
            ("a_b", "a.b", false),
            ("a", "a_", false),
        ] {
            assert_eq!(fits(value, asked), yes, "{value} {asked}");
        }
    }
}
