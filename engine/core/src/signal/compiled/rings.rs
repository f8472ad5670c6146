//! The samples of windows: per series a ring of values with two bits each, in three dense arrays.
//!
//! ```text
//!  column   | value f64 x places |   | present u64 x words |   | mark u64 x words |     places = 64 * words
//! ```
//!
//! The number of a sample is that of its target's good scrape. The meaning of a mark depends on the function: a fall, a
//! change, or a candidate for the extreme. Columns of series that disappear are reused.

use super::bits;

/// All columns of a leaf.
#[derive(Default)]
pub(super) struct Rings {
    words: usize,
    values: Vec<f64>,
    present: Vec<u64>,
    marks: Vec<u64>,
    free: Vec<u32>,
    columns: usize,
}

impl Rings {
    /// Empty rings that keep at least this many samples of each series.
    pub(super) fn new(samples_min: usize) -> Rings {
        Rings {
            words: samples_min.div_ceil(64).max(1),
            ..Rings::default()
        }
    }

    /// How many samples of each series are kept.
    pub(super) fn places(&self) -> usize {
        self.words.saturating_mul(64)
    }

    /// Bytes that this many columns need.
    pub(super) fn bytes_for(&self, columns: usize) -> usize {
        let word = 64 * size_of::<f64>() + 2 * size_of::<u64>();
        columns.saturating_mul(self.words).saturating_mul(word)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes_for(self.columns)
    }

    /// An empty column.
    pub(super) fn take(&mut self) -> u32 {
        if let Some(column) = self.free.pop() {
            let words = self.words_of(column);
            self.present[words.clone()].fill(0);
            self.marks[words].fill(0);
            return column;
        }
        let column = self.columns as u32;
        self.columns += 1;
        self.values.resize(self.columns * self.places(), 0.0);
        self.present.resize(self.columns * self.words, 0);
        self.marks.resize(self.columns * self.words, 0);
        column
    }

    /// Removes all samples.
    pub(super) fn clear(&mut self) {
        self.present.fill(0);
        self.marks.fill(0);
    }

    /// Gives a column back.
    pub(super) fn release(&mut self, column: u32) {
        self.free.push(column);
    }

    fn words_of(&self, column: u32) -> std::ops::Range<usize> {
        let start = column as usize * self.words;
        start..start + self.words
    }

    /// The series has a sample, marked or not.
    #[inline]
    pub(super) fn put(&mut self, column: u32, number: u64, value: f64, marked: bool) {
        let places = self.places();
        self.values[column as usize * places + (number % places as u64) as usize] = value;
        let words = self.words_of(column);
        bits::set(&mut self.present[words.clone()], number, true);
        bits::set(&mut self.marks[words], number, marked);
    }

    /// The series has no sample.
    #[inline]
    pub(super) fn put_absent(&mut self, column: u32, number: u64) {
        let words = self.words_of(column);
        bits::set(&mut self.present[words.clone()], number, false);
        bits::set(&mut self.marks[words], number, false);
    }

    #[inline]
    pub(super) fn unmark(&mut self, column: u32, number: u64) {
        let words = self.words_of(column);
        bits::set(&mut self.marks[words], number, false);
    }

    #[inline]
    pub(super) fn value(&self, column: u32, number: u64) -> f64 {
        let places = self.places();
        self.values[column as usize * places + (number % places as u64) as usize]
    }

    /// The sample of a series, if it has one.
    pub(super) fn sample(&self, column: u32, number: u64) -> Option<f64> {
        is_set(self.present(column), number).then(|| self.value(column, number))
    }

    #[inline]
    pub(super) fn present(&self, column: u32) -> &[u64] {
        &self.present[self.words_of(column)]
    }

    #[inline]
    pub(super) fn marks(&self, column: u32) -> &[u64] {
        &self.marks[self.words_of(column)]
    }

    /// Copies the values of the samples in a range.
    pub(super) fn copy(&self, column: u32, (from, until): (u64, u64), values: &mut Vec<f64>) {
        values.clear();
        let places = self.places() as u64;
        let ring = &self.values[column as usize * places as usize..][..places as usize];
        if !self.is_solid(column, (from, until)) {
            let samples = self.samples(column, (from, until));
            values.extend(samples.map(|number| ring[(number % places) as usize]));
        } else if from < until {
            let (start, end) = (from % places, (until - 1) % places + 1);
            let (start, end) = (start as usize, end as usize);
            if start < end {
                values.extend_from_slice(&ring[start..end]);
            } else {
                values.extend_from_slice(&ring[start..]);
                values.extend_from_slice(&ring[..end]);
            }
        }
    }

    /// The numbers of the samples in a range.
    pub(super) fn samples(
        &self,
        column: u32,
        (from, until): (u64, u64),
    ) -> impl Iterator<Item = u64> + '_ {
        let solid = self.is_solid(column, (from, until));
        let present = self.present(column);
        (from..until).filter(move |number| solid || is_set(present, *number))
    }

    fn is_solid(&self, column: u32, (from, until): (u64, u64)) -> bool {
        bits::count(self.present(column), from, until) == until - from
    }
}

fn is_set(words: &[u64], number: u64) -> bool {
    bits::first(words, number, number + 1).is_some()
}
