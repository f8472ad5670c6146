//! JSON written straight into one buffer, in the forms that Go's encoders use: clients compare and hash what they get.

/// Appends `text` as a JSON string.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x00..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[plain_from..at]);
        if short.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(short);
        }
        plain_from = at + 1;
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

/// Appends `items` with commas between, each written by `write`.
pub fn joined<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
}

/// Appends an object of strings.
pub fn object<'a>(out: &mut String, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
    out.push('{');
    joined(out, pairs, |out, (name, value)| {
        string(out, name);
        out.push(':');
        string(out, value);
    });
    out.push('}');
}

/// Appends an array of strings.
pub fn strings<'a>(out: &mut String, items: impl IntoIterator<Item = &'a str>) {
    out.push('[');
    joined(out, items, string);
    out.push(']');
}

/// Reads an object of strings.
pub fn read_strings(text: &str) -> Result<Vec<(String, String)>, String> {
    let read: Result<std::collections::BTreeMap<String, String>, _> = serde_json::from_str(text);
    match read {
        Ok(pairs) => Ok(pairs.into_iter().collect()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_escape_as_go_does() {
        for (text, json) in [
            ("", r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("a\nb\tc\rd", r#""a\nb\tc\rd""#),
            ("\u{0}\u{1f}\u{7f}é<&>", "\"\\u0000\\u001f\u{7f}é<&>\""),
        ] {
            let mut out = String::new();
            string(&mut out, text);
            assert_eq!(out, json);
        }
    }

    #[test]
    fn objects_and_arrays_have_no_stray_commas() {
        let mut out = String::new();
        object(&mut out, [("a", "1"), ("b", "2")]);
        strings(&mut out, []);
        strings(&mut out, ["x", "y"]);
        assert_eq!(out, r#"{"a":"1","b":"2"}[]["x","y"]"#);
    }
}
