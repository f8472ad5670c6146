//! The configuration as it is now: everything is read again when one of its files changes, as Prometheus does. A file
//! that does not read leaves the old in force.
//!
//! Whether there is TLS at all is decided at the start, as in Prometheus: half a written file must not open the door.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::auth::Authenticator;
use super::file::parse;
use super::settings::{ClientAuth, Material, WebConfig, read_file};
use super::tls;
use crate::config::Report;

/// Files are looked at at most this often; nobody replaces a certificate faster.
const LOOK_MS: u64 = 100;

/// A listener's configuration.
#[derive(Debug)]
pub struct ReloadedConfig {
    path: PathBuf,
    has_tls: bool,
    protocols: Vec<Vec<u8>>,
    /// Held while files are looked at, which takes microseconds, and while they are read, which is rare.
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    looked: Instant,
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    loaded: Loaded,
}

/// What a file that has not changed has in common with itself.
type Stamp = (SystemTime, u64, u64);

#[derive(Clone, Debug)]
struct Loaded {
    tls: Option<Arc<ServerConfig>>,
    verifies: bool,
    authenticator: Arc<Authenticator>,
    files: Vec<PathBuf>,
}

impl ReloadedConfig {
    /// Reads the file and everything that it names; connections will offer these application protocols.
    pub fn open(path: &Path, protocols: &[&[u8]]) -> Result<ReloadedConfig, String> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.to_vec()).collect();
        let loaded = load(path, &protocols)?;
        Ok(ReloadedConfig {
            path: path.to_owned(),
            has_tls: loaded.tls.is_some(),
            protocols,
            now: Mutex::new(Now {
                looked: Instant::now(),
                stamps: stamps_of(path, &loaded),
                loaded,
            }),
        })
    }

    /// Whether connections are over TLS.
    pub fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// Who is let in now.
    pub fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.refreshed().authenticator)
    }

    /// The TLS configuration now, and whether it verifies clients' certificates.
    pub(super) fn tls(&self) -> Option<(Arc<ServerConfig>, bool)> {
        let loaded = self.refreshed();
        Some((loaded.tls?, loaded.verifies))
    }

    fn refreshed(&self) -> Loaded {
        let mut now = self.now.lock();
        if now.looked.elapsed() < Duration::from_millis(LOOK_MS) {
            return now.loaded.clone();
        }
        now.looked = Instant::now();
        let found = stamps_of(&self.path, &now.loaded);
        if found == now.stamps {
            return now.loaded.clone();
        }
        let name = self.path.display();
        match load(&self.path, &self.protocols) {
            Ok(loaded) if loaded.tls.is_some() == self.has_tls => {
                info!("{name} reloaded");
                now.stamps = stamps_of(&self.path, &loaded);
                now.loaded = loaded;
            }
            Ok(_) => {
                now.stamps = found;
                let what = if self.has_tls { "ends" } else { "begins" };
                error!(
                    "{name} not reloaded: TLS {what} only with a restart; the old one stays in force"
                );
            }
            Err(why) => {
                now.stamps = found;
                error!(why, "{name} not reloaded; the old one stays in force");
            }
        }
        now.loaded.clone()
    }
}

fn load(path: &Path, protocols: &[Vec<u8>]) -> Result<Loaded, String> {
    let name = path.display();
    let text = String::from_utf8(read_file(path)?).map_err(|_| format!("{name}: not UTF-8"))?;
    let base = path.parent().unwrap_or(Path::new(""));
    let (config, report) = parse(&text, base);
    let Report {
        errors, warnings, ..
    } = report;
    for warning in warnings {
        warn!(line = warning.line, "{name}: {}", warning.message);
    }
    let Some(config) = config else {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(format!("{name}: {}", lines.join("; ")));
    };
    let protocols: Vec<&[u8]> = protocols.iter().map(Vec::as_slice).collect();
    let tls = match &config.tls {
        None => None,
        Some(section) => {
            let made = tls::server_config(section, &protocols);
            Some(Arc::new(made.map_err(|why| {
                format!("{name}: line {}: {why}", section.line)
            })?))
        }
    };
    let verifies = config.tls.as_ref().is_some_and(|section| {
        matches!(
            section.client_auth,
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify
        )
    });
    let files = files(&config);
    Ok(Loaded {
        tls,
        verifies,
        authenticator: Arc::new(Authenticator::new(config)?),
        files,
    })
}

/// The files that a configuration names.
fn files(config: &WebConfig) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = config.bearer_token_file.iter().cloned().collect();
    if let Some(section) = &config.tls {
        let materials = [&section.certificate, &section.key];
        for material in materials.into_iter().chain(&section.client_ca) {
            if let Material::File(path) = material {
                files.push(path.clone());
            }
        }
    }
    files
}

fn stamps_of(path: &Path, loaded: &Loaded) -> BTreeMap<PathBuf, Option<Stamp>> {
    let mut files = loaded.files.clone();
    files.push(path.to_owned());
    stamps(&files)
}

/// Mounted ConfigMaps and Secrets swap a link, so files are looked at anew each time.
fn stamps(files: &[PathBuf]) -> BTreeMap<PathBuf, Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    files
        .iter()
        .map(|path| (path.clone(), stamp(path)))
        .collect()
}
