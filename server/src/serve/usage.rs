//! CPU and memory of pods and nodes, by prometheus-adapter's `resourceRules`.
//!
//! A number is what its query says now. cAdvisor's pages tell of many pods each, so a page that cannot be had takes its own
//! pods with it, whose series end at once, and no others. What has no CPU or no memory, or one that is no amount (NaN, below
//! 0), has no number here, where the adapter writes 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stillwell_adapters::host::{ContainerUsage, UsageList, UsageOf};
use stillwell_adapters::objects::Kinds;
use stillwell_engine::promql::{Answer, EvalOptions, Features, Query, Value};
use stillwell_engine::signal::Policy;
use stillwell_engine::{Reader, Timestamp};

use super::object_metrics::Asked;
use crate::rules::{Objects, ResourceRule, ResourceRules};

/// Up to so many objects are selected by name, more as all of their kind.
const NAMED_MAX: usize = 20;

/// Amounts by object and container; a node's container has no name.
type Amounts = BTreeMap<String, BTreeMap<String, f64>>;

/// The numbers of one configuration.
pub(super) struct UsageMetrics {
    rules: Option<Arc<ResourceRules>>,
    reader: Reader,
    asked: Arc<Asked>,
    kinds: Kinds,
}

impl UsageMetrics {
    pub(super) fn new(
        rules: Option<Arc<ResourceRules>>,
        reader: Reader,
        asked: Arc<Asked>,
    ) -> UsageMetrics {
        UsageMetrics {
            rules,
            reader,
            asked,
            kinds: Kinds::usual(),
        }
    }

    /// The numbers of the objects of these names. `None`: no rules give any.
    pub(super) fn read(
        &self,
        of: UsageOf<'_>,
        names: &[String],
        now: Timestamp,
    ) -> Option<Result<UsageList, String>> {
        let rules = self.rules.as_ref()?;
        Some(self.both(rules, of, names, now))
    }

    fn both(
        &self,
        rules: &ResourceRules,
        of: UsageOf<'_>,
        names: &[String],
        now: Timestamp,
    ) -> Result<UsageList, String> {
        let cpu = self.amounts(&rules.cpu, of, names, now)?;
        let memory = self.amounts(&rules.memory, of, names, now)?;
        let mut list = UsageList {
            told: Vec::new(),
            missing: Vec::new(),
            window_ms: rules.window_ms,
            at: now,
        };
        for name in names {
            match joined(cpu.get(name), memory.get(name)) {
                Ok(containers) => list.told.push((name.clone(), containers)),
                Err(why) => list.missing.push((name.clone(), why)),
            }
        }
        Ok(list)
    }

    fn amounts(
        &self,
        rule: &ResourceRule,
        of: UsageOf<'_>,
        names: &[String],
        now: Timestamp,
    ) -> Result<Amounts, String> {
        let plural = match of {
            UsageOf::Pods { .. } => "pods",
            UsageOf::Nodes => "nodes",
        };
        let kind = self.kinds.named(plural, "").ok_or("no such kind")?;
        let label = rule.label(kind, &self.kinds)?;
        let objects = match names.len() {
            0..=NAMED_MAX => Objects::Named(names),
            _ => Objects::All,
        };
        let rendered = |objects: Objects<'_>| match of {
            UsageOf::Pods { namespace } => rule.of_pods(namespace, (&label, objects)),
            UsageOf::Nodes => rule.of_nodes((&label, objects)),
        };
        let text = rendered(objects).map_err(|error| error.to_string())?;
        // One that stands for all, so that what it reads is kept where jobs keep only what is read.
        let standing = rendered(Objects::All).map_err(|error| error.to_string())?;
        let policy = Policy {
            when_read: true,
            ..Policy::default()
        };
        let stands = self.asked.keep(&self.reader, &standing, &policy, now);
        stands.map_err(|error| error.to_string())?;
        let query = Query::parse(&text, &Features::all()).map_err(|error| error.to_string())?;
        let answer = query.instant(&self.reader.plain(), now, &EvalOptions::default());
        let container_label = match of {
            UsageOf::Pods { .. } => Some(rule.container_label.as_str()),
            UsageOf::Nodes => None,
        };
        Ok(by_object(
            &answer.map_err(|error| error.to_string())?,
            &label,
            container_label,
        ))
    }
}

/// The elements of an answer by the object that each is about, and by container.
fn by_object(answer: &Answer, label: &str, container_label: Option<&str>) -> Amounts {
    let mut amounts = Amounts::new();
    let Value::Vector(samples) = &answer.value else {
        return amounts;
    };
    for sample in samples {
        let Some(object) = sample.labels.get(label) else {
            continue;
        };
        let container = container_label.and_then(|label| sample.labels.get(label));
        if sample.histogram.is_none() {
            let containers = amounts.entry(object.to_owned()).or_default();
            containers.insert(container.unwrap_or("").to_owned(), sample.value);
        }
    }
    amounts
}

/// CPU and memory of each container. Error: one of them is not known, and of what.
fn joined(
    cpu: Option<&BTreeMap<String, f64>>,
    memory: Option<&BTreeMap<String, f64>>,
) -> Result<Vec<ContainerUsage>, String> {
    let (Some(cpu), Some(memory)) = (cpu, memory) else {
        let missing = match (cpu.is_some(), memory.is_some()) {
            (false, false) => "CPU and memory",
            (false, true) => "CPU",
            _ => "memory",
        };
        return Err(format!("the newest pages give no {missing} of it"));
    };
    let names: BTreeSet<&String> = cpu.keys().chain(memory.keys()).collect();
    let of = |name: &str| match name {
        "" => String::new(),
        name => format!(" of container {name:?}"),
    };
    let amount = |what: &str, from: &BTreeMap<String, f64>, name: &String| match from.get(name) {
        None => Err(format!("the newest pages give no {what}{}", of(name))),
        Some(value) if value.is_finite() && *value >= 0.0 => Ok(*value),
        Some(value) => Err(format!(
            "the {what}{} is {value}, which is no amount",
            of(name)
        )),
    };
    names
        .into_iter()
        .map(|name| {
            Ok(ContainerUsage {
                cpu_cores: amount("CPU", cpu, name)?,
                memory_bytes: amount("memory", memory, name)?,
                name: name.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    #[test]
    fn what_has_not_both_of_each_container_has_no_number() {
        let both = amounts(&[("a", 0.5), ("b", 0.0)]);
        let one = amounts(&[("a", 1.0)]);
        let told = joined(Some(&both), Some(&both)).expect("both");
        assert_eq!(told.len(), 2);
        assert_eq!((told[1].cpu_cores, told[1].name.as_str()), (0.0, "b"));
        for (cpu, memory, says) in [
            (None, Some(&one), "no CPU of it"),
            (Some(&one), None, "no memory of it"),
            (None, None, "no CPU and memory of it"),
            (Some(&both), Some(&one), "no memory of container \"b\""),
            (Some(&one), Some(&both), "no CPU of container \"b\""),
        ] {
            let why = joined(cpu, memory).expect_err("not both");
            assert!(why.contains(says), "{why}");
        }
        for value in [f64::NAN, -1.0, f64::INFINITY] {
            let odd = amounts(&[("", value)]);
            assert!(joined(Some(&odd), Some(&amounts(&[("", 1.0)]))).is_err());
        }
    }
}
