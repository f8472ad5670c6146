//! etcd, kube-apiserver and kube-controller-manager as processes, and kubectl against them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::Failure;
use super::certificates::Certificates;
use super::http;
use super::table::wait_for;

/// Where pods are, and everything else of the control plane: an address that the API server takes for a pod's.
pub const ADDRESS: &str = "10.99.0.1";
/// The API server's port.
pub const PORT: u16 = 16_443;

/// The programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Of the control plane.
    pub etcd: PathBuf,
    /// Of the control plane.
    pub kube_apiserver: PathBuf,
    /// Of the control plane, with the HPA in it.
    pub kube_controller_manager: PathBuf,
    /// Its client.
    pub kubectl: PathBuf,
    /// Under test.
    pub stillwell: PathBuf,
}

/// A running control plane. Ends with it.
pub struct ControlPlane {
    programs: Programs,
    folder: PathBuf,
    certificates: Certificates,
    etcd: Child,
    api_server: Option<Child>,
    others: Vec<Child>,
    /// Where `kubectl proxy` listens.
    pub proxy: String,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let all = self.others.iter_mut().chain(&mut self.api_server);
        for child in all.chain([&mut self.etcd]) {
            child.kill().ok(); // it may have ended
            child.wait().ok();
        }
    }
}

impl ControlPlane {
    /// Starts everything and waits until it works.
    pub fn start(programs: Programs, folder: &Path) -> Result<ControlPlane, Failure> {
        let certificates = Certificates::make(folder, ADDRESS)?;
        let mut etcd = Command::new(&programs.etcd);
        etcd.arg(format!("--data-dir={}", folder.join("etcd").display()));
        for (flag, port) in [("client", 12_379), ("peer", 12_380)] {
            etcd.arg(format!("--listen-{flag}-urls=http://127.0.0.1:{port}"));
        }
        etcd.arg("--advertise-client-urls=http://127.0.0.1:12379")
            .args(["--initial-advertise-peer-urls=http://127.0.0.1:12380"])
            .args(["--initial-cluster=default=http://127.0.0.1:12380"]);
        let etcd = spawn(etcd, &folder.join("etcd.log"))?;
        let mut plane = ControlPlane {
            programs,
            folder: folder.to_owned(),
            certificates,
            etcd,
            api_server: None,
            others: Vec::new(),
            proxy: String::new(),
        };
        for user in ["admin", "manager"] {
            plane.write_kubeconfig(user)?;
        }
        plane.start_api_server()?;
        plane.start_manager()?;
        plane.start_proxy()?;
        Ok(plane)
    }

    /// A file in the folder of this run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Of the process under test.
    pub fn stillwell(&self) -> &Path {
        &self.programs.stillwell
    }

    /// The CA of the API server.
    pub fn ca(&self) -> PathBuf {
        self.certificates.path("ca.crt")
    }

