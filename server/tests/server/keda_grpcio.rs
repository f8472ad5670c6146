//! KEDA's external scaler, driven by a client that is not ours: Python's grpcio, where it is there
//! (`pip install grpcio`).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{TestTarget, server_of, settings, until};
use stillwell::serve::{ApiOptions, KedaOptions};
use stillwell_testing::outside::GRPCIO;

const QUEUE: &str = "inference_extension_flow_control_queue_size";

fn page(queue: u64) -> String {
    format!("{QUEUE}{{inference_pool=\"p\"}} {queue}\n")
}

#[tokio::test]
async fn pythons_grpcio_drives_all_five_methods() {
    let Some(python) = GRPCIO.find() else {
        return;
    };
    let target = TestTarget::with_page(&page(0)).await;
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n\
         signals:\n- name: igw_queue_depth\n  expr: sum({QUEUE}{{inference_pool=\"p\"}})\n",
        target.address
    );
    let keda = KedaOptions {
        address: "127.0.0.1:0".to_owned(),
        ..KedaOptions::default()
    };
    let apis = ApiOptions {
        keda: Some(keda),
        ..ApiOptions::default()
    };
    let running = server_of(&text, settings(None), apis).await;
    until(&running.app, "ready", |app| app.ready()).await;
    let address = running.keda_address.expect("it listens").to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/keda_grpcio.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(address)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it ran a moment ago");
    let stdout = child.stdout.take().expect("piped");
    let (tell, mut told) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut running = Some(running);
    let mut said = Vec::new();
    while let Some(line) = told.recv().await {
        match line.as_str() {
            "queue" => target.set_page(&page(7)),
            "end" => running.take().expect("once").stop().await,
            _ => {}
        }
        said.push(line);
    }
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = output.await.expect("no panic").expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said:?}: {errors}");
    assert_eq!(said, ["queue", "end", "done"], "{errors}");
}
