//! LOB locators. A locator holds the whole value: what is read from a row is a copy, and what is written to a locator
//! gets into the database only when the locator is bound.

use super::handle::{Content, Lob, content, handle};
use super::{INVALID_HANDLE, Ptr, SUCCESS, exported};

/// What Oracle writes at once; any number will do.
const CHUNK: u32 = 8_132;

/// `OCI_TEMP_CLOB`
const CLOB: u8 = 2;

impl Lob {
    /// Letters of a CLOB, bytes of a BLOB.
    fn length(&self) -> usize {
        if self.is_text { self.text().chars().count() } else { self.bytes.len() }
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// The byte at which a letter (of a CLOB) or byte begins; the end where there are fewer.
    fn byte_of(&self, place: usize) -> usize {
        if !self.is_text {
            return place.min(self.bytes.len());
        }
        self.text().char_indices().nth(place).map_or(self.bytes.len(), |(byte, _)| byte)
    }
}

/// An offset counts from 1.
fn start(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX).saturating_sub(1)
}

exported! {
    fn OCILobCreateTemporary(_service: Ptr, _errors: Ptr, locator: Ptr, _charset: u16, _form: u8, kind: u8, _cache: i32, _duration: u16) {
        *content!(locator, Lob) = Lob { is_set: true, is_text: kind == CLOB, is_temporary: true, ..Lob::default() };
        SUCCESS
    }

    fn OCILobFreeTemporary(_service: Ptr, _errors: Ptr, locator: Ptr) {
        *content!(locator, Lob) = Lob::default();
        SUCCESS
    }

    fn OCILobIsTemporary(_env: Ptr, _errors: Ptr, locator: Ptr, answer: *mut i32) {
        *answer = i32::from(content!(locator, Lob).is_temporary);
        SUCCESS
    }

    fn OCILobGetLength2(_service: Ptr, _errors: Ptr, locator: Ptr, length: *mut u64) {
        *length = content!(locator, Lob).length() as u64;
        SUCCESS
    }

    fn OCILobGetChunkSize(_service: Ptr, _errors: Ptr, _locator: Ptr, size: *mut u32) {
        *size = CHUNK;
        SUCCESS
    }

    fn OCILobRead2(_service: Ptr, _errors: Ptr, locator: Ptr, bytes: *mut u64, letters: *mut u64, offset: u64, buffer: Ptr, room: u64, _piece: u8, _context: Ptr, _callback: Ptr, _charset: u16, _form: u8) {
        let own = content!(locator, Lob);
        if !own.is_set {
            return INVALID_HANDLE;
        }
        let asked = usize::try_from(if own.is_text { *letters } else { *bytes }).unwrap_or(usize::MAX);
        let first = own.byte_of(start(offset));
        let mut last = own.byte_of(start(offset).saturating_add(asked));
        // A letter is not cut in two.
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        while last - first > room || (own.is_text && std::str::from_utf8(&own.bytes[first..last]).is_err()) {
            last -= 1;
        }
        let part = &own.bytes[first..last];
        std::ptr::copy_nonoverlapping(part.as_ptr(), buffer.cast::<u8>(), part.len());
        *bytes = part.len() as u64;
        *letters = if own.is_text { String::from_utf8_lossy(part).chars().count() as u64 } else { part.len() as u64 };
        SUCCESS
    }

    fn OCILobWrite2(_service: Ptr, _errors: Ptr, locator: Ptr, bytes: *mut u64, letters: *mut u64, offset: u64, buffer: Ptr, length: u64, _piece: u8, _context: Ptr, _callback: Ptr, _charset: u16, _form: u8) {
        let own = content!(locator, Lob);
        if !own.is_set {
            return INVALID_HANDLE;
        }
        let count = usize::try_from(if *bytes > 0 { (*bytes).min(length) } else { length }).unwrap_or(0);
        let new = std::slice::from_raw_parts(buffer.cast::<u8>(), count);
        let first = own.byte_of(start(offset));
        let covered = if own.is_text { String::from_utf8_lossy(new).chars().count() } else { new.len() };
        let last = own.byte_of(start(offset).saturating_add(covered));
        own.bytes.splice(first..last, new.iter().copied());
        (*bytes, *letters) = (count as u64, covered as u64);
        SUCCESS
    }

    /// ODPI-C makes a temporary value for a locator that has none when it hears so from here.
    fn OCILobTrim2(_service: Ptr, _errors: Ptr, locator: Ptr, length: u64) {
        let own = content!(locator, Lob);
        if !own.is_set {
            return INVALID_HANDLE;
        }
        let end = own.byte_of(usize::try_from(length).unwrap_or(usize::MAX));
        own.bytes.truncate(end);
        SUCCESS
    }

    fn OCILobLocatorAssign(_service: Ptr, _errors: Ptr, source: Ptr, target: *mut Ptr) {
        let copy = content!(source, Lob).clone();
        match &mut handle(*target).content {
            Content::Lob(own) => *own = copy,
            _ => return INVALID_HANDLE,
        }
        SUCCESS
    }

    fn OCILobOpen(_service: Ptr, _errors: Ptr, locator: Ptr, _mode: u8) {
        content!(locator, Lob).is_open = true;
        SUCCESS
    }

    fn OCILobClose(_service: Ptr, _errors: Ptr, locator: Ptr) {
        content!(locator, Lob).is_open = false;
        SUCCESS
    }

    fn OCILobIsOpen(_service: Ptr, _errors: Ptr, locator: Ptr, answer: *mut i32) {
        *answer = i32::from(content!(locator, Lob).is_open);
        SUCCESS
    }
}
