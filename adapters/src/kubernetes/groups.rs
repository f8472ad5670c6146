//! The API groups that are served, and their versions.

/// The group that the HPA reads for `type: External`.
pub const EXTERNAL: &str = "external.metrics.k8s.io";
/// The group that the HPA reads for `type: Pods` and `type: Object`.
pub const CUSTOM: &str = "custom.metrics.k8s.io";

/// The group that `kubectl top` reads, and the HPA for `type: Resource`.
pub const RESOURCE: &str = "metrics.k8s.io";

/// The versions of external metrics.
const EXTERNAL_VERSIONS: &[&str] = &["v1beta1"];
/// The versions of custom metrics, the preferred one first. They differ in where the metric's name and selector stand.
const CUSTOM_VERSIONS: &[&str] = &["v1beta2", CUSTOM_V1BETA1];
pub(super) const CUSTOM_V1BETA1: &str = "v1beta1";
/// The only version of CPU and memory.
pub(super) const RESOURCE_VERSION: &str = "v1beta1";
const RESOURCE_VERSIONS: &[&str] = &[RESOURCE_VERSION];

/// Names of API groups, by what they hold. Several names may serve the same: a cluster has one owner per group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// With external metrics.
    pub external: Vec<String>,
    /// With metrics of objects.
    pub custom: Vec<String>,
    /// With CPU and memory of pods and nodes.
    pub resource: Vec<String>,
}

/// What a group holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    External,
    Custom,
    Resource,
}

impl Content {
    /// The preferred version.
    pub(super) fn version(self) -> &'static str {
        self.versions()[0]
    }

    /// Every version, the preferred one first.
    pub(super) fn versions(self) -> &'static [&'static str] {
        match self {
            Content::External => EXTERNAL_VERSIONS,
            Content::Custom => CUSTOM_VERSIONS,
            Content::Resource => RESOURCE_VERSIONS,
        }
    }

    /// Of what is read of a metric's name; CPU and memory have no such names.
    pub(super) fn list_kind(self) -> &'static str {
        match self {
            Content::External => "ExternalMetricValueList",
            Content::Custom => "MetricValueList",
            Content::Resource => "PodMetricsList",
        }
    }
}

impl Groups {
    /// Each group with each of its versions, the preferred one of a group first: every one has an APIService of its own.
    pub fn versions(&self) -> Vec<(String, &'static str)> {
        let of_group = |(name, content): (&str, Content)| {
            let versions = content.versions().iter();
            let named = versions.map(|version| (name.to_owned(), *version));
            named.collect::<Vec<_>>()
        };
        self.each().flat_map(of_group).collect()
    }

    /// Whether a version is the one that clients take where a group has several.
    pub fn is_preferred(&self, group: &str, version: &str) -> bool {
        self.content(group)
            .is_some_and(|content| content.version() == version)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&str, Content)> {
        let external = self.external.iter().map(|name| (name, Content::External));
        let custom = self.custom.iter().map(|name| (name, Content::Custom));
        let resource = self.resource.iter().map(|name| (name, Content::Resource));
        external
            .chain(custom)
            .chain(resource)
            .map(|(name, content)| (name.as_str(), content))
    }

    pub(super) fn content(&self, group: &str) -> Option<Content> {
        let (_, content) = self.each().find(|(name, _)| *name == group)?;
        Some(content)
    }
}
