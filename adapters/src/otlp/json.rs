//! Requests in OTLP's JSON: protobuf's, with whole numbers as texts or numbers and enumerations as numbers (the OTLP
//! specification, "JSON Protobuf Encoding"). Fields that are not known are skipped.

use serde_json::Value as Json;

use super::messages::*;

/// A request. Error: what is not as it should be, and where.
pub(super) fn request(bytes: &[u8]) -> Result<ExportMetricsServiceRequest, String> {
    let json: Json = serde_json::from_slice(bytes).map_err(|error| format!("not JSON: {error}"))?;
    if !json.is_object() {
        return Err("not a JSON object".to_owned());
    }
    Ok(ExportMetricsServiceRequest {
        resource_metrics: list(&json, "resourceMetrics", resource_metrics)?,
    })
}

fn resource_metrics(json: &Json) -> Result<ResourceMetrics, String> {
    let attributes = list(&json["resource"], "attributes", key_value)?;
    Ok(ResourceMetrics {
        resource: Some(Resource { attributes }),
        scope_metrics: list(json, "scopeMetrics", scope_metrics)?,
    })
}

fn scope_metrics(json: &Json) -> Result<ScopeMetrics, String> {
    let scope = &json["scope"];
    Ok(ScopeMetrics {
        scope: Some(Scope {
            name: text(scope, "name")?,
            version: text(scope, "version")?,
            attributes: list(scope, "attributes", key_value)?,
        }),
        metrics: list(json, "metrics", metric)?,
        schema_url: text(json, "schemaUrl")?,
    })
}

fn metric(json: &Json) -> Result<Metric, String> {
    let has = |name: &str| json[name].is_object();
    let data = if has("gauge") {
        Some(Data::Gauge(Gauge {
            data_points: list(&json["gauge"], "dataPoints", number_point)?,
        }))
    } else if has("sum") {
        let sum = &json["sum"];
        Some(Data::Sum(Sum {
            data_points: list(sum, "dataPoints", number_point)?,
            aggregation_temporality: temporality(sum)?,
            is_monotonic: sum["isMonotonic"].as_bool().unwrap_or(false),
        }))
    } else if has("histogram") {
        let histogram = &json["histogram"];
        Some(Data::Histogram(Histogram {
            data_points: list(histogram, "dataPoints", histogram_point)?,
            aggregation_temporality: temporality(histogram)?,
        }))
    } else if has("exponentialHistogram") {
        let histogram = &json["exponentialHistogram"];
        Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: list(histogram, "dataPoints", exponential_point)?,
            aggregation_temporality: temporality(histogram)?,
        }))
    } else if has("summary") {
        Some(Data::Summary(Summary {
            data_points: list(&json["summary"], "dataPoints", summary_point)?,
        }))
    } else {
        None
    };
    Ok(Metric {
        name: text(json, "name")?,
        unit: text(json, "unit")?,
        data,
    })
}

/// A number, or the name of the enumeration's value.
fn temporality(json: &Json) -> Result<i32, String> {
    match &json["aggregationTemporality"] {
        Json::String(name) => match name.as_str() {
            "AGGREGATION_TEMPORALITY_DELTA" => Ok(1),
            "AGGREGATION_TEMPORALITY_CUMULATIVE" => Ok(2),
            "AGGREGATION_TEMPORALITY_UNSPECIFIED" => Ok(0),
            other => Err(format!("aggregationTemporality: {other:?} is not known")),
        },
        _ => whole(json, "aggregationTemporality"),
    }
}

fn number_point(json: &Json) -> Result<NumberDataPoint, String> {
    let value = match (&json["asDouble"], &json["asInt"]) {
        (Json::Null, Json::Null) => None,
        (Json::Null, _) => Some(Number::AsInt(whole(json, "asInt")?)),
        _ => Some(Number::AsDouble(double(json, "asDouble")?)),
    };
    Ok(NumberDataPoint {
        attributes: list(json, "attributes", key_value)?,
        time_unix_nano: whole(json, "timeUnixNano")?,
        value,
        flags: whole(json, "flags")?,
    })
}

fn histogram_point(json: &Json) -> Result<HistogramDataPoint, String> {
    Ok(HistogramDataPoint {
        attributes: list(json, "attributes", key_value)?,
        time_unix_nano: whole(json, "timeUnixNano")?,
        count: whole(json, "count")?,
        sum: optional(json, "sum")?,
        bucket_counts: list(json, "bucketCounts", |count| {
            whole_of(count, "bucketCounts")
        })?,
        explicit_bounds: list(json, "explicitBounds", |bound| {
            double_of(bound, "explicitBounds")
        })?,
        flags: whole(json, "flags")?,
    })
}

