//! Range functions over rings of samples: which samples are marked when they are added, and the value of a window.
//!
//! `rate`, `increase`, `delta`, `min`, `max`, `count`, `last`, `changes` and `resets` look at bits, a word per 64
//! samples, and at the few samples that the bits name; the others go over the window's samples.

use crate::promql::FunctionId;
use crate::promql::incremental::float_windows;

use super::bits;
use super::rings::Rings;
use super::scale::{Reach, Scale};

/// A function of a window that is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Function {
    pub(super) kind: FunctionKind,
    /// The length of the window; for the newest sample, how old it may be.
    pub(super) range_ms: i64,
    /// How long before the evaluation the window ends.
    pub(super) offset_ms: i64,
    /// How much earlier than now it may be evaluated, at the steps of a subquery.
    pub(super) back_ms: i64,
}

/// What is computed of a window.
#[derive(Clone, Copy, Debug)]
pub(super) enum FunctionKind {
    /// The newest sample, as an instant selector shows it: none, if the series ended.
    Newest,
    /// A range function, with its scalar argument if it has one.
    Of(FunctionId, f64),
}

impl PartialEq for FunctionKind {
    /// By bits: what is equal is computed once.
    fn eq(&self, other: &FunctionKind) -> bool {
        match (self, other) {
            (FunctionKind::Newest, FunctionKind::Newest) => true,
            (FunctionKind::Of(one, with), FunctionKind::Of(other, and)) => {
                one == other && with.to_bits() == and.to_bits()
            }
            _ => false,
        }
    }
}

/// What the marks of the rings mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    Nothing,
    /// The sample is lower than the one before it.
    Falls,
    /// The sample differs from the one before it.
    Changes,
    /// No later sample is higher: it may be the maximum one day.
    Maxima,
    /// The same for the minimum.
    Minima,
}

impl Function {
    /// Whether windows are kept for it.
    pub(super) fn is_kept(id: FunctionId) -> bool {
        use FunctionId as F;
        float_windows::is_refolded(id)
            || matches!(
                id,
                F::Rate
                    | F::Increase
                    | F::Delta
                    | F::Irate
                    | F::Idelta
                    | F::Changes
                    | F::Resets
                    | F::MinOverTime
                    | F::MaxOverTime
                    | F::CountOverTime
                    | F::PresentOverTime
                    | F::FirstOverTime
                    | F::LastOverTime
            )
    }

    pub(super) fn is_newest(&self) -> bool {
        self.kind == FunctionKind::Newest
    }

    /// How far back samples are kept.
    pub(super) fn reach(&self) -> Reach {
        let one_before = self.is_newest();
        let range_ms = if one_before { 0 } else { self.range_ms };
        let ms = range_ms
            .saturating_add(self.offset_ms)
            .saturating_add(self.back_ms);
        Reach {
            ms: ms.max(0),
            one_before,
        }
    }

    /// How long ago a sample may be that any of its windows has.
    pub(super) fn span_ms(&self) -> i64 {
        let until_ms = self.offset_ms.saturating_add(self.back_ms).max(0);
        until_ms.saturating_add(self.range_ms)
    }

    /// Whether samples may be kept that are later than the window.
    fn ends_earlier(&self) -> bool {
        self.offset_ms > 0 || self.back_ms > 0
    }

    fn marks(&self) -> Marks {
        use FunctionId as F;
        let FunctionKind::Of(id, _) = self.kind else {
            return Marks::Nothing;
        };
        match id {
            F::Rate | F::Increase | F::Resets => Marks::Falls,
            F::Changes => Marks::Changes,
            // A later sample that is higher hides the maximum of an earlier window.
            F::MaxOverTime | F::MinOverTime if self.ends_earlier() => Marks::Nothing,
            F::MaxOverTime => Marks::Maxima,
            F::MinOverTime => Marks::Minima,
            _ => Marks::Nothing,
        }
    }
}

/// The samples of all series of a leaf, and the function of their windows.
pub(super) struct Samples {
    pub(super) function: Function,
    marks: Marks,
    pub(super) rings: Rings,
    times: Vec<i64>,
    values: Vec<f64>,
    sorted: Vec<f64>,
}

impl Samples {
    /// None yet, with rings for at least so many of each series.
    pub(super) fn new(function: Function, samples_min: usize) -> Samples {
        Samples {
            function,
            marks: function.marks(),
            rings: Rings::new(samples_min),
            times: Vec::new(),
            values: Vec::new(),
            sorted: Vec::new(),
        }
    }

    /// Makes room for one window, into which functions copy it. Whoever calls this has compared `bytes_for` with a limit.
    pub(super) fn reserve(&mut self) {
        let places = self.rings.places();
        self.times.reserve(places);
        self.values.reserve(places);
        self.sorted.reserve(places);
    }

