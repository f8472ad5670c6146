//! How metrics of OpenTelemetry become series: the section `otlp` of the configuration (Prometheus' config/config.go,
//! `OTLPConfig`).

/// The section `otlp`, with Prometheus' defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// How names are made.
    pub strategy: TranslationStrategy,
    /// Attributes of the resource that become labels of every series.
    pub promoted: Vec<String>,
    /// All of them do, but those in `ignored`.
    pub promote_all: bool,
    /// See `promote_all`.
    pub ignored: Vec<String>,
    /// Whether `target_info` has `service.name` and its like as labels too.
    pub keep_identifying_resource_attributes: bool,
    /// Whether histograms with bounds become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Whether the scope becomes labels.
    pub promote_scope_metadata: bool,
    /// Whether a label that begins with one `_` gets `key` in front.
    pub label_name_underscore_sanitization: bool,
    /// Whether several `_` in a row stay in names of labels.
    pub label_name_preserve_multiple_underscores: bool,
    /// Whether deltas are added up; they are refused otherwise.
    pub adds_up_deltas: bool,
}

impl Default for OtlpSettings {
    fn default() -> OtlpSettings {
        OtlpSettings {
            strategy: TranslationStrategy::default(),
            promoted: Vec::new(),
            promote_all: false,
            ignored: Vec::new(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            adds_up_deltas: false,
        }
    }
}

impl OtlpSettings {
    /// Whether an attribute of the resource becomes a label of every series.
    pub(crate) fn promotes(&self, attribute: &str) -> bool {
        let lists = |names: &[String]| names.iter().any(|name| name == attribute);
        match self.promote_all {
            true => !lists(&self.ignored),
            false => lists(&self.promoted),
        }
    }
}

/// How names are made: `translation_strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TranslationStrategy {
    /// Characters that the old names do not have become `_`; units and `_total` are added.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// The same without units and `_total`.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay; units and `_total` are added.
    NoUtf8EscapingWithSuffixes,
    /// Names stay.
    NoTranslation,
}

impl TranslationStrategy {
    /// Every one, with its name in the configuration.
    pub const ALL: [(&'static str, TranslationStrategy); 4] = [
        (
            "UnderscoreEscapingWithSuffixes",
            TranslationStrategy::UnderscoreEscapingWithSuffixes,
        ),
        (
            "UnderscoreEscapingWithoutSuffixes",
            TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
        ),
        (
            "NoUTF8EscapingWithSuffixes",
            TranslationStrategy::NoUtf8EscapingWithSuffixes,
        ),
        ("NoTranslation", TranslationStrategy::NoTranslation),
    ];

    /// Whether characters that the old names do not have are replaced.
    pub(crate) fn escapes(self) -> bool {
        matches!(
            self,
            TranslationStrategy::UnderscoreEscapingWithSuffixes
                | TranslationStrategy::UnderscoreEscapingWithoutSuffixes
        )
    }

    /// Whether units and `_total` are added.
    pub(crate) fn adds_suffixes(self) -> bool {
        matches!(
            self,
            TranslationStrategy::UnderscoreEscapingWithSuffixes
                | TranslationStrategy::NoUtf8EscapingWithSuffixes
        )
    }
}
