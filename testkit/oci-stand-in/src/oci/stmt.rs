//! Statements: prepare, bind, define, execute, fetch.

use std::ffi::c_char;
use std::ptr::null_mut;

use super::connect::note_loss;
use super::env::release;
use super::handle::{Bind, Buffer, Content, Define, Service, Statement, boxed, content, fail, handle, service, text};
use super::name::handle_type;
use super::{INVALID_HANDLE, NO_DATA, Ptr, SUCCESS, SUCCESS_WITH_INFO, buffer, exported};
use crate::code::{OracleError, Outcome};
use crate::session::{Answer, Session};
use crate::sql::{self, Kind};
use crate::types::{Parameter, Value};

/// `OCI_BATCH_ERRORS`
const BATCH_ERRORS: u32 = 0x80;
/// `OCI_COMMIT_ON_SUCCESS`
const COMMIT_ON_SUCCESS: u32 = 0x20;

unsafe fn add_bind(statement: Ptr, out: *mut Ptr, errors: Ptr, place: usize, name: String, own: Buffer) -> i32 {
    let statement = content!(statement, Statement);
    let unknown = place == 0 && !statement.sql.binds.contains(&name);
    if place > statement.sql.binds.len() || unknown {
        return fail(errors, &OracleError::plain(1036));
    }
    // Bound again: ODPI-C frees nothing, so the old one goes here.
    statement.binds.retain(|known| {
        let same =
            matches!(&handle(*known as Ptr).content, Content::Bind(bind) if bind.place == place && bind.name == name);
        if same {
            release(*known as Ptr);
        }
        !same
    });
    let bind = Bind { place, name, buffer: own, input: None, output: None, returned: 0 };
    *out = boxed(handle_type::BIND, Content::Bind(bind));
    statement.binds.push(*out as usize);
    SUCCESS
}

/// The bind of a mention: by place, or by name.
unsafe fn bind_of(statement: &Statement, mention: usize) -> Option<Ptr> {
    let name = statement.sql.binds.get(mention)?;
    let mine = |pointer: &&usize| match &handle(**pointer as Ptr).content {
        Content::Bind(bind) => bind.place == mention + 1 || (bind.place == 0 && bind.name == *name),
        _ => false,
    };
    statement.binds.iter().find(mine).map(|pointer| *pointer as Ptr)
}

unsafe fn parameter(statement: &Statement, mention: usize, row: usize) -> Outcome<Parameter> {
    let pointer = bind_of(statement, mention).ok_or_else(|| OracleError::plain(1008))?;
    match &handle(pointer).content {
        Content::Bind(bind) => Ok(buffer::read(bind, pointer, row)),
        _ => Err(OracleError::plain(1008)),
    }
}

/// The values of one row: of every name for a block, else of every mention that goes in.
unsafe fn parameters(statement: &Statement, row: usize) -> Outcome<Vec<Parameter>> {
    if statement.sql.kind.is_block() {
        return (0..statement.sql.binds.len()).map(|mention| parameter(statement, mention, row)).collect();
    }
    statement.sql.ins.iter().map(|mention| parameter(statement, *mention, row)).collect()
}

/// A cursor that a block left open becomes the answer of the statement that the caller bound for it.
unsafe fn leave_cursor(session: &mut Session, bind: &Bind, name: &str) -> Outcome<()> {
    let target = *(bind.buffer.value as Ptr).cast::<Ptr>();
    let Content::Statement(own) = &mut handle(target).content else {
        return Err(OracleError::new(1001, "invalid cursor"));
    };
    own.answer = session.fetch_all(name)?;
    own.columns.clone_from(&own.answer.columns);
    (own.at, own.sql.kind) = (0, Kind::Select);
    if !bind.buffer.indicator.is_null() {
        *bind.buffer.indicator = 0;
    }
    Ok(())
}

unsafe fn leave_outs(
    session: &mut Session,
    statement: &mut Statement,
    answer: &Answer,
    iteration: usize,
) -> Outcome<()> {
    for (place, value) in &answer.outs {
        if let Some(pointer) = bind_of(statement, *place)
            && let Content::Bind(bind) = &handle(pointer).content
        {
            match value {
                Value::Cursor(name) => leave_cursor(session, bind, name)?,
                other => buffer::write_out(bind, pointer, other)?,
            }
        }
    }
    for (column, mention) in statement.sql.outs.iter().enumerate() {
        let Some(pointer) = bind_of(statement, *mention) else { continue };
        let Content::Bind(bind) = &mut handle(pointer).content else { continue };
        bind.returned = u32::try_from(answer.rows.len()).unwrap_or(0);
        let values: Vec<&Value> = answer.rows.iter().filter_map(|row| row.get(column)).collect();
        buffer::write_returned(bind, pointer, iteration, &values)?;
    }
    Ok(())
}

