//! Tokens to a tree.

use super::TemplateError;
use super::lex::{Kind, Token};

/// Deeper than any rule; it bounds recursion.
const DEPTH_MAX: usize = 32;

/// A piece of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Emit(Pipeline),
    /// `$x := pipeline` and `$x = pipeline`.
    Set(String, Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Option<String>, Pipeline, Vec<Node>, Vec<Node>),
    Range(Loop),
    /// `define "name"`, wherever it stands.
    Define(String, Vec<Node>),
    /// `template "name" pipeline`, and where it stands.
    Template(String, Option<Pipeline>, usize),
    /// `break` and `continue` of a range.
    Leave(Leave),
}

/// What leaves the body of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Break,
    Continue,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loop {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) over: Pipeline,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// Commands; each but the first gets the result of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pipeline {
    pub(crate) at: usize,
    pub(crate) commands: Vec<Vec<Operand>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Function(String, usize),
    Field(Vec<String>, usize),
    Variable(String, Vec<String>, usize),
    Text(String),
    Number(i64),
    Float(f64),
    Bool(bool),
    Inner(Pipeline),
}

pub(crate) fn nodes(tokens: &[Token]) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        loops: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        Stop::Text => Ok(nodes),
        Stop::End | Stop::Else => {
            Err(parser.refuse("an end or else without its if, range or with"))
        }
    }
}

/// Whether these read a field of what a template is given, in any of their branches.
pub(crate) fn read_field(nodes: &[Node], field: &str) -> bool {
    let pipeline = |pipeline: &Pipeline| pipeline_reads(pipeline, field);
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Leave(_) | Node::Template(_, None, _) => false,
        Node::Template(_, Some(given), _) => pipeline(given),
        Node::Define(_, body) => read_field(body, field),
        Node::Emit(emitted) | Node::Set(_, emitted) => pipeline(emitted),
        Node::If(over, body, otherwise) | Node::With(_, over, body, otherwise) => {
            pipeline(over) || read_field(body, field) || read_field(otherwise, field)
        }
        Node::Range(range) => {
            pipeline(&range.over)
                || read_field(&range.body, field)
                || read_field(&range.otherwise, field)
        }
    })
}

fn pipeline_reads(pipeline: &Pipeline, field: &str) -> bool {
    let named = |path: &[String]| path.first().is_some_and(|first| first == field);
    let mut operands = pipeline.commands.iter().flatten();
    operands.any(|operand| match operand {
        Operand::Field(path, _) | Operand::Variable(_, path, _) => named(path),
        Operand::Inner(inner) => pipeline_reads(inner, field),
        _ => false,
    })
}

/// What ended a block.
enum Stop {
    /// The text itself.
    Text,
    End,
    Else,
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    /// Ranges around the place.
    loops: usize,
}

