//! What has come on one connection and is nothing yet: the head of a request, a message of a WebSocket. Whoever sends
//! slowly makes us hold it, on as many connections as he may have.
//!
//! Counted where bytes come in, so that neither hyper nor the WebSocket's codec need be asked. Of a request under way
//! nothing is counted here: its body and its answer have budgets of their own.
//!
//! Promise: what connections hold of unfinished heads and messages is within the budget; a connection for which there is
//! no room breaks off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use net::budget::{Budget, Hold, NoRoom};
use net::client::Client;

/// Bytes of one connection that are read ahead: the head of a request, and parts of its body. Longer heads get 431.
pub const READ_AHEAD: usize = 64 * 1024;
/// Bytes of a head that are not counted: every connection has a buffer of this size.
const FREE: u64 = 8 * 1024;
/// Bytes of a WebSocket that are read or written at once: each has such a buffer for either, whether it says anything or not.
pub const PIECE: usize = 4 * 1024;
/// What a WebSocket holds that says nothing: its buffers, its task, its session.
pub const SOCKET: u64 = 24 * 1024;
/// A list that grows has as much room again; a message that came in parts is put together beside them.
const ROOM: u64 = 2;

/// One connection.
#[derive(Debug)]
pub struct Wire(Mutex<State>);

#[derive(Debug)]
struct State {
    hold: Hold,
    /// Requests under way.
    asked: usize,
    /// It has become a WebSocket.
    socket: bool,
    /// Bytes that have come since there was last something whole.
    come: u64,
    /// Those of the last piece, of which something may be left.
    last: u64,
    /// Bytes of the longest message: the buffer stays as large.
    longest: u64,
}

/// A request under way, until it is dropped.
pub struct Asked(Arc<Wire>);

impl Wire {
    /// A connection of `client`.
    pub fn new(budget: &Arc<Budget>, client: Client) -> Arc<Self> {
        let hold = budget.hold(client, 0).expect("there is room for nothing in every budget");
        Arc::new(Self(Mutex::new(State { hold, asked: 0, socket: false, come: 0, last: 0, longest: 0 })))
    }

    /// Its head has come.
    pub fn asked(self: &Arc<Self>) -> Asked {
        let state = &mut *self.0.lock();
        state.asked += 1;
        // To hold less always succeeds.
        let _ = state.count(0).is_ok();
        Asked(Arc::clone(self))
    }

    /// It is a WebSocket from now on.
    ///
    /// # Errors
    /// [`NoRoom`]; it is none then.
    pub fn becomes_socket(&self) -> Result<(), NoRoom> {
        let state = &mut *self.0.lock();
        // What came behind the head is there already.
        state.count(SOCKET + ROOM * state.come)?;
        state.socket = true;
        Ok(())
    }

    /// A message of the WebSocket is whole, and somebody else's to count.
    pub fn message(&self) {
        let state = &mut *self.0.lock();
        state.longest = state.longest.max(state.come);
        state.come = state.last;
        // To hold less always succeeds.
        let _ = state.count_socket().is_ok();
    }

    fn came(&self, bytes: usize) -> Result<(), NoRoom> {
        let state = &mut *self.0.lock();
        state.last = bytes as u64;
        state.come += state.last;
        if state.socket {
            return state.count_socket().inspect_err(|no_room| telemetry::no_room("sockets", *no_room));
        }
        if state.asked > 0 || state.come <= FREE {
            return Ok(());
        }
        // No more is read ahead; what comes after that is no head.
        state
            .count(ROOM * state.come.min(READ_AHEAD as u64))
            .inspect_err(|no_room| telemetry::no_room("heads", *no_room))
    }
}

impl State {
    fn count_socket(&mut self) -> Result<(), NoRoom> {
        self.count(SOCKET + ROOM * self.longest.max(self.come))
    }

    fn count(&mut self, bytes: u64) -> Result<(), NoRoom> {
        // Nearly every head fits into what is free: then the budget that all share is not asked.
        if bytes == self.hold.amount() { Ok(()) } else { self.hold.resize(bytes) }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let state = &mut *self.0.0.lock();
        state.asked -= 1;
        if state.asked == 0 && !state.socket {
            // Of the last piece something may be the next one's.
            state.come = state.last;
        }
    }
}

/// A stream whose bytes are counted as they come.
pub struct Counted<S> {
    stream: S,
    wire: Arc<Wire>,
}

impl<S> Counted<S> {
    /// Counts for `wire`.
    pub fn new(stream: S, wire: Arc<Wire>) -> Self {
        Self { stream, wire }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 && this.wire.came(bytes).is_err() {
            return Poll::Ready(Err(io::Error::other("there is no room for more of what is not whole")));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    #[test]
    fn an_unfinished_head_counts_until_it_is_whole_and_what_fits_the_first_buffer_never() {
        let budget = Budget::new(1_000_000, 100_000, |_| {});
        let wire = Wire::new(&budget, client(1));
        wire.came(8_192).unwrap();
        assert_eq!(budget.held(), 0);
        wire.came(8_192).unwrap();
        assert_eq!(budget.held(), 32_768);
        let asked = wire.asked();
        // A body is counted by others.
        wire.came(500_000).unwrap();
        assert_eq!(budget.held(), 0);
        drop(asked);
        wire.came(10_000).unwrap_err();
        assert_eq!(budget.held(), 0);
        let other = Wire::new(&budget, client(1));
        other.came(50_000).unwrap();
        assert_eq!(wire.came(1), Err(NoRoom::OfClient));
        drop(other);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_socket_holds_its_buffers_its_unfinished_message_and_as_much_as_its_longest() {
        let budget = Budget::new(1_000_000, 200_000, |_| {});
        let wire = Wire::new(&budget, client(1));
        wire.came(300).unwrap();
        let asked = wire.asked();
        wire.becomes_socket().unwrap();
        drop(asked);
        assert_eq!(budget.held(), SOCKET + 600);
        wire.came(4_000).unwrap();
        wire.came(4_000).unwrap();
        assert_eq!(budget.held(), SOCKET + 2 * 8_300);
        wire.message();
        wire.came(10).unwrap();
        wire.message();
        assert_eq!(budget.held(), SOCKET + 2 * 8_300, "its buffer is as large as before");
        wire.came(60_000).unwrap();
        assert_eq!(wire.came(60_000), Err(NoRoom::OfClient));
        let second = Wire::new(&budget, client(1));
        assert_eq!(budget.held_by(client(1)), SOCKET + 2 * 60_010);
        for _ in 0..2 {
            Wire::new(&budget, client(2)).becomes_socket().unwrap();
        }
        second.becomes_socket().unwrap();
        second.came(20_000).unwrap_err();
        drop((wire, second));
        assert_eq!(budget.held(), 0);
    }
}
