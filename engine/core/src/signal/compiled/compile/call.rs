//! Calls of functions that yield vectors, but for those of ranges, which are sources.

use crate::promql::FunctionId;
use crate::promql::incremental::{absent_labels, is_calendar, is_pointwise};
use crate::promql::plan::{AggregateOp, Expr, Function};

use super::super::fold::Step;
use super::super::halt::Unsupported;
use super::super::members::Grouping;
use super::super::program::{Op, Relabel, Scalar};
use super::vector::texts;
use super::{Compiled, Compiler};

impl Compiler {
    pub(super) fn call(
        &mut self,
        function: &Function,
        args: &[Expr],
        depth: usize,
    ) -> Compiled<usize> {
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
                let relabel = Relabel {
                    is_join: id == F::LabelJoin,
                    texts: texts(&args[1..])?,
                };
                if let Err(refused) = relabel.change() {
                    return Err(Unsupported::Refused(refused.to_string()));
                }
                let input = self.vector(first()?, depth + 1)?;
                self.emit(Op::Relabel { input, relabel })
            }
            F::Absent => {
                let input = self.any(first()?, depth)?;
                let labels = absent_labels(first()?);
                self.emit(Op::Absent { input, labels })
            }
            F::AbsentOverTime => {
                let all = Grouping::default();
                let present = F::PresentOverTime;
                let (source, kept) = self.range(present, function.name, args, Some(&all))?;
                let leaf = self.leaf(source, Some(kept));
                let step = Step::Aggregate(AggregateOp::Group);
                let input = self.emit(Op::Leaf { leaf, step })?;
                let labels = absent_labels(first()?);
                self.emit(Op::Absent { input, labels })
            }
            // Their order is that of the result only.
            F::Sort | F::SortDesc => self.vector(first()?, depth + 1),
            _ if is_calendar(id) => {
                let input = match args.first() {
                    Some(arg) => self.vector(arg, depth + 1)?,
                    None => {
                        let scalar = Scalar::Slot(self.emit(Op::Time)?);
                        self.emit(Op::VectorOf { scalar })?
                    }
                };
                self.emit(Op::CalendarOf {
                    input,
                    function: id,
                })
            }
            _ if is_pointwise(id) => {
                let input = self.vector(first()?, depth + 1)?;
                let mut scalars = [None; 2];
                for (place, arg) in scalars.iter_mut().zip(&args[1..]) {
                    *place = Some(self.scalar(arg, depth + 1)?);
                }
                self.emit(Op::Pointwise {
                    input,
                    function: id,
                    args: scalars,
                })
            }
            _ => Err(unsupported()),
        }
    }
}
