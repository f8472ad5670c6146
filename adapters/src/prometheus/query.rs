//! `/api/v1/query` and `/api/v1/query_range`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use stillwell_engine::Timestamp;
use stillwell_engine::number_text::push_json;
use stillwell_engine::promql::select::View;
use stillwell_engine::promql::{Answer, EvalOptions, Query, QueryError, Value};

use super::answer::{POINTS_PER_HISTOGRAM, query_body_with};
use super::ast;
use super::lookup::held;
use super::number;
use super::params;
use super::printer::Printer;
use super::stats::{self, QueryStats};
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::{Host, QuerySettings};
use crate::json;
use crate::pool::{Kind, Within};

/// Points per series of a range query, as in Prometheus: enough for any screen.
const POINTS_MAX: i64 = 11_000;

/// A third of what a point of a series takes in an answer that is being written.
const POINT_BYTES: usize = 24;

/// Answers an instant query.
pub(super) async fn instant(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let writer = Writer::read(form)?;
    evaluated(host, form, move |answer, stats| writer.write(answer, stats)).await
}

/// Writes an answer on the thread that has evaluated it, which has a place for as long: those of others wait unevaluated.
struct Writer {
    limit: Option<usize>,
    warning: Option<String>,
}

impl Writer {
    fn read(form: &Form) -> Result<Writer, ApiError> {
        Ok(Writer {
            limit: params::limit(form)?,
            warning: stats::warning(form),
        })
    }

    fn write(self, mut answer: Answer, stats: Option<&QueryStats>) -> String {
        answer.annotations.warnings.extend(self.warning);
        query_body_with(answer, self.limit, stats)
    }
}

/// The answer of an instant query, not written yet.
pub(super) async fn instant_answer(host: &dyn Host, form: &Form) -> Result<Answer, ApiError> {
    evaluated(host, form, |answer, _| answer).await
}

async fn evaluated<T: Send + 'static>(
    host: &dyn Host,
    form: &Form,
    write: impl FnOnce(Answer, Option<&QueryStats>) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let offset_ms = host.wall_offset_ms();
    let at = params::time(form, "time", host.now().plus_ms(offset_ms))?.minus_ms(offset_ms);
    let mut call = Call::read(host, form).await?;
    // Handing a query to another thread and back costs more than most that scalers ask.
    if let Some(answer) = call.instant_if_cheap(host, at) {
        return Ok(write(answer.moved_by(offset_ms), call.stats.as_ref()));
    }
    let work = move |query: &Query, view: &dyn View, options: &EvalOptions<'_>| {
        query.instant(view, at, options)
    };
    call.run(host, work, move |answer, stats| {
        write(answer.moved_by(offset_ms), stats)
    })
    .await
}

/// Answers a range query.
pub(super) async fn range(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let writer = Writer::read(form)?;
    let start = params::required_time(form, "start")?;
    let end = params::required_time(form, "end")?;
    if end < start {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step_ms = step_ms(form, start, end)?;
    let offset_ms = host.wall_offset_ms();
    let (start, end) = (start.minus_ms(offset_ms), end.minus_ms(offset_ms));
    let call = Call::read(host, form).await?;
    let work = move |query: &Query, view: &dyn View, options: &EvalOptions<'_>| {
        query.range(view, start, end, step_ms, options)
    };
    call.run(host, work, move |answer, stats| {
        writer.write(answer.moved_by(offset_ms), stats)
    })
    .await
}

/// The query as Prometheus would write it.
pub(super) async fn format(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let (text, query) = parsed(host, form, host.query_settings().timeout_ms).await?;
    let pretty = Printer { text }.pretty(query.plan(), 0);
    let mut out = String::from("{\"status\":\"success\",\"data\":");
    json::string(&mut out, &pretty);
    out.push('}');
    Ok(out)
}

/// The query as a tree.
pub(super) async fn parse(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let (_, query) = parsed(host, form, host.query_settings().timeout_ms).await?;
    let mut out = String::from("{\"status\":\"success\",\"data\":");
    ast::node(&mut out, query.plan());
    out.push('}');
    Ok(out)
}

