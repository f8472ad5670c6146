//! Pages in protobuf: any bytes are a page or a refusal. What prost reads and writes again is the same page, and a page
//! holds what the same page in the text format holds.
//!
//! Messages that nothing is read of (the gauge of a counter) may be damaged deep inside without refusing the page, which is
//! why a page that prost refuses may be taken.

use std::fmt::Write;

use prost::Message;
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{
    Engine, Format, HistogramOptions, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp,
    Writer,
};
use stillwell_testing::metrics_proto::{Metric, MetricFamily, page};

/// All that is on a page.
const ALL: &str = "{__name__!=\"\",__name__!~\"up|scrape_.*\"}";

struct Gateway {
    writer: Writer,
    reader: Reader,
    stage: Stage,
    at_ms: i64,
}

impl Gateway {
    fn new(histograms: HistogramOptions) -> Gateway {
        let (mut writer, reader) = Engine::new(Limits::default());
        let (_, stage) = writer.add_target(TargetSpec {
            interval_ms: 1_000,
            histograms,
            ..TargetSpec::default()
        });
        Gateway {
            writer,
            reader,
            stage,
            at_ms: 1_800_000_000_000,
        }
    }

    fn scrape(&mut self, page: &[u8], format: Format) -> bool {
        self.at_ms += 1_000;
        let at = Timestamp::from_ms(self.at_ms);
        let Ok(staged) = self.stage.parse(page, format) else {
            return false;
        };
        let committed = self.writer.commit(staged, at, ScrapeFacts::default());
        committed.is_ok()
    }

    /// Every series with its value's bits, sorted.
    fn holds(&self) -> Vec<(Labels, u64)> {
        let query = Query::parse(ALL, &Features::default()).expect("a valid query");
        let at = Timestamp::from_ms(self.at_ms);
        let answer = query.instant(&self.reader.plain(), at, &EvalOptions::default());
        let Value::Vector(samples) = answer.expect("within limits").value else {
            unreachable!("a selector yields a vector");
        };
        let one = |sample: stillwell_engine::promql::VectorSample| {
            (sample.labels, sample.value.to_bits())
        };
        let mut held: Vec<_> = samples.into_iter().map(one).collect();
        held.sort();
        held
    }
}

/// Reads the bytes as a page, with every choice about histograms; then what prost makes of them.
pub fn run(data: &[u8]) {
    let read_by_prost = families(data);
    for choice in 0..8 {
        let options = HistogramOptions {
            native: choice & 1 != 0,
            always_classic: choice & 2 != 0,
            convert_classic: choice & 4 != 0,
            buckets_max: choice * 3,
            schema_max: None,
        };
        let mut gateway = Gateway::new(options);
        if gateway.scrape(data, Format::Protobuf) {
            let before = gateway.holds();
            assert!(
                gateway.scrape(data, Format::Protobuf),
                "it was taken before"
            );
            assert_eq!(gateway.holds(), before, "the same page again");
        }
    }
    let Some(families) = read_by_prost else {
        return;
    };
    let all = page(&families);
    let mut whole = Gateway::new(HistogramOptions::default());
    let mut sent = Gateway::new(HistogramOptions::default());
    if sent.scrape(data, Format::Protobuf) && whole.scrape(&all, Format::Protobuf) {
        assert_eq!(sent.holds(), whole.holds(), "as prost writes it");
    }
    let simple: Vec<MetricFamily> = families.into_iter().filter_map(simple).collect();
    let mut proto = Gateway::new(HistogramOptions::default());
    let mut text = Gateway::new(HistogramOptions::default());
    let took = proto.scrape(&page(&simple), Format::Protobuf);
    if text.scrape(as_text(&simple).as_bytes(), Format::Text) && took {
        assert_eq!(proto.holds(), text.holds(), "as in the text format");
    }
}

fn families(mut data: &[u8]) -> Option<Vec<MetricFamily>> {
    let mut families = Vec::new();
    while !data.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut data).ok()?);
    }
    Some(families)
}

/// A family of single values, without what the text format cannot say.
fn simple(mut family: MetricFamily) -> Option<MetricFamily> {
    family.unit = None;
    family.help = None;
    for metric in &mut family.metric {
        metric.timestamp_ms = None;
        if let Some(counter) = &mut metric.counter {
            counter.exemplar = None;
        }
    }
    matches!(family.r#type.unwrap_or(0), 0 | 1 | 3).then_some(family)
}

fn as_text(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        let name = family.name.as_deref().unwrap_or("");
        for metric in &family.metric {
            write!(text, "{{{}", quoted(name)).expect("a String takes everything");
            for pair in &metric.label {
                let (name, value) = (pair.name.as_deref(), pair.value.as_deref());
                let (name, value) = (quoted(name.unwrap_or("")), quoted(value.unwrap_or("")));
                write!(text, ",{name}={value}").expect("a String takes everything");
            }
            let value = value(family, metric);
            writeln!(text, "}} {value:e}").expect("a String takes everything");
        }
    }
    text
}

fn value(family: &MetricFamily, metric: &Metric) -> f64 {
    let value = match family.r#type.unwrap_or(0) {
        0 => metric.counter.as_ref().and_then(|counter| counter.value),
        1 => metric.gauge.as_ref().and_then(|gauge| gauge.value),
        _ => metric.untyped.as_ref().and_then(|untyped| untyped.value),
    };
    value.unwrap_or(0.0)
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n"))
}
