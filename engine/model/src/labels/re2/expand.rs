//! Templates of replacements as Go's `regexp` expands them: `$1`, `$name`, `${name}`, `$$`.

use regex_automata::util::captures::Captures;

/// Appends `template` to `out`, with its variables replaced by what `captures` found in `text`. A group that does not
/// exist or took no part in the match is empty; a `$` that starts no variable stands for itself. Stops, somewhere, once `out`
/// has more than `bytes_max` bytes.
pub fn expand(template: &str, text: &str, captures: &Captures, bytes_max: usize, out: &mut String) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        if out.len() > bytes_max {
            return;
        }
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some((name, after)) = variable(rest) else {
            out.push('$');
            continue;
        };
        rest = after;
        let span = match group_number(name) {
            Some(number) => captures.get_group(number),
            None => captures.get_group_by_name(name),
        };
        if let Some(span) = span {
            out.push_str(&text[span.range()]);
        }
    }
    out.push_str(rest);
}

/// The name at the start of `text`, with or without braces, and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (braced, text) = match text.strip_prefix('{') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let after = if braced {
        after.strip_prefix('}')?
    } else {
        after
    };
    Some((name, after))
}

/// Go takes `$01` and `$1x` for names, not numbers.
fn group_number(name: &str) -> Option<usize> {
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = name.len() > 1 && name.starts_with('0');
    if digits && !leading_zero {
        name.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::Re2;
    use super::*;

    #[test]
    fn expands_as_go_does() {
        let regex = Re2::new("(?P<first>[a-z]+)-([0-9]+)(x)?").expect("valid");
        let text = "abc-12";
        let captures = regex.captures(text).expect("fits");
        for (template, expanded) in [
            ("$1", "abc"),
            ("${1}_$2", "abc_12"),
            ("$1_$2", "12"),
            ("$0!", "abc-12!"),
            ("$first/${first}", "abc/abc"),
            ("$3|$9|$nobody", "||"),
            ("$$1 costs $", "$1 costs $"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("$01", ""),
            ("plain", "plain"),
        ] {
            let mut out = String::new();
            expand(template, text, &captures, usize::MAX, &mut out);
            assert_eq!(out, expanded, "{template}");
        }
    }
}
