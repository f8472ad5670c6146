//! Who is let in: a user with a password, or whoever has the token; and the headers that every answer gets.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use parking_lot::Mutex;
use stillwell_adapters::ClientAddress;
use stillwell_adapters::reply::reply;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::settings::{WebConfig, read_file};

/// Passwords found right are remembered: KEDA sends its own with every poll, and each costs bcrypt tens of milliseconds.
const REMEMBERED_MAX: usize = 100;
/// So are those found wrong: a client with an old password sends it with every poll too.
const WRONG_MAX: usize = 1_000;
/// Passwords at work at a time; guessing must not take all processors.
const AT_WORK_MAX: usize = 2;
/// Passwords that may wait for that. More are sent away at once, so that whoever comes first waits for seconds at most.
const WAITING_MAX: usize = 30;
/// Passwords of one address, at work or waiting: whoever guesses must not keep others' from being looked at.
const OF_ADDRESS_MAX: usize = 4;
/// Of a header with credentials.
const CREDENTIALS_BYTES_MAX: usize = 8 << 10;
/// A hash of nothing in particular after its cost, so that an unknown user takes as long as a known one.
const NOBODY: &str = "$CcE8o4c0VvW6Q8xg8m7B5uH9b5f1r9m5m9w8i9l0K2nq8xQzv3sVa";
/// The cost where no user has a hash to compare with.
const COST: u32 = 10;

/// Lets in, or not.
pub struct Authenticator {
    config: WebConfig,
    token: Option<String>,
    /// Of an unknown user: as costly as the costliest known one.
    nobody: String,
    /// Fingerprints of what was found right, and of what was found wrong. The keys are random per process, so they tell
    /// nobody anything.
    right: Mutex<Remembered>,
    wrong: Mutex<Remembered>,
    keys: (RandomState, RandomState),
    at_work: Arc<Semaphore>,
    /// Those at work, and those that wait.
    admitted: Arc<Semaphore>,
    under_way: Arc<Mutex<UnderWay>>,
    /// How many of those admitted each address has.
    addresses: Arc<Mutex<HashMap<Option<ClientAddress>, usize>>>,
}

/// What those who sent a password that is being looked at wait for, by its fingerprint.
type UnderWay = HashMap<(u64, u64), watch::Receiver<()>>;

/// Others with the same password wait until it is dropped.
struct Looking {
    under_way: Arc<Mutex<UnderWay>>,
    fingerprint: (u64, u64),
    _tell: watch::Sender<()>,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.fingerprint);
    }
}

/// A password that is looked at, or waits for that.
struct Admitted {
    addresses: Arc<Mutex<HashMap<Option<ClientAddress>, usize>>>,
    address: Option<ClientAddress>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut addresses = self.addresses.lock();
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// The newest fingerprints, newest last.
#[derive(Default)]
struct Remembered(VecDeque<(u64, u64)>);

impl Remembered {
    fn add(&mut self, fingerprint: (u64, u64), most: usize) {
        if self.0.len() >= most {
            self.0.pop_front();
        }
        self.0.push_back(fingerprint);
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    In,
    Out,
    /// Too many passwords are being looked at.
    Busy,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticator") // it holds secrets
    }
}

impl Authenticator {
    /// The gate of a configuration; reads its token.
    pub(super) fn new(config: WebConfig) -> Result<Authenticator, String> {
        let token = match &config.bearer_token_file {
            None => None,
            Some(path) => {
                let name = path.display();
                let text = String::from_utf8(read_file(path)?);
                let text = text.map_err(|_| format!("{name}: not UTF-8"))?;
                let token = text.trim().to_owned();
                if token.is_empty() {
                    return Err(format!("{name}: there is no token in it"));
                }
                Some(token)
            }
        };
        let costs = config.users.values().filter_map(|hash| {
            let parts: bcrypt::HashParts = hash.parse().ok()?;
            Some(parts.get_cost())
        });
        let cost = costs.max().unwrap_or(COST);
        Ok(Authenticator {
            config,
            token,
            nobody: format!("$2b${cost:02}{NOBODY}"),
            right: Mutex::default(),
            wrong: Mutex::default(),
            keys: (RandomState::new(), RandomState::new()),
            at_work: Arc::new(Semaphore::new(AT_WORK_MAX)),
            admitted: Arc::new(Semaphore::new(AT_WORK_MAX + WAITING_MAX)),
            under_way: Arc::default(),
            addresses: Arc::default(),
        })
    }

    /// Whether somebody has to show something to be let in.
    pub fn is_closed(&self) -> bool {
        !self.config.users.is_empty() || self.token.is_some()
    }

