//! A caller's buffers: values read from binds, and written to defines.

use std::ptr::null_mut;

use postgres::types::Type;

use super::handle::{Bind, Content, handle};
use super::{CONTINUE, Ptr};
use crate::code::{OracleError, Outcome};
use crate::number;
use crate::types::{Parameter, Value};

type InCallback = unsafe extern "C" fn(Ptr, Ptr, u32, u32, *mut Ptr, *mut u32, *mut u8, *mut Ptr) -> i32;
type OutCallback =
    unsafe extern "C" fn(Ptr, Ptr, u32, u32, *mut Ptr, *mut *mut u32, *mut u8, *mut Ptr, *mut *mut u16) -> i32;
type DefineCallback =
    unsafe extern "C" fn(Ptr, Ptr, u32, *mut Ptr, *mut *mut u32, *mut u8, *mut Ptr, *mut *mut u16) -> i32;

/// Types whose buffer holds a pointer to a descriptor.
pub(crate) fn is_descriptor(kind: u16) -> bool {
    matches!(kind, 104 | 112 | 113 | 187..=190 | 232)
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
    let bytes = |length: usize| place.map(|(value, _)| std::slice::from_raw_parts(value.cast::<u8>(), length));
    let (kind, text) = match bind.buffer.kind {
        2 | 6 => {
            let number = bytes(22).and_then(|bytes| <&number::Bytes>::try_from(bytes).ok());
            (Type::NUMERIC, number.map(|number| number::decode(number)))
        }
        3 => (Type::NUMERIC, place.map(|(value, _)| (*value.cast::<i64>()).to_string())),
        68 => (Type::NUMERIC, place.map(|(value, _)| (*value.cast::<u64>()).to_string())),
        21 | 100 => (Type::FLOAT8, place.map(|(value, _)| (*value.cast::<f32>()).to_string())),
        22 | 101 => (Type::FLOAT8, place.map(|(value, _)| (*value.cast::<f64>()).to_string())),
        12 => (Type::TIMESTAMP, bytes(7).map(packed_date)),
        156 => (
            Type::TIMESTAMP,
            bytes(7).map(|parts| {
                let year = i16::from_ne_bytes([parts[0], parts[1]]);
                format!("{year:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts[2], parts[3], parts[4], parts[5], parts[6])
            }),
        ),
        kind @ (187 | 188 | 232) => {
            let text = place.and_then(|(value, _)| match &handle(value).content {
                Content::Moment(moment) => Some(moment.text(kind != 187)),
                _ => None,
            });
            (if kind == 187 { Type::TIMESTAMP } else { Type::TIMESTAMPTZ }, text)
        }
        189 | 190 => {
            let text = place.and_then(|(value, _)| match &handle(value).content {
                Content::Span(span) => Some(span.text()),
                _ => None,
            });
            (Type::INTERVAL, text)
        }
        112 | 113 => {
            let lob = place.and_then(|(value, _)| match &handle(value).content {
                Content::Lob(lob) => Some(lob),
                _ => None,
            });
            match lob {
                Some(lob) if lob.is_text => {
                    let text = String::from_utf8_lossy(&lob.bytes).into_owned();
                    (Type::UNKNOWN, Some(text).filter(|text| !text.is_empty()))
                }
                Some(lob) => (Type::BYTEA, Some(hexadecimal(&lob.bytes))),
                None => (Type::UNKNOWN, None),
            }
        }
        23 | 24 => {
            let raw = place.and_then(|(_, length)| bytes(length));
            (Type::BYTEA, raw.map(hexadecimal))
        }
        _ => {
            let text =
                place.and_then(|(_, length)| bytes(length)).map(|text| String::from_utf8_lossy(text).into_owned());
            // Nothing is null.
            (Type::UNKNOWN, text.filter(|text| !text.is_empty()))
        }
    };
    Parameter { kind, text }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
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

/// Writes one value in a caller's type; how many bytes, and the column's return code.
pub(crate) unsafe fn write(value: &Value, kind: u16, target: Ptr, room: usize) -> (usize, u16) {
    let text = text_of(value);
    match kind {
        2 | 6 => {
            *target.cast::<number::Bytes>() = number::encode(&text);
            (22, 0)
        }
        3 => {
            *target.cast::<i64>() = number::whole_part(&text).parse().unwrap_or(0);
            (8, 0)
        }
        68 => {
            *target.cast::<u64>() = number::whole_part(&text).parse().unwrap_or(0);
            (8, 0)
        }
        21 | 100 => {
            *target.cast::<f32>() = text.parse().unwrap_or(0.0);
            (4, 0)
        }
        22 | 101 => {
            *target.cast::<f64>() = text.parse().unwrap_or(0.0);
            (8, 0)
        }
        156 => {
            if let Value::Moment(moment) = value {
                let parts = [moment.month, moment.day, moment.hour, moment.minute, moment.second];
                target.cast::<i16>().write_unaligned(moment.year);
                std::ptr::copy_nonoverlapping(parts.as_ptr(), target.cast::<u8>().add(2), parts.len());
            }
            (7, 0)
        }
        187 | 188 | 232 => {
            if let (Value::Moment(moment), Content::Moment(own)) = (value, &mut handle(target).content) {
                *own = *moment;
            }
            (8, 0)
        }
        112 | 113 => {
            if let Content::Lob(own) = &mut handle(target).content {
                own.is_text = kind == 112;
                own.bytes = match value {
                    Value::Bytes(bytes) => bytes.clone(),
                    _ => text.into_bytes(),
                };
            }
            (8, 0)
        }
        104 => {
            if let Content::RowId(own) = &mut handle(target).content {
                *own = text;
            }
            (8, 0)
        }
        189 | 190 => {
            if let (Value::Span(span), Content::Span(own)) = (value, &mut handle(target).content) {
                *own = *span;
            }
            (8, 0)
        }
        _ => {
            let bytes = match value {
                Value::Bytes(bytes) if matches!(kind, 23 | 24 | 95) => bytes.clone(),
                Value::Number(number) => number::as_text(number).into_bytes(),
                _ => text.into_bytes(),
            };
            let length = bytes.len().min(room);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.cast::<u8>(), length);
            // Cut off: ORA-01406.
            (length, if length < bytes.len() { 1406 } else { 0 })
        }
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
