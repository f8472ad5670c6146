//! Label selectors as the HPA writes them: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.

use std::fmt;

use stillwell_engine::labels::Labels;

/// A selector text is part of a URL; Kubernetes' own objects are far below this.
const SELECTOR_BYTES_MAX: usize = 64 << 10;

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// `k`
    Exists(String),
    /// `!k`
    Absent(String),
    /// `k=v`, `k==v`
    Equal(String, String),
    /// `k!=v`
    NotEqual(String, String),
    /// `k in (v, w)`
    In(String, Vec<String>),
    /// `k notin (v, w)`
    NotIn(String, Vec<String>),
    /// `k>1`: a label that is an integer, and a greater one
    Greater(String, i64),
    /// `k<1`
    Less(String, i64),
}

impl Selector {
    /// Reads a selector of objects; an empty text fits everything.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        Selector::read(text, true)
    }

    /// Reads a selector of a metric's labels, which knows no `>` and `<`: there is no such matcher of series, and
    /// prometheus-adapter refuses them too.
    pub fn parse_of_metric(text: &str) -> Result<Selector, SelectorError> {
        Selector::read(text, false)
    }

    fn read(text: &str, is_ordered: bool) -> Result<Selector, SelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(SelectorError {
                at: 0,
                reason: "longer than 64 KiB",
            });
        }
        let mut parser = Parser {
            text,
            at: 0,
            is_ordered,
        };
        let mut requirements = Vec::new();
        parser.skip_spaces();
        while parser.at < text.len() {
            requirements.push(parser.requirement()?);
            parser.skip_spaces();
            if parser.at < text.len() {
                parser.expect(',', "a comma or the end")?;
                parser.skip_spaces();
                if parser.at == text.len() {
                    return Err(parser.refuse("a requirement after the comma"));
                }
            }
        }
        Ok(Selector(requirements))
    }

    /// Its conditions, in order.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// With one more condition: this label has this value.
    pub fn and_equal(mut self, label: &str, value: &str) -> Selector {
        self.0
            .push(Requirement::Equal(label.to_owned(), value.to_owned()));
        self
    }

    /// With the values that are asked for, or not (`=`, `in`, `!=`, `notin`), replaced by what `replace` says of each label and value.
    pub fn with_values<E>(
        mut self,
        mut replace: impl FnMut(&str, &str) -> Result<String, E>,
    ) -> Result<Selector, E> {
        for requirement in &mut self.0 {
            match requirement {
                Requirement::Equal(label, value) | Requirement::NotEqual(label, value) => {
                    *value = replace(label, value)?;
                }
                Requirement::In(label, values) | Requirement::NotIn(label, values) => {
                    for value in values {
                        *value = replace(label, value)?;
                    }
                }
                _ => {}
            }
        }
        Ok(self)
    }

    /// The labels of which only one value fits.
    pub fn pins(&self) -> Vec<(String, String)> {
        let single = |requirement: &Requirement| match requirement {
            Requirement::Equal(key, value) => Some((key.clone(), value.clone())),
            Requirement::In(key, values) if values.len() == 1 => {
                Some((key.clone(), values[0].clone()))
            }
            _ => None,
        };
        self.0.iter().filter_map(single).collect()
    }

    /// With a condition before all others: this label has this value.
    pub fn after_equal(mut self, label: &str, value: &str) -> Selector {
        let first = Requirement::Equal(label.to_owned(), value.to_owned());
        self.0.insert(0, first);
        self
    }

    /// Whether the labels fit. Empty and absent are the same; an absent label fits `!=` and `notin`.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0
            .iter()
            .all(|requirement| requirement.matches(|key| labels.get(key)))
    }
}

impl Requirement {
    /// Of which label.
    pub fn label(&self) -> &str {
        match self {
            Requirement::Exists(key)
            | Requirement::Absent(key)
            | Requirement::Equal(key, _)
            | Requirement::NotEqual(key, _)
            | Requirement::In(key, _)
            | Requirement::NotIn(key, _)
            | Requirement::Greater(key, _)
            | Requirement::Less(key, _) => key,
        }
    }

