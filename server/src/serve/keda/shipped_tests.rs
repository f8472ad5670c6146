//! The ScaledObjects that are shipped are triggers that are taken.

use std::path::Path;

use stillwell_adapters::keda::{Source, Trigger};
use stillwell_engine::promql::{Features, Query};

use super::resolve::readable;
use crate::yaml::{Kind, Node, parse};

#[test]
fn the_shipped_scaled_objects_are_what_we_take() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/keda");
    let mut triggers = 0;
    for file in std::fs::read_dir(folder).expect("it is shipped") {
        let file = file.expect("readable").path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = file.display();
        let content = std::fs::read_to_string(&file).expect("readable");
        let tree = parse(&content).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        if text(at(&tree, "kind").expect("a kind")) != "ScaledObject" {
            continue;
        }
        let spec = at(&tree, "spec").expect("a spec");
        assert!(
            at(spec, "initialCooldownPeriod").is_some(),
            "{name}: the trap that the README names"
        );
        let Some(Kind::List(list)) = at(spec, "triggers").map(|node| &node.kind) else {
            panic!("{name}: no triggers");
        };
        for trigger in list {
            let Some(Kind::Map(metadata)) = at(trigger, "metadata").map(|node| &node.kind) else {
                panic!("{name}: a trigger without metadata");
            };
            let metadata = metadata
                .iter()
                .map(|entry| (entry.key.clone(), text(&entry.value)));
            let metadata: std::collections::BTreeMap<String, String> = metadata.collect();
            triggers += 1;
            if text(at(trigger, "type").expect("a type")) == "prometheus" {
                assert!(metadata["serverAddress"].ends_with("/guarded"), "{name}");
                Query::parse(&metadata["query"], &Features::default()).expect("PromQL");
                continue;
            }
            let trigger =
                Trigger::parse(&metadata).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            if let Source::Query(query) = &trigger.source {
                readable(&trigger, query).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            }
        }
    }
    assert!(triggers >= 6, "{triggers}");
}

fn at<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value),
        _ => None,
    }
}

fn text(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar { text, .. } => text.clone(),
        _ => panic!("line {}: a single value", node.line),
    }
}
