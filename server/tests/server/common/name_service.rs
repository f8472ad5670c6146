//! Programs that ask a test's own name server.
#![allow(dead_code, unreachable_pub, reason = "every test takes what it needs")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use stillwell_testing::name_server::NameServer;
use stillwell_testing::outside::MOUNTS;

use super::certificates::Files;

/// A name server on the port of DNS, and the file that names it.
pub struct NameService {
    pub server: NameServer,
    unshare: &'static str,
    resolv_conf: std::path::PathBuf,
}

impl NameService {
    /// `None` where processes cannot have an `/etc/resolv.conf` of their own, which is printed.
    pub fn start(files: &Files, search: &str) -> Option<NameService> {
        const DNS: u16 = 53;
        let unshare = MOUNTS.find()?;
        // An address of this process's own: another test run may be going on.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 53, high, low);
        let server = NameServer::start(SocketAddr::from((ip, DNS))).expect("root may listen there");
        let text = format!("nameserver {ip}\nsearch {search}\noptions timeout:1\n");
        Some(NameService {
            server,
            unshare,
            resolv_conf: files.write("resolv.conf", &text),
        })
    }

    /// The program with that file; arguments may follow.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(self.unshare);
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"")
            .arg(&self.resolv_conf)
            .arg(program);
        command
    }
}