fn exponential_point(json: &Json) -> Result<ExponentialHistogramDataPoint, String> {
    let buckets = |name: &str| -> Result<Option<Buckets>, String> {
        let side = &json[name];
        Ok(Some(Buckets {
            offset: whole(side, "offset")?,
            bucket_counts: list(side, "bucketCounts", |count| {
                whole_of(count, "bucketCounts")
            })?,
        }))
    };
    Ok(ExponentialHistogramDataPoint {
        attributes: list(json, "attributes", key_value)?,
        time_unix_nano: whole(json, "timeUnixNano")?,
        count: whole(json, "count")?,
        sum: optional(json, "sum")?,
        scale: whole(json, "scale")?,
        zero_count: whole(json, "zeroCount")?,
        positive: buckets("positive")?,
        negative: buckets("negative")?,
        flags: whole(json, "flags")?,
    })
}

fn summary_point(json: &Json) -> Result<SummaryDataPoint, String> {
    let quantile = |json: &Json| {
        Ok(ValueAtQuantile {
            quantile: double(json, "quantile")?,
            value: double(json, "value")?,
        })
    };
    Ok(SummaryDataPoint {
        attributes: list(json, "attributes", key_value)?,
        time_unix_nano: whole(json, "timeUnixNano")?,
        count: whole(json, "count")?,
        sum: double(json, "sum")?,
        quantile_values: list(json, "quantileValues", quantile)?,
        flags: whole(json, "flags")?,
    })
}

fn key_value(json: &Json) -> Result<KeyValue, String> {
    Ok(KeyValue {
        key: text(json, "key")?,
        value: match &json["value"] {
            Json::Null => None,
            value => Some(any_value(value)?),
        },
    })
}

/// serde_json refuses what is nested more than 128 deep, so this ends.
fn any_value(json: &Json) -> Result<AnyValue, String> {
    let Some(fields) = json.as_object() else {
        return Err("value: not an object like {\"stringValue\": \"x\"}".to_owned());
    };
    let Some((kind, inner)) = fields.iter().next() else {
        return Ok(AnyValue::default());
    };
    let value = match kind.as_str() {
        "stringValue" => Value::String(text(json, kind)?),
        "boolValue" => Value::Bool(inner.as_bool().unwrap_or(false)),
        "intValue" => Value::Int(whole(json, kind)?),
        "doubleValue" => Value::Double(double(json, kind)?),
        "arrayValue" => Value::Array(ArrayValue {
            values: list(inner, "values", any_value)?,
        }),
        "kvlistValue" => Value::List(KeyValueList {
            values: list(inner, "values", key_value)?,
        }),
        "bytesValue" => Value::Bytes(text(json, kind)?.into_bytes()),
        _ => return Ok(AnyValue::default()),
    };
    Ok(AnyValue { value: Some(value) })
}

fn list<T>(
    json: &Json,
    name: &str,
    read: impl Fn(&Json) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match &json[name] {
        Json::Null => Ok(Vec::new()),
        Json::Array(items) => items.iter().map(read).collect(),
        _ => Err(format!("{name}: not a list")),
    }
}

fn text(json: &Json, name: &str) -> Result<String, String> {
    match &json[name] {
        Json::Null => Ok(String::new()),
        Json::String(text) => Ok(text.clone()),
        _ => Err(format!("{name}: not a text")),
    }
}

fn whole<T: TryFrom<i128> + Default>(json: &Json, name: &str) -> Result<T, String> {
    match &json[name] {
        Json::Null => Ok(T::default()),
        value => whole_of(value, name),
    }
}

fn whole_of<T: TryFrom<i128>>(value: &Json, name: &str) -> Result<T, String> {
    let number = match value {
        Json::String(text) => text.trim().parse::<i128>().ok(),
        Json::Number(number) => {
            let exact = number
                .as_i64()
                .map(i128::from)
                .or(number.as_u64().map(i128::from));
            exact.or_else(|| {
                let float = number.as_f64().filter(|float| float.trunc() == *float);
                float
                    .filter(|float| float.abs() < 1e15)
                    .map(|float| float as i128)
            })
        }
        _ => None,
    };
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{name}: {value} is not a whole number that fits"))
}

fn optional(json: &Json, name: &str) -> Result<Option<f64>, String> {
    match &json[name] {
        Json::Null => Ok(None),
        value => double_of(value, name).map(Some),
    }
}

fn double(json: &Json, name: &str) -> Result<f64, String> {
    Ok(optional(json, name)?.unwrap_or(0.0))
}

fn double_of(value: &Json, name: &str) -> Result<f64, String> {
    let number = match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    };
    number.ok_or_else(|| format!("{name}: {value} is not a number"))
}
