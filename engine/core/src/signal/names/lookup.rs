//! What the table and a user's configuration say of a metric.

use super::family::{Class, Family, Measure, Name};
use super::table::{self, FAMILIES};
use super::well_known::SUFFIXES;
use crate::store::is_counter;

/// The table of names, with what a user configures in addition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Further families that measure demand.
    pub demand: Vec<String>,
    /// Further witnesses: `(family, witness)`, each a metric whose presence proves that the gateway would expose the
    /// family.
    pub witnesses: Vec<(String, String)>,
}

impl Names {
    /// The family of a metric, its name in the table, and the suffix (`_bucket`, ...); `None` if it is in no row.
    pub fn family(&self, metric: &str) -> Option<(&'static Family, &'static Name, &'static str)> {
        family_of(metric)
    }

    /// Whether this label of a metric names a pool: `name` does so only on families of the class `Pool`.
    pub(crate) fn is_pool_label(metric: &str, label: &str) -> bool {
        let is_of_pool = |(family, ..): (&Family, _, _)| family.class == Class::Pool;
        label == "inference_pool" || label == "name" && family_of(metric).is_some_and(is_of_pool)
    }

    /// Whether the table gives a metric this label: it is the process' own word then, whatever else it may mean.
    pub(crate) fn gives_label(metric: &str, label: &str) -> bool {
        family_of(metric).is_some_and(|(_, name, _)| name.may_have(label))
    }

    /// Every name of the families that measure this, users' own left out.
    pub fn measuring(measure: Measure) -> impl Iterator<Item = &'static str> {
        let families = FAMILIES.iter().filter(move |one| one.measure == measure);
        families.flat_map(|family| family.names.iter().map(|name| name.family))
    }

    /// The other names of a metric, newest first.
    pub fn equivalents(&self, metric: &str) -> Vec<(String, &'static Name)> {
        let Some((family, _, suffix)) = self.family(metric) else {
            return Vec::new();
        };
        let others = family
            .names
            .iter()
            .map(|name| (format!("{}{suffix}", name.family), name));
        others.filter(|(other, _)| other != metric).collect()
    }

    /// Whether a metric measures demand.
    pub fn is_demand(&self, metric: &str) -> bool {
        self.demand.iter().any(|family| family == metric)
            || self
                .family(metric)
                .is_some_and(|(family, _, suffix)| family.demand && suffix.is_empty())
    }

    /// Every name of the families that measure demand.
    pub(crate) fn demand_families(&self) -> impl Iterator<Item = &str> {
        let families = FAMILIES.iter().filter(|family| family.demand);
        let known = families.flat_map(|family| family.names.iter().map(|name| name.family));
        known.chain(self.demand.iter().map(String::as_str))
    }

    /// Whether a query of one metric reads another: the same, or an equivalent of it.
    pub(crate) fn reads(&self, queried: &str, metric: &str) -> bool {
        let mut equivalents = self.equivalents(queried).into_iter();
        queried == metric || equivalents.any(|(name, _)| name == metric)
    }

    /// Whether a gauge says how much waits, of gateways of any release.
    pub fn is_queue_gauge(metric: &str) -> bool {
        metric.ends_with("_queue_size") || metric.ends_with("_queue_bytes")
    }

    /// Whether a gauge counts requests or their bytes: a negative sample comes from a race in the process that counts
    /// (llm-d#1950) and means 0.
    pub fn is_amount(metric: &str) -> bool {
        let is_demand =
            |(family, _, suffix): (&Family, _, &str)| family.demand && suffix.is_empty();
        Self::is_queue_gauge(metric) || family_of(metric).is_some_and(is_demand)
    }

    /// Whether a metric is a counter, by its name, and is not known to be a gauge: Triton's queue is called `..._count`.
    pub(crate) fn is_counter(metric: &str) -> bool {
        is_counter(metric) && !Self::is_amount(metric)
    }
}

fn family_of(metric: &str) -> Option<(&'static Family, &'static Name, &'static str)> {
    SUFFIXES.iter().find_map(|suffix| {
        let place = table::place(metric.strip_suffix(suffix)?)?;
        let family = &FAMILIES[place.family];
        Some((family, &family.names[place.name], *suffix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_histogram_follow_their_family() {
        let names = Names::default();
        let others: Vec<String> = names
            .equivalents("inference_objective_request_sizes_bucket")
            .into_iter()
            .map(|(n, _)| n)
            .collect();
        assert_eq!(others, ["llm_d_epp_request_size_bytes_bucket"]);
        assert!(names.is_demand("inference_objective_running_requests"));
        assert!(!names.is_demand("llm_d_epp_request_total"));
    }
}
