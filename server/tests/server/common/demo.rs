//! The demonstration as a process of its own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Ends the process with the test.
pub(crate) struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts `stillwell demo`, which ends by itself after `length`.
pub(crate) fn demo(length: &str) -> (Demo, SocketAddr) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = free.local_addr().expect("bound");
    drop(free);
    let demo = Command::new(env!("CARGO_BIN_EXE_stillwell"))
        .current_dir("/") // pictures show it
        .args(["demo", "--for", length, "--port"])
        .arg(address.port().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    (Demo(demo.expect("it starts")), address)
}
