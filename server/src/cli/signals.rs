//! `stillwell signals`, `stillwell why` and `stillwell top`: what a running server says of its signals, in a terminal.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use super::query::fetch;
use super::{fail, url_flag};
use crate::http_client::encode_query;

/// `top` asks this often.
const REFRESH: std::time::Duration = std::time::Duration::from_secs(1);
/// Columns of a name and of a reason in `top`; longer ones are cut.
const NAME_COLUMNS: usize = 34;
const REASON_COLUMNS: usize = 70;
/// Objects without a number that a paragraph names.
const MISSING_MAX: usize = 5;

pub(super) fn commands() -> [Command; 3] {
    let name = || Arg::new("NAME").help("A signal, or a metric of a rule");
    [
        Command::new("signals")
            .about("Tells everything about all signals, or one")
            .arg(url_flag())
            .arg(name()),
        Command::new("why")
            .about("Tells in a paragraph why a signal says what it says, or a metric to each that asked for it")
            .arg(url_flag())
            .arg(name().required(true)),
        Command::new("top")
            .about("Shows all signals and gateways, anew every second; once where the output is no terminal")
            .arg(url_flag()),
    ]
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    match get(&address(matches), "text/plain") {
        Ok(body) => print(&String::from_utf8_lossy(&body)),
        Err(why) => fail(why),
    }
}

pub(super) fn why(matches: &ArgMatches) -> ExitCode {
    match json(&address(matches)) {
        Ok(answer) => {
            let all = list(&answer, "signals").iter().map(paragraph);
            print(&all.collect::<Vec<String>>().join("\n"))
        }
        Err(why) => fail(why),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command waits for its next second; no test does"
)]
pub(super) fn top(matches: &ArgMatches) -> ExitCode {
    let base = base(matches);
    let live = std::io::stdout().is_terminal();
    loop {
        let read = json(&format!("{base}/signals"))
            .and_then(|signals| Ok((signals, json(&format!("{base}/api/v1/targets"))?)));
        let shown = match read {
            Ok((signals, targets)) => table(&signals, &targets),
            Err(why) if live => format!("{why}\n"),
            Err(why) => return fail(why),
        };
        if !live {
            return print(&shown);
        }
        // To the upper left corner, then what was there before is gone.
        print(&format!("\x1b[H\x1b[J{shown}"));
        std::thread::sleep(REFRESH);
    }
}

fn base(matches: &ArgMatches) -> String {
    let url = matches.get_one::<String>("url").map_or("", String::as_str);
    url.trim_end_matches('/').to_owned()
}

fn address(matches: &ArgMatches) -> String {
    let mut address = format!("{}/signals", base(matches));
    if let Some(name) = matches.get_one::<String>("NAME") {
        address.push('/');
        encode_query(name, &mut address);
    }
    address
}

fn get(address: &str, accept: &str) -> Result<Vec<u8>, String> {
    match fetch(address, accept)? {
        (200, body) => Ok(body),
        (status, body) => {
            let why = String::from_utf8_lossy(&body);
            Err(format!("status {status}: {}", why.trim()))
        }
    }
}

fn json(address: &str) -> Result<Value, String> {
    let body = get(address, "application/json")?;
    serde_json::from_slice(&body).map_err(|error| format!("{address}: no JSON: {error}"))
}

#[expect(clippy::print_stdout, reason = "the answer is the command's output")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("")
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The name of a signal; of a rule's metric with who asks for it.
fn full_name(signal: &Value) -> String {
    let name = text(signal, "name");
    let asker = &signal["asker"];
    let parts = ["namespace", "object", "selector"].map(|key| text(asker, key));
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match asker.is_null() {
        true => name.to_owned(),
        false => format!("{name} ({})", parts.join(", ")),
    }
}

/// The value of a signal, or how many it has.
fn shown_value(signal: &Value) -> String {
    match list(signal, "elements") {
        [] => "no number".to_owned(),
        [one] => text(one, "value").to_owned(),
        many => format!("{} values", many.len()),
    }
}

/// What a signal says and why, as it can be pasted into an incident.
fn paragraph(signal: &Value) -> String {
    let (name, state) = (full_name(signal), text(signal, "state"));
    let mut out = match state {
        "unknown" => format!("{name} is unknown: {}.", text(signal, "reason")),
        "held" => format!(
            "{name} is held at {}: {}.",
            shown_value(signal),
            text(signal, "reason")
        ),
        "configured" => format!(
            "{name} is told as {}, which was not measured: {}.",
            shown_value(signal),
            text(signal, "reason")
        ),
        _ => format!("{name} is {}, measured now.", shown_value(signal)),
    };
    if let Some(element) = list(signal, "elements").first() {
        let (age, time) = (
            element["ageSeconds"].as_f64().unwrap_or(0.0),
            text(element, "time"),
        );
        out += &format!(" Its number is of {time}, {age} s old.");
    }
    let measured = list(signal, "measured");
    if state == "held"
        && let [one] = measured
    {
        out += &format!(
            " The pages themselves say {}, which is not told.",
            text(one, "value")
        );
    }
    for missing in list(signal, "missing").iter().take(MISSING_MAX) {
        let (object, reason) = (text(missing, "object"), text(missing, "reason"));
        out += &format!(" Without a number: {object} ({reason}).");
    }
    if !text(signal, "query").is_empty() {
        out += &read_targets(list(signal, "targets"));
    }
    match &signal["lastRead"] {
        Value::Null => out += " Nobody has read it yet.",
        read => {
            out += &format!(
                " Last read at {}: {}.",
                text(read, "time"),
                text(read, "told")
            )
        }
    }
    if let [.., before, _] = list(signal, "transitions") {
        out += &format!(
            " Before it was {} from {}",
            text(before, "state"),
            text(before, "time")
        );
        out += &match text(before, "reason") {
            "" => ".".to_owned(),
            reason => format!(": {reason}."),
        };
    }
    for warning in list(signal, "warnings").iter().filter_map(Value::as_str) {
        out += &format!(" Note: {warning}.");
    }
    out += &match text(signal, "query") {
        "" => "\n".to_owned(),
        query => format!(" Query: {query}\n"),
    };
    out
}

