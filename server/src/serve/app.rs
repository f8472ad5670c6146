//! The running process: what its parts share and what the faces see of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use stillwell_adapters::host::{Build, Host, QuerySettings, ScalersReport, Signals, Targets};
use stillwell_adapters::pool::QueryPool;
use stillwell_engine::{AppendError, Appended, AppendedSeries, Reader, Timestamp};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::keda::Triggers;
use super::signals::{self, Watched};
use crate::clock::Clock;
use crate::config::{self, Config, Problem};
use crate::discovery::Manager;
use crate::scrape::{SETTLING_MS_MAX, Scraper};

/// How the process was started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the configuration is; `None` where it was given as text.
    pub config_file: Option<PathBuf>,
    /// Of queries.
    pub query: QuerySettings,
    /// Queries at a time.
    pub query_concurrency_max: usize,
    /// As shown.
    pub retention: String,
    /// Whether samples may be written.
    pub remote_write: bool,
    /// Every flag with its value, as shown.
    pub flags: Vec<(String, String)>,
}

/// The process behind the faces.
pub struct App {
    settings: Settings,
    clock: Arc<Clock>,
    started: Timestamp,
    reader: Reader,
    scraper: Scraper,
    discovery: Manager,
    queries: QueryPool,
    keda: Triggers,
    /// Replaced as a whole by a reload.
    loaded: RwLock<Loaded>,
    /// One reload at a time: held across the apply, so it is tokio's.
    reloading: tokio::sync::Mutex<()>,
    ready: AtomicBool,
}

struct Loaded {
    /// As shown: without secrets.
    text: Arc<String>,
    signals: Arc<Watched>,
    reload_succeeded: bool,
}

/// Reads and checks a configuration with the files that it names (relative to `base`), signals' expressions included.
/// Warnings are logged.
pub fn load(text: &str, base: &Path) -> Result<Config, Vec<Problem>> {
    let (config, report) = config::load_with_files(text, base);
    for warning in &report.warnings {
        warn!(line = warning.line, "configuration: {}", warning.message);
    }
    let config = config.ok_or(report.errors)?;
    let problems = signals::check(&config.signals);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(problems)
    }
}

impl App {
    /// A process that scrapes what `config` says.
    pub async fn start(
        settings: Settings,
        config: Config,
        text: String,
        clock: Arc<Clock>,
        reader: Reader,
        (scraper, discovery): (Scraper, Manager),
        ending: watch::Receiver<bool>,
    ) -> Result<Arc<App>, Vec<Problem>> {
        let queries = QueryPool::new(settings.query_concurrency_max, settings.query.timeout_ms);
        reader.set_names(config.signal_names.clone());
        let signals = Arc::new(Watched::replace(&config, &Watched::none(reader.clone()))?);
        let keda = Triggers::new(
            reader.clone(),
            Arc::clone(&clock),
            Arc::clone(&signals),
            ending,
        );
        let loaded = Loaded {
            text: Arc::new(config::masked(&text)),
            signals,
            reload_succeeded: true,
        };
        discovery.apply(config.jobs).await;
        Ok(Arc::new(App {
            started: clock.now(),
            settings,
            clock,
            reader,
            scraper,
            discovery,
            queries,
            keda,
            loaded: RwLock::new(loaded),
            reloading: tokio::sync::Mutex::new(()),
            ready: AtomicBool::new(false),
        }))
    }

    /// Reads the configuration file again. A bad one changes nothing; the error says why, line by line.
    pub async fn reload(&self) -> Result<(), String> {
        let _one_at_a_time = self.reloading.lock().await;
        let result = self.try_reload().await;
        self.loaded.write().reload_succeeded = result.is_ok();
        match &result {
            Ok(()) => info!("configuration reloaded"),
            Err(why) => error!(
                why,
                "configuration not reloaded; the old one stays in force"
            ),
        }
        result
    }

