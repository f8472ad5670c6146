//! Random valid queries: built from the grammar by type, so that most of them have something to say.

use super::Dice;

/// A question to both engines.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The query.
    pub text: String,
    /// When it is asked.
    pub when: When,
}

/// An instant or a range, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum When {
    Instant(i64),
    Range {
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    },
}

/// The case of a seed, asked somewhere around the data of `dataset`.
pub fn case(seed: u64, start_ms: i64, end_ms: i64) -> Case {
    let mut dice = Dice::new(seed);
    let mut text = Builder {
        dice: &mut dice,
        middle_ms: (start_ms + end_ms) / 2,
    }
    .vector(0);
    if dice.once_in(12) {
        text = format!("vector(scalar({text}))");
    }
    let span = (end_ms - start_ms).max(1) as usize;
    let at = |dice: &mut Dice| start_ms + dice.below(span) as i64 / 1000 * 1000;
    let when = if dice.once_in(2) {
        When::Instant(
            at(&mut dice)
                + if dice.once_in(4) {
                    dice.below(1000) as i64
                } else {
                    0
                },
        )
    } else {
        let from = at(&mut dice);
        let step_ms = [1_000, 7_000, 15_000, 60_000][dice.below(4)];
        let steps = 1 + dice.below(60) as i64;
        When::Range {
            start_ms: from,
            end_ms: from + steps * step_ms,
            step_ms,
        }
    };
    Case { text, when }
}

/// Deeper than this only selectors come.
const DEPTH_MAX: usize = 4;

struct Builder<'d> {
    dice: &'d mut Dice,
    middle_ms: i64,
}