    /// The refusal, if this request from an address is not let in.
    pub async fn refusal(
        self: &Arc<Authenticator>,
        headers: &HeaderMap,
        address: Option<ClientAddress>,
    ) -> Option<Response<Body>> {
        if !self.is_closed() {
            return None;
        }
        match self.verdict(headers, address).await {
            Verdict::In => return None,
            Verdict::Busy => {
                let why = "too many passwords are being looked at; try again\n".to_owned();
                let status = StatusCode::TOO_MANY_REQUESTS;
                let mut refusal = reply(status, "text/plain; charset=utf-8", why);
                self.dress(&mut refusal);
                return Some(refusal);
            }
            Verdict::Out => {}
        }
        let mut refusal = reply(
            StatusCode::UNAUTHORIZED,
            "text/plain; charset=utf-8",
            "Unauthorized\n".to_owned(),
        );
        let challenge = match self.config.users.is_empty() {
            true => "Bearer",
            false => "Basic",
        };
        refusal.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
        self.dress(&mut refusal);
        Some(refusal)
    }

    /// Puts the configured headers on an answer.
    pub fn dress(&self, response: &mut Response<Body>) {
        for (name, value) in &self.config.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }

    async fn verdict(
        self: &Arc<Authenticator>,
        headers: &HeaderMap,
        address: Option<ClientAddress>,
    ) -> Verdict {
        let Some(credentials) = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .filter(|text| text.len() <= CREDENTIALS_BYTES_MAX)
        else {
            return Verdict::Out;
        };
        let Some((scheme, rest)) = credentials.split_once(' ') else {
            return Verdict::Out;
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            let token = self.token.as_deref();
            return match token {
                Some(token) if same(token.as_bytes(), rest.trim().as_bytes()) => Verdict::In,
                _ => Verdict::Out,
            };
        }
        if !scheme.eq_ignore_ascii_case("basic") || self.config.users.is_empty() {
            return Verdict::Out;
        }
        match user_and_password(rest.trim()) {
            Some((user, password)) => self.looked_at(user, password, address).await,
            None => Verdict::Out,
        }
    }

    /// Nothing where the address, or all together, have as many passwords looked at as they may.
    fn admit(&self, address: Option<ClientAddress>) -> Option<Admitted> {
        let mut addresses = self.addresses.lock();
        let own = addresses.get(&address).copied().unwrap_or(0);
        if own >= OF_ADDRESS_MAX {
            return None;
        }
        let permit = Arc::clone(&self.admitted).try_acquire_owned().ok()?;
        addresses.insert(address, own + 1);
        Some(Admitted {
            addresses: Arc::clone(&self.addresses),
            address,
            _permit: permit,
        })
    }

    /// Begins to look at a password; error: somebody does, and ends then. Nothing where there are too many.
    fn look(
        &self,
        fingerprint: (u64, u64),
        address: Option<ClientAddress>,
    ) -> Option<Result<(Admitted, Looking), watch::Receiver<()>>> {
        let mut under_way = self.under_way.lock();
        if let Some(others) = under_way.get(&fingerprint) {
            return Some(Err(others.clone()));
        }
        let admitted = self.admit(address)?;
        let (tell, told) = watch::channel(());
        under_way.insert(fingerprint, told);
        let looking = Looking {
            under_way: Arc::clone(&self.under_way),
            fingerprint,
            _tell: tell,
        };
        Some(Ok((admitted, looking)))
    }

    async fn looked_at(
        self: &Arc<Authenticator>,
        user: String,
        password: String,
        address: Option<ClientAddress>,
    ) -> Verdict {
        let hash = self.config.users.get(&user).cloned();
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let fingerprint = {
            let what = (&user, &hash, &password);
            (self.keys.0.hash_one(what), self.keys.1.hash_one(what))
        };
        let (admitted, looking) = loop {
            if self.right.lock().0.contains(&fingerprint) {
                return Verdict::In;
            }
            if self.wrong.lock().0.contains(&fingerprint) {
                return Verdict::Out;
            }
            match self.look(fingerprint, address) {
                Some(Ok(begun)) => break begun,
                // Twenty polls of KEDA's with one password need one look at it.
                Some(Err(mut others)) => others.changed().await.unwrap_or(()), // an error is its end
                None => return Verdict::Busy,
            }
        };
        let Ok(slot) = Arc::clone(&self.at_work).acquire_owned().await else {
            return Verdict::Out;
        };
        let authenticator = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let is_right = matches!(bcrypt::verify(password, &hash), Ok(true)) && known;
            match is_right {
                true => authenticator.right.lock().add(fingerprint, REMEMBERED_MAX),
                false => authenticator.wrong.lock().add(fingerprint, WRONG_MAX),
            }
            drop((looking, admitted, slot)); // when the work ends, not when its client goes
            is_right
        });
        match work.await {
            Ok(true) => Verdict::In,
            _ => Verdict::Out,
        }
    }
}

