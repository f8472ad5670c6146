//! From the labels of a sample on a page to the labels of its series: target labels, `honor_labels`, metric
//! relabelling, label limits (rules: Prometheus scrape/scrape.go, `mutateSampleLabels` and `verifyLabelLimits`).

use std::borrow::Cow;

use crate::labels::{Labels, LabelsBuilder, METRIC_NAME, relabel};
use crate::metadata::FamilyType;
use crate::number_text::push_general;
use crate::scrape::TargetSpec;

/// Maps the labels of a sample on a page to the labels of its series.
pub(crate) trait MapLabels {
    /// The final labels of a sample; `None` where it is dropped.
    fn map(
        &mut self,
        labels: &[(Cow<'_, str>, Cow<'_, str>)],
        family_type: FamilyType,
    ) -> Result<Option<Labels>, String>;
    /// Whether timestamps on the page count.
    fn honor_timestamps(&self) -> bool;
    /// Whether the target adds this label to every series.
    fn adds(&self, label: &str) -> bool;
}

/// A target's spec and the buffers that mapping reuses.
pub(crate) struct Mapper {
    pub(crate) spec: TargetSpec,
    builder: LabelsBuilder,
    bounds: BoundTexts,
    layout: Layout,
    scratch: String,
}

/// Where the labels of a series come from, for a list of label names on the page: the same for every line of a family.
#[derive(Debug, Default)]
struct Layout {
    /// The names on the page, in its order.
    names: Vec<Box<str>>,
    /// Ascending by the names of the labels.
    slots: Vec<Slot>,
    /// The target has a label of one of these names too.
    clashes: bool,
    /// The places of the labels that hold bounds, on the page ([`is_bound`]).
    le: Option<usize>,
    quantile: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    /// By its place on the line.
    Page(usize),
    /// The next one of the target's.
    Target,
}

impl Layout {
    fn fits(&self, labels: &[(Cow<'_, str>, Cow<'_, str>)]) -> bool {
        let names = labels.iter().map(|(name, _)| &**name);
        self.names.len() == labels.len() && names.eq(self.names.iter().map(|name| &**name))
    }

    fn new(labels: &[(Cow<'_, str>, Cow<'_, str>)], target: &Labels) -> Layout {
        let names: Vec<Box<str>> = labels.iter().map(|(name, _)| (&**name).into()).collect();
        let page = names.iter().enumerate();
        let page = page.map(|(at, name)| (&**name, Slot::Page(at)));
        let own = target.iter().map(|(name, _)| (name, Slot::Target));
        let mut slots: Vec<(&str, Slot)> = page.chain(own).collect();
        slots.sort_unstable_by_key(|(name, _)| *name);
        let place = |label: &str| names.iter().position(|name| **name == *label);
        Layout {
            le: place("le"),
            quantile: place("quantile"),
            clashes: slots.windows(2).any(|pair| pair[0].0 == pair[1].0),
            slots: slots.into_iter().map(|(_, slot)| slot).collect(),
            names,
        }
    }
}

impl Mapper {
    pub(crate) fn new(spec: TargetSpec) -> Mapper {
        Mapper {
            spec,
            builder: LabelsBuilder::default(),
            bounds: BoundTexts::default(),
            layout: Layout::default(),
            scratch: String::new(),
        }
    }

    /// The labels of a series about the scrape itself (`up`).
    pub(crate) fn report_labels(spec: &TargetSpec, name: &str) -> Labels {
        let mut builder = spec.labels.to_builder();
        builder.set(METRIC_NAME, name);
        builder.build()
    }

    fn add_target_labels(&mut self) {
        for (name, value) in self.spec.labels.iter() {
            let exposed = self.builder.get(name);
            if exposed.is_empty() {
                self.builder.set(name, value);
            } else if !self.spec.honor_labels {
                let exposed = exposed.to_owned();
                let mut renamed = format!("exported_{name}");
                while !self.builder.get(&renamed).is_empty()
                    || self.spec.labels.get(&renamed).is_some()
                {
                    renamed.insert_str(0, "exported_");
                }
                self.builder.set(&renamed, &exposed);
                self.builder.set(name, value);
            }
        }
    }

