//! The functions of templates: those of Go's `text/template`, and those that Prometheus adds (template/template.go).

use stillwell_engine::labels::{Labels, Re2};

use super::super::humanize;
use super::value::{Value, map};
use super::{Data, OUTPUT_BYTES_MAX};
use crate::http_client::encode_query;

/// Calls a function of templates by its name.
pub(super) fn call(name: &str, args: &[Value], data: &Data<'_>) -> Result<Value, String> {
    let args = Args { name, all: args };
    let called = core_function(&args)
        .or_else(|| query_function(&args, data))
        .or_else(|| pattern_function(&args, data))
        .or_else(|| text_function(&args))
        .or_else(|| number_function(&args))
        .or_else(|| server_function(&args, data));
    called.unwrap_or_else(|| Err(format!("no function {name}")))
}

/// A function's name and what it is called with.
struct Args<'a> {
    name: &'a str,
    all: &'a [Value],
}

impl Args<'_> {
    fn one(&self) -> Result<&Value, String> {
        match self.all {
            [one] => Ok(one),
            all => Err(format!(
                "{} takes one argument, not {}",
                self.name,
                all.len()
            )),
        }
    }

    fn text(&self) -> Result<String, String> {
        self.one().map(Value::text)
    }

    fn number(&self) -> Result<f64, String> {
        self.one().and_then(Value::number)
    }
}

/// A function's result; `None` where it is not one of these.
type Called = Option<Result<Value, String>>;

/// What every template of Go has.
fn core_function(args: &Args<'_>) -> Called {
    let all = args.all;
    Some(match args.name {
        "and" => pick(all, |value| !value.holds()),
        "or" => pick(all, Value::holds),
        "not" => args.one().map(|value| Value::Bool(!value.holds())),
        name @ ("eq" | "ne" | "lt" | "le" | "gt" | "ge") => compare(name, all).map(Value::Bool),
        "len" => args.one().and_then(length),
        "index" => index(all),
        "print" => Ok(Value::Text(all.iter().map(Value::text).collect())),
        "println" => {
            let texts: Vec<String> = all.iter().map(Value::text).collect();
            Ok(Value::Text(texts.join(" ") + "\n"))
        }
        "printf" => printf(all).map(Value::Text),
        "html" | "js" => args.text().map(Value::Text),
        _ => return None,
    })
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        other => return Err(format!("{} has no length", other.text())),
    };
    Ok(Value::Int(length as i64))
}

/// Queries and what they yield.
fn query_function(args: &Args<'_>, data: &Data<'_>) -> Called {
    Some(match args.name {
        "query" => args
            .text()
            .and_then(|text| (data.query)(&text))
            .map(|found| {
                let sample = |(labels, value): (Labels, f64)| Value::Sample(map(&labels), value);
                Value::List(found.into_iter().map(sample).collect())
            }),
        "first" => match args.one() {
            Ok(Value::List(items)) => {
                let first = items.first().cloned();
                first.ok_or("first() called on vector with no elements".to_owned())
            }
            other => Err(format!(
                "first of {}",
                other.map_or(String::new(), Value::text)
            )),
        },
        "label" => match args.all {
            [label, Value::Sample(labels, _)] => {
                let value = labels.get(&label.text());
                Ok(Value::Text(value.cloned().unwrap_or_default()))
            }
            _ => Err("label takes a name and a sample".to_owned()),
        },
        "value" => match args.one() {
            Ok(Value::Sample(_, value)) => Ok(Value::Float(*value)),
            other => Err(format!(
                "value of {}",
                other.map_or(String::new(), Value::text)
            )),
        },
        "strvalue" => match args.one() {
            Ok(Value::Sample(labels, _)) => {
                let value = labels.get("__value__");
                Ok(Value::Text(value.cloned().unwrap_or_default()))
            }
            other => Err(format!(
                "strvalue of {}",
                other.map_or(String::new(), Value::text)
            )),
        },
        "sortByLabel" => sort_by_label(args.all),
        "args" => {
            let named = args.all.iter().enumerate();
            let named = named.map(|(at, arg)| (format!("arg{at}"), arg.text()));
            Ok(Value::Map(named.collect()))
        }
        _ => return None,
    })
}

/// Texts to texts.
fn text_function(args: &Args<'_>) -> Called {
    let map: fn(String) -> String = match args.name {
        "safeHtml" => |text| text,
        "title" => |text| title(&text),
        "toUpper" => |text| text.to_uppercase(),
        "toLower" => |text| text.to_lowercase(),
        "graphLink" => |text| link(&text, 0),
        "tableLink" => |text| link(&text, 1),
        "stripPort" => |text| split_port(&text).0,
        "stripDomain" => |text| strip_domain(&text),
        "urlquery" | "urlQueryEscape" => |text| {
            let mut out = String::new();
            encode_query(&text, &mut out);
            out
        },
        _ => return None,
    };
    Some(args.text().map(|text| Value::Text(map(text))))
}

/// Those that match a pattern.
fn pattern_function(args: &Args<'_>, data: &Data<'_>) -> Called {
    Some(match args.name {
        "reReplaceAll" => replace_all(args.all, data),
        "match" => matches(args.all),
        _ => return None,
    })
}

