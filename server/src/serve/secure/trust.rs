//! Whom to believe: CAs, names and headers, from files and flags where they are given, else from the API server's own
//! ConfigMap. What does not read leaves what was believed before in force; where nothing was, nobody is let in.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tracing::{error, info};

use super::files::Pool;
use super::identity::{Authorities, FrontProxy, Headers};
use super::options::SecureOptions;

/// The authorities in force.
pub(super) struct Trust {
    options: SecureOptions,
    current: RwLock<Arc<Authorities>>,
    /// The ConfigMap, as it was last read; an error says why it never was.
    cluster: Mutex<Result<BTreeMap<String, String>, String>>,
}

impl Trust {
    /// Reads the files. With a cluster its ConfigMap is yet to come.
    pub(super) fn new(options: SecureOptions, has_cluster: bool) -> Result<Trust, String> {
        let cluster = if has_cluster {
            Err("the API server has not been asked yet whom to believe".to_owned())
        } else {
            Ok(BTreeMap::new())
        };
        let authorities = authorities(&options, &cluster)?;
        Ok(Trust {
            options,
            current: RwLock::new(Arc::new(authorities)),
            cluster: Mutex::new(cluster),
        })
    }

    pub(super) fn current(&self) -> Arc<Authorities> {
        Arc::clone(&self.current.read())
    }

    /// Reads the files again.
    pub(super) fn reload(&self) {
        let cluster = self.cluster.lock();
        match authorities(&self.options, &cluster) {
            Ok(new) => {
                *self.current.write() = Arc::new(new);
                info!("client CAs reloaded");
            }
            Err(why) => error!(why, "client CAs not reloaded; the old ones stay in force"),
        }
    }

    /// Takes what the ConfigMap says, or why it says nothing.
    pub(super) fn hear(
        &self,
        told: Result<BTreeMap<String, String>, String>,
    ) -> Result<(), String> {
        let mut cluster = self.cluster.lock();
        match (&told, &*cluster) {
            (Ok(new), Ok(old)) if new == old => return Ok(()),
            (Err(why), Ok(_)) => {
                error!(why, "the CAs that were read before stay in force");
                return Ok(());
            }
            _ => {}
        }
        let new = authorities(&self.options, &told)?;
        if let Some(why) = &new.missing {
            error!(why, "nobody is believed whom no file vouches for");
        } else {
            info!("client CAs read from the API server");
        }
        *self.current.write() = Arc::new(new);
        *cluster = told;
        Ok(())
    }
}

fn authorities(
    options: &SecureOptions,
    cluster: &Result<BTreeMap<String, String>, String>,
) -> Result<Authorities, String> {
    let empty = BTreeMap::new();
    let (data, missing) = match cluster {
        Ok(data) => (data, None),
        Err(why) => (&empty, Some(why.clone())),
    };
    let front_proxy = match &options.request_header_ca {
        Some(path) => Some(FrontProxy {
            pool: Pool::read(path)?,
            allowed_names: options.allowed_names.clone(),
            headers: options.headers.clone(),
        }),
        None => front_proxy(data)?,
    };
    let client = match &options.client_ca {
        Some(path) => Some(Pool::read(path)?),
        None => pool(data, "client-ca-file")?,
    };
    let authorities = Authorities {
        front_proxy,
        client,
        missing,
    };
    authorities.check()?;
    Ok(authorities)
}

fn front_proxy(data: &BTreeMap<String, String>) -> Result<Option<FrontProxy>, String> {
    let Some(pool) = pool(data, "requestheader-client-ca-file")? else {
        return Ok(None);
    };
    let standard = Headers::default();
    let or = |key: &str, standard: Vec<String>| {
        list(data, key).map(|names| if names.is_empty() { standard } else { names })
    };
    Ok(Some(FrontProxy {
        pool,
        allowed_names: list(data, "requestheader-allowed-names")?,
        headers: Headers {
            user: or("requestheader-username-headers", standard.user)?,
            uid: or("requestheader-uid-headers", standard.uid)?,
            group: or("requestheader-group-headers", standard.group)?,
            extra_prefix: or("requestheader-extra-headers-prefix", standard.extra_prefix)?,
        },
    }))
}

fn pool(data: &BTreeMap<String, String>, key: &str) -> Result<Option<Pool>, String> {
    match data.get(key).filter(|pem| !pem.trim().is_empty()) {
        Some(pem) => Pool::parse(pem.as_bytes(), &place(key)).map(Some),
        None => Ok(None),
    }
}

/// Lists are JSON in a string.
fn list(data: &BTreeMap<String, String>, key: &str) -> Result<Vec<String>, String> {
    let Some(text) = data.get(key) else {
        return Ok(Vec::new());
    };
    serde_json::from_str(text).map_err(|error| {
        format!(
            "{}: {text:?} is no JSON list of strings: {error}",
            place(key)
        )
    })
}

fn place(key: &str) -> String {
    format!(
        "ConfigMap kube-system/{}: {key}",
        crate::cluster::AUTHENTICATION_CONFIG
    )
}