    /// The common case, without a builder: no relabelling rule, no limit, and no label name shared by page and
    /// target. `None`: the general case has to be used.
    fn map_without_rules(
        &mut self,
        labels: &[(Cow<'_, str>, Cow<'_, str>)],
        family_type: FamilyType,
    ) -> Option<Labels> {
        let spec = &self.spec;
        let unlimited = spec.label_limit == 0
            && spec.label_name_bytes_max == 0
            && spec.label_value_bytes_max == 0;
        if !spec.metric_relabel.is_empty() || !unlimited {
            return None;
        }
        if !self.layout.fits(labels) {
            self.layout = Layout::new(labels, &spec.labels);
        }
        if self.layout.clashes {
            return None;
        }
        let bound = match family_type {
            FamilyType::Histogram => self.layout.le,
            FamilyType::Summary => self.layout.quantile,
            _ => None,
        };
        let bound = bound.map(|at| (at, self.bounds.canonical(&labels[at].1)));
        let mut own = spec.labels.iter();
        let pairs = self.layout.slots.iter().filter_map(|slot| match *slot {
            Slot::Target => own.next(),
            Slot::Page(at) => {
                let (name, value) = &labels[at];
                let value = match bound {
                    Some((bound_at, text)) if bound_at == at => text,
                    _ => value,
                };
                (!value.is_empty()).then_some((&**name, value))
            }
        });
        Some(Labels::from_sorted_in(&mut self.scratch, pairs))
    }

    fn check_limits(&self) -> Result<(), String> {
        let spec = &self.spec;
        let count = self.builder.iter().count();
        if spec.label_limit > 0 && count > spec.label_limit {
            return Err(format!(
                "label_limit exceeded: {count} labels, the limit is {}",
                spec.label_limit
            ));
        }
        for (name, value) in self.builder.iter() {
            for (what, text, max) in [
                ("label_name_length_limit", name, spec.label_name_bytes_max),
                (
                    "label_value_length_limit",
                    value,
                    spec.label_value_bytes_max,
                ),
            ] {
                if max > 0 && text.len() > max {
                    return Err(format!(
                        "{what} exceeded: label {name:?} has {} bytes, the limit is {max}",
                        text.len()
                    ));
                }
            }
        }
        Ok(())
    }
}

impl MapLabels for Mapper {
    fn map(
        &mut self,
        labels: &[(Cow<'_, str>, Cow<'_, str>)],
        family_type: FamilyType,
    ) -> Result<Option<Labels>, String> {
        if let Some(labels) = self.map_without_rules(labels, family_type) {
            return Ok(Some(labels));
        }
        self.builder.clear();
        for (name, value) in labels {
            let value = match is_bound(family_type, name) {
                true => self.bounds.canonical(value),
                false => value,
            };
            self.builder.set(name, value);
        }
        self.add_target_labels();
        if !relabel(&self.spec.metric_relabel, &mut self.builder) {
            return Ok(None);
        }
        if self.builder.is_cut_short() {
            return Err("metric_relabel_configs write more than 512 labels or 256 KiB of them for one sample: a rule doubles what others write".to_owned());
        }
        if self.builder.get(METRIC_NAME).is_empty() {
            return Err("relabelling took the metric name away from a sample".to_owned());
        }
        self.check_limits()?;
        Ok(Some(self.builder.build()))
    }

    fn honor_timestamps(&self) -> bool {
        self.spec.honor_timestamps
    }

    fn adds(&self, label: &str) -> bool {
        self.spec.labels.get(label).is_some()
    }
}

/// Whether the label holds a bucket bound or a quantile.
fn is_bound(family_type: FamilyType, name: &str) -> bool {
    match name {
        "le" => family_type == FamilyType::Histogram,
        "quantile" => family_type == FamilyType::Summary,
        _ => false,
    }
}

/// The canonical text of bucket bounds and quantiles: `le="1"` is stored as `le="1.0"` (Prometheus 3, textparse
/// `normalizeFloatsInLabelValues`). A page contains few distinct ones and repeats them, so the most recent are
/// cached.
#[derive(Debug, Default)]
struct BoundTexts {
    known: Vec<(Box<str>, Box<str>)>,
    /// The one after the bound that was met last: buckets come in the same order.
    next: usize,
}

/// Cached bounds, about 40 bytes each. A histogram has 10 to 20.
const BOUNDS_MAX: usize = 128;

impl BoundTexts {
    fn canonical<'a>(&'a mut self, text: &'a str) -> &'a str {
        let (before, after) = self.known.split_at(self.next.min(self.known.len()));
        let is_it = |(have, _): &(Box<str>, Box<str>)| **have == *text;
        let found = match after.iter().position(is_it) {
            Some(at) => Some(before.len() + at),
            None => before.iter().position(is_it),
        };
        let at = match found {
            Some(at) => at,
            None => {
                let Some(number) = super::number::parse(text.as_bytes()) else {
                    return text;
                };
                if self.known.len() == BOUNDS_MAX {
                    self.known.clear();
                }
                let canonical = openmetrics_float(number).into_boxed_str();
                self.known.push((text.into(), canonical));
                self.known.len() - 1
            }
        };
        self.next = at + 1;
        &self.known[at].1
    }
}

