//! Type and help text of metric families, as `# TYPE` and `# HELP` lines give them.

/// The types of metric families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FamilyType {
    /// Only grows, except at restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets.
    Histogram,
    /// Precomputed quantiles.
    Summary,
    /// Not said.
    #[default]
    Unknown,
}

impl FamilyType {
    /// As Prometheus' API names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            FamilyType::Counter => "counter",
            FamilyType::Gauge => "gauge",
            FamilyType::Histogram => "histogram",
            FamilyType::Summary => "summary",
            FamilyType::Unknown => "unknown",
        }
    }
}

/// Type and help of a metric family, as its target's pages say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyMetadata {
    /// Its type.
    pub family_type: FamilyType,
    /// Its help text.
    pub help: String,
}
