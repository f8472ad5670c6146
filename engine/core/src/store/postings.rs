//! The label index: for every label name and value, the series that have it, as sorted ranges of ids.
//!
//! Pages list the series of a family one after another, so the ids of a family or target are a few ranges: about a
//! tenth of the size of plain lists on pages of the Endpoint Picker.

use hashbrown::HashMap;

use super::arena::reserve_few;
use super::sharded_table::ShardedTable;
use super::symbol::Symbol;
use super::symbols::MALLOC_OVERHEAD;
use crate::ids::SeriesId;

/// Bytes of a new label name: its lists of values and their places, and its place in the index with spare capacity.
pub(super) const NAME_BYTES: usize = size_of::<Values>() + 2 * 24 + 4 * MALLOC_OVERHEAD + 40;

/// Bytes of a value that is new to its name: its place in both lists, with spare capacity, and one range of series.
pub(super) const PAIR_BYTES: usize = 2 * (size_of::<Postings>() + size_of::<Symbol>()) + 78;

/// Values of one name that are compared one by one: most names have few, and a table takes more than all of them.
const SCANNED_MAX: usize = 8;

/// Labels of series that were created in a row, each with the ids that have it and are not in the index yet.
///
/// Neighbours on a page have most labels in common: of ten, nine cost a comparison here and nothing in the index.
#[derive(Default)]
pub(crate) struct IndexRuns(Vec<(Symbol, Symbol, u32, u32)>);

/// Sorted, disjoint, non-adjacent half-open ranges of ids.
#[derive(Default, Debug)]
pub(crate) struct Postings {
    ranges: Vec<(u32, u32)>,
    count: usize,
}

impl Postings {
    fn insert(&mut self, id: u32) {
        // New series get ascending ids: it is mostly the next one.
        if let Some((_, end)) = self.ranges.last_mut().filter(|(_, end)| *end == id) {
            *end += 1;
            self.count += 1;
            return;
        }
        let at = self.ranges.partition_point(|&(_, end)| end < id);
        // The range at `at` is the first that ends at or after `id`.
        match self.ranges.get(at).copied() {
            Some((start, end)) if start <= id && id < end => return,
            Some((start, end)) if end == id => match self.ranges.get(at + 1).copied() {
                Some((next_start, next_end)) if next_start == id + 1 => {
                    self.ranges[at] = (start, next_end);
                    self.ranges.remove(at + 1);
                }
                _ => self.ranges[at] = (start, id + 1),
            },
            Some((start, end)) if start == id + 1 => self.ranges[at] = (id, end),
            _ => self.ranges.insert(at, (id, id + 1)),
        }
        self.count += 1;
    }

    /// Adds ids none of which is in it.
    fn insert_range(&mut self, start: u32, end: u32) {
        match self.ranges.last_mut() {
            Some(last) if last.1 > start => return (start..end).for_each(|id| self.insert(id)),
            Some(last) if last.1 == start => last.1 = end,
            _ => self.ranges.push((start, end)),
        }
        self.count += (end - start) as usize;
    }

    fn remove(&mut self, id: u32) {
        let at = self.ranges.partition_point(|&(_, end)| end <= id);
        let Some(&(start, end)) = self.ranges.get(at) else {
            return;
        };
        if id < start {
            return;
        }
        match (start == id, end == id + 1) {
            (true, true) => {
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at] = (id + 1, end),
            (false, true) => self.ranges[at] = (start, id),
            (false, false) => {
                self.ranges[at] = (start, id);
                self.ranges.insert(at + 1, (id + 1, end));
            }
        }
        self.count -= 1;
    }

    /// Bytes of its list, as they were asked for, and of what stands beside it.
    fn bytes(&self) -> usize {
        match self.ranges.capacity() {
            0 => 0,
            ranges => ranges * size_of::<(u32, u32)>() + MALLOC_OVERHEAD,
        }
    }

    /// How many ids there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The ranges, ascending.
    pub(crate) fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }
}

/// The values of one label name.
#[derive(Default)]
pub(crate) struct Values {
    /// Indices of `list`, by their value; empty as long as there are few.
    places: ShardedTable,
    /// In no order; a list beside the map, so that a reader can walk it in batches.
    list: Vec<Symbol>,
    /// Postings of the value at the same index of `list`.
    postings: Vec<Postings>,
    /// The value that was entered last, and its place.
    newest: Option<(Symbol, u32)>,
}

impl Values {
    /// The ids with this value.
    pub(crate) fn get(&self, value: Symbol) -> Option<&Postings> {
        let place = self.find(value)?;
        Some(&self.postings[place as usize])
    }

    fn find(&self, value: Symbol) -> Option<u32> {
        if self.places.len() == 0 {
            let place = self.list.iter().position(|have| *have == value);
            return place.map(|place| place as u32);
        }
        let is_it = |place: &u32| self.list[*place as usize] == value;
        self.places.find(hash_of(value), is_it)
    }

