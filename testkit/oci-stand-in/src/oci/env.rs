//! Library, environment, handles, errors, memory, character sets, numbers, times and intervals.

use std::collections::HashMap;
use std::ffi::{c_char, c_int};
use std::ptr::null_mut;

use parking_lot::Mutex;

use super::breaker;
use super::handle::{
    Content, ErrorHandle, Handle, Lob, Server, Service, SessionPool, Statement, User, boxed, content, fail, handle,
    text,
};
use super::name::handle_type as name;
use super::{ERROR, NO_DATA, Ptr, SUCCESS, exported, take_panic};
use crate::code::OracleError;
use crate::date::{Moment, Span};
use crate::number;

/// AL32UTF8, the only character set here.
pub(crate) const UTF8: u16 = 873;

/// 19, or 0 unless the guard variable is set: a stray copy beside an executable would be found first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIClientVersion(
    major: *mut c_int,
    minor: *mut c_int,
    a: *mut c_int,
    b: *mut c_int,
    c: *mut c_int,
) {
    *major = if crate::is_set("STRANGLER_OCI_STAND_IN") { 19 } else { 0 };
    *minor = 3;
    (*a, *b, *c) = (0, 0, 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn OCIThreadProcessInit() {}

#[unsafe(no_mangle)]
pub extern "C" fn OCINlsCharSetNameToId(_env: Ptr, _name: *const c_char) -> u16 {
    UTF8
}

/// Descriptors that were allocated together: the first of them is freed for all.
static ARRAYS: Mutex<Option<HashMap<usize, Vec<usize>>>> = Mutex::new(None);

unsafe extern "C" {
    fn pthread_key_create(key: *mut u32, destructor: Ptr) -> c_int;
    fn pthread_getspecific(key: u32) -> Ptr;
    fn pthread_setspecific(key: u32, value: Ptr) -> c_int;
    fn pthread_key_delete(key: u32) -> c_int;
    fn calloc(count: usize, size: usize) -> Ptr;
    fn free(memory: Ptr);
}

fn new_content(kind: u32) -> Content {
    match kind {
        name::ERROR => Content::Error(ErrorHandle::default()),
        name::SVCCTX => Content::Service(Service::default()),
        name::STMT => Content::Statement(Statement::default()),
        name::SERVER => Content::Server(Server::default()),
        name::SESSION => Content::User(User::default()),
        name::SPOOL => Content::Pool(SessionPool::default()),
        name::LOB => Content::Lob(Lob::default()),
        name::ROWID => Content::RowId(String::new()),
        name::INTERVAL_YM | name::INTERVAL_DS => Content::Span(Span::default()),
        name::TIMESTAMP..=name::TIMESTAMP_LTZ => Content::Moment(Moment::default()),
        _ => Content::Other,
    }
}

pub(crate) unsafe fn release(pointer: Ptr) {
    if pointer.is_null() {
        return;
    }
    let owned = Box::from_raw(pointer.cast::<Handle>());
    if matches!(owned.content, Content::Service(_)) {
        breaker::forget(pointer);
    }
    if let Content::Statement(statement) = &owned.content {
        for part in statement.binds.iter().chain(&statement.defines) {
            drop(Box::from_raw((*part as Ptr).cast::<Handle>()));
        }
    }
}

exported! {
    fn OCIEnvNlsCreate(env: *mut Ptr, _mode: u32, _context: Ptr, _a: Ptr, _b: Ptr, _c: Ptr, _extra: usize, _user: *mut Ptr, _charset: u16, _national: u16) {
        *env = boxed(name::ENV, Content::Other);
        SUCCESS
    }

    fn OCIHandleAlloc(_parent: Ptr, out: *mut Ptr, kind: u32, _extra: usize, _user: *mut Ptr) {
        *out = boxed(kind, new_content(kind));
        SUCCESS
    }

    fn OCIHandleFree(pointer: Ptr, _kind: u32) {
        release(pointer);
        SUCCESS
    }

    fn OCIDescriptorAlloc(_parent: Ptr, out: *mut Ptr, kind: u32, _extra: usize, _user: *mut Ptr) {
        *out = boxed(kind, new_content(kind));
        SUCCESS
    }

    fn OCIDescriptorFree(pointer: Ptr, _kind: u32) {
        release(pointer);
        SUCCESS
    }

    fn OCIArrayDescriptorAlloc(_parent: Ptr, out: *mut Ptr, kind: u32, count: u32, _extra: usize, _user: *mut Ptr) {
        let made: Vec<Ptr> = (0..count).map(|_| boxed(kind, new_content(kind))).collect();
        for (place, pointer) in made.iter().enumerate() {
            *out.add(place) = *pointer;
        }
        let first = made.first().map_or(0, |first| *first as usize);
        let all = made.into_iter().map(|pointer| pointer as usize).collect();
        ARRAYS.lock().get_or_insert_default().insert(first, all);
        SUCCESS
    }

    fn OCIArrayDescriptorFree(first: *mut Ptr, _kind: u32) {
        let all = ARRAYS.lock().get_or_insert_default().remove(&(*first as usize));
        for pointer in all.into_iter().flatten() {
            release(pointer as Ptr);
        }
        SUCCESS
    }

    fn OCIErrorGet(errors: Ptr, number: u32, _state: *mut c_char, code: *mut i32, buffer: *mut c_char, size: u32, _kind: u32) {
        if number != 1 {
            return NO_DATA;
        }
        let Content::Error(own) = &mut handle(errors).content else { return ERROR };
        if take_panic() {
            (own.code, own.message) = (600, "ORA-00600: the stand-in panicked\n".to_owned());
        }
        *code = own.code;
        let bytes = own.message.as_bytes();
        let length = bytes.len().min((size as usize).saturating_sub(1));
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), length);
        *buffer.add(length) = 0;
        SUCCESS
    }

    fn OCIThreadKeyInit(_env: Ptr, _errors: Ptr, key: *mut Ptr, destructor: Ptr) {
        let mut made = 0;
        pthread_key_create(&raw mut made, destructor);
        *key = Box::into_raw(Box::new(made)).cast();
        SUCCESS
    }

    fn OCIThreadKeyGet(_env: Ptr, _errors: Ptr, key: Ptr, value: *mut Ptr) {
        *value = pthread_getspecific(*key.cast::<u32>());
        SUCCESS
    }

    fn OCIThreadKeySet(_env: Ptr, _errors: Ptr, key: Ptr, value: Ptr) {
        pthread_setspecific(*key.cast::<u32>(), value);
        SUCCESS
    }

    fn OCIThreadKeyDestroy(_env: Ptr, _errors: Ptr, key: *mut Ptr) {
        pthread_key_delete(*(*key).cast::<u32>());
        drop(Box::from_raw((*key).cast::<u32>()));
        *key = null_mut();
        SUCCESS
    }

    fn OCINlsNumericInfoGet(_env: Ptr, _errors: Ptr, value: *mut i32, _item: u16) {
        *value = 4;
        SUCCESS
    }

    fn OCINlsCharSetConvert(_env: Ptr, _errors: Ptr, _to: u16, target: *mut u8, room: usize, _from: u16, source: *const u8, length: usize, written: *mut usize) {
        let length = length.min(room);
        std::ptr::copy_nonoverlapping(source, target, length);
        *written = length;
        SUCCESS
    }

    fn OCINlsEnvironmentVariableGet(value: *mut u16, _size: usize, _item: u16, _charset: u16, length: *mut usize) {
        *value = UTF8;
        *length = 2;
        SUCCESS
    }

    fn OCINlsCharSetIdToName(_env: Ptr, buffer: *mut c_char, size: usize, _id: u16) {
        put_text(buffer, size, "AL32UTF8");
        SUCCESS
    }

    fn OCINlsNameMap(_env: Ptr, buffer: *mut c_char, size: usize, _source: *const c_char, _flag: u32) {
        put_text(buffer, size, "UTF-8");
        SUCCESS
    }

    fn OCIMemoryAlloc(_env: Ptr, _errors: Ptr, memory: *mut Ptr, _duration: u16, size: u32, _flags: u32) {
        *memory = calloc(1, size as usize);
        SUCCESS
    }

    fn OCIMemoryFree(_env: Ptr, _errors: Ptr, memory: Ptr) {
        free(memory);
        SUCCESS
    }

    fn OCIContextSetValue(user: Ptr, _errors: Ptr, _duration: u16, key: *const u8, length: u8, value: Ptr) {
        let key = std::slice::from_raw_parts(key, length.into()).to_vec();
        content!(user, User).context.insert(key, value as usize);
        SUCCESS
    }

    fn OCIContextGetValue(user: Ptr, _errors: Ptr, key: *const u8, length: u8, value: *mut Ptr) {
        let key = std::slice::from_raw_parts(key, length.into());
        *value = content!(user, User).context.get(key).copied().unwrap_or(0) as Ptr;
        SUCCESS
    }

    fn OCINumberFromInt(_errors: Ptr, value: Ptr, size: u32, signed: u32, out: *mut number::Bytes) {
        let text = match (size, signed) {
            (8, 2) => (*value.cast::<i64>()).to_string(),
            (8, _) => (*value.cast::<u64>()).to_string(),
            (_, 2) => (*value.cast::<i32>()).to_string(),
            _ => (*value.cast::<u32>()).to_string(),
        };
        *out = number::encode(&text);
        SUCCESS
    }

    fn OCINumberToInt(errors: Ptr, from: *const number::Bytes, _size: u32, signed: u32, out: Ptr) {
        let text = number::decode(&*from);
        let whole = number::whole_part(&text);
        let fits = if signed == 2 {
            whole.parse::<i64>().map(|number| *out.cast::<i64>() = number).is_ok()
        } else {
            whole.parse::<u64>().map(|number| *out.cast::<u64>() = number).is_ok()
        };
        if fits { SUCCESS } else { fail(errors, &OracleError::new(22053, "overflow error")) }
    }

    fn OCINumberFromReal(_errors: Ptr, value: *const f64, _size: u32, out: *mut number::Bytes) {
        *out = number::encode(&format!("{}", *value));
        SUCCESS
    }

    fn OCINumberToReal(_errors: Ptr, from: *const number::Bytes, _size: u32, out: *mut f64) {
        *out = number::decode(&*from).parse().unwrap_or(0.0);
        SUCCESS
    }

    fn OCIDateTimeConstruct(_env: Ptr, _errors: Ptr, out: Ptr, year: i16, month: u8, day: u8, hour: u8, minute: u8, second: u8, nanosecond: u32, zone: *const c_char, length: usize) {
        let own = content!(out, Moment);
        *own = Moment { year, month, day, hour, minute, second, nanosecond, offset: 0 };
        own.set_zone(&text(zone, length));
        SUCCESS
    }

    fn OCIDateTimeGetDate(_env: Ptr, _errors: Ptr, from: Ptr, year: *mut i16, month: *mut u8, day: *mut u8) {
        let own = content!(from, Moment);
        (*year, *month, *day) = (own.year, own.month, own.day);
        SUCCESS
    }

    fn OCIDateTimeGetTime(_env: Ptr, _errors: Ptr, from: Ptr, hour: *mut u8, minute: *mut u8, second: *mut u8, nanosecond: *mut u32) {
        let own = content!(from, Moment);
        (*hour, *minute, *second, *nanosecond) = (own.hour, own.minute, own.second, own.nanosecond);
        SUCCESS
    }

    fn OCIDateTimeGetTimeZoneOffset(_env: Ptr, _errors: Ptr, from: Ptr, hours: *mut i8, minutes: *mut i8) {
        let own = content!(from, Moment);
        *hours = i8::try_from(own.offset / 60).unwrap_or(0);
        *minutes = i8::try_from(own.offset % 60).unwrap_or(0);
        SUCCESS
    }

    /// ODPI-C asks twice: without room, for the length; then for the text.
    fn OCIRowidToChar(row: Ptr, buffer: *mut u8, length: *mut u16, _errors: Ptr) {
        let own = content!(row, RowId);
        let room = usize::from(*length);
        *length = u16::try_from(own.len()).unwrap_or(u16::MAX);
        if room < own.len() {
            return ERROR;
        }
        std::ptr::copy_nonoverlapping(own.as_ptr(), buffer, own.len());
        SUCCESS
    }

    fn OCIIntervalSetDaySecond(_env: Ptr, _errors: Ptr, days: i32, hours: i32, minutes: i32, seconds: i32, nanoseconds: i32, out: Ptr) {
        *content!(out, Span) = Span::of_clock(days, [hours, minutes, seconds, nanoseconds]);
        SUCCESS
    }

    fn OCIIntervalGetDaySecond(_env: Ptr, _errors: Ptr, days: *mut i32, hours: *mut i32, minutes: *mut i32, seconds: *mut i32, nanoseconds: *mut i32, from: Ptr) {
        let own = *content!(from, Span);
        [*hours, *minutes, *seconds, *nanoseconds] = own.clock();
        *days = own.days;
        SUCCESS
    }

    fn OCIIntervalSetYearMonth(_env: Ptr, _errors: Ptr, years: i32, months: i32, out: Ptr) {
        *content!(out, Span) = Span { months: years * 12 + months, ..Span::default() };
        SUCCESS
    }

    fn OCIIntervalGetYearMonth(_env: Ptr, _errors: Ptr, years: *mut i32, months: *mut i32, from: Ptr) {
        let own = *content!(from, Span);
        (*years, *months) = (own.months / 12, own.months % 12);
        SUCCESS
    }
}

pub(crate) unsafe fn put_text(buffer: *mut c_char, size: usize, text: &str) {
    let length = text.len().min(size.saturating_sub(1));
    std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), length);
    *buffer.add(length) = 0;
}
