//! YAML text to a tree in which every node knows its line, so that every complaint can name it.
//!
//! Built from parser events with an explicit stack: no input recurses, and aliases cannot blow the tree up.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};

use super::indentation;
use super::problem::Problem;

/// Larger than any configuration seen; smaller than what would hurt.
pub const CONFIG_BYTES_MAX: usize = 16 << 20;
/// Deeper than Prometheus' schema by far.
const DEPTH_MAX: usize = 64;
/// With every alias written out. Two million entries are past every real file.
const NODES_MAX: usize = 2_000_000;

/// One value of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What it is.
    pub(crate) kind: Kind,
}

/// The kinds of values.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing, `~`, `null`.
    Null,
    /// A single value.
    Scalar {
        /// The text.
        text: String,
        /// Whether it was written without quotes, block or tag, so that YAML may read it as a number or a flag.
        is_plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// One pair of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// The key's line.
    pub(crate) line: usize,
    /// The value.
    pub(crate) value: Node,
}

impl Node {
    /// What a reader of the file would call it.
    pub(crate) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// Reads `text`; an empty text is `Null`. Error: it is not YAML, or more than one document.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    match parse_first(text)? {
        (node, None) => Ok(node),
        (_, Some(second)) => Err(second),
    }
}

/// Reads the first document of `text`, and says where a second one begins: Prometheus' own files may have more, of which
/// it reads the first.
pub(crate) fn parse_first(text: &str) -> Result<(Node, Option<Problem>), Problem> {
    if text.len() > CONFIG_BYTES_MAX {
        let message = format!(
            "the file has {} bytes; at most {CONFIG_BYTES_MAX} are read",
            text.len()
        );
        return Err(Problem::new(1, message));
    }
    let mut tree = Tree::default();
    let mut second = None;
    for next in Parser::new_from_str(text) {
        let (event, span) =
            next.map_err(|error| indentation::explain(text, error.marker().line(), &error.info()))?;
        if tree.documents == 1 && matches!(event, Event::DocumentStart(..)) {
            let message = "a second document; one file is one document";
            second = Some(Problem::new(span.start.line(), message));
            break;
        }
        tree.take(event, span.start.line())?;
    }
    let root = tree.root.unwrap_or(Node {
        line: 1,
        kind: Kind::Null,
    });
    Ok((root, second))
}

/// A tree under construction.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    documents: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<(String, usize)>,
    /// How many nodes there were when this one began.
    nodes_before: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) => self.documents += 1,
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let kind = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Kind::Null,
                    _ => Kind::Scalar {
                        text: text.into_owned(),
                        is_plain: plain && tag.is_none(),
                    },
                };
                let node = Node { line, kind };
                self.count(1, line)?;
                if anchor != 0 {
                    self.anchors.insert(anchor, (node.clone(), 1));
                }
                self.place(node)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(Kind::List(Vec::new()), anchor, line)?
            }
            Event::MappingStart(_, anchor, _) => self.open(Kind::Map(Vec::new()), anchor, line)?,
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => {
                let Some((node, nodes)) = self.anchors.get(&anchor).cloned() else {
                    return Err(Problem::new(line, "an alias inside its own anchor"));
                };
                self.count(nodes, line)?;
                self.place(node)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err(Problem::new(
                line,
                format!("more than {NODES_MAX} values, aliases written out"),
            ));
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind, anchor: usize, line: usize) -> Result<(), Problem> {
        if self.open.len() == DEPTH_MAX {
            return Err(Problem::new(
                line,
                format!("nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        let nodes_before = self.nodes;
        self.count(1, line)?;
        self.open.push(Open {
            node: Node { line, kind },
            anchor,
            key: None,
            nodes_before,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(mut open) = self.open.pop() else {
            return Ok(());
        };
        if let Kind::Map(entries) = &mut open.node.kind {
            merge(entries)?;
        }
        if open.anchor != 0 {
            let nodes = self.nodes - open.nodes_before;
            self.anchors.insert(open.anchor, (open.node.clone(), nodes));
            self.count(nodes, open.node.line)?; // the copy kept for aliases
        }
        self.place(open.node)
    }

    fn place(&mut self, node: Node) -> Result<(), Problem> {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match (&mut open.node.kind, open.key.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Map(entries), Some((key, line))) => {
                if key != MERGE_KEY
                    && let Some(first) = entries.iter().find(|entry| entry.key == key)
                {
                    let message = format!("{key} is given twice; first on line {}", first.line);
                    return Err(Problem::new(line, message));
                }
                entries.push(Entry {
                    key,
                    line,
                    value: node,
                });
            }
            (Kind::Map(_), None) => match node.kind {
                Kind::Scalar { text, .. } => open.key = Some((text, node.line)),
                Kind::Null => open.key = Some(("null".to_owned(), node.line)),
                _ => return Err(Problem::new(node.line, "a key must be a single value")),
            },
            (Kind::Null | Kind::Scalar { .. }, _) => unreachable!("only collections are open"),
        }
        Ok(())
    }
}

const MERGE_KEY: &str = "<<";

/// Writes out `<<: *base`: the mapping's own keys win, then the earlier of several bases.
fn merge(entries: &mut Vec<Entry>) -> Result<(), Problem> {
    while let Some(at) = entries.iter().position(|entry| entry.key == MERGE_KEY) {
        let merged = entries.remove(at);
        let bases = match merged.value.kind {
            Kind::List(bases) => bases,
            _ => vec![merged.value],
        };
        for base in bases {
            let Kind::Map(inherited) = base.kind else {
                return Err(Problem::new(
                    merged.line,
                    "<< takes a mapping or a list of mappings",
                ));
            };
            for entry in inherited {
                if entries.iter().all(|have| have.key != entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Null => "null".to_owned(),
            Kind::Scalar { text, .. } => text.clone(),
            Kind::List(items) => {
                format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(","))
            }
            Kind::Map(entries) => {
                let pairs: Vec<_> = entries
                    .iter()
                    .map(|entry| format!("{}@{}={}", entry.key, entry.line, show(&entry.value)))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }
        }
    }

    #[test]
    fn every_key_knows_its_line() {
        let text = "a: 1\nb:\n  - x\n  - {c: 'y', d: }\n\ne: ~\n";
        let tree = parse(text).expect("valid");
        assert_eq!(show(&tree), "{a@1=1,b@2=[x,{c@4=y,d@4=null}],e@6=null}");
    }

    #[test]
    fn anchors_aliases_and_merges_are_written_out() {
        let text = "base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nagain: *b\n";
        let tree = parse(text).expect("valid");
        assert_eq!(
            show(&tree),
            "{base@1={x@1=1,y@1=2},own@2={y@4=3,x@1=1},again@5={x@1=1,y@1=2}}"
        );
    }

    #[test]
    fn bad_texts_are_refused_with_a_line() {
        let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            laughs.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        for (text, line, says) in [
            ("a: 1\na: 2\n", 2, "given twice; first on line 1"),
            ("a: 1\n  b: 2\n", 2, "not YAML"),
            ("? [a]\n: 1\n", 1, "single value"),
            ("a: &x [*x]\n", 1, ""),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            (&deep, 1, "nested deeper"),
            (&laughs, 6, "values"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.message.contains(says), "{}", problem.message);
            assert!(
                problem.line.abs_diff(line) <= 1,
                "{problem:?} not near {line}"
            );
        }
    }
}
