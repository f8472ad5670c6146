//! One replica of ours: what it has scraped, what it says, and what it may say by all that is true.

use crate::commits;
use stillwell_engine::labels::Labels;
use stillwell_engine::limits::GATEWAY_START_MS_MAX;
use stillwell_engine::signal::{Policy, Reading, SignalId, State};
use stillwell_engine::{
    Engine, Format, Limits, Reader, Retain, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

use crate::gateway::{Gateway, POOLS};
use crate::random_query::RandomQuery;
use crate::rng::Rng;
use crate::{CRASH_LOOP_MS, GRACE_MS, HOLD_MS, INTERVAL_MS};

/// What one replica of ours has seen of one gateway.
struct Seen {
    uid: u64,
    stage: Stage,
    last_good_ms: Option<i64>,
    /// Whether the newest scrape was good.
    good: bool,
    /// The gateway as it was at the last good scrape.
    then: Gateway,
    /// When the first page of its present process came.
    process_since_ms: i64,
    crashes_ms: Vec<i64>,
}

pub(crate) struct Replica {
    writer: Writer,
    reader: Reader,
    signals: Vec<SignalId>,
    random_queries: Vec<(RandomQuery, SignalId)>,
    seen: Vec<Seen>,
    pub(crate) shift_ms: i64,
    pub(crate) born_ms: i64,
    /// Per pool: when the newest change was noticed and the first one that it follows on, and the sums that were true,
    /// with their times.
    graces_ms: Vec<(i64, i64)>,
    truths: Vec<Vec<(i64, u64)>>,
    /// Per pool: when a gateway last left it, which a replica that starts later has no sign of.
    left_ms: Vec<i64>,
}

const LONG_AGO_MS: i64 = i64::MIN / 2;

impl Replica {
    pub(crate) fn new(shift_ms: i64, now_ms: i64, rng: &mut Rng) -> Replica {
        let (mut writer, reader) = Engine::new(Limits::default());
        let mut register = |query: &str| writer.register(query, Policy::default()).expect("valid");
        let of_pool =
            |pool| format!("sum(llm_d_epp_flow_control_queue_size{{inference_pool=\"{pool}\"}})");
        let signals = POOLS.iter().map(|pool| register(&of_pool(pool))).collect();
        let mut random_queries = Vec::new();
        for _ in 0..3 {
            let random_query = RandomQuery::random(rng);
            let id = register(&random_query.text);
            random_queries.push((random_query, id));
        }
        Replica {
            writer,
            reader,
            signals,
            random_queries,
            seen: Vec::new(),
            shift_ms,
            born_ms: now_ms,
            graces_ms: vec![(LONG_AGO_MS, LONG_AGO_MS); POOLS.len()],
            truths: vec![Vec::new(); POOLS.len()],
            left_ms: vec![LONG_AGO_MS; POOLS.len()],
        }
    }

    /// Discovery: targets come and go with their pods.
    pub(crate) fn discover(&mut self, gateways: &[Gateway], now_ms: i64) {
        let at = Timestamp::from_ms(now_ms);
        let mut kept = Vec::new();
        for seen in std::mem::take(&mut self.seen) {
            if gateways.iter().any(|gateway| gateway.uid == seen.uid) {
                kept.push(seen);
            } else {
                for pool in 0..POOLS.len() {
                    // One whose pool nobody knew may have been anybody's (S3c).
                    let unknown = seen.last_good_ms.is_none() && !seen.then.labelled;
                    if unknown || pool_of(&seen.then) == pool {
                        start_grace(&mut self.graces_ms[pool], now_ms);
                        self.left_ms[pool] = now_ms;
                    }
                }
                self.writer.remove_target(seen.stage, at);
            }
        }
        self.seen = kept;
        for gateway in gateways {
            if self.seen.iter().all(|seen| seen.uid != gateway.uid) {
                self.add(gateway);
            }
        }
    }

    fn add(&mut self, gateway: &Gateway) {
        let instance = format!("pod-{}:9090", gateway.uid);
        let mut labels = vec![("job", "epp"), ("instance", instance.as_str())];
        if gateway.labelled {
            labels.push(("inference_pool", gateway.pool));
        }
        let spec = TargetSpec {
            labels: Labels::from_pairs(labels),
            interval_ms: INTERVAL_MS as u64,
            // One replica keeps everything and the other what signals need: they have to agree.
            retain: if self.shift_ms == 0 {
                Retain::All
            } else {
                Retain::Signals
            },
            ..TargetSpec::default()
        };
        let (_, stage) = self.writer.add_target(spec);
        self.seen.push(Seen {
            uid: gateway.uid,
            stage,
            last_good_ms: None,
            good: false,
            then: Gateway {
                flows: Vec::new(),
                ..gateway.clone()
            },
            process_since_ms: 0,
            crashes_ms: Vec::new(),
        });
    }

    pub(crate) fn scrape(&mut self, gateways: &[Gateway], step_ms: i64) {
        let now_ms = step_ms + self.shift_ms;
        let at = Timestamp::from_ms(now_ms);
        for index in 0..self.seen.len() {
            let seen = &mut self.seen[index];
            seen.good = false;
            let gateway = gateways
                .iter()
                .find(|gateway| gateway.uid == seen.uid)
                .expect("discovered");
            let mut page = gateway.page();
            if gateway.broken_until > step_ms {
                page.push_str("half a line{");
            }
            let facts = ScrapeFacts::default();
            let error = if gateway.down_until > step_ms {
                Some("refused".to_owned())
            } else {
                match seen.stage.parse(page.as_bytes(), Format::Text) {
                    Ok(staged) => {
                        let how = (now_ms + index as i64).count_ones();
                        commits::commit(&mut self.writer, staged, at, how).expect("taken");
                        None
                    }
                    Err(error) => Some(error.to_string()),
                }
            };
            let id = seen.stage.target();
            let Some(error) = error else {
                self.took(index, gateway, now_ms);
                continue;
            };
            self.writer
                .fail(id, at, facts, &error)
                .expect("time ascends");
        }
        self.writer.maintain(at);
    }

    fn took(&mut self, index: usize, gateway: &Gateway, now_ms: i64) {
        let seen = &mut self.seen[index];
        let restarted = seen.last_good_ms.is_some() && seen.then.start_ms != gateway.start_ms;
        if restarted {
            start_grace(&mut self.graces_ms[pool_of(&seen.then)], now_ms);
            if pool_of(&seen.then) != pool_of(gateway) {
                self.left_ms[pool_of(&seen.then)] = now_ms;
            }
            seen.crashes_ms.push(now_ms);
        }
        if restarted || seen.last_good_ms.is_none() {
            seen.process_since_ms = now_ms;
        }
        seen.then = gateway.clone();
        seen.last_good_ms = Some(now_ms);
        seen.good = true;
        self.remember(pool_of(gateway), now_ms);
    }

    /// A page has come in: what the pool's gateways said last is true now, if all of them are fresh.
    fn remember(&mut self, pool: usize, now_ms: i64) {
        let sum = self.of_pool(pool).map(queued).sum();
        self.truths[pool].push((now_ms, sum));
    }

    fn of_pool(&self, pool: usize) -> impl Iterator<Item = &Seen> {
        self.seen
            .iter()
            .filter(move |seen| pool_of(&seen.then) == pool)
    }

    fn says(&self, signal: SignalId, now_ms: i64) -> Reading {
        let now = Timestamp::from_ms(now_ms);
        let ready = self.reader.signal_if_ready(signal, now, &[]);
        let reading = self.reader.signal(signal, now, &[]);
        let reading = reading.expect("registered");
        if let Some(ready) = ready {
            assert_eq!(ready, reading, "what takes no wait says the same");
        }
        // It is evaluated now, and there are few targets.
        let ready = self.reader.signal_if_ready(signal, now, &[]);
        assert_eq!(ready.as_ref(), Some(&reading));
        reading
    }

    pub(crate) fn check(&mut self, pool: usize, now_ms: i64) {
        let sum: u64 = self.of_pool(pool).map(queued).sum();
        let age = |seen: &Seen| seen.last_good_ms.map(|good_ms| now_ms - good_ms);
        // A target whose pool nobody knows may be anybody's (S3c).
        let may_be = |seen: &&Seen| {
            pool_of(&seen.then) == pool || (seen.last_good_ms.is_none() && !seen.then.labelled)
        };
        let counting = || self.seen.iter().filter(may_be);
        let all_fresh = counting().all(|seen| age(seen).is_some_and(|age| age < INTERVAL_MS));
        let too_old = counting().any(|seen| age(seen).is_none_or(|age| age >= HOLD_MS));
        let nobody = self.of_pool(pool).next().is_none();
        let crash_loop = self.crash_loop(pool, now_ms);
        let in_grace = grace_runs(self.graces_ms[pool], now_ms);
        let young = self.has_young(pool, now_ms);
        let mute = self.of_pool(pool).any(|seen| !shows_queue(&seen.then));
        let reading = self.says(self.signals[pool], now_ms);
        let told = reading.elements.first().map(|element| element.value);
        let known = || {
            format!("sum {sum}, grace {in_grace}, fresh {all_fresh}, young {young}, {reading:?}")
        };
        if nobody || too_old {
            assert!(told.is_none(), "a number that nobody measured: {}", known());
            return;
        }
        let Some(told) = told else {
            let excused = (sum == 0 && (crash_loop || young || mute))
                || self.born_ms + 2 * INTERVAL_MS > now_ms;
            assert!(excused, "measured, and not told: {}", known());
            return;
        };
        let window_ms = if crash_loop {
            2 * CRASH_LOOP_MS
        } else {
            3 * GRACE_MS
        };
        let recent = self.truths[pool]
            .iter()
            .filter(|(ms, _)| now_ms - ms < window_ms)
            .map(|(_, sum)| *sum);
        let most = recent.max().unwrap_or(0).max(sum);
        match reading.state {
            State::Value => {
                assert!(all_fresh && !in_grace, "told as fresh: {}", known());
                assert_eq!(told, sum as f64, "{}", known());
            }
            State::Held { .. } => {
                let reason = !all_fresh || in_grace || crash_loop || young;
                assert!(reason, "held without a reason: {}", known());
                assert!(
                    told >= sum as f64 && told <= most as f64,
                    "at most {most}: {}",
                    known()
                );
                assert!(in_grace || crash_loop || told == sum as f64, "{}", known());
            }
            State::Configured { .. } => unreachable!("nothing is configured"),
            State::Unknown { .. } => unreachable!("has no elements"),
        }
    }

    pub(crate) fn crash_loop(&self, pool: usize, now_ms: i64) -> bool {
        self.of_pool(pool).any(|seen| {
            let crashes = seen.crashes_ms.iter();
            crashes.filter(|&&ms| now_ms - ms < CRASH_LOOP_MS).count() >= 3
        })
    }

    /// Whether it may still hold what a gateway had that has left the pool since.
    pub(crate) fn remembers_one_that_left(&self, pool: usize, now_ms: i64) -> bool {
        now_ms - self.left_ms[pool] < 3 * GRACE_MS
    }

    /// Whether some process took longer to its first page than S6e allows for: a replica that starts then cannot know that
    /// the other one still holds what was before.
    pub(crate) fn has_slow_starter(&self, pool: usize) -> bool {
        self.of_pool(pool)
            .any(|seen| seen.process_since_ms - seen.then.start_ms > GATEWAY_START_MS_MAX)
    }

    /// Whether some process started so short a time ago that another replica may know what was before.
    fn has_young(&self, pool: usize, now_ms: i64) -> bool {
        self.of_pool(pool)
            .any(|seen| now_ms < seen.process_since_ms + GRACE_MS)
    }

    /// Whatever is asked: a 0 is told only where it is true, and a fresh number is the true one.
    pub(crate) fn answer(&mut self, now_ms: i64, rng: &mut Rng) {
        // Now and then one that nobody asked before.
        let is_new = rng.one_in(8);
        if is_new {
            let random_query = RandomQuery::random(rng);
            let id = self.reader.register(&random_query.text, Policy::default());
            self.random_queries.push((random_query, id.expect("valid")));
        }
        for (random_query, id) in &self.random_queries {
            let truth: u64 = self
                .seen
                .iter()
                .map(|seen| random_query.truth(&seen.then))
                .sum();
            let reading = self.says(*id, now_ms);
            for element in &reading.elements {
                let known = || format!("{}: {truth} is true, {reading:?}", random_query.text);
                assert!(
                    element.value > 0.0 || truth == 0,
                    "a false zero: {}",
                    known()
                );
            }
        }
        if let (true, Some((_, id))) = (is_new, self.random_queries.pop()) {
            self.reader.remove(id);
        }
    }

    /// What it says of a pool at its newest page: which state, which numbers.
    pub(crate) fn newest(&self, pool: usize) -> (std::mem::Discriminant<State>, Vec<f64>) {
        let newest_ms = self.seen.iter().filter_map(|seen| seen.last_good_ms).max();
        let reading = self.says(self.signals[pool], newest_ms.unwrap_or(0));
        let values = reading.elements.iter().map(|element| element.value);
        (std::mem::discriminant(&reading.state), values.collect())
    }
}

fn queued(seen: &Seen) -> u64 {
    seen.then.flows.iter().map(|flow| flow.queued).sum()
}

/// Whether the page says that a queue could be seen on it.
fn shows_queue(gateway: &Gateway) -> bool {
    use crate::gateway::Release::{Gie12, Gie14, Router10, Router11};
    let shows = match gateway.release {
        Router10 | Router11 => true,
        Gie14 => gateway.served,
        Gie12 => !gateway.flows.is_empty(),
    };
    gateway.flow_control && shows
}

/// A change inside a grace begins it anew, for twice its length from the first change at most (S6c).
fn start_grace(grace_ms: &mut (i64, i64), now_ms: i64) {
    if !grace_runs(*grace_ms, now_ms) {
        grace_ms.1 = now_ms;
    }
    grace_ms.0 = now_ms;
}

fn grace_runs((start_ms, first_ms): (i64, i64), now_ms: i64) -> bool {
    now_ms - start_ms < GRACE_MS && now_ms - first_ms < 2 * GRACE_MS
}

fn pool_of(gateway: &Gateway) -> usize {
    let at = POOLS.iter().position(|pool| *pool == gateway.pool);
    at.expect("one of them")
}
