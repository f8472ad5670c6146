//! Templates of labels and annotations: `{{ $labels.pod }} waits {{ $value | humanizeDuration }}`.
//!
//! What a template may do is bounded: each of its values and its output have a size, all that the templates of a rule do
//! together has one (`budget`), and its queries are evaluated like the rule's own.

mod budget;
mod functions;

use std::collections::{BTreeMap, HashMap};

use stillwell_engine::labels::Labels;
use stillwell_engine::number_text::push_general;

pub(super) use budget::Budget;
use functions::call;

use crate::template::parse::{Leave, Loop, Node, Operand, Pipeline};
use crate::template::{Delimiters, TemplateError, read};

const DELIMITERS: Delimiters = Delimiters {
    open: "{{",
    close: "}}",
};
/// An annotation, or a text within one, longer than this is none.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Templates with names may use one another, and themselves.
const TEMPLATES_MAX: usize = 10;

/// What a template is given.
pub(super) struct Data<'a> {
    /// Of the element.
    pub(super) labels: &'a Labels,
    /// Of the element.
    pub(super) value: f64,
    /// Of this server.
    pub(super) external_labels: &'a Labels,
    /// Of this server.
    pub(super) external_url: &'a str,
    /// Seconds since the epoch.
    pub(super) now_s: f64,
    /// Evaluates a query at the time of the rule.
    pub(super) query: &'a Evaluate<'a>,
    /// Of all templates of the rule.
    pub(super) budget: &'a Budget<'a>,
}

/// Evaluates a query: the elements of its vector, or why it has none.
pub(super) type Evaluate<'a> = dyn Fn(&str) -> Result<Vec<(Labels, f64)>, String> + 'a;

/// Whether a text can be filled in, as far as that shows without data.
pub(super) fn check(text: &str) -> Result<(), TemplateError> {
    if !text.contains(DELIMITERS.open) {
        return Ok(());
    }
    let nodes = read(text, DELIMITERS)?;
    let mut variables = VARIABLES.map(str::to_owned).to_vec();
    declared(&nodes, &mut variables);
    check_names(&nodes, &variables)
}

/// What every template is given beside its root.
const VARIABLES: [&str; 5] = ["", "labels", "externalLabels", "externalURL", "value"];

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

/// Fills in a text. A template that fails says so in the result, as in Prometheus: an alert is told all the same.
pub(super) fn expand(text: &str, data: &Data<'_>) -> String {
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

fn map(labels: &Labels) -> BTreeMap<String, String> {
    let pairs = labels.iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[derive(Clone, Debug)]
enum Value {
    /// What the template was given.
    Root,
    Nothing,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Map(BTreeMap<String, String>),
    Sample(BTreeMap<String, String>, f64),
    List(Vec<Value>),
}

impl Value {
    /// Go's notion of empty.
    fn holds(&self) -> bool {
        match self {
            Value::Root | Value::Sample(..) => true,
            Value::Nothing => false,
            Value::Text(text) => !text.is_empty(),
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Bool(bool) => *bool,
            Value::Map(entries) => !entries.is_empty(),
            Value::List(items) => !items.is_empty(),
        }
    }

    /// As Go prints it.
    fn text(&self) -> String {
        match self {
            Value::Root | Value::Nothing => String::new(),
            Value::Text(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => {
                let mut out = String::new();
                push_general(&mut out, *number);
                out
            }
            Value::Bool(bool) => bool.to_string(),
            Value::Map(entries) => {
                let pairs = entries
                    .iter()
                    .map(|(name, value)| format!("{name}:{value}"));
                format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
            }
            Value::Sample(labels, value) => {
                format!(
                    "&{{{} {}}}",
                    Value::Map(labels.clone()).text(),
                    Value::Float(*value).text()
                )
            }
            Value::List(items) => {
                let items = items.iter().map(Value::text);
                format!("[{}]", items.collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Bytes, about.
    fn bytes(&self) -> usize {
        const ENTRY: usize = 64;
        let of_map = |entries: &BTreeMap<String, String>| -> usize {
            let entries = entries.iter();
            entries
                .map(|(name, value)| ENTRY + name.len() + value.len())
                .sum()
        };
        ENTRY
            + match self {
                Value::Text(text) => text.len(),
                Value::Map(entries) | Value::Sample(entries, _) => of_map(entries),
                Value::List(items) => items.iter().map(Value::bytes).sum(),
                _ => 0,
            }
    }

    /// As a number, where it is one or reads as one.
    fn number(&self) -> Result<f64, String> {
        match self {
            Value::Int(number) => Ok(*number as f64),
            Value::Float(number) => Ok(*number),
            Value::Text(text) => text.parse().map_err(|_| format!("{text:?} is no number")),
            other => Err(format!("{} is no number", other.text())),
        }
    }
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

/// The functions, for the check that happens before there is data.
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

fn check_names(nodes: &[Node], variables: &[String]) -> Outcome<()> {
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

fn check_pipeline(pipeline: &Pipeline, variables: &[String]) -> Outcome<()> {
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

#[cfg(test)]
mod tests;
