//! Names to addresses, by an asynchronous resolver: a name that does not answer holds no thread, only the scrapes that ask for it.
//!
//! A name is looked up by one task at a time, whoever asks for it, and whether they wait or not. What was answered is kept for
//! some seconds; a name that was not answered is left alone for longer each time ([`Silence`]), and if it was answered a moment ago
//! its last addresses are used meanwhile.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, timeout};

use super::error::HttpError;
use super::lookups::{Silence, look_up};
use super::zone::zoned;

/// Names that are kept, a few hundred bytes each: more than a cluster's gateways have.
const NAMES_MAX: usize = 8_192;
/// Where there are more, those go that nobody has asked for within this.
const UNUSED: Duration = Duration::from_secs(30);

/// How long an answer is kept at most, whatever it says: a gateway that moves is found soon, where Prometheus asks before each
/// connection. Connections are kept, so that a target whose scrapes succeed asks nobody.
const ANSWER_KEPT_MAX: Duration = Duration::from_secs(5);
/// The same where there is none: of a name that does not exist yet.
const NO_ANSWER_KEPT: Duration = Duration::from_secs(1);
/// The last addresses of a name that is not answered just now are used for so long: what is known for longer may be another's by now.
const LAST_KEPT: Duration = Duration::from_secs(60);
/// Who asks for such a name waits so long for better ones.
const LAST_USED_AFTER: Duration = Duration::from_secs(1);
/// A look-up may take this long where no others wait.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Resolves names as the system is configured to (`/etc/resolv.conf`, `/etc/hosts`). Clones share what is known. Each
/// runtime needs one of its own, for its sockets belong to the runtime that asked first.
#[derive(Clone, Default)]
pub struct Resolver {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    resolver: OnceCell<TokioResolver>,
    /// Held for a look.
    names: Mutex<HashMap<String, Name>>,
}

/// Addresses, or why there are none.
type Found = Result<Arc<[IpAddr]>, String>;

/// What is known of a name.
#[derive(Default)]
struct Name {
    /// And until when.
    known: Option<(Found, Instant)>,
    /// The addresses that were found last, and when.
    last: Option<(Arc<[IpAddr]>, Instant)>,
    /// The look-up that is under way tells what it finds.
    under_way: Option<watch::Receiver<Option<Found>>>,
    silence: Silence,
    used: Option<Instant>,
}

/// What somebody who asks for a name gets.
enum Answer {
    Known(Found),
    /// What the look-up that is under way will tell; after so long the last addresses do, where there are any.
    Told(
        watch::Receiver<Option<Found>>,
        Option<(Arc<[IpAddr]>, Duration)>,
    ),
}

/// How a look-up ended.
enum Ended {
    Found(Arc<[IpAddr]>, Instant),
    /// The name is answered: there is nothing.
    Nothing(String),
    /// It cannot be answered now.
    Failed(String),
    /// Nobody said anything.
    Silent,
}

impl Resolver {
    /// The addresses of a host, which may be one itself.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, HttpError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        if let Some(address) = zoned(host, port) {
            let address = address.map_err(|why| HttpError::Resolve(host.to_owned(), why));
            return Ok(vec![address?]);
        }
        let found = match self.inner.known_or_asked(host) {
            Answer::Known(found) => found,
            Answer::Told(mut told, last) => {
                let told = async {
                    match told.wait_for(Option::is_some).await {
                        Ok(found) => found.clone().unwrap_or_else(|| Ok(Arc::from([]))), // it was waited for
                        Err(_) => Err("the look-up failed".to_owned()), // a panic has been logged
                    }
                };
                match last {
                    Some((last, after)) => timeout(after, told).await.unwrap_or(Ok(last)),
                    None => told.await,
                }
            }
        };
        let found = found.map_err(|why| HttpError::Resolve(host.to_owned(), why))?;
        Ok(found.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
    }
}

