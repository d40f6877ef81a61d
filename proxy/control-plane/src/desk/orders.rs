//! Runs what was ordered: takes an order out of the control store, compares its types one after the other, says how far
//! it is, and how it ended.
//!
//! Any replica may take an order, and one at a time does (`model::control::order`). It says every second that it is at it,
//! and stops when the order is another's. While the control store is away nobody can take an order, so it goes on for a
//! good while before it stops by itself. Whoever takes the order then goes on
//! behind the types that are done; a type that was not finished is compared anew, under a run of its own.
//!
//! A replica takes only what its own contract compares by the same fields and columns: while two contracts run side by
//! side, an order waits for a replica of the one under which it was placed. When there is none any more (a group was
//! renamed, the rollout is through), the order is failed, and says so.
//! Not here: when something is due (`schedule`), who may order (`admin::schema`).

use std::sync::Arc;
use std::time::Duration;

use model::control::reconciliation::mapping;
use model::control::{Author, OrderEnd, OrderProgress, OrderRecord, OrderState, TypeDone};
use model::{Contract, EntityType, ReplicaId};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, DeskError};
use crate::spoken::spoken;
use data_plane::reconcile::{Progress, ReconcileError, Reconciler, Run};
use telemetry::tasks::Tasks;

/// How often it is looked for orders, and said how far the one under way is.
const LOOK: Duration = Duration::from_secs(1);
/// For how long an order is held without a word. Longer than a control store fails over.
const LEASE: Duration = Duration::from_secs(30);
/// For how many leases a replica goes on that the control store does not answer.
const ALONE: u32 = 10;
/// For how long an order waits for a replica that can take it, while replicas have nothing else to run.
const GIVE_UP: Duration = Duration::from_secs(900);
/// How often an order is begun. One that ends each replica which takes it must not do so for ever.
const MOST_TAKES: u32 = 10;

/// Takes up orders.
pub struct Orders {
    desk: Desk,
    replica: ReplicaId,
    reconciler: Reconciler,
    lease: Duration,
}

/// Takes up orders until the end.
pub fn start(desk: &Desk, replica: &ReplicaId, reconciler: Reconciler, tasks: &Tasks) {
    let orders = Arc::new(Orders::new(desk.clone(), replica.clone(), reconciler));
    tasks.keep("orders", move |stop| {
        let orders = Arc::clone(&orders);
        async move { orders.run(stop).await }
    });
}

impl Orders {
    /// For `replica`.
    pub fn new(desk: Desk, replica: ReplicaId, reconciler: Reconciler) -> Self {
        Self { desk, replica, reconciler, lease: LEASE }
    }

    /// The same, that holds orders for so long without a word.
    #[cfg(test)]
    #[must_use]
    fn holding(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    async fn run(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if let Err(error) = self.round(&stop).await {
                // Without the control store nothing can be ordered either; the follower has said that it is down.
                tracing::debug!(%error, "orders wait: {error}");
            }
        }
    }

    /// Runs every order that is there and that nobody else runs, oldest first.
    ///
    /// # Errors
    /// When the control store does not tell or record.
    pub async fn round(&self, stop: &CancellationToken) -> Result<(), DeskError> {
        let open = self.desk.control.open_orders().await?;
        if open.iter().any(|record| record.state() == OrderState::Running) {
            return Ok(());
        }
        for record in open {
            if stop.is_cancelled() {
                return Ok(());
            }
            match takes(&self.desk.contract, &record) {
                Ok(types) => {
                    if let Some(taken) =
                        self.desk.control.take_order(record.order.id, &self.replica, self.lease).await?
                    {
                        self.work(taken, &types, stop).await?;
                    }
                }
                Err(Never::Here(why)) if record.idle < GIVE_UP => {
                    tracing::debug!(group = %record.order.group, "an order is left to another replica: {why}");
                }
                Err(Never::Here(why)) => {
                    let waited = spoken(GIVE_UP);
                    let why = format!("no replica could take it up for {waited}: {why}. Order it again");
                    self.fail(&record, why).await?;
                }
                Err(Never::Anywhere(why)) => self.fail(&record, why).await?,
            }
        }
        Ok(())
    }

    async fn fail(&self, record: &OrderRecord, why: String) -> Result<(), DeskError> {
        self.end(record, record.takes(), &record.progress, &OrderEnd::Failed(why)).await
    }

    async fn end(
        &self,
        record: &OrderRecord,
        number: u32,
        progress: &OrderProgress,
        end: &OrderEnd,
    ) -> Result<(), DeskError> {
        let (id, group) = (record.order.id, &record.order.group);
        if self.desk.control.end_order(id, number, progress, end).await?
            && let OrderEnd::Failed(why) = end
        {
            tracing::warn!(%group, "the rows of group {group} were not all compared as ordered: {why}");
        }
        Ok(())
    }

