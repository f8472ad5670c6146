//! Templates run: texts, actions and pipelines, with the variables that they declare.

use std::collections::HashMap;

use super::functions::call;
use super::value::{Value, map};
use super::{DELIMITERS, Data, OUTPUT_BYTES_MAX};
use crate::template::parse::{Leave, Loop, Node, Operand, Pipeline};
use crate::template::{TemplateError, read};

/// Templates with names may use one another, and themselves.
const TEMPLATES_MAX: usize = 10;

/// Fills in a text. A template that fails says so in the result, as in Prometheus: an alert is told all the same.
pub(in crate::rule_groups) fn expand(text: &str, data: &Data<'_>) -> String {
    if !text.contains(DELIMITERS.open) {
        return text.to_owned();
    }
    let filled = read(text, DELIMITERS).and_then(|nodes| {
        let labels = Value::Map(map(data.labels));
        let external = Value::Map(map(data.external_labels));
        let mut run = Run {
            data,
            variables: vec![
                (String::new(), Value::Root),
                ("labels".to_owned(), labels),
                ("externalLabels".to_owned(), external),
                (
                    "externalURL".to_owned(),
                    Value::Text(data.external_url.to_owned()),
                ),
                ("value".to_owned(), Value::Float(data.value)),
            ],
            out: String::new(),
            named: HashMap::new(),
            depth: 0,
            leaving: None,
        };
        name_all(&nodes, &mut run.named);
        run.nodes(&nodes, &Value::Root)?;
        Ok(run.out)
    });
    filled.unwrap_or_else(|error| format!("<error expanding template: {error}>"))
}

type Outcome<T> = Result<T, TemplateError>;

struct Run<'a> {
    data: &'a Data<'a>,
    variables: Vec<(String, Value)>,
    out: String,
    /// Templates with names.
    named: HashMap<&'a str, &'a [Node]>,
    /// Of those within one another.
    depth: usize,
    /// The range around is left.
    leaving: Option<Leave>,
}

