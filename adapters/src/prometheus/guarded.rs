//! `/guarded/api/v1/query`: Prometheus' answer where a signal would be a value or held, and an error where it would be
//! unknown. KEDA reads an empty vector as 0 and never looks at `status`, so unknown must be a 503.

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::plan::ValueType;
use stillwell_engine::promql::{Annotations, Answer, EvalOptions, Query, Value, VectorSample};

use super::answer::query_body;
use super::endpoints::{self, READ_OR_POST};
use super::params;
use super::request_form::read_form;
use crate::api_error::ApiError;
use crate::client::{ClientAddress, address_of};
use crate::form::Form;
use crate::host::{Element, Host, Reading};
use crate::multi::{Multi, Several};
use crate::pool::{Kind, Within};
use crate::reply::{JSON, not_allowed, reply_encoded};

/// How far `time` may be from now: whole seconds and skewed clocks are normal, the past is not kept.
const TIME_SKEW_MS_MAX: i64 = 5_000;

/// What KEDA's user may write into the trigger, beside another query.
pub const REMEDY: &str =
    "ask for their sum or highest by `multi=sum` or `multi=max` in the trigger's queryParameters";

/// The same API, where an instant query is told as a signal is, or not at all (rule S9b).
pub(super) async fn answer(host: &dyn Host, request: Request<Body>) -> Response<Body> {
    let address = address_of(&request);
    let (mut parts, body) = request.into_parts();
    let path_and_query = parts
        .uri
        .path_and_query()
        .map_or("", |whole| whole.as_str());
    let inner = path_and_query
        .strip_prefix("/guarded")
        .unwrap_or(path_and_query);
    let path = parts.uri.path().trim_end_matches('/');
    if !path.ends_with("/api/v1/query") && !path.ends_with("/api/v1/query_range") {
        if let Ok(uri) = inner.parse() {
            parts.uri = uri;
        }
        return endpoints::answer(host, Request::from_parts(parts, body)).await;
    }
    if !matches!(parts.method, Method::GET | Method::HEAD | Method::POST) {
        return not_allowed(READ_OR_POST);
    }
    let form = match read_form(&parts.headers, parts.uri.query(), body).await {
        Ok(form) => form,
        Err(error) => return error.into_response(),
    };
    let result = match path.ends_with("_range") {
        true => Err(ApiError::bad_data(
            "/guarded answers instant queries only: what a scaler may be told is about now",
        )),
        false => instant(host, &form, address).await,
    };
    match result {
        Ok(body) => reply_encoded(StatusCode::OK, JSON, body, &parts.headers),
        Err(error) => error.into_response(),
    }
}

async fn instant(
    host: &dyn Host,
    form: &Form,
    address: Option<ClientAddress>,
) -> Result<String, ApiError> {
    let answered = evaluated(host, form, address).await;
    let signals = host.signals();
    let query = match form.get("multi") {
        "" => form.get("query").to_owned(),
        multi => format!("{} (multi={multi})", form.get("query")),
    };
    match &answered {
        // What a signal says, and what may be otherwise at the next try, stands on `/signals` as such or is nobody's fault.
        Err(error) if error.is_of_the_query() => {
            signals.guarded_refused(&query, error.message(), host.now());
        }
        Err(_) => {}
        Ok(_) => signals.guarded_answered(&query),
    }
    answered
}

async fn evaluated(
    host: &dyn Host,
    form: &Form,
    address: Option<ClientAddress>,
) -> Result<String, ApiError> {
    let now = host.now();
    let offset_ms = host.wall_offset_ms();
    let at = params::time(form, "time", now.plus_ms(offset_ms))?.minus_ms(offset_ms);
    let multi = Multi::parse(form.get("multi")).map_err(|why| ApiError::parameter("multi", why))?;
    let (text, query) = read_query(host, form, multi).await?;
    // Neither a wait nor another page makes a number of these.
    if let ValueType::Matrix | ValueType::String = query.plan().value_type() {
        let kind = query.plan().value_type().documented();
        return Err(ApiError::execution(format!(
            "the query yields a {kind}, and a scaler reads one number: put a function around it, such as rate() or max_over_time()"
        )));
    }
    if query.selectors().next().is_none() {
        let answer = super::query::instant_answer(host, form).await?;
        return Ok(query_body(readable(answer)?, None));
    }
    if at.since_ms(now).abs() > TIME_SKEW_MS_MAX {
        return Err(ApiError::parameter(
            "time",
            format!(
                "{} is more than 5 s from now ({}): /guarded tells what is true now, /api/v1/query the past; KEDA sends the time of \
                 its own node: where that is no question of the past, set that node's clock or this one's right (NTP)",
                at.plus_ms(offset_ms),
                now.plus_ms(offset_ms)
            ),
        ));
    }
    let signals = host.signals();
    let reading = match signals.guarded_if_ready(&text, now) {
        Some(reading) => reading,
        None => {
            let evaluated = host.queries().run(
                Kind::Guarded,
                host.query_settings().timeout_ms,
                move |within| {
                    within.evaluate(&EvalOptions::default(), |within| {
                        signals.guarded(&text, (now, address), within)
                    })
                },
            );
            evaluated.await?
        }
    };
    let elements = match reading {
        Reading::Value(elements) | Reading::Held { elements, .. } => elements,
        Reading::Unknown(why) => return Err(ApiError::unavailable(why)),
        Reading::NotThere(why) => return Err(ApiError::unavailable(why)),
        Reading::Forbidden | Reading::NoneFits(_) => {
            return Err(ApiError::unavailable("not for this caller"));
        }
    };
    if elements.len() > 1 {
        let several = Several {
            labels: elements.iter().map(|element| &element.labels).collect(),
            remedy: REMEDY,
        };
        return Err(ApiError::execution(several.to_string()));
    }
    Ok(query_body(vector(elements).moved_by(offset_ms), None))
}

/// The query that is asked for, combined to one number where that is asked for as well.
async fn read_query(
    host: &dyn Host,
    form: &Form,
    multi: Multi,
) -> Result<(String, Query), ApiError> {
    let settings = host.query_settings();
    let asked = form.get("query").to_owned();
    let text = match multi {
        Multi::Error => Ok(asked),
        multi => {
            let combining = move |_: &Within| Ok(multi.query(&asked, &settings.features));
            let running = host
                .queries()
                .run(Kind::Guarded, settings.timeout_ms, combining);
            running.await?
        }
    };
    let text = text.map_err(|error| ApiError::parameter("query", error))?;
    let query = host
        .queries()
        .parse(
            Kind::Guarded,
            settings.timeout_ms,
            &text,
            &settings.features,
        )
        .await?
        .map_err(|error| ApiError::parameter("query", error))?;
    Ok((text, query))
}

/// A scalar as a vector of one: KEDA cannot read a scalar, and takes anything else for 0.
fn readable(mut answer: Answer) -> Result<Answer, ApiError> {
    answer.value = match answer.value {
        Value::Scalar(time, value) => Value::Vector(vec![VectorSample {
            labels: Labels::empty(),
            time,
            value,
            histogram: None,
        }]),
        Value::Vector(elements) if elements.len() == 1 => Value::Vector(elements),
        _ => {
            return Err(ApiError::execution(
                "the query yields no single number, and a scaler reads one",
            ));
        }
    };
    Ok(answer)
}

fn vector(elements: Vec<Element>) -> Answer {
    let sample = |element: Element| VectorSample {
        labels: element.labels,
        time: element.at,
        value: element.value,
        histogram: None,
    };
    Answer {
        value: Value::Vector(elements.into_iter().map(sample).collect()),
        annotations: Annotations::default(),
    }
}
