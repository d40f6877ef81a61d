//! The C interface. Everything unsafe of this crate is below here.
//!
//! SAFETY of all of it: the caller is ODPI-C, which passes handles that it got from [`env::OCIHandleAlloc`] and its like,
//! frees each once, and keeps its buffers alive while they are bound or defined. A handle is a `Box<Handle>`; one
//! thread at a time uses it, apart from [`breaker::OCIBreak`], which does not look into it.
//!
//! Every function that returns a status catches panics: the caller sees ORA-00600, not a broken process.

#![expect(
    unsafe_code,
    missing_docs,
    clippy::missing_safety_doc,
    reason = "a C interface, documented by Oracle; safety is said above"
)]

pub mod attr;
pub mod breaker;
pub mod buffer;
pub mod connect;
pub mod env;
pub mod handle;
pub mod lob;
pub mod name;
pub mod pool;
pub mod stmt;

use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A pointer to anything.
pub type Ptr = *mut c_void;

/// Done.
pub const SUCCESS: i32 = 0;
/// Done, and there is something to say.
pub const SUCCESS_WITH_INFO: i32 = 1;
/// Not done.
pub const ERROR: i32 = -1;
/// There is no more.
pub const NO_DATA: i32 = 100;
/// A handle of another kind than was expected.
pub const INVALID_HANDLE: i32 = -2;
/// What a callback says to go on.
pub const CONTINUE: i32 = -24200;

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Runs the body of an exported function.
pub(crate) fn guarded(body: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        PANICKED.with(|panicked| panicked.set(true));
        ERROR
    })
}

/// Whether the last call of this thread panicked; asked once.
pub(crate) fn take_panic() -> bool {
    PANICKED.with(|panicked| panicked.replace(false))
}

/// Functions that Oracle's library exports, each behind [`guarded`].
macro_rules! exported {
    ($($(#[$note:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            $(#[$note])*
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $type),*) -> i32 {
                $crate::oci::guarded(|| $body)
            }
        )*
    };
}
pub(crate) use exported;
