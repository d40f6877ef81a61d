//! The file of tokens: one line per token, with name, role, argon2id hash and perhaps a last day.
//!
//! Hashing is slow on purpose, so a token that was good is remembered for a while by a fast keyed hash, and only
//! so many hashes are made at once. Both memories are of the file as it was read: a change forgets all of it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use chrono::NaiveDate;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use super::token::Shown;
use super::{AuthError, Role};
use net::watched;

/// The key that names the file.
const KEY: &str = "admin.tokens_file";
/// Slow hashes at once: two cores' worth at most, whatever comes.
const AT_ONCE: usize = 2;
/// Requests that may wait for one of them.
const WAITING: usize = 16;
/// How long a good token is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Good tokens that are remembered.
const MOST_REMEMBERED: usize = 1_024;
/// The most memory that one hash may ask for, in KiB.
const MOST_MEMORY: u32 = 64 * 1_024;
/// The most rounds that one hash may ask for.
const MOST_ROUNDS: u32 = 10;

/// A line as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    name: String,
    role: String,
    hash: String,
    until: Option<String>,
}

/// A token of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) role: Role,
    until: Option<NaiveDate>,
    hash: PasswordHash,
    /// Names this very hash: a session that this token gave does not outlive it.
    pub(super) mark: String,
}

impl Entry {
    fn check(id: &str, raw: RawEntry) -> Result<Self, String> {
        let wrong = |rule: String| format!("token {id}: {rule}");
        if raw.name.trim().is_empty() || raw.name.chars().any(char::is_control) {
            return Err(wrong("`name` says whose it is, on one line".to_owned()));
        }
        let role = raw.role.parse().map_err(|rule| wrong(format!("`role` {rule}")))?;
        let until = raw.until.map(|day| day.parse()).transpose();
        let until = until.map_err(|_| wrong("`until` must be a day such as 2027-01-31".to_owned()))?;
        let bad = || wrong("`hash` must be as `strangler token new` prints it, argon2id".to_owned());
        let hash = PasswordHash::new(&raw.hash).map_err(|_| bad())?;
        let params = Params::try_from(&hash).map_err(|_| bad())?;
        if hash.algorithm.as_str() != "argon2id" || hash.salt.is_none() || hash.hash.is_none() {
            return Err(bad());
        }
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_ROUNDS {
            return Err(wrong("`hash` would cost more than 64 MiB or 10 rounds per request".to_owned()));
        }
        let mark = blake3::hash(raw.hash.as_bytes()).to_hex()[..16].to_owned();
        Ok(Self { id: id.to_owned(), name: raw.name, role, until, hash, mark })
    }

    /// Whether its last day is over.
    pub(super) fn is_over(&self, today: NaiveDate) -> bool {
        self.until.is_some_and(|until| until < today)
    }
}

/// The file as it was read.
struct Book {
    entries: HashMap<String, Arc<Entry>>,
    /// Good tokens by keyed hash, and until when.
    good: Mutex<HashMap<blake3::Hash, Instant>>,
    key: [u8; 32],
}

impl Book {
    fn parse(text: &str) -> Result<Self, String> {
        let raw: BTreeMap<String, RawEntry> = toml::from_str(text).map_err(|error| {
            // Display would quote the line, hash included; the message alone may quote a value.
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            let message = error.message();
            let message = if message.contains('"') { "is not as `strangler token new` prints it" } else { message };
            format!("line {line}: {message}")
        })?;
        let entries = raw.into_iter().map(|(id, raw)| Ok((id.clone(), Arc::new(Entry::check(&id, raw)?))));
        let entries = entries.collect::<Result<_, String>>()?;
        Ok(Self { entries, good: Mutex::default(), key: rand::random() })
    }

    fn is_good(&self, token: &blake3::Hash, now: Instant) -> bool {
        self.good.lock().get(token).is_some_and(|until| *until > now)
    }

    fn remember(&self, token: blake3::Hash, now: Instant) {
        let mut good = self.good.lock();
        good.retain(|_, until| *until > now);
        if good.len() < MOST_REMEMBERED {
            good.insert(token, now + REMEMBERED);
        }
    }
}

/// The tokens of a file.
pub(super) struct Tokens {
    file: PathBuf,
    book: ArcSwap<Book>,
    at_once: Semaphore,
    waiting: Semaphore,
}

impl Tokens {
    /// Reads the file.
    pub(super) fn open(file: PathBuf) -> Result<Self, AuthError> {
        let book = load(&file).map_err(|reason| AuthError { key: KEY, reason })?;
        Ok(Self {
            file,
            book: ArcSwap::from_pointee(book),
            at_once: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(WAITING),
        })
    }

    /// The token with that id, if the file still has that very line.
    pub(super) fn still(&self, id: &str, mark: &str) -> Option<Arc<Entry>> {
        self.book.load().entries.get(id).filter(|entry| entry.mark == mark).cloned()
    }

    /// The token that is shown, if it is known to be good without any work.
    pub(super) fn known(&self, token: &str, now: Instant) -> Option<Arc<Entry>> {
        let book = self.book.load();
        let shown = Shown::parse(token)?;
        book.is_good(&fast(&book, token), now).then(|| book.entries.get(shown.id).cloned())?
    }

    /// The token that is shown. `may_try` is asked once more right before the work: guesses made at once wait here
    /// together, and the first failures must count for the rest.
    pub(super) async fn verify(
        &self,
        token: &str,
        may_try: impl Fn() -> Result<(), Refusal> + Send,
    ) -> Result<Arc<Entry>, Refusal> {
        let book = self.book.load_full();
        let id = Shown::parse(token).ok_or(Refusal::BadCredential)?.id;
        let entry = book.entries.get(id).cloned().ok_or(Refusal::BadCredential)?;
        let busy = Refusal::Limited { wait: Duration::from_secs(1) };
        let _waiting = self.waiting.try_acquire().map_err(|_| busy.clone())?;
        let _working = self.at_once.acquire().await.map_err(|_| busy)?;
        may_try()?;
        let (text, shared) = (token.to_owned(), Arc::clone(&entry));
        let compare = move || Shown::parse(&text).is_some_and(|shown| shown.is(&shared.hash));
        if !tokio::task::spawn_blocking(compare).await.unwrap_or(false) {
            return Err(Refusal::BadCredential);
        }
        book.remember(fast(&book, token), Instant::now());
        Ok(entry)
    }

    /// Reads the file again whenever it changes, until `stop`.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        watched::watch(vec![self.file.clone()], stop, || match load(&self.file) {
            Ok(book) => {
                tracing::info!("`{KEY}` was read and holds {} tokens", book.entries.len());
                self.book.store(Arc::new(book));
            }
            // Half written, perhaps. Whoever wants to lock everybody out empties the file.
            Err(reason) => tracing::error!("`{KEY}`: {reason}; the tokens known before stay good"),
        })
        .await;
    }
}

/// A fast hash of a token, under a key that nobody knows: what is remembered is of no use elsewhere.
fn fast(book: &Book, token: &str) -> blake3::Hash {
    blake3::keyed_hash(&book.key, token.as_bytes())
}

fn load(file: &std::path::Path) -> Result<Book, String> {
    let about = file.display();
    let text = watched::read(file).map_err(|error| format!("{about} cannot be read: {}", net::watched::why(&error)))?;
    let text = String::from_utf8(text).map_err(|_| format!("{about} is not text"))?;
    Book::parse(&text).map_err(|reason| format!("{about}: {reason}"))
}