    /// Bytes of so many series, with the copy of a window.
    pub(super) fn bytes_for(&self, series: usize) -> usize {
        let copies = self.rings.places().saturating_mul(3 * size_of::<f64>());
        self.rings.bytes_for(series).saturating_add(copies)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let copies = self.times.capacity() + self.values.capacity() + self.sorted.capacity();
        self.rings.bytes() + copies * size_of::<f64>()
    }

    /// The series has this value (or none) at the sample `number`, its newest.
    #[inline]
    pub(super) fn append(
        &mut self,
        column: u32,
        number: u64,
        sample_bits: u64,
        clamp_negative: bool,
    ) {
        if sample_bits == crate::store::STALE {
            return self.rings.put_absent(column, number);
        }
        let mut value = f64::from_bits(sample_bits);
        if clamp_negative && value < 0.0 {
            value = 0.0;
        }
        let oldest = (number + 1).saturating_sub(self.rings.places() as u64);
        let marked = match self.marks {
            Marks::Nothing => false,
            Marks::Falls | Marks::Changes => {
                let before = bits::last(self.rings.present(column), oldest, number);
                let resets = self.marks == Marks::Falls;
                before.is_some_and(|before| {
                    float_windows::is_transition(resets, self.rings.value(column, before), value)
                })
            }
            Marks::Maxima | Marks::Minima => {
                let max = self.marks == Marks::Maxima;
                while let Some(back) = bits::last(self.rings.marks(column), oldest, number)
                    && float_windows::is_dominated(max, self.rings.value(column, back), value)
                {
                    self.rings.unmark(column, back);
                }
                !value.is_nan()
            }
        };
        self.rings.put(column, number, value, marked);
    }

    /// The function of one series' window.
    #[inline]
    pub(super) fn value(&mut self, scale: &impl Scale, column: u32) -> Option<f64> {
        use FunctionId as F;
        let (from, until) = scale.window();
        let (present, marks) = (self.rings.present(column), self.rings.marks(column));
        let FunctionKind::Of(id, param) = self.function.kind else {
            let newest = until.checked_sub(1).filter(|newest| *newest >= from)?;
            bits::first(present, newest, until)?;
            return Some(self.rings.value(column, newest));
        };
        let first = bits::first(present, from, until)?;
        let value = |number: u64| self.rings.value(column, number);
        let last = || bits::last(present, from, until).unwrap_or(first);
        Some(match id {
            F::Rate | F::Increase | F::Delta => {
                return self.extrapolated(id, scale, column, (first, last()));
            }
            F::Irate | F::Idelta => {
                let last = last();
                let before = bits::last(present, from, last)?;
                let sample = |number: u64| (scale.time_ms(number), value(number));
                return float_windows::instant(id, sample(before), sample(last));
            }
            F::Changes | F::Resets => bits::count(marks, first + 1, until) as f64,
            // Only NaNs: the last one, as the evaluator has it.
            F::MaxOverTime | F::MinOverTime if self.marks != Marks::Nothing => {
                value(bits::first(marks, from, until).unwrap_or_else(last))
            }
            F::CountOverTime => bits::count(present, from, until) as f64,
            F::PresentOverTime => 1.0,
            F::FirstOverTime => value(first),
            F::LastOverTime => value(last()),
            _ => return self.refold((id, param), scale, column),
        })
    }

    fn extrapolated(
        &self,
        id: FunctionId,
        scale: &impl Scale,
        column: u32,
        (first, last): (u64, u64),
    ) -> Option<f64> {
        let (present, marks) = (self.rings.present(column), self.rings.marks(column));
        let value = |number: u64| self.rings.value(column, number);
        let mut difference = value(last) - value(first);
        if self.marks == Marks::Falls {
            let mut after = first + 1;
            while let Some(fall) = bits::first(marks, after, last + 1) {
                difference += value(bits::last(present, first, fall)?);
                after = fall + 1;
            }
        }
        let sampled = float_windows::Sampled {
            first_ms: scale.time_ms(first),
            last_ms: scale.time_ms(last),
            count: bits::count(present, first, last + 1) as usize,
            first: value(first),
            difference,
        };
        let end_ms = scale.end_ms();
        let start_ms = end_ms.saturating_sub(self.function.range_ms);
        float_windows::extrapolated(id, sampled, start_ms, end_ms)
    }

    fn refold(
        &mut self,
        (id, param): (FunctionId, f64),
        scale: &impl Scale,
        column: u32,
    ) -> Option<f64> {
        self.rings.copy(column, scale.window(), &mut self.values);
        if float_windows::needs_times(id) {
            let samples = self.rings.samples(column, scale.window());
            self.times.clear();
            self.times
                .extend(samples.map(|number| scale.time_ms(number)));
        }
        float_windows::refold(
            id,
            &self.times,
            &self.values,
            scale.eval_ms(),
            param,
            &mut self.sorted,
        )
    }
}
