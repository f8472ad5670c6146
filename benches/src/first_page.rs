//! How long commits of a small page wait while the first page of another target enters: what the server does with a large
//! page, on two threads.

#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use stillwell_engine::labels::Labels;
use stillwell_engine::limits::WRITE_BATCH_SERIES;
use stillwell_engine::signal::Policy;
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

use crate::pages::LoadPage;

/// Signals like those of a gateway's pools: a sum, rates by pool, a quantile.
const SIGNALS: [&str; 3] = [
    "sum by (inference_pool) (llm_d_epp_flow_control_queue_size)",
    "sum by (inference_pool) (rate(llm_d_epp_request_phase_0000_duration_seconds_count[10s]))",
    "histogram_quantile(0.9, sum by (le) (rate(llm_d_epp_request_phase_0001_duration_seconds_bucket[10s])))",
];

/// What others noticed while one page entered.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The longest that a commit of the small page waited for the writer.
    pub longest_wait: Duration,
    /// How many commits there were meanwhile.
    pub commits: usize,
}

/// CPU time of one page that enters alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holds {
    /// All of it, from its bytes to its template.
    pub total: Duration,
    /// The longest of the batches in which its series are added, and their values.
    pub longest_batch: Duration,
    /// What is done at once.
    pub commit: Duration,
}

/// How long the first page of a target holds the writer, in CPU time: what others wait for where the machine has nothing else
/// to do.
pub fn holds(page: &[u8]) -> Holds {
    let (mut writer, _reader) = engine();
    let mut stage = add_target(&mut writer, 0);
    let (at, mut held) = (Timestamp::from_ms(1_000), Holds::default());
    let began = cpu();
    let staged = stage.parse(page, Format::Text);
    let mut staged = staged.expect("the page parses");
    loop {
        let began = cpu();
        let more = writer.add_series(&mut staged, at).expect("it fits");
        held.longest_batch = held.longest_batch.max(cpu() - began);
        if !more {
            break;
        }
    }
    let begun = writer.begin_commit(staged, at, ScrapeFacts::default());
    let mut commit = begun.expect("it fits");
    loop {
        commit.prepare();
        let began = cpu();
        let more = writer.commit_step(&mut commit, WRITE_BATCH_SERIES);
        held.longest_batch = held.longest_batch.max(cpu() - began);
        if !more {
            break;
        }
    }
    commit.gather();
    let committing = cpu();
    let (_, page) = writer.finish_commit(commit);
    held.commit = cpu() - committing;
    writer.take_template(page.into_template());
    held.total = cpu() - began;
    held
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn engine() -> (Writer, Reader) {
    let limits = Limits {
        memory_bytes_max: 4 << 30,
        ..Limits::default()
    };
    let (mut writer, reader) = Engine::new(limits);
    for query in SIGNALS {
        let registered = writer.register(query, Policy::default());
        registered.expect("the queries above are valid");
    }
    (writer, reader)
}

/// Has the first page of a target enter, while another target's page of 100 samples is committed every 0.2 ms.
pub fn enter(page: &[u8]) -> Entry {
    let (mut writer, _reader) = engine();
    let small = LoadPage::new(1, 100, 20);
    let mut stages = [0, 1].map(|target| add_target(&mut writer, target));
    let writer = Mutex::new(writer);
    let [large, other] = &mut stages;
    commit(&writer, other, &small.text, 1_000);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_beside(&writer, other, small, &done));
        let staged = large.parse(page, Format::Text);
        let staged = staged.expect("the page parses");
        let facts = ScrapeFacts::default();
        let committed = staged.commit_in_steps(&writer, Timestamp::from_ms(1_000), facts);
        committed.expect("it fits");
        done.store(true, Ordering::Release);
        let (longest_wait, commits) = waiting.join().expect("it commits pages");
        Entry {
            longest_wait,
            commits,
        }
    })
}

fn add_target(writer: &mut Writer, target: usize) -> Stage {
    let instance = format!("10.0.0.{target}:9090");
    let labels = Labels::from_pairs([("job", "epp"), ("instance", instance.as_str())]);
    let spec = TargetSpec {
        labels,
        interval_ms: 1000,
        honor_timestamps: true,
        ..TargetSpec::default()
    };
    writer.add_target(spec).1
}

/// The longest wait for the writer, and how many commits there were.
fn wait_beside(
    writer: &Mutex<Writer>,
    stage: &mut Stage,
    mut page: LoadPage,
    done: &AtomicBool,
) -> (Duration, usize) {
    let (mut longest, mut commits) = (Duration::ZERO, 0);
    while !done.load(Ordering::Acquire) {
        page.step();
        let waited = commit(writer, stage, &page.text, 2_000 + commits as i64);
        longest = longest.max(waited);
        commits += 1;
        crate::load::pause(Duration::from_micros(200));
    }
    (longest, commits)
}

/// Commits a page, and tells how long the writer was waited for.
fn commit(writer: &Mutex<Writer>, stage: &mut Stage, page: &[u8], at_ms: i64) -> Duration {
    let staged = stage.parse(page, Format::Text).expect("the page parses");
    let began = Instant::now();
    let mut writer = writer.lock();
    let waited = began.elapsed();
    let committed = writer.commit(staged, Timestamp::from_ms(at_ms), ScrapeFacts::default());
    committed.expect("it fits");
    waited
}
