//! Random histories of gateways, checked after every step: outages, restarts, crash loops, upgrades and downgrades,
//! pods that come and go, pools that are renamed, queues that empty until their series are deleted, broken pages,
//! gateways without flow control or inflight producer, and two replicas of ours that scrape the same gateways a little
//! apart and restart now and then. What the simulation knows to be true is what the signals are held against
//! (`RULES.md`, "Invariants"): above all, **a 0 is told only if it is true**, whatever is asked.
//!
//! A failing seed is printed; `STILLWELL_SEED=n cargo test -p stillwell-engine --test signal_simulation` replays it,
//! `STILLWELL_SEEDS=n` runs more of them.

#[path = "../common/commits.rs"]
mod commits;
mod gateway;
mod random_query;
mod replica;
mod rng;

use std::sync::atomic::{AtomicU64, Ordering};

use gateway::{Gateway, POOLS};
use replica::Replica;
use rng::Rng;

const INTERVAL_MS: i64 = 1_000;
const HOLD_MS: i64 = 3_000;
const GRACE_MS: i64 = 60_000;
const CRASH_LOOP_MS: i64 = 5 * GRACE_MS;
/// Steps of every tenth seed, long enough for a crash loop to end, and of the others.
const STEPS_LONG: i64 = 500;
const STEPS_SHORT: i64 = 100;
/// Some twenty seconds in a debug build on two cores.
const SEEDS: u64 = 200;

fn play(seed: u64) {
    let mut rng = Rng(seed);
    let start_ms = 1_000_000_000;
    let mut gateways: Vec<Gateway> = Vec::new();
    for uid in 0..POOLS.len() as u64 + rng.below(3) {
        let pool = POOLS[uid as usize % POOLS.len()];
        let age_ms = rng.of(&[10_000, 1_000_000]);
        gateways.push(Gateway::new(uid, pool, start_ms - age_ms, &mut rng));
    }
    let mut next_uid = gateways.len() as u64;
    let mut replicas = [0, 370].map(|shift_ms| Replica::new(shift_ms, start_ms, &mut rng));
    let steps = if seed.is_multiple_of(10) {
        STEPS_LONG
    } else {
        STEPS_SHORT
    };
    for step in 0..steps {
        let now_ms = start_ms + step * INTERVAL_MS;
        for gateway in &mut gateways {
            gateway.live(&mut rng, now_ms);
        }
        if rng.one_in(60) {
            let at = rng.below(gateways.len() as u64) as usize;
            let pool = gateways[at].pool;
            if rng.one_in(2) {
                gateways.remove(at);
            }
            gateways.push(Gateway::new(next_uid, pool, now_ms, &mut rng));
            next_uid += 1;
        }
        if rng.one_in(150) {
            let at = rng.below(2) as usize;
            replicas[at] = Replica::new(replicas[at].shift_ms, now_ms, &mut rng);
        }
        for replica in &mut replicas {
            let shifted_ms = now_ms + replica.shift_ms;
            replica.discover(&gateways, shifted_ms - 1);
            replica.scrape(&gateways, now_ms);
            // Right after the scrapes, and once more shortly before the next.
            for pool in 0..POOLS.len() {
                replica.check(pool, shifted_ms);
                replica.check(pool, shifted_ms + INTERVAL_MS - 2);
            }
            replica.answer(shifted_ms, &mut rng);
        }
        agree(&replicas, now_ms);
    }
}

/// Two replicas that have seen the same pages say the same. One that has not seen what was before tells no 0 while the
/// other holds a number.
fn agree(replicas: &[Replica; 2], now_ms: i64) {
    for (pool, name) in POOLS.iter().enumerate() {
        let said = [0, 1].map(|at| replicas[at].newest(pool));
        let born_ms = replicas[0].born_ms.max(replicas[1].born_ms);
        if now_ms - born_ms > 2 * CRASH_LOOP_MS {
            assert_eq!(said[0], said[1], "the replicas differ on pool {name}");
        } else if !replicas.iter().any(|one| {
            one.crash_loop(pool, now_ms)
                || one.remembers_one_that_left(pool, now_ms)
                || one.has_slow_starter(pool)
        }) {
            let zero = said.iter().any(|(_, values)| values == &[0.0]);
            let more = said
                .iter()
                .any(|(_, values)| values.iter().any(|value| *value > 0.0));
            assert!(
                !(zero && more),
                "one tells 0 of pool {name} and the other more: {said:?}"
            );
        }
    }
}

#[test]
fn whatever_happens_no_number_is_told_that_nobody_measured() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        let number = text.parse::<u64>();
        Some(number.unwrap_or_else(|_| panic!("{name} is {text:?}, which is no whole number")))
    };
    let seeds = match number("STILLWELL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STILLWELL_SEEDS").unwrap_or(SEEDS),
    };
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let play_all = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.load(Ordering::Relaxed) != u64::MAX {
                return;
            }
            if std::panic::catch_unwind(|| play(seed)).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(play_all);
        }
    });
    let failed = failed.into_inner();
    assert!(
        failed == u64::MAX,
        "seed {failed} fails: STILLWELL_SEED={failed} replays it"
    );
}
