//! Threads for a client library that blocks: some per track, one session each, a bounded queue before them.
//!
//! Oracle's client cannot be asked from an async runtime: a call holds its thread until the server answers. So each
//! track has threads of its own, and what one of them does can never make another wait. A call whose track is full
//! is shed at once, and so is one that would wait too long for what its sessions take these days; one whose caller has
//! gone, or whose time is over, is dropped unstarted. Without that a server that was slow for a moment would stay lost:
//! every call would come to a session with too little time left, run into its limit and cost the session.
//!
//! A call that hangs beyond its limit is broken off by the watchdog. When even that does not help, its thread is
//! given up and replaced: a stuck thread cannot be ended. It ends, or takes up its work again, when it comes back.
//!
//! Promise: a caller has its answer at the limit, whatever the server or the client library does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use model::{Side, StoreError};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::connect::Connecting;
use super::error;
use super::letters::Letters;
use super::life::Expected;
use super::pace::Pace;
use super::policies::{self, Policies};
use super::session::Session;
use super::settings::{Settings, Track};
use super::watchdog::Watchdog;
use crate::source::Source;

/// Where a call is. Moved on by its thread, and ended by its caller, whoever is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    Waiting,
    Connecting,
    Sent,
    GivenUp,
}

/// What caller, thread and watchdog share about one call.
pub(super) struct Ticket {
    stage: AtomicU8,
    pub(super) deadline: Instant,
    pub(super) limit: Duration,
}

impl Ticket {
    fn new(limit: Duration) -> Self {
        Self { stage: AtomicU8::new(Stage::Waiting as u8), deadline: Instant::now() + limit, limit }
    }

    /// Moves on, unless the caller has given up.
    fn advance(&self, from: Stage, to: Stage) -> bool {
        self.stage.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// What is left of the limit.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The caller gives up. Whether anything was sent.
    fn give_up(&self) -> bool {
        self.stage.swap(Stage::GivenUp as u8, Ordering::AcqRel) == Stage::Sent as u8
    }
}

type Work = Box<dyn FnOnce(Result<&mut Session, StoreError>) + Send>;

pub(super) struct Job {
    ticket: Arc<Ticket>,
    work: Work,
    is_wanted: Box<dyn Fn() -> bool + Send>,
}

/// How one track is doing. Counters only rise; the others are of this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackFigures {
    /// Calls that wait for a session.
    pub waiting: usize,
    /// Threads that serve the track.
    pub threads: usize,
    /// Threads that were given up and are not back.
    pub abandoned: usize,
    /// Calls that were turned away because too many waited.
    pub shed: u64,
}

/// The threads of one track.
pub(super) struct Crew {
    pub(super) side: Side,
    pub(super) track: Track,
    pub(super) settings: Settings,
    queue: Receiver<Job>,
    idle: AtomicUsize,
    threads: AtomicUsize,
    pub(super) abandoned: AtomicUsize,
    /// Of the whole store.
    all_abandoned: Arc<AtomicUsize>,
    shed: AtomicU64,
    pace: Pace,
    watchdog: Arc<Watchdog>,
    /// What new sessions are compared with.
    pub(super) expected: Expected,
    /// Which tables may hide rows, as all sessions know it.
    pub(super) policies: Arc<Policies>,
    /// Which letters the database has, as all sessions know it.
    pub(super) letters: Arc<Letters>,
}

/// All tracks of one server. When the last clone goes, so do the threads.
pub(super) struct Lanes {
    side: Side,
    tracks: [(Arc<Crew>, Sender<Job>); 5],
    pub(super) expected: Expected,
    /// Which letters the database has.
    pub(super) letters: Arc<Letters>,
    /// As which incarnation this process knows the other side.
    pub(super) source: Source,
}

