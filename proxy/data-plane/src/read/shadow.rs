//! Shadow reads: ask the other side what the one was asked, after the client has its answer.
//!
//! The queue is bounded, in shadows and in the bytes of their answers (`offer`), and so is what is asked of each side at
//! once: we would rather know less than make a client, or the ERP, wait for us. What clients ask in a spelling of their own
//! is not compared (`spelling`). For the times of both sides a question is put to modern once more in this lane, where no
//! client's load is (`Recorder::wants_pair`).
//!
//! A difference is looked at again, at both sides, when the key is settled; only what differs
//! still, while neither side changed, is a mismatch.
//!
//! Invariant: nothing here can change, delay or fail an answer.
//! Not here: judging and confirming (`shadow-compare`), deciding whether to shadow (`route`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use model::contract::RootKind;
use model::control::Mark;
use model::evidence::{Cause, Observation, Verdict};
use model::sql::{Params, params_text};
use model::{EntityKey, EntityName, FieldSet, PerSide, Record, Rollout, Root, Side, Store};
use shadow_compare::Excuses;
use shadow_compare::confirm::{Confirmation, Look, Patience, Step};
use shadow_compare::judge::{Answer, Asked, Judgement, Question, Reason};
use shadow_compare::redact::Redactor;
use shadow_compare::spelling;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Instrument;

use super::batch::Batch;
pub use super::offer::Shadow;
use super::offer::{Jobs, Waiting};
use super::turns::Asker;
use crate::excuses::AcceptedExcuses;
use crate::figures::Recorder;
use crate::write::unsettled::UnsettledKeys;
use net::budget;
use telemetry::traces::{self, Here};

/// Limits of shadow reads.
#[derive(Debug, Clone, Copy)]
pub struct ShadowSettings {
    /// Shadows that may wait.
    pub queue: usize,
    /// Bytes that those which wait or are under way may hold.
    pub queue_bytes: u64,
    /// Shadows under way at once.
    pub in_flight: usize,
    /// Most calls to each side at once.
    pub per_side: PerSide<usize>,
    /// Limit of one call.
    pub within: Duration,
    /// How differences are confirmed.
    pub patience: Patience,
}

impl Default for ShadowSettings {
    fn default() -> Self {
        Self {
            queue: 1_000,
            queue_bytes: 64 * 1024 * 1024,
            in_flight: 64,
            per_side: PerSide { legacy: 4, modern: 4 },
            within: Duration::from_secs(2),
            patience: Patience::default(),
        }
    }
}

/// A read that was answered and is to be asked of the other side.
#[derive(Debug)]
pub struct ShadowJob {
    /// Which root.
    pub root: Arc<Root>,
    /// Who answered the client.
    pub answered: Side,
    /// What was asked, with the answer.
    pub read: ShadowedRead,
    /// Which fields.
    pub fields: FieldSet,
    /// Who asked.
    pub asker: Asker,
    /// Where its trace goes on.
    pub here: Here,
}

/// A read with its answer.
#[derive(Debug)]
pub enum ShadowedRead {
    /// By key: one slot per key.
    Keys {
        /// What was looked up.
        keys: Vec<EntityKey>,
        /// What was found.
        records: Vec<Option<Record>>,
    },
    /// A list.
    List {
        /// The query's parameters.
        params: Params,
        /// What was found.
        records: Vec<Record>,
    },
}

impl ShadowedRead {
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Keys { keys, records } => budget::rows(records.iter().flatten()) + 128 * keys.len() as u64,
            Self::List { params: _, records } => budget::rows(records),
        }
    }
}

/// Asks, judges, confirms, and hands over what was found.
pub struct ShadowWorker {
    /// The newest rollout: who is secondary.
    pub rollout: Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
    /// The stores, in their shadow lane.
    pub stores: PerSide<Arc<dyn Store>>,
    /// Batchers in front of them, so that shadows cost a side few round trips.
    pub batches: PerSide<HashMap<EntityName, Arc<Batch>>>,
    /// Which keys have a write on its way.
    pub unsettled: Arc<UnsettledKeys>,
    /// Hides sensitive values.
    pub redactor: Redactor,
    /// Takes what was found. Must not block.
    pub observe: Arc<dyn Fn(Observation) + Send + Sync>,
    /// Counts verdicts, and how long each side took.
    pub figures: Recorder,
    /// Today's date, for excuses that end.
    pub today: fn() -> NaiveDate,
    /// Excuses that engineers have accepted; those of the contract count besides.
    pub excuses: AcceptedExcuses,
    /// Calls allowed at once.
    pub limits: PerSide<Semaphore>,
    /// Limits.
    pub settings: ShadowSettings,
}