fn matches(args: &[Value]) -> Result<Value, String> {
    let [pattern, text] = args else {
        return Err("match takes a pattern and a text".to_owned());
    };
    // The pattern may fit anywhere.
    let anywhere = format!(".*(?:{}).*", pattern.text());
    let pattern = Re2::new(&anywhere).map_err(|error| error.to_string())?;
    Ok(Value::Bool(pattern.is_match(&text.text())))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_port(text);
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let host = match is_address {
        true => host,
        false => host.split('.').next().unwrap_or("").to_owned(),
    };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// Numbers to texts.
fn number_function(args: &Args<'_>) -> Called {
    let show: fn(f64) -> String = match args.name {
        "humanize" => humanize::humanize,
        "humanize1024" => humanize::humanize1024,
        "humanizeDuration" | "toDuration" => humanize::duration,
        "humanizePercentage" => humanize::percentage,
        "humanizeTimestamp" => humanize::timestamp,
        _ => return None,
    };
    Some(args.number().map(|number| Value::Text(show(number))))
}

/// What this server knows.
fn server_function(args: &Args<'_>, data: &Data<'_>) -> Called {
    Some(match args.name {
        "now" => Ok(Value::Float(data.now_s)),
        "externalURL" => Ok(Value::Text(data.external_url.to_owned())),
        "pathPrefix" => {
            let rest = data.external_url.split_once("://");
            let rest = rest.map_or("", |(_, rest)| rest);
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            Ok(Value::Text(path.trim_end_matches('/').to_owned()))
        }
        "parseDuration" => {
            let read = |text: String| crate::config::units::duration_ms(&text);
            let ms = args.text().and_then(read);
            ms.map(|ms| Value::Float(ms as f64 / 1000.0))
        }
        _ => return None,
    })
}

/// The first argument for which `decides` holds, or the last.
fn pick(args: &[Value], decides: impl Fn(&Value) -> bool) -> Result<Value, String> {
    let decided = args.iter().find(|value| decides(value)).or(args.last());
    decided.cloned().ok_or("an argument is missing".to_owned())
}

fn compare(name: &str, args: &[Value]) -> Result<bool, String> {
    let [left, others @ ..] = args else {
        return Err(format!("{name} needs two arguments"));
    };
    if others.is_empty() {
        return Err(format!("{name} needs two arguments"));
    }
    let order = |right: &Value| -> Result<Option<std::cmp::Ordering>, String> {
        match (left, right) {
            (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
            (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                Ok(left.number()?.partial_cmp(&right.number()?))
            }
            _ => Err(format!(
                "{name} of {} and {}, which are of different kinds",
                left.text(),
                right.text()
            )),
        }
    };
    if name == "eq" {
        for right in others {
            if order(right)?.is_some_and(std::cmp::Ordering::is_eq) {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let found = order(&others[0])?;
    Ok(match name {
        "ne" => found.is_none_or(std::cmp::Ordering::is_ne),
        "lt" => found.is_some_and(std::cmp::Ordering::is_lt),
        "le" => found.is_some_and(std::cmp::Ordering::is_le),
        "gt" => found.is_some_and(std::cmp::Ordering::is_gt),
        _ => found.is_some_and(std::cmp::Ordering::is_ge),
    })
}

fn index(args: &[Value]) -> Result<Value, String> {
    match args {
        [Value::Map(entries), key] => Ok(Value::Text(
            entries.get(&key.text()).cloned().unwrap_or_default(),
        )),
        [Value::List(items), Value::Int(at)] => {
            let found = usize::try_from(*at).ok().and_then(|at| items.get(at));
            found
                .cloned()
                .ok_or_else(|| format!("{at} is outside a list of {}", items.len()))
        }
        _ => Err("index takes a map and a name, or a list and a number".to_owned()),
    }
}

fn sort_by_label(args: &[Value]) -> Result<Value, String> {
    let [name, Value::List(items)] = args else {
        return Err("sortByLabel takes a name and the result of a query".to_owned());
    };
    let name = name.text();
    let of = |value: &Value| match value {
        Value::Sample(labels, _) => labels.get(&name).cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let mut items = items.clone();
    items.sort_by_key(of);
    Ok(Value::List(items))
}

fn replace_all(args: &[Value], data: &Data<'_>) -> Result<Value, String> {
    let [pattern, replacement, text] = args else {
        return Err("reReplaceAll takes a pattern, a replacement and a text".to_owned());
    };
    // The engine's patterns fit whole texts: what is before and behind is taken along, the shortest first.
    let whole = format!(
        "(?s)(?P<before>.*?)(?P<found>{})(?P<behind>.*)",
        pattern.text()
    );
    let whole = Re2::new(&whole).map_err(|error| error.to_string())?;
    let inner = Re2::new(&pattern.text()).map_err(|error| error.to_string())?;
    let (mut out, mut rest) = (String::new(), text.text());
    while out.len() <= OUTPUT_BYTES_MAX {
        data.budget.spend(rest.len())?; // each match looks at all that is left
        let Some(captures) = whole.captures(&rest) else {
            break;
        };
        let part = |name: &str| {
            let mut out = String::new();
            stillwell_engine::labels::expand(
                &format!("${{{name}}}"),
                &rest,
                &captures,
                usize::MAX,
                &mut out,
            );
            out
        };
        let (before, found, behind) = (part("before"), part("found"), part("behind"));
        if found.is_empty() {
            break; // an empty match everywhere is nobody's wish
        }
        out.push_str(&before);
        match inner.captures(&found) {
            Some(captures) => {
                stillwell_engine::labels::expand(
                    &replacement.text(),
                    &found,
                    &captures,
                    usize::MAX,
                    &mut out,
                );
            }
            None => out.push_str(&found),
        }
        rest = behind;
    }
    Ok(Value::Text(out + &rest))
}

fn title(text: &str) -> String {
    let mut out = String::new();
    let mut begins = true;
    for c in text.chars() {
        match begins && c.is_alphabetic() {
            true => out.extend(c.to_uppercase()),
            false => out.push(c),
        }
        begins = !(c.is_alphanumeric() || c == '\'');
    }
    out
}

fn link(expression: &str, tab: u8) -> String {
    let mut out = "/graph?g0.expr=".to_owned();
    encode_query(expression, &mut out);
    out + &format!("&g0.tab={tab}")
}

fn split_port(text: &str) -> (String, Option<String>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && (!host.contains(':') || host.ends_with(']')) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (host.to_owned(), Some(port.to_owned()))
        }
        _ => (text.to_owned(), None),
    }
}

/// Go's `Sprintf`, as far as annotations use it.
fn printf(args: &[Value]) -> Result<String, String> {
    let Some((format, args)) = args.split_first() else {
        return Err("printf needs a format".to_owned());
    };
    let format = format.text();
    let mut args = args.iter();
    let mut out = String::new();
    let mut rest = format.as_str();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find(|c: char| !"+-# 0123456789.".contains(c));
        let Some(end) = end else {
            out.push_str("%!(NOVERB)");
            return Ok(out);
        };
        let verb = rest[end..].chars().next().unwrap_or('%');
        let flags = &rest[..end];
        rest = &rest[end + verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(arg) = args.next() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        out.push_str(&padded(&verb_text(verb, flags, arg), flags));
    }
    out.push_str(rest);
    Ok(out)
}

/// Characters of a number, and digits behind its point: more are nobody's wish.
const WIDTH_MAX: usize = 1_000;

fn verb_text(verb: char, flags: &str, arg: &Value) -> String {
    let precision = flags
        .split_once('.')
        .map(|(_, digits)| digits.parse().unwrap_or(0).min(WIDTH_MAX));
    let number = arg.number();
    let text = match (verb, number, arg) {
        ('s' | 'v', _, Value::Float(value)) if verb == 's' => {
            format!("%!s(float64={})", Value::Float(*value).text())
        }
        ('s' | 'v', _, other) => {
            let text = other.text();
            precision.map_or(text.clone(), |most| text.chars().take(most).collect())
        }
        ('q', _, other) => format!("{:?}", other.text()),
        ('t', _, Value::Bool(bool)) => bool.to_string(),
        ('d', _, Value::Int(value)) => value.to_string(),
        ('x', _, Value::Int(value)) => format!("{value:x}"),
        ('f' | 'F', Ok(value), Value::Float(_)) if value.is_finite() => {
            format!("{value:.*}", precision.unwrap_or(6))
        }
        ('e', Ok(value), Value::Float(_)) if value.is_finite() => {
            let text = format!("{value:.*e}", precision.unwrap_or(6));
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        ('g', Ok(value), Value::Float(_)) => match precision {
            Some(precision) => humanize::general(value, precision),
            None => Value::Float(value).text(),
        },
        ('f' | 'e' | 'F', Ok(value), Value::Float(_)) => Value::Float(value).text(),
        (verb, _, Value::Float(_)) => format!("%!{verb}(float64={})", arg.text()),
        (verb, _, Value::Int(_)) => format!("%!{verb}(int={})", arg.text()),
        (verb, _, _) => format!("%!{verb}(string={})", arg.text()),
    };
    let is_number = matches!(arg, Value::Int(_) | Value::Float(_));
    match flags.contains('+') && is_number && !text.starts_with(['-', '+', '%']) {
        true => format!("+{text}"),
        false => text,
    }
}

fn padded(text: &str, flags: &str) -> String {
    let whole = flags.split('.').next().unwrap_or("");
    let digits = whole.trim_start_matches(['+', '-', '#', ' ', '0']);
    let width: usize = digits.parse().unwrap_or(0);
    let width = width.min(WIDTH_MAX);
    let missing = width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text.to_owned();
    }
    let zeros = whole.trim_start_matches(['+', ' ', '#']).starts_with('0');
    if whole.contains('-') {
        format!("{text}{}", " ".repeat(missing))
    } else if zeros {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text),
        };
        format!("{sign}{}{digits}", "0".repeat(missing))
    } else {
        format!("{}{text}", " ".repeat(missing))
    }
}
