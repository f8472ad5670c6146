//! `stillwell query instant|range`: asks a server, this one or any Prometheus.

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use super::{fail, server_url, url_flag, value};
use crate::config::{ProxyConfig, Secret, TlsClientConfig};
use crate::http_client::{Call, Resolver, Transport, Url, call, encode_query};

const TIMEOUT_MS: u64 = 120_000;
const ANSWER_BYTES_MAX: u64 = 1 << 30;

pub(super) fn command() -> Command {
    let expression = || {
        Arg::new("EXPR")
            .required(true)
            .num_args(1..=2)
            .help("PromQL; promtool's order, URL and then EXPR, is taken too")
    };
    Command::new("query")
        .about("Asks a server")
        .subcommand_required(true)
        .subcommand(
            Command::new("instant")
                .arg(url_flag())
                .arg(expression())
                .arg(value(
                    "time",
                    "TIME",
                    "Evaluation time: seconds or RFC 3339",
                )),
        )
        .subcommand(
            Command::new("range")
                .arg(url_flag())
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
    let (url, expression) = match url_and_expression(matches) {
        Ok(both) => both,
        Err(why) => return fail(why),
    };
    let mut query = String::from("query=");
    encode_query(&expression, &mut query);
    for name in names.iter().filter(|name| !text(name).is_empty()) {
        query.push_str(&format!("&{name}="));
        encode_query(text(name), &mut query);
    }
    let address = format!("{}/api/v1/{path}?{query}", url.trim_end_matches('/'));
    match ask(&address) {
        Ok(data) => print(&show(&data)),
        Err(why) => fail(why),
    }
}

/// Which server is asked what: `[--url URL] EXPR`, or `URL EXPR` as promtool has it.
fn url_and_expression(matches: &ArgMatches) -> Result<(String, String), String> {
    let words: Vec<&String> = matches.get_many("EXPR").into_iter().flatten().collect();
    let given = matches
        .get_one::<String>("url")
        .cloned()
        .unwrap_or_default();
    match words.as_slice() {
        [url, expression] => {
            if matches.value_source("url") == Some(ValueSource::CommandLine) {
                return Err(format!(
                    "the server is given twice, by --url and by {url:?}; an expression of several words needs quotes"
                ));
            }
            let url = server_url(url).map_err(|why| {
                format!("{url:?} in front of {expression:?} is no server: {why}, or put an expression of several words into quotes")
            })?;
            Ok((url, (*expression).clone()))
        }
        words => Ok((
            given,
            words.first().map_or(String::new(), |one| (*one).clone()),
        )),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_promtool_is_taken_as_well() {
        for (arguments, expected) in [
            (&["instant", "up"][..], Ok(("http://127.0.0.1:9090", "up"))),
            (&["instant", "--url", "a:1", "up"], Ok(("http://a:1", "up"))),
            (&["instant", "http://a:1", "up"], Ok(("http://a:1", "up"))),
            (
                &["range", "--start=0", "--end=1", "a:1", "sum(up)"],
                Ok(("http://a:1", "sum(up)")),
            ),
            (&["instant", "--url=a:1", "b:1", "up"], Err("given twice")),
            (&["instant", "sum (up", ")"], Err("into quotes")),
        ] {
            let words = ["query"].iter().chain(arguments);
            let matches = command().try_get_matches_from(words).expect("they parse");
            let (_, matches) = matches.subcommand().expect("it is required");
            let read = url_and_expression(matches);
            match (&read, expected) {
                (Ok((url, query)), Ok(both)) => {
                    assert_eq!((url.as_str(), query.as_str()), both, "{arguments:?}");
                }
                (Err(why), Err(part)) => assert!(why.contains(part), "{arguments:?}: {why}"),
                _ => panic!("{arguments:?}: {read:?}"),
            }
        }
    }
}