    /// Every value, in no order.
    pub(crate) fn list(&self) -> &[Symbol] {
        &self.list
    }

    /// The index of a value, which is added if it is new.
    fn place(&mut self, value: Symbol) -> u32 {
        if let Some((newest, place)) = self.newest
            && newest == value
        {
            return place;
        }
        let place = self.find(value).unwrap_or_else(|| {
            let place = self.list.len() as u32;
            reserve_few(&mut self.list);
            self.list.push(value);
            reserve_few(&mut self.postings);
            self.postings.push(Postings::default());
            match self.places.len() {
                0 if self.list.len() <= SCANNED_MAX => {}
                0 => (0..=place).for_each(|place| self.enter(place)),
                _ => self.enter(place),
            }
            place
        });
        self.newest = Some((value, place));
        place
    }

    /// Adds a place of the list to the table.
    fn enter(&mut self, place: u32) {
        let list = &self.list;
        let hash = hash_of(list[place as usize]);
        self.places
            .insert_unique(hash, place, |at| hash_of(list[*at as usize]));
    }

    /// Removes a value.
    fn remove(&mut self, value: Symbol, place: u32) {
        self.newest = None;
        let last = self.list.len() as u32 - 1;
        let is_entered = self.places.len() > 0;
        if is_entered {
            let moved = self.list[last as usize];
            self.places.remove(hash_of(value), |have| *have == place);
            self.places.remove(hash_of(moved), |have| *have == last);
        }
        // The last one takes its place.
        self.list.swap_remove(place as usize);
        self.postings.swap_remove(place as usize);
        if is_entered && place != last {
            self.enter(place);
        }
    }

    /// Bytes held, without ranges.
    fn bytes(&self) -> usize {
        size_of::<Values>()
            + 3 * MALLOC_OVERHEAD
            + self.places.bytes()
            + self.list.capacity() * size_of::<Symbol>()
            + self.postings.capacity() * size_of::<Postings>()
    }
}

