//! Connections that are held: what was begun on them does not come to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::sent::head;
use super::{Bomb, HANDS, HELD, Target};

/// How long the answer to an upgrade is waited for: who is not answered goes on with the next.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two bytes, or two looks at what is held.
const PAUSE: Duration = Duration::from_millis(20);

/// What is done with a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held {
    Silent,
    SlowBody,
    Head,
    UnreadAnswer,
    Drip,
    SilentSocket,
    UnfinishedMessage,
    UnreadSocket,
    EmptyFragments,
}

impl Held {
    /// `None` where it is sent and not held.
    pub(super) fn of(bomb: Bomb) -> Option<Self> {
        match bomb {
            Bomb::Connections => Some(Self::Silent),
            Bomb::SlowBodies => Some(Self::SlowBody),
            Bomb::UnfinishedHeads => Some(Self::Head),
            Bomb::UnreadAnswers => Some(Self::UnreadAnswer),
            Bomb::Drips => Some(Self::Drip),
            Bomb::SilentSockets => Some(Self::SilentSocket),
            Bomb::UnfinishedMessages => Some(Self::UnfinishedMessage),
            Bomb::UnreadSockets => Some(Self::UnreadSocket),
            Bomb::EmptyFragments => Some(Self::EmptyFragments),
            Bomb::Deep
            | Bomb::Wide
            | Bomb::Fragments
            | Bomb::Batches
            | Bomb::HugeBodies
            | Bomb::HugeAnswers
            | Bomb::Digits
            | Bomb::Columns
            | Bomb::IdempotencyKeys
            | Bomb::Tokens
            | Bomb::RefusedOrders
            | Bomb::FreshKeys
            | Bomb::Sagas
            | Bomb::Pipelines => None,
        }
    }

    async fn begin(self, target: &Target, stream: &mut TcpStream) -> std::io::Result<()> {
        match self {
            Self::Silent => Ok(()),
            Self::SlowBody => stream.write_all((head(900_000, "") + &"x".repeat(400_000)).as_bytes()).await,
            Self::Head => {
                let line = format!("x-filler: {}\r\n", "h".repeat(7_900));
                let begun = "POST /graphql HTTP/1.1\r\nhost: x\r\n".to_owned() + &line.repeat(7);
                stream.write_all(begun.as_bytes()).await
            }
            Self::UnreadAnswer => {
                let body = &*target.huge;
                stream.write_all((head(body.len(), "") + body).repeat(4).as_bytes()).await
            }
            Self::Drip => {
                let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await
            }
            Self::SilentSocket => upgrade(stream).await,
            Self::UnfinishedMessage => {
                upgrade(stream).await?;
                let part = "m".repeat(30_000);
                stream.write_all(&frame(false, TEXT, part.as_bytes())).await?;
                for _ in 0..3 {
                    stream.write_all(&frame(false, GOES_ON, part.as_bytes())).await?;
                }
                Ok(())
            }
            Self::UnreadSocket => {
                upgrade(stream).await?;
                let payload: Json = serde_json::from_str(&target.huge).unwrap();
                for id in 0..16 {
                    let asks = json!({ "id": id.to_string(), "type": "subscribe", "payload": payload });
                    stream.write_all(&frame(true, TEXT, asks.to_string().as_bytes())).await?;
                }
                Ok(())
            }
            Self::EmptyFragments => {
                upgrade(stream).await?;
                stream.write_all(&frame(false, TEXT, b"{")).await
            }
        }
    }

    /// What comes now and then on a connection that is held.
    fn then(self) -> Vec<u8> {
        match self {
            Self::Drip => b"1\r\nx\r\n".to_vec(),
            Self::EmptyFragments => frame(false, GOES_ON, b"").repeat(200),
            Self::Silent
            | Self::SlowBody
            | Self::Head
            | Self::UnreadAnswer
            | Self::SilentSocket
            | Self::UnfinishedMessage
            | Self::UnreadSocket => Vec::new(),
        }
    }
}

/// Holds a hand's part of all connections; of those that were closed it opens others.
pub(super) async fn hold(held: Held, target: Target, thrown: Arc<AtomicUsize>) {
    let mut open: Vec<TcpStream> = Vec::new();
    let then = held.then();
    loop {
        if open.len() < HELD / HANDS {
            if let Ok(mut stream) = target.connect().await {
                let begun = timeout(PATIENCE, held.begin(&target, &mut stream)).await;
                thrown.fetch_add(1, Ordering::Relaxed);
                if matches!(begun, Ok(Ok(()))) {
                    open.push(stream);
                } else {
                    sleep(PAUSE).await;
                }
            }
        } else {
            sleep(PAUSE).await;
        }
        if then.is_empty() {
            continue;
        }
        let mut left = Vec::with_capacity(open.len());
        for stream in open.drain(..) {
            if !matches!(stream.try_write(&then), Err(error) if error.kind() != std::io::ErrorKind::WouldBlock) {
                left.push(stream);
            }
        }
        open = left;
        sleep(PAUSE).await;
    }
}

const TEXT: u8 = 1;
const GOES_ON: u8 = 0;

/// Makes a WebSocket of a connection, and says who speaks.
async fn upgrade(stream: &mut TcpStream) -> std::io::Result<()> {
    let asks = "GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    stream.write_all(asks.as_bytes()).await?;
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).await?;
    if !answer[..length].starts_with(b"HTTP/1.1 101") {
        return Err(std::io::Error::other("it is no socket"));
    }
    stream.write_all(&frame(true, TEXT, br#"{"type":"connection_init"}"#)).await
}

/// A frame as clients send it. Its mask is of zeros, which leaves the bytes as they are.
fn frame(last: bool, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind | if last { 0x80 } else { 0 }];
    match u16::try_from(bytes.len()) {
        Ok(short) if short < 126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => panic!("a bomb's frame has 65,535 bytes at most"),
    }
    frame.extend([0; 4]);
    frame.extend(bytes);
    frame
}
