//! Plots as SVG: a signal with the states that it was in, or any query; large with axes, or a small line for a table.

use axum::http::StatusCode;
use plotters::prelude::*;
use stillwell_engine::Timestamp;
use stillwell_engine::promql::{Answer, EvalOptions, QueryError, RangeSeries, Value};
use stillwell_engine::signal::{State, Transition};

use crate::form::Form;
use crate::host::Host;
use crate::pool::{Kind, Within};

/// Points per series.
const STEPS: i64 = 300;
/// Lines in one plot; more are no plot.
const LINES_MAX: usize = 20;
/// Longest range.
const MINUTES_MAX: i64 = 24 * 60;
/// Sizes in pixels that are drawn.
const PIXELS: std::ops::RangeInclusive<u32> = 40..=2_000;

/// Distinguishable with most kinds of colour blindness (Okabe and Ito), on light and dark ground.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(150, 150, 150),
];

/// What is to be drawn.
struct Plot {
    signal: String,
    query: String,
    minutes: i64,
    size: (u32, u32),
    small: bool,
    dark: bool,
}

/// The plot that these parameters ask for. Error: a status and why.
pub(super) async fn answer(
    host: &dyn Host,
    parameters: &str,
) -> Result<String, (StatusCode, String)> {
    let form = Form::parse([parameters]);
    let number = |name: &str, default: u32| form.get(name).parse().unwrap_or(default);
    let pixels = |name: &str, default| number(name, default).clamp(*PIXELS.start(), *PIXELS.end());
    let small = form.get("small") == "1";
    let plot = Plot {
        signal: form.get("signal").to_owned(),
        query: form.get("query").to_owned(),
        minutes: i64::from(number("minutes", 15)).clamp(1, MINUTES_MAX),
        size: match small {
            true => (pixels("width", 160), pixels("height", 40)),
            false => (pixels("width", 900), pixels("height", 280)),
        },
        small,
        dark: form.get("theme") == "dark",
    };
    let end = host.now();
    let range = (end.minus_ms(plot.minutes * 60_000), end);
    let lines = read(host, &plot, range).await?;
    let bands = match plot.signal.is_empty() {
        true => Vec::new(),
        false => bands(host, &plot.signal, range),
    };
    let offset_ms = host.wall_offset_ms();
    let drawn = draw(&plot, range, &lines, &bands, offset_ms);
    drawn.map_err(|why| (StatusCode::INTERNAL_SERVER_ERROR, why))
}

async fn read(
    host: &dyn Host,
    plot: &Plot,
    range: (Timestamp, Timestamp),
) -> Result<Vec<RangeSeries>, (StatusCode, String)> {
    let settings = host.query_settings();
    let step_ms = (plot.minutes * 60_000 / STEPS).max(1);
    let (signals, reader) = (host.signals(), host.reader().clone());
    let signal = plot.signal.clone();
    let query = match plot.query.is_empty() {
        true => None,
        false => {
            let queries = host.queries();
            let parsed = queries.parse(
                Kind::Query,
                settings.timeout_ms,
                &plot.query,
                &settings.features,
            );
            let parsed = parsed
                .await
                .map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
            Some(parsed.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?)
        }
    };
    let work = move |within: &Within| {
        within.evaluate(&EvalOptions::default(), |within| match query {
            Some(query) => query.range(&reader.plain(), range.0, range.1, step_ms, within),
            None => {
                let gone = || QueryError::Execution(format!("there is no signal {signal}"));
                signals
                    .history(&signal, range, step_ms, within)
                    .ok_or_else(gone)?
            }
        })
    };
    let answer: Answer = host
        .queries()
        .run(Kind::Query, settings.timeout_ms, work)
        .await
        .map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    Ok(match answer.value {
        Value::Matrix(lines) => lines,
        _ => Vec::new(), // a range query gives nothing else
    })
}

/// A time in which a signal was in one state.
struct Band {
    from_ms: i64,
    until_ms: i64,
    state: State,
}

fn bands(host: &dyn Host, signal: &str, range: (Timestamp, Timestamp)) -> Vec<Band> {
    let described = host.signals().describe(Some(signal), range.1);
    let transitions: Vec<Transition> = match described.into_iter().next() {
        Some(description) => description.transitions,
        None => return Vec::new(),
    };
    let ends = transitions
        .iter()
        .skip(1)
        .map(|next| next.time.ms())
        .chain([range.1.ms()]);
    let band = |(one, until_ms): (&Transition, i64)| Band {
        from_ms: one.time.ms().max(range.0.ms()),
        until_ms,
        state: one.state.clone(),
    };
    let bands = transitions.iter().zip(ends).map(band);
    bands.filter(|band| band.from_ms < band.until_ms).collect()
}

