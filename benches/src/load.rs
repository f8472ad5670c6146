//! The load generator: prepared pages served over loopback, all targets stepping together once a second, and one
//! small page whose queue is set by hand.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::pages::LoadPage;
use parking_lot::RwLock;

/// What is served where.
pub struct Load {
    /// Ports of the targets with large pages.
    pub ports: Vec<u16>,
    /// Port of the small page.
    pub fast_port: u16,
    /// The number on the small page.
    pub queue: Arc<AtomicU64>,
    /// Samples on all large pages together.
    pub samples: usize,
}

type Body = Arc<RwLock<Arc<Vec<u8>>>>;

impl Load {
    /// Serves `targets` pages of `samples` samples, of which `moving_percent` move every second.
    pub fn start(targets: usize, samples: usize, moving_percent: usize) -> std::io::Result<Load> {
        let mut ports = Vec::new();
        let mut pages = Vec::new();
        for target in 0..targets {
            let page = LoadPage::new(target % 4, samples, moving_percent);
            let body: Body = Arc::new(RwLock::new(Arc::new(page.text.clone())));
            let shown = Arc::clone(&body);
            ports.push(serve(move || Arc::clone(&shown.read()))?);
            pages.push((page, body));
        }
        let samples = pages.iter().map(|(page, _)| page.samples()).sum();
        thread::spawn(move || {
            loop {
                pause(Duration::from_secs(1));
                for (page, body) in &mut pages {
                    page.step();
                    *body.write() = Arc::new(page.text.clone());
                }
            }
        });
        let queue = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&queue);
        let fast_port = serve(move || {
            let queue = shown.load(Ordering::Acquire);
            Arc::new(format!("fast_queue{{inference_pool=\"fast\"}} {queue}\n").into_bytes())
        })?;
        Ok(Load {
            ports,
            fast_port,
            queue,
            samples,
        })
    }
}

impl Load {
    /// One target whose page is asked for at every scrape; without one, the connection is cut.
    pub fn scripted(
        page: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> std::io::Result<Load> {
        let port = serve_or_cut(move || page().map(|page| Arc::new(page.into_bytes())))?;
        Ok(Load {
            ports: vec![port],
            fast_port: port,
            queue: Arc::default(),
            samples: 0,
        })
    }
}

/// Waiting is what a load generator does between steps.
#[expect(
    clippy::disallowed_methods,
    reason = "a load keeps time; no test waits for it"
)]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

fn serve(body: impl Fn() -> Arc<Vec<u8>> + Send + Sync + 'static) -> std::io::Result<u16> {
    serve_or_cut(move || Some(body()))
}

fn serve_or_cut(
    body: impl Fn() -> Option<Arc<Vec<u8>>> + Send + Sync + 'static,
) -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let body = Arc::new(body);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = Arc::clone(&body);
            // A scraper that goes away ends its thread; that is no error of the load's.
            thread::spawn(move || drop(connection(stream, &*body)));
        }
    });
    Ok(port)
}

fn connection(
    mut stream: TcpStream,
    body: &dyn Fn() -> Option<Arc<Vec<u8>>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..read]);
        }
        request.clear();
        let Some(body) = body() else { return Ok(()) };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
    }
}