fn user_and_password(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(base64(encoded)?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    LENIENT.decode(text).ok()
}

/// Compares in a time that does not tell how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An authenticator of one user, `keda`, whose password is `right`, at a low cost.
    fn authenticator() -> Arc<Authenticator> {
        let hash = bcrypt::hash("right", 5).expect("a hash");
        let config = WebConfig {
            users: [("keda".to_owned(), hash)].into(),
            ..WebConfig::default()
        };
        Arc::new(Authenticator::new(config).expect("valid"))
    }

    #[test]
    fn an_unknown_user_costs_what_the_costliest_known_one_does() {
        let authenticator = authenticator();
        let parts: bcrypt::HashParts = authenticator.nobody.parse().expect("a hash");
        assert_eq!(parts.get_cost(), 5);
        assert!(!bcrypt::verify("", &authenticator.nobody).expect("a hash"));
    }

    #[tokio::test]
    async fn a_password_is_looked_at_once_whether_it_is_right_or_wrong() {
        let authenticator = authenticator();
        let ask = |user: &str, password: &str| {
            authenticator.looked_at(user.to_owned(), password.to_owned(), None)
        };
        for (user, password, verdict) in [
            ("keda", "right", Verdict::In),
            ("keda", "wrong", Verdict::Out),
            ("nobody", "right", Verdict::Out),
        ] {
            assert_eq!(ask(user, password).await, verdict, "{user} {password}");
        }
        authenticator.at_work.close(); // nothing can be looked at any more
        for (user, password, verdict) in [
            ("keda", "right", Verdict::In),
            ("keda", "wrong", Verdict::Out),
            ("nobody", "right", Verdict::Out),
        ] {
            assert_eq!(ask(user, password).await, verdict, "{user} {password}");
        }
    }

    /// Whoever guessed without end kept KEDA out after our start, when no password is known to be right yet.
    #[tokio::test]
    async fn guesses_from_one_address_keep_nobody_else_from_being_let_in() {
        let authenticator = authenticator();
        let ask = |password: &str, host: u8| {
            let address = Some(ClientAddress::of([10, 0, 0, host], None));
            authenticator.looked_at("keda".to_owned(), password.to_owned(), address)
        };
        let address = Some(ClientAddress::of([10, 0, 0, 1], None));
        let guesses: Vec<Admitted> = std::iter::from_fn(|| authenticator.admit(address)).collect();
        assert_eq!(guesses.len(), OF_ADDRESS_MAX);
        assert_eq!(ask("a guess", 1).await, Verdict::Busy);
        assert_eq!(ask("right", 2).await, Verdict::In);
        drop(guesses);
        assert!(authenticator.addresses.lock().is_empty());
        assert_eq!(ask("a guess", 1).await, Verdict::Out);
    }

    /// KEDA polled twenty ScaledObjects with one password after our start: sixteen polls were sent away.
    #[tokio::test]
    async fn one_password_of_many_requests_is_looked_at_once() {
        let authenticator = authenticator();
        let address = Some(ClientAddress::of([10, 0, 0, 1], None));
        let ask = |password: &str| {
            authenticator.looked_at("keda".to_owned(), password.to_owned(), address)
        };
        let right = futures_util::future::join_all((0..20).map(|_| ask("right")));
        let wrong = futures_util::future::join_all((0..20).map(|_| ask("wrong")));
        let (right, wrong) = tokio::join!(right, wrong);
        assert!(right.iter().all(|verdict| *verdict == Verdict::In));
        assert!(wrong.iter().all(|verdict| *verdict == Verdict::Out));
        assert!(authenticator.under_way.lock().is_empty());
        assert!(authenticator.addresses.lock().is_empty());
        // Whoever goes while it waits leaves it to the others.
        let slots = authenticator.at_work.acquire_many(AT_WORK_MAX as u32).await;
        let (mut first, mut second) = (Box::pin(ask("first")), Box::pin(ask("first")));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop((first, slots));
        assert_eq!(second.await, Verdict::Out);
    }

    #[tokio::test]
    async fn guesses_past_those_that_may_wait_are_sent_away_and_remembered_ones_are_not() {
        let authenticator = authenticator();
        let ask =
            |password: &str| authenticator.looked_at("keda".to_owned(), password.to_owned(), None);
        assert_eq!(ask("right").await, Verdict::In);
        let all = (AT_WORK_MAX + WAITING_MAX) as u32;
        let _guesses = authenticator.admitted.try_acquire_many(all).expect("free");
        assert_eq!(ask("a guess").await, Verdict::Busy);
        assert_eq!(ask("right").await, Verdict::In);
    }

    #[test]
    fn base64_is_read_and_garbage_is_not() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("a2VkYTpzM2NyZXQ=", Some(b"keda:s3cret")),
            ("a2VkYTpzM2NyZXQ", Some(b"keda:s3cret")),
            ("+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("a b", None),
            ("ä", None),
        ] {
            assert_eq!(base64(text).as_deref(), bytes, "{text}");
        }
    }
}