fn colour_of(state: &State) -> Option<RGBColor> {
    match state {
        State::Value => None,
        State::Held { .. } => Some(RGBColor(230, 159, 0)),
        State::Configured { .. } => Some(RGBColor(148, 80, 200)),
        State::Unknown { .. } => Some(RGBColor(204, 60, 60)),
    }
}

fn draw(
    plot: &Plot,
    range: (Timestamp, Timestamp),
    lines: &[RangeSeries],
    bands: &[Band],
    offset_ms: i64,
) -> Result<String, String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, plot.size).into_drawing_area();
        let highest = highest(lines);
        let x = first_ms(range, lines, bands)..range.1.ms();
        let mut builder = ChartBuilder::on(&root);
        if plot.small {
            builder.margin(2);
        } else {
            builder
                .margin(8)
                .x_label_area_size(24)
                .y_label_area_size(52);
        }
        let chart = builder.build_cartesian_2d(x, 0f64..highest);
        let mut chart = chart.map_err(|error| error.to_string())?;
        let ink = match plot.dark {
            true => RGBColor(205, 210, 216),
            false => RGBColor(60, 64, 70),
        };
        if !plot.small {
            let time = |ms: &i64| clock_text(ms.saturating_add(offset_ms));
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(ink.mix(0.15))
                .axis_style(ink)
                .label_style(("sans-serif", 12).into_font().color(&ink))
                .x_labels(6)
                .y_labels(5)
                .x_label_formatter(&time)
                .draw()
                .map_err(|error| error.to_string())?;
        }
        for band in bands {
            let Some(colour) = colour_of(&band.state) else {
                continue;
            };
            let corners = [(band.from_ms, 0.0), (band.until_ms, highest)];
            let fill = Rectangle::new(corners, colour.mix(0.25).filled());
            chart
                .draw_series([fill])
                .map_err(|error| error.to_string())?;
        }
        for (number, line) in lines.iter().take(LINES_MAX).enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points = line.floats.iter().filter(|(_, value)| value.is_finite());
            let points = points.map(|(time, value)| (time.ms(), *value));
            let width = if plot.small { 1 } else { 2 };
            let line = LineSeries::new(points, colour.stroke_width(width));
            chart.draw_series(line).map_err(|error| error.to_string())?;
        }
        root.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

/// The left end of the axis: where the range begins, or what is known of it.
fn first_ms(range: (Timestamp, Timestamp), lines: &[RangeSeries], bands: &[Band]) -> i64 {
    let points = lines.iter().filter_map(|line| line.floats.first());
    let known = points.map(|(time, _)| time.ms());
    let first = known.chain(bands.iter().map(|band| band.from_ms)).min();
    // Ten seconds at least: one point has no length.
    first
        .unwrap_or(range.0.ms())
        .min(range.1.ms() - 10_000)
        .max(range.0.ms())
}

/// The upper end of the axis: a tenth above the highest value.
fn highest(lines: &[RangeSeries]) -> f64 {
    let values = lines
        .iter()
        .flat_map(|line| &line.floats)
        .map(|(_, value)| *value);
    let highest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    if highest > 0.0 { highest * 1.1 } else { 1.0 }
}

/// Hours, minutes and seconds in UTC: the time of an RFC 3339 text.
fn clock_text(ms: i64) -> String {
    let whole = Timestamp::from_ms(ms).rfc3339_seconds();
    let time = whole.split_once('T').map_or("", |(_, time)| time);
    time.trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::*;

    fn line(values: &[f64]) -> RangeSeries {
        let point = |(at, value): (usize, &f64)| (Timestamp::from_ms(at as i64 * 1_000), *value);
        RangeSeries {
            labels: labels! {"l" => "<script>alert(1)</script>"},
            floats: values.iter().enumerate().map(point).collect(),
            histograms: Vec::new(),
        }
    }

    #[test]
    fn a_plot_has_its_lines_and_bands_and_no_text_of_a_label() {
        let plot = Plot {
            signal: "a".to_owned(),
            query: String::new(),
            minutes: 1,
            size: (900, 280),
            small: false,
            dark: true,
        };
        let lines = [
            line(&[1.0, f64::NAN, f64::INFINITY, 1e300]),
            line(&[2.0; 60]),
        ];
        let held = Band {
            from_ms: 10_000,
            until_ms: 20_000,
            state: State::Held {
                age_ms: 1,
                why: "restarted".to_owned(),
            },
        };
        let range = (Timestamp::from_ms(0), Timestamp::from_ms(60_000));
        let svg = draw(&plot, range, &lines, &[held], 0).expect("it draws");
        assert!(svg.matches("<polyline").count() >= 2, "{svg}");
        assert!(svg.contains("#E69F00"), "the band: {svg}");
        assert!(svg.contains("00:00:"), "the axis: {svg}");
        assert!(!svg.contains("script"), "{svg}");
    }
}
