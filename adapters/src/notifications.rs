//! What whoever looks at this server should know about it: `/api/v1/notifications` and its stream
//! (util/notifications/notifications.go).

use std::sync::Arc;

use stillwell_engine::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::json;
use crate::time::rfc3339;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// For people.
    pub text: &'static str,
    /// Since when, by the wall clock.
    pub date: Timestamp,
}

/// The messages in force, and how many streams may be told of changes.
pub struct Notifications {
    /// A subscriber sees the newest list, whatever it has missed between.
    active: watch::Sender<Vec<Notification>>,
    places: Arc<Semaphore>,
}

/// One stream: it has a place for as long as this lives.
pub struct Subscription {
    told: Vec<Notification>,
    active: watch::Receiver<Vec<Notification>>,
    _place: OwnedSemaphorePermit,
}

impl Notifications {
    /// None, and at most so many streams.
    pub fn new(subscribers_max: usize) -> Notifications {
        Notifications {
            active: watch::Sender::default(),
            places: Arc::new(Semaphore::new(subscribers_max.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// A message is in force from `date` on. One that is already keeps its date.
    pub fn add(&self, text: &'static str, date: Timestamp) {
        self.active.send_if_modified(|active| {
            let is_new = active.iter().all(|one| one.text != text);
            if is_new {
                active.push(Notification { text, date });
            }
            is_new
        });
    }

    /// A message is no longer in force.
    pub fn remove(&self, text: &'static str) {
        self.active.send_if_modified(|active| {
            let before = active.len();
            active.retain(|one| one.text != text);
            active.len() != before
        });
    }

    /// The messages in force, as JSON.
    pub(crate) fn list(&self) -> String {
        let mut out = String::from("[");
        json::joined(&mut out, self.active.borrow().iter(), |out, one| {
            write(out, one, true);
        });
        out.push(']');
        out
    }

    /// A stream of changes, the messages in force first; `None` where there are too many streams.
    pub(crate) fn subscribe(&self) -> Option<Subscription> {
        let mut active = self.active.subscribe();
        active.mark_changed();
        Some(Subscription {
            _place: Arc::clone(&self.places).try_acquire_owned().ok()?,
            told: Vec::new(),
            active,
        })
    }
}

impl Subscription {
    /// Waits for a change, and answers it as Server-Sent Events. `None`: there will be none any more.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.active.changed().await.ok()?;
        let active = self.active.borrow_and_update().clone();
        let mut out = String::new();
        let over = self.told.iter().filter(|one| !active.contains(one));
        for one in over {
            event(&mut out, one, false);
        }
        let new = active.iter().filter(|one| !self.told.contains(one));
        for one in new {
            event(&mut out, one, true);
        }
        self.told = active;
        Some(out)
    }
}

fn event(out: &mut String, one: &Notification, active: bool) {
    out.push_str("data: ");
    write(out, one, active);
    out.push_str("\n\n");
}

fn write(out: &mut String, one: &Notification, active: bool) {
    out.push_str("{\"text\":");
    json::string(out, one.text);
    out.push_str(",\"date\":");
    json::string(out, &rfc3339(one.date));
    out.push_str(&format!(",\"active\":{active}}}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_tell_what_begins_and_what_is_over() {
        let notifications = Notifications::new(1);
        notifications.add("a", Timestamp::from_ms(1_000));
        notifications.add("a", Timestamp::from_ms(2_000));
        let a = r#"{"text":"a","date":"1970-01-01T00:00:01Z","active":true}"#;
        assert_eq!(notifications.list(), format!("[{a}]"));
        let mut stream = notifications.subscribe().expect("a place");
        assert!(notifications.subscribe().is_none(), "one place");
        assert_eq!(stream.next().await, Some(format!("data: {a}\n\n")));
        notifications.remove("a");
        let over = a.replace("true", "false");
        assert_eq!(stream.next().await, Some(format!("data: {over}\n\n")));
        assert_eq!(notifications.list(), "[]");
        drop(stream);
        assert!(
            notifications.subscribe().is_some(),
            "the place is free again"
        );
        let mut stream = notifications.subscribe().expect("a place");
        drop(notifications);
        assert_eq!(
            stream.next().await,
            Some(String::new()),
            "nothing is in force"
        );
        assert_eq!(stream.next().await, None);
    }
}