unsafe fn run_row(service: &mut Service, statement: &mut Statement, row: usize) -> Outcome<()> {
    let values = parameters(statement, row)?;
    let session = service.session.as_mut().ok_or_else(|| OracleError::plain(3114))?;
    let bound = |mention: usize| unsafe { parameter(statement, mention, row) }.ok()?.text?.parse().ok();
    let moment = statement.sql.as_of.as_ref().map(|snapshot| snapshot.number(bound));
    let answer = match moment {
        None => session.execute(&statement.sql, &values)?,
        Some(Some(scn)) => session.execute_as_of(&statement.sql, &values, scn)?,
        Some(None) => return Err(OracleError::plain(8181)),
    };
    statement.touched += answer.affected;
    statement.row_counts.push(answer.affected);
    leave_outs(session, statement, &answer, row)?;
    if statement.sql.outs.is_empty() {
        if statement.columns != answer.columns {
            statement.columns.clone_from(&answer.columns);
        }
        statement.answer = answer;
    }
    Ok(())
}

unsafe fn run(service: &mut Service, statement: &mut Statement, rows: usize, mode: u32) -> Outcome<()> {
    for row in 0..rows {
        match run_row(service, statement, row) {
            Err(error) if mode & BATCH_ERRORS != 0 && !error.ends_call() => {
                statement.row_counts.push(0);
                statement.failed.push((i32::try_from(row).unwrap_or(0), error));
            }
            other => other?,
        }
    }
    if mode & COMMIT_ON_SUCCESS != 0 {
        service.session.as_mut().ok_or_else(|| OracleError::plain(3114))?.commit()?;
    }
    Ok(())
}

/// Rows are here already; what is planned for a fetch happens before them. Cursors of blocks have no plan.
unsafe fn before_fetch(statement: &Statement) -> Outcome<()> {
    if statement.service == 0 {
        return Ok(());
    }
    let Some(service) = service(statement.service) else { return Ok(()) };
    let Some(session) = &mut service.session else { return Ok(()) };
    session.before_fetch(&statement.sql.original).inspect_err(|error| note_loss(service, error))
}

unsafe fn fetch(statement: &Statement, count: usize) -> Outcome<()> {
    for pointer in statement.defines.iter().map(|define| *define as Ptr) {
        let Content::Define(define) = &handle(pointer).content else { continue };
        for row in 0..count {
            let value = &statement.answer.rows[statement.at + row][define.place - 1];
            if let Some(callback) = define.callback {
                buffer::write_pieces(callback, pointer, row, value)?;
                continue;
            }
            let own = define.buffer;
            let null = matches!(value, Value::Null);
            *own.indicator.add(row) = if null { -1 } else { 0 };
            if null {
                continue;
            }
            let mut target = (own.value + row * own.size) as Ptr;
            if buffer::is_descriptor(own.kind) {
                target = *target.cast::<Ptr>();
            }
            let (written, cut) = buffer::write(value, own.kind, target, own.size);
            if !own.length.is_null() {
                *own.length.add(row) = u32::try_from(written).unwrap_or(0);
            }
            if !own.code.is_null() {
                *own.code.add(row) = cut;
            }
        }
    }
    Ok(())
}

