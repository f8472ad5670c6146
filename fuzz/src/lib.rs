//! Fuzz targets as plain functions: each takes any bytes and must not panic, abort, stall or grow memory.
//!
//! Their seeds run as an ordinary test; `cargo fuzz run NAME` (nightly) runs the same function without end.

pub mod config;
pub mod http;
pub mod inflate;
pub mod keda;
pub mod kubernetes;
pub mod monitors;
pub mod otlp;
pub mod own_timestamps;
pub mod pages;
pub mod promql;
pub mod protobuf;
pub mod query_budget;
pub mod remote_write;
pub mod rule_groups;
pub mod rules;
pub mod snapshot;
pub mod target_list;
pub mod web_config;

/// A target: any bytes.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders of seeds.
pub const TARGETS: [(&str, Target); 18] = [
    ("config", config::run),
    ("http", http::run),
    ("inflate", inflate::run),
    ("keda", keda::run),
    ("kubernetes", kubernetes::run),
    ("monitors", monitors::run),
    ("otlp", otlp::run),
    ("own_timestamps", own_timestamps::run),
    ("pages", pages::run),
    ("promql", promql::run),
    ("protobuf", protobuf::run),
    ("query_budget", query_budget::run),
    ("remote_write", remote_write::run),
    ("rule_groups", rule_groups::run),
    ("rules", rules::run),
    ("snapshot", snapshot::run),
    ("target_list", target_list::run),
    ("web_config", web_config::run),
];

/// Runs every seed of a target through it; answers how many there were.
pub fn run_seeds(name: &str, target: Target) -> usize {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let entries = std::fs::read_dir(&folder).expect("every target has a folder of seeds");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("the folder is readable").path();
        target(&std::fs::read(&path).expect("a seed is readable"));
        count += 1;
    }
    count
}

/// Runs a target on mutations of its seeds for so many seconds; answers how many there were. A poor man's fuzzer, for
/// where there is no nightly compiler: the input about to run is kept in the file that `FUZZ_LAST` names.
#[allow(clippy::disallowed_types)] // how long to go on is a question of the clock
pub fn run_mutations(name: &str, target: Target, seconds: u64) -> usize {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let entries = std::fs::read_dir(&folder).expect("every target has a folder of seeds");
    let seeds: Vec<Vec<u8>> = entries
        .map(|entry| std::fs::read(entry.expect("readable").path()).expect("readable"))
        .collect();
    let last = std::env::var_os("FUZZ_LAST");
    let start = std::time::Instant::now();
    let mut state = start.elapsed().as_nanos() as u64 ^ u64::from(std::process::id());
    let mut roll = move |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % bound.max(1)
    };
    let mut count = 0;
    while start.elapsed().as_secs() < seconds {
        let mut input = seeds[roll(seeds.len())].clone();
        for _ in 0..1 + roll(6) {
            mutate(&mut input, &seeds, &mut roll);
        }
        input.truncate(1 << 16);
        if let Some(last) = &last {
            std::fs::write(last, &input).expect("FUZZ_LAST is writable");
        }
        target(&input);
        count += 1;
    }
    count
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], roll: &mut impl FnMut(usize) -> usize) {
    let at = roll(input.len() + 1);
    match roll(5) {
        0 if at < input.len() => input[at] = roll(256) as u8,
        1 if at < input.len() => {
            let end = (at + 1 + roll(12)).min(input.len());
            input.drain(at..end);
        }
        2 => {
            const WORDS: [&str; 14] = [
                "(",
                ")",
                "[5m]",
                "sum by(",
                "-",
                "+ ",
                "{a=~\"x\"}",
                " offset 1m",
                " @ 1",
                "rate(",
                ",",
                "\"",
                " or ",
                "1e9",
            ];
            let word = WORDS[roll(WORDS.len())].bytes();
            input.splice(at..at, word);
        }
        _ => {
            let other = &seeds[roll(seeds.len())];
            let from = roll(other.len() + 1);
            let to = (from + roll(40)).min(other.len());
            input.splice(at..at, other[from..to].iter().copied());
        }
    }
}
