//! Who can break off what: by the address of a service handle, beside the handle itself.
//!
//! [`OCIBreak`] is called while another thread is in a call with the same handle, so it must not look into it.

use parking_lot::Mutex;

use super::{ERROR, Ptr, SUCCESS, exported};
use crate::session::Breaker;

static BREAKERS: Mutex<Vec<(usize, Breaker)>> = Mutex::new(Vec::new());

/// The session of a service handle can be broken off from now on.
pub(crate) fn remember(service: Ptr, breaker: Breaker) {
    forget(service);
    BREAKERS.lock().push((service as usize, breaker));
}

/// The handle has no session any more.
pub(crate) fn forget(service: Ptr) {
    BREAKERS.lock().retain(|(known, _)| *known != service as usize);
}

exported! {
    fn OCIBreak(service: Ptr, _errors: Ptr) {
        let known = BREAKERS.lock().iter().find(|(known, _)| *known == service as usize).map(|(_, own)| own.clone());
        match known {
            // Without the lock: it asks the server.
            Some(breaker) => {
                breaker.break_off();
                SUCCESS
            }
            None => ERROR,
        }
    }
}
