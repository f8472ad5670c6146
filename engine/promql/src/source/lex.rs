//! Text to tokens. Iterative, one pass, linear; literals are read and range-checked here, so that nothing behind
//! it sees a quote, an escape or a comment.

use crate::plan::Span;

use super::error::SourceError;
use super::number::{parse_duration, parse_number};
use super::unquote::unquote;

/// Longer texts are refused unread. A query of this size is a mistake or an attack; Grafana's longest are a few KiB.
pub(crate) const TEXT_BYTES_MAX: usize = 256 << 10;

/// One token and its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// Letters, digits, `_`, and outside of brackets and braces `:`; keywords included.
    Identifier,
    Number(f64),
    /// Milliseconds.
    Duration(i64),
    String(String),
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    EqualRegex,
    NotEqualRegex,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    TrimUpper,
    TrimLower,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    At,
    End,
}

/// Splits the text. The last token is `End`.
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, SourceError> {
    match lex_some(text) {
        (tokens, None) => Ok(tokens),
        (_, Some(error)) => Err(error),
    }
}

/// The same up to what cannot be read, and why not. The last token is `End` in either case.
pub(crate) fn lex_some(text: &str) -> (Vec<Token>, Option<SourceError>) {
    let mut lexer = Lexer {
        text,
        bytes: text.as_bytes(),
        at: 0,
        in_braces: false,
        in_brackets: false,
        in_duration: false,
        depth: 0,
        tokens: Vec::with_capacity(16),
    };
    if text.len() > TEXT_BYTES_MAX {
        let why = format!(
            "the query has {} bytes; the limit is {TEXT_BYTES_MAX}",
            text.len()
        );
        lexer.push(TokenKind::End, 0);
        return (lexer.tokens, Some(SourceError::new(Span::default(), why)));
    }
    loop {
        match lexer.token() {
            Ok(true) => {}
            Ok(false) => return (lexer.tokens, None),
            Err(error) => {
                let start = error.span.start.max(lexer.last_end());
                lexer.at = lexer.at.max(start);
                lexer.push(TokenKind::End, start);
                return (lexer.tokens, Some(error));
            }
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Behind `[` and up to the first number: what is no part of a duration is refused there.
    in_duration: bool,
    /// Open parentheses.
    depth: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    /// Reads one token; false at the end.
    fn token(&mut self) -> Result<bool, SourceError> {
        self.skip_blank();
        let start = self.at;
        let Some(byte) = self.peek(0) else {
            if self.in_braces {
                return Err(self.error(start, "unexpected end of input inside braces"));
            }
            if self.in_duration {
                let why = "unexpected end of input in duration expression";
                return Err(self.error(start, why));
            }
            if self.depth > 0 {
                return Err(self.error(start, "unclosed left parenthesis"));
            }
            if self.in_brackets {
                return Err(self.error(start, "unclosed left bracket"));
            }
            self.push(TokenKind::End, start);
            return Ok(false);
        };
        let next_digit = self.peek(1).is_some_and(|b| b.is_ascii_digit());
        match byte {
            b'0'..=b'9' if self.in_braces => self.symbol(byte)?,
            b'0'..=b'9' => self.number()?,
            b'.' if next_digit && !self.in_braces => self.number()?,
            b'"' | b'\'' | b'`' if self.in_duration => self.symbol(byte)?,
            b'"' | b'\'' | b'`' => self.string(byte)?,
            b if b.is_ascii_alphabetic() || b == b'_' => self.identifier()?,
            b':' if !self.in_brackets && !self.in_braces => self.identifier()?,
            _ => self.symbol(byte)?,
        }
        Ok(true)
    }

    fn last_end(&self) -> usize {
        self.tokens.last().map_or(0, |token| token.span.end)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        let span = Span {
            start,
            end: self.at,
        };
        self.tokens.push(Token { kind, span });
    }

    fn error(&self, start: usize, message: impl Into<String>) -> SourceError {
        let end = self.at.max(start);
        SourceError::new(Span { start, end }, message)
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    let rest = &self.bytes[self.at..];
                    self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn identifier(&mut self) -> Result<(), SourceError> {
        let start = self.at;
        let colon = !self.in_braces && !self.in_brackets;
        while self
            .peek(0)
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || (colon && b == b':'))
        {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        let of_durations = ["step", "range", "min", "max", "min_of", "max_of"];
        let is_of_duration = || {
            of_durations
                .iter()
                .any(|one| one.eq_ignore_ascii_case(word))
        };
        if self.in_brackets && !is_of_duration() {
            let first = word.chars().next().unwrap_or('?');
            let why = match self.in_duration {
                true => format!("unexpected character in duration expression: {first:?}"),
                false => format!("unexpected character: {first:?}, expected ':'"),
            };
            return Err(self.error(start, why));
        }
        // Inside braces every word is a label name.
        let number = !self.in_braces
            && (word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan"));
        let kind = match parse_number(word) {
            Some(value) if number => TokenKind::Number(value),
            _ => TokenKind::Identifier,
        };
        self.push(kind, start);
        Ok(())
    }

    /// Digits, and whatever letters, dots and exponent signs hang on to them; the parts decide what it is.
    fn number(&mut self) -> Result<(), SourceError> {
        let start = self.at;
        self.in_duration = false;
        let hex = self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X'));
        while let Some(byte) = self.peek(0) {
            let exponent_sign = matches!(byte, b'+' | b'-')
                && !hex
                && self.at > start
                && matches!(self.bytes[self.at - 1], b'e' | b'E');
            if !(byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || exponent_sign) {
                break;
            }
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        let last = word.bytes().last().unwrap_or(b'0');
        let looks_like_duration = !hex && matches!(last, b's' | b'm' | b'h' | b'd' | b'w' | b'y');
        if looks_like_duration {
            let ms = parse_duration(word).map_err(|message| {
                let is_syntax = message.starts_with("bad number or duration syntax");
                self.error(
                    start,
                    if is_syntax {
                        not_a_number(word)
                    } else {
                        message
                    },
                )
            })?;
            self.push(TokenKind::Duration(ms), start);
            return Ok(());
        }
        let Some(value) = parse_number(word) else {
            return Err(self.error(start, not_a_number(word)));
        };
        self.push(TokenKind::Number(value), start);
        Ok(())
    }

    fn string(&mut self, quote: u8) -> Result<(), SourceError> {
        let start = self.at;
        let body = start + 1;
        let mut at = body;
        loop {
            let rest = &self.bytes[at..];
            let stop = if quote == b'`' {
                memchr::memchr(b'`', rest)
            } else {
                memchr::memchr3(quote, b'\\', b'\n', rest)
            };
            let Some(stop) = stop else {
                self.at = self.bytes.len();
                let what = if quote == b'`' { "raw" } else { "quoted" };
                return Err(self.error(start, format!("unterminated {what} string")));
            };
            at += stop;
            match self.bytes[at] {
                b'\n' if quote != b'`' => {
                    return Err(self.error(start, "unterminated quoted string"));
                }
                b'\\' if quote != b'`' => at = (at + 2).min(self.bytes.len()),
                _ => break,
            }
        }
        self.at = at + 1;
        // A backslash before a multi-byte character leaves `at` inside of it; the quote itself is ASCII all the same.
        let text = &self.text[body..at];
        let text = unquote(text, quote).map_err(|(_, message)| self.error(start, message))?;
        self.push(TokenKind::String(text), start);
        Ok(())
    }

    fn symbol(&mut self, byte: u8) -> Result<(), SourceError> {
        use TokenKind as T;
        let start = self.at;
        self.refuse_here(byte)?;
        let (kind, length) = match (byte, self.peek(1)) {
            (b'=', Some(b'~')) => (T::EqualRegex, 2),
            (b'=', Some(b'=')) if !self.in_braces => (T::Equal, 2),
            (b'=', _) => (T::Assign, 1),
            (b'!', Some(b'=')) => (T::NotEqual, 2),
            (b'!', Some(b'~')) => (T::NotEqualRegex, 2),
            (b'>', Some(b'=')) => (T::GreaterEqual, 2),
            (b'>', Some(b'/')) => (T::TrimLower, 2),
            (b'>', _) => (T::Greater, 1),
            (b'<', Some(b'=')) => (T::LessEqual, 2),
            (b'<', Some(b'/')) => (T::TrimUpper, 2),
            (b'<', _) => (T::Less, 1),
            (b'+', _) => (T::Add, 1),
            (b'-', _) => (T::Sub, 1),
            (b'*', _) => (T::Mul, 1),
            (b'/', _) => (T::Div, 1),
            (b'%', _) => (T::Mod, 1),
            (b'^', _) => (T::Pow, 1),
            (b'@', _) => (T::At, 1),
            (b',', _) => (T::Comma, 1),
            (b':', _) => (T::Colon, 1),
            (b'(', _) => (T::LeftParen, 1),
            (b')', _) => (T::RightParen, 1),
            (b'{', _) => (T::LeftBrace, 1),
            (b'}', _) => (T::RightBrace, 1),
            (b'[', _) => (T::LeftBracket, 1),
            (b']', _) => (T::RightBracket, 1),
            _ => {
                let character = self.character(start);
                return Err(self.error(start, format!("unexpected character: {character}")));
            }
        };
        match kind {
            T::LeftParen => self.depth += 1,
            // It is taken, and then there is one too many: so Prometheus' place is behind it.
            T::RightParen if self.depth == 0 => {
                return Err(self.error(start + 1, "unexpected right parenthesis ')'"));
            }
            T::RightParen => self.depth -= 1,
            T::LeftBrace => self.in_braces = true,
            T::RightBrace => self.in_braces = false,
            T::LeftBracket => (self.in_brackets, self.in_duration) = (true, true),
            T::RightBracket => (self.in_brackets, self.in_duration) = (false, false),
            _ => {}
        }
        self.at += length;
        self.push(kind, start);
        Ok(())
    }

    /// As Go quotes a character; the end of the text is the replacement character.
    fn character(&self, at: usize) -> String {
        let character = self.text[at..].chars().next().unwrap_or('\u{fffd}');
        format!("{character:?}")
    }

    /// Refuses characters that the language does not have at such a place, as Prometheus' lexer does.
    fn refuse_here(&self, byte: u8) -> Result<(), SourceError> {
        let start = self.at;
        let next = self.peek(1);
        let (here, behind) = (self.character(start), || self.character(start + 1));
        let why = match byte {
            _ if self.in_braces => match (byte, next) {
                (b',' | b'=' | b'}', _) | (b'!', Some(b'=' | b'~')) => return Ok(()),
                (b'!', _) => format!("unexpected character after '!' inside braces: {}", behind()),
                (b'{', _) => format!("unexpected left brace {here}"),
                _ => format!("unexpected character inside braces: {here}"),
            },
            _ if self.in_duration => match byte {
                b'(' | b')' | b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b',' | b']' => {
                    return Ok(());
                }
                b':' => {
                    let why = "unexpected colon before duration in duration expression";
                    return Err(self.error(start + 1, why));
                }
                _ => format!("unexpected character in duration expression: {here}"),
            },
            b'=' if next == Some(b'~') => "unexpected character after '=': '~'".to_owned(),
            b'!' if next != Some(b'=') => format!("unexpected character after '!': {}", behind()),
            b'[' if self.in_brackets => format!("unexpected left bracket {here}"),
            b']' if !self.in_brackets => format!("unexpected right bracket {here}"),
            b'}' => format!("unexpected character: {here}"),
            _ => return Ok(()),
        };
        Err(self.error(start, why))
    }
}

/// What is wrong with digits and what hangs on to them: told up to where they could have been a number.
fn not_a_number(word: &str) -> String {
    if matches!(word, "0x" | "0X") {
        return format!(
            "error parsing number: strconv.ParseFloat: parsing {word:?}: invalid syntax"
        );
    }
    let digits = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '_'));
        end.unwrap_or(text.len())
    };
    let mut end = digits(word);
    if word[end..].starts_with('.') {
        end += 1 + digits(&word[end + 1..]);
        if word[end..].starts_with('.') {
            end += 1;
        }
    }
    if word[end..].starts_with(['e', 'E']) {
        end += 1;
        end += usize::from(word[end..].starts_with(['+', '-']));
        end += digits(&word[end..]);
    }
    format!("bad number or duration syntax: {:?}", &word[..end])
}