impl Parser<'_> {
    fn refuse(&self, reason: impl Into<String>) -> TemplateError {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        TemplateError::new(token.map_or(0, |token| token.at), reason)
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.at)
    }

    fn expect(&mut self, kind: &Kind, what: &str) -> Result<(), TemplateError> {
        if self.peek() != Some(kind) {
            return Err(self.refuse(format!("expected {what}")));
        }
        self.at += 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.refuse(format!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(())
    }

    /// Nodes up to the `end` or `else` of the block around them, which is consumed with its opening but not its rest.
    fn block(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        let mut nodes = Vec::new();
        loop {
            match self.peek() {
                None => return Ok((nodes, Stop::Text)),
                Some(Kind::Text(text)) => {
                    nodes.push(Node::Text(text.clone()));
                    self.at += 1;
                }
                _ => {
                    self.expect(&Kind::Open, "an action")?;
                    match self.peek() {
                        Some(Kind::Word(word)) if word == "end" => {
                            self.at += 1;
                            self.expect(&Kind::Close, "the end of the action after end")?;
                            return Ok((nodes, Stop::End));
                        }
                        Some(Kind::Word(word)) if word == "else" => {
                            self.at += 1;
                            return Ok((nodes, Stop::Else));
                        }
                        _ => nodes.push(self.action()?),
                    }
                }
            }
        }
    }

    fn action(&mut self) -> Result<Node, TemplateError> {
        let word = match self.peek() {
            Some(Kind::Word(word)) => word.clone(),
            _ => String::new(),
        };
        match word.as_str() {
            "if" => {
                self.at += 1;
                self.if_node()
            }
            "with" => {
                self.at += 1;
                let (_, variable) = self.declared()?;
                let value = self.pipeline_to_close()?;
                let (body, otherwise) = self.branches()?;
                Ok(Node::With(variable, value, body, otherwise))
            }
            "range" => {
                self.at += 1;
                let (key, value) = self.declared()?;
                let over = self.pipeline_to_close()?;
                self.loops += 1;
                let (body, otherwise) = self.branches()?;
                self.loops -= 1;
                Ok(Node::Range(Loop {
                    key,
                    value,
                    over,
                    body,
                    otherwise,
                }))
            }
            "define" | "template" | "block" => self.named(&word),
            "break" | "continue" => self.leave(&word),
            _ => {
                let set = match (
                    self.peek(),
                    self.tokens.get(self.at + 1).map(|token| &token.kind),
                ) {
                    (Some(Kind::Variable(name, fields)), Some(Kind::Sign(":=" | "=")))
                        if fields.is_empty() =>
                    {
                        Some(name.clone())
                    }
                    _ => None,
                };
                if set.is_some() {
                    self.at += 2;
                }
                let pipeline = self.pipeline_to_close()?;
                Ok(set.map_or(Node::Emit(pipeline.clone()), |name| {
                    Node::Set(name, pipeline)
                }))
            }
        }
    }

    /// What has to do with templates that have names.
    fn named(&mut self, word: &str) -> Result<Node, TemplateError> {
        let at = self.place();
        self.at += 1;
        let name = self.quoted()?;
        match word {
            "define" => {
                self.expect(&Kind::Close, "the end of the action after a name")?;
                Ok(Node::Define(name, self.body_of(word)?))
            }
            "template" if self.peek() == Some(&Kind::Close) => {
                self.at += 1;
                Ok(Node::Template(name, None, at))
            }
            "template" => Ok(Node::Template(name, Some(self.pipeline_to_close()?), at)),
            _ => {
                let given = self.pipeline_to_close()?;
                let body = self.body_of(word)?;
                // It is defined and used at once.
                let always = Pipeline {
                    at,
                    commands: vec![vec![Operand::Bool(true)]],
                };
                let both = vec![
                    Node::Define(name.clone(), body),
                    Node::Template(name, Some(given), at),
                ];
                Ok(Node::If(always, both, Vec::new()))
            }
        }
    }

    /// `break` and `continue`.
    fn leave(&mut self, word: &str) -> Result<Node, TemplateError> {
        if self.loops == 0 {
            return Err(self.refuse(format!("{{{{{word}}}}} outside {{{{range}}}}")));
        }
        self.at += 1;
        self.expect(&Kind::Close, "the end of the action")?;
        Ok(Node::Leave(match word {
            "break" => Leave::Break,
            _ => Leave::Continue,
        }))
    }

    /// A name in quotes.
    fn quoted(&mut self) -> Result<String, TemplateError> {
        match self.peek() {
            Some(Kind::Text2(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.refuse("expected the name of a template, in quotes")),
        }
    }

    /// The body of a `define` or `block`, up to and with its `end`.
    fn body_of(&mut self, word: &str) -> Result<Vec<Node>, TemplateError> {
        self.deeper()?;
        let outside = std::mem::take(&mut self.loops);
        let (body, end) = self.block()?;
        if !matches!(end, Stop::End) {
            return Err(self.refuse(format!("a {word} without its end")));
        }
        self.loops = outside;
        self.depth -= 1;
        Ok(body)
    }

    fn if_node(&mut self) -> Result<Node, TemplateError> {
        let condition = self.pipeline_to_close()?;
        let (body, otherwise) = self.branches()?;
        Ok(Node::If(condition, body, otherwise))
    }

    /// What follows an `if`, `range` or `with` up to and with its `end`.
    fn branches(&mut self) -> Result<(Vec<Node>, Vec<Node>), TemplateError> {
        self.deeper()?;
        let (body, end) = self.block()?;
        let otherwise = match end {
            Stop::End => Vec::new(),
            Stop::Text => return Err(self.refuse("an if, range or with without its end")),
            Stop::Else => match self.peek() {
                Some(Kind::Word(word)) if word == "if" => {
                    self.at += 1;
                    vec![self.if_node()?] // it takes the one `end` there is
                }
                _ => {
                    self.expect(&Kind::Close, "the end of the action or if after else")?;
                    match self.block()? {
                        (nodes, Stop::End) => nodes,
                        _ => return Err(self.refuse("an else without its end")),
                    }
                }
            },
        };
        self.depth -= 1;
        Ok((body, otherwise))
    }

    /// `$v :=` or `$k, $v :=`.
    fn declared(&mut self) -> Result<(Option<String>, Option<String>), TemplateError> {
        let variable = |token: Option<&Token>| match token.map(|token| &token.kind) {
            Some(Kind::Variable(name, fields)) if fields.is_empty() => Some(name.clone()),
            _ => None,
        };
        let sign = |token: Option<&Token>, sign: &'static str| {
            token.is_some_and(|token| token.kind == Kind::Sign(sign))
        };
        let token = |offset: usize| self.tokens.get(self.at + offset);
        let first = variable(token(0));
        if first.is_some() && sign(token(1), ":=") {
            self.at += 2;
            return Ok((None, first));
        }
        let second = variable(token(2));
        if first.is_some() && sign(token(1), ",") && second.is_some() && sign(token(3), ":=") {
            self.at += 4;
            return Ok((first, second));
        }
        Ok((None, None))
    }

    fn pipeline_to_close(&mut self) -> Result<Pipeline, TemplateError> {
        let pipeline = self.pipeline()?;
        self.expect(&Kind::Close, "the end of the action")?;
        Ok(pipeline)
    }

    fn pipeline(&mut self) -> Result<Pipeline, TemplateError> {
        let at = self.place();
        let mut commands = vec![self.command()?];
        while self.peek() == Some(&Kind::Sign("|")) {
            self.at += 1;
            commands.push(self.command()?);
        }
        Ok(Pipeline { at, commands })
    }

    fn command(&mut self) -> Result<Vec<Operand>, TemplateError> {
        let mut operands = Vec::new();
        loop {
            let at = self.place();
            let operand = match self.peek() {
                Some(Kind::Word(word)) => match word.as_str() {
                    "true" => Operand::Bool(true),
                    "false" => Operand::Bool(false),
                    _ => Operand::Function(word.clone(), at),
                },
                Some(Kind::Field(fields)) => Operand::Field(fields.clone(), at),
                Some(Kind::Variable(name, fields)) => {
                    Operand::Variable(name.clone(), fields.clone(), at)
                }
                Some(Kind::Text2(text)) => Operand::Text(text.clone()),
                Some(Kind::Number(number)) => Operand::Number(*number),
                Some(Kind::Float(number)) => Operand::Float(*number),
                Some(Kind::Sign("(")) => {
                    self.at += 1;
                    self.deeper()?;
                    let inner = self.pipeline()?;
                    self.depth -= 1;
                    if self.peek() != Some(&Kind::Sign(")")) {
                        return Err(self.refuse("expected )"));
                    }
                    Operand::Inner(inner)
                }
                _ if operands.is_empty() => {
                    return Err(self.refuse("expected a field, a function or a text"));
                }
                _ => return Ok(operands),
            };
            operands.push(operand);
            self.at += 1;
        }
    }
}
