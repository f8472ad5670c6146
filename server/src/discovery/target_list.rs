//! Lists of target groups as files and HTTP servers give them: `[{"targets": ["h:1"], "labels": {"a": "b"}}]`.
//!
//! As strict as Prometheus (discovery/targetgroup): an unknown key or a label that is no text refuses the whole list, so
//! that half a list never replaces a good one.

use stillwell_engine::labels::LabelsBuilder;

use super::json_list::{self, TARGETS_MAX, label};
use crate::scrape::{TargetGroup, address_labels};
use crate::yaml::{self, Kind, Node};

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Reads a list; an error says where and what.
pub fn parse(text: &str, format: ListFormat) -> Result<Vec<TargetGroup>, String> {
    let groups = match format {
        ListFormat::Json => json_list::read(text)?,
        ListFormat::Yaml => from_yaml(text)?,
    };
    let targets: usize = groups.iter().map(|group| group.targets.len()).sum();
    if targets > TARGETS_MAX {
        return Err(format!(
            "{targets} targets; at most {TARGETS_MAX} are taken"
        ));
    }
    Ok(groups)
}

fn from_yaml(text: &str) -> Result<Vec<TargetGroup>, String> {
    let tree = yaml::parse(text).map_err(|problem| problem.to_string())?;
    let items = match &tree.kind {
        Kind::Null => return Ok(Vec::new()),
        Kind::List(items) => items,
        _ => return Err("a list of target groups is expected".to_owned()),
    };
    let group = |item| yaml_group(item).map_err(|(line, why)| format!("line {line}: {why}"));
    items.iter().map(group).collect()
}

fn yaml_group(item: &Node) -> Result<TargetGroup, (usize, String)> {
    let Kind::Map(entries) = &item.kind else {
        let why = "a group must be a mapping with targets and labels";
        return Err((item.line, why.to_owned()));
    };
    let mut group = empty();
    for entry in entries {
        let refuse = |why: &str| (entry.line, why.to_owned());
        match (entry.key.as_str(), &entry.value.kind) {
            ("targets" | "labels", Kind::Null) => {}
            ("targets", Kind::List(targets)) => {
                for target in targets {
                    let target = yaml_text(target).ok_or(refuse("a target must be a text"))?;
                    group.targets.push(address_labels(target));
                }
            }
            ("labels", Kind::Map(labels)) => {
                let mut builder = LabelsBuilder::default();
                for named in labels {
                    let value = yaml_text(&named.value).ok_or(refuse("a label must be a text"))?;
                    label(&mut builder, &named.key, value).map_err(|why| (named.line, why))?;
                }
                group.labels = builder.build();
            }
            ("targets", _) => return Err(refuse("targets must be a list")),
            ("labels", _) => return Err(refuse("labels must be a mapping")),
            (key, _) => {
                let why = format!("unknown key {key:?}; there are targets and labels");
                return Err((entry.line, why));
            }
        }
    }
    Ok(group)
}

fn yaml_text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::Null => Some(""),
        _ => None,
    }
}

fn empty() -> TargetGroup {
    TargetGroup::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, format: ListFormat) -> Result<String, String> {
        let groups = parse(text, format)?;
        let show = |group: &TargetGroup| {
            let targets = group.targets.iter();
            let targets: Vec<&str> = targets.filter_map(|at| at.get("__address__")).collect();
            format!("{}{}", targets.join(","), group.labels)
        };
        Ok(groups.iter().map(show).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn both_formats_say_the_same() {
        let json =
            r#"[{"targets":["a:1","b:2"],"labels":{"x":"1"}},{"targets":[]},{"labels":null}]"#;
        let yaml = "- targets: [a:1, 'b:2']\n  labels: {x: 1}\n- targets: []\n- labels:\n";
        let expected = Ok(r#"a:1,b:2{x="1"} {} {}"#.to_owned());
        assert_eq!(shown(json, ListFormat::Json), expected);
        assert_eq!(shown(yaml, ListFormat::Yaml), expected);
        assert_eq!(shown("", ListFormat::Yaml), Ok(String::new()));
        assert_eq!(shown(" [] ", ListFormat::Json), Ok(String::new()));
    }

    #[test]
    fn half_a_list_is_refused_whole() {
        for (json, says) in [
            ("", "not JSON"),
            ("[{\"targets\":[\"a:1\"]", "not JSON"),
            ("{}", "a list of target groups"),
            (
                "[null]",
                "group 0: invalid type: null, expected an object with targets and labels",
            ),
            (
                r#"[{"targets":[]},{"target":[]}]"#,
                "group 1: unknown key \"target\"",
            ),
            (r#"[{"targets":[1]}]"#, "expected a target as a text"),
            (
                r#"[{"labels":{"a":1}}]"#,
                "expected the value of a label as a text",
            ),
            (r#"[{"labels":{"":"x"}}]"#, "without a name"),
            (r#"[{"targets":"a"}]"#, "expected targets as a list"),
        ] {
            let error = shown(json, ListFormat::Json).expect_err(json);
            assert!(error.contains(says), "{json}: {error}");
        }
        for (yaml, says) in [
            ("a: 1\n", "a list of target groups"),
            ("- 1\n", "line 1: a group must be a mapping"),
            (
                "- targets: [a:1]\n  lables: {}\n",
                "line 2: unknown key \"lables\"",
            ),
            ("- targets: [[a]]\n", "a target must be a text"),
            ("- targets: [a\n", "not YAML"),
        ] {
            let error = shown(yaml, ListFormat::Yaml).expect_err(yaml);
            assert!(error.contains(says), "{yaml}: {error}");
        }
    }
}
