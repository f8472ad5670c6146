//! Templates of labels and annotations: `{{ $labels.pod }} waits {{ $value | humanizeDuration }}`.
//!
//! What a template may do is bounded: it loops over what it is given, its output has a limit, and its queries are
//! evaluated like the rule's own.

use std::collections::BTreeMap;

use stillwell_engine::labels::{Labels, Re2};
use stillwell_engine::number_text::push_general;

use super::humanize;
use crate::http_client::encode_query;
use crate::template::parse::{Loop, Node, Operand, Pipeline};
use crate::template::{Delimiters, TemplateError, read};

const DELIMITERS: Delimiters = Delimiters {
    open: "{{",
    close: "}}",
};
/// An annotation longer than this is none.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

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
            Node::Text(_) | Node::Emit(_) => {}
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
        };
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
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Outcome<()> {
        let scope = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
            if self.out.len() > OUTPUT_BYTES_MAX {
                let why = format!("the result is longer than {OUTPUT_BYTES_MAX} bytes");
                return Err(TemplateError::new(0, why));
            }
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Outcome<()> {
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
        }
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
            return called.map_err(|why| TemplateError::new(*at, why));
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
            Operand::Field(fields, at) => self.fields(dot.clone(), fields, *at),
            Operand::Variable(name, fields, at) => {
                let known = self.variables.iter().rev();
                let known = known.into_iter().find(|(have, _)| have == name);
                let value = known.map(|(_, value)| value.clone());
                let value =
                    value.ok_or_else(|| TemplateError::new(*at, format!("no variable ${name}")))?;
                self.fields(value, fields, *at)
            }
            Operand::Function(name, at) => {
                call(name, &[], self.data).map_err(|why| TemplateError::new(*at, why))
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
            Node::Text(_) => {}
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

fn call(name: &str, args: &[Value], data: &Data<'_>) -> Result<Value, String> {
    let args = Args { name, all: args };
    let called = core_function(&args)
        .or_else(|| query_function(&args, data))
        .or_else(|| text_function(&args))
        .or_else(|| number_function(&args))
        .or_else(|| server_function(&args, data));
    called.unwrap_or_else(|| Err(format!("no function {name}")))
}

/// A function's name and what it is called with.
struct Args<'a> {
    name: &'a str,
    all: &'a [Value],
}

impl Args<'_> {
    fn one(&self) -> Result<&Value, String> {
        match self.all {
            [one] => Ok(one),
            all => Err(format!(
                "{} takes one argument, not {}",
                self.name,
                all.len()
            )),
        }
    }

    fn text(&self) -> Result<String, String> {
        self.one().map(Value::text)
    }

    fn number(&self) -> Result<f64, String> {
        self.one().and_then(Value::number)
    }
}

/// A function's result; `None` where it is not one of these.
type Called = Option<Result<Value, String>>;

/// What every template of Go has.
fn core_function(args: &Args<'_>) -> Called {
    let all = args.all;
    Some(match args.name {
        "and" => pick(all, |value| !value.holds()),
        "or" => pick(all, Value::holds),
        "not" => args.one().map(|value| Value::Bool(!value.holds())),
        name @ ("eq" | "ne" | "lt" | "le" | "gt" | "ge") => compare(name, all).map(Value::Bool),
        "len" => args.one().and_then(length),
        "index" => index(all),
        "print" => Ok(Value::Text(all.iter().map(Value::text).collect())),
        "println" => {
            let texts: Vec<String> = all.iter().map(Value::text).collect();
            Ok(Value::Text(texts.join(" ") + "\n"))
        }
        "printf" => printf(all).map(Value::Text),
        "html" | "js" => args.text().map(Value::Text),
        _ => return None,
    })
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        other => return Err(format!("{} has no length", other.text())),
    };
    Ok(Value::Int(length as i64))
}