/// The shortest text of a float in Go's `%g`, with `.0` where it would look like an integer.
pub(super) fn openmetrics_float(value: f64) -> String {
    let mut text = String::new();
    push_general(&mut text, value);
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;
    use crate::labels::{RelabelAction, RelabelRule, RelabelSpec};

    fn mapped(
        spec: TargetSpec,
        labels: &[(&str, &str)],
        family_type: FamilyType,
    ) -> Result<Option<Labels>, String> {
        let labels: Vec<_> = labels
            .iter()
            .map(|&(n, v)| (Cow::Borrowed(n), Cow::Borrowed(v)))
            .collect();
        Mapper::new(spec).map(&labels, family_type)
    }

    /// Forty rules of a stranger's monitor took all time of scraping for each page of his.
    #[test]
    fn rules_that_double_what_others_write_refuse_the_page() {
        let doubling = |action: RelabelAction, target: &str, replacement: &str| {
            let rule = RelabelRule::new(RelabelSpec {
                source_labels: match action {
                    RelabelAction::Replace => vec![target.to_owned()],
                    _ => Vec::new(),
                },
                action,
                target_label: match action {
                    RelabelAction::Replace => target.to_owned(),
                    _ => String::new(),
                },
                replacement: replacement.to_owned(),
                regex: "(.+)".to_owned(),
                ..RelabelSpec::default()
            });
            vec![rule.expect("valid"); 40]
        };
        for rules in [
            doubling(RelabelAction::Replace, "a", "$1$1"),
            doubling(RelabelAction::LabelMap, "", "$1$1"),
        ] {
            let spec = TargetSpec {
                metric_relabel: rules,
                ..TargetSpec::default()
            };
            let refused = mapped(spec, &[("__name__", "m"), ("a", "xy")], FamilyType::Gauge);
            assert!(refused.is_err_and(|why| why.contains("a rule doubles")));
        }
    }

    #[test]
    fn a_clash_renames_the_page_s_label_unless_it_is_honored() {
        let spec = |honor_labels| TargetSpec {
            labels: labels! { "job" => "epp", "instance" => "a:1" },
            honor_labels,
            ..TargetSpec::default()
        };
        let page = [
            ("__name__", "x"),
            ("job", "mine"),
            ("exported_job", "theirs"),
        ];
        assert_eq!(
            mapped(spec(false), &page, FamilyType::Gauge),
            Ok(Some(
                labels! { "__name__" => "x", "job" => "epp", "instance" => "a:1",
                "exported_job" => "theirs", "exported_exported_job" => "mine" }
            ))
        );
        assert_eq!(
            mapped(spec(true), &page, FamilyType::Gauge),
            Ok(Some(
                labels! { "__name__" => "x", "job" => "mine", "instance" => "a:1", "exported_job" => "theirs" }
            ))
        );
    }

    #[test]
    fn bounds_have_one_spelling() {
        for (le, stored) in [
            ("1", "1.0"),
            ("0.5", "0.5"),
            ("1e3", "1000.0"),
            ("+Inf", "+Inf"),
            ("1048576", "1.048576e+06"),
            ("1e21", "1e+21"),
            ("0.00001", "1e-05"),
            ("not", "not"),
            ("1e3", "1000.0"),
        ] {
            let got = mapped(
                TargetSpec::default(),
                &[("__name__", "x_bucket"), ("le", le)],
                FamilyType::Histogram,
            );
            let got = got
                .ok()
                .flatten()
                .and_then(|l| l.get("le").map(str::to_owned));
            assert_eq!(got.as_deref(), Some(stored), "{le}");
        }
    }

    #[test]
    fn limits_name_the_label_and_the_number() {
        let spec = TargetSpec {
            label_value_bytes_max: 3,
            ..TargetSpec::default()
        };
        let error = mapped(spec, &[("__name__", "x"), ("a", "long")], FamilyType::Gauge)
            .expect_err("too long");
        assert!(
            error.contains("label_name") || error.contains("label_value_length_limit"),
            "{error}"
        );
        assert!(
            error.contains("\"a\"") && error.contains('4') && error.contains('3'),
            "{error}"
        );
    }
}
