//! What was seen instead of what a query names: for the reasons of selectors that match nothing.

use crate::labels::{MatchOp, Matcher};
use crate::nearest::{nearest, seen_instead};

/// Metrics that are looked at: reasons are made at every reading.
const LOOKED_AT_MAX: usize = 5_000;

/// The values seen of a label that come near what a matcher asks for, as the end of a reason: `; seen: "a"`. Empty where
/// none was seen.
pub(super) fn values<'v>(matcher: &Matcher, seen: impl Iterator<Item = &'v str>) -> String {
    let wanted = match matcher.op() {
        MatchOp::Equal => Some(matcher.value()),
        _ => None,
    };
    seen_instead(wanted, seen)
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
    fn the_nearest_value_and_metric_are_named() {
        let pool = Matcher::equal("inference_pool", "vllm-llama3-8b-instruct");
        let seen = ["vllm-llama-3-1-8b-instruct", "other"];
        assert_eq!(
            values(&pool, seen.into_iter()),
            "; seen: \"vllm-llama-3-1-8b-instruct\""
        );
        let exposed = ["vllm:num_requests_waiting", "up"];
        assert_eq!(
            metric("vllm_num_requests_waiting", exposed.iter().copied()),
            "; did you mean vllm:num_requests_waiting?"
        );
        assert_eq!(metric("tgi_queue_size", exposed.iter().copied()), "");
    }
}
