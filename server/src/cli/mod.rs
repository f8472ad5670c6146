//! The command line.

mod alerts;
mod check;
mod flags;
mod lint;
mod metric_lint;
mod page_lint;
mod promqltest;
mod query;
mod scalers;
mod secure;
mod serve;
mod signals;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};

use crate::http_client::Url;

/// As a shell says of a program that SIGPIPE ended.
const EXIT_CUT: u8 = 141;

/// Runs the program with these arguments, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    end_quietly_where_nobody_reads();
    let matches = command().get_matches_from(with_default_subcommand(arguments));
    match matches.subcommand() {
        Some(("demo", matches)) => match crate::demo::run(matches) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(why),
        },
        Some(("check", matches)) => check::run(matches),
        Some(("query", matches)) => query::run(matches),
        Some(("signals", matches)) => signals::run(matches),
        Some(("why", matches)) => signals::why(matches),
        Some(("top", matches)) => signals::top(matches),
        Some(("promqltest", matches)) => promqltest::run(matches),
        Some(("test", matches)) => test::run(matches),
        Some(("serve", matches)) => serve::run(matches),
        _ => unreachable!("a subcommand is required"),
    }
}

/// A command whose output is cut (`stillwell signals | head`) ends as others do: `println!` panics there, and a panic that is about
/// nothing else says so in these words of the standard library.
fn end_quietly_where_nobody_reads() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(i32::from(EXIT_CUT));
        }
        others(panic);
    }));
}

/// Prints an error where the user looks for it.
#[expect(clippy::print_stderr, reason = "the command line speaks to its user")]
pub(crate) fn fail(message: impl std::fmt::Display) -> ExitCode {
    eprintln!("stillwell: {message}");
    ExitCode::FAILURE
}

fn command() -> Command {
    Command::new("stillwell")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Scrapes LLM inference gateways many times a second and tells autoscalers what it saw.")
        .subcommand_required(true)
        .arg_required_else_help(false)
        .subcommand(serve::command())
        .subcommand(
            Command::new("demo")
                .about("Runs a gateway stand-in with a moving queue, scrapes it, serves every API on loopback")
                .arg(value("for", "DURATION", "End by itself after this long, e.g. 10s"))
                .arg(value("port", "PORT", "Of the plain listener; the first free one from 9090 where it is left out")),
        )
        .subcommand(check::command())
        .subcommand(query::command())
        .subcommands(signals::commands())
        .subcommand(test::command())
        .subcommand(promqltest::command())
}

fn value(name: &'static str, what: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(what)
        .help(help)
        .action(ArgAction::Set)
}

/// The server that is asked.
fn url_flag() -> Arg {
    value("url", "URL", "Of the server; host:port is http://host:port")
        .default_value("http://127.0.0.1:9090")
        .value_parser(server_url)
}

/// The address of a server as somebody writes it: `host:port` and `:port` are meant as `http://` with them. Error: it is none.
fn server_url(text: &str) -> Result<String, String> {
    let absolute = match text.strip_prefix(':') {
        _ if text.contains("://") => text.to_owned(),
        Some(port) => format!("http://127.0.0.1:{port}"),
        None => format!("http://{text}"),
    };
    match Url::parse(&absolute) {
        Ok(_) => Ok(absolute),
        Err(error) => Err(format!("{error}; write http://host:port")),
    }
}

fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

/// `stillwell --config.file=x` is `stillwell serve --config.file=x`.
fn with_default_subcommand(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    let own = matches!(first, Some("--help" | "-h" | "--version" | "-V"));
    if first.is_none_or(|first| first.starts_with('-')) && !own {
        arguments.insert(arguments.len().min(1), OsString::from("serve"));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        for (arguments, second) in [
            (&["stillwell"][..], "serve"),
            (&["stillwell", "--config.file=x"], "serve"),
            (&["stillwell", "--help"], "--help"),
            (&["stillwell", "demo"], "demo"),
        ] {
            let all = with_default_subcommand(arguments.iter().map(OsString::from));
            assert_eq!(all[1].to_str(), Some(second), "{arguments:?}");
        }
    }

    #[test]
    fn a_server_is_named_with_and_without_its_scheme() {
        for (text, url) in [
            ("http://a:9090/prefix", Ok("http://a:9090/prefix")),
            ("https://a", Ok("https://a")),
            ("127.0.0.1:9090", Ok("http://127.0.0.1:9090")),
            ("localhost:9090/prefix", Ok("http://localhost:9090/prefix")),
            (":9090", Ok("http://127.0.0.1:9090")),
            ("ftp://a", Err("ftp")),
            ("", Err("write http://host:port")),
            ("a b", Err("write http://host:port")),
        ] {
            match (server_url(text), url) {
                (Ok(read), Ok(url)) => assert_eq!(read, url, "{text}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }

    #[test]
    fn prometheus_flags_are_taken_and_unknown_ones_are_not() {
        let parse = |flag: &str| {
            let arguments = ["stillwell", flag].map(OsString::from);
            command().try_get_matches_from(with_default_subcommand(arguments))
        };
        for flag in [
            "--storage.tsdb.path=/data",
            "--web.enable-lifecycle",
            "--no-scrape.adjust-timestamps",
            "--storage.tsdb.retention.time=15d",
            "--web.listen-address=:9090",
            "--enable-feature=native-histograms",
        ] {
            assert!(parse(flag).is_ok(), "{flag}");
        }
        let error = parse("--web.listen-adress=:1")
            .expect_err("unknown")
            .to_string();
        assert!(error.contains("--web.listen-address"), "{error}");
    }
}
