//! One condition on one label, with Prometheus' meaning: an absent label has the empty value, regular expressions
//! are RE2's and match the whole value.

use std::fmt;
use std::sync::Arc;

use super::re2::{Re2, Re2Error};
use super::set::Labels;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as written in PromQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A condition on the value of one label.
#[derive(Clone)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<str>,
    /// Present exactly for the two regular-expression operators.
    regex: Option<Arc<Re2>>,
}

impl Matcher {
    /// Checks and compiles the condition.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Matcher, MatcherError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                Some(Arc::new(Re2::new(value).map_err(|error| MatcherError {
                    label: name.to_owned(),
                    pattern: value.to_owned(),
                    error,
                })?))
            }
        };
        Ok(Matcher {
            name: Arc::from(name),
            op,
            value: Arc::from(value),
            regex,
        })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: &str, value: &str) -> Matcher {
        Matcher {
            name: Arc::from(name),
            op: MatchOp::Equal,
            value: Arc::from(value),
            regex: None,
        }
    }

    /// The label it looks at.
    #[inline]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    #[inline]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with, as written.
    #[inline]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of this value fits; an absent label has the empty value.
    #[inline]
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => *self.value == *value,
            (MatchOp::NotEqual, _) => *self.value != *value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => {
                unreachable!("`new` compiles every pattern")
            }
        }
    }

    /// Whether a set fits.
    #[inline]
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// The finite set of values that fit, where the pattern is an alternation of literals (`a|b|c`), sorted.
    pub fn literal_values(&self) -> Option<&[String]> {
        match self.op {
            MatchOp::Regex => self.regex.as_ref()?.literals(),
            _ => None,
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (self.op, &self.name, &self.value) == (other.op, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), &*self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A pattern that RE2 would not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherError {
    /// The label whose matcher it is.
    pub label: String,
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub error: Re2Error,
}

impl fmt::Display for MatcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "matcher on label {:?}: pattern {:?}: {}",
            self.label, self.pattern, self.error
        )
    }
}

impl std::error::Error for MatcherError {}
