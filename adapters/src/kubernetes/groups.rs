//! The API groups that are served, and their versions.

/// The group that the HPA reads for `type: External`.
pub const EXTERNAL: &str = "external.metrics.k8s.io";
/// The group that the HPA reads for `type: Object`.
pub const CUSTOM: &str = "custom.metrics.k8s.io";

/// The version of external metrics.
pub(super) const EXTERNAL_VERSION: &str = "v1beta1";
/// The version of custom metrics.
pub(super) const CUSTOM_VERSION: &str = "v1beta2";

/// Names of API groups, by what they hold. Several names may serve the same: a cluster has one owner per group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// With external metrics.
    pub external: Vec<String>,
    /// With metrics of objects.
    pub custom: Vec<String>,
}

/// What a group holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    External,
    Custom,
}

impl Content {
    pub(super) fn version(self) -> &'static str {
        match self {
            Content::External => EXTERNAL_VERSION,
            Content::Custom => CUSTOM_VERSION,
        }
    }

    pub(super) fn list_kind(self) -> &'static str {
        match self {
            Content::External => "ExternalMetricValueList",
            Content::Custom => "MetricValueList",
        }
    }
}

impl Groups {
    /// Each group with its version.
    pub fn versions(&self) -> Vec<(String, &'static str)> {
        self.each()
            .map(|(name, content)| (name.to_owned(), content.version()))
            .collect()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&str, Content)> {
        let external = self.external.iter().map(|name| (name, Content::External));
        let custom = self.custom.iter().map(|name| (name, Content::Custom));
        external
            .chain(custom)
            .map(|(name, content)| (name.as_str(), content))
    }

    pub(super) fn content(&self, group: &str) -> Option<Content> {
        let (_, content) = self.each().find(|(name, _)| *name == group)?;
        Some(content)
    }
}
