//! Why a text is not YAML, in the words of whoever wrote it: a tab that indents, or a key that stands apart from its neighbours.
//! A parser's own words name neither the line nor the fix.

use super::problem::Problem;

/// The problem of a text that a parser refused at this line with this reason.
pub(super) fn explain(text: &str, line: usize, reason: &str) -> Problem {
    let lines: Vec<&str> = text.lines().take(line.saturating_add(1)).collect();
    // A parser may notice a tab only as the end of the line before.
    let tab = (line.saturating_sub(1)..=line).find(|at| lines.get(*at).is_some_and(has_tab));
    if let Some(at) = tab {
        let message =
            format!("not YAML: a tab indents this line, and YAML takes spaces only ({reason})");
        return Problem::new(at + 1, message);
    }
    let hint = line.checked_sub(1).and_then(|at| apart(&lines, at));
    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
    Problem::new(line, format!("not YAML: {reason}{hint}"))
}

fn has_tab(line: &&str) -> bool {
    let indentation = line.len() - line.trim_start().len();
    line[..indentation].contains('\t')
}

/// Where the key of a line is indented otherwise than the key before it, of whose mapping it seems to be.
fn apart(lines: &[&str], at: usize) -> Option<String> {
    let (column, key) = key_of(lines.get(at)?)?;
    let before = lines[..at].iter().enumerate().rev();
    let mut keys = before.filter_map(|(at, line)| Some((at, key_of(line)?)));
    let (above, (above_column, above_key)) = keys.next()?;
    (column != above_column).then(|| {
        format!(
            "{key} begins in column {}, and {above_key} above it (line {}) in column {}: keys of one mapping stand below one another",
            column + 1,
            above + 1,
            above_column + 1
        )
    })
}

/// The column, from 0, at which the key of a line begins, behind the dashes of list items; nothing where it has none.
fn key_of(line: &str) -> Option<(usize, &str)> {
    let after = line.trim_start_matches([' ', '-']);
    let (key, _) = after.split_once(':')?;
    let is_key = !key.is_empty() && !key.contains([' ', '#', '"', '\'', '{', '[']);
    is_key.then_some((line.len() - after.len(), key))
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;

    #[test]
    fn slips_of_indentation_are_named_with_their_line_and_neighbour() {
        for (text, line, says) in [
            (
                "jobs:\n- name: a\n\ttargets: []\n",
                3,
                "a tab indents this line",
            ),
            (
                "jobs:\n- name: a\n   targets: []\n",
                3,
                "targets begins in column 4, and name above it (line 2) in column 3",
            ),
            (
                "jobs:\n  - name: a\n   targets: []\n",
                3,
                "targets begins in column 4, and name above it (line 2) in column 5",
            ),
            (
                "jobs:\n- name: a\n  every: 5s\n   targets: []\n",
                4,
                "targets begins in column 4, and every above it (line 3) in column 3",
            ),
            ("a: [1\n", 1, "not YAML: unclosed bracket"),
            ("\t", 1, ""),
        ] {
            let Err(problem) = parse(text) else {
                assert!(says.is_empty(), "{text:?} is taken");
                continue;
            };
            assert!(problem.message.contains(says), "{}", problem.message);
            assert!(says.is_empty() || problem.line == line, "{problem:?}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in [
            "\u{feff}\t\u{a0}:",
            "é:\n\té: [",
            "- - - :\n :",
            "a: b: c",
            ":::\n\t:",
        ] {
            for line in 0..4 {
                super::explain(text, line, "reason");
            }
        }
    }
}
