//! One kept HTTP connection to a server, and PromQL over it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;

/// One kept connection.
pub struct Client {
    reader: BufReader<TcpStream>,
    port: u16,
}

impl Client {
    /// On a connection to this port.
    pub(crate) fn new(stream: TcpStream, port: u16) -> Client {
        Client {
            reader: BufReader::new(stream),
            port,
        }
    }

    /// The body of a GET. A server may close a connection that it has kept for long: then it is asked once more.
    pub fn get(&mut self, path: &str) -> std::io::Result<String> {
        match self.try_get(path) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                let stream = TcpStream::connect(("127.0.0.1", self.port))?;
                stream.set_nodelay(true)?;
                self.reader = BufReader::new(stream);
                self.try_get(path)
            }
            result => result,
        }
    }

    fn try_get(&mut self, path: &str) -> std::io::Result<String> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
            self.port
        );
        Ok(self.exchange(&head, &[])?.1)
    }

    /// Status and body of a POST; `headers` are whole lines.
    pub fn post(
        &mut self,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> std::io::Result<(u16, String)> {
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n",
            self.port,
            body.len()
        );
        for header in headers {
            head += header;
            head += "\r\n";
        }
        head += "\r\n";
        self.exchange(&head, body)
    }

    fn exchange(&mut self, head: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        exchange(&mut self.reader, head, body)
    }

    /// The body of an instant query.
    pub fn query(&mut self, promql: &str) -> std::io::Result<String> {
        self.get(&format!("/api/v1/query?query={}", encode(promql)))
    }

    /// The same, under `/guarded`.
    pub fn guarded(&mut self, promql: &str) -> std::io::Result<String> {
        self.get(&format!("/guarded/api/v1/query?query={}", encode(promql)))
    }

    /// The body of a range query; times in milliseconds.
    pub fn query_range(&mut self, promql: &str, range: (i64, i64, i64)) -> std::io::Result<String> {
        self.query_range_with(promql, range, "")
    }

    /// The same with more parameters, each of them with an `&` before it.
    pub fn query_range_with(
        &mut self,
        promql: &str,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        more: &str,
    ) -> std::io::Result<String> {
        let query = encode(promql);
        let [start, end, step] = [start_ms, end_ms, step_ms].map(|ms| ms as f64 / 1000.0);
        self.get(&format!(
            "/api/v1/query_range?query={query}&start={start}&end={end}&step={step}{more}"
        ))
    }

    /// The body of an instant query at a time in milliseconds.
    pub fn query_at(&mut self, promql: &str, time_ms: i64) -> std::io::Result<String> {
        let query = encode(promql);
        let time = time_ms as f64 / 1000.0;
        self.get(&format!("/api/v1/query?query={query}&time={time}"))
    }
}

/// Sends a request over a kept connection; status and body of the answer.
pub(crate) fn exchange<S: Read + Write>(
    reader: &mut BufReader<S>,
    head: &str,
    body: &[u8],
) -> std::io::Result<(u16, String)> {
    let stream = reader.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let (mut length, mut chunked, mut line) = (0usize, false, String::new());
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::InvalidData)?;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        chunked |= lower == "transfer-encoding: chunked";
    }
    let mut body = Vec::new();
    if !chunked {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    while chunked {
        line.clear();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let at = body.len();
        body.resize(at + size + 2, 0);
        reader.read_exact(&mut body[at..])?;
        body.truncate(at + size);
        chunked = size > 0;
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