impl Builder<'_> {
    fn selector(&mut self) -> String {
        let name = self.dice.choose(&[
            "requests_total",
            "queue",
            "ratio",
            "odd",
            "wait_bucket",
            "build",
            "missing",
        ]);
        let matchers = self.dice.choose(&[
            "",
            "",
            "",
            "{job=\"a\"}",
            "{job=~\"a|b\"}",
            "{instance!=\"2\"}",
            "{instance=~\"[12]\"}",
            "{job=~\".*\",instance!~\"3.*\"}",
        ]);
        if self.dice.once_in(25) {
            return "{__name__=~\"queue|ratio\"}".to_owned();
        }
        format!("{name}{matchers}")
    }

    fn modifiers(&mut self) -> String {
        let mut text = String::new();
        if self.dice.once_in(6) {
            text += self
                .dice
                .choose(&[" offset 30s", " offset -17s", " offset 2m"]);
        }
        if self.dice.once_in(10) {
            let fixed = format!(" @ {}", self.middle_ms as f64 / 1000.0);
            text += self
                .dice
                .choose(&[" @ start()", " @ end()", fixed.as_str()]);
        }
        text
    }

    fn instant(&mut self) -> String {
        self.selector() + &self.modifiers()
    }

    fn matrix(&mut self, depth: usize) -> String {
        if depth < DEPTH_MAX && self.dice.once_in(5) {
            let inner = self.vector(depth + 1);
            let window = self
                .dice
                .choose(&["[1m:10s]", "[2m:15s]", "[90s:7s]", "[3m:]"]);
            return format!("({inner}){window}") + &self.modifiers();
        }
        let range = self
            .dice
            .choose(&["[15s]", "[40s]", "[1m]", "[2m]", "[5m]"]);
        self.selector() + range + &self.modifiers()
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.dice.below(8) {
            0 => "time()".to_owned(),
            1 if depth < DEPTH_MAX => format!("scalar({})", self.vector(depth + 1)),
            2 => "-1.5".to_owned(),
            3 => format!("({} + 1)", self.dice.below(9)),
            _ => self
                .dice
                .choose(&["0", "1", "2", "0.5", "10", "NaN", "Inf", "1e3"])
                .to_owned(),
        }
    }

    fn labels(&mut self) -> &'static str {
        self.dice.choose(&[
            "",
            "job",
            "instance",
            "job, instance",
            "le",
            "__name__",
            "nothing",
        ])
    }

    /// An instant vector.
    fn vector(&mut self, depth: usize) -> String {
        if depth >= DEPTH_MAX {
            return self.instant();
        }
        match self.dice.below(16) {
            0 | 1 => self.instant(),
            2..=4 => self.aggregate(depth),
            5..=7 => self.range_function(depth),
            8 | 9 => self.function(depth),
            10 | 11 => self.arithmetic(depth),
            12 => self.sets(depth),
            13 => format!(
                "histogram_quantile({}, {})",
                self.scalar(depth),
                self.buckets(depth)
            ),
            14 => format!("({})", self.vector(depth + 1)),
            _ => format!("-{}", self.instant()),
        }
    }

    fn buckets(&mut self, depth: usize) -> String {
        match self.dice.below(4) {
            0 => "wait_bucket".to_owned(),
            1 => format!("rate(wait_bucket{})", self.dice.choose(&["[1m]", "[2m]"])),
            2 => "sum by (le) (rate(wait_bucket[1m]))".to_owned(),
            _ => format!("sum by (le, job) ({})", self.vector(depth + 1)),
        }
    }

    fn aggregate(&mut self, depth: usize) -> String {
        let op = self.dice.choose(&[
            "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
        ]);
        let grouping = match self.dice.below(3) {
            0 => String::new(),
            1 => format!(" by ({})", self.labels()),
            _ => format!(" without ({})", self.labels()),
        };
        if self.dice.once_in(6) {
            let quantile = self.dice.choose(&["0", "0.3", "0.5", "0.99", "1", "2"]);
            return format!(
                "quantile{grouping} ({quantile}, {})",
                self.vector(depth + 1)
            );
        }
        if self.dice.once_in(5) {
            let op = self.dice.choose(&["topk", "bottomk"]);
            let k = self.dice.choose(&["1", "2", "3", "0", "100"]);
            return format!("{op}{grouping} ({k}, {})", self.vector(depth + 1));
        }
        if self.dice.once_in(10) {
            return format!(
                "count_values{grouping} (\"value\", {})",
                self.vector(depth + 1)
            );
        }
        format!("{op}{grouping} ({})", self.vector(depth + 1))
    }

    fn range_function(&mut self, depth: usize) -> String {
        let name = self.dice.choose(&[
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "changes",
            "resets",
            "deriv",
            "avg_over_time",
            "sum_over_time",
            "min_over_time",
            "max_over_time",
            "count_over_time",
            "last_over_time",
            "present_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "absent_over_time",
        ]);
        if self.dice.once_in(12) {
            return format!(
                "quantile_over_time({}, {})",
                self.scalar(depth),
                self.matrix(depth)
            );
        }
        if self.dice.once_in(15) {
            return format!(
                "predict_linear({}, {})",
                self.matrix(depth),
                self.scalar(depth)
            );
        }
        format!("{name}({})", self.matrix(depth))
    }

    fn function(&mut self, depth: usize) -> String {
        let inner = self.vector(depth + 1);
        match self.dice.below(9) {
            0 => format!(
                "clamp({inner}, {}, {})",
                self.scalar(depth),
                self.scalar(depth)
            ),
            1 => format!("clamp_max({inner}, {})", self.scalar(depth)),
            2 => format!("round({inner}, {})", self.dice.choose(&["1", "0.1", "5"])),
            3 => format!("label_replace({inner}, \"x\", \"$1-y\", \"job\", \"(.*)\")"),
            4 => format!("label_join({inner}, \"x\", \"-\", \"job\", \"instance\")"),
            5 => format!("absent({inner})"),
            6 => format!("timestamp({inner})"),
            7 => format!(
                "{}({inner})",
                self.dice
                    .choose(&["hour", "day_of_week", "minute", "month", "days_in_month"])
            ),
            _ => {
                let name = self.dice.choose(&[
                    "abs", "ceil", "floor", "sqrt", "sgn", "deg", "rad", "exp", "ln", "log2",
                    "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
                    "asinh", "acosh", "atanh",
                ]);
                format!("{name}({inner})")
            }
        }
    }

    fn operator(&mut self) -> &'static str {
        self.dice.choose(&[
            "+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "> bool", "== bool",
            "atan2",
        ])
    }

    fn arithmetic(&mut self, depth: usize) -> String {
        let operator = self.operator();
        let left = self.vector(depth + 1);
        match self.dice.below(4) {
            0 => format!("{left} {operator} {}", self.scalar(depth)),
            1 => format!("{} {operator} ({left})", self.scalar(depth)),
            2 => {
                let matching = self.dice.choose(&[
                    "on (job)",
                    "on (job, instance)",
                    "ignoring (instance)",
                    "on ()",
                ]);
                let group = self.dice.choose(&[
                    "",
                    " group_left ()",
                    " group_left (version)",
                    " group_right ()",
                ]);
                format!(
                    "({left}) {operator} {matching}{group} ({})",
                    self.vector(depth + 1)
                )
            }
            _ => format!("({left}) {operator} ({})", self.vector(depth + 1)),
        }
    }

    fn sets(&mut self, depth: usize) -> String {
        let operator = self.dice.choose(&["and", "or", "unless"]);
        let matching = self
            .dice
            .choose(&["", "", " on (job)", " ignoring (instance)"]);
        format!(
            "({}) {operator}{matching} ({})",
            self.vector(depth + 1),
            self.vector(depth + 1)
        )
    }
}