    /// Compares what is left of an order that this replica has, as long as it has it.
    async fn work(
        &self,
        record: OrderRecord,
        types: &[Arc<EntityType>],
        stop: &CancellationToken,
    ) -> Result<(), DeskError> {
        let number = record.takes();
        let id = record.order.id;
        let progress = Mutex::new(record.progress.clone());
        let so_far = || progress.lock().clone();
        let ended = tokio::select! {
            ended = self.compare_all(&record, types, &progress) => Some(ended),
            () = self.keep(&record, number, &so_far) => None,
            () = stop.cancelled() => {
                // Another replica goes on at once, and not when the lease is over.
                let kept = OrderProgress { at: None, ..so_far() };
                self.desk.control.hold_order(id, number, &kept, Duration::ZERO).await?;
                None
            }
        };
        match ended {
            Some(Ok(end)) => self.end(&record, number, &OrderProgress { at: None, ..so_far() }, &end).await,
            // What was found could not be recorded: the lease runs out, and the type is compared anew.
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Says every second how far it is; returns when the order is lost.
    async fn keep(&self, record: &OrderRecord, number: u32, so_far: &impl Fn() -> OrderProgress) {
        let group = &record.order.group;
        let mut heard = Instant::now();
        let mut pace = tokio::time::interval(LOOK.min(self.lease / 4));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let asked = Instant::now();
            match self.desk.control.hold_order(record.order.id, number, &so_far(), self.lease).await {
                Ok(true) => heard = asked,
                Ok(false) => {
                    tracing::warn!(%group, "comparing group {group} is left to another replica, which has taken it up");
                    return;
                }
                Err(error) if heard.elapsed() >= self.lease * ALONE => {
                    tracing::warn!(%group, %error, "comparing group {group} is stopped: the control store does not say whose it is");
                    return;
                }
                // It is said again in a second; without the control store nobody else can take the order either.
                Err(_) => {}
            }
        }
    }

    async fn compare_all(
        &self,
        record: &OrderRecord,
        types: &[Arc<EntityType>],
        progress: &Mutex<OrderProgress>,
    ) -> Result<OrderEnd, DeskError> {
        // Runs until it is through or dropped: what is stopped in the middle leaves a run that never ended.
        let never = CancellationToken::new();
        let left: Vec<_> = progress.lock().left(&record.order).map(|one| one.entity.clone()).collect();
        for entity in types.iter().filter(|entity| left.contains(&entity.name)) {
            let policy = self.desk.newest().await?.rollout.policy(&record.order.group);
            let run = Run::new(Arc::clone(entity), author(record), policy);
            let begin = |so_far: &mut OrderProgress| {
                *so_far = OrderProgress {
                    done: std::mem::take(&mut so_far.done),
                    at: Some(entity.name.clone()),
                    ..Default::default()
                };
            };
            begin(&mut progress.lock());
            let told = |Progress { rows, drift, chunks }: Progress| {
                let mut so_far = progress.lock();
                (so_far.rows, so_far.drift, so_far.chunks) = (rows, drift, chunks as u64);
            };
            let found = match Box::pin(self.reconciler.run(&run, &never, told)).await {
                Ok(found) => found.findings,
                Err(ReconcileError::Control(error)) => return Err(error.into()),
                Err(error @ ReconcileError::NotKeptEqual { .. }) => return Ok(OrderEnd::Failed(error.to_string())),
            };
            let (name, group, incomplete) = (&entity.name, &record.order.group, found.why_incomplete());
            match (&incomplete, found.drift) {
                (Some(why), _) => tracing::warn!(%group, "the rows of {name} could not all be compared: {why}"),
                (None, 0) => tracing::info!(%group, "the rows of {name} are equal on both sides"),
                (None, drift) => {
                    tracing::error!(%group, "{drift} rows of {name} have drifted: `strangler reconcile {group}` names them, `strangler repair` levels them");
                }
            }
            let done = TypeDone { entity: name.clone(), run: run.id, drift: found.drift, incomplete };
            progress.lock().done.push(done);
        }
        Ok(OrderEnd::Done)
    }
}

/// Why an order is not taken.
#[derive(Debug, PartialEq, Eq)]
enum Never {
    /// By this replica.
    Here(String),
    /// By no replica.
    Anywhere(String),
}

/// The types that an order names, as `contract` has them; or why a replica with it does not take the order.
fn takes(contract: &Contract, record: &OrderRecord) -> Result<Vec<Arc<EntityType>>, Never> {
    let (order, number) = (&record.order, record.takes());
    if number >= MOST_TAKES {
        return Err(Never::Anywhere(format!(
            "it was begun {number} times and never came to its end: look for why in the logs of the replicas"
        )));
    }
    let mut types = Vec::new();
    for ordered in &order.types {
        let (name, group) = (&ordered.entity, &order.group);
        let entity = contract.entities.get(name).filter(|entity| entity.group == *group);
        let entity =
            entity.ok_or_else(|| Never::Here(format!("its contract has no type {name} in a group {group}")))?;
        if mapping(entity) != ordered.mapping {
            return Err(Never::Here(format!("its contract says otherwise what {name} is compared by")));
        }
        types.push(Arc::clone(entity));
    }
    Ok(types)
}

/// The runs of an order have its author.
fn author(record: &OrderRecord) -> Author {
    record.order.author.clone()
}

/// Who has ordered it, and how far it is: a sentence.
pub fn running_in_words(record: &OrderRecord) -> String {
    let (who, order) = (&record.order.author.who, &record.order);
    let far = match (&record.taken, &record.progress.at) {
        (Some(taken), Some(at)) if taken.held => {
            let (done, all) = (record.progress.done.len(), order.types.len());
            format!("{} is at {at}, {done} of {all} types are done.", taken.by)
        }
        (Some(taken), None) if taken.held => format!("{} has taken it up.", taken.by),
        (_, _) => "no replica has taken it up yet.".to_owned(),
    };
    format!("{who} has ordered it (order {}); {far}", order.id)
}

#[cfg(test)]
mod tests;
