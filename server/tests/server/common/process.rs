//! The program itself, ended with the test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Starts it with these further flags and no port for KEDA; answers where it listens.
    pub fn start(config: &Path, storage: &Path, flags: &[&str]) -> (Process, SocketAddr) {
        let flags = [&["--keda.listen-address="], flags].concat();
        Process::start_with(config, storage, &flags)
    }

    /// Starts it with these further flags; answers where it listens.
    pub fn start_with(config: &Path, storage: &Path, flags: &[&str]) -> (Process, SocketAddr) {
        let program = Command::new(env!("CARGO_BIN_EXE_stillwell"));
        Process::start_by(program, config, storage, flags)
    }

    /// The same by this command, to which the flags are added.
    pub fn start_by(
        mut program: Command,
        config: &Path,
        storage: &Path,
        flags: &[&str],
    ) -> (Process, SocketAddr) {
        let mut child = program
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", storage.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("address=127.0.0.1:")?;
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            format!("127.0.0.1:{port}").parse().ok()
        });
        // Nobody else reads what it says.
        std::thread::spawn(move || lines.count());
        (Process(child), address.expect("it listens"))
    }

    /// SIGKILL, and the end of it.
    pub fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }

    /// Sends another signal.
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }
}
