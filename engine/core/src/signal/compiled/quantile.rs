//! `histogram_quantile` of a vector that has `le`: the buckets of each histogram lie side by side, sorted by bound
//! when the structure changes. What is done to them is the evaluator's own code.

use crate::labels::{Labels, METRIC_NAME};
use crate::promql::incremental::{
    Bucket, KeyRule, Keys, bucket_quantile, parse_bound, without_reserved,
};

use super::halt::Blocked;
use super::vector::Vector;

const BUCKET_LABEL: &str = "le";

/// No histogram: the element's bound cannot be read.
const NONE: u32 = u32::MAX;

/// The histograms of one vector.
#[derive(Default)]
pub(super) struct Quantile {
    /// By element of the input: which histogram it belongs to.
    family_of: Vec<u32>,
    /// Bounds and elements of all histograms, each one's ascending by bound.
    bounds: Vec<(f64, u32)>,
    /// By histogram: where its bounds end.
    ends: Vec<u32>,
    /// By histogram: whether it is in the result already.
    done: Vec<bool>,
    buckets: Vec<Bucket>,
}

impl Quantile {
    /// Finds the histograms; their labels.
    pub(super) fn bind(&mut self, input: &[Labels]) -> Result<Vec<Labels>, Blocked> {
        let mut keys = Keys::new(KeyRule::all_but(&[BUCKET_LABEL.into(), METRIC_NAME.into()]));
        let mut families: Vec<Vec<(f64, u32)>> = Vec::new();
        let mut labels = Vec::new();
        self.family_of.clear();
        for (element, its) in input.iter().enumerate() {
            let Some(upper) = parse_bound(its.get(BUCKET_LABEL).unwrap_or("")) else {
                self.family_of.push(NONE);
                continue;
            };
            let at = keys.find_or_add(its);
            if at == families.len() {
                families.push(Vec::new());
                labels.push(without_reserved(&its.filter(|name| name != BUCKET_LABEL)));
            }
            families[at].push((upper, element as u32));
            self.family_of.push(at as u32);
        }
        (self.bounds, self.ends) = (Vec::new(), Vec::new());
        for family in &mut families {
            family.sort_by(|a, b| a.0.total_cmp(&b.0));
            // Counts of three equal bounds are added in the order in which their series come, which may change.
            if family.windows(3).any(|three| three[0].0 == three[2].0) {
                return Err(Blocked::ByStructure(
                    "three buckets of a histogram have equal bounds",
                ));
            }
            self.bounds.extend_from_slice(family);
            self.ends.push(self.bounds.len() as u32);
        }
        self.done = vec![false; families.len()];
        self.buckets = Vec::with_capacity(families.iter().map(Vec::len).max().unwrap_or(0));
        Ok(labels)
    }

    /// The histogram that an element is a bucket of.
    pub(super) fn family_of(&self, element: u32) -> Option<u32> {
        Some(self.family_of[element as usize]).filter(|family| *family != NONE)
    }

    /// The quantile of each histogram that has buckets, in order of their first ones.
    pub(super) fn run(&mut self, q: f64, input: &Vector, out: &mut Vector) {
        self.done.fill(false);
        for &element in &input.order {
            let family = self.family_of[element as usize];
            if family == NONE || std::mem::replace(&mut self.done[family as usize], true) {
                continue;
            }
            let at = family as usize;
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            self.buckets.clear();
            for &(upper, element) in &self.bounds[start as usize..self.ends[at] as usize] {
                let count = input.values[element as usize];
                if !crate::promql::incremental::is_absent(count) {
                    self.buckets.push(Bucket { upper, count });
                }
            }
            out.push(family, bucket_quantile(q, &mut self.buckets).0);
        }
    }
}
