//! Named reasons why Stillwell may answer differently from the Prometheus that it is compared with (3.5): it follows
//! 3.14, and in one place the language where Prometheus does not. Anything else is an unexplained difference.

use crate::answers::Verdict;

/// The reason why a question may be answered differently, if it is on the list.
pub fn reason(query: &str, verdict: &Verdict) -> Option<&'static str> {
    DIFFERENCES
        .iter()
        .find(|difference| (difference.applies)(query, verdict))
        .map(|difference| difference.reason)
}

struct Difference {
    reason: &'static str,
    applies: fn(&str, &Verdict) -> bool,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "3.9: PromQL: Fix insufficient cardinality checking for filter ops (#17668): what a comparison filters \
                 away counts as a match",
        applies: |query, verdict| {
            let compares = ["==", "!=", "<", ">"]
                .iter()
                .any(|operator| query.contains(operator));
            compares && only_we_refuse(verdict, "multiple matches for labels")
        },
    },
    Difference {
        reason: "trigonometric and hyperbolic functions come from Rust's standard library, whose last bits are not Go's",
        applies: |query, verdict| {
            let calls = TRIGONOMETRY.iter().any(|name| query.contains(name));
            calls
                && matches!(verdict, Verdict::Near(distance) if *distance <= TRIGONOMETRY_DISTANCE_MAX)
        },
    },
    Difference {
        reason: "a time after `@`, in a subquery with `@`, in a subquery: Prometheus reads at another time than was \
                 asked for (`(x @ 600)[3m:] @ start()` in `[3m:]` reads x at 440)",
        applies: |query, _| {
            subqueries(query) >= 2 && query.contains("] @ ") && query.matches('@').count() >= 2
        },
    },
];

/// Names of trigonometric and hyperbolic functions and operators.
const TRIGONOMETRY: [&str; 6] = ["sin", "cos", "tan", "asinh", "acosh", "atanh"];
/// Two units in the last place of one call, relative to the result.
const TRIGONOMETRY_DISTANCE_MAX: f64 = 4.5e-16;

fn only_we_refuse(verdict: &Verdict, because: &str) -> bool {
    matches!(verdict, Verdict::Different(why) if why.starts_with("only we refuse") && why.contains(because))
}

/// Ranges with a colon in them.
fn subqueries(query: &str) -> usize {
    let ranges = query.split('[').skip(1);
    ranges
        .filter(|rest| {
            rest.split(']')
                .next()
                .is_some_and(|range| range.contains(':'))
        })
        .count()
}
