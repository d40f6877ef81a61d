//! Sessions: attach, log in, ping, commit, roll back.

use std::ffi::{c_char, c_int};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::env::put_text;
use super::handle::{Content, Service, content, fail, handle, status, text};
use super::{Ptr, SUCCESS, breaker, exported};
use crate::BANNER;
use crate::address::Address;
use crate::code::{OracleError, Outcome};
use crate::session::Session;

/// 19.3, as the banner says it.
const VERSION: u32 = 19 << 24 | 3 << 16;

/// Whether anybody listens there.
fn reach(address: &Address) -> Outcome<()> {
    let found = (address.host.as_str(), address.port).to_socket_addrs().ok().and_then(|mut found| found.next());
    let found = found.ok_or_else(|| OracleError::plain(12545))?;
    TcpStream::connect_timeout(&found, Duration::from_secs(5)).map(drop).map_err(|_| OracleError::plain(12541))
}

/// A session that is gone leaves its server handle down, which ODPI-C looks at.
pub(crate) unsafe fn note_loss(service: &mut Service, error: &OracleError) {
    if !error.ends_session() {
        return;
    }
    if service.server != 0
        && let Content::Server(server) = &mut handle(service.server as Ptr).content
    {
        server.up = false;
    }
    service.session = None;
}

unsafe fn on_session(service_handle: Ptr, errors: Ptr, work: impl FnOnce(&mut Session) -> Outcome<()>) -> i32 {
    let service = content!(service_handle, Service);
    let outcome = service.session.as_mut().map_or_else(|| Err(OracleError::plain(3114)), work);
    if let Err(error) = &outcome {
        note_loss(service, error);
    }
    status(errors, outcome)
}

exported! {
    fn OCIServerAttach(server: Ptr, errors: Ptr, connect: *const c_char, length: c_int, _mode: u32) {
        let own = content!(server, Server);
        let attached = Address::parse(&text(connect, usize::try_from(length).unwrap_or(0))).and_then(|address| {
            own.address = address;
            reach(&own.address)
        });
        own.up = attached.is_ok();
        status(errors, attached)
    }

    fn OCIServerDetach(server: Ptr, _errors: Ptr, _mode: u32) {
        content!(server, Server).up = false;
        SUCCESS
    }

    fn OCISessionBegin(service: Ptr, errors: Ptr, user: Ptr, _kind: u32, _mode: u32) {
        let (own, user) = (content!(service, Service), content!(user, User));
        let address = content!(own.server as Ptr, Server).address.clone();
        match Session::open(&address, &user.name, &user.password) {
            Ok(mut session) => {
                session.module.clone_from(&user.module);
                breaker::remember(service, session.breaker());
                own.session = Some(session);
                SUCCESS
            }
            Err(error) => fail(errors, &error),
        }
    }

    fn OCISessionEnd(service: Ptr, _errors: Ptr, _user: Ptr, _mode: u32) {
        breaker::forget(service);
        content!(service, Service).session = None;
        SUCCESS
    }

    fn OCIServerRelease2(_service: Ptr, _errors: Ptr, buffer: *mut c_char, size: u32, _kind: u8, version: *mut u32, _mode: u32) {
        if !buffer.is_null() {
            put_text(buffer, size as usize, BANNER);
        }
        *version = VERSION;
        SUCCESS
    }

    /// As clients before 18 ask it.
    fn OCIServerRelease(service: Ptr, errors: Ptr, buffer: *mut c_char, size: u32, kind: u8, version: *mut u32) {
        OCIServerRelease2(service, errors, buffer, size, kind, version, 0)
    }

    fn OCIPing(service: Ptr, errors: Ptr, _mode: u32) {
        on_session(service, errors, Session::ping)
    }

    fn OCITransCommit(service: Ptr, errors: Ptr, _flags: u32) {
        on_session(service, errors, Session::commit)
    }

    fn OCITransRollback(service: Ptr, errors: Ptr, _flags: u32) {
        on_session(service, errors, Session::roll_back)
    }

    fn OCIPasswordChange(_service: Ptr, errors: Ptr, _user: *const c_char, _u: u32, _old: *const c_char, _o: u32, _new: *const c_char, _n: u32, _mode: u32) {
        fail(errors, &OracleError::new(1031, "insufficient privileges: the stand-in changes no passwords"))
    }
}
