//! The threads with a runtime of their own: what takes long on one of them delays none of the others.
//!
//! | thread | for |
//! |---|---|
//! | `scraping` | every target's loop: sockets, parsing, commits |
//! | `discovery` | watches, files and names that targets are found by |
//! | `rules` | evaluation of recording and alerting rules |
//! | `alerts` | sending to Alertmanagers |
//! | `remote-write` | sending samples to other storages |

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use stillwell_engine::Reader;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};

use crate::alertmanager::Notifier;
use crate::discovery::{LOOKS_MAX, Manager, Shard};
use crate::rule_groups::Runner;
use crate::scrape::{Scraper, Shared};

/// Files of credentials, and one page that takes long.
const SCRAPING_BLOCKING: usize = 3;
/// Files only: of targets, which may all wait for a mount whose server has gone, and beside them of credentials.
const OTHERS_BLOCKING: usize = LOOKS_MAX + 2;

/// What began on a thread, and the thread.
type Started<T> = io::Result<(T, JoinHandle<()>)>;

pub(super) async fn scraping(shared: Shared, quit: watch::Receiver<bool>) -> Started<Scraper> {
    let runtime = runtime(SCRAPING_BLOCKING)?;
    begin("scraping", runtime, quit, move |_| Scraper::start(shared)).await
}

pub(super) async fn discovery(
    scraper: &Scraper,
    reader: &Reader,
    shard: Option<Shard>,
    quit: watch::Receiver<bool>,
) -> Started<Manager> {
    let (scraper, reader) = (scraper.clone(), reader.clone());
    let start = move |quit| Manager::start(scraper, reader, shard, quit);
    begin("discovery", runtime(OTHERS_BLOCKING)?, quit, start).await
}

pub(super) async fn rules(
    scraper: &Scraper,
    reader: &Reader,
    (discovery, notifier): (&Manager, Notifier),
    quit: watch::Receiver<bool>,
) -> Started<Runner> {
    let (shared, reader) = (Arc::clone(scraper.shared()), reader.clone());
    let found = discovery.rules();
    let start = move |quit| {
        let send = Box::new(move |alerts| notifier.send(alerts));
        Runner::start(shared, reader, found, send, quit)
    };
    begin("rules", runtime(OTHERS_BLOCKING)?, quit, start).await
}

/// A thread that sends something. It ends when what waits is sent.
pub(super) fn sending(
    name: &str,
    sending: impl Future<Output = ()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let runtime = runtime(OTHERS_BLOCKING)?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            runtime.block_on(sending);
            runtime.shutdown_background();
        })
}

fn runtime(blocking_max: usize) -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(blocking_max)
        .build()
}

/// A thread on which `start` begins what ends when `quit` turns true.
async fn begin<T: Send + 'static>(
    name: &str,
    runtime: Runtime,
    mut quit: watch::Receiver<bool>,
    start: impl FnOnce(watch::Receiver<bool>) -> T + Send + 'static,
) -> Started<T> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                tell.send(start(quit.clone())).ok(); // nobody waits: then `quit` is true
                quit.wait_for(|quit| *quit).await.ok();
            });
            runtime.shutdown_background();
        })?;
    let started = told.await;
    let started = started
        .map_err(|_| io::Error::other(format!("the thread {name:?} ended while it started")))?;
    Ok((started, thread))
}
