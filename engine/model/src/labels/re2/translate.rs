//! A pattern in Go's syntax, written anew in Rust's. One pass, no recursion; the output is at most a small multiple
//! of the input.

use std::iter::Peekable;
use std::str::Chars;

/// Go's limit for one repetition and for nested ones together.
const REPEAT_MAX: u32 = 1000;
/// Classes by a Unicode property. Each is some hundred ranges to Rust's parser before anything can be said of the
/// compiled size: 40,000 of them took half a second. Go counts the ranges and refuses as well.
const UNICODE_CLASSES_MAX: usize = 2_000;
/// Groups in groups.
const NESTING_MAX: usize = 200;

/// The same meaning in Rust's syntax, or why Go refuses it.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        chars: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 8),
        groups: Vec::new(),
        names: Vec::new(),
        item: Item::None,
        repeats: 1,
        unicode_classes: 0,
    };
    translator
        .run()
        .map_err(|reason| format!("error parsing regexp: {reason}: `{pattern}`"))?;
    Ok(translator.out)
}

/// What a repetition operator would apply to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    None,
    /// Something; the product of the repetitions inside of it.
    Some(u32),
    /// A repetition: another one must not follow.
    Repeated,
}

struct Translator<'p> {
    chars: Peekable<Chars<'p>>,
    out: String,
    /// For each open group, the largest product of repetitions inside of it so far.
    groups: Vec<u32>,
    names: Vec<String>,
    item: Item,
    /// The largest product of repetitions in the open group.
    repeats: u32,
    unicode_classes: usize,
}

type Outcome = Result<(), String>;

