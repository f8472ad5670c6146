//! Jobs whose pages attack whoever scrapes them.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::Failure;
use crate::load::Load;

pub(super) fn none() -> Result<String, Failure> {
    Ok(String::new())
}

fn job(ports: &[u16], more: &str) -> String {
    let targets: Vec<String> = ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    let targets = targets.join(", ");
    format!("- job_name: attack\n{more}  static_configs: [{{targets: [{targets}]}}]\n")
}

pub(super) fn old_timestamps() -> Result<String, Failure> {
    let load = Load::scripted(|| Some("batch_rows 5 1395066363000\nlive 1\n".to_owned()))?;
    Ok(job(&load.ports, ""))
}

pub(super) fn many_lines() -> Result<String, Failure> {
    let round = AtomicU64::new(0);
    let load = Load::scripted(move || {
        let round = round.fetch_add(1, Ordering::Relaxed);
        let mut page = String::with_capacity(20 << 20);
        for line in 0..400_000 {
            let _ = writeln!(page, "many_{round}{{n=\"{line}\"}} 1");
        }
        Some(page)
    })?;
    Ok(job(&load.ports, "  scrape_interval: 2s\n"))
}

pub(super) fn too_large() -> Result<String, Failure> {
    let load = Load::scripted(|| {
        let mut page = String::with_capacity(60 << 20);
        for line in 0..900_000 {
            let _ = writeln!(page, "large{{n=\"{line:040}\"}} 1");
        }
        Some(page)
    })?;
    Ok(job(&load.ports, "  scrape_interval: 2s\n"))
}

pub(super) fn wide_page() -> Result<String, Failure> {
    let load = Load::scripted(|| {
        let mut page = String::new();
        for line in 0..20_000 {
            let _ = writeln!(page, "wide{{s=\"{line}\",pool=\"p{}\"}} {line}", line % 7);
        }
        Some(page)
    })?;
    Ok(job(&load.ports, "  scrape_interval: 1s\n"))
}

pub(super) fn dead_names() -> Result<String, Failure> {
    let targets: Vec<String> = (0..20).map(|n| format!("'dead-{n}.invalid:9'")).collect();
    Ok(format!(
        "- job_name: attack\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    ))
}

pub(super) fn refusing() -> Result<String, Failure> {
    let targets: Vec<String> = (0..1_000)
        .map(|n| format!("'127.1.{}.{}:9'", n / 250, n % 250 + 1))
        .collect();
    Ok(format!(
        "- job_name: attack\n  scrape_interval: 1s\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    ))
}

/// A server that answers every request with what `answer` makes.
fn raw(answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line == "\r\n" && (&stream).write_all(&answer()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    Ok(port)
}

pub(super) fn newlines() -> Result<String, Failure> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![b'\n'; 1 << 20];
    for _ in 0..100 {
        encoder.write_all(&block)?;
    }
    let body = encoder.finish()?;
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    Ok(job(&[raw(move || answer.clone())?], ""))
}

pub(super) fn long_reasons() -> Result<String, Failure> {
    let round = AtomicU64::new(0);
    let port = raw(move || {
        let reason = format!("{:050000}", round.fetch_add(1, Ordering::Relaxed));
        format!("HTTP/1.1 503 {reason}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    })?;
    Ok(job(&[port], ""))
}