impl ShadowWorker {
    /// Works until every [`Shadow`] is gone.
    pub async fn run(self: Arc<Self>, mut jobs: Jobs) {
        let room = Arc::new(Semaphore::new(self.settings.in_flight.max(1)));
        while let Some(Waiting { job, held }) = jobs.next().await {
            telemetry::shadow_queue(jobs.waiting());
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let worker = Arc::clone(&self);
            let span =
                job.here.continued_by(tracing::debug_span!(parent: None, "read.shadow", route = %job.root.route));
            let compared = async move {
                worker.compare(job).await;
                drop((place, held));
            };
            tokio::spawn(compared.instrument(span));
        }
    }

    async fn compare(&self, job: ShadowJob) {
        let ShadowJob { root, answered, read, fields, asker: _, here: _ } = job;
        let (asked, params, answer) = match read {
            ShadowedRead::Keys { keys, records } => (Asked::Keys(keys), None, Answer::from(records)),
            ShadowedRead::List { params, records } => {
                let ordered = matches!(&root.kind, RootKind::List { ordered: true, .. });
                let asked = Asked::List { ordered, params: params_text(&params) };
                (asked, Some(params), Answer::from(records))
            }
        };
        // The key names a record in the evidence, so it is always compared.
        let fields = fields.union(root.entity.key_fields());
        let question = Question { entity: Arc::clone(&root.entity), fields, asked };
        let judgement = self.judge(&root, question, params.as_ref(), answered, answer).await;
        if judgement.verdict == Verdict::Mismatch {
            tracing::info!(route = %root.route, "confirmed mismatch on {}: {judgement}", root.route);
        }
        let observation = self.redactor.observe(root.route.clone(), &root.entity, &judgement);
        self.figures.observed(&observation);
        (self.observe)(observation);
    }

    async fn judge(
        &self,
        root: &Root,
        question: Question,
        params: Option<&Params>,
        answered: Side,
        answer: Answer,
    ) -> Judgement {
        if !spelling::is_canonical(&question.asked, params) {
            return Judgement::inconclusive(Reason::Spelling);
        }
        let (other, took) = match self.timed(answered.other(), root, &question, params).await {
            Ok(other) => other,
            Err(reason) => return Judgement::inconclusive(reason),
        };
        if answered == Side::Modern {
            self.pair(root, &question, params, took).await;
        }
        let first = match answered {
            Side::Legacy => PerSide { legacy: answer, modern: other },
            Side::Modern => PerSide { legacy: other, modern: answer },
        };
        let excuses = self.excuses.of(&root.route, (self.today)());
        let mut step = Confirmation::begin(question, &first, excuses.clone(), self.settings.patience);
        loop {
            match step {
                Step::Done { judgement, .. } => {
                    let mut judgement = spelling::without_spelled(judgement, params);
                    self.explain(root, &mut judgement, &excuses).await;
                    return judgement;
                }
                Step::LookAgain { after, confirmation } => {
                    tokio::time::sleep(after).await;
                    let look = self.look(root, confirmation.question(), params).await;
                    step = confirmation.next(look);
                }
            }
        }
    }

    /// Puts what legacy has answered within `legacy` to modern as well, in the same lane and for its time alone.
    async fn pair(&self, root: &Root, question: &Question, params: Option<&Params>, legacy: Duration) {
        if !self.figures.wants_pair(&root.group, mark(root, question)) {
            return;
        }
        if let Ok((_, modern)) = self.timed(Side::Modern, root, question, params).await {
            self.figures.paired(&root.group, PerSide { legacy, modern });
        }
    }

    async fn look(&self, root: &Root, question: &Question, params: Option<&Params>) -> Result<Look, Reason> {
        let mut unsettled = self.unsettled_now(root, question)?;
        let legacy = self.ask(Side::Legacy, root, question, params).await?;
        let modern = self.ask(Side::Modern, root, question, params).await?;
        let legacy_again = self.ask(Side::Legacy, root, question, params).await?;
        unsettled.extend(self.unsettled_now(root, question)?);
        Ok(Look { legacy, modern, legacy_again, unsettled })
    }

