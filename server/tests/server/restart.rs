//! A restart: what the snapshot brings back, what is refused, and how a process ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::process::Process;
use crate::common::{Act, TestTarget, eventually, get, server_with, settings, value};
use stillwell::serve::Running;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = format!("stillwell-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::remove_dir_all(&folder).ok();
        Folder(folder)
    }

    fn snapshot(&self) -> PathBuf {
        self.0.join("snapshot")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn config(target: &TestTarget) -> String {
    format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n\
         signals:\n- {{name: q, expr: 'sum(inference_extension_flow_control_queue_size)'}}\n",
        target.address
    )
}

async fn start(target: &TestTarget, path: &Path) -> Running {
    let mut settings = settings(None);
    settings.storage_path = Some(path.to_owned());
    server_with(&config(target), settings, Default::default()).await
}

fn write_snapshot(running: &Running) {
    let app = &running.app;
    let snapshots = app.snapshots().expect("it was asked for");
    snapshots.write(app.scraper().shared(), app.keda(), app.senders());
}

const PAGE: &str = "process_start_time_seconds 1700000000\n\
    # TYPE inference_extension_flow_control_queue_size gauge\n\
    inference_extension_flow_control_queue_size{inference_pool=\"p\"} 4\n";

async fn samples(address: SocketAddr) -> Option<f64> {
    let query = "sum(count_over_time(inference_extension_flow_control_queue_size[30m]))";
    value(address, query).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_comes_back_and_a_bad_file_does_not() {
    let folder = Folder::new("restart");
    let target = TestTarget::with_page(PAGE).await;
    let running = start(&target, &folder.0).await;
    let address = running.addresses[0];
    eventually("some scrapes", || async {
        samples(address).await >= Some(20.0)
    })
    .await;
    let before = samples(address).await;
    running.stop().await;
    assert!(folder.snapshot().exists());
    // Nobody answers: what is known is from before.
    target.set(Act::SayAndClose(Vec::new()));
    let running = start(&target, &folder.0).await;
    let after = samples(running.addresses[0]).await;
    assert!(after >= before, "{after:?} of {before:?}");
    let (status, _, body) = get(
        running.addresses[0],
        "/guarded/api/v1/query?query=sum(inference_extension_flow_control_queue_size)",
    )
    .await;
    assert_ne!(status, 200, "no number before a page: {body}");
    running.stop().await;
    // Torn, foreign, and gone.
    let whole = std::fs::read(folder.snapshot()).expect("written");
    for damaged in [&whole[..whole.len() / 2], b"something else", b""] {
        std::fs::write(folder.snapshot(), damaged).expect("written");
        let running = start(&target, &folder.0).await;
        assert_eq!(samples(running.addresses[0]).await, None);
        running.stop().await;
        assert!(std::fs::read(folder.snapshot()).expect("replaced").len() > 28);
    }
    let left = std::fs::read_dir(&folder.0).expect("a folder").count();
    assert_eq!(
        left, 2,
        "the snapshot and the lock: nothing unfinished stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_appended_and_a_torn_one_costs_what_is_in_it() {
    let folder = Folder::new("appended");
    let target = TestTarget::with_page(PAGE).await;
    let running = start(&target, &folder.0).await;
    let address = running.addresses[0];
    let (mut parts, mut counted) = (Vec::new(), Vec::new());
    for part in 1..=3 {
        eventually("more scrapes", || async {
            samples(address).await >= Some(f64::from(10 * part))
        })
        .await;
        counted.push(samples(address).await);
        write_snapshot(&running);
        parts.push(std::fs::read(folder.snapshot()).expect("written"));
    }
    for (before, after) in parts.iter().zip(&parts[1..]) {
        assert!(after.starts_with(before) && after.len() > before.len());
    }
    // Whoever puts another file in its place finds a whole one there afterwards, and not what is meant for the one before.
    std::fs::remove_file(folder.snapshot()).expect("it is there");
    std::fs::write(folder.snapshot(), b"mine").expect("written");
    running.stop().await;
    let last = std::fs::read(folder.snapshot()).expect("replaced");
    assert!(last.starts_with(&parts[0][..8]) && !last.starts_with(&parts[0]));
    target.set(Act::SayAndClose(Vec::new()));
    for (end, least, most) in [
        (parts[2].len(), 2, None),
        (parts[2].len() - 1, 1, Some(2)),
        (parts[1].len() + 5, 1, Some(2)),
        (parts[1].len() - 1, 0, Some(1)),
    ] {
        std::fs::write(folder.snapshot(), &parts[2][..end]).expect("written");
        let running = start(&target, &folder.0).await;
        let after = samples(running.addresses[0]).await;
        assert!(after >= counted[least], "{after:?} of {counted:?} at {end}");
        assert!(
            most.is_none_or(|most| after < counted[most]),
            "{after:?} of {counted:?} at {end}"
        );
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_is_no_obstacle() {
    let target = TestTarget::with_page(PAGE).await;
    // Below a file no folder can be made, whoever asks.
    let running = start(&target, Path::new("/dev/null/below")).await;
    let address = running.addresses[0];
    eventually("a scrape", || async { samples(address).await >= Some(1.0) }).await;
    write_snapshot(&running);
    let snapshots = running.app.snapshots().expect("it was asked for");
    assert_eq!(snapshots.done().failures, 1);
    let metrics = get(address, "/metrics").await.2;
    assert!(
        metrics.contains("stillwell_snapshot_failures_total 1"),
        "{metrics}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_turns_readiness_off_first_and_ends_with_a_snapshot() {
    let folder = Folder::new("sigterm");
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let target = TestTarget::with_page(PAGE).await;
    let file = folder.0.join("config.yml");
    std::fs::write(&file, config(&target)).expect("written");
    let storage = folder.0.join("data");
    let (mut process, address) = Process::start(&file, &storage, &[]);
    eventually("ready", || async {
        get(address, "/-/ready").await.0 == 200
    })
    .await;
    eventually("some scrapes", || async {
        samples(address).await >= Some(5.0)
    })
    .await;
    let before = samples(address).await;
    process.signal("TERM");
    eventually("not ready", || async {
        get(address, "/-/ready").await.0 == 503
    })
    .await;
    // Readers are still answered.
    assert!(samples(address).await >= before);
    let ended = tokio::task::spawn_blocking(move || process.0.wait());
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
    let status = ended
        .expect("in time")
        .expect("no panic")
        .expect("waited for");
    assert_eq!(status.code(), Some(0));
    let (_process, address) = Process::start(&file, &storage, &[]);
    eventually("ready", || async {
        get(address, "/-/ready").await.0 == 200
    })
    .await;
    assert!(samples(address).await > before);
}