impl Inner {
    /// What is known of a name now, or who will tell.
    fn known_or_asked(self: &Arc<Inner>, host: &str) -> Answer {
        let now = Instant::now();
        let mut names = self.names.lock();
        if names.len() >= NAMES_MAX && !names.contains_key(host) {
            let is_used = |name: &Name| name.used.is_some_and(|used| now - used < UNUSED);
            names.retain(|_, name| name.under_way.is_some() || is_used(name));
        }
        let name = names.entry(host.to_owned()).or_default();
        name.used = Some(now);
        if let Some((found, until)) = &name.known
            && *until > now
        {
            return Answer::Known(found.clone());
        }
        let last = name.last_used(now);
        // One that ended without a word, by a panic, is asked again.
        if let Some(told) = &name.under_way
            && told.has_changed().is_ok()
        {
            return Answer::Told(told.clone(), last);
        }
        let (tell, told) = watch::channel(None);
        name.under_way = Some(told.clone());
        let (silence, host, inner) = (name.silence, host.to_owned(), Arc::clone(self));
        tokio::spawn(async move {
            let ended = look_up(silence, WAIT_MAX, || inner.ask(&host)).await;
            let found = inner.note(&host, ended.unwrap_or(Ended::Silent));
            tell.send_replace(Some(found));
        });
        Answer::Told(told, last)
    }

    async fn ask(&self, host: &str) -> Ended {
        let build = async || {
            let mut builder = TokioResolver::builder_tokio().map_err(|error| error.to_string())?;
            builder.options_mut().cache_size = 0; // answers are kept here
            builder.build().map_err(|error| error.to_string())
        };
        let resolver = match self.resolver.get_or_try_init(build).await {
            Ok(resolver) => resolver,
            Err(why) => return Ended::Failed(why),
        };
        match resolver.lookup_ip(host).await {
            Ok(found) => {
                let until = Instant::from_std(found.valid_until());
                Ended::Found(found.iter().collect(), until)
            }
            Err(NetError::Timeout) => Ended::Silent,
            Err(error) if error.is_no_records_found() => Ended::Nothing(in_words(&error)),
            Err(error) => Ended::Failed(in_words(&error)),
        }
    }

    /// Keeps what a look-up found.
    fn note(&self, host: &str, ended: Ended) -> Found {
        let now = Instant::now();
        let mut names = self.names.lock();
        let name = names.entry(host.to_owned()).or_default();
        name.under_way = None;
        name.silence = match &ended {
            Ended::Silent => name.silence.longer(),
            _ => Silence::ended(),
        };
        name.last = match &ended {
            Ended::Found(addresses, _) if !addresses.is_empty() => Some((addresses.clone(), now)),
            Ended::Silent => name.last.take().filter(|_| name.silence.is_short()),
            _ => None,
        };
        let (found, until) = match ended {
            Ended::Found(addresses, _) if addresses.is_empty() => {
                (Err("no address".to_owned()), now + NO_ANSWER_KEPT)
            }
            Ended::Found(addresses, until) => (Ok(addresses), until.min(now + ANSWER_KEPT_MAX)),
            Ended::Nothing(why) => (Err(why), now + NO_ANSWER_KEPT),
            Ended::Failed(why) => (Err(why), now),
            Ended::Silent => {
                let why =
                    || "no name server answers; it is asked again every few seconds".to_owned();
                let last = name.last_used(now).map(|(last, _)| last);
                (last.ok_or_else(why), name.silence.until().unwrap_or(now))
            }
        };
        name.known = Some((found.clone(), until));
        found
    }
}

impl Name {
    /// The last addresses, and after how long they do for who waits for new ones: at once where the look-up before was not answered.
    fn last_used(&self, now: Instant) -> Option<(Arc<[IpAddr]>, Duration)> {
        let (last, found) = self.last.as_ref()?;
        let after = match self.silence.is_none() {
            true => LAST_USED_AFTER,
            false => Duration::ZERO,
        };
        (now - *found < LAST_KEPT).then(|| (Arc::clone(last), after))
    }
}

