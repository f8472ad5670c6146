//! A server whose history is a day of generated pages, and its faces as HPAs and KEDA ask them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use stillwell::clock::Clock;
use stillwell::serve::{ApiOptions, KedaOptions, Running, app};
use stillwell_adapters::host::Host;
use stillwell_adapters::keda::ScaledObjectRef;
use stillwell_engine::labels::Labels;
use stillwell_engine::{Format, Limits, ScrapeFacts, Stage, TargetSpec, Timestamp};
use stillwell_keda_client::{Client, Transport, connect};

use super::generator::Generator;
use super::rows::Row;
use crate::common::{get, settings};

/// Between two pages.
const INTERVAL_MS: i64 = 10_000;
/// A day and an hour: the longest window that people write.
const HISTORY_MS: i64 = 25 * 3_600_000;

/// The server.
pub(crate) struct Faces {
    pub(crate) generator: Generator,
    pub(crate) keda: Client<Transport>,
    running: Running,
    address: SocketAddr,
    folder: PathBuf,
    stage: Mutex<(Stage, u64)>,
    rules_of_hpas: String,
}

impl Faces {
    pub(crate) async fn start(generator: Generator, rows: &[Row]) -> Faces {
        let folder = std::env::temp_dir().join(format!("stillwell-field-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        std::fs::write(folder.join("rules.yaml"), rules_of_hpas(rows)).expect("writable");
        let text = "external_metrics: {insecure: true, rules_files: [rules.yaml]}\n";
        let file = folder.join("stillwell.yml");
        std::fs::write(&file, text).expect("writable");
        let settings = settings(Some(file));
        let configured = app::load(text, &folder, &settings.query.features);
        let configured = configured.unwrap_or_else(|problems| panic!("{problems:?}"));
        let apis = ApiOptions {
            listen: vec!["127.0.0.1:0".to_owned()],
            keda: Some(KedaOptions {
                address: "127.0.0.1:0".to_owned(),
                ..KedaOptions::default()
            }),
            ..ApiOptions::default()
        };
        let limits = Limits {
            memory_bytes_max: 1 << 30,
            retention_ms: 2 * HISTORY_MS,
        };
        let clock = Arc::new(Clock::start());
        let running =
            stillwell::serve::start(settings, configured, text.to_owned(), apis, limits, clock);
        let running = running.await.expect("loopback listens");
        let spec = TargetSpec {
            labels: Labels::from_pairs([("instance", "field:1"), ("job", "field")]),
            honor_labels: true,
            interval_ms: INTERVAL_MS as u64,
            ..TargetSpec::default()
        };
        let (_, stage) = running
            .app
            .scraper()
            .shared()
            .writer
            .lock()
            .add_target(spec);
        let keda = connect(running.keda_address.expect("it listens"))
            .await
            .expect("loopback");
        let faces = Faces {
            generator,
            keda,
            address: running.addresses[0],
            running,
            folder,
            stage: Mutex::new((stage, 0)),
            rules_of_hpas: rules_of_hpas(rows),
        };
        let mut at_ms = faces.running.app.now().ms() - HISTORY_MS;
        // Until now, which comes nearer while the day is written: a gap would be one to every window.
        while at_ms < faces.running.app.now().ms() {
            faces.commit(Timestamp::from_ms(at_ms));
            at_ms += INTERVAL_MS;
        }
        faces
    }

    /// One more page, of now: what is asked next is fresh, however long the test takes.
    pub(crate) fn scrape(&self) {
        self.commit(self.running.app.now());
    }

    fn commit(&self, at: Timestamp) {
        let mut guard = self.stage.lock();
        let (stage, tick) = &mut *guard;
        *tick += 1;
        let page = self.generator.page(*tick);
        let staged = stage
            .parse(page.as_bytes(), Format::Text)
            .expect("the page parses");
        let mut writer = self.running.app.scraper().shared().writer.lock();
        // Time may not have advanced since the page before; then there is nothing new to store.
        writer.commit(staged, at, ScrapeFacts::default()).ok();
        if *tick % 360 == 0 {
            writer.maintain(at);
        }
    }

    /// Code and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let (code, _, body) = get(self.address, path).await;
        (
            code,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }

    /// Reads these rules instead of those there are. Error: why not.
    pub(crate) async fn rules(&self, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.join("rules.yaml"), text).expect("writable");
        self.running.app.reload().await
    }

    /// Reads the rules for the metrics of HPAs.
    pub(crate) async fn rules_of_hpas(&self) {
        let read = self.rules(&self.rules_of_hpas).await;
        read.unwrap_or_else(|why| panic!("{why}"));
    }

    pub(crate) async fn end(self) {
        std::fs::remove_dir_all(&self.folder).ok();
        self.running.stop().await;
    }
}

/// A ScaledObject's trigger as KEDA hands it over.
pub(crate) fn reference(metadata: &Value) -> ScaledObjectRef {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let pairs = metadata.as_object().into_iter().flatten();
    ScaledObjectRef {
        name: "field".to_owned(),
        namespace: "default".to_owned(),
        scaler_metadata: pairs
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
    }
}

/// Rules for the metrics that HPAs read, for whose rules nobody published them together.
fn rules_of_hpas(rows: &[Row]) -> String {
    let mut text = "rules:\n".to_owned();
    let mut external = "externalRules:\n".to_owned();
    for metric in rows.iter().flat_map(Row::metrics) {
        let series = series_of(&metric.name);
        let rule = format!(
            "- {{seriesQuery: {series}, name: {{as: {:?}}}, resources: {{template: <<.Resource>>}}",
            metric.name
        );
        match metric.external {
            true => {
                external +=
                    &format!("{rule}, metricsQuery: 'sum(<<.Series>>{{<<.LabelMatchers>>}})'}}\n")
            }
            false => {
                text += &format!(
                    "{rule}, metricsQuery: 'sum(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)'}}\n"
                )
            }
        }
    }
    let none = "externalRules:\n";
    let external = if external == none {
        String::new()
    } else {
        external
    };
    text + &external
}

/// The series that stands for a metric of an HPA.
pub(crate) fn series_of(metric: &str) -> String {
    let managed = metric.strip_prefix("prometheus.googleapis.com|");
    let name = managed
        .and_then(|rest| rest.split('|').next())
        .unwrap_or(metric);
    name.chars()
        .map(|c| {
            if c.is_alphanumeric() || c == ':' {
                c
            } else {
                '_'
            }
        })
        .collect()
}
