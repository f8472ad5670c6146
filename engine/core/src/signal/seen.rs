//! What was seen instead of what a query names: for the reasons of selectors that match nothing.

use std::collections::BTreeSet;

use crate::labels::{MatchOp, Matcher};
use crate::nearest::nearest;

/// Values that a reason lists where none is near.
const LISTED_MAX: usize = 3;
/// Of more values than this none is listed: they are no help.
const FEW: usize = 50;
/// Values that are looked at: reasons are made at every reading.
const LOOKED_AT_MAX: usize = 5_000;

/// The values seen of a label that come near what a matcher asks for, as the end of a reason: `; seen: "a"`. Empty where
/// none was seen.
pub(super) fn values<'v>(matcher: &Matcher, seen: impl Iterator<Item = &'v str>) -> String {
    let seen: BTreeSet<&str> = seen.take(LOOKED_AT_MAX).collect();
    let near = match matcher.op() {
        MatchOp::Equal => nearest(matcher.value(), seen.iter().copied()),
        _ => None,
    };
    let listed: Vec<String> = match near {
        Some(near) => vec![format!("{near:?}")],
        None if seen.len() <= FEW => {
            let first = seen.iter().take(LISTED_MAX);
            first.map(|value| format!("{value:?}")).collect()
        }
        None => Vec::new(),
    };
    let more = match seen.len() {
        all if near.is_none() && all > LISTED_MAX => ", ...",
        _ => "",
    };
    match listed.is_empty() {
        true => String::new(),
        false => format!("; seen: {}{more}", listed.join(", ")),
    }
}

/// The metric seen that comes near a name, as the end of a reason: `; did you mean b?`. Empty where none does.
pub(super) fn metric<'m>(name: &str, seen: impl Iterator<Item = &'m str>) -> String {
    let near = nearest(name, seen.take(LOOKED_AT_MAX));
    near.map_or(String::new(), |near| format!("; did you mean {near}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_value_is_named_or_the_few_there_are() {
        let pool = Matcher::equal("inference_pool", "vllm-llama3-8b-instruct");
        for (seen, end) in [
            (
                &["vllm-llama-3-1-8b-instruct", "other"][..],
                "; seen: \"vllm-llama-3-1-8b-instruct\"",
            ),
            (&["a", "b"], "; seen: \"a\", \"b\""),
            (&["d", "c", "b", "a"], "; seen: \"a\", \"b\", \"c\", ..."),
            (&[], ""),
        ] {
            assert_eq!(values(&pool, seen.iter().copied()), end);
        }
        let many: Vec<String> = (0..2 * FEW)
            .map(|number| format!("value-{number}"))
            .collect();
        assert_eq!(values(&pool, many.iter().map(String::as_str)), "");
        let exposed = ["vllm:num_requests_waiting", "up"];
        assert_eq!(
            metric("vllm_num_requests_waiting", exposed.iter().copied()),
            "; did you mean vllm:num_requests_waiting?"
        );
        assert_eq!(metric("tgi_queue_size", exposed.iter().copied()), "");
    }
}
