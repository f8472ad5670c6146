//! Parameters of a request, from its URL and its form body alike.
//!
//! Of our own, because parameters are bounded in number, and segments of paths are decoded by the same rule without `+`.

/// More parameters than this are not a query but an attack.
const PARAMETERS_MAX: usize = 10_000;

/// Names and values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `a=b&c=d` texts; the first has precedence where one value is wanted.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Form {
        let pairs = texts
            .into_iter()
            .flat_map(|text| text.split('&'))
            .filter(|pair| !pair.is_empty())
            .take(PARAMETERS_MAX)
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name, true), decode(value, true))
            });
        Form(pairs.collect())
    }

    /// The first value of `name`; empty where it is absent.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(have, _)| have == name)
            .map_or("", |(_, value)| value)
    }

    /// Every value of `name`.
    pub fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0
            .iter()
            .filter(move |(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Decodes `%xx`, and `+` as a space in forms. What is no UTF-8 becomes replacement characters.
pub fn decode(text: &str, plus_is_space: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |offset: usize| {
            bytes
                .get(at + offset)
                .and_then(|b| char::from(*b).to_digit(16))
                .map(|digit| digit as u8)
        };
        match (bytes[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
                continue;
            }
            (b'+', ..) if plus_is_space => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_decode_and_keep_every_value() {
        let form = Form::parse([
            "query=sum%28a%29+%2B+1&match[]=a&match%5B%5D=b",
            "query=second&flag",
        ]);
        assert_eq!(form.get("query"), "sum(a) + 1");
        assert_eq!(form.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((form.get("flag"), form.get("absent")), ("", ""));
        for (text, decoded) in [
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("a%2", "a%2"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decode(text, false), decoded);
        }
    }
}
