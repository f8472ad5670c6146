//! The tree, filled in.

use std::collections::BTreeMap;

use super::{Arguments, TemplateError};
use crate::template::parse::{Loop, Node, Operand, Pipeline};

/// A query longer than this is none.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

pub(super) fn render(nodes: &[Node], arguments: &Arguments) -> Result<String, TemplateError> {
    let mut run = Run {
        arguments,
        variables: Vec::new(),
        out: String::new(),
    };
    run.nodes(nodes, &Value::Root)?;
    Ok(run.out)
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// What the template was given.
    Root,
    Text(String),
    Number(i64),
    Bool(bool),
    List(Vec<String>),
    Map(BTreeMap<String, String>),
}

impl Value {
    /// Go's notion of empty.
    fn holds(&self) -> bool {
        match self {
            Value::Root => true,
            Value::Text(text) => !text.is_empty(),
            Value::Number(number) => *number != 0,
            Value::Bool(bool) => *bool,
            Value::List(items) => !items.is_empty(),
            Value::Map(entries) => !entries.is_empty(),
        }
    }

    /// As Go prints it.
    fn text(&self) -> String {
        match self {
            Value::Root => String::new(),
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(bool) => bool.to_string(),
            Value::List(items) => format!("[{}]", items.join(" ")),
            Value::Map(entries) => {
                let pairs: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| format!("{key}:{value}"))
                    .collect();
                format!("map[{}]", pairs.join(" "))
            }
        }
    }
}

struct Run<'a> {
    arguments: &'a Arguments,
    variables: Vec<(String, Value)>,
    out: String,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let scope = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
            if self.out.len() > OUTPUT_BYTES_MAX {
                let reason = format!("the result is longer than {OUTPUT_BYTES_MAX} bytes");
                return Err(TemplateError::new(0, reason));
            }
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), TemplateError> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Emit(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.out.push_str(&value.text());
            }
            Node::Set(name, pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                match self
                    .variables
                    .iter_mut()
                    .rev()
                    .find(|(have, _)| have == name)
                {
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
                    self.scoped(
                        variable.as_ref().map(|name| (name, value.clone())),
                        None,
                        body,
                        &value,
                    )?;
                } else {
                    self.nodes(otherwise, dot)?;
                }
            }
            Node::Range(range) => self.range(range, dot)?,
            // They were refused when the template was read.
            Node::Define(..) | Node::Template(..) | Node::Leave(_) => {}
        }
        Ok(())
    }

    fn range(&mut self, range: &Loop, dot: &Value) -> Result<(), TemplateError> {
        let items: Vec<(Value, String)> = match self.pipeline(&range.over, dot)? {
            Value::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| (Value::Number(at as i64), item))
                .collect(),
            Value::Map(entries) => entries
                .into_iter()
                .map(|(key, item)| (Value::Text(key), item))
                .collect(),
            other => {
                let reason = format!("range needs a list or a map, not {:?}", other.text());
                return Err(TemplateError::new(range.over.at, reason));
            }
        };
        if items.is_empty() {
            return self.nodes(&range.otherwise, dot);
        }
        for (key, item) in items {
            let item = Value::Text(item);
            let key = range.key.as_ref().map(|name| (name, key));
            let value = range.value.as_ref().map(|name| (name, item.clone()));
            self.scoped(key, value, &range.body, &item)?;
        }
        Ok(())
    }

    fn scoped(
        &mut self,
        first: Option<(&String, Value)>,
        second: Option<(&String, Value)>,
        body: &[Node],
        dot: &Value,
    ) -> Result<(), TemplateError> {
        let scope = self.variables.len();
        for (name, value) in [first, second].into_iter().flatten() {
            self.variables.push((name.clone(), value));
        }
        self.nodes(body, dot)?;
        self.variables.truncate(scope);
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped, pipeline.at)?);
        }
        piped.ok_or_else(|| TemplateError::new(pipeline.at, "an empty pipeline"))
    }

    fn command(
        &self,
        operands: &[Operand],
        dot: &Value,
        piped: Option<Value>,
        at: usize,
    ) -> Result<Value, TemplateError> {
        if let [Operand::Function(name, at), arguments @ ..] = operands {
            let mut values = Vec::new();
            for operand in arguments {
                values.push(self.operand(operand, dot)?);
            }
            values.extend(piped);
            return call(name, &values).map_err(|reason| TemplateError::new(*at, reason));
        }
        match (operands, piped) {
            ([operand], None) => self.operand(operand, dot),
            _ => Err(TemplateError::new(at, "only a function takes arguments")),
        }
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match operand {
            Operand::Text(text) => Ok(Value::Text(text.clone())),
            Operand::Number(number) => Ok(Value::Number(*number)),
            Operand::Float(number) => Ok(Value::Text(number.to_string())),
            Operand::Bool(bool) => Ok(Value::Bool(*bool)),
            Operand::Inner(pipeline) => self.pipeline(pipeline, dot),
            Operand::Function(name, at) => {
                call(name, &[]).map_err(|reason| TemplateError::new(*at, reason))
            }
            Operand::Field(fields, at) => self.fields(dot, fields, *at),
            Operand::Variable(name, fields, at) if name.is_empty() => {
                self.fields(&Value::Root, fields, *at)
            }
            Operand::Variable(name, fields, at) => {
                let found = self.variables.iter().rev().find(|(have, _)| have == name);
                let (_, value) = found.ok_or_else(|| {
                    TemplateError::new(*at, format!("there is no variable ${name}"))
                })?;
                self.fields(value, fields, *at)
            }
        }
    }

    fn fields(&self, value: &Value, fields: &[String], at: usize) -> Result<Value, TemplateError> {
        let mut value = value.clone();
        for field in fields {
            value = match value {
                Value::Root => self.given(field).ok_or_else(|| {
                    let given = self.arguments;
                    let names = given
                        .texts
                        .keys()
                        .chain(given.maps.keys())
                        .chain(given.lists.keys());
                    let known: Vec<String> = names.map(|name| format!(".{name}")).collect();
                    TemplateError::new(
                        at,
                        format!("there is no .{field}; there are {}", known.join(", ")),
                    )
                })?,
                Value::Map(entries) => Value::Text(entries.get(field).cloned().unwrap_or_default()),
                other => {
                    let reason = format!("{:?} has no field {field}", other.text());
                    return Err(TemplateError::new(at, reason));
                }
            };
        }
        Ok(value)
    }

    fn given(&self, name: &str) -> Option<Value> {
        let given = self.arguments;
        None.or_else(|| given.texts.get(name).map(|text| Value::Text(text.clone())))
            .or_else(|| given.maps.get(name).map(|map| Value::Map(map.clone())))
            .or_else(|| given.lists.get(name).map(|list| Value::List(list.clone())))
    }
}