/// How many targets are read, and which of them are not fresh.
fn read_targets(targets: &[Value]) -> String {
    let counting = || targets.iter().filter(|one| one["counts"] == true);
    let stale: Vec<&Value> = counting().filter(|one| one["fresh"] == false).collect();
    let mut out = match counting().count() {
        1 if stale.is_empty() => " It reads 1 target, which is fresh".to_owned(),
        1 => " It reads 1 target, which is not fresh".to_owned(),
        count => format!(
            " It reads {count} targets, {} of them fresh",
            count - stale.len()
        ),
    };
    for target in stale.iter().take(3) {
        let instance = text(&target["labels"], "instance");
        let error = text(target, "error");
        out += &match text(target, "lastGood") {
            "" => format!("; {instance} was never good ({error})"),
            at => format!("; {instance} was good last at {at} ({error})"),
        };
    }
    out + "."
}

fn table(signals: &Value, targets: &Value) -> String {
    let mut out = format!(
        "{:<NAME_COLUMNS$} {:<8} {:>12}  WHY\n",
        "SIGNAL", "STATE", "VALUE"
    );
    for signal in list(signals, "signals") {
        let (name, reason) = (
            cut(&full_name(signal), NAME_COLUMNS),
            cut(text(signal, "reason"), REASON_COLUMNS),
        );
        let (state, value) = (text(signal, "state"), shown_value(signal));
        out += &format!("{name:<NAME_COLUMNS$} {state:<8} {value:>12}  {reason}\n");
    }
    out += &format!(
        "\n{:<NAME_COLUMNS$} {:<8} {:>12}  LAST ERROR\n",
        "GATEWAY", "HEALTH", "TOOK"
    );
    for target in list(&targets["data"], "activeTargets") {
        let (url, error) = (
            cut(text(target, "scrapeUrl"), NAME_COLUMNS),
            cut(text(target, "lastError"), REASON_COLUMNS),
        );
        let took = format!(
            "{:.1} ms",
            target["lastScrapeDuration"].as_f64().unwrap_or(0.0) * 1000.0
        );
        out += &format!(
            "{url:<NAME_COLUMNS$} {:<8} {took:>12}  {error}\n",
            text(target, "health")
        );
    }
    out
}

/// A text of one line with so many characters at most, without what a terminal would obey.
fn cut(text: &str, columns: usize) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = plain.take(columns + 1).collect();
    if short.chars().count() > columns {
        short = short.chars().take(columns - 1).chain(['…']).collect();
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_paragraph_says_state_reason_targets_and_reader() {
        let signal = json!({
            "name": "q", "state": "held", "reason": "epp-1 restarted", "query": "sum(q)",
            "elements": [{"labels": {}, "value": "7", "time": "T1", "ageSeconds": 2.5}],
            "measured": [{"labels": {}, "value": "0"}],
            "targets": [
                {"labels": {"instance": "a:1"}, "counts": true, "fresh": true, "lastGood": "T1", "error": ""},
                {"labels": {"instance": "b:1"}, "counts": true, "fresh": false, "lastGood": "T0", "error": "refused"},
            ],
            "lastRead": {"time": "T2", "told": "namespace default: 7"},
            "transitions": [{"state": "value", "time": "T0", "reason": ""}, {"state": "held", "time": "T1", "reason": "x"}],
            "warnings": [],
        });
        assert_eq!(
            paragraph(&signal),
            "q is held at 7: epp-1 restarted. Its number is of T1, 2.5 s old. The pages themselves say 0, which is not told. \
             It reads 2 targets, 1 of them fresh; b:1 was good last at T0 (refused). Last read at T2: namespace default: 7. \
             Before it was value from T0. Query: sum(q)\n"
        );
    }

    #[test]
    fn a_paragraph_names_who_asked_for_a_metric_of_a_rule() {
        let signal = json!({
            "name": "lag", "asker": {"api": "external", "namespace": "default", "object": "", "selector": "name=a"},
            "state": "unknown", "reason": "no query", "query": "", "elements": [], "targets": [], "transitions": [],
            "lastRead": {"time": "T", "told": "default, name=a: unknown: no query"},
        });
        assert_eq!(
            paragraph(&signal),
            "lag (default, name=a) is unknown: no query. Last read at T: default, name=a: unknown: no query.\n"
        );
    }

    #[test]
    fn a_terminal_obeys_nothing_that_a_name_says() {
        assert_eq!(cut("a\x1b[2Jb", 9), "a [2Jb");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
