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
        self.terms
            .push(format!("{label}{operator}{}", quoted(&value)));
        self.values.insert(label.to_owned(), value);
    }
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
        assert_eq!(values["c"], r"x|y\.z");
        assert_eq!(values["ns"], "default");
        assert_eq!(Matchers::default().finish().0, "");
        let ordered = Selector::parse("a=1,b>2").expect("valid");
        assert!(Matchers::of(&ordered).is_err());
        let odd = Matchers::default().equal("a", "\"\\\n");
        assert_eq!(odd.finish().0, r#"a="\"\\\n""#);
    }
}