    fn unsettled_now(&self, root: &Root, question: &Question) -> Result<Vec<EntityKey>, Reason> {
        match &question.asked {
            Asked::Keys(keys) => {
                let unsettled = keys.iter().filter(|key| self.unsettled.contains(&root.group, key));
                Ok(unsettled.cloned().collect())
            }
            Asked::List { .. } => self.unsettled.all(&root.group).ok_or(Reason::Unsettled),
        }
    }

    async fn ask(
        &self,
        side: Side,
        root: &Root,
        question: &Question,
        params: Option<&Params>,
    ) -> Result<Answer, Reason> {
        self.timed(side, root, question, params).await.map(|(answer, _)| answer)
    }

    /// The answer of `side`, and how long it took without the wait for a place.
    async fn timed(
        &self,
        side: Side,
        root: &Root,
        question: &Question,
        params: Option<&Params>,
    ) -> Result<(Answer, Duration), Reason> {
        let _place = self.limits.get(side).acquire().await.map_err(|_| Reason::Dropped)?;
        let within = self.settings.within;
        let began = Instant::now();
        let asked = match (&question.asked, &root.kind, params) {
            (Asked::Keys(keys), _, _) => {
                let batch = self.batches.get(side).get(&root.entity.name).ok_or(Reason::SideError)?;
                let looked = batch.fetch(keys.clone(), question.fields, within).await;
                looked.map(Answer::from).map_err(|error| Reason::of(&error))
            }
            (Asked::List { .. }, RootKind::List { sql, .. }, Some(params)) => {
                let store = self.stores.get(side);
                let list = store.list(&root.entity, sql.get(side), params, question.fields, within);
                let listed = traces::within(traces::call(&**store, "store.list"), list).await;
                listed.map(Answer::from).map_err(|error| Reason::of(&error))
            }
            // A list is only ever asked of a list root, with its parameters.
            (Asked::List { .. }, _, _) => Err(Reason::SideError),
        };
        let took = began.elapsed();
        if asked.is_ok() {
            self.figures.shadowed(&root.group, side, took);
        }
        if side == Side::Modern {
            self.figures.modern_was_asked(&root.group, asked.is_ok());
        }
        asked.map(|answer| (answer, took))
    }

    /// Looks into both ledgers: is one side's state simply an older one of the other's?
    async fn explain(&self, root: &Root, judgement: &mut Judgement, excuses: &Excuses) {
        /// Older states that are looked at.
        const PAST: usize = 20;
        for key in judgement.differing_keys() {
            let mut past = PerSide { legacy: Vec::new(), modern: Vec::new() };
            for side in Side::BOTH {
                let states = self.stores.get(side).past_states(&root.entity, &key, PAST, self.settings.within).await;
                // Without the ledger the cause is only less precise.
                *past.get_mut(side) = states.unwrap_or_default();
            }
            judgement.explain_by_past(&root.entity, &key, &past, excuses);
            if judgement.is_unexplained(&key) && self.is_foreign(root, &key).await {
                judgement.attribute(&root.entity, &key, Cause::ForeignWrite, excuses);
                self.figures.found_foreign(&root.group, Mark::of(root.entity.name.as_str(), key.as_text()));
            }
        }
    }

    /// Whether the secondary's row is not as our last write left it.
    async fn is_foreign(&self, root: &Root, key: &EntityKey) -> bool {
        let policy = (self.rollout)().policy(&root.group);
        let secondary = self.stores.get(policy.primary().other());
        let left = secondary.as_left(&root.entity, key, self.settings.within);
        // Without an answer the cause is only less precise.
        policy.stage().dual_writes() && matches!(left.await, Ok(Some(false)))
    }
}

/// Stands for a question, whoever asks it.
fn mark(root: &Root, question: &Question) -> Mark {
    let asked = match &question.asked {
        Asked::Keys(keys) => keys.iter().map(EntityKey::as_text).collect::<Vec<_>>().join("\n"),
        Asked::List { params, .. } => params.clone(),
    };
    Mark::of(root.route.as_str(), &asked)
}
