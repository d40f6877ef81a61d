//! As near to a connection pooler as one process comes: between two transactions it takes away what a session
//! has made for itself (`DISCARD ALL`), above all its prepared statements.
//!
//! It follows the protocol only as far as to know when a session rests: a question of its own is put in there, and its
//! answers are kept from the client.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Once in so many rests.
const ONE_IN: u32 = 4;
const RESET: &[u8] = b"Q\0\0\0\x10DISCARD ALL\0";

/// A pooler on loopback. It ends with its value.
#[derive(Debug)]
pub(super) struct Pooler {
    pub(super) port: u16,
    accepting: JoinHandle<()>,
}

/// Who waits for the next `ReadyForQuery`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    Client,
    Us,
}

/// The way to the server, and whose questions are under way there.
struct Questions {
    asked: VecDeque<Asker>,
    /// The client has begun a question whose end (Sync) has not come.
    begun: bool,
    server: OwnedWriteHalf,
}

impl Pooler {
    /// In front of the server at `port` of this machine.
    pub(super) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = listener.local_addr().expect("an address").port();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                        // A session that breaks is what its two ends make of it.
                        let _ = session(client, server).await;
                    }
                });
            }
        });
        Self { port: own, accepting }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn session(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // The first message has no kind.
    let length = from_client.read_u32().await?;
    let mut first = vec![0; (length as usize).saturating_sub(4)];
    from_client.read_exact(&mut first).await?;
    to_server.write_u32(length).await?;
    to_server.write_all(&first).await?;
    let questions = Arc::new(Mutex::new(Questions { asked: VecDeque::new(), begun: false, server: to_server }));
    tokio::select! {
        done = ask(from_client, Arc::clone(&questions)) => done,
        done = answer(from_server, to_client, questions) => done,
    }
}

async fn ask(mut client: OwnedReadHalf, questions: Arc<Mutex<Questions>>) -> io::Result<()> {
    loop {
        let (kind, message) = message(&mut client).await?;
        let mut questions = questions.lock().await;
        let ends = matches!(kind, b'Q' | b'S' | b'F');
        questions.begun = !ends;
        if ends {
            questions.asked.push_back(Asker::Client);
        }
        questions.server.write_all(&message).await?;
    }
}

async fn answer(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    questions: Arc<Mutex<Questions>>,
) -> io::Result<()> {
    loop {
        let (kind, message) = message(&mut server).await?;
        let mut questions = questions.lock().await;
        if questions.asked.front() == Some(&Asker::Us) {
            if kind == b'Z' {
                questions.asked.pop_front();
            }
            continue;
        }
        client.write_all(&message).await?;
        if kind != b'Z' {
            continue;
        }
        questions.asked.pop_front();
        let rests = questions.asked.is_empty() && !questions.begun && message.last() == Some(&b'I');
        if rests && rand::random_range(0..ONE_IN) == 0 {
            questions.asked.push_back(Asker::Us);
            questions.server.write_all(RESET).await?;
        }
    }
}

async fn message(from: &mut OwnedReadHalf) -> io::Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await?;
    let length = from.read_u32().await?;
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    let head = message.len();
    message.resize(head + (length as usize).saturating_sub(4), 0);
    from.read_exact(&mut message[head..]).await?;
    Ok((kind, message))
}
