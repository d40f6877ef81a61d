//! Looks at the fences of both sides, and tells the rollout who has the authority.
//!
//! A replica that is cut off from the control store, or has slept, learns of a handover here: the sides themselves tell
//! it. Looks of one group are shared by all who wait for it, so that a thousand waiting writes ask once.

mod past;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::fence::{Authority, Holder, Standing};
use model::{GroupName, PerSide, Side, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use past::{Seen, see, were_there_writes};

/// A look that is this young is as good as a new one.
const FRESH: Duration = Duration::from_millis(5);
/// Pause of a write that waits for a handover, before it looks again, and of one whose side has just been opened.
const PAUSE: Duration = Duration::from_millis(8);
const SHORT_PAUSE: Duration = Duration::from_millis(1);
/// Who has not run for longer than this has slept.
const ASLEEP: Duration = Duration::from_secs(5);
/// How often both fences are looked for by writes while one side does not tell, and how long a write waits for that.
const TRIED_EACH: Duration = Duration::from_secs(1);
const LOOK_PATIENCE: Duration = Duration::from_millis(300);
/// Two sides cannot be read at one instant: what does not go together is looked at again.
const LOOKS: usize = 3;

/// Hears who has the authority over a group. Old news are left to the hearer.
pub type Hearer = Arc<dyn Fn(&GroupName, Holder) + Send + Sync>;

/// The fences of both sides.
pub struct Fences {
    stores: PerSide<Arc<dyn Store>>,
    told: Hearer,
    within: Duration,
    last: Mutex<HashMap<GroupName, (Instant, Authority)>>,
    awake: parking_lot::Mutex<Awake>,
}

/// What was seen while this machine did not sleep.
#[derive(Default)]
struct Awake {
    /// When the keeper last said that it runs, and since when it has without a gap, by [`awake`].
    last: Duration,
    since: Duration,
    /// When both fences of a group were last seen, and when that was last tried.
    seen: HashMap<GroupName, Duration>,
    tried: HashMap<GroupName, Duration>,
}

/// The time since this machine was started, sleep included: a replica that slept knows nothing of what was moved.
fn awake() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Fences {
    /// The fences of `stores`, each asked for no longer than `within`.
    pub fn new(stores: PerSide<Arc<dyn Store>>, told: Hearer, within: Duration) -> Arc<Self> {
        let now = awake();
        let awake = Awake { last: now, since: now, ..Awake::default() };
        Arc::new(Self { stores, told, within, last: Mutex::default(), awake: parking_lot::Mutex::new(awake) })
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
        self.look_at(group, &mut last).await
    }

    /// As [`Self::look`], and never of a moment ago.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn look_anew(&self, group: &GroupName) -> Result<Authority, StoreError> {
        let mut last = self.last.lock().await;
        self.look_at(group, &mut last).await
    }

    async fn look_at(
        &self,
        group: &GroupName,
        last: &mut HashMap<GroupName, (Instant, Authority)>,
    ) -> Result<Authority, StoreError> {
        let began = Instant::now();
        let mut authority = self.ask(group).await?;
        for _ in 1..LOOKS {
            if authority != Authority::Broken {
                break;
            }
            authority = self.ask(group).await?;
        }
        last.insert(group.clone(), (began, authority));
        if let Some(holder) = authority.holder() {
            (self.told)(group, holder);
        }
        Ok(authority)
    }

    /// Says that this replica runs; called all the time.
    pub fn tick(&self) {
        let (now, mut awake) = (awake(), self.awake.lock());
        if now.saturating_sub(awake.last) > ASLEEP {
            awake.since = now;
        }
        awake.last = now;
    }

    /// Whether a write may be sent: at once where both fences were seen since this replica started or last slept, else
    /// after a look. Who has just started or slept may believe in a side that was primary long ago, and whose own fence
    /// was restored with it. `false`: the fences contradict each other, so that an open one proves nothing.
    ///
    /// While one side cannot be reached, the other one's open fence is all that can be known, and is taken: a look that
    /// finds only one side is tried again once a second, and holds up a write for `LOOK_PATIENCE` at most.
    pub async fn may_write(&self, group: &GroupName) -> bool {
        let now = awake();
        {
            let mut awake = self.awake.lock();
            let ran_on = now.saturating_sub(awake.last) <= ASLEEP;
            let since = |at: &Duration, least: Duration| *at >= least;
            if ran_on && awake.seen.get(group).is_some_and(|at| since(at, awake.since)) {
                return true;
            }
            let again = now.saturating_sub(TRIED_EACH);
            if ran_on && awake.tried.get(group).is_some_and(|at| since(at, again.max(awake.since))) {
                return true;
            }
            awake.tried.insert(group.clone(), now);
        }
        let looked = tokio::time::timeout(LOOK_PATIENCE, self.look(group)).await;
        let contradict = matches!(looked, Ok(Ok(Authority::Broken)));
        if contradict {
            self.awake.lock().tried.remove(group);
        }
        !contradict
    }

    /// Waits a moment for a side that takes writes, after one was refused by a fence. The rollout has heard by then who
    /// it is, if one does.
    pub async fn wait(&self, group: &GroupName) {
        let pause = match self.look(group).await {
            // The fence was met a moment ago.
            Ok(Authority::Held { .. } | Authority::Alone { .. }) => SHORT_PAUSE,
            Ok(Authority::Frozen { .. } | Authority::GivenUp { .. } | Authority::Unopened | Authority::Broken)
            | Err(_) => PAUSE,
        };
        tokio::time::sleep(pause.mul_f64(1.0 + rand::random::<f64>() / 2.0)).await;
    }

    async fn ask(&self, group: &GroupName) -> Result<Authority, StoreError> {
        let asked = awake();
        let both = self.stores.clone().map(|_, store| async move { store.fence(group, self.within).await });
        let (legacy, modern) = tokio::join!(both.legacy, both.modern);
        match (legacy, modern) {
            (Ok(legacy), Ok(modern)) => {
                let authority = Authority::of(&PerSide { legacy: legacy.fence, modern: modern.fence });
                if authority != Authority::Broken {
                    self.awake.lock().seen.insert(group.clone(), asked);
                }
                Ok(authority)
            }
            (Ok(legacy), Err(error)) => Authority::of_one(Side::Legacy, legacy.fence).ok_or(error),
            (Err(error), Ok(modern)) => Authority::of_one(Side::Modern, modern.fence).ok_or(error),
            (Err(error), Err(_)) => Err(error),
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
