//! Values of attributes as texts, as OpenTelemetry's collector writes them (pdata, `Value.AsString`).

use serde_json::{Map, Number};

use super::messages::{AnyValue, KeyValue, Value};

/// The text of a value; empty where it has none.
pub(super) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Int(number)) => number.to_string(),
        Some(Value::Double(number)) => double(*number),
        Some(Value::Bytes(bytes)) => base64(bytes),
        Some(Value::Array(_) | Value::List(_)) => json(value).to_string(),
    }
}

/// A float as in JSON: with an exponent where it is very small or large.
fn double(number: f64) -> String {
    if !number.is_finite() {
        let shown = match number {
            n if n.is_nan() => "NaN",
            n if n > 0.0 => "+Inf",
            _ => "-Inf",
        };
        return format!("json: unsupported value: {shown}");
    }
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return match text.contains("e-") {
            true => text,
            false => text.replace('e', "e+"),
        };
    }
    number.to_string()
}

fn json(value: Option<&AnyValue>) -> serde_json::Value {
    use serde_json::Value as Json;
    match value.and_then(|value| value.value.as_ref()) {
        None => Json::Null,
        Some(Value::String(text)) => Json::String(text.clone()),
        Some(Value::Bool(flag)) => Json::Bool(*flag),
        Some(Value::Int(number)) => Json::Number((*number).into()),
        Some(Value::Double(number)) => {
            let whole = number.trunc() == *number && number.abs() < 1e15;
            match (whole, Number::from_f64(*number)) {
                (true, _) => Json::Number((*number as i64).into()),
                (false, Some(number)) => Json::Number(number),
                (false, None) => Json::Null,
            }
        }
        Some(Value::Bytes(bytes)) => Json::String(base64(bytes)),
        Some(Value::Array(array)) => {
            Json::Array(array.values.iter().map(|value| json(Some(value))).collect())
        }
        Some(Value::List(list)) => Json::Object(object(&list.values)),
    }
}

fn object(pairs: &[KeyValue]) -> Map<String, serde_json::Value> {
    let pairs = pairs.iter();
    let pairs = pairs.map(|pair| (pair.key.clone(), json(pair.value.as_ref())));
    // Sorted by key, as Go does.
    let sorted: std::collections::BTreeMap<String, serde_json::Value> = pairs.collect();
    sorted.into_iter().collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let all = three
            .iter()
            .fold(0u32, |all, byte| all << 8 | u32::from(*byte));
        let all = all << (8 * (3 - three.len()));
        for digit in 0..4 {
            match digit <= three.len() {
                true => out.push(char::from(DIGITS[(all >> (18 - 6 * digit) & 63) as usize])),
                false => out.push('='),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::messages::{ArrayValue, KeyValueList};
    use super::*;

    #[test]
    fn each_kind_has_its_text() {
        let any = |value| AnyValue { value: Some(value) };
        let list = Value::List(KeyValueList {
            values: vec![
                KeyValue {
                    key: "b".to_owned(),
                    value: Some(any(Value::String("<&".to_owned()))),
                },
                KeyValue {
                    key: "a".to_owned(),
                    value: Some(any(Value::Double(2.0))),
                },
            ],
        });
        let array = Value::Array(ArrayValue {
            values: vec![
                any(Value::Int(1)),
                any(Value::Bool(true)),
                AnyValue::default(),
            ],
        });
        for (value, says) in [
            (Value::String("x".to_owned()), "x"),
            (Value::Bool(true), "true"),
            (Value::Int(-3), "-3"),
            (Value::Double(1.0), "1"),
            (Value::Double(0.25), "0.25"),
            (Value::Double(1e21), "1e+21"),
            (Value::Double(1e-7), "1e-7"),
            (Value::Double(f64::NAN), "json: unsupported value: NaN"),
            (Value::Bytes(b"abcd".to_vec()), "YWJjZA=="),
            (Value::Bytes(b"abc".to_vec()), "YWJj"),
            (list, "{\"a\":2,\"b\":\"<&\"}"),
            (array, "[1,true,null]"),
        ] {
            assert_eq!(text(Some(&any(value.clone()))), says, "{value:?}");
        }
        assert_eq!(text(None), "");
    }
}
