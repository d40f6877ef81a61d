//! The demo's conscience: looks every acknowledged write up on both sides, and compares the sides
//! whole. Reads the business tables only; our own bookkeeping is not asked.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use model::contract::Contract;
use model::evidence::Verdict;
use model::store::MAX_BATCH;
use model::{EntityKey, EntityType, PerSide, Record, Side, Store, StoreError, Value};
use shadow_compare::Excuses;
use shadow_compare::judge::{Answer, Asked, Question, judge};
use thiserror::Error;

use super::traffic::Expected;

/// Limit of one call; the sides are idle by now.
const WITHIN: Duration = Duration::from_secs(20);

/// A side could not be looked at.
#[derive(Debug, Error)]
pub enum AuditError {
    /// It did not answer.
    #[error("the sides could not be compared")]
    Store(#[from] StoreError),
    /// The contract is not the demo's.
    #[error("the demo's contract has no {0}")]
    Contract(&'static str),
}

/// Both sides and what they hold.
pub struct Audit<'a> {
    /// The stores.
    pub stores: &'a PerSide<Arc<dyn Store>>,
    /// The contract.
    pub contract: &'a Contract,
    /// Today's date, for excuses that end.
    pub today: NaiveDate,
}

impl Audit<'_> {
    /// Counts acknowledged writes that are missing on a side, or have left another value there.
    ///
    /// # Errors
    /// [`AuditError`] when a side cannot be looked at.
    pub async fn lost_writes(&self, expected: &Expected) -> Result<usize, AuditError> {
        let mut lost = 0;
        for side in Side::BOTH {
            let ids = expected.movements.iter().map(|id| (vec![Value::text(id)], None));
            lost += self.missing(side, "StockMovement", "id", ids.collect()).await?;
            let levels = expected.levels.iter().filter_map(|((sku, location), on_hand)| {
                Some((vec![Value::text(sku), Value::text(location)], Some(Value::Int((*on_hand)?))))
            });
            lost += self.missing(side, "StockLevel", "onHand", levels.collect()).await?;
            let prices = expected.prices.iter().filter_map(|(sku, price)| {
                let price = price.as_ref()?.parse().ok()?;
                Some((vec![Value::text(sku)], Some(Value::Decimal(price))))
            });
            lost += self.missing(side, "Product", "unitPrice", prices.collect()).await?;
        }
        Ok(lost)
    }

    /// How many of `wanted` are not on `side`, or have another value in `field`.
    async fn missing(
        &self,
        side: Side,
        entity: &'static str,
        field: &'static str,
        wanted: Vec<(Vec<Value>, Option<Value>)>,
    ) -> Result<usize, AuditError> {
        let entity = self.contract.entity(&entity.into()).ok_or(AuditError::Contract(entity))?;
        let index = entity.index(field).ok_or(AuditError::Contract(field))?;
        let mut missing = 0;
        for page in wanted.chunks(MAX_BATCH) {
            let key = |(parts, _): &(Vec<Value>, Option<Value>)| EntityKey::new(entity.name.clone(), parts.clone());
            let keys: Vec<_> = page.iter().map(key).collect();
            let found = self.stores.get(side).fetch(entity, &keys, entity.all_fields(), WITHIN).await?;
            let stands = |((_, value), record): &(&(Vec<Value>, Option<Value>), &Option<Record>)| {
                record.as_ref().is_some_and(|record| value.is_none() || record.get(index) == value.as_ref())
            };
            missing += page.iter().zip(&found).filter(|pair| !stands(pair)).count();
        }
        Ok(missing)
    }

    /// Compares every row of every entity type, in both directions; how many rows differ.
    ///
    /// # Errors
    /// [`AuditError`] when a side cannot be looked at.
    pub async fn differing_rows(&self) -> Result<usize, AuditError> {
        let mut differing = 0;
        for entity in self.contract.entities.values() {
            for from in Side::BOTH {
                differing += self.differing(entity, from).await?;
            }
        }
        Ok(differing)
    }

    /// Walks over `from` and asks the other side for the same keys. Rows that only `from` has count
    /// in both walks' sum once; rows that both have are judged in legacy's walk only.
    async fn differing(&self, entity: &Arc<EntityType>, from: Side) -> Result<usize, AuditError> {
        let mut differing = 0;
        let mut after = None;
        loop {
            let page = self.stores.get(from).scan(entity, after.as_ref(), MAX_BATCH, WITHIN).await?;
            let keys: Vec<EntityKey> = page.iter().filter_map(|record| record.key(entity)).collect();
            let Some(last) = keys.last().cloned() else { return Ok(differing) };
            let other = self.stores.get(from.other()).fetch(entity, &keys, entity.all_fields(), WITHIN).await?;
            differing += match from {
                Side::Legacy => self.judged(entity, keys, page, other),
                Side::Modern => other.iter().filter(|record| record.is_none()).count(),
            };
            after = Some(last);
        }
    }

    fn judged(
        &self,
        entity: &Arc<EntityType>,
        keys: Vec<EntityKey>,
        legacy: Vec<Record>,
        modern: Vec<Option<Record>>,
    ) -> usize {
        let question = Question { entity: Arc::clone(entity), fields: entity.all_fields(), asked: Asked::Keys(keys) };
        let answers = PerSide { legacy: Answer::from(legacy), modern: Answer::from(modern) };
        let judgement = judge(&question, &answers, &Excuses::of_contract(self.today));
        match judgement.verdict {
            Verdict::Match | Verdict::Excused => 0,
            Verdict::Mismatch | Verdict::Inconclusive => judgement.differing_keys().len(),
        }
    }
}
