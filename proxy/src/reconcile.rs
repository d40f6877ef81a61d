//! Reconcile: compares a whole entity type at rest, on both sides, and records what has drifted.
//!
//! Both sides add up their rows by chunks, as of one moment each; only chunks that differ are read. A row
//! that looks different is looked at again when it is settled, so that what was only on its way is no
//! drift. `shadow-compare` decides, this asks, waits and records.
//!
//! The ERP comes first: one statement at a time on each side, in the lane of scans, with a pause after
//! each. A moment that is lost, or a statement that takes too long, is tried anew from a new moment and
//! in smaller parts.
//!
//! Promises: what could not be read, or not be looked up, makes the run incomplete and never counts as equal; sums that
//! differ are explained by rows that do, or are a problem; memory stays bounded; dropping or stopping a run leaves nothing behind but its record.
//! Not here: mending (`catchup::repair`).

mod confirm;
pub mod figures;
mod moments;
pub mod orders;
pub mod schedule;

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use model::checksum::Chunk;
use model::control::reconciliation::mapping;
use model::control::{Author, ControlError, ControlStore, Findings, RunId};
use model::{EntityType, GroupName, Keyless, LeftOut, PerSide, Policy, Side, Stage, Store, StoreError};
use shadow_compare::reconcile::{Drift, Drifted, Paired, Part, Wanted, pair_members, parts};
use shadow_compare::{Patience, Redactor};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use confirm::Suspects;
use moments::Moments;

/// How often one chunk is tried before the run of its type is given up, and the pause before.
const TRIES: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Rows without key that are named on each side.
const SHOWN: usize = 5;

/// Pace and limits of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// Pause after each statement.
    pub pause: Duration,
    /// Limit of one statement over a whole table.
    pub scan_within: Duration,
    /// Limit of one look-up by keys.
    pub look_within: Duration,
    /// Chunks up to this size are read, larger ones taken apart first.
    pub most_members: usize,
    /// Rows that look different are looked at again in batches of this size.
    pub suspects: usize,
    /// Drifted rows that are named; beyond, they are only counted.
    pub most_listed: usize,
    /// How long and how often to look again.
    pub patience: Patience,
    /// Unsettled writes that are read. Of more, which rows wait is not known, and the run cannot be complete.
    pub most_unsettled: usize,
    /// A write that has waited for the other side for longer than this does not come by itself: its row is held back.
    pub held_after: Duration,
}

impl Default for ReconcileSettings {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(20),
            scan_within: Duration::from_secs(600),
            look_within: Duration::from_secs(10),
            most_members: 10_000,
            suspects: 500,
            most_listed: 10_000,
            patience: Patience::default(),
            most_unsettled: 20_000,
            held_after: Duration::from_secs(10),
        }
    }
}

/// Why nothing was compared.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// Nothing keeps the sides equal.
    #[error(
        "group {group} is in stage {stage}: nothing keeps the other side equal, so a difference says nothing; set stage dual-write first"
    )]
    NotKeptEqual {
        /// The group.
        group: GroupName,
        /// Its stage.
        stage: Stage,
    },
    /// The run could not be recorded.
    #[error("the run cannot be recorded: {0}")]
    Control(#[from] ControlError),
}

/// What a run has found of one type.
#[derive(Debug)]
pub struct Reconciled {
    /// As recorded.
    pub findings: Findings,
    /// The drifted rows, at most [`ReconcileSettings::most_listed`].
    pub listed: Vec<Drifted>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows compared so far.
    pub rows: PerSide<u64>,
    /// Rows that differ.
    pub drift: u64,
    /// Chunks still to be looked at.
    pub chunks: usize,
}

/// One run: whose it is, and of what.
#[derive(Debug, Clone)]
pub struct Run {
    /// Names it in the control store.
    pub id: RunId,
    /// The type.
    pub entity: Arc<EntityType>,
    /// Who, from where, why.
    pub author: Author,
    /// The policy under which the sides are compared.
    pub policy: Policy,
    /// Name only rows that differ so; all are counted.
    pub wanted: Option<Wanted>,
}

impl Run {
    /// A run of its own.
    pub fn new(entity: Arc<EntityType>, author: Author, policy: Policy) -> Self {
        Self { id: RunId(Uuid::now_v7()), entity, author, policy, wanted: None }
    }

    /// The same, that names only rows which differ so.
    #[must_use]
    pub fn naming(self, wanted: Wanted) -> Self {
        Self { wanted: Some(wanted), ..self }
    }
}

/// Compares entity types at rest.
pub struct Reconciler {
    /// The stores, in the lane of scans.
    pub stores: PerSide<Arc<dyn Store>>,
    /// Where runs are recorded.
    pub control: Arc<dyn ControlStore>,
    /// Hides sensitive values.
    pub redactor: Redactor,
    /// Today's date, for excuses that end.
    pub today: fn() -> NaiveDate,
    /// Pace and limits.
    pub settings: ReconcileSettings,
}

