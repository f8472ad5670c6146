//! Label selectors as the HPA writes them: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.

use std::fmt;

use stillwell_engine::labels::Labels;

/// A selector text is part of a URL; Kubernetes' own objects are far below this.
const SELECTOR_BYTES_MAX: usize = 64 << 10;

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// Reads a selector; an empty text fits everything.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(SelectorError {
                at: 0,
                reason: "longer than 64 KiB",
            });
        }
        let mut parser = Parser { text, at: 0 };
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

    /// The labels of which only one value fits.
    pub fn pins(&self) -> Vec<(String, String)> {
        let single = |requirement: &Requirement| match &requirement.test {
            Test::In(values) if values.len() == 1 => {
                Some((requirement.key.clone(), values[0].clone()))
            }
            _ => None,
        };
        self.0.iter().filter_map(single).collect()
    }

    /// Whether the labels fit. As in Kubernetes an absent label fits `!=` and `notin`.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            let among =
                |values: &[String]| value.is_some_and(|have| values.iter().any(|v| v == have));
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => {
                    among(values) || (value.is_none() && values.iter().any(String::is_empty))
                }
                Test::NotIn(values) => !among(values),
            }
        })
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
        write!(
            f,
            "labelSelector: expected {} at byte {}",
            self.reason, self.at
        )
    }
}

impl std::error::Error for SelectorError {}

struct Parser<'t> {
    text: &'t str,
    at: usize,
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
        let test = if absent { Test::Absent } else { self.test()? };
        Ok(Requirement { key, test })
    }

    fn test(&mut self) -> Result<Test, SelectorError> {
        for (sign, equal) in [("==", true), ("=", true), ("!=", false)] {
            if self.rest().starts_with(sign) {
                self.at += sign.len();
                self.skip_spaces();
                let value = vec![self.word().to_owned()];
                return Ok(if equal {
                    Test::In(value)
                } else {
                    Test::NotIn(value)
                });
            }
        }
        if self.rest().starts_with(['>', '<']) {
            return Err(self.refuse("=, ==, !=, in or notin (labels of samples have no order)"));
        }
        let start = self.at;
        match self.word() {
            "" => Ok(Test::Exists),
            "in" => self.values().map(Test::In),
            "notin" => self.values().map(Test::NotIn),
            _ => {
                self.at = start;
                Err(self.refuse("=, ==, !=, in, notin or a comma"))
            }
        }
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
        ] {
            assert_eq!(
                Selector::parse(text).map(|s| s.matches(&labels)),
                Ok(fits),
                "{text:?}"
            );
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
            ("a>1", 1),
            ("a<1", 1),
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
    }
}
