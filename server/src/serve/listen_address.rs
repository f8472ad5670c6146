//! Addresses to listen on: why one cannot be had names the flag that gave it, what it is for, and what to give instead.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::http_client::zoned;

/// Connections that wait to be accepted: a client beyond them tries again after a second. The kernel takes no more than
/// `net.core.somaxconn`, which is 4,096 by default.
pub(super) const BACKLOG: u32 = 4_096;

/// Which flag gives an address, and for what.
pub(super) struct Purpose {
    /// The flag, with its dashes.
    pub(super) flag: &'static str,
    /// What listens.
    pub(super) what: &'static str,
    /// How to do without, where that can be.
    pub(super) off: Option<&'static str>,
}

/// The plain listener.
pub(super) const WEB: Purpose = Purpose {
    flag: "--web.listen-address",
    what: "the HTTP API and the console",
    off: None,
};

/// The port for KEDA's external scaler.
pub(super) const KEDA: Purpose = Purpose {
    flag: "--keda.listen-address",
    what: "KEDA's external scaler",
    off: Some("--keda.listen-address= turns it off"),
};

/// The port of the Kubernetes metrics APIs.
pub(super) const SECURE: Purpose = Purpose {
    flag: "--bind-address and --secure-port",
    what: "the Kubernetes metrics APIs",
    off: Some("without --secure-port they are not served"),
};

/// Listens on an address with a port. Error: why not, and what to do.
pub(super) async fn bind(address: &str, purpose: &Purpose) -> io::Result<TcpListener> {
    let Purpose { flag, what, off } = purpose;
    let named = |error: io::Error| {
        let instead = match error.kind() {
            io::ErrorKind::AddrInUse => "; another process listens there: give another address",
            io::ErrorKind::AddrNotAvailable => {
                "; no interface of this machine has that address: 0.0.0.0 stands for all of them"
            }
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a right of their own",
            _ => "",
        };
        let off = off.map_or(String::new(), |off| format!("; {off}"));
        let why = format!("{flag}: listen on {address} ({what}): {error}{instead}{off}");
        io::Error::new(error.kind(), why)
    };
    check(address).map_err(named)?;
    if let Some(at_link) = of_a_link(address) {
        return bind_to(at_link.map_err(invalid).map_err(named)?).map_err(named);
    }
    let mut failed = None;
    for address in tokio::net::lookup_host(address).await.map_err(named)? {
        match bind_to(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(named(failed.unwrap_or_else(|| {
        invalid("it resolves to no address".to_owned())
    })))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Refuses what is not of the form `host:port`.
fn check(address: &str) -> io::Result<()> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    if !host.starts_with('[') && host.contains(':') && !host.contains('/') {
        return Err(invalid(
            "an IPv6 address needs brackets: [::1]:9090".to_owned(),
        ));
    }
    if port.parse::<u16>().is_err() || host.contains('/') {
        let why = "it is not of the form host:port, for example 0.0.0.0:9090 or :9090, with a port from 0 to 65535";
        return Err(invalid(why.to_owned()));
    }
    Ok(())
}

/// The address of an interface, like `[fe80::1%eth0]:9090`; `None` where it is none.
fn of_a_link(address: &str) -> Option<Result<SocketAddr, String>> {
    let (host, port) = address.strip_prefix('[')?.split_once("]:")?;
    zoned(host, port.parse().ok()?)
}

fn bind_to(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn why(address: &str, purpose: &Purpose) -> String {
        let refused = bind(address, purpose).await;
        refused.map(|_| ()).expect_err(address).to_string()
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_names_its_flag_and_the_way_out() {
        let holder = bind("127.0.0.1:0", &WEB).await.expect("a port is free");
        let taken = holder.local_addr().expect("it is bound").to_string();
        let form = "it is not of the form host:port, for example 0.0.0.0:9090 or :9090";
        for (address, purpose, parts) in [
            (
                &*taken,
                &KEDA,
                [
                    &*format!(
                        "--keda.listen-address: listen on {taken} (KEDA's external scaler): "
                    ),
                    "another process listens there: give another address; --keda.listen-address= turns it off",
                ],
            ),
            (
                &*taken,
                &SECURE,
                [
                    "--bind-address and --secure-port: ",
                    "without --secure-port they are not served",
                ],
            ),
            ("foo", &WEB, ["--web.listen-address: listen on foo ", form]),
            ("foo:http", &WEB, ["listen on foo:http ", form]),
            ("127.0.0.1:70000", &WEB, ["70000", form]),
            (
                "http://127.0.0.1:9090",
                &WEB,
                ["--web.listen-address", form],
            ),
            ("::1:9090", &WEB, ["--web.listen-address", "needs brackets"]),
            (
                "192.0.2.1:0",
                &WEB,
                [
                    "listen on 192.0.2.1:0",
                    "no interface of this machine has that address",
                ],
            ),
        ] {
            let why = why(address, purpose).await;
            for part in parts {
                assert!(why.contains(part), "{address}: {part}: {why}");
            }
        }
    }
}
