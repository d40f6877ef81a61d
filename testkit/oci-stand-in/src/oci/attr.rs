//! Attributes: what a caller asks of handles, and tells them. Numbers are those of the C interface.

use std::ffi::c_char;

use super::handle::{Content, content, fail, handle, service, text};
use super::{Ptr, SUCCESS, exported};
use crate::code::OracleError;
use crate::types::Column;

unsafe fn put<T>(target: Ptr, value: T) {
    *target.cast::<T>() = value;
}

unsafe fn put_text(target: Ptr, length: *mut u32, text: &str) {
    *target.cast::<*const u8>() = text.as_ptr();
    if !length.is_null() {
        *length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Whether the attribute is known, and then written to `target`.
unsafe fn read(content: &Content, attribute: u32, target: Ptr, length: *mut u32) -> bool {
    match (content, attribute) {
        (Content::Other, 31 | 262) | (Content::Server(_), 31) => put(target, 873_u16),
        (Content::Server(own), 143) => put(target, u32::from(own.up)),
        (Content::Server(own), 391..=393) => put_text(target, length, &own.address.database),
        (Content::Server(_), 399) => put_text(target, length, ""),
        (Content::Server(_), 436) => put(target, 0_u32),
        (Content::Server(_), 495) => put(target, 0_u8),
        (Content::Error(own), 74) => put(target, own.row),
        (Content::Error(_), 472) => put(target, 0_i32),
        (Content::Service(own), 6) => put(target, own.server),
        (Content::Service(own), 7) => put(target, own.user),
        (Content::Service(own), 176) => put(target, own.cache_size),
        (Content::Service(own), 531) => put(target, own.session.as_ref().map_or(0, |session| session.call_timeout)),
        (Content::Service(_), 500) => put(target, 128_u8),
        (Content::User(own), 484) => {
            let open = own.service != 0
                && service(own.service)
                    .and_then(|own| own.session.as_ref())
                    .is_some_and(|session| session.in_transaction);
            put(target, i32::from(open));
        }
        (Content::User(_), 471) => put(target, 300_u32),
        (Content::User(own), 224) => put_text(target, length, &own.name),
        (Content::Bind(own), 42) => put(target, own.returned),
        (Content::Statement(_), _) => return read_statement(content, attribute, target, length),
        (Content::Column(column), _) => return read_column(&**column, attribute, target, length),
        (Content::Pool(own), _) => {
            let figures = own.pool.as_ref().map(|pool| pool.figures());
            match attribute {
                310 => put(target, figures.map_or(0, |(busy, _)| busy)),
                311 => put(target, figures.map_or(0, |(_, open)| open)),
                _ => put(target, own.settings.get(&attribute).copied().unwrap_or(0)),
            }
        }
        _ => return false,
    }
    true
}

unsafe fn read_statement(content: &Content, attribute: u32, target: Ptr, length: *mut u32) -> bool {
    let Content::Statement(own) = content else { return false };
    match attribute {
        24 => put(target, own.sql.kind.code()),
        10 => put(target, own.sql.kind.function_code()),
        218 => put(target, u8::from(!own.sql.outs.is_empty())),
        18 => put(target, count(own.columns.len())),
        190 => put(target, count(own.sql.binds.len())),
        144 => put_text(target, length, &own.sql.original),
        197 => put(target, own.fetched),
        9 => put(target, u32::try_from(own.touched).unwrap_or(u32::MAX)),
        457 => put(target, own.touched),
        73 => put(target, count(own.failed.len())),
        129 => put(target, 0_u16),
        469 => {
            put(target, own.row_counts.as_ptr() as usize);
            *length = count(own.row_counts.len());
        }
        _ => return false,
    }
    true
}

unsafe fn read_column(column: &Column, attribute: u32, target: Ptr, length: *mut u32) -> bool {
    match attribute {
        4 => put_text(target, length, &column.name),
        2 => put(target, column.kind),
        32 => put(target, 1_u8),
        6 => put(target, column.scale),
        5 => put(target, column.precision),
        1 => put(target, column.bytes),
        286 => put(target, column.characters),
        7 => put(target, u8::from(column.nullable)),
        534 => put(target, 0_u8),
        _ => return false,
    }
    true
}

exported! {
    fn OCIAttrGet(pointer: Ptr, _kind: u32, target: Ptr, length: *mut u32, attribute: u32, errors: Ptr) {
        let own = handle(pointer);
        if read(&own.content, attribute, target, length) {
            return SUCCESS;
        }
        if crate::is_set("STRANGLER_OCI_STAND_IN_TRACE") {
            eprintln!("oci-stand-in: attribute {attribute} of handle type {} is not known", own.kind);
        }
        fail(errors, &OracleError::new(24315, format!("illegal attribute type {attribute} on handle {}", own.kind)))
    }

    fn OCIAttrSet(pointer: Ptr, _kind: u32, value: Ptr, length: u32, attribute: u32, errors: Ptr) {
        match (&mut handle(pointer).content, attribute) {
            (Content::Service(own), 6) => own.server = value as usize,
            (Content::Service(own), 7) => {
                own.user = value as usize;
                if !value.is_null() {
                    content!(value, User).service = pointer as usize;
                }
            }
            (Content::Service(own), 176) => own.cache_size = *value.cast::<u32>(),
            (Content::Service(own), 531) => {
                if let Some(session) = &mut own.session {
                    session.call_timeout = *value.cast::<u32>();
                }
            }
            (Content::User(own), 22) => own.name = text(value.cast::<c_char>(), length as usize),
            (Content::User(own), 23) => own.password = text(value.cast::<c_char>(), length as usize),
            // The module, and the action within it: what faults are planned for.
            (Content::User(own), 366 | 367) => {
                own.module = text(value.cast::<c_char>(), length as usize);
                if let Some(session) = service(own.service).filter(|_| own.service != 0).and_then(|own| own.session.as_mut()) {
                    session.module.clone_from(&own.module);
                }
            }
            (Content::Pool(own), 460) => {
                own.settings.insert(attribute, 1);
            }
            (Content::Pool(own), 309) => {
                own.settings.insert(attribute, u32::from(*value.cast::<u8>()));
            }
            (Content::Pool(own), _) => {
                own.settings.insert(attribute, *value.cast::<u32>());
                if let Some(pool) = &own.pool {
                    pool.set_mode(&own.settings);
                }
            }
            // A text that is bound as NVARCHAR2 makes an Oracle convert the column, and skip its index.
            (Content::Bind(own), 32) if *value.cast::<u8>() == 2 && crate::is_set("STRANGLER_OCI_STAND_IN_STRICT") => {
                let message = format!("character set mismatch: bind {}{} is NVARCHAR2", own.name, own.place);
                return fail(errors, &OracleError::new(12704, message));
            }
            // Driver name, prefetch, charset form and the like mean nothing here.
            _ => {}
        }
        SUCCESS
    }
}
