//! The writing half of execution: records → JSON text, in the order of the query.
//!
//! Written once, straight into the buffer that is sent. Null bubbles by cutting the buffer back to
//! where the nearest nullable value began; the first error on the way is the one that is told.
//! An answer that grows beyond what it may hold ends there, and is told as one error.

use std::sync::Arc;

use model::{EntityType, Record, Value};

use super::answer::{GraphqlError, Step};
use super::fetch::{Answers, Level, Slot};
use super::leaf::Unrepresentable;
use super::meter::{Meter, TooMuch};
use super::plan::{Call, Field, OperationKind, Selection, Source};
use super::prepare::Prepared;
use super::visit::Visit;

/// The value is null where it cannot be: the parent must become null.
#[derive(Debug)]
pub(crate) struct Bubble;

/// Values that cannot be shown and that the log tells of with their keys, of one answer.
const MOST_TOLD: usize = 3;
/// After so many bytes more of an answer they are counted.
const COUNTED: usize = 64 * 1024;

/// Writes one answer.
pub(crate) struct Completion<'a> {
    prepared: &'a Prepared,
    request_id: &'a Arc<str>,
    meter: &'a Meter,
    path: Vec<Step>,
    out: Vec<u8>,
    counted: usize,
    too_much: Option<TooMuch>,
    errors: Vec<GraphqlError>,
    told: usize,
}

impl<'a> Completion<'a> {
    /// Nothing written yet.
    pub(crate) fn new(prepared: &'a Prepared, visit: &'a Visit) -> Self {
        let (request_id, meter) = (&visit.request_id, &*visit.meter);
        let (path, out, errors) = (Vec::new(), Vec::with_capacity(512), Vec::new());
        Self { prepared, request_id, meter, path, out, counted: 0, too_much: None, errors, told: 0 }
    }

