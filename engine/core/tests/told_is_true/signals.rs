//! Random signals.

use proptest::prelude::*;
use stillwell_engine::signal::{Absent, Nan, Policy};

use super::ask::{Ask, Selector, Series, Signal};
use super::world::{FAMILIES, MODELS, POOLS};

pub(crate) const GRACE_MS: i64 = 4_000;

fn matchers() -> impl Strategy<Value = Vec<&'static str>> {
    let one = prop_oneof![
        Just("model_name=\"m\""),
        Just("model_name=~\"m|n\""),
        Just("model_name!=\"m\""),
        Just("job=\"j0\""),
        Just("job=~\"j.\""),
        Just("inference_pool=\"a\""),
        Just("instance=\"t1\""),
    ];
    prop_oneof![
        5 => Just(Vec::new()),
        3 => one.clone().prop_map(|one| vec![one]),
        1 => (one.clone(), one).prop_map(|(a, b)| vec![a, b]),
    ]
}

fn selector(counters: bool) -> impl Strategy<Value = Selector> {
    let families: Vec<usize> = (0..FAMILIES.len())
        .filter(|at| FAMILIES[*at].is_counter == counters)
        .collect();
    (prop::sample::select(families), matchers()).prop_map(|(family, mut matchers)| {
        if !FAMILIES[family].has_pool {
            matchers.retain(|one| !one.starts_with("inference_pool"));
        }
        matchers.dedup();
        Selector { family, matchers }
    })
}

fn series() -> impl Strategy<Value = Series> {
    let window = || 3u8..8;
    let compare = || prop::sample::select(vec![">", ">=", "<", "==", "!=", "> bool", "< bool"]);
    let join = prop::sample::select(vec![
        "+ on (instance, model_name)",
        "/ on (instance, model_name)",
        "- ignoring (fairness_id, inference_pool, priority, target_model_name)",
        "and on (instance, model_name)",
        "and on (instance)",
        "unless on (instance, model_name)",
        "unless on (model_name)",
        "or on (instance, model_name)",
        "> on (instance, model_name)",
    ]);
    let rates = prop::sample::select(vec!["rate", "increase"]);
    let overs = prop::sample::select(vec!["max_over_time", "avg_over_time", "last_over_time"]);
    prop_oneof![
        6 => selector(false).prop_map(Series::Instant),
        2 => (rates, selector(true), window()).prop_map(|(f, s, w)| Series::Range(f, s, w)),
        1 => (overs, selector(false), window()).prop_map(|(f, s, w)| Series::Range(f, s, w)),
        2 => (selector(false), selector(false)).prop_map(|(a, b)| Series::Or(a, b)),
        2 => (join, selector(false), selector(false)).prop_map(|(op, a, b)| Series::Joined(op, a, b)),
        1 => (selector(false), compare(), 0u16..300).prop_map(|(s, op, n)| Series::Compared(s, op, n)),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let op = prop::sample::select(vec!["sum", "sum", "sum", "max", "min", "avg", "count"]);
    let by = prop::sample::select(vec![
        "",
        "",
        "",
        "model_name",
        "job",
        "inference_pool",
        "instance",
    ]);
    let leaf = prop_oneof![
        8 => (op, by, series()).prop_map(|(op, by, series)| Ask::Aggregate(op, by, series)),
        1 => series().prop_map(Ask::Plain),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        let both = prop::sample::select(vec![
            "or", "or", "+", "+", "-", "*", "/", ">", "< bool", "and", "unless", "+ on ()",
        ]);
        let with = prop::sample::select(vec!["*", "/", "+", "-", ">", "<", "> bool", "=="]);
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            4 => (both, boxed(), boxed()).prop_map(|(op, a, b)| Ask::Both(op, a, b)),
            3 => boxed().prop_map(Ask::OrZero),
            2 => (boxed(), with, 1u16..300).prop_map(|(a, op, n)| Ask::With(a, op, n)),
            1 => (boxed(), 0u16..50).prop_map(|(a, n)| Ask::ClampMin(a, n)),
            1 => (boxed(), 2u8..6).prop_map(|(a, n)| Ask::Peak(a, n)),
        ]
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let absent = prop_oneof![
        4 => Just(Absent::Auto),
        1 => Just(Absent::Zero),
        1 => Just(Absent::Unknown),
    ];
    let nan = prop_oneof![3 => Just(Nan::Unknown), 1 => Just(Nan::Zero)];
    let hold_ms = prop_oneof![2 => Just(None), 1 => (1i64..8).prop_map(|s| Some(s * 1_000))];
    (absent, nan, hold_ms, prop::bool::weighted(0.2)).prop_map(
        |(absent, nan, hold_ms, when_read)| Policy {
            absent,
            nan,
            hold_ms,
            when_read,
            restart_grace_ms: GRACE_MS,
            ..Policy::default()
        },
    )
}

pub(crate) fn signal() -> impl Strategy<Value = Signal> {
    let pin = prop_oneof![
        prop::sample::select(MODELS.to_vec()).prop_map(|model| ("model_name", model)),
        prop::sample::select(POOLS.to_vec()).prop_map(|pool| ("inference_pool", pool)),
        Just(("job", "j0")),
        Just(("instance", "t1")),
    ];
    let pins = prop_oneof![2 => Just(Vec::new()), 1 => pin.prop_map(|one| vec![one])];
    (ask(), policy(), pins).prop_map(|(ask, policy, pins)| Signal { ask, policy, pins })
}