impl Translator<'_> {
    fn run(&mut self) -> Outcome {
        while let Some(c) = self.chars.next() {
            match c {
                '\\' => self.escape()?,
                '[' => {
                    self.class()?;
                    self.item = Item::Some(1);
                }
                '(' => self.open()?,
                ')' => {
                    let Some(outer) = self.groups.pop() else {
                        return Err("unexpected )".to_owned());
                    };
                    self.out.push(')');
                    self.item = Item::Some(self.repeats);
                    self.repeats = self.repeats.max(outer);
                }
                '|' => {
                    self.out.push('|');
                    self.item = Item::None;
                }
                '*' | '+' | '?' => {
                    self.out.push(c);
                    self.repeated(1)?;
                }
                '{' => self.braces()?,
                '^' | '$' | '.' => {
                    self.out.push(c);
                    self.item = Item::Some(1);
                }
                c => self.literal(c),
            }
        }
        if self.groups.is_empty() {
            Ok(())
        } else {
            Err("missing closing )".to_owned())
        }
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.item = Item::Some(1);
    }

    /// After a repetition operator: what it applies to must be there, and not be a repetition itself.
    fn repeated(&mut self, times: u32) -> Outcome {
        let inner = match self.item {
            Item::None => return Err("missing argument to repetition operator".to_owned()),
            Item::Repeated => return Err("invalid nested repetition operator".to_owned()),
            Item::Some(inner) => inner,
        };
        let product = inner.saturating_mul(times.max(1));
        if product > REPEAT_MAX {
            return Err("invalid repeat count".to_owned());
        }
        self.repeats = self.repeats.max(product);
        if self.chars.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
        self.item = Item::Repeated;
        Ok(())
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else in braces is literal.
    fn braces(&mut self) -> Outcome {
        let mut ahead = self.chars.clone();
        let Some((low, high, text)) = repetition(&mut ahead) else {
            self.literal('{');
            return Ok(());
        };
        let largest = high.unwrap_or(low);
        if low > REPEAT_MAX || largest > REPEAT_MAX || low > largest {
            return Err("invalid repeat count".to_owned());
        }
        self.chars = ahead;
        self.out.push_str(&text);
        self.repeated(largest)
    }

    fn open(&mut self) -> Outcome {
        if self.groups.len() >= NESTING_MAX {
            return Err("expression nests too deeply".to_owned());
        }
        self.out.push('(');
        if self.chars.next_if_eq(&'?').is_some() && self.group_head()? {
            return Ok(());
        }
        self.groups.push(self.repeats);
        self.repeats = 1;
        self.item = Item::None;
        Ok(())
    }

    /// What follows `(?`; true where the group is only flags, `(?i)`.
    fn group_head(&mut self) -> Result<bool, String> {
        self.out.push('?');
        let named = self.chars.next_if_eq(&'P').is_some();
        if self.chars.next_if_eq(&'<').is_some() {
            let mut name = String::new();
            loop {
                match self.chars.next() {
                    Some('>') => break,
                    Some(c) if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                    _ => return Err("invalid named capture".to_owned()),
                }
            }
            let digit = name.starts_with(|c: char| c.is_ascii_digit());
            if name.is_empty() || digit {
                return Err("invalid named capture".to_owned());
            }
            if self.names.contains(&name) {
                return Err("duplicate capture group name".to_owned());
            }
            self.out.push_str(&format!("P<{name}>"));
            self.names.push(name);
            return Ok(false);
        }
        if named {
            return Err("invalid named capture".to_owned());
        }
        let (mut negated, mut any) = (false, false);
        loop {
            let Some(c) = self.chars.next() else {
                return Err("missing argument to group flags".to_owned());
            };
            match c {
                'i' | 'm' | 's' | 'U' => {
                    any = true;
                    self.out.push(c);
                }
                '-' if !negated => {
                    (negated, any) = (true, false);
                    self.out.push('-');
                }
                ':' | ')' if negated && !any => {
                    return Err("invalid or unsupported Perl syntax".to_owned());
                }
                ':' => {
                    self.out.push(':');
                    return Ok(false);
                }
                ')' => {
                    if !any {
                        // `(?)` changes nothing, and Rust does not know it.
                        self.out.push(':');
                    }
                    self.out.push(')');
                    self.item = Item::None;
                    return Ok(true);
                }
                _ => return Err("invalid or unsupported Perl syntax".to_owned()),
            }
        }
    }

    /// After a backslash outside of a class.
    fn escape(&mut self) -> Outcome {
        match self.chars.peek().copied() {
            None => return Err("trailing backslash at end of expression".to_owned()),
            Some('Q') => {
                self.chars.next();
                self.quoted();
                return Ok(());
            }
            Some(c @ ('A' | 'z')) => {
                self.chars.next();
                self.out.push('\\');
                self.out.push(c);
            }
            Some(c @ ('b' | 'B')) => {
                self.chars.next();
                self.out.push_str(&format!(r"(?-u:\{c})"));
            }
            Some('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P') => {
                let class = self.class_escape()?;
                self.out.push_str(&class);
            }
            Some(_) => {
                let c = self.character()?;
                push_literal(&mut self.out, c);
            }
        }
        self.item = Item::Some(1);
        Ok(())
    }

    /// Everything up to `\E` is literal.
    fn quoted(&mut self) {
        while let Some(c) = self.chars.next() {
            if c == '\\' && self.chars.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(c);
        }
    }

    /// `\d` and its kin, ASCII; `\pL`, `\p{Greek}`, `\P{^Greek}`. Valid inside and outside of brackets.
    fn class_escape(&mut self) -> Result<String, String> {
        let kind = self.chars.next().unwrap_or('d');
        Ok(match kind {
            'd' => "[0-9]".to_owned(),
            'D' => "[^0-9]".to_owned(),
            's' => r"[\t\n\f\r ]".to_owned(),
            'S' => r"[^\t\n\f\r ]".to_owned(),
            'w' => "[0-9A-Za-z_]".to_owned(),
            'W' => "[^0-9A-Za-z_]".to_owned(),
            _ => return self.unicode_class(kind == 'P'),
        })
    }

    fn unicode_class(&mut self, mut negated: bool) -> Result<String, String> {
        let invalid = || "invalid character class range".to_owned();
        let mut name = String::new();
        match self.chars.next().ok_or_else(invalid)? {
            '{' => loop {
                match self.chars.next().ok_or_else(invalid)? {
                    '}' => break,
                    '^' if name.is_empty() => negated = !negated,
                    c if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                    _ => return Err(invalid()),
                }
            },
            c if c.is_ascii_alphabetic() => name.push(c),
            _ => return Err(invalid()),
        }
        if name == "Any" {
            return Ok(if negated {
                r"[^\x00-\x{10FFFF}]"
            } else {
                r"[\x00-\x{10FFFF}]"
            }
            .to_owned());
        }
        self.unicode_classes += 1;
        if self.unicode_classes > UNICODE_CLASSES_MAX {
            return Err("expression too large".to_owned());
        }
        let letter = if negated { 'P' } else { 'p' };
        Ok(format!(r"\{letter}{{{name}}}"))
    }

    /// An escape that stands for one character.
    fn character(&mut self) -> Result<char, String> {
        let invalid = || "invalid escape sequence".to_owned();
        let c = self.chars.next().ok_or_else(invalid)?;
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => {
                return self
                    .hexadecimal()
                    .and_then(char::from_u32)
                    .ok_or_else(invalid);
            }
            '0'..='7' => {
                // A single digit other than 0 would be a back reference.
                if c != '0' && !self.chars.peek().is_some_and(|c| ('0'..='7').contains(c)) {
                    return Err(invalid());
                }
                let mut value = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.chars.next_if(|c| ('0'..='7').contains(c)) else {
                        break;
                    };
                    value = value * 8 + digit.to_digit(8).unwrap_or(0);
                }
                char::from_u32(value).ok_or_else(invalid)?
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(invalid()),
        })
    }

    /// `\x41` or `\x{41}`.
    fn hexadecimal(&mut self) -> Option<u32> {
        let mut digits = String::new();
        if self.chars.next_if_eq(&'{').is_some() {
            loop {
                match self.chars.next()? {
                    '}' => break,
                    c if c.is_ascii_hexdigit() && digits.len() < 8 => digits.push(c),
                    _ => return None,
                }
            }
        } else {
            digits.push(self.chars.next_if(char::is_ascii_hexdigit)?);
            digits.push(self.chars.next_if(char::is_ascii_hexdigit)?);
        }
        u32::from_str_radix(&digits, 16).ok()
    }

    /// After `[`. Rust has set operators and nested classes there; to Go all of those are characters.
    fn class(&mut self) -> Outcome {
        self.out.push('[');
        if self.chars.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.chars.peek().copied() else {
                return Err("missing closing ]".to_owned());
            };
            if c == ']' && !first {
                self.chars.next();
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if c == '[' && self.posix_class()? {
                continue;
            }
            let mut ahead = self.chars.clone();
            ahead.next();
            let escaped = ahead.peek().copied();
            if c == '\\' && matches!(escaped, Some('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P')) {
                self.chars.next();
                let class = self.class_escape()?;
                self.out.push_str(&class);
                continue;
            }
            self.class_range()?;
        }
    }

    /// A character, or two with a dash between.
    fn class_range(&mut self) -> Outcome {
        let low = self.class_character()?;
        let mut ahead = self.chars.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']');
        push_literal(&mut self.out, low);
        if !is_range {
            return Ok(());
        }
        self.chars.next();
        let high = self.class_character()?;
        if high < low {
            return Err("invalid character class range".to_owned());
        }
        self.out.push('-');
        push_literal(&mut self.out, high);
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, String> {
        match self.chars.next() {
            Some('\\') => self.character(),
            Some(c) => Ok(c),
            None => Err("missing closing ]".to_owned()),
        }
    }

    /// `[:alpha:]` or `[:^alpha:]`; false where it is only a bracket.
    fn posix_class(&mut self) -> Result<bool, String> {
        let mut ahead = self.chars.clone();
        ahead.next();
        if ahead.next() != Some(':') {
            return Ok(false);
        }
        let mut text = String::from("[:");
        loop {
            match ahead.next() {
                Some(':') if ahead.peek() == Some(&']') => break,
                Some(c) if c.is_ascii_alphabetic() || (c == '^' && text.len() == 2) => text.push(c),
                // No colon and bracket at its end: characters after all.
                _ => return Ok(false),
            }
        }
        ahead.next();
        text.push_str(":]");
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        let name = text[2..text.len() - 2].trim_start_matches('^');
        if !NAMES.contains(&name) {
            return Err("invalid character class range".to_owned());
        }
        self.chars = ahead;
        self.out.push_str(&text);
        Ok(true)
    }
}

/// `n}`, `n,}` or `n,m}` with its text.
fn repetition(chars: &mut Peekable<Chars<'_>>) -> Option<(u32, Option<u32>, String)> {
    let mut text = String::from("{");
    let mut number = |chars: &mut Peekable<Chars<'_>>| {
        let mut value = None;
        while let Some(c) = chars.next_if(char::is_ascii_digit) {
            text.push(c);
            value = Some(
                value
                    .unwrap_or(0u32)
                    .saturating_mul(10)
                    .saturating_add(c.to_digit(10).unwrap_or(0)),
            );
        }
        if let Some(c) = chars.next_if(|c| matches!(c, ',' | '}')) {
            text.push(c);
            return Some((value, c));
        }
        None
    };
    let (low, behind) = number(chars)?;
    let low = low?;
    if behind == '}' {
        return Some((low, None, text));
    }
    let (high, behind) = number(chars)?;
    (behind == '}').then_some((low, high, text))
}

fn push_literal(out: &mut String, c: char) {
    // Escaping anything else may give it a meaning: `\<` is a word boundary to Rust.
    if regex_syntax::is_meta_character(c) {
        out.push('\\');
    }
    out.push(c);
}