/// What is still to be done about a chunk.
struct Todo {
    chunk: Chunk,
    /// The moments of which its sums differed: its rows are read. `None`: its sums are compared.
    read: Option<u32>,
    tries: u32,
}

impl Reconciler {
    /// Compares one type, records what was found, and says so. `stop` ends it early: what was found until
    /// then is recorded as incomplete.
    ///
    /// # Errors
    /// [`ReconcileError`]: nothing was compared, or what was found could not be recorded.
    pub async fn run(
        &self,
        run: &Run,
        stop: &CancellationToken,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Reconciled, ReconcileError> {
        let (group, entity) = (&run.entity.group, &run.entity.name);
        if !run.policy.stage().dual_writes() {
            return Err(ReconcileError::NotKeptEqual { group: group.clone(), stage: run.policy.stage() });
        }
        self.control.begin_reconciliation(run.id, group, entity, &run.author).await?;
        let mut drift = Drift::new(self.settings.most_listed, run.wanted.clone());
        let walked = tokio::select! {
            walked = self.walk(run, &mut drift, &mut progress) => walked,
            () = stop.cancelled() => Err("it was stopped".to_owned()),
        };
        let problem = match walked {
            Ok(()) => self.moved_meanwhile(run).await?,
            Err(problem) => Some(problem),
        };
        let findings = drift.findings(problem, mapping(&run.entity));
        self.control.end_reconciliation(run.id, entity, &findings).await?;
        tracing::info!(%entity, drift = findings.drift, complete = findings.is_complete(), "{entity} was reconciled: {} rows drifted", findings.drift);
        Ok(Reconciled { findings, listed: drift.into_listed() })
    }

    /// The stage may change while a long run goes on; what was compared after that says nothing.
    async fn moved_meanwhile(&self, run: &Run) -> Result<Option<String>, ControlError> {
        let now = self.control.newest().await?.map(|record| record.rollout.policy(&run.entity.group));
        let same = now.is_none_or(|now| now.stage().dual_writes() && now.epoch() == run.policy.epoch());
        Ok((!same).then(|| "the group's stage was changed meanwhile".to_owned()))
    }

    /// Walks through all chunks. The error says why not everything was compared.
    async fn walk(
        &self,
        run: &Run,
        drift: &mut Drift,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), String> {
        let mut moments = Moments::new(&self.stores, self.settings.look_within);
        self.keyless(run, &mut moments, drift).await?;
        let mut suspects = Suspects::new(self, run);
        let mut open = vec![Todo { chunk: Chunk::whole(), read: None, tries: 0 }];
        let mut unread = None;
        while let Some(todo) = open.pop() {
            let done = if todo.read.is_some() {
                self.read(run, &todo, &mut moments, drift, &mut suspects).await
            } else {
                self.add_up(run, &todo, &mut moments, drift).await
            };
            match done {
                Ok(more) => open.extend(more),
                Err(error) => {
                    moments.lose();
                    let said = format!("chunk {} of {}: {error}", todo.chunk, run.entity.name);
                    tracing::warn!(entity = %run.entity.name, error = %error, tries = todo.tries, "a chunk could not be compared");
                    match again(todo, &error) {
                        Some(smaller) => {
                            open.extend(smaller);
                            tokio::time::sleep(RETRY_PAUSE).await;
                        }
                        // Only this chunk is unreadable; what else has drifted is worth knowing all the same.
                        None if !may_pass(&error) => unread = unread.or(Some(said)),
                        None => return Err(said),
                    }
                }
            }
            if suspects.len() >= self.settings.suspects {
                suspects.decide(drift).await;
            }
            progress(Progress { rows: drift.rows(), drift: drift.drifted(), chunks: open.len() });
            tokio::time::sleep(self.settings.pause).await;
        }
        suspects.decide(drift).await;
        progress(Progress { rows: drift.rows(), drift: drift.drifted(), chunks: 0 });
        unread.or(suspects.problem()).map_or(Ok(()), Err)
    }

    /// Counts the rows, and lists the columns, that nothing else here will see.
    async fn keyless(&self, run: &Run, moments: &mut Moments<'_>, drift: &mut Drift) -> Result<(), String> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.keyless_once(run, moments).await {
                Ok((found, left_out)) => {
                    drift.left_out(left_out);
                    for side in Side::BOTH {
                        let Keyless { rows, some } = found.get(side);
                        drift.keyless(&run.entity, &self.redactor, side, *rows, some);
                    }
                    return Ok(());
                }
                Err(error) if may_pass(&error) && tries < TRIES => {
                    moments.lose();
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(format!("rows of {} without key: {error}", run.entity.name)),
            }
        }
    }

    async fn keyless_once(
        &self,
        run: &Run,
        moments: &mut Moments<'_>,
    ) -> Result<(PerSide<Keyless>, Vec<LeftOut>), StoreError> {
        let within = self.settings.scan_within;
        let PerSide { legacy, modern } = moments.now().await?;
        let asked =
            futures::join!(legacy.keyless(&run.entity, SHOWN, within), modern.keyless(&run.entity, SHOWN, within));
        // The ERP is what will be gone one day.
        let left_out = self.stores.legacy.left_out(&run.entity, within).await?;
        Ok((PerSide { legacy: asked.0?, modern: asked.1? }, left_out))
    }

