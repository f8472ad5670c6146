//! What a resource and a scope say of all their series: labels that these share, and the series about the resource.

use std::collections::BTreeMap;

use stillwell_engine::labels::{LabelsBuilder, METRIC_NAME};
use stillwell_engine::limits::{LABELS_PER_SERIES_MAX, LINE_BYTES_MAX};

use super::messages::{KeyValue, ScopeMetrics};
use super::names;
use super::out::{Out, TARGET_INFO};
use super::text::text;
use crate::host::OtlpSettings;

/// What identifies a resource: it becomes `job` and `instance`.
const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";
/// Between two samples of [`TARGET_INFO`] in a request, in milliseconds: half of what an instant query looks back.
const TARGET_INFO_STEP_MS: i64 = 150_000;
/// ... and at most so many of one resource: a request of a day's points.
const TARGET_INFO_SAMPLES_MAX: i64 = 1_000;
/// Attributes of a point or resource; an SDK keeps 128 of a point, and labels are fewer still.
const ATTRIBUTES_MAX: usize = 4_096;
/// Bytes of what all series of a scope share, since each of its points copies them: `job`, `instance`, promoted attributes,
/// and what is promoted of the scope.
const SHARED_BYTES_MAX: usize = 64 << 10;

/// What all series of a resource have, and of a scope.
#[derive(Clone)]
pub(super) struct Context<'a> {
    pub(super) settings: &'a OtlpSettings,
    job: String,
    instance: String,
    promoted: BTreeMap<String, String>,
    scope: BTreeMap<String, String>,
}

impl<'a> Context<'a> {
    /// Of the attributes of a resource. Error: they are too many, or too long.
    pub(super) fn new(
        resource: &[KeyValue],
        settings: &'a OtlpSettings,
    ) -> Result<Context<'a>, String> {
        check_attributes(resource)?;
        let find = |name: &str| resource.iter().find(|pair| pair.key == name);
        let value = |name: &str| find(name).map(|pair| text(pair.value.as_ref()));
        let job = match (value(SERVICE_NAMESPACE), value(SERVICE_NAME)) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (None, Some(name)) => name,
            (_, None) => String::new(),
        };
        let promoted = resource.iter().filter(|pair| settings.promotes(&pair.key));
        let promoted = promoted.filter_map(|pair| {
            let name = names::label(&pair.key, settings).ok()?;
            Some((name, text(pair.value.as_ref())))
        });
        Context {
            settings,
            job,
            instance: value(SERVICE_INSTANCE).unwrap_or_default(),
            promoted: promoted.collect(),
            scope: BTreeMap::new(),
        }
        .checked()
    }

    /// With what is promoted of a scope.
    pub(super) fn with_scope(&self, of: &ScopeMetrics) -> Result<Context<'a>, String> {
        let mut context = self.clone();
        let Some(scope) = &of.scope else {
            return Ok(context);
        };
        if !self.settings.promote_scope_metadata || scope.name.is_empty() {
            return Ok(context);
        }
        check_attributes(&scope.attributes)?;
        for pair in &scope.attributes {
            let name = format!("otel_scope_{}", pair.key);
            if let Ok(name) = names::label(&name, self.settings) {
                context.scope.insert(name, text(pair.value.as_ref()));
            }
        }
        let own = [
            ("otel_scope_name", &scope.name),
            ("otel_scope_version", &scope.version),
            ("otel_scope_schema_url", &of.schema_url),
        ];
        for (name, value) in own {
            context.scope.insert(name.to_owned(), value.clone());
        }
        context.checked()
    }

    fn checked(self) -> Result<Context<'a>, String> {
        let pairs = self.promoted.iter().chain(&self.scope);
        let bytes: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
        let bytes = bytes + self.job.len() + self.instance.len();
        match bytes > SHARED_BYTES_MAX {
            true => Err(format!(
                "the labels that all its series share take {bytes} bytes; at most {SHARED_BYTES_MAX} are taken"
            )),
            false => Ok(self),
        }
    }

    /// The labels of a point, without the name. Attributes whose names become the same are joined.
    pub(super) fn labels(
        &self,
        attributes: &[KeyValue],
        left_out: &[&str],
    ) -> Result<LabelsBuilder, String> {
        check_attributes(attributes)?;
        let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        let mut named: BTreeMap<String, String> = BTreeMap::new();
        for pair in sorted {
            if left_out.contains(&pair.key.as_str()) || pair.key == METRIC_NAME {
                continue;
            }
            let name = names::label(&pair.key, self.settings)?;
            let value = text(pair.value.as_ref());
            let joined = named.get_mut(&name).filter(|have| !have.is_empty());
            let bytes = joined.as_ref().map_or(0, |have| have.len() + 1) + value.len();
            if bytes > LINE_BYTES_MAX {
                return Err(format!(
                    "attribute {name:?} has more than {LINE_BYTES_MAX} bytes"
                ));
            }
            match joined {
                Some(have) => {
                    have.push(';');
                    have.push_str(&value);
                }
                None => drop(named.insert(name, value)),
            }
        }
        for (name, value) in &self.promoted {
            let have = named.entry(name.clone()).or_default();
            if have.is_empty() {
                have.clone_from(value);
            }
        }
        if named.len() > LABELS_PER_SERIES_MAX {
            let count = named.len();
            return Err(format!(
                "a point has {count} labels; at most {LABELS_PER_SERIES_MAX} are taken"
            ));
        }
        let mut builder = LabelsBuilder::default();
        let identity = [("job", &self.job), ("instance", &self.instance)];
        let identity = identity.into_iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in &named {
            builder.set(name, value);
        }
        for (name, value) in identity {
            builder.set(name, value);
        }
        for (name, value) in &self.scope {
            builder.set(name, value);
        }
        Ok(builder)
    }

    /// The series about the resource, where something beside `job` and `instance` is to be told.
    pub(super) fn target_info(
        &self,
        resource: &[KeyValue],
        (first_ms, last_ms): (i64, i64),
        out: &mut Out,
    ) {
        const IDENTITY: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE];
        let tells = resource
            .iter()
            .any(|pair| !IDENTITY.contains(&pair.key.as_str()));
        if !tells || (self.job.is_empty() && self.instance.is_empty()) {
            return;
        }
        let left_out = match self.settings.keep_identifying_resource_attributes {
            true => &[][..],
            false => &IDENTITY[..],
        };
        let plain = Context {
            promoted: BTreeMap::new(),
            ..self.clone()
        };
        let Ok(mut labels) = plain.labels(resource, left_out) else {
            return;
        };
        let labels = labels.set(METRIC_NAME, TARGET_INFO).build();
        let from_ms = first_ms.max(last_ms - TARGET_INFO_SAMPLES_MAX * TARGET_INFO_STEP_MS);
        let steps = (from_ms..last_ms).step_by(TARGET_INFO_STEP_MS as usize);
        out.target_info(labels, steps.chain([last_ms]));
    }
}

fn check_attributes(attributes: &[KeyValue]) -> Result<(), String> {
    match attributes.len() {
        count if count > ATTRIBUTES_MAX => Err(format!(
            "{count} attributes; at most {ATTRIBUTES_MAX} are taken"
        )),
        _ => Ok(()),
    }
}
