//! What a caller selects, as the matchers that a rule's query is given.

use std::collections::BTreeMap;

use stillwell_adapters::kubernetes::{Requirement, Selector};

/// `.LabelMatchers` and `.LabelValuesByName`: the caller's terms in their order, the namespace last.
///
/// Values are escaped, which the adapter leaves out: a value is a value here, never a piece of a pattern or of a query.
pub(super) fn matchers(
    selector: &Selector,
    namespace: Option<(&str, &str)>,
) -> (String, BTreeMap<String, String>) {
    let (mut terms, mut values) = (Vec::new(), BTreeMap::new());
    for requirement in selector.requirements() {
        let (key, operator, value) = match requirement {
            Requirement::Exists(key) => (key, "!=", String::new()),
            Requirement::Absent(key) => (key, "=", String::new()),
            Requirement::Equal(key, value) => (key, "=", value.clone()),
            Requirement::NotEqual(key, value) => (key, "!=", value.clone()),
            Requirement::In(key, any) => (key, "=~", alternatives(any)),
            Requirement::NotIn(key, any) => (key, "!~", alternatives(any)),
        };
        terms.push(format!("{key}{operator}{value:?}"));
        values.insert(key.clone(), value);
    }
    if let Some((label, namespace)) = namespace {
        terms.push(format!("{label}={namespace:?}"));
        values.insert(label.to_owned(), namespace.to_owned());
    }
    (terms.join(","), values)
}

fn alternatives(values: &[String]) -> String {
    let escaped: Vec<String> = values.iter().map(|value| escape(value)).collect();
    escaped.join("|")
}

fn escape(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_become_matchers_in_their_order() {
        let selector = Selector::parse("a=1,b!=2,c in (x,y.z),d notin (q),e,!f").expect("valid");
        let (text, values) = matchers(&selector, Some(("ns", "default")));
        assert_eq!(
            text,
            r#"a="1",b!="2",c=~"x|y\\.z",d!~"q",e!="",f="",ns="default""#
        );
        assert_eq!(values["c"], r"x|y\.z");
        assert_eq!(values["ns"], "default");
        assert_eq!(matchers(&Selector::default(), None).0, "");
    }
}
