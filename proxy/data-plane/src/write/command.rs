//! From a mutation's arguments to a command for the primary. Pure.

use std::collections::HashSet;

use model::contract::{Root, RootKind, Touch, WriteAction, WriteWork};
use model::own_key::{is_forbidden, number_named, number_of_derived};
use model::{
    Change, Command, EntityKey, EntityType, Fingerprint, IdempotencyKey, Instant, OwnNumber, Policy, Record, Side,
    Value, Work, WriteId, fit,
};
use serde_json::Value as Json;

use request::arguments::{Arguments, Origin};
use request::error::ClientError;

/// What a command is made of besides the mutation itself.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// Names this attempt.
    pub write: WriteId,
    /// The policy under which it writes.
    pub policy: Policy,
    /// The ERP's numbers of touched entities, one slot per touch; for statements of legacy only.
    pub numbers: &'a [Option<OwnNumber>],
    /// The time for stamped fields.
    pub now: Instant,
    /// The client's key, as sent, and the root field's response name.
    pub idempotency: Option<(&'a str, &'a str)>,
    /// What that key is bound to besides route and arguments.
    pub bound_to: Option<&'a str>,
}

/// The write that `root` declares; `None` when it is a read.
pub fn action(root: &Root) -> Option<&WriteAction> {
    match &root.kind {
        RootKind::Write(action) => Some(action),
        RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => None,
    }
}

/// Puts the command for one attempt together.
///
/// # Errors
/// `BAD_USER_INPUT` or a refusal of [`fit`] when an argument does not fit; nothing was sent anywhere.
pub fn build(
    root: &Root,
    action: &WriteAction,
    arguments: &Arguments,
    attempt: &Attempt<'_>,
) -> Result<Command, ClientError> {
    build_for(attempt.policy.primary(), root, action, arguments, attempt)
}

/// The same in the secondary's own terms, for a rehearsal.
///
/// # Errors
/// As [`build`].
pub fn build_rehearsal(
    root: &Root,
    action: &WriteAction,
    arguments: &Arguments,
    attempt: &Attempt<'_>,
) -> Result<Command, ClientError> {
    build_for(attempt.policy.primary().other(), root, action, arguments, attempt)
}

fn build_for(
    side: Side,
    root: &Root,
    action: &WriteAction,
    arguments: &Arguments,
    attempt: &Attempt<'_>,
) -> Result<Command, ClientError> {
    let mut touches = arguments.touched(action, attempt.write)?;
    let set_key = touches[0].clone();
    let of_the_erp = |(touch, key): (&Touch, &EntityKey)| names_a_number(&touch.entity, key).then(|| key.clone());
    let must_exist = action.touches.iter().zip(&touches).filter_map(of_the_erp).collect();
    for (touch, key) in action.touches.iter().zip(&touches) {
        if touch.entity.number_field().is_some() && is_forbidden(key) {
            let rule = "digits alone are a number of 1 to 999999999999999 without leading zeros, and a key has no blanks around it";
            return Err(ClientError::bad_input(format!("a key of {} is none: {rule}", touch.entity.name)));
        }
        for side in must_fit(&attempt.policy) {
            fit::key_fits(&touch.entity, *side, key)?;
        }
    }
    // A transfer from a place to itself names one row twice; the contract's SQL decides about that.
    let mut known = HashSet::new();
    touches.retain(|key| known.insert(key.clone()));
    let work = match &action.work {
        WriteWork::Statements { sql, params } => Work::Run {
            statements: sql.get(side).clone(),
            params: arguments.params(params, Origin { numbers: attempt.numbers, ..origin(attempt.write) })?,
        },
        WriteWork::Set { fields } => {
            let given = arguments.record(&root.entity, fields, origin(attempt.write))?;
            Work::Set(complete(root, &set_key, given, attempt.now))
        }
        WriteWork::Delete => Work::Delete,
        WriteWork::Saga(_) => return Err(ClientError::new("INTERNAL", "a saga is no single write")),
    };
    let print = fingerprint(root, arguments);
    let print = attempt.bound_to.map_or(print.clone(), |bound| Fingerprint(format!("{bound} {print}")));
    let idempotency = attempt.idempotency.map(|sent| Ok::<_, ClientError>((key(sent)?, print)));
    Ok(Command {
        write: attempt.write,
        group: root.group.clone(),
        epoch: attempt.policy.epoch(),
        work,
        touches,
        must_fit: must_fit(&attempt.policy),
        must_exist,
        idempotency: idempotency.transpose()?,
    })
}

