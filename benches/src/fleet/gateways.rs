//! All gateways of a fleet behind one listener: every loopback address is one, and those of a pool show the same page.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::load::pause;
use crate::pages::LoadPage;

/// What there is of gateways.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// All of them.
    pub gateways: usize,
    /// Samples on the page of each.
    pub samples: usize,
    /// Pools that they belong to.
    pub pools: usize,
}

/// The first address; the fleet goes on from there.
const FIRST: u32 = u32::from_be_bytes([127, 1, 0, 0]);
/// Addresses of the small page, one after the other.
const FIRST_OF_PROBES: u32 = u32::from_be_bytes([127, 2, 0, 0]);

/// The gateways, while they are served.
pub struct Gateways {
    /// Of all addresses.
    pub port: u16,
    served: Arc<Served>,
}

struct Served {
    fleet: Fleet,
    /// By pool.
    pages: Vec<RwLock<Arc<Vec<u8>>>>,
    /// The number on the small pages.
    probe: AtomicU64,
    /// Bytes of bodies so far.
    written: AtomicU64,
}

impl Gateways {
    /// Serves them. Every second a fifth of the values of each page move.
    pub fn start(fleet: Fleet) -> std::io::Result<Gateways> {
        let mut moving: Vec<LoadPage> = (0..fleet.pools)
            .map(|pool| LoadPage::new(pool, fleet.samples, 20))
            .collect();
        let shown = moving.iter().map(|page| Arc::new(page.text.clone()));
        let served = Arc::new(Served {
            fleet,
            pages: shown.map(RwLock::new).collect(),
            probe: AtomicU64::new(0),
            written: AtomicU64::new(0),
        });
        let port = serve_on_own_thread(Arc::clone(&served))?;
        let gateways = Gateways {
            port,
            served: Arc::clone(&served),
        };
        thread::spawn(move || {
            loop {
                pause(Duration::from_secs(1));
                for (page, shown) in moving.iter_mut().zip(&served.pages) {
                    page.step();
                    *shown.write() = Arc::new(page.text.clone());
                }
            }
        });
        Ok(gateways)
    }

    /// Puts this number on the small pages.
    pub fn show(&self, number: u64) {
        self.served.probe.store(number, Ordering::Release);
    }

    /// Bytes of bodies that were written so far.
    pub fn written(&self) -> u64 {
        self.served.written.load(Ordering::Relaxed)
    }

    /// The addresses of all gateways.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        addresses(FIRST, self.served.fleet.gateways, self.port)
    }

    /// So many addresses of the small page.
    pub fn probes(&self, count: usize) -> impl Iterator<Item = String> {
        addresses(FIRST_OF_PROBES, count, self.port)
    }
}

fn addresses(first: u32, count: usize, port: u16) -> impl Iterator<Item = String> {
    (first..).take(count).map(move |address| {
        let address = Ipv4Addr::from_bits(address);
        format!("{address}:{port}")
    })
}

fn serve_on_own_thread(served: Arc<Served>) -> std::io::Result<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                // A scraper that goes away ends its task; that is no error of the fleet's.
                tokio::spawn(connection(stream, Arc::clone(&served)));
            }
        });
    });
    Ok(port)
}

async fn connection(mut stream: TcpStream, served: Arc<Served>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let IpAddr::V4(address) = stream.local_addr()?.ip() else {
        return Ok(());
    };
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..read]);
        }
        request.clear();
        let body = served.page(address.to_bits());
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        let bytes = body.len() as u64;
        served.written.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Served {
    fn page(&self, address: u32) -> Arc<Vec<u8>> {
        if address >= FIRST_OF_PROBES {
            let probe = self.probe.load(Ordering::Acquire);
            let text = format!("# TYPE probe_queue gauge\nprobe_queue {probe}\n");
            return Arc::new(text.into_bytes());
        }
        let pool = address.saturating_sub(FIRST) as usize % self.fleet.pools;
        Arc::clone(&self.pages[pool].read())
    }
}