/// The exemplars of the series that a query selects.
pub(super) async fn exemplars(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let time = |name: &str, without: Timestamp| match form.get(name) {
        "" => Ok(without),
        _ => params::required_time(form, name),
    };
    let start = time("start", Timestamp::MIN)?;
    let end = time("end", Timestamp::MAX)?;
    if end < start {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let (_, query) = parsed(host, form, host.query_settings().timeout_ms).await?;
    let found = host.reader().exemplars(&query, start, end);
    let mut out = String::from("{\"status\":\"success\",\"data\":[");
    json::joined(&mut out, found, |out, (series, exemplars)| {
        out.push_str("{\"seriesLabels\":");
        json::object(out, series.iter());
        out.push_str(",\"exemplars\":[");
        json::joined(out, exemplars, |out, exemplar| {
            out.push_str("{\"labels\":");
            json::object(out, exemplar.labels.iter());
            out.push_str(",\"value\":\"");
            push_json(out, exemplar.value);
            out.push_str("\",\"timestamp\":");
            number::time(out, Timestamp::from_ms(exemplar.time_ms));
            out.push('}');
        });
        out.push_str("]}");
    });
    out.push_str("]}");
    Ok(out)
}

async fn parsed<'f>(
    host: &dyn Host,
    form: &'f Form,
    timeout_ms: u64,
) -> Result<(&'f str, Query), ApiError> {
    let text = form.get("query");
    let features = host.query_settings().features;
    let parsing = host
        .queries()
        .parse(Kind::Query, timeout_ms, text, &features);
    let query = parsing.await?;
    let query = query.map_err(|error| ApiError::parameter("query", error))?;
    Ok((text, query))
}

fn step_ms(form: &Form, start: Timestamp, end: Timestamp) -> Result<i64, ApiError> {
    let step_ms =
        params::duration_ms(form.get("step")).map_err(|why| ApiError::parameter("step", why))?;
    if step_ms <= 0 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if end.since_ms(start) / step_ms > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    Ok(step_ms)
}

/// What both kinds of queries have in common.
struct Call {
    query: Query,
    timeout_ms: u64,
    lookback_ms: i64,
    wall_offset_ms: i64,
    stats: Option<QueryStats>,
}

impl Call {
    async fn read(host: &dyn Host, form: &Form) -> Result<Call, ApiError> {
        let mut stats = QueryStats::asked(form);
        let settings = host.query_settings();
        let timeout_ms = match form.get("timeout") {
            "" => settings.timeout_ms,
            text => {
                let ms =
                    params::duration_ms(text).map_err(|why| ApiError::parameter("timeout", why))?;
                u64::try_from(ms).unwrap_or(0)
            }
        };
        let lookback_ms = match form.get("lookback_delta") {
            "" => settings.lookback_ms,
            text => params::duration_ms(text).map_err(|why| {
                ApiError::bad_data(format!("error parsing lookback delta duration: {why}"))
            })?,
        };
        let (_, query) = parsed(host, form, timeout_ms).await?;
        if let Some(stats) = &mut stats {
            stats.prepared();
        }
        Ok(Call {
            query,
            stats,
            timeout_ms,
            lookback_ms,
            wall_offset_ms: host.wall_offset_ms(),
        })
    }

