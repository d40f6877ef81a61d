//! What a client that means harm throws at a replica: every bomb that is known, and some of our own.
//!
//! An attack comes from an address of its own on this machine, so that the replica can tell it from other clients. It goes
//! on until it is dropped. What is answered does not matter to it.
//!
//! Not here: what must hold meanwhile (`own_server::bombs` of the proxy's tests), and how much slower others get (its
//! benchmark).

mod held;
mod sent;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Who throws at once.
const HANDS: usize = 4;
/// Connections that an attacker tries to hold.
const HELD: usize = 3_000;

/// One way to do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bomb {
    /// Documents as deep as they may be, and deeper.
    Deep,
    /// Fields as many as they may be, under other names.
    Wide,
    /// Documents of few bytes that stand for many fields, each of them another one.
    Fragments,
    /// Batches of lists of keys.
    Batches,
    /// Bodies that are as large as they may be, and take more once they are read; and larger ones.
    HugeBodies,
    /// Answers as large as they may be, over and over.
    HugeAnswers,
    /// Numbers with a million digits.
    Digits,
    /// Another set of columns each time.
    Columns,
    /// Mutations that are refused, each with another idempotency key.
    IdempotencyKeys,
    /// Version tokens that nobody gave.
    Tokens,
    /// Orders that are refused, each of which would need a number of the ERP.
    RefusedOrders,
    /// Orders under keys that nobody had, which the ERP's own rules refuse.
    FreshKeys,
    /// Sagas with large arguments.
    Sagas,
    /// Connections that say nothing.
    Connections,
    /// Bodies that do not come to their end.
    SlowBodies,
    /// WebSockets that say nothing.
    SilentSockets,
    /// Messages of WebSockets that do not come to their end.
    UnfinishedMessages,
    /// Own: heads that do not come to their end.
    UnfinishedHeads,
    /// Own: large answers that nobody takes in.
    UnreadAnswers,
    /// Own: the same over WebSockets.
    UnreadSockets,
    /// Own: a body in chunks of one byte.
    Drips,
    /// Own: a hundred requests sent before the first is answered.
    Pipelines,
    /// Own: messages of a WebSocket in fragments without a byte.
    EmptyFragments,
}

impl Bomb {
    /// Each of them.
    pub const ALL: [Self; 23] = [
        Self::Deep,
        Self::Wide,
        Self::Fragments,
        Self::Batches,
        Self::HugeBodies,
        Self::HugeAnswers,
        Self::Digits,
        Self::Columns,
        Self::IdempotencyKeys,
        Self::Tokens,
        Self::RefusedOrders,
        Self::FreshKeys,
        Self::Sagas,
        Self::Connections,
        Self::SlowBodies,
        Self::SilentSockets,
        Self::UnfinishedMessages,
        Self::UnfinishedHeads,
        Self::UnreadAnswers,
        Self::UnreadSockets,
        Self::Drips,
        Self::Pipelines,
        Self::EmptyFragments,
    ];

    /// Whether it holds connections, rather than sending requests.
    pub fn is_held(self) -> bool {
        held::Held::of(self).is_some()
    }

    /// Whether it does nothing under a contract without orders that the ERP numbers.
    pub fn needs_orders(self) -> bool {
        matches!(self, Self::RefusedOrders | Self::FreshKeys | Self::Sagas)
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deep => "deep documents",
            Self::Wide => "wide documents",
            Self::Fragments => "fragments",
            Self::Batches => "batches",
            Self::HugeBodies => "huge bodies",
            Self::HugeAnswers => "huge answers",
            Self::Digits => "digits",
            Self::Columns => "sets of columns",
            Self::IdempotencyKeys => "idempotency keys",
            Self::Tokens => "version tokens",
            Self::RefusedOrders => "refused orders",
            Self::FreshKeys => "fresh keys",
            Self::Sagas => "sagas",
            Self::Connections => "connections",
            Self::SlowBodies => "slow bodies",
            Self::SilentSockets => "silent sockets",
            Self::UnfinishedMessages => "unfinished messages",
            Self::UnfinishedHeads => "unfinished heads",
            Self::UnreadAnswers => "unread answers",
            Self::UnreadSockets => "unread sockets",
            Self::Drips => "drips",
            Self::Pipelines => "pipelines",
            Self::EmptyFragments => "empty fragments",
        }
    }
}

/// Who does it to whom.
#[derive(Debug, Clone)]
struct Target {
    graphql: SocketAddr,
    from: Ipv4Addr,
    /// A request whose answer is as large as one may be.
    huge: Arc<str>,
}

impl Target {
    /// A connection from the attacker's address.
    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((self.from, 0)))?;
        socket.connect(self.graphql).await
    }
}

/// An attack under way; it ends when this is dropped. It has a thread of its own: who measures meanwhile shares no queue
/// with it.
#[derive(Debug)]
pub struct Attack {
    _goes_on: oneshot::Sender<()>,
    thrown: Arc<AtomicUsize>,
}

impl Attack {
    /// Begins to throw `bomb` at `graphql` from `from`, an address of this machine; `articles`: some that there are.
    pub fn begin(bomb: Bomb, graphql: SocketAddr, from: Ipv4Addr, articles: &[String]) -> Self {
        let huge = sent::huge(articles).into();
        let (target, thrown) = (Target { graphql, from, huge }, Arc::new(AtomicUsize::new(0)));
        let (goes_on, ends) = oneshot::channel();
        let counted = Arc::clone(&thrown);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut hands = JoinSet::new();
                for _ in 0..HANDS {
                    let (target, thrown) = (target.clone(), Arc::clone(&counted));
                    match held::Held::of(bomb) {
                        Some(held) => hands.spawn(held::hold(held, target, thrown)),
                        None => hands.spawn(sent::send(bomb, target, thrown)),
                    };
                }
                // Nothing is ever sent: the other end goes.
                ends.await.unwrap_or_default();
            });
        });
        Self { _goes_on: goes_on, thrown }
    }

    /// How often it was thrown until now: requests answered, connections made.
    pub fn thrown(&self) -> usize {
        self.thrown.load(Ordering::Relaxed)
    }
}