    /// Compares the sums of a chunk's parts.
    async fn add_up(
        &self,
        run: &Run,
        todo: &Todo,
        moments: &mut Moments<'_>,
        drift: &mut Drift,
    ) -> Result<Vec<Todo>, StoreError> {
        let (entity, within) = (&run.entity, self.settings.scan_within);
        let PerSide { legacy, modern } = moments.now().await?;
        let asked = futures::join!(legacy.sums(entity, &todo.chunk, within), modern.sums(entity, &todo.chunk, within));
        let sums = PerSide { legacy: asked.0?, modern: asked.1? };
        let mut more = Vec::new();
        for part in parts(&todo.chunk, &sums, self.settings.most_members as u64) {
            match part {
                Part::Equal(rows) => drift.compared(PerSide { legacy: rows, modern: rows }),
                Part::Divide(chunk) => more.push(Todo { chunk, read: None, tries: 0 }),
                Part::Read(chunk) => more.push(Todo { chunk, read: Some(moments.number()), tries: 0 }),
            }
        }
        Ok(more)
    }

    /// Compares the rows of a chunk.
    async fn read(
        &self,
        run: &Run,
        todo: &Todo,
        moments: &mut Moments<'_>,
        drift: &mut Drift,
        suspects: &mut Suspects<'_>,
    ) -> Result<Vec<Todo>, StoreError> {
        let (entity, within) = (&run.entity, self.settings.scan_within);
        // One more than fits shows that the chunk has grown since its sum was taken.
        let limit = self.settings.most_members * 2 + 1;
        let PerSide { legacy, modern } = moments.now().await?;
        let asked = futures::join!(
            legacy.members(entity, &todo.chunk, limit, within),
            modern.members(entity, &todo.chunk, limit, within)
        );
        let members = PerSide { legacy: asked.0?, modern: asked.1? };
        let rows = PerSide { legacy: members.legacy.len() as u64, modern: members.modern.len() as u64 };
        if rows.legacy.max(rows.modern) >= limit as u64 {
            if todo.chunk.part_digits().is_some() {
                return Ok(vec![Todo { chunk: todo.chunk.clone(), read: None, tries: 0 }]);
            }
            let problem = format!("more than {limit} rows share the chunk {}", todo.chunk);
            return Err(StoreError::Misfit { side: Side::Legacy, problem, source: None });
        }
        let Paired { pairs, odd } = pair_members(entity, members);
        let odd_rows = odd.legacy.len() + odd.modern.len();
        let differing = suspects.differing(&pairs);
        if differing.is_empty() && odd_rows == 0 && !folds_letters(entity) {
            if todo.read != Some(moments.number()) {
                // Another moment than that of the sums, and what differed then is level by now: the sums must say so.
                return Ok(vec![Todo { chunk: todo.chunk.clone(), read: None, tries: 0 }]);
            }
            suspects.note_problem(format!(
                "the sums of chunk {} of {} differ and none of its rows does: a side adds up otherwise than it reads",
                todo.chunk, entity.name
            ));
        }
        drift.compared(rows);
        for side in Side::BOTH {
            let odd = odd.get(side);
            drift.keyless(entity, &self.redactor, side, odd.len() as u64, odd);
        }
        suspects.take(drift, &todo.chunk, pairs, &differing);
        Ok(Vec::new())
    }
}

/// Whether letters of different case are taken for equal: engines fold rare ones differently, so sums may differ where
/// rows do not.
fn folds_letters(entity: &EntityType) -> bool {
    entity.fields.iter().any(|field| field.compare.ignore_case && !field.compare.ignore)
}

/// What to try after an error; `None`: nothing.
fn again(todo: Todo, error: &StoreError) -> Option<Vec<Todo>> {
    let tries = todo.tries + 1;
    if !may_pass(error) || tries >= TRIES {
        return None;
    }
    if todo.read.is_some() || todo.chunk != Chunk::whole() {
        return Some(vec![Todo { tries, ..todo }]);
    }
    // The whole table in one statement was too much: 256 statements, each with a moment of its own if need be.
    let chunk = |byte: u8| Chunk::new(&format!("{byte:02x}"));
    Some((0..=u8::MAX).filter_map(chunk).map(|chunk| Todo { chunk, read: None, tries: 0 }).collect())
}

/// Whether the same question may be answered another time.
fn may_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Unreachable { .. }
        | StoreError::Unwritable { .. }
        | StoreError::NoAnswer { .. }
        | StoreError::Conflict { .. }
        | StoreError::SnapshotLost { .. } => true,
        StoreError::Refused { .. } | StoreError::KeyReused | StoreError::Fenced { .. } | StoreError::Misfit { .. } => {
            false
        }
    }
}
