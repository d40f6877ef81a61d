//! What stands behind the pointers that a caller holds.

use std::collections::HashMap;
use std::ffi::c_char;
use std::sync::Arc;

use super::{ERROR, Ptr, SUCCESS};
use crate::address::Address;
use crate::code::{OracleError, Outcome};
use crate::date::{Moment, Span};
use crate::oci::pool::Pool;
use crate::session::{Answer, Session};
use crate::sql::Sql;
use crate::types::Column;

#[derive(Default)]
pub struct ErrorHandle {
    pub code: i32,
    pub message: String,
    pub row: i32,
    pub batch: Vec<(i32, OracleError)>,
}

#[derive(Default)]
pub struct Server {
    pub address: Address,
    pub up: bool,
}

#[derive(Default)]
pub struct User {
    pub name: String,
    pub password: String,
    pub module: String,
    pub context: HashMap<Vec<u8>, usize>,
    pub service: usize,
}

#[derive(Default)]
pub struct Service {
    pub server: usize,
    pub user: usize,
    pub session: Option<Session>,
    pub cache_size: u32,
    pub pool: Option<Arc<Pool>>,
}

/// A caller's buffer.
#[derive(Clone, Copy)]
pub struct Buffer {
    pub value: usize,
    pub size: usize,
    pub kind: u16,
    pub indicator: *mut i16,
    pub length: *mut u32,
    pub code: *mut u16,
}

pub struct Bind {
    pub place: usize,
    pub name: String,
    pub buffer: Buffer,
    pub input: Option<(usize, usize)>,
    pub output: Option<(usize, usize)>,
    pub returned: u32,
}

pub struct Define {
    pub place: usize,
    pub buffer: Buffer,
    pub callback: Option<(usize, usize)>,
}

#[derive(Default)]
pub struct Statement {
    pub sql: Sql,
    /// Names outlive descriptors and re-execution, so they belong to the statement.
    pub columns: Vec<Column>,
    pub binds: Vec<usize>,
    pub defines: Vec<usize>,
    /// The service handle of its last execution; the driver closes statements before sessions.
    pub service: usize,
    pub answer: Answer,
    pub at: usize,
    pub fetched: u32,
    pub touched: u64,
    pub row_counts: Vec<u64>,
    pub failed: Vec<(i32, OracleError)>,
}

#[derive(Default)]
pub struct SessionPool {
    pub pool: Option<Arc<Pool>>,
    /// The caller keeps a pointer to it for as long as it has the handle.
    pub label: String,
    pub settings: HashMap<u32, u32>,
}

/// A large value, whole.
#[derive(Clone, Default)]
pub struct Lob {
    /// Whether there is a value at all: fetched, or made as a temporary one.
    pub is_set: bool,
    pub bytes: Vec<u8>,
    pub is_text: bool,
    pub is_temporary: bool,
    pub is_open: bool,
}

pub enum Content {
    Other,
    Error(ErrorHandle),
    Server(Server),
    User(User),
    Service(Service),
    Statement(Statement),
    Bind(Bind),
    Define(Define),
    Pool(SessionPool),
    Column(*const Column),
    Moment(Moment),
    Lob(Lob),
    RowId(String),
    Span(Span),
}

pub struct Handle {
    pub kind: u32,
    pub content: Content,
}

pub(crate) fn boxed(kind: u32, content: Content) -> Ptr {
    Box::into_raw(Box::new(Handle { kind, content })).cast()
}

pub(crate) unsafe fn handle<'a>(pointer: Ptr) -> &'a mut Handle {
    &mut *pointer.cast::<Handle>()
}

/// The content of a handle, or a return with the code for a wrong one.
macro_rules! content {
    ($pointer:expr, $kind:ident) => {
        match &mut $crate::oci::handle::handle($pointer).content {
            $crate::oci::handle::Content::$kind(content) => content,
            _ => return $crate::oci::INVALID_HANDLE,
        }
    };
}
pub(crate) use content;

/// The service handle behind an address that a session keeps.
pub(crate) unsafe fn service<'a>(address: usize) -> Option<&'a mut Service> {
    match &mut handle(address as Ptr).content {
        Content::Service(service) => Some(service),
        _ => None,
    }
}

/// A text that a caller passes with its length.
pub(crate) unsafe fn text(start: *const c_char, length: usize) -> String {
    if start.is_null() {
        return String::new();
    }
    String::from_utf8_lossy(std::slice::from_raw_parts(start.cast::<u8>(), length)).into_owned()
}

/// Leaves an error in the caller's error handle.
pub(crate) unsafe fn fail(errors: Ptr, error: &OracleError) -> i32 {
    if !errors.is_null()
        && let Content::Error(own) = &mut handle(errors).content
    {
        own.code = error.code;
        own.message = format!("{error}\n");
    }
    ERROR
}

pub(crate) unsafe fn status(errors: Ptr, outcome: Outcome<()>) -> i32 {
    match outcome {
        Ok(()) => SUCCESS,
        Err(error) => fail(errors, &error),
    }
}
