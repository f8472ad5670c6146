//! Queries over the families of the world, as text, with what a reader of the rules knows of them.

use stillwell_engine::signal::Policy;

use super::world::{FAMILIES, OnPage};

/// An expression without labels, or 0 where there is nothing of it.
pub(crate) fn or_zero(text: &str) -> String {
    format!("(({text}) or on () vector(0))")
}

/// One of the largest parts of a query in which nothing is left out.
pub(crate) struct Operand {
    pub(crate) text: String,
    /// Whether it is 0 where there is nothing of it.
    pub(crate) may_be_zero: bool,
    /// It has no groups.
    pub(crate) is_one_number: bool,
}

/// Whether an operator between vectors may leave something out.
fn leaves_out(op: &str) -> bool {
    compares(op) || op.starts_with("and") || op.starts_with("unless")
}

/// Whether it is a comparison that may.
fn compares(op: &str) -> bool {
    op.starts_with(['>', '<', '=', '!']) && !op.contains("bool")
}

/// A family with matchers.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    pub(crate) family: usize,
    pub(crate) matchers: Vec<&'static str>,
}

/// Series.
#[derive(Clone, Debug)]
pub(crate) enum Series {
    Instant(Selector),
    /// A function of a range, in seconds.
    Range(&'static str, Selector, u8),
    Or(Selector, Selector),
    /// An operator with its matching.
    Joined(&'static str, Selector, Selector),
    /// A comparison with its number.
    Compared(Selector, &'static str, u16),
}

/// A query.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Aggregate(&'static str, &'static str, Series),
    Plain(Series),
    /// An operator between two.
    Both(&'static str, Box<Ask>, Box<Ask>),
    OrZero(Box<Ask>),
    /// `Q OP NUMBER`.
    With(Box<Ask>, &'static str, u16),
    ClampMin(Box<Ask>, u16),
    /// `max_over_time` of so many seconds of it.
    Peak(Box<Ask>, u8),
}

impl Selector {
    pub(crate) fn text(&self) -> String {
        let name = FAMILIES[self.family].name;
        match self.matchers.as_slice() {
            [] => name.to_owned(),
            matchers => format!("{name}{{{}}}", matchers.join(",")),
        }
    }

    /// Whether its conditions on labels of targets leave a target.
    pub(crate) fn is_of(&self, page: &OnPage) -> bool {
        self.matchers.iter().all(|matcher| match *matcher {
            "job=\"j0\"" => page.job == 0,
            "instance=\"t1\"" => page.uid == 1,
            "inference_pool=\"a\"" => page.pool.is_none_or(|pool| pool == "a"),
            _ => true,
        })
    }

    /// Whether its conditions leave something that a target has.
    pub(crate) fn may_read(&self, page: &OnPage) -> bool {
        let fits = |model: &str| {
            self.matchers.iter().all(|matcher| match *matcher {
                "model_name=\"m\"" => model == "m",
                "model_name!=\"m\"" => model != "m",
                "model_name=~\"m|n\"" => model != "o",
                _ => true,
            })
        };
        self.is_of(page) && page.models().any(fits)
    }
}

impl Series {
    fn text(&self) -> String {
        match self {
            Series::Instant(one) => one.text(),
            Series::Range(function, one, seconds) => {
                format!("{function}({}[{seconds}s])", one.text())
            }
            Series::Or(a, b) => format!("({} or {})", a.text(), b.text()),
            Series::Joined(op, a, b) => format!("({} {op} {})", a.text(), b.text()),
            Series::Compared(one, op, number) => format!("({} {op} {number})", one.text()),
        }
    }

    /// As text, each operand as `of` writes it.
    fn write(&self, of: &dyn Fn(Operand) -> String) -> String {
        let of = |text: String| {
            of(Operand {
                text,
                may_be_zero: false,
                is_one_number: false,
            })
        };
        match self {
            Series::Compared(one, op, number) if leaves_out(op) => {
                format!("({} {op} {number})", of(one.text()))
            }
            Series::Joined(op, a, b) if leaves_out(op) => {
                format!("({} {op} {})", of(a.text()), of(b.text()))
            }
            _ => of(self.text()),
        }
    }

    fn selectors<'a>(&'a self, found: &mut Vec<&'a Selector>) {
        match self {
            Series::Instant(one) | Series::Range(_, one, _) | Series::Compared(one, ..) => {
                found.push(one);
            }
            Series::Or(a, b) | Series::Joined(_, a, b) => found.extend([a, b]),
        }
    }
}

impl Ask {
    pub(crate) fn text(&self) -> String {
        self.write_parts(&Series::text, &Ask::text)
    }

    /// As text, each aggregate that is one number as 0 where there is nothing of it.
    pub(crate) fn text_of_zeros(&self) -> String {
        let text = self.write_parts(&Series::text, &Ask::text_of_zeros);
        match self {
            Ask::Aggregate(..) if self.may_be_zero() && self.is_one_number() => or_zero(&text),
            _ => text,
        }
    }

    /// As text, each operand as `of` writes it.
    pub(crate) fn write(&self, of: &dyn Fn(Operand) -> String) -> String {
        if self.may_leave_nothing() {
            return self.write_parts(&|series| series.write(of), &|ask| ask.write(of));
        }
        of(Operand {
            text: self.text(),
            may_be_zero: self.may_be_zero(),
            is_one_number: self.is_one_number(),
        })
    }

    fn write_parts(
        &self,
        of_series: &dyn Fn(&Series) -> String,
        of_ask: &dyn Fn(&Ask) -> String,
    ) -> String {
        match self {
            Ask::Both(op, a, b) => format!("({}) {op} ({})", of_ask(a), of_ask(b)),
            Ask::OrZero(one) => format!("({}) or vector(0)", of_ask(one)),
            Ask::With(one, op, number) => format!("({}) {op} {number}", of_ask(one)),
            Ask::ClampMin(one, number) => format!("clamp_min({}, {number})", of_ask(one)),
            Ask::Peak(one, seconds) => format!("max_over_time(({})[{seconds}s:1s])", of_ask(one)),
            Ask::Plain(series) => of_series(series),
            Ask::Aggregate(op, by, series) => {
                let by = match *by {
                    "" => String::new(),
                    label => format!(" by ({label}) "),
                };
                match of_series(series) {
                    inner if inner.starts_with('(') => format!("{op}{by}{inner}"),
                    inner => format!("{op}{by}({inner})"),
                }
            }
        }
    }

    /// Whether it is 0 where nothing of what it reads is there (S4d).
    fn may_be_zero(&self) -> bool {
        match self {
            Ask::Aggregate(op, _, series) => {
                ["sum", "count", "max"].contains(op)
                    && !matches!(series, Series::Range("rate" | "increase", ..))
            }
            Ask::Plain(_) => false,
            Ask::Both(op, a, b) => {
                ["or", "+", "*"].contains(op) && a.may_be_zero() && b.may_be_zero()
            }
            Ask::OrZero(_) => true,
            Ask::With(one, op, _) => ["*", "/", "+"].contains(op) && one.may_be_zero(),
            Ask::ClampMin(one, _) | Ask::Peak(one, _) => one.may_be_zero(),
        }
    }

    /// Whether operands, or what is left of them, meet by their labels, so that what finds no partner is left out.
    pub(crate) fn matches_labels(&self) -> bool {
        self.any(|one| match one {
            Ask::Both(op, a, b) => {
                *op != "or" && one.may_leave_nothing() && !(a.is_one_number() && b.is_one_number())
            }
            Ask::Aggregate(_, _, series) | Ask::Plain(series) => {
                matches!(series, Series::Joined(op, ..) if leaves_out(op))
            }
            _ => false,
        })
    }

    /// Whether it yields something wherever all is there that it reads.
    pub(crate) fn yields_all(&self) -> bool {
        !self.may_leave_nothing()
            && !self.any(|one| match one {
                Ask::Both(op, a, b) => {
                    *op != "or" && !(a.is_one_number() && b.is_one_number())
                        || *op == "or" && a.ends_with_constant()
                }
                Ask::Aggregate(_, _, series) | Ask::Plain(series) => {
                    matches!(series, Series::Joined(op, ..) if !op.starts_with("or"))
                }
                _ => false,
            })
    }

    fn is_one_number(&self) -> bool {
        match self {
            Ask::Aggregate(_, by, _) => by.is_empty(),
            Ask::Plain(_) => false,
            Ask::Both(_, a, b) => a.is_one_number() && b.is_one_number(),
            Ask::OrZero(one) | Ask::With(one, ..) | Ask::ClampMin(one, _) | Ask::Peak(one, _) => {
                one.is_one_number()
            }
        }
    }

    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Ask)) {
        visit(self);
        match self {
            Ask::Aggregate(..) | Ask::Plain(_) => {}
            Ask::Both(_, a, b) => {
                a.visit(visit);
                b.visit(visit);
            }
            Ask::OrZero(one) | Ask::With(one, ..) | Ask::ClampMin(one, _) | Ask::Peak(one, _) => {
                one.visit(visit);
            }
        }
    }

    fn any(&self, is_so: impl Fn(&Ask) -> bool) -> bool {
        let mut found = false;
        self.visit(&mut |one| found |= is_so(one));
        found
    }

    pub(crate) fn selectors(&self) -> Vec<&Selector> {
        let mut found = Vec::new();
        self.visit(&mut |one| match one {
            Ask::Aggregate(_, _, series) | Ask::Plain(series) => series.selectors(&mut found),
            _ => {}
        });
        found
    }

    /// Whether it looks back, so that what a page hid, or what a process before had, may be in its windows.
    pub(crate) fn has_window(&self) -> bool {
        self.any(|one| match one {
            Ask::Aggregate(_, _, series) | Ask::Plain(series) => {
                matches!(series, Series::Range(..))
            }
            Ask::Peak(..) => true,
            _ => false,
        })
    }

    /// Whether a comparison in it may leave something out.
    pub(crate) fn compares(&self) -> bool {
        self.leaves_out(&|op| compares(op))
    }

    /// The same of `and` and `unless`, too.
    pub(crate) fn may_leave_nothing(&self) -> bool {
        self.leaves_out(&|op| leaves_out(op))
    }

    fn leaves_out(&self, leaves_out: &dyn Fn(&str) -> bool) -> bool {
        self.any(|one| match one {
            Ask::Both(op, ..) | Ask::With(_, op, _) => leaves_out(op),
            Ask::Aggregate(_, _, series) | Ask::Plain(series) => match series {
                Series::Compared(_, op, _) | Series::Joined(op, ..) => leaves_out(op),
                _ => false,
            },
            _ => false,
        })
    }

    /// The family of which it is an aggregate, if it is no more than that and takes all series.
    pub(crate) fn aggregated(&self) -> Option<usize> {
        match self {
            Ask::Aggregate(_, _, Series::Instant(one)) if one.matchers.is_empty() => {
                Some(one.family)
            }
            _ => None,
        }
    }

    /// Whether it counts series: of none 0, and of those that are 0 more.
    pub(crate) fn counts(&self) -> bool {
        self.any(|one| matches!(one, Ask::Aggregate("count", ..)))
    }

    /// Whether a constant at its end says what an absence means.
    pub(crate) fn ends_with_constant(&self) -> bool {
        matches!(self, Ask::OrZero(_))
    }
}

/// A signal: its query, its policy, and what callers pin.
#[derive(Clone, Debug)]
pub(crate) struct Signal {
    pub(crate) ask: Ask,
    pub(crate) policy: Policy,
    pub(crate) pins: Vec<(&'static str, &'static str)>,
}
