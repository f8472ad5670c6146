//! The flags of alerts, named as Prometheus names them.

use std::path::Path;

use clap::{Arg, ArgMatches};

use super::{switch, value};
use crate::alertmanager::NotifierOptions;
use crate::config::units::duration_ms;
use crate::rule_groups::RestoreOptions;
use crate::serve::AlertSettings;

const CAPACITY: &str = "alertmanager.notification-queue-capacity";
const BATCH: &str = "alertmanager.notification-batch-size";
/// On unless its opposite is given.
pub(super) const DRAIN: &str = "alertmanager.drain-notification-queue-on-shutdown";
const NO_DRAIN: &str = "no-alertmanager.drain-notification-queue-on-shutdown";
const RESEND: &str = "rules.alert.resend-delay";
const OUTAGE: &str = "rules.alert.for-outage-tolerance";
const GRACE: &str = "rules.alert.for-grace-period";
/// Under which others reach this server.
pub(super) const EXTERNAL_URL: &str = "web.external-url";

pub(super) fn flags() -> Vec<Arg> {
    let with_default =
        |name, what, help, default: &'static str| value(name, what, help).default_value(default);
    vec![
        with_default(
            CAPACITY,
            "N",
            "Alerts that may wait for an Alertmanager; more push out the oldest",
            "10000",
        ),
        with_default(
            BATCH,
            "N",
            "Alerts of one request to an Alertmanager",
            "256",
        ),
        switch(DRAIN).help("Send the alerts that wait before the process ends (the default)"),
        switch(NO_DRAIN)
            .help("End without sending the alerts that wait")
            .overrides_with(DRAIN),
        with_default(
            RESEND,
            "DURATION",
            "Between two messages about an alert that goes on",
            "1m",
        ),
        with_default(
            OUTAGE,
            "DURATION",
            "Longest outage over which the `for` of alerts goes on, with --storage.path",
            "1h",
        ),
        with_default(
            GRACE,
            "DURATION",
            "After a restart an alert waits at least so long; a shorter `for` begins anew",
            "10m",
        ),
        value(
            EXTERNAL_URL,
            "URL",
            "Under which others reach this server, in alerts; its path is the route prefix",
        ),
    ]
}

pub(super) fn options(matches: &ArgMatches) -> Result<AlertSettings, String> {
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let duration =
        |name: &str| duration_ms(text(name)).map_err(|error| format!("--{name}: {error}"));
    let count = |name: &str| match text(name).parse::<usize>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!(
            "--{name}: {:?} is not a whole number above 0",
            text(name)
        )),
    };
    Ok(AlertSettings {
        resend_ms: duration(RESEND)?,
        restore: RestoreOptions {
            outage_tolerance_ms: duration(OUTAGE)?,
            grace_period_ms: duration(GRACE)?,
        },
        sending: NotifierOptions {
            queue_capacity: count(CAPACITY)?,
            batch_size: count(BATCH)?,
            drain: !matches.get_flag(NO_DRAIN),
        },
    })
}

/// The URL as given, or `http://HOST:PORT` of the first listener, as in Prometheus. Without a slash at the end.
pub(super) fn external_url(given: &str, listen: &str, hostname: &str) -> Result<String, String> {
    if given.is_empty() {
        let port = listen.rsplit_once(':').map_or("", |(_, port)| port);
        let host = if hostname.is_empty() {
            "localhost"
        } else {
            hostname
        };
        return Ok(format!("http://{host}:{port}"));
    }
    if given.contains(['"', '\'']) {
        return Err(format!(
            "--{EXTERNAL_URL}: {given:?} must not begin or end with quotes, nor contain any"
        ));
    }
    match given.split_once("://") {
        Some(("http" | "https", _)) => Ok(given.trim_end_matches('/').to_owned()),
        Some(_) => Err(format!(
            "--{EXTERNAL_URL}: {given:?} is neither http nor https"
        )),
        // A path alone is one: it is put behind where this server listens.
        None if Path::new(given).is_absolute() => {
            let root = external_url("", listen, hostname)?;
            Ok(format!("{root}{}", given.trim_end_matches('/')))
        }
        None => Err(format!(
            "--{EXTERNAL_URL}: {given:?} is no URL; write http://HOST:PORT/PATH"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_external_url_is_given_or_that_of_the_listener() {
        for (given, url) in [
            ("", Ok("http://h:9090")),
            ("http://x/", Ok("http://x")),
            ("https://x:1/p/", Ok("https://x:1/p")),
            ("/p/", Ok("http://h:9090/p")),
            ("ftp://x", Err("neither http nor https")),
            ("x", Err("is no URL")),
            ("\"http://x\"", Err("quotes")),
        ] {
            match (external_url(given, "0.0.0.0:9090", "h"), url) {
                (Ok(have), Ok(url)) => assert_eq!(have, url, "{given}"),
                (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
                (have, _) => panic!("{given}: {have:?}"),
            }
        }
    }
}