    fn write_kubeconfig(&self, user: &str) -> Result<(), Failure> {
        let path = |name: String| self.certificates.path(&name);
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("https://{ADDRESS}:{PORT}"), "certificate-authority": self.ca()}}],
            "users": [{"name": user, "user": {"client-certificate": path(format!("{user}.crt")), "client-key": path(format!("{user}.key"))}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": user}}],
        });
        std::fs::write(self.path(&format!("{user}.kubeconfig")), config.to_string())?;
        Ok(())
    }

    /// Starts the API server, again too, and waits until it is ready.
    pub fn start_api_server(&mut self) -> Result<(), Failure> {
        let file = |name: &str| self.certificates.path(name).display().to_string();
        let mut command = Command::new(&self.programs.kube_apiserver);
        for (flag, value) in [
            ("etcd-servers", "http://127.0.0.1:12379".to_owned()),
            ("secure-port", PORT.to_string()),
            ("advertise-address", ADDRESS.to_owned()),
            ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
            ("tls-cert-file", file("apiserver.crt")),
            ("tls-private-key-file", file("apiserver.key")),
            ("client-ca-file", file("ca.crt")),
            (
                "service-account-issuer",
                "https://kubernetes.default.svc".to_owned(),
            ),
            ("service-account-signing-key-file", file("accounts.key")),
            ("service-account-key-file", file("accounts.pub")),
            ("authorization-mode", "RBAC".to_owned()),
            ("requestheader-client-ca-file", file("front-proxy-ca.crt")),
            (
                "requestheader-allowed-names",
                "front-proxy-client".to_owned(),
            ),
            ("requestheader-username-headers", "X-Remote-User".to_owned()),
            ("requestheader-group-headers", "X-Remote-Group".to_owned()),
            (
                "requestheader-extra-headers-prefix",
                "X-Remote-Extra-".to_owned(),
            ),
            ("proxy-client-cert-file", file("front-proxy-client.crt")),
            ("proxy-client-key-file", file("front-proxy-client.key")),
            ("enable-aggregator-routing", "true".to_owned()),
            ("feature-gates", "HPAScaleToZero=true".to_owned()),
            ("cert-dir", self.folder.display().to_string()),
        ] {
            command.arg(format!("--{flag}={value}"));
        }
        self.api_server = Some(spawn(command, &self.path("kube-apiserver.log"))?);
        wait_for("the API server to be ready", 120, || {
            let answer = self.kubectl(&["get", "--raw", "/readyz"]);
            Ok(answer.is_ok_and(|text| text == "ok").then_some(()))
        })?;
        Ok(())
    }

    /// Ends the API server.
    pub fn stop_api_server(&mut self) {
        if let Some(mut child) = self.api_server.take() {
            child.kill().ok(); // it may have ended
            child.wait().ok();
        }
    }

    fn start_manager(&mut self) -> Result<(), Failure> {
        let kubeconfig = self.path("manager.kubeconfig").display().to_string();
        let file = |name: &str| self.certificates.path(name).display().to_string();
        let mut command = Command::new(&self.programs.kube_controller_manager);
        for (flag, value) in [
            ("kubeconfig", kubeconfig.clone()),
            ("authentication-kubeconfig", kubeconfig.clone()),
            ("authorization-kubeconfig", kubeconfig),
            ("leader-elect", "false".to_owned()),
            // There is no kubelet to say that the node is alive.
            (
                "controllers",
                "*,-node-lifecycle-controller,-taint-eviction-controller".to_owned(),
            ),
            ("use-service-account-credentials", "true".to_owned()),
            ("service-account-private-key-file", file("accounts.key")),
            ("root-ca-file", file("ca.crt")),
            ("feature-gates", "HPAScaleToZero=true".to_owned()),
            ("cert-dir", self.folder.display().to_string()),
        ] {
            command.arg(format!("--{flag}={value}"));
        }
        let child = spawn(command, &self.path("kube-controller-manager.log"))?;
        self.others.push(child);
        Ok(())
    }

    fn start_proxy(&mut self) -> Result<(), Failure> {
        let mut command = Command::new(&self.programs.kubectl);
        command
            .args(["proxy", "--port=0"])
            .env("KUBECONFIG", self.path("admin.kubeconfig"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(self.path("proxy.log"))?);
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or("no output of kubectl proxy")?;
        self.others.push(child);
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().unwrap_or("");
        address.clone_into(&mut self.proxy);
        Ok(())
    }

    /// What kubectl prints; an error is what it says of its failure.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.kubectl_with(arguments, "")
    }

    /// The same with an input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, Failure> {
        let mut child = Command::new(&self.programs.kubectl)
            .args(arguments)
            .env("KUBECONFIG", self.path("admin.kubeconfig"))
            .env("HOME", &self.folder) // where it keeps what it has discovered
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut to) = child.stdin.take() {
            to.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => {
                Err(format!("kubectl {}: {}", arguments.join(" "), text(&output.stderr)).into())
            }
        }
    }

    /// Runs a line of a shell in a folder, with kubectl in its path; answers whether it succeeded and what it printed.
    pub fn shell(&self, line: &str, folder: &Path) -> Result<(bool, String), Failure> {
        let programs = self.programs.kubectl.parent().unwrap_or(Path::new(""));
        let path = std::env::var("PATH").unwrap_or_default();
        let stillwell = self.stillwell().parent().unwrap_or(Path::new(""));
        let path = format!("{}:{}:{path}", programs.display(), stillwell.display());
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(folder)
            .env("PATH", path)
            .env("KUBECONFIG", self.path("admin.kubeconfig"))
            .env("HOME", &self.folder)
            .output()?;
        let all = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&all).trim().to_owned();
        Ok((output.status.success(), text))
    }

    /// Applies objects.
    pub fn apply(&self, objects: &[Value]) -> Result<(), Failure> {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl_with(&["apply", "-f", "-"], &list.to_string())?;
        Ok(())
    }

    /// An object by its path.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        http::get(&self.proxy, path)
    }

    /// Changes an object.
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Value, Failure> {
        http::send(&self.proxy, "PATCH", path, patch)
    }

    /// The replicas that a Deployment shall have.
    pub fn replicas(&self, deployment: &str) -> Result<i64, Failure> {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{deployment}");
        let found = self.get(&path)?["spec"]["replicas"].as_i64();
        Ok(found.unwrap_or(1))
    }
}

/// Starts a process whose output goes to a file.
pub fn spawn(mut command: Command, log: &Path) -> Result<Child, Failure> {
    let log = File::options().create(true).append(true).open(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    let program = command.get_program().to_string_lossy().into_owned();
    child.map_err(|error| format!("{program}: {error}").into())
}
