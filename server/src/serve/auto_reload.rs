//! Reloads when the configuration's files have changed (`--config.auto-reload-interval`, as in Prometheus: there behind the
//! feature `auto-reload-config`).
//!
//! Contents are compared, not times: a ConfigMap that is mounted anew with the same contents is no change. A bad
//! configuration is tried once; the next change is the next try.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::app::{App, folder};
use crate::config;
use crate::files;

/// Looks at the files until `quit` turns true.
pub async fn run(app: Arc<App>, path: PathBuf, interval_ms: u64, mut quit: watch::Receiver<bool>) {
    let mut known = checksum_of(path.clone()).await;
    let mut unread = false;
    loop {
        tokio::select! {
            _ = quit.wait_for(|quit| *quit) => return,
            () = tokio::time::sleep(Duration::from_millis(interval_ms)) => {}
        }
        match checksum_of(path.clone()).await {
            Ok(now) => {
                unread = false;
                if known.as_ref() != Ok(&now) {
                    known = Ok(now);
                    info!("the configuration's files have changed");
                    app.reload().await.ok(); // it has logged why not
                }
            }
            Err(why) if !unread => {
                unread = true;
                warn!(why, "the configuration cannot be read; it stays as it is");
            }
            Err(_) => {}
        }
    }
}

async fn checksum_of(path: PathBuf) -> Result<u64, String> {
    let reading = tokio::task::spawn_blocking(move || checksum(&path)).await;
    reading.unwrap_or_else(|error| Err(error.to_string()))
}

/// A number for the contents of the configuration file and of the files that it names.
fn checksum(path: &Path) -> Result<u64, String> {
    let text = files::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    // Of a configuration that does not parse, its own text is all that there is.
    let patterns = config::load(&text).0.map(|config| config.file_patterns());
    let mut named = BTreeSet::new();
    for pattern in patterns.into_iter().flatten() {
        let whole = folder(path).join(pattern);
        if let Ok(found) = glob::glob(&whole.to_string_lossy()) {
            named.extend(found.filter_map(Result::ok));
        }
    }
    for file in named {
        file.hash(&mut hasher);
        files::read(&file).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_what_counts_those_of_named_files_too() {
        let folder = std::env::temp_dir().join(format!("stillwell-sum-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let path = folder.join("c.yml");
        let write =
            |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
        write(
            "c.yml",
            "rule_files: ['r*.yml']\nscrape_config_files: ['s.yml']\n",
        );
        let mut sums = vec![checksum(&path)];
        let mut again = |change: &dyn Fn()| {
            change();
            sums.push(checksum(&path));
        };
        again(&|| write("r1.yml", "groups: []\n"));
        again(&|| write("s.yml", "scrape_configs: []\n"));
        again(&|| write("r1.yml", "groups: [ ]\n"));
        again(&|| write("c.yml", "nonsense: ["));
        let distinct: BTreeSet<_> = sums.iter().cloned().collect();
        assert_eq!(distinct.len(), sums.len(), "{sums:?}");
        write("c.yml", "nonsense: [");
        assert_eq!(checksum(&path), sums[4]);
        std::fs::remove_dir_all(&folder).ok();
        assert!(checksum(&path).is_err());
    }
}
