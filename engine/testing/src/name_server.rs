//! A name server of a test's own records (RFC 1035), over UDP and TCP, written by hand so that it shares no code with the
//! resolver that asks it. Its threads end with the process.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use parking_lot::Mutex;

/// Longest answer over UDP without an agreement on more; a longer one is cut there, and asked for again over TCP.
const UDP_BYTES_MAX: usize = 512;
/// How long the records may be cached: an hour, which whoever asks again and again has to ignore.
const TTL_S: u32 = 3_600;
const CLASS_IN: u16 = 1;

/// One record, without its name.
#[derive(Clone, Debug)]
pub enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// A host and its port.
    Srv(&'static str, u16),
    /// A mail exchange.
    Mx(&'static str),
    /// A name server.
    Ns(&'static str),
}

/// What is said of a name. A name of which nothing is said does not exist.
#[derive(Clone, Debug)]
pub enum Said {
    /// Its records, of any type; of the type that is asked for there may be none.
    Records(Vec<Record>),
    /// The server fails.
    Failure,
}

/// Serves until the process ends. Clones share what is said.
#[derive(Clone)]
pub struct NameServer {
    /// Where it listens, with both protocols.
    pub address: SocketAddr,
    zone: Arc<Mutex<BTreeMap<String, Said>>>,
}

impl NameServer {
    /// Listens on this address; with port 0 on some port that is free for both protocols.
    ///
    /// # Errors
    ///
    /// That of the sockets, as where port 53 is not allowed.
    pub fn start(address: SocketAddr) -> io::Result<NameServer> {
        let (stream, datagram) = sockets(address)?;
        let address = stream.local_addr()?;
        let zone = Arc::default();
        let server = NameServer { address, zone };
        let (over_udp, over_tcp) = (server.clone(), server.clone());
        std::thread::spawn(move || over_udp.serve_datagrams(&datagram));
        std::thread::spawn(move || {
            for stream in stream.incoming().flatten() {
                let server = over_tcp.clone();
                std::thread::spawn(move || server.serve_stream(stream));
            }
        });
        Ok(server)
    }

    /// Says this of a name, written in full and without its final dot, from now on.
    pub fn say(&self, name: &str, said: Said) {
        self.zone.lock().insert(name.to_owned(), said);
    }

    /// The name does not exist any more.
    pub fn forget(&self, name: &str) {
        self.zone.lock().remove(name);
    }

    fn serve_datagrams(&self, socket: &UdpSocket) {
        let mut request = [0; 4_096];
        while let Ok((length, from)) = socket.recv_from(&mut request) {
            let Some(mut answer) = self.answer(&request[..length]) else {
                continue;
            };
            if answer.len() > UDP_BYTES_MAX {
                answer.truncate(question_end(&answer).unwrap_or(answer.len()));
                answer[2] |= 0b10; // TC
                answer[6..12].fill(0); // no records follow
            }
            socket.send_to(&answer, from).ok(); // whoever asked may be gone
        }
    }

    fn serve_stream(&self, mut stream: TcpStream) -> Option<()> {
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            let mut request = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut request).ok()?;
            let answer = self.answer(&request)?;
            let length = u16::try_from(answer.len()).ok()?;
            stream
                .write_all(&[&length.to_be_bytes()[..], &answer].concat())
                .ok()?;
        }
    }

    /// The answer to a query of one question; `None` to anything else.
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let end = question_end(request)?;
        let kind = u16::from_be_bytes([request[end - 4], request[end - 3]]);
        let name = name_text(&request[12..end - 4])?;
        let said = self.zone.lock().get(&name).cloned();
        let (code, records) = match said {
            Some(Said::Records(records)) => (0, records),
            Some(Said::Failure) => (2, Vec::new()),
            None => (3, Vec::new()),
        };
        let records: Vec<Vec<u8>> = records
            .iter()
            .filter_map(|record| data(record, kind))
            .collect();
        let count = u16::try_from(records.len()).ok()?;
        let mut answer = request[..2].to_vec();
        // QR, AA, RD and RA, then the code; one question.
        answer.extend([0b1000_0101, 0b1000_0000 | code, 0, 1]);
        answer.extend(count.to_be_bytes());
        answer.extend([0; 4]);
        answer.extend(&request[12..end]);
        for data in records {
            answer.extend([0xc0, 12]); // the name of the question
            answer.extend(kind.to_be_bytes());
            answer.extend(CLASS_IN.to_be_bytes());
            answer.extend(TTL_S.to_be_bytes());
            answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}

/// Of both protocols, on one port.
fn sockets(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    const TRIES: usize = 16; // a port that is free for one may be taken for the other
    let both = || {
        let stream = TcpListener::bind(address)?;
        let datagram = UdpSocket::bind(stream.local_addr()?)?;
        Ok((stream, datagram))
    };
    let mut found = both();
    for _ in 1..TRIES {
        if found.is_ok() || address.port() != 0 {
            break;
        }
        found = both();
    }
    found
}

/// Where the first question ends, which begins behind the 12 bytes of the header.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1 + length;
        if length == 0 {
            return (at + 4 <= message.len()).then_some(at + 4);
        }
    }
}

/// `3www7example0` as `www.example`, in lower case.
fn name_text(mut bytes: &[u8]) -> Option<String> {
    let mut labels = Vec::new();
    while let Some((length, rest)) = bytes.split_first()
        && *length > 0
    {
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        bytes = rest;
    }
    Some(labels.join("."))
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(0)); // a test's names have short labels
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// The data of a record, where it is of the type that is asked for.
fn data(record: &Record, kind: u16) -> Option<Vec<u8>> {
    let (of, data) = match record {
        Record::Address(IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
        Record::Address(IpAddr::V6(ip)) => (28, ip.octets().to_vec()),
        Record::Srv(host, port) => {
            let numbers = [0, 0, 0, 0, port.to_be_bytes()[0], port.to_be_bytes()[1]];
            (33, [&numbers[..], &name_bytes(host)].concat())
        }
        Record::Mx(host) => (15, [&[0, 10][..], &name_bytes(host)].concat()),
        Record::Ns(host) => (2, name_bytes(host)),
    };
    (of == kind).then_some(data)
}