    fn options(&self, settings: &QuerySettings) -> EvalOptions<'_> {
        EvalOptions {
            tally: self.stats.as_ref().map(|stats| &*stats.tally),
            wall_offset_ms: self.wall_offset_ms,
            lookback_ms: self.lookback_ms,
            samples_max: settings.samples_max,
            subquery_step_ms: settings.subquery_step_ms,
            features: settings.features,
            ..EvalOptions::default()
        }
    }

    /// The answer where it is little work.
    fn instant_if_cheap(&mut self, host: &dyn Host, at: Timestamp) -> Option<Answer> {
        if let Some(stats) = &mut self.stats {
            stats.begins();
        }
        let options = self.options(&host.query_settings());
        // A fault of ours must not end the connection: the pool turns it into an answer.
        let instant_if_cheap =
            AssertUnwindSafe(|| host.reader().instant_if_cheap(&self.query, at, &options));
        let answer = catch_unwind(instant_if_cheap).ok().flatten();
        match (&answer, &mut self.stats) {
            (Some(_), Some(stats)) => stats.ended(),
            // What was counted in vain does not count.
            (None, Some(stats)) => stats.tally = Arc::default(),
            _ => {}
        }
        answer
    }

    async fn run<T: Send + 'static>(
        mut self,
        host: &dyn Host,
        evaluate: impl FnOnce(&Query, &dyn View, &EvalOptions<'_>) -> Result<Answer, QueryError>
        + Send
        + 'static,
        write: impl FnOnce(Answer, Option<&QueryStats>) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let settings = host.query_settings();
        let reader = host.reader().clone();
        let timeout_ms = self.timeout_ms;
        let work = move |within: &Within| {
            if let Some(stats) = &mut self.stats {
                stats.begins();
            }
            let options = self.options(&settings);
            let (answer, _held) = within.evaluate(&options, |options| {
                let answer = evaluate(&self.query, &reader.plain(), options)?;
                let held = held(options, texts(&answer.value))?;
                Ok((answer, held))
            })?;
            if let Some(stats) = &mut self.stats {
                stats.ended();
            }
            Ok(write(answer, self.stats.as_ref()))
        };
        Ok(host.queries().run(Kind::Query, timeout_ms, work).await?)
    }
}

/// The bytes of an answer, by element: of its labels, and of its points beside the first.
fn texts(value: &Value) -> Box<dyn Iterator<Item = usize> + '_> {
    match value {
        Value::Vector(elements) => Box::new(elements.iter().map(|one| one.labels.bytes())),
        Value::Matrix(series) => Box::new(series.iter().map(|one| {
            let points = one.floats.len() + POINTS_PER_HISTOGRAM * one.histograms.len();
            one.labels.bytes() + points * POINT_BYTES
        })),
        Value::Scalar(..) | Value::String(..) => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;
    use stillwell_engine::{AppendedSeries, Timestamp};

    use super::*;
    use crate::test_host::{NOW_MS, NoSignals, TestHost};

    /// After a step of the wall clock KEDA's `time=now` found nothing, which it takes for 0.
    #[tokio::test]
    async fn times_of_clients_are_the_wall_clocks() {
        let mut host = TestHost::new(std::sync::Arc::new(NoSignals));
        let sample = AppendedSeries {
            labels: labels! {"__name__" => "m"},
            floats: vec![(Timestamp::from_ms(NOW_MS - 250), 240.0)],
            histograms: Vec::new(),
        };
        host.append(vec![sample]).expect("it is taken");
        for hours in [0, 1, -1] {
            host.wall_offset_ms = hours * 3_600_000;
            let wall_s = (NOW_MS + host.wall_offset_ms) / 1000;
            for query in [
                "m",
                "timestamp(m) * 0 + 240",
                "vector(time() - 1 + 241) - WALL",
            ] {
                let query = query
                    .replace("WALL", &wall_s.to_string())
                    .replace('+', "%2B");
                let form = Form::parse([format!("query={query}&time={wall_s}").as_str()]);
                let answer = instant(&host, &form).await.expect("it answers");
                let want = format!("\"value\":[{wall_s},\"240\"]");
                assert!(answer.contains(&want), "{query}: {answer}");
            }
            let (start, query) = (wall_s - 1, "m @ ".to_owned() + &wall_s.to_string());
            let text = format!("query={query}&start={start}&end={wall_s}&step=1");
            let answer = range(&host, &Form::parse([text.as_str()]))
                .await
                .expect("it answers");
            let want = format!("\"values\":[[{start},\"240\"],[{wall_s},\"240\"]]");
            assert!(answer.contains(&want), "{answer}");
        }
    }
}
