//! Marks the selectors below `histogram_count`, `histogram_sum` and `histogram_avg`, where Prometheus reads
//! histograms without their buckets and finds counter resets while reading. Visible in annotations only.

use crate::plan::FunctionId;
use crate::plan::{Expr, ExprKind};

/// What is above a node.
#[derive(Clone, Copy, Default)]
struct Above {
    /// Count, sum or average of a histogram.
    statistics: bool,
    /// Something that needs the buckets.
    buckets: bool,
}

pub(super) fn mark(expr: &mut Expr) {
    visit(expr, Above::default());
}

fn visit(expr: &mut Expr, above: Above) {
    use FunctionId as F;
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            selector.detect_resets = above.statistics && !above.buckets;
        }
        ExprKind::Subquery(subquery) => visit(
            &mut subquery.expr,
            Above {
                buckets: true,
                ..above
            },
        ),
        ExprKind::Call { function, args } => {
            let statistics = matches!(
                function.id,
                F::HistogramCount | F::HistogramSum | F::HistogramAvg
            );
            let buckets = matches!(
                function.id,
                F::HistogramQuantile | F::HistogramQuantiles | F::HistogramFraction
            );
            let above = Above {
                statistics: above.statistics || statistics,
                buckets: above.buckets || buckets,
            };
            args.iter_mut().for_each(|arg| visit(arg, above));
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate
                .param
                .iter_mut()
                .for_each(|param| visit(param, above));
            visit(&mut aggregate.expr, above);
        }
        ExprKind::Binary(binary) => {
            visit(&mut binary.lhs, above);
            visit(&mut binary.rhs, above);
        }
        ExprKind::Negate(inner) | ExprKind::Paren(inner) | ExprKind::StepInvariant(inner) => {
            visit(inner, above)
        }
    }
}
