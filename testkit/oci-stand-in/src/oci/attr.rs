//! Attributes: what a caller asks of handles, and tells them.

use std::ffi::c_char;

use super::env::UTF8;
use super::handle::{Content, content, fail, handle, service, text};
use super::name::attribute as name;
use super::{Ptr, SUCCESS, exported};
use crate::code::OracleError;
use crate::types::Column;

/// `SQLCS_NCHAR`
const NATIONAL: u8 = 2;

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
        (Content::Other, name::CHARSET_ID | name::NCHARSET_ID) | (Content::Server(_), name::CHARSET_ID) => {
            put(target, UTF8)
        }
        (Content::Server(own), name::SERVER_STATUS) => put(target, u32::from(own.up)),
        (Content::Server(own), name::DBNAME | name::INSTNAME | name::SERVICENAME) => {
            put_text(target, length, &own.address.database)
        }
        (Content::Server(_), name::DBDOMAIN) => put_text(target, length, ""),
        (Content::Server(_), name::RECEIVE_TIMEOUT) => put(target, 0_u32),
        (Content::Server(_), name::BREAK_ON_NET_TIMEOUT) => put(target, 0_u8),
        (Content::Error(own), name::DML_ROW_OFFSET) => put(target, own.row),
        (Content::Error(_), name::ERROR_IS_RECOVERABLE) => put(target, 0_i32),
        (Content::Service(own), name::SERVER) => put(target, own.server),
        (Content::Service(own), name::SESSION) => put(target, own.user),
        (Content::Service(own), name::STMTCACHESIZE) => put(target, own.cache_size),
        (Content::Service(own), name::CALL_TIMEOUT) => {
            put(target, own.session.as_ref().map_or(0, |session| session.call_timeout))
        }
        (Content::Service(_), name::MAX_IDENTIFIER_LEN) => put(target, 128_u8),
        (Content::User(own), name::TRANSACTION_IN_PROGRESS) => {
            let open = own.service != 0
                && service(own.service)
                    .and_then(|own| own.session.as_ref())
                    .is_some_and(|session| session.in_transaction);
            put(target, i32::from(open));
        }
        (Content::User(_), name::MAX_OPEN_CURSORS) => put(target, 300_u32),
        (Content::User(own), name::CURRENT_SCHEMA) => put_text(target, length, &own.name),
        (Content::Bind(own), name::ROWS_RETURNED) => put(target, own.returned),
        (Content::Statement(_), _) => return read_statement(content, attribute, target, length),
        (Content::Column(column), _) => return read_column(&**column, attribute, target, length),
        (Content::Pool(own), _) => {
            let figures = own.pool.as_ref().map(|pool| pool.figures());
            match attribute {
                name::SPOOL_BUSY_COUNT => put(target, figures.map_or(0, |(busy, _)| busy)),
                name::SPOOL_OPEN_COUNT => put(target, figures.map_or(0, |(_, open)| open)),
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
        name::STMT_TYPE => put(target, own.sql.kind.code()),
        name::SQLFNCODE => put(target, own.sql.kind.function_code()),
        name::STMT_IS_RETURNING => put(target, u8::from(!own.sql.outs.is_empty())),
        name::PARAM_COUNT => put(target, count(own.columns.len())),
        name::BIND_COUNT => put(target, count(own.sql.binds.len())),
        name::STATEMENT => put_text(target, length, &own.sql.original),
        name::ROWS_FETCHED => put(target, own.fetched),
        name::ROW_COUNT => put(target, u32::try_from(own.touched).unwrap_or(u32::MAX)),
        name::UB8_ROW_COUNT => put(target, own.touched),
        name::NUM_DML_ERRORS => put(target, count(own.failed.len())),
        name::PARSE_ERROR_OFFSET => put(target, 0_u16),
        name::DML_ROW_COUNT_ARRAY => {
            put(target, own.row_counts.as_ptr() as usize);
            *length = count(own.row_counts.len());
        }
        _ => return false,
    }
    true
}

unsafe fn read_column(column: &Column, attribute: u32, target: Ptr, length: *mut u32) -> bool {
    match attribute {
        name::NAME => put_text(target, length, &column.name),
        name::DATA_TYPE => put(target, column.kind),
        name::CHARSET_FORM => put(target, 1_u8),
        name::SCALE => put(target, column.scale),
        name::PRECISION => put(target, column.precision),
        name::DATA_SIZE => put(target, column.bytes),
        name::CHAR_SIZE => put(target, column.characters),
        name::IS_NULL => put(target, u8::from(column.nullable)),
        name::JSON_COL => put(target, 0_u8),
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
            (Content::Service(own), name::SERVER) => own.server = value as usize,
            (Content::Service(own), name::SESSION) => {
                own.user = value as usize;
                if !value.is_null() {
                    content!(value, User).service = pointer as usize;
                }
            }
            (Content::Service(own), name::STMTCACHESIZE) => own.cache_size = *value.cast::<u32>(),
            (Content::Service(own), name::CALL_TIMEOUT) => {
                if let Some(session) = &mut own.session {
                    session.call_timeout = *value.cast::<u32>();
                }
            }
            (Content::User(own), name::USERNAME) => own.name = text(value.cast::<c_char>(), length as usize),
            (Content::User(own), name::PASSWORD) => own.password = text(value.cast::<c_char>(), length as usize),
            // The action within a module, or the module while there is none: whom faults are planned for.
            (Content::User(own), name::MODULE | name::ACTION) => {
                own.module = text(value.cast::<c_char>(), length as usize);
                if let Some(session) = service(own.service).filter(|_| own.service != 0).and_then(|own| own.session.as_mut()) {
                    session.module.clone_from(&own.module);
                }
            }
            (Content::Pool(own), name::SPOOL_AUTH) => {
                own.settings.insert(attribute, 1);
            }
            (Content::Pool(own), name::SPOOL_GETMODE) => {
                own.settings.insert(attribute, u32::from(*value.cast::<u8>()));
            }
            (Content::Pool(own), _) => {
                own.settings.insert(attribute, *value.cast::<u32>());
                if let Some(pool) = &own.pool {
                    pool.set_mode(&own.settings);
                }
            }
            // A text that is bound as NVARCHAR2 makes an Oracle convert the column, and skip its index.
            (Content::Bind(own), name::CHARSET_FORM)
                if *value.cast::<u8>() == NATIONAL && crate::is_set("STRANGLER_OCI_STAND_IN_STRICT") => {
                let message = format!("character set mismatch: bind {}{} is NVARCHAR2", own.name, own.place);
                return fail(errors, &OracleError::new(12704, message));
            }
            // Driver name, prefetch, charset form and the like mean nothing here.
            _ => {}
        }
        SUCCESS
    }
}
