//! Fuzz targets as plain functions: each takes any bytes and must not panic, abort, stall or grow memory.
//!
//! Their seeds run as an ordinary test; `cargo fuzz run NAME` (nightly) runs the same function without end.

pub mod config;
pub mod promql;
pub mod rules;

/// Runs every seed of `fuzz/seeds/NAME` through a target; answers how many there were.
pub fn run_seeds(name: &str, target: fn(&[u8])) -> usize {
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
