//! Type, help text and unit of metric families, as `# TYPE`, `# HELP` and `# UNIT` lines give them.

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
    /// Buckets that go up and down (OpenMetrics).
    GaugeHistogram,
    /// Labels that describe (OpenMetrics).
    Info,
    /// States, one of which may hold (OpenMetrics).
    StateSet,
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
            FamilyType::GaugeHistogram => "gaugehistogram",
            FamilyType::Info => "info",
            FamilyType::StateSet => "stateset",
            FamilyType::Unknown => "unknown",
        }
    }
}

/// Type, help and unit of a metric family, as its target's pages say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyMetadata {
    /// Its type.
    pub family_type: FamilyType,
    /// Its help text.
    pub help: String,
    /// Its unit; empty where none is given.
    pub unit: String,
}