/// Uses up the key of a mutation, under the fingerprint `closed`, and changes nothing: states anew how what the mutation
/// touches stands. Unlike the mutation itself it need fit the primary only: what was sent when more fitted can be closed
/// all the same.
///
/// # Errors
/// `BAD_USER_INPUT`: the keys of what it touches are not all there, and the mutation can be sent by nobody.
pub fn closing(
    root: &Root,
    action: &WriteAction,
    arguments: &Arguments,
    attempt: &Attempt<'_>,
    closed: Fingerprint,
) -> Result<Command, ClientError> {
    let mut touches = arguments.touched(action, attempt.write)?;
    let mut known = HashSet::new();
    touches.retain(|key| known.insert(key.clone()));
    Ok(Command {
        write: attempt.write,
        group: root.group.clone(),
        epoch: attempt.policy.epoch(),
        work: Work::Touch,
        touches,
        must_fit: &[],
        must_exist: Vec::new(),
        idempotency: attempt.idempotency.map(|sent| Ok::<_, ClientError>((key(sent)?, closed))).transpose()?,
    })
}

/// What the client sent, scoped to the root field's response name.
fn key((sent, response_name): (&str, &str)) -> Result<IdempotencyKey, ClientError> {
    IdempotencyKey::new(sent, response_name).map_err(|error| ClientError::new("BAD_IDEMPOTENCY_KEY", error.to_string()))
}

/// The states that a write left behind, one per touched entity; `None`: it does not exist.
///
/// # Errors
/// As [`Arguments::touched`]; cannot happen for arguments that [`build`] has taken.
pub fn states(
    action: &WriteAction,
    arguments: &Arguments,
    changes: &[Change],
) -> Result<Vec<Option<Record>>, ClientError> {
    // A repeated request is answered with the first attempt's changes, under the first one's id.
    let Some(first) = changes.first() else {
        return Ok(vec![None; action.touches.len()]);
    };
    let keys = arguments.touched(action, first.write)?;
    let state = |key: &EntityKey| changes.iter().find(|change| change.key == *key).and_then(|c| c.state.clone());
    Ok(keys.iter().map(state).collect())
}

fn origin<'a>(write: WriteId) -> Origin<'a> {
    Origin { write: Some(write), ..Origin::default() }
}

/// The given fields with the key's parts and the stamped fields filled in.
fn complete(root: &Root, key: &EntityKey, mut record: Record, now: Instant) -> Record {
    for (index, part) in root.entity.key().iter().zip(key.parts()) {
        record.set(*index, part.clone());
    }
    for (place, field) in root.entity.fields.iter().enumerate() {
        if field.stamped {
            record.set(model::FieldIndex::new(place), Value::Instant(fit::stamp(field, now)));
        }
    }
    record
}

/// The same for the same route and arguments, in whatever order they were written.
pub fn fingerprint(root: &Root, arguments: &Arguments) -> Fingerprint {
    let mut hasher = blake3::Hasher::new();
    hasher.update(root.route.as_str().as_bytes());
    digest(&mut hasher, &Json::Object(arguments.as_json().clone()));
    Fingerprint(hasher.finalize().to_hex()[..32].to_owned())
}

fn digest(hasher: &mut blake3::Hasher, json: &Json) {
    match json {
        Json::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            hasher.update(b"{");
            for (name, value) in names {
                hasher.update(Json::from(name.as_str()).to_string().as_bytes());
                digest(hasher, value);
            }
            hasher.update(b"}");
        }
        Json::Array(items) => {
            hasher.update(b"[");
            items.iter().for_each(|item| digest(hasher, item));
            hasher.update(b"]");
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
            hasher.update(json.to_string().as_bytes());
            hasher.update(b",");
        }
    }
}

/// Whether the key stands for a number, and so for a row that nobody but the ERP makes. Could clients make such rows,
/// they would take numbers that the ERP's sequence has not given yet.
fn names_a_number(entity: &EntityType, key: &EntityKey) -> bool {
    entity.number_field().is_some() && (number_of_derived(key).is_some() || number_named(key).is_some())
}

/// Whose columns a write must fit. While both sides are written: both, or it would stand on one only.
fn must_fit(policy: &Policy) -> &'static [Side] {
    match (policy.stage().dual_writes(), policy.primary()) {
        (true, _) => &Side::BOTH,
        (false, Side::Legacy) => &[Side::Legacy],
        (false, Side::Modern) => &[Side::Modern],
    }
}
