//! Calls of functions that yield vectors, but for those of ranges, which are sources.

use crate::promql::FunctionId;
use crate::promql::incremental::{absent_labels, is_calendar, is_pointwise};
use crate::promql::plan::{AggregateOp, Expr, ExprKind};

use super::super::fold::Step;
use super::super::halt::Unsupported;
use super::super::members::Grouping;
use super::super::op::{Op, Relabel, Scalar};
use super::super::range::Function as Kept;
use super::source::reads_subquery;
use super::vector::texts;
use super::{Compiled, Compiler};

impl Compiler {
    pub(super) fn call(&mut self, expr: &Expr, depth: usize) -> Compiled<usize> {
        let ExprKind::Call { function, args } = &expr.kind else {
            return Err(Unsupported::NoVector);
        };
        use FunctionId as F;
        let id = function.id;
        let unsupported = || Unsupported::Function(function.name);
        let first = || args.first().ok_or_else(unsupported);
        match id {
            F::Vector => {
                let scalar = self.scalar(first()?, depth + 1)?;
                self.emit(Op::VectorOf { scalar })
            }
            F::HistogramQuantile => {
                let q = self.scalar(first()?, depth + 1)?;
                let input = self.vector(args.get(1).ok_or_else(unsupported)?, depth + 1)?;
                self.emit(Op::Quantile { q, input })
            }
            F::LabelReplace | F::LabelJoin => {
                let relabel = Relabel::new(id == F::LabelJoin, texts(&args[1..])?);
                let relabel = relabel.map_err(|why| Unsupported::Refused(why.to_string()))?;
                let input = self.vector(first()?, depth + 1)?;
                self.emit(Op::Relabel { input, relabel })
            }
            F::Absent => {
                let input = self.any(first()?, depth)?;
                let labels = absent_labels(first()?);
                self.emit(Op::Absent { input, labels })
            }
            F::AbsentOverTime => {
                let input = self.any_over_time(expr, function.name, args)?;
                let labels = absent_labels(first()?);
                self.emit(Op::Absent { input, labels })
            }
            // Their order is that of the result only.
            F::Sort | F::SortDesc => self.vector(first()?, depth + 1),
            _ if Kept::is_kept(id) => self.subquery(id, function.name, args),
            _ if is_calendar(id) => self.calendar(id, args, depth),
            _ if is_pointwise(id) => self.pointwise(id, args, depth),
            _ => Err(unsupported()),
        }
    }

    /// Whether a range has samples: elements, or none.
    fn any_over_time(&mut self, expr: &Expr, name: &'static str, args: &[Expr]) -> Compiled<usize> {
        let present = FunctionId::PresentOverTime;
        if reads_subquery(expr) {
            return self.subquery(present, name, args);
        }
        let (source, kept) = self.range(present, name, args, Some(&Grouping::default()))?;
        let leaf = self.leaf(source, Some(kept));
        let step = Step::Aggregate(AggregateOp::Group);
        self.emit(Op::Leaf { leaf, step })
    }

    /// A part of the date of each element, or of the evaluation.
    fn calendar(&mut self, function: FunctionId, args: &[Expr], depth: usize) -> Compiled<usize> {
        let input = match args.first() {
            Some(arg) => self.vector(arg, depth + 1)?,
            None => {
                let scalar = Scalar::Slot(self.emit(Op::Time)?);
                self.emit(Op::VectorOf { scalar })?
            }
        };
        self.emit(Op::CalendarOf { input, function })
    }

    fn pointwise(&mut self, function: FunctionId, args: &[Expr], depth: usize) -> Compiled<usize> {
        let (first, others) = args.split_first().ok_or(Unsupported::NoVector)?;
        let input = self.vector(first, depth + 1)?;
        let mut scalars = [None; 2];
        for (place, arg) in scalars.iter_mut().zip(others) {
            *place = Some(self.scalar(arg, depth + 1)?);
        }
        self.emit(Op::Pointwise {
            input,
            function,
            args: scalars,
        })
    }
}
