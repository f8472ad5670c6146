//! From a plan to a program, or what in the plan no program has.
//!
//! Ops are numbered by value: the same subexpression twice is computed once, so the parts of a sum of sums cost
//! nothing beside the whole.

mod call;
mod scalar;
mod source;
mod vector;

use crate::limits::{COMPARED_DEPTH, COMPARED_OPS_TIMES, COMPILED_DEPTH_MAX, COMPILED_OPS_MAX};
use crate::promql::Query;
use crate::promql::plan::ValueType;

use super::super::query::{Comparison, SignalQuery};
use super::fold::Folds;
use super::halt::Unsupported;
use super::instant::Instant;
use super::links::Links;
use super::members::Source;
use super::op::{Op, Root};
use super::program::{Leaf, Program, Reads, Subquery};
use super::range::Function;
use super::vector::Vector;
use super::window::Window;

/// The result of compiling a part.
type Compiled<T> = Result<T, Unsupported>;

/// Compiles a query, the parts of it whose emptiness matters, and the queries for samples that are no finite number.
pub(super) fn compile(query: &SignalQuery) -> Compiled<Program> {
    let plan = query.query.plan();
    let mut compiler = Compiler::default();
    let root = match plan.value_type() {
        ValueType::Vector => Root::Vector(compiler.root(plan)?),
        ValueType::Scalar => Root::Scalar(compiler.scalar(plan, 0)?),
        ValueType::String | ValueType::Matrix => return Err(Unsupported::NoVector),
    };
    let parts = compiler.vectors(query.parts.iter().map(|part| &part.query))?;
    let not_finite = compiler.vectors(query.not_finite.iter())?;
    // A query that fits does so with these.
    compiler.is_compared = true;
    let comparison = query.comparison.iter();
    let compared = compiler.vectors(comparison.flat_map(Comparison::looked_at))?;
    let mut program = compiler.finish(root, parts, not_finite);
    program.compared = compared;
    // Without a series there is no page to wait for.
    match program.sources().is_empty() {
        true => Err(Unsupported::NoSeries),
        false => Ok(program),
    }
}

#[derive(Default)]
struct Compiler {
    leaves: Vec<Leaf>,
    subqueries: Vec<Subquery>,
    ops: Vec<Op>,
    /// How much earlier than now the program may be run, at the steps of a subquery; 0 outside of one.
    back_ms: i64,
    in_subquery: bool,
    /// What is compiled is beside the query, and has room of its own.
    is_compared: bool,
}

impl Compiler {
    fn vectors<'q>(&mut self, queries: impl Iterator<Item = &'q Query>) -> Compiled<Vec<usize>> {
        let mut queries = queries;
        queries.try_fold(Vec::new(), |mut slots, query| {
            slots.push(self.vector(query.plan(), 0)?);
            Ok(slots)
        })
    }

    /// Error: this is too deep.
    fn check_depth(&self, depth: usize) -> Compiled<()> {
        let (ops_max, depth_max) = self.maxima();
        match depth > depth_max {
            true => Err(Unsupported::TooLarge { ops_max, depth_max }),
            false => Ok(()),
        }
    }

    /// How many operations, and how deeply nested, what is compiled may have.
    fn maxima(&self) -> (usize, usize) {
        match self.is_compared {
            true => (
                COMPILED_OPS_MAX * COMPARED_OPS_TIMES,
                COMPILED_DEPTH_MAX + COMPARED_DEPTH,
            ),
            false => (COMPILED_OPS_MAX, COMPILED_DEPTH_MAX),
        }
    }

    fn finish(self, root: Root, parts: Vec<usize>, not_finite: Vec<usize>) -> Program {
        let Compiler {
            leaves,
            subqueries,
            ops,
            ..
        } = self;
        Program {
            root,
            parts,
            compared: Vec::new(),
            not_finite,
            vectors: ops.iter().map(|_| Vector::default()).collect(),
            scalars: vec![f64::NAN; ops.len()],
            links: ops.iter().map(|_| Links::None).collect(),
            leaves,
            subqueries,
            ops,
        }
    }

    /// The slot of an op: that of an equal one, if there is one.
    fn emit(&mut self, op: Op) -> Compiled<usize> {
        if let Some(at) = self.ops.iter().position(|have| *have == op) {
            return Ok(at);
        }
        let (ops_max, depth_max) = self.maxima();
        if self.ops.len() >= ops_max {
            return Err(Unsupported::TooLarge { ops_max, depth_max });
        }
        self.ops.push(op);
        Ok(self.ops.len() - 1)
    }

    fn leaf(&mut self, source: Source, function: Option<Function>) -> usize {
        let same = |leaf: &Leaf| leaf.source == source && leaf.function == function;
        if let Some(at) = self.leaves.iter().position(same) {
            return at;
        }
        let reads = match function {
            None => Reads::Instant(Instant::default()),
            Some(function) => Reads::Window(Box::new(Window::new(function))),
        };
        self.leaves.push(Leaf {
            source,
            function,
            reads,
            folds: Folds::default(),
        });
        self.leaves.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is compiled beside a query has room of its own, and its refusal named the query's.
    #[test]
    fn what_is_too_large_is_told_the_limit_that_it_exceeds() {
        for (is_compared, says) in [(false, "512 operations"), (true, "2048 operations")] {
            let compiler = Compiler {
                is_compared,
                ..Compiler::default()
            };
            let refused = compiler.check_depth(1_000).expect_err("it is too deep");
            assert!(refused.to_string().contains(says), "{refused}");
        }
    }
}
