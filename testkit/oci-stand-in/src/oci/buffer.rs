//! A caller's buffers: values read from binds, and written to defines.

use std::borrow::Cow;
use std::ptr::null_mut;

use postgres::types::Type;

use super::handle::{Bind, Content, handle};
use super::name::sqlt;
use super::{CONTINUE, Ptr};
use crate::code::{OracleError, Outcome};
use crate::number;
use crate::types::{Parameter, Value};

type InCallback = unsafe extern "C" fn(Ptr, Ptr, u32, u32, *mut Ptr, *mut u32, *mut u8, *mut Ptr) -> i32;
type OutCallback =
    unsafe extern "C" fn(Ptr, Ptr, u32, u32, *mut Ptr, *mut *mut u32, *mut u8, *mut Ptr, *mut *mut u16) -> i32;
type DefineCallback =
    unsafe extern "C" fn(Ptr, Ptr, u32, *mut Ptr, *mut *mut u32, *mut u8, *mut Ptr, *mut *mut u16) -> i32;

/// Bytes of a NUMBER.
const NUMBER_SIZE: usize = 22;

/// Bytes of both sorts of DATE.
const DATE_SIZE: usize = 7;

/// Types whose buffer holds a pointer to a descriptor.
pub(crate) fn is_descriptor(kind: u16) -> bool {
    matches!(kind, sqlt::RDD | sqlt::CLOB | sqlt::BLOB | sqlt::TIMESTAMP..=sqlt::INTERVAL_DS | sqlt::TIMESTAMP_LTZ)
}

fn callback_failed() -> OracleError {
    OracleError::new(24343, "user defined callback error")
}

/// Where the value of a bind is, with its length; `None` for null.
unsafe fn locate(bind: &Bind, pointer: Ptr, row: usize) -> Option<(Ptr, usize)> {
    if let Some((context, callback)) = bind.input {
        let (mut buffer, mut length, mut piece, mut indicator) = (null_mut(), 0_u32, 0_u8, null_mut());
        let callback = std::mem::transmute::<usize, InCallback>(callback);
        let row = u32::try_from(row).unwrap_or(0);
        callback(context as Ptr, pointer, row, 0, &raw mut buffer, &raw mut length, &raw mut piece, &raw mut indicator);
        let null = buffer.is_null() || (!indicator.is_null() && *indicator.cast::<i16>() == -1);
        return (!null).then_some((buffer, length as usize));
    }
    let own = bind.buffer;
    if !own.indicator.is_null() && *own.indicator.add(row) == -1 {
        return None;
    }
    let mut value = (own.value + row * own.size) as Ptr;
    if is_descriptor(own.kind) {
        value = *value.cast::<Ptr>();
    }
    let length = if own.length.is_null() { own.size } else { *own.length.add(row) as usize };
    (!value.is_null()).then_some((value, length))
}

/// The value of a bind at a row of an array.
pub(crate) unsafe fn read(bind: &Bind, pointer: Ptr, row: usize) -> Parameter {
    let place = locate(bind, pointer, row);
    let kind = bind.buffer.kind;
    if is_descriptor(kind) {
        return read_descriptor(kind, place.map(|(value, _)| &handle(value).content));
    }
    let bytes = |length: usize| place.map(|(value, _)| std::slice::from_raw_parts(value.cast::<u8>(), length));
    let all = || place.and_then(|(_, length)| bytes(length));
    let (kind, text) = match kind {
        sqlt::NUM | sqlt::VNU => (Type::NUMERIC, bytes(NUMBER_SIZE).map(number::decode)),
        sqlt::INT => (Type::NUMERIC, place.map(|(value, _)| (*value.cast::<i64>()).to_string())),
        sqlt::UIN => (Type::NUMERIC, place.map(|(value, _)| (*value.cast::<u64>()).to_string())),
        sqlt::BFLOAT | sqlt::IBFLOAT => (Type::FLOAT8, place.map(|(value, _)| (*value.cast::<f32>()).to_string())),
        sqlt::BDOUBLE | sqlt::IBDOUBLE => (Type::FLOAT8, place.map(|(value, _)| (*value.cast::<f64>()).to_string())),
        sqlt::DAT => (Type::TIMESTAMP, bytes(DATE_SIZE).map(packed_date)),
        sqlt::ODT => (Type::TIMESTAMP, bytes(DATE_SIZE).map(date)),
        sqlt::BIN | sqlt::LBI => (Type::BYTEA, all().map(hexadecimal)),
        _ => (Type::UNKNOWN, all().map(String::from_utf8_lossy).map(Cow::into_owned).filter(|text| !text.is_empty())),
    };
    Parameter { kind, text }
}

