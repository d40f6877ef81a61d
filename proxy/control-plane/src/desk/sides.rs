//! The life of each side, as people may see it: whether it is the database that we knew, and what it has lost.
//!
//! Not here: what a life is (`model::life`), who compares the sides each second (`lives`), raising one (`cli::sides`).

use std::sync::Arc;

use adapters::Lane;
use model::life::{Life, Noted, Verdict, judge};
use model::{PerSide, Side, StoreError};

use super::Desk;
use data_plane::lives::memories::Memories;
use data_plane::lives::raise::{self, Missing};

/// What is known of one side.
pub struct SideSeen {
    /// Which.
    pub side: Side,
    /// Whether it is the database that we knew.
    pub verdict: Verdict,
    /// Its life; `None` before `strangler init`.
    pub life: Option<Life>,
    /// What it lacks, if the other side has said it.
    pub missing: Result<Missing, StoreError>,
}

impl SideSeen {
    /// Looks at a side, and asks the other one what it lacks.
    ///
    /// # Errors
    /// When the side does not answer: then nothing is known of it.
    pub async fn of(memories: &Memories, side: Side) -> Result<Self, StoreError> {
        let remembered = memories.of(side).await;
        let asked: Vec<_> = remembered.iter().flatten().map(|memory| memory.mark).collect();
        let look = memories.stores.get(side).life(&asked, memories.within).await?;
        let verdict = judge(&look, remembered.as_deref());
        let missing = match &look.life {
            Some(life) => raise::missing(memories, side, life).await,
            None => Ok(Missing::default()),
        };
        Ok(Self { side, verdict, life: look.life, missing })
    }

    /// Lost writes that the other side still shows.
    pub fn lost(&self) -> Vec<&Noted> {
        self.missing.iter().flat_map(|missing| &missing.lost).filter(|noted| !noted.keys.is_empty()).collect()
    }

    /// Whether it is the database that we knew, and is known to lack nothing.
    pub fn is_well(&self) -> bool {
        let owes = self.life.as_ref().is_none_or(|life| life.unasked.is_some());
        self.verdict == Verdict::Same && !owes && self.missing.is_ok() && self.lost().is_empty()
    }

    /// What is known of it, to be read after its name.
    pub fn words(&self) -> String {
        match &self.verdict {
            Verdict::Fresh => "has no life: run `strangler init`".to_owned(),
            Verdict::Same => "is the database that we knew".to_owned(),
            Verdict::Moved => {
                "was started anew or moved, and lacks no mark: no replica has compared it since".to_owned()
            }
            Verdict::GoneBack(memory) => {
                format!("has gone back: it lacks mark {} of incarnation {}", memory.mark.counter, memory.incarnation.0)
            }
            Verdict::Suspended(why) => format!("is suspended: {why}"),
            Verdict::Unknown => "cannot be compared: nobody who remembers it answers".to_owned(),
        }
    }
}

impl Desk {
    /// What is known of each side; of one that does not answer, why not.
    pub async fn sides(&self) -> PerSide<Result<SideSeen, StoreError>> {
        let memories = Memories {
            stores: self.sides.clone().map(|_, lanes| Arc::clone(lanes.get(Lane::Admin))),
            control: Arc::clone(&self.control),
            state: self.state.clone(),
            within: self.handover.within,
        };
        let seen = |side| SideSeen::of(&memories, side);
        let (legacy, modern) = tokio::join!(seen(Side::Legacy), seen(Side::Modern));
        PerSide { legacy, modern }
    }
}