/// Queries and what they yield.
fn query_function(args: &Args<'_>, data: &Data<'_>) -> Called {
    Some(match args.name {
        "query" => args
            .text()
            .and_then(|text| (data.query)(&text))
            .map(|found| {
                let sample = |(labels, value): (Labels, f64)| Value::Sample(map(&labels), value);
                Value::List(found.into_iter().map(sample).collect())
            }),
        "first" => match args.one() {
            Ok(Value::List(items)) => {
                let first = items.first().cloned();
                first.ok_or("first() called on vector with no elements".to_owned())
            }
            other => Err(format!(
                "first of {}",
                other.map_or(String::new(), Value::text)
            )),
        },
        "label" => match args.all {
            [label, Value::Sample(labels, _)] => {
                let value = labels.get(&label.text());
                Ok(Value::Text(value.cloned().unwrap_or_default()))
            }
            _ => Err("label takes a name and a sample".to_owned()),
        },
        "value" => match args.one() {
            Ok(Value::Sample(_, value)) => Ok(Value::Float(*value)),
            other => Err(format!(
                "value of {}",
                other.map_or(String::new(), Value::text)
            )),
        },
        "strvalue" => match args.one() {
            Ok(Value::Sample(labels, _)) => {
                let value = labels.get("__value__");
                Ok(Value::Text(value.cloned().unwrap_or_default()))
            }
            other => Err(format!(
                "strvalue of {}",
                other.map_or(String::new(), Value::text)
            )),
        },
        "sortByLabel" => sort_by_label(args.all),
        "args" => {
            let named = args.all.iter().enumerate();
            let named = named.map(|(at, arg)| (format!("arg{at}"), arg.text()));
            Ok(Value::Map(named.collect()))
        }
        _ => return None,
    })
}

/// Texts to texts.
fn text_function(args: &Args<'_>) -> Called {
    let map: fn(String) -> String = match args.name {
        "safeHtml" => |text| text,
        "title" => |text| title(&text),
        "toUpper" => |text| text.to_uppercase(),
        "toLower" => |text| text.to_lowercase(),
        "graphLink" => |text| link(&text, 0),
        "tableLink" => |text| link(&text, 1),
        "stripPort" => |text| split_port(&text).0,
        "stripDomain" => |text| strip_domain(&text),
        "urlquery" | "urlQueryEscape" => |text| {
            let mut out = String::new();
            encode_query(&text, &mut out);
            out
        },
        "reReplaceAll" => return Some(replace_all(args.all)),
        "match" => return Some(matches(args.all)),
        _ => return None,
    };
    Some(args.text().map(|text| Value::Text(map(text))))
}

