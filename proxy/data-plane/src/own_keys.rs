//! Entities that go by two names: the canonical key and the ERP's number. See `model::own_key`.
//!
//! Where clients and operators name an entity, the number will do; it is replaced by the canonical key here, at the
//! edge, so that everything behind knows one key only. Legacy knows every number. Modern knows those of its rows and
//! is asked first where it would answer the read, so that legacy is spared and may be down.
//!
//! Promise: a number that could not be looked up is an error, never "no such entity".
//! Not here: how keys are given numbers (each store), bringing numbers to modern (`write::apply`).

use std::sync::Arc;
use std::time::Duration;

use model::contract::{Param, ParamSource, WriteAction, WriteWork};
use model::own_key::{number_named, trouble};
use model::{
    Bucket, Contract, EntityKey, EntityType, OwnNumber, PerSide, Policy, Side, Stage, Store, StoreError, Unnumbered,
    Value, WriteId,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::breaker::Breaker;
use request::arguments::Arguments;
use request::error::Fault;

/// A side that may be asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its store.
    pub store: &'a Arc<dyn Store>,
    /// Its breaker.
    pub breaker: &'a Breaker,
}

impl Asked<'_> {
    async fn keys_of(
        self,
        entity: &EntityType,
        numbers: &[OwnNumber],
        waits: bool,
        deadline: Instant,
    ) -> Result<Vec<Option<EntityKey>>, StoreError> {
        match waits {
            true => self.admitted_by(deadline).await?,
            false => self.told(self.breaker.admits(Instant::now()))?,
        }
        let found = self.store.keys_of(entity, numbers, left(deadline)).await;
        self.breaker.note(self.store.side(), found.as_ref().err());
        found
    }

    /// The number of `key`; with `spare`, one is given to it where it has none.
    async fn number(
        self,
        spare: Option<&Spare>,
        entity: &EntityType,
        key: &EntityKey,
        deadline: Instant,
    ) -> Result<Option<OwnNumber>, StoreError> {
        let keys = std::slice::from_ref(key);
        let ask = |unnumbered| self.store.numbers(entity, keys, unnumbered, left(deadline));
        let Some(spare) = spare else { return Ok(ask(Unnumbered::Leave).await?.into_iter().next().flatten()) };
        if let Some(old) = spare.take(entity)
            && let Some(number) = self.store.pass_on(entity, &old, key, left(deadline)).await?
        {
            return Ok(Some(number));
        }
        Ok(ask(Unnumbered::Number).await?.into_iter().next().flatten())
    }

    async fn admitted_by(self, deadline: Instant) -> Result<(), StoreError> {
        self.told(self.breaker.admits_by(deadline).await)
    }

    fn told(self, admitted: bool) -> Result<(), StoreError> {
        if admitted {
            return Ok(());
        }
        let source = "its breaker is open after repeated outages".into();
        Err(StoreError::Unreachable { side: self.store.side(), source })
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// `keys` with the canonical key in place of each number. A number that nobody knows stays, and names no entity.
///
/// # Errors
/// As `OwnKeys::keys_of`, of the side that had to answer.
pub async fn canonical(
    sides: PerSide<Asked<'_>>,
    entity: &EntityType,
    policy: &Policy,
    mut keys: Vec<EntityKey>,
    deadline: Instant,
) -> Result<Vec<EntityKey>, StoreError> {
    if entity.number_field().is_none() {
        return Ok(keys);
    }
    let named = keys.iter().enumerate().filter_map(|(place, key)| Some((place, number_named(key)?)));
    let mut open: Vec<(usize, OwnNumber)> = named.collect();
    for side in [Side::Modern, Side::Legacy] {
        let asks = |(place, _): &(usize, OwnNumber)| match side {
            Side::Modern => {
                policy.primary() == Side::Modern
                    || policy.reads().covers(Bucket::of(&entity.group, keys[*place].as_text()))
            }
            // Past the point of no return there is no ERP.
            Side::Legacy => policy.stage() != Stage::Modern,
        };
        let (asked, others): (Vec<_>, Vec<_>) = open.into_iter().partition(asks);
        open = others;
        if asked.is_empty() {
            continue;
        }
        let numbers: Vec<_> = asked.iter().map(|(_, number)| *number).collect();
        // Legacy can stand in for modern while there is an ERP.
        let stands_in = side == Side::Modern && policy.stage() != Stage::Modern;
        let found = match sides.get(side).keys_of(entity, &numbers, !stands_in, deadline).await {
            Ok(found) => found,
            Err(error) if stands_in => {
                tracing::debug!(%side, %error, "legacy is asked for numbers in place of {side}");
                vec![None; asked.len()]
            }
            Err(error) => return Err(error),
        };
        for ((place, number), key) in asked.into_iter().zip(found) {
            match key {
                Some(key) => keys[place] = key,
                None => open.push((place, number)),
            }
        }
    }
    Ok(keys)
}

/// Whether `action` may change entities that go by two names.
pub fn concerns(action: &WriteAction) -> bool {
    action.touches.iter().any(|touch| touch.entity.number_field().is_some())
}

/// The arguments of a mutation with canonical keys in place of numbers.
///
/// # Errors
/// As [`canonical`].
pub async fn arguments(
    sides: PerSide<Asked<'_>>,
    action: &WriteAction,
    arguments: &Arguments,
    policy: &Policy,
    deadline: Instant,
) -> Result<Arguments, Fault> {
    let mut arguments = arguments.clone();
    for touch in action.touches.iter().filter(|touch| touch.entity.number_field().is_some()) {
        let [ParamSource::Argument(path)] = touch.key.as_slice() else { continue };
        let Some(key) = arguments.key(&touch.entity, &touch.key, request::arguments::Origin::default())? else {
            continue;
        };
        let key = canonical(sides, &touch.entity, policy, vec![key], deadline).await?.remove(0);
        if let [Value::Text(text)] = key.parts() {
            arguments.replace(path, text);
        }
    }
    Ok(arguments)
}

/// Keys whose writes are known to have been refused, and which have a number of the ERP all the same: the next writes get
/// theirs. So refusals use up no numbers, and leave no entries but as many as were under way at once.
#[derive(Debug, Default)]
pub struct Spare(Mutex<Vec<EntityKey>>);

impl Spare {
    /// The write that was to be made under these keys stands nowhere, and never will.
    pub fn give_back(&self, keys: Vec<EntityKey>) {
        self.0.lock().extend(keys);
    }

    fn take(&self, entity: &EntityType) -> Option<EntityKey> {
        let mut spare = self.0.lock();
        let place = spare.iter().rposition(|key| *key.entity() == entity.name)?;
        Some(spare.swap_remove(place))
    }
}

/// Numbers for one attempt of a write.
#[derive(Debug, Default)]
pub struct Numbered {
    /// One slot per touch.
    pub numbers: Vec<Option<OwnNumber>>,
    /// The keys that this attempt has made, and that have a number: spare, once it is known to be refused.
    pub added: Vec<EntityKey>,
}

/// Whether statements of `action` are told numbers.
pub fn are_told(action: &WriteAction) -> bool {
    let number = |param: &Param| matches!(param.source, ParamSource::Number { .. });
    matches!(&action.work, WriteWork::Statements { params, .. } if params.iter().any(number))
}

/// The numbers of the touched entities for statements of legacy: of an entity that the write adds a spare one, or the
/// sequence's next.
///
/// # Errors
/// As `OwnKeys::numbers`; nothing was written but entries of the ID map.
pub async fn numbers(
    primary: Asked<'_>,
    spare: &Spare,
    action: &WriteAction,
    arguments: &Arguments,
    write: WriteId,
    deadline: Instant,
) -> Result<Numbered, Fault> {
    let mut numbered = Numbered { numbers: vec![None; action.touches.len()], added: Vec::new() };
    let WriteWork::Statements { params, .. } = &action.work else { return Ok(numbered) };
    for param in params {
        let ParamSource::Number { touch: place } = param.source else { continue };
        let touch = &action.touches[place];
        if touch.entity.own_key(primary.store.side()).is_none() {
            continue;
        }
        let added = touch.key.iter().any(|source| matches!(source, ParamSource::WriteId { .. }));
        let key = arguments.touched(action, write)?.swap_remove(place);
        primary.admitted_by(deadline).await?;
        let given = primary.number(added.then_some(spare), &touch.entity, &key, deadline).await;
        primary.breaker.note(primary.store.side(), given.as_ref().err());
        numbered.numbers[place] = given?;
        if added && !numbered.added.contains(&key) {
            numbered.added.push(key);
        }
    }
    Ok(numbered)
}

/// What is wrong with the sequences that give keys, each with what to do: they would give numbers again.
///
/// # Errors
/// When a side does not answer.
pub async fn sequences_in_trouble(
    contract: &Contract,
    stores: &PerSide<Arc<dyn Store>>,
    within: Duration,
) -> Result<Vec<String>, StoreError> {
    let mut problems = Vec::new();
    for entity in contract.entities.values() {
        let Some(own) = entity.own_key(Side::Legacy) else { continue };
        let reach = PerSide {
            legacy: stores.legacy.reach(entity, within).await?,
            modern: stores.modern.reach(entity, within).await?,
        };
        problems.extend(trouble(&own.sequence, &reach));
    }
    Ok(problems)
}
