//! What the contract of whoever asks has to do with the shapes that are registered on both sides.

use std::time::Duration;

use adapters::Lane;
use model::shape::{Class, Difference, Remembered, judge};
use model::{EntityName, GroupName, Side, StoreError};

use super::Desk;

/// How long a side may take.
const WITHIN: Duration = Duration::from_secs(2);

/// One difference from what a side has registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// The side.
    pub side: Side,
    /// The type.
    pub entity: EntityName,
    /// What differs.
    pub difference: Difference,
}

impl Apart {
    /// In one sentence.
    pub fn sentence(&self) -> String {
        let Self { side, entity, difference } = self;
        let meaning = match difference.class() {
            Class::Compatible => "both apply each other's writes",
            Class::BothAtOnce if difference.hides() => "left to replicas of the registered contract",
            Class::BothAtOnce => "raised by the first replica that starts",
            Class::Refused => "no replica starts with it",
        };
        format!("{entity}: {difference} than is registered on {side} ({meaning})")
    }
}

impl Desk {
    /// Every difference of this contract from what `side` has registered.
    ///
    /// # Errors
    /// As `ShapeLog::shapes`.
    pub async fn apart(&self, side: Side) -> Result<Vec<Apart>, StoreError> {
        let remembered = self.sides.get(side).get(Lane::Admin).shapes(WITHIN).await?;
        let found = judge(&remembered, &self.contract).into_iter();
        Ok(found.map(|(entity, difference)| Apart { side, entity, difference }).collect())
    }

    /// The same of one group's types on both sides, in sentences; also that a side does not say.
    pub async fn apart_in_words(&self, group: &GroupName) -> Vec<String> {
        let mut said = Vec::new();
        for side in Side::BOTH {
            match self.sides.get(side).get(Lane::Admin).shapes(WITHIN).await {
                Ok(remembered) => said.extend(self.of_group(side, group, &remembered)),
                Err(error) => said.push(format!("which shapes are registered is not known: {error}")),
            }
        }
        said
    }

    fn of_group(&self, side: Side, group: &GroupName, remembered: &[Remembered]) -> Vec<String> {
        let concerns = |entity: &EntityName| {
            let own = self.contract.entity(entity).map(|entity| &entity.group);
            let of_type = remembered.iter().filter(|one| one.entity == *entity);
            own == Some(group) || of_type.filter_map(|one| one.shape.as_ref()).any(|shape| shape.group == *group)
        };
        let found = judge(remembered, &self.contract).into_iter().filter(|(entity, _)| concerns(entity));
        found.map(|(entity, difference)| Apart { side, entity, difference }.sentence()).collect()
    }
}
