//! The wire between one replica and one database: a relay of TCP that can be disturbed.
//!
//! It knows nothing of what goes through. When one end hangs up, the other is hung up on at once, so that a
//! database learns of a killed replica as it would without us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Of so many answers one is lost.
const ONE_IN: u32 = 6;

/// How a wire behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As if it were not there.
    Straight,
    /// Whatever goes through waits for so long.
    Slow(Duration),
    /// Connections break, and new ones too.
    Cut,
    /// Nothing goes through.
    Hang,
    /// One answer of the database in six is lost, and its connection with it. Not every one: connections would
    /// not come to a COMMIT, whose answer is the one that matters.
    LoseAnswers,
}

/// A relay on loopback. It ends with its value.
#[derive(Debug)]
pub struct Wire {
    manner: watch::Sender<Manner>,
    port: u16,
    target: Arc<AtomicU16>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Questions,
    Answers,
}

impl Wire {
    /// A wire to `port` of this machine.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub async fn to(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?.port();
        let manner = watch::Sender::new(Manner::Straight);
        let target = Arc::new(AtomicU16::new(port));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&target), manner.subscribe()));
        Ok(Self { manner, port: own, target, accepting })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections go to another port of this machine.
    pub fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::SeqCst);
    }

    /// Behaves like this from now on, also on open connections.
    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
        self.manner.send_replace(Manner::Cut);
    }
}

async fn accept(listener: TcpListener, target: Arc<AtomicU16>, manner: watch::Receiver<Manner>) {
    while let Ok((replica, _)) = listener.accept().await {
        let database = SocketAddr::from(([127, 0, 0, 1], target.load(Ordering::SeqCst)));
        tokio::spawn(relay(replica, database, manner.clone()));
    }
}

async fn relay(replica: TcpStream, database: SocketAddr, mut manner: watch::Receiver<Manner>) {
    if *manner.borrow() == Manner::Cut {
        return;
    }
    // A database that is down refuses, and so do we, by hanging up.
    let Ok(database) = TcpStream::connect(database).await else { return };
    // Small messages must not wait for each other; a socket that cannot do that is slow, not wrong.
    let _ = (replica.set_nodelay(true), database.set_nodelay(true));
    let (from_replica, to_replica) = replica.into_split();
    let (from_database, to_database) = database.into_split();
    let mut cut = manner.clone();
    tokio::select! {
        () = pump(from_replica, to_database, Direction::Questions, manner.clone()) => {}
        () = pump(from_database, to_replica, Direction::Answers, manner.clone()) => {}
        _ = cut.wait_for(|manner| *manner == Manner::Cut) => {}
        _ = manner.wait_for(|_| false) => {}
    }
}

/// Until one end hangs up, or the manner says so.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, which: Direction, mut manner: watch::Receiver<Manner>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(now) = manner.wait_for(|manner| *manner != Manner::Hang).await.map(|now| *now) else { return };
        match now {
            Manner::Slow(by) => tokio::time::sleep(by).await,
            Manner::LoseAnswers if which == Direction::Answers && rand::random_range(0..ONE_IN) == 0 => return,
            Manner::Cut => return,
            Manner::Straight | Manner::Hang | Manner::LoseAnswers => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that answers each byte with the next one.
    async fn database() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        let _ = stream.write_u8(byte + 1).await;
                    }
                });
            }
        });
        port
    }

    async fn ask(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
        stream.write_u8(byte).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_wire_is_straight_hangs_loses_answers_and_is_cut() {
        let wire = Wire::to(database().await).await.unwrap();
        let connect = async || TcpStream::connect(("127.0.0.1", wire.port())).await.unwrap();
        let mut stream = connect().await;
        assert_eq!(ask(&mut stream, 1).await.unwrap(), 2);
        wire.behave(Manner::Slow(Duration::from_millis(30)));
        let began = tokio::time::Instant::now();
        assert_eq!(ask(&mut stream, 3).await.unwrap(), 4);
        assert!(began.elapsed() >= Duration::from_millis(60), "there and back");
        wire.behave(Manner::Hang);
        let hanging = tokio::time::timeout(Duration::from_millis(100), ask(&mut stream, 5)).await;
        assert!(hanging.is_err(), "nothing comes through");
        wire.behave(Manner::Straight);
        assert_eq!(stream.read_u8().await.unwrap(), 6, "and then it does");
        wire.behave(Manner::LoseAnswers);
        let mut answered = 0;
        while ask(&mut stream, 7).await.is_ok() {
            answered += 1;
            assert!(answered < 1_000, "one is lost sooner or later");
        }
        wire.behave(Manner::Straight);
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        wire.lead_to(other.local_addr().unwrap().port());
        let (moved, elsewhere) = (connect().await, other.accept().await);
        assert!(elsewhere.is_ok(), "it leads elsewhere");
        drop(moved);
        wire.lead_to(database().await);
        let mut stream = connect().await;
        assert_eq!(ask(&mut stream, 9).await.unwrap(), 10);
        wire.behave(Manner::Cut);
        assert!(ask(&mut stream, 11).await.is_err());
        assert!(ask(&mut connect().await, 11).await.is_err());
    }
}
