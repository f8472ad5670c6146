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
    reads: Reads<'a>,
    /// It takes series one by one.
    is_by_series: bool,
    /// Whether it yields something wherever what it reads is there, and is not hidden by a constant.
    is_told: bool,
}

/// What has to be there of what a side reads.
#[derive(Clone)]
enum Reads<'a> {
    One(&'a Selector),
    All(Vec<Reads<'a>>),
    /// Of an `or` one side.
    Any(Vec<Reads<'a>>),
}

impl<'a> Reads<'a> {
    fn of(ask: &'a Ask) -> Reads<'a> {
        match ask {
            Ask::Aggregate(_, _, series) | Ask::Plain(series) => Reads::of_series(series),
            Ask::Both(op, a, b) => Reads::both(op, [Reads::of(a), Reads::of(b)]),
            Ask::OrZero(one) | Ask::With(one, ..) | Ask::ClampMin(one, _) | Ask::Peak(one, _) => {
                Reads::of(one)
            }
        }
    }

    fn of_series(series: &'a Series) -> Reads<'a> {
        match series {
            Series::Instant(one) | Series::Range(_, one, _) | Series::Compared(one, ..) => {
                Reads::One(one)
            }
            Series::Or(a, b) => Reads::both("or", [Reads::One(a), Reads::One(b)]),
            Series::Joined(op, a, b) => Reads::both(op, [Reads::One(a), Reads::One(b)]),
        }
    }

    fn both(op: &str, sides: [Reads<'a>; 2]) -> Reads<'a> {
        match op.starts_with("or") {
            true => Reads::Any(sides.into()),
            false => Reads::All(sides.into()),
        }
    }

    /// Whether a page has it; `None` where it reads nothing of the page's kind.
    fn is_on(&self, page: &OnPage) -> Option<bool> {
        match self {
            Reads::One(one) => {
                let has = families_of(page.server).any(|family| family == one.family);
                (one.is_of(page) && has).then(|| page.proves(one.family))
            }
            Reads::All(all) => {
                let all = all.iter().filter_map(|one| one.is_on(page));
                all.reduce(|one, other| one && other)
            }
            Reads::Any(any) => {
                let any = any.iter().filter_map(|one| one.is_on(page));
                any.reduce(|one, other| one || other)
            }
        }
    }

    fn reads(&self, family: usize) -> bool {
        match self {
            Reads::One(one) => one.family == family,
            Reads::All(sides) | Reads::Any(sides) => sides.iter().any(|one| one.reads(family)),
        }
    }
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
            other.is_told
                && !other.reads.reads(family)
                && other.reads.is_on(page) == Some(true)
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
                let sides = [Reads::of(a), Reads::of(b)];
                beside(reads, (start, middle), sides, false, is_told);
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
        Series::Or(a, b) => {
            let sides = [Reads::One(a), Reads::One(b)];
            beside(reads, (start, middle), sides, true, [true; 2]);
        }
        Series::Joined(op, a, b) if op.starts_with("or") => {
            let sides = [Reads::One(a), Reads::One(b)];
            beside(reads, (start, middle), sides, false, [true; 2]);
        }
        _ => {}
    }
}

/// The selectors from `start` on stand in an `or`, whose other side begins at `middle`; whether each side is told where all is there
/// that it reads.
fn beside<'a>(
    reads: &mut [Read<'a>],
    (start, middle): (usize, usize),
    of_sides: [Reads<'a>; 2],
    is_by_series: bool,
    is_told: [bool; 2],
) {
    let sides = [start..middle, middle..reads.len()];
    let constant = sides.clone().map(|side| {
        let mut side = reads[side].iter();
        side.any(|one| one.has_constant)
    });
    let mut is_told = is_told.into_iter();
    let others = of_sides.map(|reads| Other {
        reads,
        is_by_series,
        is_told: is_told.next() == Some(true),
    });
    for (at, read) in reads.iter_mut().enumerate().skip(start) {
        let other = usize::from(at < middle);
        read.sides.push(others[other].clone());
        read.has_constant |= constant[other];
    }
}
