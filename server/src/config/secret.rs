//! Values that must not be shown: in memory as they are, everywhere else as `<secret>`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::files;

/// What stands for a secret where configurations are shown, as in Prometheus.
pub const MASK: &str = "<secret>";
/// A token or password is a few kilobytes at most.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text. Put it into a request and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// It stands in the configuration.
    Given(Secret),
    /// It is read from a file whenever it is needed, so that a rotated one is taken at once.
    File(PathBuf),
}

impl SecretSource {
    /// The secret as of now, blanks around it removed where it comes from a file.
    pub async fn read(&self) -> Result<Secret, String> {
        match self {
            SecretSource::Given(secret) => Ok(secret.clone()),
            SecretSource::File(path) => {
                let text = files::read_text(path, SECRET_BYTES_MAX).await?;
                Ok(Secret::new(text.trim()))
            }
        }
    }

    /// Makes a relative path one below `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        if let SecretSource::File(path) = self {
            *path = base.join(&*path);
        }
    }
}