    /// The value, where only one fits.
    pub fn wanted(&self) -> Option<&str> {
        match self {
            Requirement::Equal(_, value) => Some(value),
            Requirement::In(_, values) if values.len() == 1 => values.first().map(String::as_str),
            _ => None,
        }
    }

    /// Whether labels of a sample fit, as [`Selector::matches`].
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let value = |key: &String| label(key).unwrap_or("");
        match self {
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
            Requirement::Equal(key, wanted) => value(key) == wanted,
            Requirement::NotEqual(key, wanted) => value(key) != wanted,
            Requirement::In(key, wanted) => wanted.iter().any(|one| one == value(key)),
            Requirement::NotIn(key, wanted) => wanted.iter().all(|one| one != value(key)),
            Requirement::Greater(key, than) => integer(label(key)).is_some_and(|n| n > *than),
            Requirement::Less(key, than) => integer(label(key)).is_some_and(|n| n < *than),
        }
    }
}

impl Selector {
    /// Whether the labels of an object fit, as the API server judges them: an empty value is a value, and only an absent
    /// label fits `!=` and `notin`.
    pub fn matches_object<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
            Requirement::Equal(key, wanted) => label(key) == Some(wanted),
            Requirement::NotEqual(key, wanted) => label(key) != Some(wanted),
            Requirement::In(key, wanted) => {
                label(key).is_some_and(|have| wanted.iter().any(|one| one == have))
            }
            Requirement::NotIn(key, wanted) => {
                label(key).is_none_or(|have| wanted.iter().all(|one| one != have))
            }
            Requirement::Greater(key, than) => integer(label(key)).is_some_and(|n| n > *than),
            Requirement::Less(key, than) => integer(label(key)).is_some_and(|n| n < *than),
        })
    }
}

/// What `>` and `<` compare; a label that is no integer fits neither (`Requirement.Matches` of apimachinery).
fn integer(label: Option<&str>) -> Option<i64> {
    label?.parse().ok()
}

/// As it can be parsed.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

/// As it can be parsed.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Requirement::Exists(key) => write!(f, "{key}"),
            Requirement::Absent(key) => write!(f, "!{key}"),
            Requirement::Equal(key, value) => write!(f, "{key}={value}"),
            Requirement::NotEqual(key, value) => write!(f, "{key}!={value}"),
            Requirement::In(key, values) => write!(f, "{key} in ({})", values.join(",")),
            Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", values.join(",")),
            Requirement::Greater(key, than) => write!(f, "{key}>{than}"),
            Requirement::Less(key, than) => write!(f, "{key}<{than}"),
        }
    }
}

/// Where and why a selector does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorError {
    /// Byte offset.
    pub at: usize,
    /// What was expected there.
    pub reason: &'static str,
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.reason, self.at)
    }
}

impl std::error::Error for SelectorError {}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// Whether `>` and `<` are known.
    is_ordered: bool,
}