fn matches(args: &[Value]) -> Result<Value, String> {
    let [pattern, text] = args else {
        return Err("match takes a pattern and a text".to_owned());
    };
    // The pattern may fit anywhere.
    let anywhere = format!(".*(?:{}).*", pattern.text());
    let pattern = Re2::new(&anywhere).map_err(|error| error.to_string())?;
    Ok(Value::Bool(pattern.is_match(&text.text())))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_port(text);
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let host = match is_address {
        true => host,
        false => host.split('.').next().unwrap_or("").to_owned(),
    };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// Numbers to texts.
fn number_function(args: &Args<'_>) -> Called {
    let show: fn(f64) -> String = match args.name {
        "humanize" => humanize::humanize,
        "humanize1024" => humanize::humanize1024,
        "humanizeDuration" | "toDuration" => humanize::duration,
        "humanizePercentage" => humanize::percentage,
        "humanizeTimestamp" => humanize::timestamp,
        _ => return None,
    };
    Some(args.number().map(|number| Value::Text(show(number))))
}

/// What this server knows.
fn server_function(args: &Args<'_>, data: &Data<'_>) -> Called {
    Some(match args.name {
        "now" => Ok(Value::Float(data.now_s)),
        "externalURL" => Ok(Value::Text(data.external_url.to_owned())),
        "pathPrefix" => {
            let rest = data.external_url.split_once("://");
            let rest = rest.map_or("", |(_, rest)| rest);
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            Ok(Value::Text(path.trim_end_matches('/').to_owned()))
        }
        "parseDuration" => {
            let read = |text: String| crate::config::units::duration_ms(&text);
            let ms = args.text().and_then(read);
            ms.map(|ms| Value::Float(ms as f64 / 1000.0))
        }
        _ => return None,
    })
}

/// The first argument for which `decides` holds, or the last.
fn pick(args: &[Value], decides: impl Fn(&Value) -> bool) -> Result<Value, String> {
    let decided = args.iter().find(|value| decides(value)).or(args.last());
    decided.cloned().ok_or("an argument is missing".to_owned())
}

fn compare(name: &str, args: &[Value]) -> Result<bool, String> {
    let [left, others @ ..] = args else {
        return Err(format!("{name} needs two arguments"));
    };
    if others.is_empty() {
        return Err(format!("{name} needs two arguments"));
    }
    let order = |right: &Value| -> Result<Option<std::cmp::Ordering>, String> {
        match (left, right) {
            (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
            (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                Ok(left.number()?.partial_cmp(&right.number()?))
            }
            _ => Err(format!(
                "{name} of {} and {}, which are of different kinds",
                left.text(),
                right.text()
            )),
        }
    };
    if name == "eq" {
        for right in others {
            if order(right)?.is_some_and(std::cmp::Ordering::is_eq) {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let found = order(&others[0])?;
    Ok(match name {
        "ne" => found.is_none_or(std::cmp::Ordering::is_ne),
        "lt" => found.is_some_and(std::cmp::Ordering::is_lt),
        "le" => found.is_some_and(std::cmp::Ordering::is_le),
        "gt" => found.is_some_and(std::cmp::Ordering::is_gt),
        _ => found.is_some_and(std::cmp::Ordering::is_ge),
    })
}

fn index(args: &[Value]) -> Result<Value, String> {
    match args {
        [Value::Map(entries), key] => Ok(Value::Text(
            entries.get(&key.text()).cloned().unwrap_or_default(),
        )),
        [Value::List(items), Value::Int(at)] => {
            let found = usize::try_from(*at).ok().and_then(|at| items.get(at));
            found
                .cloned()
                .ok_or_else(|| format!("{at} is outside a list of {}", items.len()))
        }
        _ => Err("index takes a map and a name, or a list and a number".to_owned()),
    }
}

fn sort_by_label(args: &[Value]) -> Result<Value, String> {
    let [name, Value::List(items)] = args else {
        return Err("sortByLabel takes a name and the result of a query".to_owned());
    };
    let name = name.text();
    let of = |value: &Value| match value {
        Value::Sample(labels, _) => labels.get(&name).cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let mut items = items.clone();
    items.sort_by_key(of);
    Ok(Value::List(items))
}

fn replace_all(args: &[Value]) -> Result<Value, String> {
    let [pattern, replacement, text] = args else {
        return Err("reReplaceAll takes a pattern, a replacement and a text".to_owned());
    };
    // The engine's patterns fit whole texts: what is before and behind is taken along, the shortest first.
    let whole = format!(
        "(?s)(?P<before>.*?)(?P<found>{})(?P<behind>.*)",
        pattern.text()
    );
    let whole = Re2::new(&whole).map_err(|error| error.to_string())?;
    let inner = Re2::new(&pattern.text()).map_err(|error| error.to_string())?;
    let (mut out, mut rest) = (String::new(), text.text());
    for _ in 0..OUTPUT_BYTES_MAX {
        let Some(captures) = whole.captures(&rest) else {
            break;
        };
        let part = |name: &str| {
            let mut out = String::new();
            stillwell_engine::labels::expand(
                &format!("${{{name}}}"),
                &rest,
                &captures,
                usize::MAX,
                &mut out,
            );
            out
        };
        let (before, found, behind) = (part("before"), part("found"), part("behind"));
        if found.is_empty() {
            break; // an empty match everywhere is nobody's wish
        }
        out.push_str(&before);
        match inner.captures(&found) {
            Some(captures) => {
                stillwell_engine::labels::expand(
                    &replacement.text(),
                    &found,
                    &captures,
                    usize::MAX,
                    &mut out,
                );
            }
            None => out.push_str(&found),
        }
        rest = behind;
    }
    Ok(Value::Text(out + &rest))
}

fn title(text: &str) -> String {
    let mut out = String::new();
    let mut begins = true;
    for c in text.chars() {
        match begins && c.is_alphabetic() {
            true => out.extend(c.to_uppercase()),
            false => out.push(c),
        }
        begins = !(c.is_alphanumeric() || c == '\'');
    }
    out
}

fn link(expression: &str, tab: u8) -> String {
    let mut out = "/graph?g0.expr=".to_owned();
    encode_query(expression, &mut out);
    out + &format!("&g0.tab={tab}")
}

fn split_port(text: &str) -> (String, Option<String>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && (!host.contains(':') || host.ends_with(']')) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (host.to_owned(), Some(port.to_owned()))
        }
        _ => (text.to_owned(), None),
    }
}

/// Go's `Sprintf`, as far as annotations use it.
fn printf(args: &[Value]) -> Result<String, String> {
    let Some((format, args)) = args.split_first() else {
        return Err("printf needs a format".to_owned());
    };
    let format = format.text();
    let mut args = args.iter();
    let mut out = String::new();
    let mut rest = format.as_str();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find(|c: char| !"+-# 0123456789.".contains(c));
        let Some(end) = end else {
            out.push_str("%!(NOVERB)");
            return Ok(out);
        };
        let verb = rest[end..].chars().next().unwrap_or('%');
        let flags = &rest[..end];
        rest = &rest[end + verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(arg) = args.next() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        out.push_str(&padded(&verb_text(verb, flags, arg), flags));
    }
    out.push_str(rest);
    Ok(out)
}

fn verb_text(verb: char, flags: &str, arg: &Value) -> String {
    let precision = flags
        .split_once('.')
        .map(|(_, digits)| digits.parse().unwrap_or(0));
    let number = arg.number();
    let text = match (verb, number, arg) {
        ('s' | 'v', _, Value::Float(value)) if verb == 's' => {
            format!("%!s(float64={})", Value::Float(*value).text())
        }
        ('s' | 'v', _, other) => {
            let text = other.text();
            precision.map_or(text.clone(), |most| text.chars().take(most).collect())
        }
        ('q', _, other) => format!("{:?}", other.text()),
        ('t', _, Value::Bool(bool)) => bool.to_string(),
        ('d', _, Value::Int(value)) => value.to_string(),
        ('x', _, Value::Int(value)) => format!("{value:x}"),
        ('f' | 'F', Ok(value), Value::Float(_)) if value.is_finite() => {
            format!("{value:.*}", precision.unwrap_or(6))
        }
        ('e', Ok(value), Value::Float(_)) if value.is_finite() => {
            let text = format!("{value:.*e}", precision.unwrap_or(6));
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        ('g', Ok(value), Value::Float(_)) => match precision {
            Some(precision) => humanize::general(value, precision),
            None => Value::Float(value).text(),
        },
        ('f' | 'e' | 'F', Ok(value), Value::Float(_)) => Value::Float(value).text(),
        (verb, _, Value::Float(_)) => format!("%!{verb}(float64={})", arg.text()),
        (verb, _, Value::Int(_)) => format!("%!{verb}(int={})", arg.text()),
        (verb, _, _) => format!("%!{verb}(string={})", arg.text()),
    };
    let is_number = matches!(arg, Value::Int(_) | Value::Float(_));
    match flags.contains('+') && is_number && !text.starts_with(['-', '+', '%']) {
        true => format!("+{text}"),
        false => text,
    }
}

fn padded(text: &str, flags: &str) -> String {
    let whole = flags.split('.').next().unwrap_or("");
    let digits = whole.trim_start_matches(['+', '-', '#', ' ', '0']);
    let width: usize = digits.parse().unwrap_or(0);
    let width = width.min(1_000); // wider is nobody's wish
    let missing = width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text.to_owned();
    }
    let zeros = whole.trim_start_matches(['+', ' ', '#']).starts_with('0');
    if whole.contains('-') {
        format!("{text}{}", " ".repeat(missing))
    } else if zeros {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text),
        };
        format!("{sign}{}{digits}", "0".repeat(missing))
    } else {
        format!("{}{text}", " ".repeat(missing))
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::*;

    fn filled(text: &str) -> String {
        let labels = labels! {"instance" => "10.0.0.1:9090", "pool" => "p"};
        let external = labels! {"zone" => "z"};
        let query = |text: &str| match text {
            "up" => Ok(vec![
                (labels! {"__name__" => "up", "job" => "b"}, 1.0),
                (labels! {"__name__" => "up", "job" => "a"}, 0.0),
            ]),
            "none" => Ok(Vec::new()),
            other => Err(format!("no {other}")),
        };
        let data = Data {
            labels: &labels,
            value: 1234.5,
            external_labels: &external,
            external_url: "http://h:9090/p/",
            now_s: 7.0,
            query: &query,
        };
        expand(text, &data)
    }

    #[test]
    fn annotations_read_as_in_prometheus() {
        for (text, shown) in [
            ("plain", "plain"),
            ("{{ $labels.pool }} at {{ $value }}", "p at 1234.5"),
            (
                "{{ .Labels.pool }}/{{ .Value }}/{{ $labels.none }}",
                "p/1234.5/",
            ),
            (
                "{{ $externalLabels.zone }} {{ $externalURL }} {{ pathPrefix }}",
                "z http://h:9090/p/ /p",
            ),
            (
                "{{ $value | humanize }} {{ humanizeDuration 3725 }}",
                "1.234k 1h 2m 5s",
            ),
            ("{{ 0.125 | humanizePercentage }}", "12.5%"),
            (
                "{{ printf \"%.2f|%5d|%-4s|%05.1f|%q|%+d|%%\" $value 42 \"ab\" 2.5 \"x\" 3 }}",
                "1234.50|   42|ab  |002.5|\"x\"|+3|%",
            ),
            (
                "{{ if gt $value 1000.0 }}high{{ else }}low{{ end }}",
                "high",
            ),
            (
                "{{ range query \"up\" | sortByLabel \"job\" }}{{ .Labels.job }}={{ .Value }} {{ end }}",
                "a=0 b=1 ",
            ),
            (
                "{{ with query \"up\" }}{{ . | first | value }} {{ . | first | label \"job\" }}{{ end }}",
                "1 b",
            ),
            (
                "{{ with query \"none\" }}x{{ else }}nothing{{ end }}",
                "nothing",
            ),
            (
                "{{ stripPort $labels.instance }} {{ stripDomain \"a.b.c:80\" }}",
                "10.0.0.1 a:80",
            ),
            (
                "{{ reReplaceAll \"([a-z])1\" \"<$1>\" \"a1b1c\" }}",
                "<a><b>c",
            ),
            (
                "{{ match \"^p\" $labels.pool }} {{ title \"ab cd\" }} {{ toUpper \"x\" }}",
                "true Ab Cd X",
            ),
            (
                "{{ index $labels \"pool\" }} {{ len \"abc\" }} {{ now }}",
                "p 3 7",
            ),
            (
                "{{ graphLink \"up == 0\" }}",
                "/graph?g0.expr=up+%3D%3D+0&g0.tab=0",
            ),
            ("{{- $x := 1 -}} {{ $x }}", "1"),
        ] {
            assert_eq!(filled(text), shown, "{text}");
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_template_that_fails_says_so_in_its_place() {
        for (text, says) in [
            ("{{ query \"bad\" }}", "no bad"),
            (
                "{{ with query \"none\" }}{{ end }}{{ first (query \"none\") }}",
                "no elements",
            ),
            ("{{ humanize \"x\" }}", "\"x\" is no number"),
            ("{{ $nope }}", "no variable $nope"),
            ("{{ gt \"a\" 1 }}", "different kinds"),
        ] {
            let shown = filled(text);
            assert!(
                shown.starts_with("<error expanding template: ") && shown.contains(says),
                "{shown}"
            );
        }
        for text in [
            "{{ $value",
            "{{ nosuch 1 }}",
            "{{ $label.x }}",
            "{{ if }}{{ end }}",
            "{{ end }}",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
