//! What goes by two names on the write road: numbers in a mutation's arguments become canonical keys, before anything else.

use std::sync::Arc;

use model::contract::WriteAction;
use model::{EntityKey, EntityType, OwnNumber, PerSide, Policy, Side, StoreError, Unnumbered, WriteId};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Mutation, Standing, WriteRoad, WriteSide};
use crate::own_keys::{self, Asked};
use crate::write::command::{self, Attempt};
use crate::write::used_up;
use request::arguments::Arguments;
use request::error::{ClientError, Fault};

impl WriteRoad {
    pub(super) fn asked(&self) -> PerSide<Asked<'_>> {
        let asked = |side| {
            let side: &WriteSide = self.sides.get(side);
            Asked { store: &side.store, breaker: &side.breaker }
        };
        PerSide { legacy: asked(Side::Legacy), modern: asked(Side::Modern) }
    }

    /// `keys` with canonical keys in place of numbers.
    ///
    /// # Errors
    /// As [`own_keys::canonical`].
    pub(crate) async fn canonical(
        &self,
        entity: &EntityType,
        policy: &Policy,
        keys: Vec<EntityKey>,
        deadline: Instant,
    ) -> Result<Vec<EntityKey>, StoreError> {
        own_keys::canonical(self.asked(), entity, policy, keys, deadline).await
    }

    /// Replaces the numbers in a mutation's arguments by canonical keys, then makes it stand.
    pub(super) async fn named_and_stand(self: &Arc<Self>, mutation: &mut Mutation) -> Result<Standing, Fault> {
        if let Some(action) = command::action(&mutation.root).filter(|action| own_keys::concerns(action)) {
            let policy = (self.rollout)().policy(&mutation.root.group);
            mutation.arguments =
                own_keys::arguments(self.asked(), action, &mutation.arguments, &policy, mutation.deadline).await?;
        }
        self.stand(mutation).await
    }

    /// Refuses a client further numbers of the ERP where his refused writes have used up what he may.
    ///
    /// # Errors
    /// `TOO_MANY_REFUSED`; as `OwnKeys::numbers`.
    pub(super) async fn may_number(
        &self,
        mutation: &Mutation,
        action: &WriteAction,
        primary: &WriteSide,
        touches: &[EntityKey],
    ) -> Result<(), Fault> {
        let now = Instant::now();
        if !self.used_up.is_over(mutation.client, now) {
            return Ok(());
        }
        for (entity, key) in used_up::to_number(action, primary.store.side(), touches) {
            let left = mutation.deadline.saturating_duration_since(now);
            let numbers = primary.store.numbers(entity, std::slice::from_ref(key), Unnumbered::Leave, left).await?;
            if numbers.first().is_none_or(Option::is_none) {
                let message = "so much that needs a new number was refused from your address that nothing new is given one within the hour";
                return Err(ClientError::new("TOO_MANY_REFUSED", message).into());
            }
        }
        Ok(())
    }

    /// A write is known to have been refused: it may have used up a number.
    pub(super) fn note_refused(&self, mutation: &Mutation, action: &WriteAction, side: Side, touches: &[EntityKey]) {
        if used_up::to_number(action, side, touches).next().is_some() {
            self.used_up.note(mutation.client, Instant::now());
        }
    }

    /// Checks what can be checked of a mutation before the ERP has given it numbers: what is refused here uses up none.
    ///
    /// # Errors
    /// As [`command::build`].
    pub(crate) fn check_unnumbered(
        &self,
        root: &model::Root,
        arguments: &Arguments,
        policy: Policy,
        idempotency: Option<(&str, &str)>,
    ) -> Result<(), ClientError> {
        let Some(action) = command::action(root) else { return Ok(()) };
        let numbers = vec![OwnNumber::new(1); action.touches.len()];
        let (write, now) = (WriteId(Uuid::now_v7()), (self.clock)());
        let attempt = Attempt { write, policy, numbers: &numbers, now, idempotency, bound_to: None };
        command::build(root, action, arguments, &attempt).map(drop)
    }
}
