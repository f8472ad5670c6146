//! `stillwell query instant|range`: asks a server, this one or any Prometheus.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use super::{fail, value};
use crate::config::{ProxyConfig, Secret, TlsClientConfig};
use crate::http_client::{Call, Resolver, Transport, Url, call, encode_query};

const TIMEOUT_MS: u64 = 120_000;
const ANSWER_BYTES_MAX: u64 = 1 << 30;

pub(super) fn command() -> Command {
    let url = || value("url", "URL", "Of the server").default_value("http://127.0.0.1:9090");
    let expression = || Arg::new("EXPR").required(true).help("PromQL");
    Command::new("query")
        .about("Asks a server")
        .subcommand_required(true)
        .subcommand(
            Command::new("instant")
                .arg(url())
                .arg(expression())
                .arg(value(
                    "time",
                    "TIME",
                    "Evaluation time: seconds or RFC 3339",
                )),
        )
        .subcommand(
            Command::new("range")
                .arg(url())
                .arg(expression())
                .arg(value("start", "TIME", "First evaluation").required(true))
                .arg(value("end", "TIME", "Last evaluation").required(true))
                .arg(value("step", "DURATION", "Between two").default_value("15s")),
        )
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let (path, names, matches) = match matches.subcommand() {
        Some(("instant", matches)) => ("query", &["time"][..], matches),
        Some(("range", matches)) => ("query_range", &["start", "end", "step"][..], matches),
        _ => unreachable!("a subcommand is required"),
    };
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let mut query = String::from("query=");
    encode_query(text("EXPR"), &mut query);
    for name in names.iter().filter(|name| !text(name).is_empty()) {
        query.push_str(&format!("&{name}="));
        encode_query(text(name), &mut query);
    }
    let address = format!(
        "{}/api/v1/{path}?{query}",
        text("url").trim_end_matches('/')
    );
    match ask(&address) {
        Ok(data) => print(&show(&data)),
        Err(why) => fail(why),
    }
}

#[expect(clippy::print_stdout, reason = "the answer is the command's output")]
fn print(lines: &str) -> ExitCode {
    print!("{lines}");
    ExitCode::SUCCESS
}

/// Status and body of what is at an address.
pub(super) fn fetch(address: &str, accept: &str) -> Result<(u16, Vec<u8>), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let request = Call {
        method: "GET",
        url: Url::parse(address).map_err(|error| error.to_string())?,
        headers: Secret::new(format!("accept: {accept}\r\n")),
        shown: Secret::new(""),
        follow_redirects: true,
        body: Vec::new(),
        timeout_ms: TIMEOUT_MS,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    let transport = Transport::new(TlsClientConfig::default(), ProxyConfig::default());
    let resolver = Resolver::default();
    let asking = call(request, &transport, &resolver);
    let answered = runtime.block_on(asking);
    let answered = answered.map_err(|error| error.to_string())?;
    Ok((answered.status, answered.body))
}

/// The `data` of an answer, or the error in it.
pub(super) fn ask(address: &str) -> Result<Value, String> {
    let (status, body) = fetch(address, "application/json")?;
    let mut answer: Value = serde_json::from_slice(&body)
        .map_err(|error| format!("status {status}, and the answer is not JSON: {error}"))?;
    if answer["status"] != "success" {
        let text = |name: &str| answer[name].as_str().unwrap_or("").to_owned();
        return Err(format!("{}: {}", text("errorType"), text("error")));
    }
    Ok(answer["data"].take())
}

/// As promtool prints answers: one element a line, points below their series.
fn show(data: &Value) -> String {
    let point = |pair: &Value| format!("{} @[{}]", pair[1].as_str().unwrap_or(""), pair[0]);
    let mut out = String::new();
    match &data["result"] {
        Value::Array(items) if matches!(data["resultType"].as_str(), Some("vector" | "matrix")) => {
            for item in items {
                let metric = series(&item["metric"]);
                if let Some(points) = item["values"].as_array() {
                    out.push_str(&format!("{metric} =>\n"));
                    for one in points {
                        out.push_str(&format!("{}\n", point(one)));
                    }
                } else {
                    out.push_str(&format!("{metric} => {}\n", point(&item["value"])));
                }
            }
        }
        pair => out.push_str(&format!("{}\n", point(pair))),
    }
    out
}

fn series(metric: &Value) -> String {
    let pairs = metric.as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    stillwell_engine::labels::Labels::from_pairs(pairs).to_string()
}