impl<'t> Parser<'t> {
    fn refuse(&self, reason: &'static str) -> SelectorError {
        SelectorError {
            at: self.at,
            reason,
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn expect(&mut self, wanted: char, reason: &'static str) -> Result<(), SelectorError> {
        if !self.rest().starts_with(wanted) {
            return Err(self.refuse(reason));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || "-_./:".contains(c)))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.rest().starts_with('!');
        if absent {
            self.at += 1;
            self.skip_spaces();
        }
        let key = self.word().to_owned();
        if key.is_empty() {
            return Err(self.refuse("a label name"));
        }
        self.skip_spaces();
        if absent {
            Ok(Requirement::Absent(key))
        } else {
            self.test(key)
        }
    }

    fn test(&mut self, key: String) -> Result<Requirement, SelectorError> {
        for (sign, equal) in [("==", true), ("=", true), ("!=", false)] {
            if self.rest().starts_with(sign) {
                self.at += sign.len();
                self.skip_spaces();
                let value = self.word().to_owned();
                return Ok(match equal {
                    true => Requirement::Equal(key, value),
                    false => Requirement::NotEqual(key, value),
                });
            }
        }
        if self.rest().starts_with(['>', '<']) {
            return self.comparison(key);
        }
        let start = self.at;
        match self.word() {
            "" => Ok(Requirement::Exists(key)),
            "in" => Ok(Requirement::In(key, self.values()?)),
            "notin" => Ok(Requirement::NotIn(key, self.values()?)),
            _ => {
                self.at = start;
                Err(self.refuse("=, ==, !=, in, notin or a comma"))
            }
        }
    }

    fn comparison(&mut self, key: String) -> Result<Requirement, SelectorError> {
        if !self.is_ordered {
            return Err(self.refuse("=, ==, !=, in or notin (labels of samples have no order)"));
        }
        let is_greater = self.rest().starts_with('>');
        self.at += 1;
        self.skip_spaces();
        let at = self.at;
        let Ok(than) = self.word().parse() else {
            self.at = at;
            return Err(self.refuse("an integer after > or <"));
        };
        Ok(match is_greater {
            true => Requirement::Greater(key, than),
            false => Requirement::Less(key, than),
        })
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        self.skip_spaces();
        self.expect('(', "an opening parenthesis")?;
        let mut values = Vec::new();
        loop {
            self.skip_spaces();
            values.push(self.word().to_owned());
            self.skip_spaces();
            if self.rest().starts_with(',') {
                self.at += 1;
            } else {
                self.expect(')', "a comma or a closing parenthesis")?;
                return Ok(values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::*;

    #[test]
    fn every_operator_of_the_grammar() {
        let labels = labels! { "a" => "1", "app.kubernetes.io/name" => "x" };
        for (text, fits) in [
            ("", true),
            (" ", true),
            ("a=1", true),
            ("a==1", true),
            ("a = 1", true),
            ("a=2", false),
            ("a!=2", true),
            ("a!=1", false),
            ("b!=1", true),
            ("b=", true),
            ("a in (1,2)", true),
            ("a in (2, 3)", false),
            ("a in ()", false),
            ("b in ()", true),
            ("a notin (2)", true),
            ("b notin (2)", true),
            ("a notin (1)", false),
            ("a", true),
            ("b", false),
            ("!b", true),
            ("!a", false),
            ("! b", true),
            ("app.kubernetes.io/name=x,a=1", true),
            ("app.kubernetes.io/name=x,a=2", false),
            ("a,!b , a!=3", true),
            ("a>0", true),
            ("a > 1", false),
            ("a<2,a>0", true),
            ("a<1", false),
            ("b>0", false),
            ("b<9", false),
            ("app.kubernetes.io/name<9", false), // no integer
        ] {
            let selector = Selector::parse(text).expect(text);
            assert_eq!(selector.matches(&labels), fits, "{text:?}");
            let of_object = selector.matches_object(|label| labels.get(label));
            assert!(of_object == fits || text.contains("b"), "{text:?}");
            let shown = selector.to_string();
            assert_eq!(Selector::parse(&shown), Ok(selector), "{shown:?}");
        }
    }

    #[test]
    fn only_single_values_are_pinned() {
        let selector = Selector::parse("a=1,b in (2),c in (3,4),d!=5,e").expect("valid");
        let pins = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(selector.pins(), pins);
    }

    #[test]
    fn what_does_not_parse_names_the_place() {
        for (text, at) in [
            ("a>", 2),
            ("a> x", 3),
            ("a<1.5", 2),
            ("a>99999999999999999999", 2),
            ("a>1>2", 3),
            ("=1", 0),
            ("a=1,", 4),
            ("a in 1", 5),
            ("a in (1", 7),
            ("a b", 2),
            ("!", 1),
            ("a=1 b", 4),
            (",", 0),
        ] {
            assert_eq!(
                Selector::parse(text).map_err(|error| error.at),
                Err(at),
                "{text:?}"
            );
        }
        let of_metric = Selector::parse_of_metric("x=y,a>1");
        assert_eq!(of_metric.map_err(|error| error.at), Err(5));
    }
}
