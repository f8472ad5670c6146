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

    /// With the values of a body of type `multipart/form-data`, as `curl -F` sends them. Files among them are none. Error: the
    /// type names no boundary, or the body has none.
    pub fn with_parts(mut self, content_type: &str, body: &[u8]) -> Result<Form, &'static str> {
        let boundary = content_type
            .split(';')
            .find_map(|part| part.trim().strip_prefix("boundary="))
            .map(|text| text.trim_matches('"'))
            .filter(|text| !text.is_empty())
            .ok_or("no multipart boundary param in Content-Type")?;
        let mark = format!("--{boundary}");
        let text = String::from_utf8_lossy(body);
        // The body may begin with the mark, others stand on lines of their own.
        let text = format!("\r\n{text}");
        let mark = format!("\r\n{mark}");
        let mut parts = text.split(mark.as_str());
        parts.next();
        let mut is_ended = false;
        for part in parts.take(PARAMETERS_MAX) {
            if part.starts_with("--") {
                is_ended = true;
                break;
            }
            let Some((head, value)) = part.split_once("\r\n\r\n") else {
                continue;
            };
            let disposition = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-disposition")
                    .then_some(value)
            });
            let parameters = || disposition.unwrap_or("").split(';').map(str::trim);
            let is_file = parameters().any(|one| one.starts_with("filename"));
            let name = parameters().find_map(|one| one.strip_prefix("name="));
            if let Some(name) = name.filter(|_| !is_file) {
                let name = name.trim_matches('"').to_owned();
                self.0.push((name, value.to_owned()));
            }
        }
        match is_ended {
            true => Ok(self),
            false => Err("multipart: NextPart: EOF"),
        }
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
    fn parts_are_read_and_files_are_not() {
        let kind = "multipart/form-data; boundary=\"x-y\"";
        let body = "--x-y\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nsum(a)\r\n\
                    --x-y\r\ncontent-disposition: form-data; name=\"f\"; filename=\"f\"\r\nContent-Type: text/plain\r\n\r\nno\r\n\
                    --x-y\r\nContent-Disposition: form-data; name=\"time\"\r\n\r\n\r\n--x-y--\r\n";
        let form = Form::parse(["time=1"]).with_parts(kind, body.as_bytes());
        let form = form.expect("a body of parts");
        assert_eq!(
            (form.get("query"), form.get("f"), form.get("time")),
            ("sum(a)", "", "1")
        );
        assert!(
            Form::default()
                .with_parts("multipart/form-data", b"")
                .is_err()
        );
        assert!(Form::default().with_parts(kind, b"--x-y\r\n").is_err());
    }

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
