//! Which label of a series names which kind of object: `resources` of a rule.

use stillwell_adapters::objects::{Kind, Kinds};

use super::template::{Arguments, Template};
use crate::yaml::{self, Entry};
use crate::yaml::{Report, Table, flag};

/// `resources` of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// Labels that name objects of a kind.
    overrides: Vec<Override>,
    /// Makes the label of any other kind.
    template: Option<Template>,
    /// Whether the namespace of the caller restricts an external query.
    pub namespaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Override {
    label: String,
    group: String,
    resource: String,
}

impl Default for Resources {
    fn default() -> Resources {
        Resources {
            overrides: Vec::new(),
            template: None,
            namespaced: true,
        }
    }
}

const RESOURCES: Table = Table {
    read: &["template", "overrides", "namespaced"],
    ignored: &[],
    refused: &[],
};
const OVERRIDE: Table = Table {
    read: &["group", "resource"],
    ignored: &[],
    refused: &[],
};

/// Kubernetes' own name for it.
const NAMESPACE: &str = "namespace";

impl Resources {
    /// Reads the mapping.
    pub(super) fn read(entry: &Entry, report: &mut Report) -> Resources {
        let mut resources = Resources::default();
        for field in report.fields(&entry.value, "resources", &RESOURCES) {
            match field.key.as_str() {
                "namespaced" => resources.namespaced = report.flag(field).unwrap_or(true),
                "template" => resources.template = report.parsed(field, checked_template),
                _ => resources.read_overrides(field, report),
            }
        }
        resources
    }

    fn read_overrides(&mut self, field: &Entry, report: &mut Report) {
        let overrides = match &field.value.kind {
            yaml::Kind::Map(overrides) => overrides,
            yaml::Kind::Null => return,
            _ => {
                report.error(
                    field.line,
                    "overrides must be a mapping of labels to resources",
                );
                return;
            }
        };
        for one in overrides {
            let label = &one.key;
            if let yaml::Kind::Scalar { text, .. } = &one.value.kind {
                self.read_slip(label, text, one.line, report);
                continue;
            }
            let mut read = Override {
                label: label.clone(),
                group: String::new(),
                resource: String::new(),
            };
            for part in report.fields(&one.value, "an override", &OVERRIDE) {
                let text = report.string(part).trim().to_owned();
                *(match part.key.as_str() {
                    "group" => &mut read.group,
                    _ => &mut read.resource,
                }) = text;
            }
            match read.resource.is_empty() {
                false => self.overrides.push(read),
                true => report.error(
                    one.line,
                    format!(
                        "the override of {label} names no resource: {label}: {{resource: pod}}"
                    ),
                ),
            }
        }
    }

    /// What stands under `overrides` as a single value, which the adapter does not read.
    fn read_slip(&mut self, label: &str, text: &str, line: usize, report: &mut Report) {
        const REFUSED: &str = "prometheus-adapter itself does not start on this";
        match flag(text) {
            Ok(namespaced) if label == "namespaced" => {
                report.warn(
                    line,
                    format!(
                        "namespaced inside overrides is read as resources.namespaced; {REFUSED}"
                    ),
                );
                self.namespaced = namespaced;
            }
            _ if label == "namespaced" => report.error(
                line,
                format!(
                    "namespaced: {text:?} is neither true nor false; it belongs under resources"
                ),
            ),
            _ => {
                report.warn(
                    line,
                    format!("{label}: {text} is read as {label}: {{resource: {text}}}; {REFUSED}"),
                );
                self.overrides.push(Override {
                    label: label.to_owned(),
                    group: String::new(),
                    resource: text.trim().to_owned(),
                });
            }
        }
    }

    fn override_of(&self, kind: &Kind, kinds: &Kinds) -> Option<&Override> {
        self.overrides.iter().rev().find(|one| {
            let named = kinds.named(&one.resource, &one.group);
            named.is_some_and(|named| **named == *kind)
        })
    }

    /// Whether an override is about this kind.
    pub fn names(&self, kind: &Kind, kinds: &Kinds) -> bool {
        self.override_of(kind, kinds).is_some()
    }

    /// The label that holds the name of an object of this kind; `None` where the rule names none.
    pub fn label(&self, kind: &Kind, kinds: &Kinds) -> Option<String> {
        match self.override_of(kind, kinds) {
            Some(given) => Some(given.label.clone()),
            None => {
                let template = self.template.as_ref()?;
                let label = template
                    .render(&arguments(&kind.group, &kind.singular))
                    .ok()?;
                Some(label).filter(|label| !label.is_empty())
            }
        }
    }

    /// The label that holds the namespace.
    pub fn namespace_label(&self) -> Option<String> {
        let kinds = Kinds::usual();
        self.label(kinds.named(NAMESPACE, "")?, &kinds)
    }

    /// Whether nothing says which label names an object.
    pub fn is_empty(&self) -> bool {
        self.overrides.is_empty() && self.template.is_none()
    }

    /// Labels of kinds that nobody knows: `label: resource.group`.
    pub fn unknown<'r>(&'r self, kinds: &'r Kinds) -> impl Iterator<Item = String> + 'r {
        let unknown = self
            .overrides
            .iter()
            .filter(|one| kinds.named(&one.resource, &one.group).is_none());
        unknown.map(|one| match one.group.as_str() {
            "" => format!("{}: {}", one.label, one.resource),
            group => format!("{}: {}.{group}", one.label, one.resource),
        })
    }
}

/// A template that makes a label of a usual kind.
fn checked_template(text: &str) -> Result<Template, String> {
    let template = Template::parse(text.trim()).map_err(|error| error.to_string())?;
    let label = template.render(&arguments("", NAMESPACE));
    match label.map_err(|error| error.to_string())?.as_str() {
        "" => Err("it renders to nothing; <<.Resource>> is the usual template".to_owned()),
        _ => Ok(template),
    }
}

/// What a template is given: a group in characters that labels take, and a resource in the singular.
fn arguments(group: &str, singular: &str) -> Arguments {
    let mut arguments = Arguments::default();
    let group = group.replace(['.', '-'], "_");
    arguments.texts.insert("Group", group);
    arguments.texts.insert("Resource", singular.to_owned());
    arguments
}

/// What a rule lacks that is to be restricted to the caller's namespace.
pub(super) const MISSING_NAMESPACE: &str = "resources: which label holds the namespace? Give overrides (namespace: {resource: \
     namespace}), a template, or namespaced: false";