impl Lanes {
    /// No thread is started and no session made before it is needed.
    pub(super) fn new(side: Side, settings: &Settings) -> Self {
        let watchdog = Watchdog::start(side, settings.grace);
        let all_abandoned = Arc::default();
        let (expected, policies) = (Expected::default(), Arc::<Policies>::default());
        let letters = Arc::<Letters>::default();
        let tracks = Track::ALL.map(|track| {
            let (sender, queue) = bounded(settings.queue.get());
            let crew = Crew {
                side,
                track,
                settings: settings.clone(),
                queue,
                idle: AtomicUsize::default(),
                threads: AtomicUsize::default(),
                abandoned: AtomicUsize::default(),
                all_abandoned: Arc::clone(&all_abandoned),
                shed: AtomicU64::default(),
                pace: Pace::default(),
                watchdog: Arc::clone(&watchdog),
                expected: Arc::clone(&expected),
                policies: Arc::clone(&policies),
                letters: Arc::clone(&letters),
            };
            (Arc::new(crew), sender)
        });
        Self { side, tracks, expected, letters, source: Source::default() }
    }

    pub(super) fn figures(&self) -> Vec<(Track, TrackFigures)> {
        let of = |(crew, _): &(Arc<Crew>, Sender<Job>)| (crew.track, crew.figures());
        self.tracks.iter().map(of).collect()
    }

    /// Runs `work` on a session of `track`, within the limit.
    ///
    /// # Errors
    /// `Unreachable` when nothing was sent: too many wait already, or no session could be had in time. `NoAnswer`
    /// when the limit is over. What `work` says.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        track: Track,
        within: Duration,
        work: impl FnOnce(&mut Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (crew, sender) = &self.tracks[track as usize];
        crew.admit(within)?;
        let ticket = Arc::new(Ticket::new(within));
        let (reply, answer) = oneshot::channel();
        let reply = Arc::new(Mutex::new(Some(reply)));
        let asked = Arc::clone(&reply);
        let job = Job {
            ticket: Arc::clone(&ticket),
            work: Box::new(move |session| {
                let result = session.and_then(work);
                if let Some(reply) = reply.lock().take() {
                    // A caller that has gone does not hear it; what was done is in the ledger.
                    let _ = reply.send(result);
                }
            }),
            is_wanted: Box::new(move || asked.lock().as_ref().is_some_and(|reply| !reply.is_closed())),
        };
        if sender.try_send(job).is_err() {
            return Err(crew.turn_away(crew.settings.queue.get()));
        }
        crew.reinforce();
        match timeout_at(ticket.deadline, answer).await {
            Ok(Ok(result)) => result,
            // The thread is gone without a word: what it had sent may stand.
            Ok(Err(_)) if ticket.give_up() => Err(StoreError::NoAnswer { side: self.side, limit: within }),
            Ok(Err(_)) => Err(error::unreachable(self.side, "its thread ended")),
            Err(_) if ticket.give_up() => Err(StoreError::NoAnswer { side: self.side, limit: within }),
            Err(elapsed) => Err(error::unreachable(self.side, elapsed)),
        }
    }
}

impl Crew {
    fn figures(&self) -> TrackFigures {
        TrackFigures {
            waiting: self.queue.len(),
            threads: self.threads.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            shed: self.shed.load(Ordering::Relaxed),
        }
    }

    /// Turns a call away that would hardly be answered in time behind those that wait.
    fn admit(&self, within: Duration) -> Result<(), StoreError> {
        let (waiting, threads) = (self.queue.len(), self.threads.load(Ordering::Relaxed));
        // Where nobody waits the next free session is its own, whatever we believe that calls take.
        let admitted = waiting == 0 || self.pace.allows(waiting, threads, within);
        if admitted { Ok(()) } else { Err(self.turn_away(waiting)) }
    }

    fn turn_away(&self, waiting: usize) -> StoreError {
        self.shed.fetch_add(1, Ordering::Relaxed);
        let reason = format!("{waiting} calls wait for its {} sessions already", self.track.as_str());
        error::unreachable(self.side, reason)
    }

    /// Whether a call comes to a session too late to be answered, while others wait that may be.
    fn is_too_late(&self, ticket: &Ticket) -> bool {
        let waiting = self.queue.len();
        // Nobody else has a use for the session: then it is tried, and we learn what calls take now.
        waiting > 0 && !self.pace.allows(0, 1, ticket.left())
    }

    /// Starts a thread when more calls wait than threads are idle.
    fn reinforce(self: &Arc<Self>) {
        if self.queue.len() > self.idle.load(Ordering::Acquire) && self.enlist() {
            self.spawn();
        }
    }