fn call(name: &str, values: &[Value]) -> Result<Value, String> {
    let needs = |count: usize| {
        if values.len() == count {
            Ok(())
        } else {
            Err(format!(
                "{name} takes {count} arguments, not {}",
                values.len()
            ))
        }
    };
    match name {
        "index" => index(values),
        "len" => {
            needs(1)?;
            let length = match &values[0] {
                Value::Text(text) => text.len(),
                Value::List(items) => items.len(),
                Value::Map(entries) => entries.len(),
                other => return Err(format!("{:?} has no length", other.text())),
            };
            Ok(Value::Number(length as i64))
        }
        "not" => needs(1).map(|()| Value::Bool(!values[0].holds())),
        "and" | "or" => {
            let stops = |value: &&Value| value.holds() == (name == "or");
            let last = values
                .last()
                .ok_or_else(|| format!("{name} needs an argument"))?;
            Ok(values.iter().find(stops).unwrap_or(last).clone())
        }
        "eq" => match values {
            [first, others @ ..] if !others.is_empty() => Ok(Value::Bool(others.contains(first))),
            _ => Err("eq takes at least 2 arguments".to_owned()),
        },
        "ne" => needs(2).map(|()| Value::Bool(values[0] != values[1])),
        "lt" | "le" | "gt" | "ge" => {
            needs(2)?;
            let order = match (&values[0], &values[1]) {
                (Value::Number(a), Value::Number(b)) => a.cmp(b),
                (Value::Text(a), Value::Text(b)) => a.cmp(b),
                _ => return Err(format!("{name} compares two numbers or two texts")),
            };
            Ok(Value::Bool(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        "print" => Ok(Value::Text(values.iter().map(Value::text).collect())),
        "printf" => printf(values),
        _ => Err(format!("there is no function {name}")),
    }
}

fn index(values: &[Value]) -> Result<Value, String> {
    match values {
        [value] => Ok(value.clone()),
        [Value::Map(entries), Value::Text(key)] => {
            Ok(Value::Text(entries.get(key).cloned().unwrap_or_default()))
        }
        [Value::List(items), Value::Number(at)] => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            item.map(|item| Value::Text(item.clone()))
                .ok_or_else(|| format!("index {at} is outside a list of {}", items.len()))
        }
        _ => Err("index takes a map and a text, or a list and a number".to_owned()),
    }
}

fn printf(values: &[Value]) -> Result<Value, String> {
    let [Value::Text(format), rest @ ..] = values else {
        return Err("printf takes a format first".to_owned());
    };
    let (mut out, mut rest) = (String::new(), rest.iter());
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = chars.next().ok_or("printf: a % at the end")?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = rest.next().ok_or("printf: fewer arguments than verbs")?;
        match verb {
            's' | 'v' | 'd' => out.push_str(&value.text()),
            'q' => out.push_str(&format!("{:?}", value.text())),
            other => {
                return Err(format!(
                    "printf: %{other} is not built; there are %s %v %d %q"
                ));
            }
        }
    }
    Ok(Value::Text(out))
}
fn refused(name: &str, at: usize) -> TemplateError {
    let why = format!("the template {name:?}: templates with names are not built here");
    TemplateError::new(at, why)
}

/// Refuses what no rule of prometheus-adapter needs: templates with names, and what leaves a range.
pub(super) fn refuse_named(nodes: &[Node]) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Define(name, _) => return Err(refused(name, 0)),
            Node::Template(name, _, at) => return Err(refused(name, *at)),
            Node::Leave(_) => {
                return Err(TemplateError::new(
                    0,
                    "break and continue are not built here",
                ));
            }
            Node::If(_, body, otherwise) | Node::With(_, _, body, otherwise) => {
                refuse_named(body)?;
                refuse_named(otherwise)?;
            }
            Node::Range(range) => {
                refuse_named(&range.body)?;
                refuse_named(&range.otherwise)?;
            }
            Node::Text(_) | Node::Emit(_) | Node::Set(..) => {}
        }
    }
    Ok(())
}
