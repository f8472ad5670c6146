//! `otlp`: how metrics of OpenTelemetry become series (config/config.go, `OTLPConfig`).

use stillwell_adapters::host::{OtlpSettings, TranslationStrategy};

use super::schema::{Key, decode, read};
use super::unused_rules;
use crate::yaml::{Entry, Report};

static OTLP: &[Key<OtlpSettings>] = &[
    read("promote_all_resource_attributes", |entry, otlp, report| {
        otlp.promote_all = report.flag(entry).unwrap_or(false);
    }),
    read("promote_resource_attributes", |entry, otlp, report| {
        otlp.promoted = attributes(entry, report);
    }),
    read("ignore_resource_attributes", |entry, otlp, report| {
        otlp.ignored = attributes(entry, report);
    }),
    read("translation_strategy", |entry, otlp, report| {
        let strategy = report.parsed(entry, |text| {
            let found = TranslationStrategy::ALL
                .iter()
                .find(|(name, _)| *name == text || text.is_empty());
            let names: Vec<&str> = TranslationStrategy::ALL
                .iter()
                .map(|(name, _)| *name)
                .collect();
            found
                .map(|(_, strategy)| *strategy)
                .ok_or_else(|| format!("{text:?} is not one of {}", names.join(", ")))
        });
        otlp.strategy = strategy.unwrap_or_default();
    }),
    read(
        "keep_identifying_resource_attributes",
        |entry, otlp, report| {
            otlp.keep_identifying_resource_attributes = report.flag(entry).unwrap_or(false);
        },
    ),
    read("convert_histograms_to_nhcb", |entry, otlp, report| {
        otlp.convert_histograms_to_nhcb = report.flag(entry).unwrap_or(false);
    }),
    read("promote_scope_metadata", |entry, otlp, report| {
        otlp.promote_scope_metadata = report.flag(entry).unwrap_or(false);
    }),
    read(
        "label_name_underscore_sanitization",
        |entry, otlp, report| {
            otlp.label_name_underscore_sanitization = report.flag(entry).unwrap_or(true);
        },
    ),
    read(
        "label_name_preserve_multiple_underscores",
        |entry, otlp, report| {
            otlp.label_name_preserve_multiple_underscores = report.flag(entry).unwrap_or(true);
        },
    ),
];

/// Reads the section.
pub(super) fn otlp(entry: &Entry, report: &mut Report) -> OtlpSettings {
    let mut otlp = OtlpSettings::default();
    let node = &entry.value;
    unused_rules::check("otlp", report.entries(node, "otlp"), node.line, report);
    decode(node, "otlp", &[&OTLP], &mut otlp, report);
    otlp
}

/// Names of attributes, each once.
fn attributes(entry: &Entry, report: &mut Report) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in report.texts(entry) {
        let name = name.trim().to_owned();
        let key = &entry.key;
        if name.is_empty() {
            report.error(entry.line, format!("{key}: an attribute has no name"));
        } else if names.contains(&name) {
            report.error(entry.line, format!("{key}: {name:?} stands there twice"));
        } else {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn every_key_is_read() {
        let text = "otlp:\n  promote_resource_attributes: [a.b, c]\n  translation_strategy: NoTranslation\n  keep_identifying_resource_attributes: true\n  convert_histograms_to_nhcb: true\n  promote_scope_metadata: true\n  label_name_underscore_sanitization: false\n  label_name_preserve_multiple_underscores: false\n";
        let (config, report) = load(text);
        assert_eq!(
            (report.errors.len(), report.warnings.len()),
            (0, 0),
            "{report:?}"
        );
        let wanted = OtlpSettings {
            strategy: TranslationStrategy::NoTranslation,
            promoted: vec!["a.b".to_owned(), "c".to_owned()],
            promote_all: false,
            ignored: Vec::new(),
            keep_identifying_resource_attributes: true,
            convert_histograms_to_nhcb: true,
            promote_scope_metadata: true,
            label_name_underscore_sanitization: false,
            label_name_preserve_multiple_underscores: false,
            adds_up_deltas: false,
        };
        assert_eq!(config.expect("good").otlp, wanted);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (inner, says) in [
            ("translation_strategy: Other", "is not one of"),
            ("promote_resource_attributes: [a, a]", "twice"),
            ("promote_resource_attributes: ['']", "no name"),
            (
                "promote_all_resource_attributes: true, promote_resource_attributes: [a]",
                "promote_all_resource_attributes",
            ),
            (
                "ignore_resource_attributes: [a]",
                "promote_all_resource_attributes",
            ),
            (
                "promote_resource_attribute: [a]",
                "did you mean promote_resource_attributes?",
            ),
        ] {
            let (_, report) = load(&format!("otlp: {{{inner}}}\n"));
            let errors: Vec<&str> = report
                .errors
                .iter()
                .map(|one| one.message.as_str())
                .collect();
            assert!(
                errors.iter().any(|error| error.contains(says)),
                "{inner}: {errors:?}"
            );
        }
    }
}