    /// Takes one of the track's places; false when all are taken.
    fn enlist(&self) -> bool {
        let places = self.settings.sessions(self.track);
        let taken = |threads| (threads < places).then_some(threads + 1);
        self.threads.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).is_ok()
    }

    fn spawn(self: &Arc<Self>) {
        let crew = Arc::clone(self);
        let name = format!("oracle-{}-{}", self.side, self.track.as_str());
        if let Err(error) = thread::Builder::new().name(name).spawn(move || crew.serve()) {
            self.threads.fetch_sub(1, Ordering::AcqRel);
            tracing::error!(%error, "no thread could be started for {}'s {} lane", self.side, self.track.as_str());
        }
    }

    /// Gives up the thread that serves `badge`, and puts another in its place while that is allowed.
    pub(super) fn abandon(self: &Arc<Self>, badge: &Badge) {
        if badge.abandoned.swap(true, Ordering::AcqRel) {
            return;
        }
        self.threads.fetch_sub(1, Ordering::AcqRel);
        self.abandoned.fetch_add(1, Ordering::AcqRel);
        let all = self.all_abandoned.fetch_add(1, Ordering::AcqRel) + 1;
        let (side, lane) = (self.side, self.track.as_str());
        tracing::error!(%side, lane, all, "a call to {side} cannot be broken off, its thread is given up ({all} now)");
        if all <= self.settings.abandoned && self.enlist() {
            self.spawn();
        }
    }

    /// A thread's life: until nobody can ask any more.
    fn serve(self: &Arc<Self>) {
        let badge = Arc::new(Badge::default());
        let mut session = None;
        loop {
            self.idle.fetch_add(1, Ordering::AcqRel);
            let job = self.queue.recv();
            self.idle.fetch_sub(1, Ordering::AcqRel);
            let Ok(job) = job else { break };
            session = self.run(&badge, session.take(), job);
            if badge.abandoned.swap(false, Ordering::AcqRel) {
                self.abandoned.fetch_sub(1, Ordering::AcqRel);
                self.all_abandoned.fetch_sub(1, Ordering::AcqRel);
                // Back again. Somebody may have our place by now.
                if !self.enlist() {
                    return;
                }
            }
        }
        self.threads.fetch_sub(1, Ordering::AcqRel);
    }

    /// One call. Returns the session when another call may use it.
    fn run(self: &Arc<Self>, badge: &Arc<Badge>, session: Option<Session>, job: Job) -> Option<Session> {
        let Job { ticket, work, is_wanted } = job;
        if !is_wanted() || !ticket.advance(Stage::Waiting, Stage::Connecting) {
            return session;
        }
        if self.is_too_late(&ticket) {
            work(Err(self.turn_away(self.queue.len())));
            return session;
        }
        let is_new = session.is_none();
        let connected = match session.map_or_else(|| Connecting::run(self, &ticket), Ok) {
            Ok(session) => session,
            Err(error) => {
                work(Err(error));
                return None;
            }
        };
        let mut session = connected;
        // Connecting took of its time as well. The session is good for the next.
        if is_new && self.is_too_late(&ticket) {
            work(Err(self.turn_away(self.queue.len())));
            return Some(session);
        }
        if !ticket.advance(Stage::Connecting, Stage::Sent) {
            return Some(session);
        }
        session.begin_call(&ticket);
        let began = Instant::now();
        let guard = self.watchdog.watch(self, badge, &session, &ticket);
        // A panic in the driver must not cost the track a thread. Its caller hears nothing: what was sent may stand.
        let survived = catch_unwind(AssertUnwindSafe(|| match policies::look(&mut session) {
            Ok(()) => work(Ok(&mut session)),
            // Of the call itself nothing was sent.
            Err(StoreError::NoAnswer { .. }) => {
                work(Err(error::unreachable(self.side, "its policies could not be read")))
            }
            Err(error) => work(Err(error)),
        }))
        .is_ok();
        drop(guard);
        let session = session.end_call().filter(|_| survived);
        self.pace.took(began.elapsed(), session.is_some());
        session
    }
}

/// Names a thread to the watchdog.
#[derive(Default)]
pub(super) struct Badge {
    pub(super) abandoned: AtomicBool,
}
