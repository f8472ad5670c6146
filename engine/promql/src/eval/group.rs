//! Label sets as keys: the part of a set that grouping or matching looks at, found without building it.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use stillwell_model::labels::{Labels, METRIC_NAME};

/// Which labels count.
#[derive(Clone, Debug)]
pub struct KeyRule {
    /// Sorted.
    names: Vec<Arc<str>>,
    /// Whether `names` are those that count, not those that do not.
    only: bool,
    /// Whether the metric name never counts, unless named.
    skip_name: bool,
}

impl KeyRule {
    /// Only these labels (`by`, `on`).
    pub fn only(names: &[Arc<str>]) -> KeyRule {
        KeyRule::new(names, true, false)
    }

    /// All but these and the metric name.
    pub fn without(names: &[Arc<str>]) -> KeyRule {
        KeyRule::new(names, false, true)
    }

    /// All but these; the metric name counts.
    pub fn all_but(names: &[Arc<str>]) -> KeyRule {
        KeyRule::new(names, false, false)
    }

    /// All labels, the name too.
    pub fn all() -> KeyRule {
        KeyRule::new(&[], false, false)
    }

    fn new(names: &[Arc<str>], only: bool, skip_name: bool) -> KeyRule {
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        KeyRule {
            names,
            only,
            skip_name,
        }
    }

    /// Makes one more label count.
    pub fn also(&mut self, name: &str) {
        let at = self.names.binary_search_by(|have| (**have).cmp(name));
        match (self.only, at) {
            (true, Err(at)) => self.names.insert(at, Arc::from(name)),
            (false, Ok(at)) => {
                self.names.remove(at);
            }
            _ => {}
        }
    }

    /// Whether this label is part of the key.
    pub fn counts(&self, name: &str) -> bool {
        if self.skip_name && name == METRIC_NAME {
            return false;
        }
        let named = match self.names.as_slice() {
            [] => false,
            [one] => **one == *name,
            many => many.binary_search_by(|have| (**have).cmp(name)).is_ok(),
        };
        named == self.only
    }

    fn part<'l>(&self, labels: &'l Labels) -> impl Iterator<Item = (&'l str, &'l str)> {
        labels.iter().filter(|(name, _)| self.counts(name))
    }

    /// The part of the label set that is the key.
    pub fn build(&self, labels: &Labels) -> Labels {
        labels.filter(|name| self.counts(name))
    }
}

/// Numbers keys in order of first appearance.
pub struct Keys {
    rule: KeyRule,
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    keys: Vec<Labels>,
    /// The set asked for last and its number: neighbours often share their key.
    last: Option<(Labels, usize)>,
}

impl Keys {
    /// No keys yet.
    pub fn new(rule: KeyRule) -> Keys {
        Keys {
            rule,
            hasher: DefaultHashBuilder::default(),
            table: HashTable::new(),
            keys: Vec::new(),
            last: None,
        }
    }

    /// The label set of a key, by its number.
    pub fn key(&self, at: usize) -> &Labels {
        &self.keys[at]
    }

    /// The number of the set's key; a new key gets the next number.
    pub fn find_or_add(&mut self, labels: &Labels) -> usize {
        if let Some((last, at)) = &self.last
            && last == labels
        {
            return *at;
        }
        let hash = self.hash(labels);
        let at = match self.find_hashed(hash, labels) {
            Some(at) => at,
            None => {
                let at = self.keys.len();
                self.keys.push(self.rule.build(labels));
                let (hasher, keys) = (&self.hasher, &self.keys);
                self.table.insert_unique(hash, at as u32, |at| {
                    hash_pairs(hasher, keys[*at as usize].iter())
                });
                at
            }
        };
        self.last = Some((labels.clone(), at));
        at
    }

    /// The number of the set's key, if it has one.
    pub fn find(&self, labels: &Labels) -> Option<usize> {
        self.find_hashed(self.hash(labels), labels)
    }

    fn hash(&self, labels: &Labels) -> u64 {
        hash_pairs(&self.hasher, self.rule.part(labels))
    }

    fn find_hashed(&self, hash: u64, labels: &Labels) -> Option<usize> {
        let found = self.table.find(hash, |at| {
            self.keys[*at as usize].iter().eq(self.rule.part(labels))
        });
        found.map(|at| *at as usize)
    }
}

fn hash_pairs<'l>(
    hasher: &DefaultHashBuilder,
    pairs: impl Iterator<Item = (&'l str, &'l str)>,
) -> u64 {
    let mut state = hasher.build_hasher();
    for (name, value) in pairs {
        state.write(name.as_bytes());
        state.write_u8(0xff);
        state.write(value.as_bytes());
        state.write_u8(0xfe);
    }
    state.finish()
}