    async fn try_reload(&self) -> Result<(), String> {
        let Some(path) = &self.settings.config_file else {
            return Err("there is no configuration file to read".to_owned());
        };
        let text = read_config(path).await?;
        let config = load(&text, folder(path)).map_err(|problems| show(&problems))?;
        let before = Arc::clone(&self.loaded.read().signals);
        let signals = Watched::replace(&config, &before).map_err(|problems| show(&problems))?;
        self.reader.set_names(config.signal_names.clone());
        self.discovery.apply(config.jobs).await;
        let signals = Arc::new(signals);
        {
            let mut loaded = self.loaded.write();
            loaded.signals = Arc::clone(&signals);
            loaded.text = Arc::new(config::masked(&text));
        }
        self.keda.configured(Arc::clone(&signals));
        before.end_unless_in(&signals);
        Ok(())
    }

    /// The scraper.
    pub fn scraper(&self) -> &Scraper {
        &self.scraper
    }

    /// Where targets are found.
    pub fn discovery(&self) -> &Manager {
        &self.discovery
    }

    /// What ScaledObjects ask for.
    pub fn keda(&self) -> &Triggers {
        &self.keda
    }

    /// Whether numbers can be expected (S9d): each target of the start is known, or enough time has passed. Once ready
    /// the process stays so; a target that a reload adds makes nobody wait.
    pub fn ready(&self) -> bool {
        if self.ready.load(Ordering::Relaxed) {
            return true;
        }
        let now = self.clock.now();
        let waited_ms = now.since_ms(self.started);
        let settled = || {
            self.discovery.settled() && self.scraper.states().iter().all(|state| state.settled(now))
        };
        let ready = waited_ms >= SETTLING_MS_MAX as i64 || settled();
        self.ready.fetch_or(ready, Ordering::Relaxed);
        ready
    }
}

/// Where the files that a configuration names are looked for: beside it.
pub fn folder(config_file: &Path) -> &Path {
    config_file.parent().unwrap_or(Path::new(""))
}

/// Reads the configuration file, up to the size that is parsed.
pub async fn read_config(path: &Path) -> Result<String, String> {
    let name = path.display();
    let size = tokio::fs::metadata(path)
        .await
        .map_err(|error| format!("{name}: {error}"))?
        .len();
    if size > config::CONFIG_BYTES_MAX as u64 {
        return Err(format!(
            "{name}: {size} bytes; at most {} are read",
            config::CONFIG_BYTES_MAX
        ));
    }
    tokio::fs::read_to_string(path)
        .await
        .map_err(|error| format!("{name}: {error}"))
}

/// Problems in one text.
pub fn show(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

impl Host for App {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn queries(&self) -> &QueryPool {
        &self.queries
    }

    fn signals(&self) -> Arc<dyn Signals> {
        Arc::clone(&self.loaded.read().signals) as Arc<dyn Signals>
    }

    fn query_settings(&self) -> QuerySettings {
        self.settings.query
    }

    fn targets(&self) -> Targets {
        self.scraper.describe()
    }

    fn build(&self) -> Build {
        Build {
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            retention: self.settings.retention.clone(),
        }
    }

    fn scalers(&self) -> ScalersReport {
        let (objects, more) = self.keda.describe();
        ScalersReport {
            objects,
            more,
            warnings: self.keda.warnings(),
        }
    }

    fn flags(&self) -> Vec<(String, String)> {
        self.settings.flags.clone()
    }

    fn config_text(&self) -> Arc<String> {
        Arc::clone(&self.loaded.read().text)
    }

    fn reload_succeeded(&self) -> bool {
        self.loaded.read().reload_succeeded
    }

    fn takes_writes(&self) -> bool {
        self.settings.remote_write
    }

    fn append(&self, batch: Vec<AppendedSeries>) -> Result<Appended, AppendError> {
        let shared = self.scraper.shared();
        let appended = shared.writer.lock().append(batch, self.clock.now());
        shared.scraped.notify_waiters(); // streams wait for whatever is new
        appended
    }
}
