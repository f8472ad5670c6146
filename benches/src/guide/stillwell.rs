//! The process behind the shipped Deployment: started with its arguments, the ConfigMap that it mounts, and the token of its
//! ServiceAccount where a pod finds it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use super::Failure;
use super::control_plane::{ADDRESS, ControlPlane, PORT, spawn};
use super::http;
use super::table::wait_for;

/// Where a pod finds its token. `/var/run` leads to `/run`, of which this namespace has one of its own.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The plain listener of the shipped Deployment.
pub const WEB: &str = "127.0.0.1:9090";

/// A running process.
pub struct Stillwell {
    child: Child,
    arguments: Vec<String>,
    log: PathBuf,
}

impl Drop for Stillwell {
    fn drop(&mut self) {
        self.child.kill().ok(); // it may have ended
        self.child.wait().ok();
    }
}

impl Stillwell {
    /// Puts the token of the ServiceAccount where a pod has it.
    pub fn mount_account(plane: &ControlPlane) -> Result<(), Failure> {
        fs::create_dir_all(ACCOUNT)?;
        let token = plane.kubectl(&[
            "-n",
            "stillwell",
            "create",
            "token",
            "stillwell",
            "--duration=24h",
        ])?;
        fs::write(format!("{ACCOUNT}/token"), token)?;
        fs::write(format!("{ACCOUNT}/namespace"), "stillwell")?;
        fs::copy(plane.ca(), format!("{ACCOUNT}/ca.crt"))?;
        Ok(())
    }

    /// Starts what the Deployment in the cluster says, with the files of its ConfigMap and `changes` to these.
    pub fn start(plane: &ControlPlane, changes: &[(&str, &str)]) -> Result<Stillwell, Failure> {
        let path = "/apis/apps/v1/namespaces/stillwell/deployments/stillwell";
        let deployment = plane.get(path)?;
        let pod = &deployment["spec"]["template"]["spec"];
        let name = pod["volumes"][0]["configMap"]["name"].as_str();
        let name = name.ok_or("the Deployment mounts no ConfigMap")?;
        let map = plane.get(&format!("/api/v1/namespaces/stillwell/configmaps/{name}"))?;
        let folder = plane.path("config");
        fs::create_dir_all(&folder)?;
        for (file, text) in map["data"].as_object().ok_or("an empty ConfigMap")? {
            fs::write(folder.join(file), text.as_str().unwrap_or(""))?;
        }
        for (file, text) in changes {
            fs::write(folder.join(file), text)?;
        }
        let arguments = pod["containers"][0]["args"].as_array();
        let arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
        let folder = folder.display().to_string();
        let mut arguments: Vec<String> = arguments
            .map(|argument| argument.replace("/etc/stillwell", &folder))
            .collect();
        arguments.push(format!(
            "--storage.path={}",
            plane.path("snapshots").display()
        ));
        let log = plane.path("stillwell.log");
        let child = Stillwell::spawn(plane, &arguments, &log)?;
        let process = Stillwell {
            child,
            arguments,
            log,
        };
        process.wait_until_ready()?;
        Ok(process)
    }

    fn spawn(
        plane: &ControlPlane,
        arguments: &[String],
        log: &std::path::Path,
    ) -> Result<Child, Failure> {
        let mut command = Command::new(plane.stillwell());
        command
            .arg("serve")
            .args(arguments)
            .env("KUBERNETES_SERVICE_HOST", ADDRESS)
            .env("KUBERNETES_SERVICE_PORT", PORT.to_string());
        spawn(command, log)
    }

    /// Waits for `/-/ready`.
    pub fn wait_until_ready(&self) -> Result<Duration, Failure> {
        let (_, took) = wait_for("Stillwell to be ready", 30, || {
            let (status, _) = http::request(WEB, "GET", "/-/ready", "", "")?;
            Ok((status == 200).then_some(()))
        })?;
        Ok(took)
    }

    /// Ends it with SIGTERM and starts it again with the same arguments.
    pub fn restart(&mut self, plane: &ControlPlane) -> Result<(), Failure> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        self.child.wait()?;
        self.child = Stillwell::spawn(plane, &self.arguments, &self.log)?;
        Ok(())
    }
}

/// The state and the first value of a signal.
pub fn signal(name: &str) -> Result<(String, Option<f64>), Failure> {
    let all = http::get(WEB, &format!("/signals/{name}"))?;
    let signals = all["signals"].as_array().cloned().unwrap_or_default();
    let of = signals.iter().find(|one| one["name"] == name);
    let of = of.ok_or_else(|| format!("there is no signal {name}"))?;
    let value = of["elements"][0]["value"].as_str();
    Ok((
        of["state"].as_str().unwrap_or("").to_owned(),
        value.and_then(|text| text.parse().ok()),
    ))
}
