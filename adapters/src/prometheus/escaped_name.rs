//! Label names as they stand in a path: one that is no identifier may come escaped, as `U__foo_2e_bar` for `foo.bar`
//! (prometheus/common, `UnescapeName` of values; Grafana asks so).

use std::borrow::Cow;

/// The name that an escaped one stands for; what is not escaped, or not so that it could be read, is itself.
pub(super) fn unescaped(name: &str) -> Cow<'_, str> {
    let read = name.strip_prefix("U__").and_then(read);
    read.map_or(Cow::Borrowed(name), Cow::Owned)
}

/// `__` is an underscore, `_HEX_` the character with this number.
fn read(mut escaped: &str) -> Option<String> {
    const DIGITS_MAX: usize = 6;
    let mut name = String::with_capacity(escaped.len());
    while let Some((plain, after)) = escaped.split_once('_') {
        name.push_str(plain);
        let (code, rest) = after.split_once('_')?;
        if code.is_empty() {
            name.push('_');
        } else {
            let is_number =
                code.len() <= DIGITS_MAX && code.bytes().all(|digit| digit.is_ascii_hexdigit());
            let number = u32::from_str_radix(code, 16).ok().filter(|_| is_number)?;
            name.push(char::from_u32(number)?);
        }
        escaped = rest;
    }
    name.push_str(escaped);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_read_and_everything_else_is_itself() {
        for (name, meant) in [
            ("U__foo_2e_bar", "foo.bar"),
            ("U__a__b_2E_", "a_b."),
            ("U___1f600_", "\u{1f600}"),
            ("U__", ""),
            ("pod", "pod"),
            ("", ""),
            ("U__a_", "U__a_"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_+2e_", "U__a_+2e_"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_000002e_", "U__a_000002e_"),
            ("U__\u{e9}_2e_", "\u{e9}."),
        ] {
            assert_eq!(unescaped(name), meant, "{name}");
        }
    }
}
