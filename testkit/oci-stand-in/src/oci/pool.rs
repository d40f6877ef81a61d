//! Session pools.

use std::collections::HashMap;
use std::ffi::{c_char, c_int};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::env::release;
use super::handle::{Content, Server, Service, User, boxed, content, fail, status, text};
use super::name::{attribute, handle_type};
use super::{Ptr, SUCCESS, breaker, exported};
use crate::address::Address;
use crate::code::{OracleError, Outcome};
use crate::session::Session;

type Context = HashMap<Vec<u8>, usize>;

/// Sessions of one account that are lent out.
pub struct Pool {
    address: Address,
    user: String,
    password: String,
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
    mode: Mutex<Mode>,
}

#[derive(Default)]
struct State {
    idle: Vec<(Session, Context)>,
    open: usize,
}

#[derive(Default, Clone, Copy)]
struct Mode {
    /// 1: refuse when all are out; 2: open more; 3: wait for a time; else: wait.
    get: u32,
    wait: u32,
}

static POOLS: Mutex<Vec<(String, Arc<Pool>)>> = Mutex::new(Vec::new());

impl Pool {
    /// Sessions that are out, and sessions that are open.
    pub fn figures(&self) -> (u32, u32) {
        let state = self.state.lock();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (count(state.open - state.idle.len()), count(state.open))
    }

    pub(crate) fn set_mode(&self, settings: &HashMap<u32, u32>) {
        *self.mode.lock() = Mode {
            get: settings.get(&attribute::SPOOL_GETMODE).copied().unwrap_or_default(),
            wait: settings.get(&attribute::SPOOL_WAIT_TIMEOUT).copied().unwrap_or_default(),
        };
    }

    fn take(&self) -> Outcome<(Session, Context)> {
        let Mode { get, wait } = *self.mode.lock();
        let mut state = self.state.lock();
        loop {
            if let Some(idle) = state.idle.pop() {
                return Ok(idle);
            }
            if state.open < self.most || get == 2 {
                state.open += 1;
                drop(state);
                let opened = Session::open(&self.address, &self.user, &self.password);
                if opened.is_err() {
                    self.state.lock().open -= 1;
                    self.freed.notify_one();
                }
                return opened.map(|session| (session, Context::new()));
            }
            match get {
                1 => return Err(OracleError::plain(24418)),
                3 if self.freed.wait_for(&mut state, Duration::from_millis(wait.into())).timed_out() => {
                    return Err(OracleError::plain(24459));
                }
                3 => {}
                _ => self.freed.wait(&mut state),
            }
        }
    }

    fn give_back(&self, session: Option<Session>, context: Context) {
        let mut state = self.state.lock();
        match session {
            Some(session) => state.idle.push((session, context)),
            None => state.open -= 1,
        }
        self.freed.notify_one();
    }
}

exported! {
    fn OCISessionPoolCreate(_env: Ptr, errors: Ptr, pool: Ptr, name: *mut *const u8, name_length: *mut u32, connect: *const c_char, connect_length: u32, least: u32, most: u32, _step: u32, user: *const c_char, user_length: u32, password: *const c_char, password_length: u32, _mode: u32) {
        let own = content!(pool, Pool);
        let made = Address::parse(&text(connect, connect_length as usize)).and_then(|address| {
            let made = Arc::new(Pool {
                address,
                user: text(user, user_length as usize),
                password: text(password, password_length as usize),
                most: most as usize,
                state: Mutex::default(),
                freed: Condvar::new(),
                mode: Mutex::default(),
            });
            made.set_mode(&own.settings);
            for _ in 0..least {
                let session = Session::open(&made.address, &made.user, &made.password)?;
                let mut state = made.state.lock();
                state.idle.push((session, Context::new()));
                state.open += 1;
            }
            Ok(made)
        });
        let made = match made {
            Ok(made) => made,
            Err(error) => return fail(errors, &error),
        };
        own.label = format!("stand-in-pool-{pool:p}");
        (*name, *name_length) = (own.label.as_ptr(), u32::try_from(own.label.len()).unwrap_or(0));
        own.pool = Some(Arc::clone(&made));
        POOLS.lock().push((own.label.clone(), made));
        SUCCESS
    }

    /// ODPI-C frees the handle itself.
    fn OCISessionPoolDestroy(pool: Ptr, _errors: Ptr, _mode: u32) {
        if let Some(pool) = content!(pool, Pool).pool.take() {
            pool.state.lock().idle.clear();
            POOLS.lock().retain(|(_, known)| !Arc::ptr_eq(known, &pool));
        }
        SUCCESS
    }

    fn OCISessionGet(_env: Ptr, errors: Ptr, out: *mut Ptr, _auth: Ptr, name: *const c_char, length: u32, _tag: *const c_char, _tag_length: u32, found_tag: *mut *const c_char, found_length: *mut u32, found: *mut c_int, _mode: u32) {
        let label = text(name, length as usize);
        let pool = POOLS.lock().iter().find(|(known, _)| *known == label).map(|(_, pool)| Arc::clone(pool));
        let Some(pool) = pool else { return fail(errors, &OracleError::plain(24417)) };
        let (session, context) = match pool.take() {
            Ok(taken) => taken,
            Err(error) => return status(errors, Err(error)),
        };
        let server = boxed(handle_type::SERVER, Content::Server(Server { address: pool.address.clone(), up: true }));
        let user = boxed(handle_type::SESSION, Content::User(User { name: pool.user.clone(), context, ..User::default() }));
        let breaker = session.breaker();
        let service = boxed(handle_type::SVCCTX, Content::Service(Service {
            server: server as usize,
            user: user as usize,
            session: Some(session),
            cache_size: 20,
            pool: Some(pool),
        }));
        breaker::remember(service, breaker);
        content!(user, User).service = service as usize;
        *out = service;
        if !found_tag.is_null() {
            (*found_tag, *found_length) = (std::ptr::null(), 0);
        }
        if !found.is_null() {
            *found = 0;
        }
        SUCCESS
    }

    /// Undoes what is open, and frees the handles of the session.
    fn OCISessionRelease(service: Ptr, _errors: Ptr, _tag: *const c_char, _length: u32, mode: u32) {
        let own = content!(service, Service);
        let (server, user) = (own.server as Ptr, own.user as Ptr);
        let context = std::mem::take(&mut content!(user, User).context);
        if let Some(pool) = own.pool.take() {
            let session = own.session.take().filter(|_| mode & 1 == 0);
            let session = session.and_then(|mut session| {
                session.call_timeout = 0;
                (session.roll_back().is_ok() && session.is_alive()).then_some(session)
            });
            pool.give_back(session, context);
        }
        for pointer in [server, user, service] {
            release(pointer);
        }
        SUCCESS
    }
}
