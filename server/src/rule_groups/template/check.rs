//! What is wrong with a template, as far as that shows without data: its syntax, and names of functions and variables.

use super::DELIMITERS;
use crate::template::parse::{Node, Operand, Pipeline};
use crate::template::{TemplateError, read};

/// What every template is given beside its root.
const VARIABLES: [&str; 5] = ["", "labels", "externalLabels", "externalURL", "value"];

/// The functions (`functions`).
const FUNCTIONS: [&str; 45] = [
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "print",
    "println",
    "printf",
    "html",
    "js",
    "urlquery",
    "query",
    "first",
    "label",
    "value",
    "strvalue",
    "args",
    "reReplaceAll",
    "safeHtml",
    "match",
    "title",
    "toUpper",
    "toLower",
    "graphLink",
    "tableLink",
    "sortByLabel",
    "stripPort",
    "stripDomain",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "now",
    "pathPrefix",
    "externalURL",
    "parseDuration",
    "urlQueryEscape",
    "toDuration",
];

/// Whether a text can be filled in, as far as that shows without data.
pub(in crate::rule_groups) fn check(text: &str) -> Result<(), TemplateError> {
    if !text.contains(DELIMITERS.open) {
        return Ok(());
    }
    let nodes = read(text, DELIMITERS)?;
    let mut variables = VARIABLES.map(str::to_owned).to_vec();
    declared(&nodes, &mut variables);
    check_names(&nodes, &variables)
}

/// Adds the names of all variables that a template declares, wherever.
fn declared(nodes: &[Node], names: &mut Vec<String>) {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Emit(_) | Node::Template(..) | Node::Leave(_) => {}
            // It sees none of the variables around it, and nobody sees its own.
            Node::Define(..) => {}
            Node::Set(name, _) => names.push(name.clone()),
            Node::If(_, body, otherwise) => {
                declared(body, names);
                declared(otherwise, names);
            }
            Node::With(name, _, body, otherwise) => {
                names.extend(name.clone());
                declared(body, names);
                declared(otherwise, names);
            }
            Node::Range(range) => {
                names.extend(range.key.clone());
                names.extend(range.value.clone());
                declared(&range.body, names);
                declared(&range.otherwise, names);
            }
        }
    }
}

fn check_names(nodes: &[Node], variables: &[String]) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Leave(_) | Node::Template(_, None, _) => {}
            Node::Template(_, Some(pipeline), _) => check_pipeline(pipeline, variables)?,
            Node::Define(_, body) => {
                let mut own = vec![String::new()];
                declared(body, &mut own);
                check_names(body, &own)?;
            }
            Node::Emit(pipeline) | Node::Set(_, pipeline) => check_pipeline(pipeline, variables)?,
            Node::If(pipeline, body, otherwise) | Node::With(_, pipeline, body, otherwise) => {
                check_pipeline(pipeline, variables)?;
                check_names(body, variables)?;
                check_names(otherwise, variables)?;
            }
            Node::Range(range) => {
                check_pipeline(&range.over, variables)?;
                check_names(&range.body, variables)?;
                check_names(&range.otherwise, variables)?;
            }
        }
    }
    Ok(())
}

fn check_pipeline(pipeline: &Pipeline, variables: &[String]) -> Result<(), TemplateError> {
    for operand in pipeline.commands.iter().flatten() {
        match operand {
            Operand::Function(name, at) if !FUNCTIONS.contains(&name.as_str()) => {
                return Err(TemplateError::new(*at, format!("no function {name}")));
            }
            Operand::Variable(name, _, at) if !variables.contains(name) => {
                return Err(TemplateError::new(*at, format!("no variable ${name}")));
            }
            Operand::Inner(inner) => check_pipeline(inner, variables)?,
            _ => {}
        }
    }
    Ok(())
}
