//! The console in a real browser before the demonstration, clicked through by `console_views.mjs`: what each view shows,
//! that plots move and tables stay in place, an outage, an error under its character, the keyboard, a phone, and axe.
//!
//! `STILLWELL_PICTURES=docs/console` keeps a picture of every view there, light and dark.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stillwell_testing::outside::{BROWSER, NODE, NODE_MODULES};

use crate::common::demo::demo;
use crate::common::{eventually, http};

/// Checks that the script makes; fewer are a script that ended early.
const CHECKS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_shown_moves_and_is_accessible() {
    let (Some(browser), Some(node)) = (BROWSER.find(), NODE.find()) else {
        return;
    };
    let Some(modules) = NODE_MODULES.find() else {
        return;
    };
    let (_demo, address) = demo("15m");
    eventually("the demonstration answers", || async {
        let is_there = tokio::net::TcpStream::connect(address).await.is_ok();
        is_there && http(address, "GET / HTTP/1.0\r\nHost: x\r\n\r\n").await.0 == 200
    })
    .await;
    let browser = executable(browser);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut script = Command::new(node);
    script
        .arg(root.join("tests/server/console_views.mjs"))
        .arg(format!("http://{address}"))
        .arg(modules)
        .arg(browser);
    if let Some(folder) = std::env::var_os("STILLWELL_PICTURES") {
        script.arg(root.join("..").join(folder));
    }
    let run = tokio::task::spawn_blocking(move || script.output());
    let run = run.await.expect("no panic").expect("node runs");
    let text = String::from_utf8_lossy(&run.stdout);
    let checks: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let failed: Vec<&Value> = checks.iter().filter(|one| one["ok"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let errors = String::from_utf8_lossy(&run.stderr);
    assert_eq!(checks.len(), CHECKS, "{text}{errors}");
}

/// Where the command is: the driver takes no name.
fn executable(command: &str) -> String {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {command}")])
        .output();
    let found = found.expect("a shell").stdout;
    String::from_utf8_lossy(&found).trim().to_owned()
}