    /// What was written, and what went wrong.
    ///
    /// # Errors
    /// The only thing that is told of an answer that grew too large.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, Vec<GraphqlError>), GraphqlError> {
        match self.too_much {
            None => Ok((self.out, self.errors)),
            Some(too_much) => {
                let mut error = GraphqlError::from(too_much.error());
                if self.prepared.plan.operation == OperationKind::Mutation {
                    error.message += "; what was asked for is done";
                }
                Err(error)
            }
        }
    }

    /// Begins the object at the root.
    pub(crate) fn open(&mut self) {
        self.out.push(b'{');
    }

    /// Ends the object at the root.
    pub(crate) fn close(&mut self) {
        self.end(b'}');
    }

    /// Writes one field at the root. `answers` is there when the field is a call.
    pub(crate) fn root(&mut self, field: &'a Field, answers: Option<&Answers>) -> Result<(), Bubble> {
        self.field(field, |this| match (&field.source, answers) {
            (Source::Call(call), Some(answers)) => this.slot(field, call, answers, 0),
            (Source::TypeName(name), _) => {
                this.out.extend_from_slice(name);
                Ok(())
            }
            (Source::Call(_) | Source::Stored(..) | Source::Introspection, _) => this.unplanned(field),
        })
    }

    /// Writes a field of the schema that was executed elsewhere.
    pub(crate) fn introspected(&mut self, field: &'a Field, json: &[u8]) {
        self.out.extend_from_slice(&field.label);
        self.out.extend_from_slice(json);
        self.out.push(b',');
    }

    /// Adds errors that arose elsewhere.
    pub(crate) fn add_errors(&mut self, errors: impl IntoIterator<Item = GraphqlError>) {
        self.errors.extend(errors);
    }

    /// Writes label, value and comma; a null that the field allows stops here.
    fn field(&mut self, field: &'a Field, value: impl FnOnce(&mut Self) -> Result<(), Bubble>) -> Result<(), Bubble> {
        self.count()?;
        self.out.extend_from_slice(&field.label);
        self.path.push(Step::Key(Arc::clone(&field.name)));
        let written = self.nullable(field.nullable, value);
        self.path.pop();
        self.out.push(b',');
        written
    }

    fn nullable(&mut self, nullable: bool, value: impl FnOnce(&mut Self) -> Result<(), Bubble>) -> Result<(), Bubble> {
        let start = self.out.len();
        match value(self) {
            Err(Bubble) if nullable => {
                self.out.truncate(start);
                self.null();
                Ok(())
            }
            written => written,
        }
    }

    fn object(&mut self, call: &'a Call, level: &Level, place: usize) -> Result<(), Bubble> {
        let selection: &'a Selection = &call.selection;
        let Some(record) = level.records.get(place) else {
            return Err(Bubble);
        };
        self.out.push(b'{');
        let prepared = self.prepared;
        for (number, field) in selection.included(&prepared.variables) {
            self.field(field, |this| match &field.source {
                Source::TypeName(name) => {
                    this.out.extend_from_slice(name);
                    Ok(())
                }
                Source::Stored(..) => this.stored(field, &call.root.entity, record),
                Source::Call(call) => match level.links.get(number) {
                    Some(Some(answers)) => this.slot(field, call, answers, place),
                    _ => this.unplanned(field),
                },
                Source::Introspection => this.unplanned(field),
            })?;
        }
        self.end(b'}');
        Ok(())
    }

    /// Counts what was written since the last time; twice, since it is copied once on its way out.
    fn count(&mut self) -> Result<(), Bubble> {
        let more = self.out.len().saturating_sub(self.counted);
        if self.too_much.is_none() && more >= COUNTED {
            self.counted = self.out.len();
            self.too_much = self.meter.add(2 * more as u64).err();
        }
        if self.too_much.is_some() { Err(Bubble) } else { Ok(()) }
    }

    fn stored(&mut self, field: &'a Field, entity: &EntityType, record: &Record) -> Result<(), Bubble> {
        let Source::Stored(index, leaf) = &field.source else {
            return self.unplanned(field);
        };
        match record.get(*index) {
            None if record.unreadable().contains(*index) => Err(self.unrepresentable(field, entity, record)),
            // The write stands; another contract made it, and what it says there cannot be read by this one.
            None => {
                let message = format!("{} was written under another contract", field.coordinate);
                Err(self.fail(field, GraphqlError::new("UNREPRESENTABLE_VALUE", message)))
            }
            Some(Value::Null) => self.null_or_error(field),
            Some(value) => {
                let written = leaf.write(value, &mut self.out);
                written.map_err(|Unrepresentable| self.unrepresentable(field, entity, record))
            }
        }
    }

    /// What is stored is no value of the field's type. The log has the record's key, and the value nobody.
    fn unrepresentable(&mut self, field: &'a Field, entity: &EntityType, record: &Record) -> Bubble {
        let (place, request) = (&field.coordinate, self.request_id);
        self.told += 1;
        if self.told <= MOST_TOLD {
            let key = record.key(entity);
            let key = key.as_ref().map_or("", |key| key.as_text());
            tracing::error!(field = %place, entity = %entity.name, key, request.id = %request,
                "{place} of {} {key} holds something that is no value of its type, request {request}", entity.name);
        }
        let message = format!("{place} holds a value that its type cannot");
        self.fail(field, GraphqlError::new("UNREPRESENTABLE_VALUE", message))
    }

    fn slot(&mut self, field: &'a Field, call: &'a Call, answers: &Answers, parent: usize) -> Result<(), Bubble> {
        match answers.slots.get(parent) {
            None => self.unplanned(field),
            Some(Slot::Null) => self.null_or_error(field),
            Some(Slot::Done) => {
                self.out.extend_from_slice(b"true");
                Ok(())
            }
            Some(Slot::One(place)) => self.object(call, &answers.level, *place),
            Some(Slot::Many(places)) => self.list(field, call, &answers.level, places),
            Some(Slot::Failed(fault)) => Err(self.fail(field, GraphqlError::of_fault(fault, self.request_id))),
        }
    }

    fn list(
        &mut self,
        field: &'a Field,
        call: &'a Call,
        level: &Level,
        places: &[Option<usize>],
    ) -> Result<(), Bubble> {
        self.out.push(b'[');
        for (index, place) in places.iter().enumerate() {
            self.path.push(Step::Index(index));
            let written = self.nullable(call.item_nullable, |this| match place {
                Some(place) => this.object(call, level, *place),
                None if call.item_nullable => Err(Bubble),
                None => Err(this.null_in_non_null(field)),
            });
            self.path.pop();
            written?;
            self.out.push(b',');
        }
        self.end(b']');
        Ok(())
    }

    fn null_or_error(&mut self, field: &'a Field) -> Result<(), Bubble> {
        if field.nullable {
            self.null();
            return Ok(());
        }
        Err(self.null_in_non_null(field))
    }

    fn null_in_non_null(&mut self, field: &'a Field) -> Bubble {
        let message = format!("{} is null and cannot be", field.coordinate);
        self.fail(field, GraphqlError::new("NULL_VALUE", message))
    }

    /// A road or the plan broke its promise. Told as an error of ours, never a panic.
    fn unplanned(&mut self, field: &'a Field) -> Result<(), Bubble> {
        let (place, request) = (&field.coordinate, self.request_id);
        tracing::error!(field = %place, request.id = %request, "{place} was not fetched, request {request}");
        let mut error = GraphqlError::new("INTERNAL", "internal error");
        error.extensions.request_id = Some(Arc::clone(request));
        Err(self.fail(field, error))
    }

    fn fail(&mut self, field: &'a Field, error: GraphqlError) -> Bubble {
        self.errors.push(error.at(field.location).on(self.path.clone()));
        Bubble
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    /// Every item is followed by a comma; the last one makes room for the bracket.
    fn end(&mut self, bracket: u8) {
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
        self.out.push(bracket);
    }
}
