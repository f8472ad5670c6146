//! Log events to standard error, one line each, as Prometheus prints them (logfmt) or as JSON.
//!
//! A subscriber of our own: events have a level, a message and a few fields, and nothing here uses spans. Who logs waits
//! for nobody: see [`crate::log_writer`].

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use stillwell_adapters::json;
use stillwell_adapters::time::rfc3339_millis;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::clock::Clock;
use crate::log_writer::LogWriter;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time=... level=INFO msg="..." key=value`
    #[default]
    Logfmt,
    /// One object a line.
    Json,
}

/// Sends the events of this process to standard error from now on. A second call changes nothing.
pub fn start(clock: Arc<Clock>, level: Level, format: LogFormat) {
    let writer = WRITER.get_or_init(|| LogWriter::start(std::io::stderr()));
    tracing::subscriber::set_global_default(Log {
        clock,
        level,
        format,
        writer: writer.clone(),
    })
    .ok();
}

/// Waits until what was logged has been written, as long as a reader of standard error may take for it.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(FLUSH_MAX);
    }
}

/// What dependencies say may hold all of an answer that they could not read; so much of it is told.
const FOREIGN_BYTES_MAX: usize = 300;
/// How long the end of the process waits for its last lines.
const FLUSH_MAX: Duration = Duration::from_millis(500);

static WRITER: OnceLock<LogWriter> = OnceLock::new();

struct Log {
    clock: Arc<Clock>,
    level: Level,
    format: LogFormat,
    writer: LogWriter,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Dependencies speak of their own insides below this level.
        let ours = is_ours(metadata);
        // It says that a call failed, but not which; whoever made the call says that as well.
        if metadata.target() == "kube_client::client::builder" && self.level < Level::DEBUG {
            return false;
        }
        *metadata.level() <= self.level && (ours || *metadata.level() <= Level::WARN)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let is_ours = is_ours(metadata);
        if !is_ours {
            fields.cut(FOREIGN_BYTES_MAX);
        }
        let place = (metadata.file(), metadata.line());
        let now = self.clock.wall_now();
        let Some(folded) = self.writer.admit(fields.subject(place, is_ours), now.ms()) else {
            return;
        };
        if folded > 0 {
            fields.others.push(("folded", folded.to_string()));
        }
        let time = rfc3339_millis(now);
        self.writer
            .write(line(self.format, &time, event.metadata().level(), &fields));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("stillwell")
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, format!("{value:?}"));
    }
}

impl Fields {
    /// What an event is about: where in the program it is, and of which target, job or caller it speaks; where it speaks of
    /// none, its text, where that is ours: what a dependency says changes with what strangers send. What went wrong with a target is no part of it, for the target chooses those words.
    fn subject(&self, place: (Option<&str>, Option<u32>), is_ours: bool) -> u64 {
        let mut hasher = DefaultHasher::new();
        place.hash(&mut hasher);
        let of_whom = [
            "target", "instance", "job", "signal", "url", "rule", "group", "file",
        ];
        let named = self
            .others
            .iter()
            .filter(|(name, _)| of_whom.contains(name));
        let mut is_named = false;
        for pair in named {
            pair.hash(&mut hasher);
            is_named = true;
        }
        if !is_named && is_ours {
            self.message.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Leaves so many bytes of each text.
    fn cut(&mut self, bytes_max: usize) {
        let texts = self.others.iter_mut().map(|(_, text)| text);
        for text in texts.chain([&mut self.message]) {
            if text.len() > bytes_max {
                text.truncate(text.floor_char_boundary(bytes_max));
                text.push_str("...");
            }
        }
    }

    fn keep(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.push((field.name(), value));
        }
    }
}

fn line(format: LogFormat, time: &str, level: &Level, fields: &Fields) -> String {
    let level = level.as_str();
    let head = [("time", time), ("level", level), ("msg", &fields.message)];
    let pairs = head.into_iter().chain(
        fields
            .others
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    let mut out = String::new();
    match format {
        LogFormat::Json => json::object(&mut out, pairs),
        LogFormat::Logfmt => {
            for (index, (name, value)) in pairs.enumerate() {
                let gap = if index > 0 { " " } else { "" };
                let bare = !value.is_empty()
                    && value
                        .bytes()
                        .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'));
                if bare {
                    write!(out, "{gap}{name}={value}").ok(); // a String takes everything
                } else {
                    write!(out, "{gap}{name}={value:?}").ok();
                }
            }
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart_by_whom_they_are_about_else_by_their_text() {
        let about = |message: &str, others: &[(&'static str, &str)]| {
            let fields = Fields {
                message: message.to_owned(),
                others: others.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
            };
            fields.subject((Some("a.rs"), Some(1)), true)
        };
        assert_ne!(about("one", &[]), about("another", &[]));
        let error = |error| about("scrape failed", &[("target", "a:1"), ("error", error)]);
        assert_eq!(error("refused"), error("timeout 17"));
        assert_ne!(
            error("refused"),
            about("scrape failed", &[("target", "b:1")])
        );
    }

    /// Answers of 8 kB that a client of the API server could not read were logged whole, at each try another.
    #[test]
    fn what_dependencies_say_is_cut_and_folded_by_where_they_say_it() {
        let said = |garbage: &str| {
            let mut fields = Fields {
                message: format!("{garbage}, {}", "ä".repeat(4_000)),
                others: vec![("error", "short".to_owned())],
            };
            fields.cut(FOREIGN_BYTES_MAX);
            fields
        };
        let (one, other) = (said("{1"), said("{22"));
        assert!(one.message.len() <= FOREIGN_BYTES_MAX + 3 && one.message.ends_with("ä..."));
        assert_eq!(one.others[0].1, "short");
        let place = (Some("client.rs"), Some(1));
        assert_eq!(one.subject(place, false), other.subject(place, false));
        assert_ne!(one.subject(place, true), other.subject(place, true));
    }

    #[test]
    fn a_line_quotes_what_needs_it() {
        let fields = Fields {
            message: "scrape failed".to_owned(),
            others: vec![
                ("job", "epp".to_owned()),
                ("error", "a\nb \"c\"".to_owned()),
            ],
        };
        let time = "2026-11-23T19:00:00Z";
        assert_eq!(
            line(LogFormat::Logfmt, time, &Level::WARN, &fields),
            "time=2026-11-23T19:00:00Z level=WARN msg=\"scrape failed\" job=epp error=\"a\\nb \\\"c\\\"\"\n"
        );
        assert_eq!(
            line(LogFormat::Json, time, &Level::WARN, &fields),
            "{\"time\":\"2026-11-23T19:00:00Z\",\"level\":\"WARN\",\"msg\":\"scrape failed\",\"job\":\"epp\",\"error\":\"a\\nb \\\"c\\\"\"}\n"
        );
    }
}