/// What a look-up failed with, shortly.
pub(crate) fn in_words(error: &NetError) -> String {
    if error.is_nx_domain() {
        "no such host".to_owned()
    } else if error.is_no_records_found() {
        "no address".to_owned()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_once_for_all_who_ask_and_not_at_once_again() {
        let inner = Arc::new(Inner::default());
        let (tell, told) = watch::channel(None);
        let name = Name {
            under_way: Some(told),
            ..Name::default()
        };
        inner.names.lock().insert("h".to_owned(), name);
        let resolver = Resolver {
            inner: Arc::clone(&inner),
        };
        let asks = [0, 1].map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.addresses("h", 80).await })
        });
        tokio::task::yield_now().await;
        let ip = IpAddr::from([10, 0, 0, 7]);
        let until = Instant::now() + Duration::from_secs(3_600);
        tell.send_replace(Some(inner.note("h", Ended::Found(Arc::from([ip]), until))));
        for ask in asks {
            let found = ask.await.expect("no panic").expect("an address");
            assert_eq!(found, [SocketAddr::new(ip, 80)]);
        }
        let is_known = || matches!(inner.known_or_asked("h"), Answer::Known(_));
        tokio::time::advance(ANSWER_KEPT_MAX - Duration::from_millis(1)).await;
        assert!(is_known());
        // A name that nobody answers is asked for again after one second, then after two.
        inner.names.lock().remove("h");
        for seconds in [1, 2] {
            assert!(inner.note("h", Ended::Silent).is_err());
            tokio::time::advance(Duration::from_millis(1_000 * seconds - 1)).await;
            assert!(is_known(), "{seconds}");
            let refused = resolver.addresses("h", 80).await;
            assert!(refused.is_err_and(|error| error.to_string().contains("no name server")));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(!is_known());
        let names = inner.names.lock();
        assert!(names["h"].under_way.is_some(), "it is asked for");
    }

    /// One packet was lost, and a gateway whose connection had ended was not scraped.
    #[tokio::test(start_paused = true)]
    async fn a_name_that_was_answered_a_moment_ago_keeps_its_addresses_until_it_was_silent_three_times()
     {
        let inner = Arc::new(Inner::default());
        let resolver = Resolver {
            inner: Arc::clone(&inner),
        };
        let ip = IpAddr::from([10, 0, 0, 7]);
        let find = || inner.note("h", Ended::Found(Arc::from([ip]), Instant::now()));
        let addresses = async || {
            let began = Instant::now();
            // A look-up of which nothing is heard.
            let (tell, told) = watch::channel(None);
            {
                let mut names = inner.names.lock();
                let name = names.get_mut("h").expect("it was noted");
                name.under_way = Some(told);
            }
            let asked = timeout(Duration::from_secs(9), resolver.addresses("h", 80)).await;
            drop(tell);
            (asked.map(|found| found.is_ok()), began.elapsed())
        };
        find().expect("an address");
        assert_eq!(addresses().await, (Ok(true), LAST_USED_AFTER));
        for is_kept in [true, true, false] {
            assert_eq!(inner.note("h", Ended::Silent).is_ok(), is_kept);
            tokio::time::advance(Duration::from_secs(4)).await;
            let (asked, waited) = addresses().await;
            assert_eq!(asked.is_ok(), is_kept);
            assert_eq!(waited.is_zero(), is_kept);
        }
        // What it had long ago may be another's.
        find().expect("an address");
        tokio::time::advance(LAST_KEPT).await;
        assert!(inner.note("h", Ended::Silent).is_err());
        // So is a name that is answered: there is nothing.
        find().expect("an address");
        assert!(
            inner
                .note("h", Ended::Nothing("no such host".to_owned()))
                .is_err()
        );
        assert!(inner.note("h", Ended::Silent).is_err());
    }
}