impl<'a> Run<'a> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Outcome<()> {
        let scope = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
            if self.leaving.is_some() {
                break;
            }
            if self.out.len() > OUTPUT_BYTES_MAX {
                let why = format!("the result is longer than {OUTPUT_BYTES_MAX} bytes");
                return Err(TemplateError::new(0, why));
            }
        }
        self.variables.truncate(scope);
        Ok(())
    }

    /// Counts a value that was made or copied. Error: it is too long, or too much was done.
    fn counted(&self, value: Value, at: usize) -> Outcome<Value> {
        let failed = |why| TemplateError::new(at, why);
        self.data.budget.spend(value.bytes()).map_err(failed)?;
        match &value {
            Value::Text(text) if text.len() > OUTPUT_BYTES_MAX => Err(failed(format!(
                "a text is longer than {OUTPUT_BYTES_MAX} bytes"
            ))),
            _ => Ok(value),
        }
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Outcome<()> {
        let counted = self.data.budget.spend(size_of::<Node>());
        counted.map_err(|why| TemplateError::new(0, why))?;
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Emit(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.out.push_str(&value.text());
            }
            Node::Set(name, pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                let mut known = self.variables.iter_mut().rev();
                match known.find(|(have, _)| have == name) {
                    Some((_, old)) => *old = value,
                    None => self.variables.push((name.clone(), value)),
                }
            }
            Node::If(condition, body, otherwise) => {
                let holds = self.pipeline(condition, dot)?.holds();
                self.nodes(if holds { body } else { otherwise }, dot)?;
            }
            Node::With(variable, value, body, otherwise) => {
                let value = self.pipeline(value, dot)?;
                if value.holds() {
                    let named = variable.iter().map(|name| (name.clone(), value.clone()));
                    self.scoped(named.collect(), body, &value)?;
                } else {
                    self.nodes(otherwise, dot)?;
                }
            }
            Node::Range(range) => self.range(range, dot)?,
            Node::Define(..) => {}
            Node::Template(name, given, at) => self.template(name, given.as_ref(), *at, dot)?,
            Node::Leave(leave) => self.leaving = Some(*leave),
        }
        Ok(())
    }

    /// A template with a name: it sees what it is given, and no variable of whoever uses it.
    fn template(
        &mut self,
        name: &str,
        given: Option<&Pipeline>,
        at: usize,
        dot: &Value,
    ) -> Outcome<()> {
        let given = match given {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Nothing,
        };
        let Some(body) = self.named.get(name).copied() else {
            return Err(TemplateError::new(
                at,
                format!("template {name:?} not defined"),
            ));
        };
        self.depth += 1;
        if self.depth > TEMPLATES_MAX {
            let why = format!("templates within templates, more than {TEMPLATES_MAX} deep");
            return Err(TemplateError::new(at, why));
        }
        let seen = vec![(String::new(), given.clone())];
        let outside = std::mem::replace(&mut self.variables, seen);
        self.nodes(body, &given)?;
        self.variables = outside;
        self.depth -= 1;
        Ok(())
    }

    fn scoped(&mut self, named: Vec<(String, Value)>, body: &[Node], dot: &Value) -> Outcome<()> {
        let scope = self.variables.len();
        self.variables.extend(named);
        self.nodes(body, dot)?;
        self.variables.truncate(scope);
        Ok(())
    }

    fn range(&mut self, range: &Loop, dot: &Value) -> Outcome<()> {
        let items: Vec<(Value, Value)> = match self.pipeline(&range.over, dot)? {
            Value::List(items) => {
                let numbered = items.into_iter().enumerate();
                numbered
                    .map(|(at, item)| (Value::Int(at as i64), item))
                    .collect()
            }
            Value::Map(entries) => {
                let pairs = entries.into_iter();
                pairs
                    .map(|(key, value)| (Value::Text(key), Value::Text(value)))
                    .collect()
            }
            Value::Nothing => Vec::new(),
            other => {
                let why = format!("range needs a list or a map, not {}", other.text());
                return Err(TemplateError::new(range.over.at, why));
            }
        };
        if items.is_empty() {
            return self.nodes(&range.otherwise, dot);
        }
        for (key, value) in items {
            let mut named = Vec::new();
            if let Some(name) = &range.key {
                named.push((name.clone(), key));
            }
            if let Some(name) = &range.value {
                named.push((name.clone(), value.clone()));
            }
            self.scoped(named, &range.body, &value)?;
            if self.leaving.take() == Some(Leave::Break) {
                break;
            }
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Outcome<Value> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last, pipeline.at)?);
        }
        Ok(last.unwrap_or(Value::Nothing))
    }

    fn command(
        &mut self,
        operands: &[Operand],
        dot: &Value,
        piped: Option<Value>,
        at: usize,
    ) -> Outcome<Value> {
        let Some((first, rest)) = operands.split_first() else {
            return Err(TemplateError::new(at, "an empty command"));
        };
        if let Operand::Function(name, at) = first {
            let mut args = Vec::with_capacity(rest.len() + 1);
            for operand in rest {
                args.push(self.operand(operand, dot)?);
            }
            args.extend(piped);
            let called = call(name, &args, self.data);
            let called = called.map_err(|why| TemplateError::new(*at, why))?;
            return self.counted(called, *at);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(TemplateError::new(at, "only a function takes arguments"));
        }
        self.operand(first, dot)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Outcome<Value> {
        match operand {
            Operand::Text(text) => Ok(Value::Text(text.clone())),
            Operand::Number(number) => Ok(Value::Int(*number)),
            Operand::Float(number) => Ok(Value::Float(*number)),
            Operand::Bool(bool) => Ok(Value::Bool(*bool)),
            Operand::Inner(pipeline) => self.pipeline(pipeline, dot),
            Operand::Field(fields, at) => {
                let value = self.counted(dot.clone(), *at)?;
                self.fields(value, fields, *at)
            }
            Operand::Variable(name, fields, at) => {
                let known = self.variables.iter().rev();
                let known = known.into_iter().find(|(have, _)| have == name);
                let value = known.map(|(_, value)| value.clone());
                let value =
                    value.ok_or_else(|| TemplateError::new(*at, format!("no variable ${name}")))?;
                let value = self.counted(value, *at)?;
                self.fields(value, fields, *at)
            }
            Operand::Function(name, at) => {
                let called = call(name, &[], self.data);
                let called = called.map_err(|why| TemplateError::new(*at, why))?;
                self.counted(called, *at)
            }
        }
    }

    fn fields(&self, mut value: Value, fields: &[String], at: usize) -> Outcome<Value> {
        for field in fields {
            value = match (&value, field.as_str()) {
                (Value::Root, "Labels") => Value::Map(map(self.data.labels)),
                (Value::Root, "ExternalLabels") => Value::Map(map(self.data.external_labels)),
                (Value::Root, "ExternalURL") => Value::Text(self.data.external_url.to_owned()),
                (Value::Root, "Value") => Value::Float(self.data.value),
                // A label that is not there is empty.
                (Value::Map(entries), name) => {
                    Value::Text(entries.get(name).cloned().unwrap_or_default())
                }
                (Value::Sample(labels, _), "Labels") => Value::Map(labels.clone()),
                (Value::Sample(_, value), "Value") => Value::Float(*value),
                (value, name) => {
                    let why = format!("{} has no field {name}", value.text());
                    return Err(TemplateError::new(at, why));
                }
            };
        }
        Ok(value)
    }
}

/// What `define` gives names to, wherever; of one name the last.
fn name_all<'n>(nodes: &'n [Node], named: &mut HashMap<&'n str, &'n [Node]>) {
    for node in nodes {
        match node {
            Node::Define(name, body) => {
                named.insert(name, body);
                name_all(body, named);
            }
            Node::If(_, body, otherwise) | Node::With(_, _, body, otherwise) => {
                name_all(body, named);
                name_all(otherwise, named);
            }
            Node::Range(range) => {
                name_all(&range.body, named);
                name_all(&range.otherwise, named);
            }
            _ => {}
        }
    }
}
