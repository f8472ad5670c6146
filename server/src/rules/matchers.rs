//! What a caller selects, as the matchers that a rule's query is given.

use std::collections::BTreeMap;

use stillwell_adapters::objects::{Requirement, Selector};
use stillwell_engine::labels::quote_regex;
use stillwell_engine::promql::QueryError;

/// `.LabelMatchers` and `.LabelValuesByName`, under construction.
///
/// Values are escaped, which the adapter leaves out: a value is a value here, never a piece of a pattern or of a query.
#[derive(Debug, Default)]
pub(super) struct Matchers {
    terms: Vec<String>,
    values: BTreeMap<String, String>,
}

/// Objects by name.
#[derive(Clone, Copy, Debug)]
pub enum Objects<'a> {
    /// One of them.
    One(&'a str),
    /// These.
    Named(&'a [String]),
    /// All of the kind.
    All,
}

impl Matchers {
    /// The caller's terms in their order. Error: one that series have no matcher for.
    pub(super) fn of(selector: &Selector) -> Result<Matchers, QueryError> {
        let mut matchers = Matchers::default();
        for requirement in selector.requirements() {
            let (key, operator, value) = match requirement {
                Requirement::Exists(key) => (key, "!=", String::new()),
                Requirement::Absent(key) => (key, "=", String::new()),
                Requirement::Equal(key, value) => (key, "=", value.clone()),
                Requirement::NotEqual(key, value) => (key, "!=", value.clone()),
                Requirement::In(key, any) => (key, "=~", alternatives(any)),
                Requirement::NotIn(key, any) => (key, "!~", alternatives(any)),
                Requirement::Greater(key, _) | Requirement::Less(key, _) => {
                    return Err(QueryError::Execution(format!(
                        "{key}: labels of series have no order (> and <)"
                    )));
                }
            };
            matchers.add(key, operator, value);
        }
        Ok(matchers)
    }

    /// And this label has this value.
    pub(super) fn equal(mut self, label: &str, value: &str) -> Matchers {
        self.add(label, "=", value.to_owned());
        self
    }

    /// And this label names these objects.
    pub(super) fn objects(mut self, label: &str, objects: Objects<'_>) -> Matchers {
        match objects {
            Objects::One(name) => self.add(label, "=", name.to_owned()),
            Objects::Named([name]) => self.add(label, "=", name.clone()),
            Objects::Named(names) => self.add(label, "=~", alternatives(names)),
            Objects::All => self.add(label, "=~", ".+".to_owned()),
        }
        self
    }

    /// The text, and the values by label.
    pub(super) fn finish(self) -> (String, BTreeMap<String, String>) {
        (self.terms.join(","), self.values)
    }

    fn add(&mut self, label: &str, operator: &str, value: String) {
        let term = match label.contains(is_quoted_in_names) {
            true => format!("{}{operator}{}", quoted(label), quoted(&value)),
            false => format!("{label}{operator}{}", quoted(&value)),
        };
        self.terms.push(term);
        self.values.insert(label.to_owned(), piece(&value));
    }
}

/// Whether a name with it is written in quotes (`app.kubernetes.io/name`), as Prometheus 3 has them.
fn is_quoted_in_names(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '_'
}

/// A value as a template may set it into quotes of its own, as a text or as a pattern: what names of objects have beside letters
/// and digits means itself in both, and nothing ends the quotes.
fn piece(value: &str) -> String {
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            // Of a pattern: what was escaped stands in brackets, which takes no backslash.
            '\\' => match chars.next() {
                Some(escaped) if escaped != '^' && !may_end(escaped) => {
                    out.extend(['[', escaped, ']']);
                }
                _ => out.push('.'),
            },
            c if may_end(c) => out.push('.'),
            c => out.push(c),
        }
    }
    out
}

/// Whether it may end what a template sets a value into.
fn may_end(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\\' | '\n' | '(' | ')' | '{' | '}')
}

/// A string literal of PromQL.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn alternatives(values: &[String]) -> String {
    let escaped: Vec<String> = values.iter().map(|value| quote_regex(value)).collect();
    escaped.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_become_matchers_in_their_order() {
        let selector = Selector::parse("a=1,b!=2,c in (x,y.z),d notin (q),e,!f").expect("valid");
        let matchers = Matchers::of(&selector)
            .expect("no order")
            .equal("ns", "default");
        let names = ["p.1".to_owned(), "p2".to_owned()];
        let (text, values) = matchers.objects("pod", Objects::Named(&names)).finish();
        assert_eq!(
            text,
            r#"a="1",b!="2",c=~"x|y\\.z",d!~"q",e!="",f="",ns="default",pod=~"p\\.1|p2""#
        );
        assert_eq!(values["c"], "x|y[.]z");
        assert_eq!(values["ns"], "default");
        assert_eq!(Matchers::default().finish().0, "");
        // A key of Kubernetes is no name that stands without quotes.
        let key = Matchers::default().equal("app.kubernetes.io/name", "x");
        assert_eq!(key.finish().0, r#""app.kubernetes.io/name"="x""#);
        let ordered = Selector::parse("a=1,b>2").expect("valid");
        assert!(Matchers::of(&ordered).is_err());
        let odd = Matchers::default().equal("a", "\"\\\n");
        assert_eq!(odd.finish().0, r#"a="\"\\\n""#);
    }

    /// An object called `x"} or sum(...` was a piece of a query, and names with dots in a list were none that parses.
    #[test]
    fn a_value_in_the_quotes_of_a_template_stays_one() {
        for (objects, piece) in [
            (Objects::One("p-1.a"), "p-1.a"),
            (Objects::One("x\"} or sum(y{a=~\"z"), "x.. or sum.y.a=~.z"),
            (Objects::One("a\\"), "a."),
            (
                Objects::Named(&["ip-10.ec2.internal".to_owned(), "b".to_owned()]),
                "ip-10[.]ec2[.]internal|b",
            ),
            (
                Objects::Named(&["a\"(".to_owned(), "b^".to_owned()]),
                "a..|b.",
            ),
            (Objects::All, ".+"),
        ] {
            let (_, values) = Matchers::default().objects("pod", objects).finish();
            assert_eq!(values["pod"], piece, "{objects:?}");
        }
    }
}
