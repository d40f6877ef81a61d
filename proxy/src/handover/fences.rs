//! Looks at the fences of both sides, and tells the rollout who has the authority.
//!
//! A replica that is cut off from the control store, or has slept, learns of a handover here: the sides themselves tell
//! it. Looks of one group are shared by all who wait for it, so that a thousand waiting writes ask once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::fence::{Authority, Fence, Standing};
use model::{Epoch, GroupName, PerSide, Side, Stand, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A look that is this young is as good as a new one.
const FRESH: Duration = Duration::from_millis(5);
/// Pause of a write that waits for a handover, before it looks again, and of one whose side has just been opened.
const PAUSE: Duration = Duration::from_millis(8);
const SHORT_PAUSE: Duration = Duration::from_millis(1);
/// Two sides cannot be read at one instant: what does not go together is looked at again.
const LOOKS: usize = 3;

/// Hears who has the authority over a group, and under which epoch. Old news are left to the hearer.
pub type Hearer = Arc<dyn Fn(&GroupName, Side, Epoch) + Send + Sync>;

/// The fences of both sides.
pub struct Fences {
    stores: PerSide<Arc<dyn Store>>,
    told: Hearer,
    within: Duration,
    last: Mutex<HashMap<GroupName, (Instant, Authority)>>,
}

impl Fences {
    /// The fences of `stores`, each asked for no longer than `within`.
    pub fn new(stores: PerSide<Arc<dyn Store>>, told: Hearer, within: Duration) -> Arc<Self> {
        Arc::new(Self { stores, told, within, last: Mutex::default() })
    }

    /// Who has the authority over `group` now, or a moment ago.
    ///
    /// # Errors
    /// That of the side which did not tell, unless the other one is open: then it needs no second word.
    pub async fn look(&self, group: &GroupName) -> Result<Authority, StoreError> {
        let mut last = self.last.lock().await;
        if let Some((at, authority)) = last.get(group)
            && at.elapsed() < FRESH
        {
            return Ok(*authority);
        }
        let began = Instant::now();
        let mut authority = self.ask(group).await?;
        for _ in 1..LOOKS {
            if authority != Authority::Broken {
                break;
            }
            authority = self.ask(group).await?;
        }
        last.insert(group.clone(), (began, authority));
        if let Authority::Held { by, epoch } = authority {
            (self.told)(group, by, epoch);
        }
        Ok(authority)
    }

    /// Waits a moment for a side that takes writes, after one was refused by a fence. The rollout has heard by then who
    /// it is, if one does.
    pub async fn wait(&self, group: &GroupName) {
        let pause = match self.look(group).await {
            // The fence was met a moment ago.
            Ok(Authority::Held { .. }) => SHORT_PAUSE,
            Ok(Authority::Frozen { .. } | Authority::GivenUp { .. } | Authority::Broken) | Err(_) => PAUSE,
        };
        tokio::time::sleep(pause.mul_f64(1.0 + rand::random::<f64>() / 2.0)).await;
    }

    async fn ask(&self, group: &GroupName) -> Result<Authority, StoreError> {
        let both = self.stores.clone().map(|_, store| async move { store.fence(group, self.within).await });
        let (legacy, modern) = tokio::join!(both.legacy, both.modern);
        match (legacy, modern) {
            (Ok(legacy), Ok(modern)) => Ok(Authority::of(&PerSide { legacy: legacy.fence, modern: modern.fence })),
            (Ok(Standing { fence: Fence { epoch, stand: Stand::Open }, .. }), Err(_)) => {
                Ok(Authority::Held { by: Side::Legacy, epoch })
            }
            (Err(_), Ok(Standing { fence: Fence { epoch, stand: Stand::Open }, .. })) => {
                Ok(Authority::Held { by: Side::Modern, epoch })
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Both fences with their ages, both sides asked.
    ///
    /// # Errors
    /// As [`Store::fence`].
    pub async fn standings(&self, group: &GroupName) -> Result<PerSide<Standing>, StoreError> {
        let both = self.stores.clone().map(|_, store| async move { store.fence(group, self.within).await });
        let (legacy, modern) = tokio::try_join!(both.legacy, both.modern)?;
        Ok(PerSide { legacy, modern })
    }

    /// The stores whose fences these are.
    pub fn stores(&self) -> &PerSide<Arc<dyn Store>> {
        &self.stores
    }
}
