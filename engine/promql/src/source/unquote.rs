//! String literals: Go's escapes in `"` and `'`, nothing special between backquotes.

/// A byte that is no UTF-8 (from `\xff`) stands as this private-use character plus its value, so that text stays
/// text, and a label name with such a byte can be told and printed.
pub(crate) const RAW_BYTE: u32 = 0x10_FF00;

/// The text inside a literal.
///
/// `body` is what stands between the quotes; `at` in an error counts from its start.
pub(crate) fn unquote(body: &str, quote: u8) -> Result<String, (usize, String)> {
    if quote == b'`' {
        return Ok(body.to_owned());
    }
    if memchr::memchr(b'\\', body.as_bytes()).is_none() {
        return Ok(body.to_owned());
    }
    let mut out: Vec<u8> = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let start = body.len() - rest.len() + at;
        let used = escape(&rest[at + 1..], quote, &mut out).map_err(|message| (start, message))?;
        rest = &rest[at + 1 + used..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(String::from_utf8(out).unwrap_or_else(|error| escape_raw_bytes(error.as_bytes())))
}

fn escape_raw_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(
            chunk
                .invalid()
                .iter()
                .filter_map(|byte| char::from_u32(RAW_BYTE + u32::from(*byte))),
        );
    }
    text
}

/// Whether there is a byte that is no UTF-8.
pub(crate) fn has_raw_byte(text: &str) -> bool {
    text.chars()
        .any(|c| u32::from(c) >= RAW_BYTE && u32::from(c) < RAW_BYTE + 256)
}

/// Reads the escape after a backslash; answers how many bytes it took.
fn escape(text: &str, quote: u8, out: &mut Vec<u8>) -> Result<usize, String> {
    let Some(first) = text.chars().next() else {
        return Err("escape sequence not terminated".to_owned());
    };
    let simple = match first {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        _ if first == char::from(quote) => quote,
        _ => 0,
    };
    if simple != 0 {
        out.push(simple);
        return Ok(1);
    }
    let (skip, count, radix) = match first {
        '0'..='7' => (0, 3, 8),
        'x' => (1, 2, 16),
        'u' => (1, 4, 16),
        'U' => (1, 8, 16),
        _ => {
            return Err(format!(
                "unknown escape sequence U+{:04X} {first:?}",
                first as u32
            ));
        }
    };
    let digits = text
        .get(skip..skip + count)
        .ok_or("escape sequence not terminated")?;
    if let Some(bad) = digits.chars().find(|c| !c.is_digit(radix)) {
        return Err(format!("illegal character {bad:?} in escape sequence"));
    }
    let value = u32::from_str_radix(digits, radix).map_err(|error| error.to_string())?;
    let invalid = || "escape sequence is an invalid Unicode code point".to_owned();
    if matches!(first, 'u' | 'U') {
        let character = char::from_u32(value).ok_or_else(invalid)?;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(value).map_err(|_| invalid())?);
    }
    Ok(skip + count)
}

/// Since UTF-8 names are allowed, any text but the empty one.
pub(crate) fn is_valid_label_name(name: &str) -> bool {
    !name.is_empty() && !has_raw_byte(name)
}

/// Quoted as Go's `%q` does it, bytes that are no UTF-8 as `\xNN`.
pub(crate) fn quote_bytes(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match u32::from(c).checked_sub(RAW_BYTE) {
            Some(byte) if byte < 256 => quoted.push_str(&format!("\\x{byte:02x}")),
            _ => quoted.extend(c.escape_debug()),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_bytes_and_code_points() {
        for (body, text) in [
            (r"a\nb", "a\nb"),
            (r"\xc3\xa9", "é"),
            (r"\303\251", "é"),
            (r"\u00e9", "é"),
            (r"a\xc5z", "a\u{10ffc5}z"),
            ("\\\"", "\""),
        ] {
            assert_eq!(unquote(body, b'"').as_deref(), Ok(text));
        }
        for body in [r"\q", r"\x1", r"\u12", r"\400", r"\ud800", r"\'", r"\xé"] {
            assert!(unquote(body, b'"').is_err(), "{body}");
        }
        assert_eq!(unquote(r"a\.b", b'`').as_deref(), Ok(r"a\.b"));
    }
}
