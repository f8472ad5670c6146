//! Clients that attack.

#![expect(
    clippy::disallowed_methods,
    reason = "clients have clocks of their own"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Attack, encoded, get};
use crate::load::pause;

/// Asks for paths until the time is up.
fn ask(attack: &Attack, patience: Duration, path: impl Fn(u64) -> String) {
    let mut round = 0;
    while !attack.over.load(Ordering::Relaxed) {
        get(attack.port, &path(round), patience).ok(); // refused, answered or given up: the next one
        attack.tried.fetch_add(1, Ordering::Relaxed);
        round += 1;
    }
}

pub(super) fn label_joins(attack: &Attack) {
    let mut query = "wide".to_owned();
    for _ in 0..8 {
        query = format!(
            "label_join({query},\"x\",\"\",\"s\"{})",
            ",\"x\"".repeat(12)
        );
    }
    let query = encoded(&query);
    ask(attack, Duration::from_secs(5), |round| match round % 2 {
        0 => format!("/api/v1/query?query={query}"),
        _ => format!("/guarded/api/v1/query?query={query}"),
    });
}

pub(super) fn ranges(attack: &Attack) {
    let query = encoded("sum by (pool) (rate(wide[10s])) + sum by (pool) (wide)");
    ask(attack, Duration::from_secs(5), |_| {
        let now_s = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        format!(
            "/api/v1/query_range?query={query}&start={}&end={now_s}&step=1",
            now_s - 20
        )
    });
}

pub(super) fn abandoned(attack: &Attack) {
    let query = "max(label_replace(wide,\"x\",\"$1\",\"s\",\"(.*)\")) + max(quantile_over_time(0.5,wide[10s]))";
    let query = encoded(query);
    ask(attack, Duration::from_millis(200), |_| {
        format!("/guarded/api/v1/query?query={query}")
    });
}

pub(super) fn distinct_sums(attack: &Attack) {
    ask(attack, Duration::from_secs(5), |round| {
        let query = encoded(&format!("sum(wide) + {}", round % 500));
        format!("/guarded/api/v1/query?query={query}")
    });
}

pub(super) fn silent(attack: &Attack) {
    hold(
        attack,
        attack.port,
        512,
        b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n",
    );
}

pub(super) fn silent_keda(attack: &Attack) {
    hold(
        attack,
        attack.keda_port,
        1_100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    );
}

/// Asks for a large answer and reads a byte of it.
pub(super) fn unread_federate(attack: &Attack) {
    let request = b"GET /federate?match%5B%5D=wide HTTP/1.1\r\nHost: x\r\n\r\n";
    open(attack, attack.port, 200, |stream, _| {
        stream.write_all(request)?;
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        stream.read(&mut [0]).map(drop)
    });
}

pub(super) fn slow_reads(attack: &Attack) {
    begin_bodies(attack, "/api/v1/read");
}

pub(super) fn slow_writers(attack: &Attack) {
    begin_bodies(attack, "/api/v1/write");
}

/// Begins to send a body to a path, on 200 connections.
fn begin_bodies(attack: &Attack, path: &str) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: 100000\r\n\r\n\u{1}"
    );
    open(attack, attack.port, 200, |stream, _| {
        stream.write_all(request.as_bytes())
    });
}

/// Connections that are in use: each asks for something cheap once a second.
pub(super) fn probing(attack: &Attack) {
    let mut held = Vec::new();
    while !attack.over.load(Ordering::Relaxed) {
        if held.len() < 600
            && let Ok(stream) = TcpStream::connect(("127.0.0.1", attack.port))
        {
            held.push(stream);
        }
        // Those that were ended are replaced, as a load balancer's are.
        let turn = attack.tried.fetch_add(1, Ordering::Relaxed) as usize % held.len().max(1);
        let asked = held
            .get_mut(turn)
            .map(|stream| stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"));
        if asked.is_some_and(|asked| asked.is_err()) {
            held.swap_remove(turn);
        }
        pause(Duration::from_micros(1_600));
    }
}

/// Opens connections and says nothing on half of them, and little on the others.
fn hold(attack: &Attack, port: u16, count: usize, words: &[u8]) {
    open(attack, port, count, |stream, number| {
        match number.is_multiple_of(2) {
            true => stream.write_all(words),
            false => Ok(()),
        }
    });
}

/// Opens so many connections, begins something on each, and keeps them open until the time is up.
fn open(
    attack: &Attack,
    port: u16,
    count: usize,
    begin: impl Fn(&mut TcpStream, usize) -> std::io::Result<()>,
) {
    let mut held = Vec::new();
    while !attack.over.load(Ordering::Relaxed) {
        if held.len() == count {
            pause(Duration::from_millis(50));
            continue;
        }
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            begin(&mut stream, held.len()).ok(); // it may be refused already
            held.push(stream);
            attack.tried.fetch_add(1, Ordering::Relaxed);
        }
    }
}