/// The value of a descriptor; nothing where there is none, or one of another kind.
fn read_descriptor(kind: u16, content: Option<&Content>) -> Parameter {
    let zoned = kind != sqlt::TIMESTAMP;
    let (kind, text) = match content {
        Some(Content::Moment(moment)) if zoned => (Type::TIMESTAMPTZ, moment.text(true)),
        Some(Content::Moment(moment)) => (Type::TIMESTAMP, moment.text(false)),
        Some(Content::Span(span)) => (Type::INTERVAL, span.text()),
        Some(Content::RowId(row)) => (Type::TID, row.clone()),
        Some(Content::Lob(lob)) if lob.is_text => (Type::UNKNOWN, String::from_utf8_lossy(&lob.bytes).into_owned()),
        Some(Content::Lob(lob)) => (Type::BYTEA, hexadecimal(&lob.bytes)),
        _ => return Parameter::null(),
    };
    // Nothing is null.
    Parameter { kind, text: Some(text).filter(|text| !text.is_empty()) }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// OCIDate: a year of two bytes in the machine's order, then a byte each.
fn date(parts: &[u8]) -> String {
    let year = i16::from_ne_bytes([parts[0], parts[1]]);
    format!("{year:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts[2], parts[3], parts[4], parts[5], parts[6])
}

/// DATE in seven bytes: century and year with 100 added, times with one.
fn packed_date(parts: &[u8]) -> String {
    let year = (i32::from(parts[0]) - 100) * 100 + i32::from(parts[1]) - 100;
    format!("{year:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts[2], parts[3], parts[4] - 1, parts[5] - 1, parts[6] - 1)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Cursor(text) => text.clone(),
        Value::Number(number) => number::canonical(number),
        Value::Double(number) => number.to_string(),
        Value::Moment(moment) => moment.text(false),
        Value::Span(span) => span.text(),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        Value::Null => String::new(),
    }
}

/// ORA-01455: converting column overflows integer datatype.
const OVERFLOW: u16 = 1455;

/// ORA-01406: fetched column value is truncated.
const CUT_OFF: u16 = 1406;

/// Writes a plain value; 0 is the return code of a column that is whole.
unsafe fn put<T>(target: *mut T, value: T) -> u16 {
    *target = value;
    0
}

/// Writes one value in a caller's type; how many bytes, and the column's return code.
pub(crate) unsafe fn write(value: &Value, kind: u16, target: Ptr, room: usize) -> (usize, u16) {
    if is_descriptor(kind) {
        write_descriptor(value, kind, &mut handle(target).content);
        return (size_of::<Ptr>(), 0);
    }
    let text = text_of(value);
    match kind {
        sqlt::NUM | sqlt::VNU => (NUMBER_SIZE, put(target.cast(), number::encode(&text))),
        sqlt::INT => (8, number::whole_part(&text).parse().map_or(OVERFLOW, |whole| put(target.cast::<i64>(), whole))),
        sqlt::UIN => (8, number::whole_part(&text).parse().map_or(OVERFLOW, |whole| put(target.cast::<u64>(), whole))),
        sqlt::BFLOAT | sqlt::IBFLOAT => (4, put(target.cast::<f32>(), text.parse().unwrap_or(f32::NAN))),
        sqlt::BDOUBLE | sqlt::IBDOUBLE => (8, put(target.cast::<f64>(), text.parse().unwrap_or(f64::NAN))),
        sqlt::ODT => {
            if let Value::Moment(moment) = value {
                let parts = [moment.month, moment.day, moment.hour, moment.minute, moment.second];
                target.cast::<i16>().write_unaligned(moment.year);
                std::ptr::copy_nonoverlapping(parts.as_ptr(), target.cast::<u8>().add(2), parts.len());
            }
            (DATE_SIZE, 0)
        }
        _ => {
            let bytes = match value {
                Value::Bytes(bytes) if matches!(kind, sqlt::BIN | sqlt::LBI | sqlt::LVB) => bytes.clone(),
                Value::Number(number) => number::as_text(number).into_bytes(),
                _ => text.into_bytes(),
            };
            let length = bytes.len().min(room);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.cast::<u8>(), length);
            (length, if length < bytes.len() { CUT_OFF } else { 0 })
        }
    }
}

fn write_descriptor(value: &Value, kind: u16, content: &mut Content) {
    match (value, content) {
        (Value::Moment(moment), Content::Moment(own)) => *own = *moment,
        (Value::Span(span), Content::Span(own)) => *own = *span,
        (value, Content::RowId(own)) => *own = text_of(value),
        (value, Content::Lob(own)) => {
            (own.is_set, own.is_text) = (true, kind == sqlt::CLOB);
            own.bytes = match value {
                Value::Bytes(bytes) => bytes.clone(),
                other => text_of(other).into_bytes(),
            };
        }
        // A value of another type than its descriptor: the driver asked for what the column is not.
        _ => {}
    }
}

/// Writes the values of `RETURNING … INTO` for one row of an array through the caller's callback.
pub(crate) unsafe fn write_returned(bind: &Bind, pointer: Ptr, iteration: usize, values: &[&Value]) -> Outcome<()> {
    let Some((context, callback)) = bind.output else { return Ok(()) };
    let callback = std::mem::transmute::<usize, OutCallback>(callback);
    let number = |place: usize| u32::try_from(place).unwrap_or(0);
    for (place, value) in values.iter().enumerate() {
        let (mut buffer, mut length, mut piece) = (null_mut(), null_mut::<u32>(), 0_u8);
        let (mut indicator, mut code) = (null_mut(), null_mut::<u16>());
        let answer = callback(
            context as Ptr,
            pointer,
            number(iteration),
            number(place),
            &raw mut buffer,
            &raw mut length,
            &raw mut piece,
            &raw mut indicator,
            &raw mut code,
        );
        if answer != CONTINUE {
            return Err(callback_failed());
        }
        let null = matches!(value, Value::Null);
        *indicator.cast::<i16>() = if null { -1 } else { 0 };
        if null {
            continue;
        }
        let room = if length.is_null() { 0 } else { *length as usize };
        let (written, cut) = write(value, bind.buffer.kind, buffer, room);
        if !length.is_null() {
            *length = number(written);
        }
        if !code.is_null() {
            *code = cut;
        }
    }
    Ok(())
}

/// Writes what a block left in a variable.
pub(crate) unsafe fn write_out(bind: &Bind, pointer: Ptr, value: &Value) -> Outcome<()> {
    if bind.output.is_some() {
        return write_returned(bind, pointer, 0, &[value]);
    }
    let own = bind.buffer;
    let null = matches!(value, Value::Null);
    if !own.indicator.is_null() {
        *own.indicator = if null { -1 } else { 0 };
    }
    if null {
        return Ok(());
    }
    let mut target = own.value as Ptr;
    if is_descriptor(own.kind) {
        target = *target.cast::<Ptr>();
    }
    let (written, cut) = write(value, own.kind, target, own.size);
    if !own.length.is_null() {
        *own.length = u32::try_from(written).unwrap_or(0);
    }
    if !own.code.is_null() {
        *own.code = cut;
    }
    Ok(())
}

/// Writes a long value in pieces, into buffers that the caller gives as it goes.
pub(crate) unsafe fn write_pieces(
    (context, callback): (usize, usize),
    pointer: Ptr,
    row: usize,
    value: &Value,
) -> Outcome<()> {
    let callback = std::mem::transmute::<usize, DefineCallback>(callback);
    let bytes = match value {
        Value::Bytes(bytes) => bytes.clone(),
        other => text_of(other).into_bytes(),
    };
    let mut done = 0;
    loop {
        let (mut buffer, mut length, mut piece) = (null_mut(), null_mut::<u32>(), 0_u8);
        let (mut indicator, mut code) = (null_mut(), null_mut::<u16>());
        let row = u32::try_from(row).unwrap_or(0);
        let answer = callback(
            context as Ptr,
            pointer,
            row,
            &raw mut buffer,
            &raw mut length,
            &raw mut piece,
            &raw mut indicator,
            &raw mut code,
        );
        if answer != CONTINUE {
            return Err(callback_failed());
        }
        let count = (bytes.len() - done).min(*length as usize);
        std::ptr::copy_nonoverlapping(bytes.as_ptr().add(done), buffer.cast::<u8>(), count);
        *length = u32::try_from(count).unwrap_or(0);
        *indicator.cast::<i16>() = if matches!(value, Value::Null) { -1 } else { 0 };
        done += count;
        if done >= bytes.len() {
            return Ok(());
        }
    }
}