/// Symbols are small numbers in a row: their products spread over all bits that a table looks at.
fn hash_of(value: Symbol) -> u64 {
    u64::from(value.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The whole index.
#[derive(Default)]
pub(crate) struct Index {
    /// In boxes: a table of many names that doubles moves all of them.
    names: HashMap<Symbol, Box<Values>>,
    /// Bytes of all ranges, kept up to date: counting them looks at every value.
    range_bytes: usize,
}

impl Index {
    /// Adds a series under one label.
    pub(crate) fn insert(&mut self, name: Symbol, value: Symbol, id: SeriesId) {
        let values = self.names.entry(name).or_default();
        let place = values.place(value);
        let postings = &mut values.postings[place as usize];
        let before = postings.bytes();
        postings.insert(id.0);
        self.range_bytes += postings.bytes() - before;
    }

    /// Adds a series under its labels: what it has in common with the one before stays in `runs`.
    pub(crate) fn append(
        &mut self,
        pairs: impl Iterator<Item = (Symbol, Symbol)>,
        id: SeriesId,
        runs: &mut IndexRuns,
    ) {
        let mut len = 0;
        for (name, value) in pairs {
            match runs.0.get_mut(len) {
                Some(run) if (run.0, run.1, run.3) == (name, value, id.0) => run.3 += 1,
                Some(run) => {
                    let done = std::mem::replace(run, (name, value, id.0, id.0 + 1));
                    self.insert_run(done);
                }
                None => runs.0.push((name, value, id.0, id.0 + 1)),
            }
            len += 1;
        }
        for done in runs.0.drain(len..) {
            self.insert_run(done);
        }
    }

    /// Adds what is left in `runs`. To be called before anybody reads the index.
    pub(crate) fn finish(&mut self, runs: &mut IndexRuns) {
        for run in runs.0.drain(..) {
            self.insert_run(run);
        }
    }

    fn insert_run(&mut self, (name, value, start, end): (Symbol, Symbol, u32, u32)) {
        let values = self.names.entry(name).or_default();
        let place = values.place(value);
        let postings = &mut values.postings[place as usize];
        let before = postings.bytes();
        postings.insert_range(start, end);
        self.range_bytes += postings.bytes() - before;
    }

    /// Removes a series under one label.
    pub(crate) fn remove(&mut self, name: Symbol, value: Symbol, id: SeriesId) {
        let Some(values) = self.names.get_mut(&name) else {
            return;
        };
        let Some(place) = values.find(value) else {
            return;
        };
        let postings = &mut values.postings[place as usize];
        let before = postings.bytes();
        postings.remove(id.0);
        if postings.count > 0 {
            self.range_bytes += postings.bytes() - before;
            return;
        }
        self.range_bytes -= before;
        values.remove(value, place);
        if values.list.is_empty() {
            self.names.remove(&name);
        }
    }

    /// The values of a name.
    pub(crate) fn values(&self, name: Symbol) -> Option<&Values> {
        self.names.get(&name).map(|values| &**values)
    }

    /// See `Series::imminent_growth_bytes`.
    pub(crate) fn imminent_growth_bytes(&self) -> usize {
        let of_values = self.names.values();
        let of_values = of_values.map(|values| values.places.imminent_growth_bytes());
        let is_full = self.names.capacity() - self.names.len() < self.names.capacity() / 16;
        let of_names = if is_full {
            self.names.allocation_size()
        } else {
            0
        };
        of_values.sum::<usize>() + of_names
    }

    /// Bytes held, within a tenth.
    pub(crate) fn bytes(&self) -> usize {
        let of_values = self.names.values().map(|values| values.bytes());
        self.range_bytes + self.names.allocation_size() + of_values.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_hold_what_a_set_holds(steps in prop::collection::vec((any::<bool>(), 0u32..60), 0..300)) {
            let (mut postings, mut naive) = (Postings::default(), BTreeSet::new());
            for (add, id) in steps {
                if add {
                    postings.insert(id);
                    naive.insert(id);
                } else {
                    postings.remove(id);
                    naive.remove(&id);
                }
                let flat: Vec<u32> = postings.ranges().iter().flat_map(|&(a, b)| a..b).collect();
                prop_assert_eq!(&flat, &naive.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(postings.len(), naive.len());
                prop_assert!(postings.ranges().windows(2).all(|w| w[0].1 < w[1].0));
            }
        }
    }

    proptest! {
        /// For any series in a row: the index is the same as if each was added by itself.
        #[test]
        fn runs_hold_what_single_series_do(
            series in prop::collection::vec((0u32..3, prop::collection::vec(0u32..3, 0..5)), 0..60),
        ) {
            let (mut index, mut naive) = (Index::default(), Index::default());
            let (mut runs, mut id) = (IndexRuns::default(), 0);
            for (gap, values) in series {
                // An id that is taken again later, or the next one.
                id += 1 + gap / 2;
                let pairs = values.iter().enumerate().map(|(name, value)| (Symbol(name as u32), Symbol(*value)));
                index.append(pairs.clone(), SeriesId(id), &mut runs);
                for (name, value) in pairs {
                    naive.insert(name, value, SeriesId(id));
                }
            }
            index.finish(&mut runs);
            for name in (0..5).map(Symbol) {
                for value in (0..3).map(Symbol) {
                    let ranges = |index: &Index| {
                        let postings = index.values(name).and_then(|values| values.get(value).map(|of| (of.ranges.clone(), of.count)));
                        postings.unwrap_or_default()
                    };
                    prop_assert_eq!(ranges(&index), ranges(&naive));
                }
            }
        }
    }

    /// Page after page of 64,000 other label names took twice the memory limit: each had lists with room for 64 values.
    #[test]
    fn a_name_takes_no_more_than_is_counted_for_it() {
        let mut index = Index::default();
        const NAMES: u32 = 20_000;
        for name in 0..NAMES {
            index.insert(Symbol(name), Symbol(NAMES), SeriesId(name / 64));
        }
        let bytes = index.bytes() / NAMES as usize;
        assert!(bytes <= NAME_BYTES + PAIR_BYTES, "{bytes}");
        assert!(bytes >= (NAME_BYTES + PAIR_BYTES) / 2, "{bytes}");
    }

    #[test]
    fn values_are_found_where_they_are_few_and_where_they_are_many() {
        let mut values = Values::default();
        for round in [3_u32, 40, 5] {
            for value in 0..round {
                assert_eq!(values.place(Symbol(value)), value);
            }
            assert_eq!(values.places.len() > 0, round as usize > SCANNED_MAX);
            for value in 0..round {
                let place = values.find(Symbol(value));
                let place = place.expect("it was entered");
                assert_eq!(values.list[place as usize], Symbol(value));
                values.remove(Symbol(value), place);
                assert_eq!(values.find(Symbol(value)), None);
            }
            assert!(values.list.is_empty() && values.postings.is_empty());
        }
    }

    #[test]
    fn a_value_ends_with_its_last_series() {
        let mut index = Index::default();
        let (name, a, b) = (Symbol(0), Symbol(1), Symbol(2));
        index.insert(name, a, SeriesId(0));
        index.insert(name, b, SeriesId(1));
        index.remove(name, a, SeriesId(0));
        assert_eq!(index.values(name).map(|v| v.list().to_vec()), Some(vec![b]));
        index.remove(name, b, SeriesId(1));
        assert!(index.values(name).is_none());
        assert_eq!(index.names.len(), 0);
    }
}
