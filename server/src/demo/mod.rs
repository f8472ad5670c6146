//! `stillwell demo`: a gateway stand-in, the whole server before it, and what to try.

mod day;
mod gateway;
mod show;
mod stage;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use stillwell_adapters::host::QuerySettings;
use stillwell_engine::Limits;
use stillwell_engine::promql::Features;
use tokio::net::TcpListener;
use tracing::Level;

use crate::clock::Clock;
use crate::config::units::duration_ms;
use crate::logging::{self, LogFormat};
use crate::serve::web::WebOptions;
use crate::serve::{self, AlertSettings, ApiOptions, KedaOptions, Settings, app};
use stage::Stage;

/// The stand-in's page this many seconds into its day.
pub fn page_at(elapsed_s: f64) -> String {
    let mut day = day::Day::default();
    day.advance_to(elapsed_s);
    gateway::page(&day, PAGES_START_S)
}

/// Since when the process of [`page_at`] runs.
const PAGES_START_S: f64 = 1_700_000_000.0;

/// The gateway was there long before: of one that has just started no 0 is told for a while (rule S6).
const GATEWAY_AGE_S: f64 = 3_600.0;

/// Seconds since the epoch.
fn wall_s() -> f64 {
    Clock::start().now().ms() as f64 / 1000.0
}

/// Where the first free port is looked for.
const PORT_FIRST: u16 = 9090;
const PORTS: u16 = 20;

/// Where KEDA's external scaler listens, if it can.
const KEDA: &str = "127.0.0.1:9091";

/// Runs the demo until Ctrl-C, SIGTERM or the end of `--for`. Error: what a user has to change.
pub fn run(matches: &ArgMatches) -> Result<(), String> {
    let given = |name: &str| matches.get_one::<String>(name);
    let length_ms = given("for").map(|text| duration_ms(text)).transpose();
    let length_ms = length_ms.map_err(|error| format!("--for: {error}"))?;
    let port = given("port").map(|text| text.parse::<u16>()).transpose();
    let port = port.map_err(|_| "--port: a number from 0 to 65535".to_owned())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(demo(length_ms, port))
}

async fn demo(length_ms: Option<u64>, port: Option<u16>) -> Result<(), String> {
    let clock = Arc::new(Clock::start());
    logging::start(Arc::clone(&clock), Level::WARN, LogFormat::Logfmt);
    let gateway = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    let gateway_address = gateway.local_addr().map_err(|error| error.to_string())?;
    let stage = Stage::new(wall_s() - GATEWAY_AGE_S);
    tokio::spawn(stage::serve(gateway, Arc::clone(&stage)));

    let text = configuration(&gateway_address.to_string());
    let settings = settings();
    let features = Features::default();
    let configured =
        app::load(&text, Path::new(""), &features).map_err(|problems| app::show(&problems))?;
    let listen = vec![format!("127.0.0.1:{}", free_port(port).await)];
    let apis = ApiOptions {
        listen,
        web: WebOptions {
            more: Some(stage.router(wall_s)),
            ..WebOptions::default()
        },
        keda: Some(KedaOptions {
            address: KEDA.to_owned(),
            optional: true,
            ..KedaOptions::default()
        }),
        ..ApiOptions::default()
    };
    let running = serve::start(settings, configured, text, apis, Limits::default(), clock)
        .await
        // Its flag for the same.
        .map_err(|error| error.to_string().replace("--web.listen-address", "--port"))?;
    let base = format!("http://{}", running.addresses[0]);
    let (app, gateway) = (Arc::clone(&running.app), gateway_address.to_string());
    let keda = running.keda_address;
    let shown = async move { show::show(&app, &base, &gateway, keda).await };
    let end = async {
        match length_ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    };
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| error.to_string())?;
    tokio::select! {
        () = shown => {}
        () = end => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    running.stop().await;
    show::goodbye();
    Ok(())
}

/// The guide's two signals, as its rules file has them.
fn configuration(gateway: &str) -> String {
    let pool = gateway::POOL;
    format!(
        r#"global: {{scrape_interval: 100ms}}
scrape_configs:
- job_name: epp
  static_configs:
  - targets: ["{gateway}"]
    labels: {{namespace: default, top_level_controller_name: {pool}-epp}}
signals:
- name: {queue}
  expr: sum(inference_extension_flow_control_queue_size{{inference_pool="{pool}"}})
- name: {running}
  expr: sum(inference_objective_running_requests{{top_level_controller_name="{pool}-epp"}})
external_metrics: {{insecure: true}}
"#,
        queue = show::QUEUE,
        running = show::RUNNING,
    )
}

fn settings() -> Settings {
    Settings {
        storage_path: None,
        snapshot_interval: serve::snapshots::INTERVAL,
        config_file: None,
        query_bytes_max: 256 << 20,
        page_bytes_max: 128 << 20,
        query: QuerySettings {
            timeout_ms: 120_000,
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            subquery_step_ms: 60_000,
            features: Features::default(),
        },
        query_concurrency_max: 20,
        retention: "1h".to_owned(),
        remote_write: false,
        otlp: Default::default(),
        shard: None,
        external_url: String::new(),
        alerts: AlertSettings::default(),
        notification_streams_max: 16,
        flags: Vec::new(),
    }
}

async fn free_port(asked: Option<u16>) -> u16 {
    if let Some(port) = asked {
        return port;
    }
    for port in PORT_FIRST..PORT_FIRST + PORTS {
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
    0 // any
}
