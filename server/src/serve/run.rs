//! Brings the parts up in order and takes them down again.
//!
//! Scraping has a runtime and a thread of its own; faces and queries have another runtime. A query that takes all of
//! its threads delays no scrape.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use stillwell_engine::{Engine, Limits};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::app::{App, Settings};
use super::secure::{Secure, SecureOptions};
use super::web::{self, WebOptions};
use crate::clock::Clock;
use crate::config::Config;
use crate::scrape::{Buffers, Gunzip, Scraper, Shared};

/// Where to listen, and for what.
#[derive(Clone, Debug, Default)]
pub struct Faces {
    /// Addresses of the plain listener.
    pub listen: Vec<String>,
    /// What it serves.
    pub web: WebOptions,
    /// The secure listener, where there is one.
    pub secure: Option<SecureOptions>,
}

/// A server that was started.
pub struct Running {
    /// The process behind the faces.
    pub app: Arc<App>,
    /// Where the plain listener listens.
    pub addresses: Vec<SocketAddr>,
    /// Where the secure listener listens.
    pub secure_address: Option<SocketAddr>,
    quit: watch::Sender<bool>,
    faces: Vec<tokio::task::JoinHandle<()>>,
    scraping: JoinHandle<()>,
}

/// Starts everything on the current runtime, which becomes that of the faces.
pub async fn start(
    settings: Settings,
    config: Config,
    text: String,
    faces: Faces,
    limits: Limits,
    clock: Arc<Clock>,
) -> io::Result<Running> {
    let Faces {
        listen,
        web,
        secure,
    } = faces;
    let secure = match secure {
        Some(options) => {
            let now_s = clock.now().ms() / 1000;
            let bound = Secure::bind(options, now_s).await;
            Some(bound.map_err(io::Error::other)?)
        }
        None => None,
    };
    let mut listeners = Vec::new();
    for address in &listen {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("listen on {address}: {error}"))
        })?;
        listeners.push(listener);
    }
    let (writer, reader) = Engine::new(limits);
    let shared = Shared {
        writer: parking_lot::Mutex::new(writer),
        clock: Arc::clone(&clock),
        buffers: Buffers::default(),
        gunzip: parking_lot::Mutex::new(Gunzip::default()),
        scraped: tokio::sync::Notify::new(),
    };
    let (quit, quitting) = watch::channel(false);
    let (scraper, scraping) = scraping_thread(shared, quitting.clone())?;
    let scraper = scraper
        .await
        .map_err(|_| io::Error::other("the scraping thread did not start"))?;
    let groups = config.external_metrics.groups.clone();
    let insecure_groups = config.external_metrics.insecure.then(|| groups.clone());
    let web = WebOptions {
        insecure_api_groups: insecure_groups,
        ..web
    };
    let app = App::start(settings, config, text, clock, reader, scraper)
        .await
        .map_err(|problems| io::Error::other(super::app::show(&problems)))?;
    let router = web::router(&app, &web, quit.clone());
    let mut addresses = Vec::new();
    let mut faces = Vec::new();
    for listener in listeners {
        addresses.push(listener.local_addr()?);
        let prefix = web.route_prefix.clone();
        faces.push(tokio::spawn(web::serve(
            listener,
            router.clone(),
            prefix,
            quitting.clone(),
        )));
    }
    let mut secure_address = None;
    if let Some(secure) = secure {
        secure_address = Some(secure.address()?);
        faces.push(tokio::spawn(secure.serve(
            Arc::clone(&app),
            groups,
            quitting.clone(),
        )));
    }
    Ok(Running {
        app,
        addresses,
        secure_address,
        quit,
        faces,
        scraping,
    })
}

impl Running {
    /// Turns true when the process shall end.
    pub fn quitting(&self) -> watch::Receiver<bool> {
        self.quit.subscribe()
    }

    /// Ends scraping and, once answers under way are out, the faces.
    pub async fn stop(self) {
        self.quit.send_replace(true);
        for face in self.faces {
            face.await.ok(); // a face that panicked has ended too
        }
        let scraping = self.scraping;
        tokio::task::spawn_blocking(move || scraping.join())
            .await
            .ok();
    }
}

type Started = oneshot::Receiver<Scraper>;

fn scraping_thread(
    shared: Shared,
    mut quit: watch::Receiver<bool>,
) -> io::Result<(Started, JoinHandle<()>)> {
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(4) // name lookups only
        .build()?;
    let thread = std::thread::Builder::new()
        .name("scraping".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                tell.send(Scraper::start(shared)).ok(); // nobody waits: then `quit` is true
                quit.wait_for(|quit| *quit).await.ok();
            });
            runtime.shutdown_background();
        })?;
    Ok((told, thread))
}
