//! What a query says may be missing of what it reads (`RULES.md`, S4, "What a target has lost").

use stillwell_engine::signal::Absent;

use crate::ask::{Ask, Selector, Series, Signal};
use crate::world::{FAMILIES, OnPage, Server, families_of};

/// One selector with what stands beside it in the `or`s around it.
struct Read<'a> {
    selector: &'a Selector,
    has_constant: bool,
    sides: Vec<Other<'a>>,
}

/// The other side of an `or`.
#[derive(Clone)]
struct Other<'a> {
    selectors: Vec<&'a Selector>,
    /// It takes series one by one.
    is_by_series: bool,
    /// Whether it yields something wherever what it reads is there, and is not hidden by a constant.
    is_told: bool,
}

/// Whether a signal may be told without what is not on the newest page of a target, although it has it.
pub(crate) fn may_lack(signal: &Signal, page: &OnPage, family: usize, all: &[OnPage]) -> bool {
    if signal.policy.absent == Absent::Zero {
        return true;
    }
    if page.is_empty {
        // A job that has shown nothing so far may be anything.
        let mut of_job = all.iter().filter(|one| one.job == page.job);
        return !of_job.any(|one| one.has_shown[family]);
    }
    if !page.has_shown[family] {
        return true; // nobody can know that it has it
    }
    let mut reads = Vec::new();
    collect(&signal.ask, &mut reads);
    let mut reads = reads
        .iter()
        .filter(|one| one.selector.family == family && one.selector.may_read(page));
    reads.all(|read| {
        let is_read = |one: &OnPage| read.selector.is_of(one) && one.shows(family);
        let stands_in = |other: &Other<'_>| {
            // What another kind of server has is not missing from the page.
            let has = |family: usize| families_of(page.server).any(|one| one == family);
            let own = other.selectors.iter();
            let own = own.filter(|one| one.is_of(page) && has(one.family));
            let mut own = own.peekable();
            other.is_told
                && own.peek().is_some()
                && own.all(|one| page.proves(one.family))
                && (other.is_by_series || !all.iter().any(is_read))
        };
        (read.has_constant && FAMILIES[family].server == Server::Exporter)
            || read.sides.iter().any(stands_in)
    })
}

fn collect<'a>(ask: &'a Ask, reads: &mut Vec<Read<'a>>) {
    match ask {
        Ask::Aggregate(_, _, series) => of_series(series, reads),
        Ask::Plain(series) => of_series(series, reads),
        Ask::Both(op, a, b) => {
            let start = reads.len();
            collect(a, reads);
            let middle = reads.len();
            collect(b, reads);
            if *op == "or" {
                let is_told = [a.yields_all(), b.yields_all() && !a.ends_with_constant()];
                beside(reads, start, middle, false, is_told);
            }
        }
        Ask::OrZero(one) => {
            let start = reads.len();
            collect(one, reads);
            reads[start..]
                .iter_mut()
                .for_each(|one| one.has_constant = true);
        }
        Ask::With(one, ..) | Ask::ClampMin(one, _) | Ask::Peak(one, _) => collect(one, reads),
    }
}

fn of_series<'a>(series: &'a Series, reads: &mut Vec<Read<'a>>) {
    let mut push = |selector| {
        reads.push(Read {
            selector,
            has_constant: false,
            sides: Vec::new(),
        });
    };
    match series {
        Series::Instant(one) | Series::Range(_, one, _) | Series::Compared(one, ..) => push(one),
        Series::Or(a, b) | Series::Joined(_, a, b) => {
            push(a);
            push(b);
        }
    }
    let (start, middle) = (reads.len().saturating_sub(2), reads.len().saturating_sub(1));
    match series {
        Series::Or(..) => beside(reads, start, middle, true, [true; 2]),
        Series::Joined(op, ..) if op.starts_with("or") => {
            beside(reads, start, middle, false, [true; 2]);
        }
        _ => {}
    }
}

/// The selectors from `start` on stand in an `or`, whose other side begins at `middle`; whether each side is told where all is there
/// that it reads.
fn beside(
    reads: &mut [Read<'_>],
    start: usize,
    middle: usize,
    is_by_series: bool,
    is_told: [bool; 2],
) {
    let sides = [start..middle, middle..reads.len()];
    let constant = sides.clone().map(|side| {
        let mut side = reads[side].iter();
        side.any(|one| one.has_constant)
    });
    let others = [0, 1].map(|at| Other {
        selectors: reads[sides[at].clone()]
            .iter()
            .map(|one| one.selector)
            .collect(),
        is_by_series,
        is_told: is_told[at],
    });
    for (at, read) in reads.iter_mut().enumerate().skip(start) {
        let other = usize::from(at < middle);
        read.sides.push(others[other].clone());
        read.has_constant |= constant[other];
    }
}