exported! {
    fn OCIStmtPrepare2(_service: Ptr, out: *mut Ptr, _errors: Ptr, query: *const c_char, length: u32, _key: *const c_char, _key_length: u32, _language: u32, _mode: u32) {
        let sql = sql::translate(&text(query, length as usize));
        *out = boxed(handle_type::STMT, Content::Statement(Statement { sql, ..Statement::default() }));
        SUCCESS
    }

    fn OCIStmtRelease(statement: Ptr, _errors: Ptr, _key: *const c_char, _length: u32, _mode: u32) {
        release(statement);
        SUCCESS
    }

    /// ODPI-C asks in chunks; a negative total says that there is more.
    fn OCIStmtGetBindInfo(statement: Ptr, _errors: Ptr, size: u32, start: u32, found: *mut i32, names: *mut *const u8, lengths: *mut u8, indicators: *mut *const u8, indicator_lengths: *mut u8, repeated: *mut u8, handles: *mut Ptr) {
        let binds = &content!(statement, Statement).sql.binds;
        if binds.is_empty() {
            *found = 0;
            return NO_DATA;
        }
        let first = (start as usize).saturating_sub(1);
        for (place, mention) in (first..binds.len()).take(size as usize).enumerate() {
            let name = &binds[mention];
            *names.add(place) = name.as_ptr();
            *lengths.add(place) = u8::try_from(name.len()).unwrap_or(u8::MAX);
            *indicators.add(place) = name.as_ptr();
            *indicator_lengths.add(place) = 0;
            *repeated.add(place) = u8::from(binds[..mention].contains(name));
            *handles.add(place) = null_mut();
        }
        let total = i32::try_from(binds.len()).unwrap_or(i32::MAX);
        *found = if first + size as usize >= binds.len() { total } else { -total };
        SUCCESS
    }

    fn OCIBindByName2(statement: Ptr, out: *mut Ptr, errors: Ptr, name: *const c_char, name_length: i32, value: Ptr, size: i64, kind: u16, indicator: *mut i16, length: *mut u32, code: *mut u16, _most: u32, _current: *mut u32, _mode: u32) {
        let name = text(name, usize::try_from(name_length).unwrap_or(0)).trim_start_matches(':').to_uppercase();
        let own = Buffer { value: value as usize, size: usize::try_from(size).unwrap_or(0), kind, indicator, length, code };
        add_bind(statement, out, errors, 0, name, own)
    }

    fn OCIBindByPos2(statement: Ptr, out: *mut Ptr, errors: Ptr, place: u32, value: Ptr, size: i64, kind: u16, indicator: *mut i16, length: *mut u32, code: *mut u16, _most: u32, _current: *mut u32, _mode: u32) {
        let own = Buffer { value: value as usize, size: usize::try_from(size).unwrap_or(0), kind, indicator, length, code };
        add_bind(statement, out, errors, place as usize, String::new(), own)
    }

    fn OCIBindDynamic(bind: Ptr, _errors: Ptr, in_context: Ptr, in_callback: Ptr, out_context: Ptr, out_callback: Ptr) {
        let own = content!(bind, Bind);
        own.input = Some((in_context as usize, in_callback as usize));
        own.output = Some((out_context as usize, out_callback as usize));
        SUCCESS
    }

    fn OCIDefineByPos2(statement: Ptr, out: *mut Ptr, _errors: Ptr, place: u32, value: Ptr, size: u64, kind: u16, indicator: *mut i16, length: *mut u32, code: *mut u16, _mode: u32) {
        let own = content!(statement, Statement);
        let place = place as usize;
        own.defines.retain(|known| {
            let same = matches!(&handle(*known as Ptr).content, Content::Define(define) if define.place == place);
            if same {
                release(*known as Ptr);
            }
            !same
        });
        let size = usize::try_from(size).unwrap_or(0);
        let buffer = Buffer { value: value as usize, size, kind, indicator, length, code };
        *out = boxed(handle_type::DEFINE, Content::Define(Define { place, buffer, callback: None }));
        own.defines.push(*out as usize);
        SUCCESS
    }

    fn OCIDefineDynamic(define: Ptr, _errors: Ptr, context: Ptr, callback: Ptr) {
        content!(define, Define).callback = Some((context as usize, callback as usize));
        SUCCESS
    }

    /// A column of a statement; or one error of a batch, which hangs off the error handle of the execution and is
    /// copied into the handle that is passed in.
    fn OCIParamGet(pointer: Ptr, _kind: u32, errors: Ptr, out: *mut Ptr, place: u32) {
        let none = OracleError::new(24334, "no descriptor for this position");
        match &handle(pointer).content {
            Content::Statement(statement) => match statement.columns.get((place as usize).wrapping_sub(1)) {
                Some(column) => {
                    *out = boxed(handle_type::PARAM, Content::Column(column));
                    SUCCESS
                }
                None => fail(errors, &none),
            },
            Content::Error(own) => match own.batch.get(place as usize).cloned() {
                Some((row, error)) => {
                    fail(*out, &error);
                    content!(*out, Error).row = row;
                    SUCCESS
                }
                None => fail(errors, &none),
            },
            _ => INVALID_HANDLE,
        }
    }

    fn OCIStmtExecute(service: Ptr, statement: Ptr, errors: Ptr, rows: u32, _offset: u32, _in: Ptr, _out: Ptr, mode: u32) {
        content!(statement, Statement).service = service as usize;
        let (service, own) = (content!(service, Service), content!(statement, Statement));
        own.failed.clear();
        own.row_counts.clear();
        (own.at, own.touched) = (0, 0);
        let rows = if own.sql.kind == Kind::Select { 1 } else { rows.max(1) as usize };
        if let Err(error) = run(service, own, rows, mode) {
            note_loss(service, &error);
            return fail(errors, &error);
        }
        if own.failed.is_empty() {
            return SUCCESS;
        }
        fail(errors, &OracleError::new(24381, "error(s) in array DML"));
        content!(errors, Error).batch.clone_from(&own.failed);
        SUCCESS_WITH_INFO
    }

    /// Results that a procedure returns by itself: there are none here.
    fn OCIStmtGetNextResult(_statement: Ptr, _errors: Ptr, _result: *mut Ptr, _kind: *mut u32, _mode: u32) {
        NO_DATA
    }

    fn OCIStmtFetch2(statement: Ptr, errors: Ptr, rows: u32, _orientation: u16, _offset: i32, _mode: u32) {
        let own = content!(statement, Statement);
        if let Err(error) = before_fetch(own) {
            return fail(errors, &error);
        }
        let count = (rows as usize).min(own.answer.rows.len() - own.at);
        if let Err(error) = fetch(own, count) {
            return fail(errors, &error);
        }
        own.at += count;
        own.fetched = u32::try_from(count).unwrap_or(0);
        if count < rows as usize {
            fail(errors, &OracleError::plain(1403));
            return NO_DATA;
        }
        SUCCESS
    }
}
