//! The reading half of execution: every record that the answer needs, one level after the other.
//!
//! A *level* is all objects that one selection stands for, wherever in the answer they are. A link is
//! asked once for a whole level: all its keys in one call, equal ones once. Links of one level run
//! concurrently. Nothing is written here and no null bubbles: that is `complete`.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, join_all};
use futures::stream::{self, StreamExt};
use model::contract::{Param, ParamSource, WriteAction, WriteAnswer};
use model::sql::Params;
use model::{EntityKey, Record, RootKind};

use super::plan::{Call, Field, Selection, Source};
use super::prepare::Prepared;
use super::visit::Visit;
use net::budget::rows;
use request::arguments::{Arguments, Origin};
use request::error::{Fault, InternalError};
use request::roads::Roads;

/// The objects of one selection, and what their links answered.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// The objects. One that several parents share stands here once.
    pub(crate) records: Vec<Record>,
    /// By place in the selection; empty when it has no links.
    pub(crate) links: Vec<Option<Answers>>,
}

/// What one root field or link answered to each of its parents.
#[derive(Debug)]
pub(crate) struct Answers {
    /// One slot per parent.
    pub(crate) slots: Vec<Slot>,
    /// The objects that the slots point to.
    pub(crate) level: Level,
}

/// The answer to one parent.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    /// There is no such entity.
    Null,
    /// One object of the level.
    One(usize),
    /// A list of them.
    Many(Vec<Option<usize>>),
    /// A mutation that answers `true`.
    Done,
    /// No answer.
    Failed(Arc<Fault>),
}

/// Asks the roads on behalf of one request.
pub(crate) struct Fetcher<'a> {
    pub(crate) roads: &'a dyn Roads,
    pub(crate) visit: &'a Visit,
    pub(crate) prepared: &'a Prepared,
    /// List links asked at once.
    pub(crate) fan_out: usize,
}

/// Slots and the records that they point to.
struct Found {
    slots: Vec<Slot>,
    records: Vec<Record>,
}

impl Fetcher<'_> {
    /// Answers one field at the root, and everything below it.
    pub(crate) async fn root(&self, field: &Field, call: &Call) -> Answers {
        self.answer(field, call, &[None]).await
    }

    async fn answer(&self, field: &Field, call: &Call, parents: &[Option<&Record>]) -> Answers {
        let found = match self.ask(field, call, parents).await {
            Ok(found) => found,
            Err(fault) => {
                self.log(call, &fault);
                Found::failed(fault, parents.len())
            }
        };
        let level = if call.selection.has_calls && !found.records.is_empty() {
            self.descend(&call.selection, found.records).await
        } else {
            Level { records: found.records, links: Vec::new() }
        };
        Answers { slots: found.slots, level }
    }

    /// Asks every link of a level. Boxed: selections nest.
    fn descend<'s>(&'s self, selection: &'s Selection, records: Vec<Record>) -> BoxFuture<'s, Level> {
        async move {
            let parents: Vec<_> = records.iter().map(Some).collect();
            let included = selection.included(&self.prepared.variables);
            let links = included.filter_map(|(place, field)| match &field.source {
                Source::Call(call) => {
                    let answers = self.answer(field, call, &parents);
                    Some(async move { (place, answers.await) })
                }
                Source::TypeName(_) | Source::Stored(..) | Source::Introspection => None,
            });
            let answered = join_all(links).await;
            let mut links = Vec::new();
            links.resize_with(selection.fields.len(), || None);
            for (place, answers) in answered {
                links[place] = Some(answers);
            }
            Level { records, links }
        }
        .boxed()
    }

    async fn ask(&self, field: &Field, call: &Call, parents: &[Option<&Record>]) -> Result<Found, Fault> {
        let arguments = self.prepared.arguments(call)?;
        match &call.root.kind {
            RootKind::ByKey { key } => self.by_key(call, arguments, key, parents).await,
            RootKind::ByKeys { argument } => {
                let keys = arguments.keys(&call.root.entity, argument)?;
                self.by_keys(call, keys, parents.len()).await
            }
            RootKind::List { params, .. } => self.list(call, arguments, params, parents).await,
            RootKind::Write(action) => self.write(field, call, arguments, action).await,
        }
    }

    /// One key per parent. A parent without key (a part of it is null) has null for an answer.
    async fn by_key(
        &self,
        call: &Call,
        arguments: &Arguments,
        sources: &[ParamSource],
        parents: &[Option<&Record>],
    ) -> Result<Found, Fault> {
        let mut keys = Vec::with_capacity(parents.len());
        for parent in parents {
            let origin = Origin { parent: *parent, ..Origin::default() };
            keys.push(arguments.key(&call.root.entity, sources, origin)?);
        }
        let (places, records) = self.look_up(call, keys).await?;
        let slot = |place: Option<usize>| place.map_or(Slot::Null, Slot::One);
        Ok(Found { slots: places.into_iter().map(slot).collect(), records })
    }

    async fn by_keys(&self, call: &Call, keys: Vec<EntityKey>, parents: usize) -> Result<Found, Fault> {
        let (places, records) = self.look_up(call, keys.into_iter().map(Some).collect()).await?;
        Ok(Found { slots: vec![Slot::Many(places); parents], records })
    }

    /// Reads the distinct keys in one call. One place in the records per key given.
    async fn look_up(
        &self,
        call: &Call,
        keys: Vec<Option<EntityKey>>,
    ) -> Result<(Vec<Option<usize>>, Vec<Record>), Fault> {
        let mut distinct: Vec<EntityKey> = Vec::with_capacity(keys.len());
        let mut seen: HashMap<EntityKey, usize> = HashMap::with_capacity(keys.len());
        let numbers: Vec<Option<usize>> = keys
            .into_iter()
            .map(|key| {
                let key = key?;
                Some(*seen.entry(key).or_insert_with_key(|key| {
                    distinct.push(key.clone());
                    distinct.len() - 1
                }))
            })
            .collect();
        if distinct.is_empty() {
            return Ok((vec![None; numbers.len()], Vec::new()));
        }
        let asked = distinct.len();
        let fields = call.selection.needs(&self.prepared.variables);
        let context = &self.visit.context;
        let answer = self.roads.by_keys(context, &call.root, distinct, fields).await?;
        if answer.len() != asked {
            return Err(misfit("a road answered with another number of records than keys"));
        }
        self.visit.meter.add(rows(answer.iter().flatten()))?;
        let mut records = Vec::with_capacity(answer.len());
        let mut place_of = |record: Option<Record>| {
            records.push(record?);
            Some(records.len() - 1)
        };
        let places: Vec<_> = answer.into_iter().map(&mut place_of).collect();
        let place = |number: Option<usize>| places.get(number?).copied().flatten();
        Ok((numbers.into_iter().map(place).collect(), records))
    }

    /// One list per parent; parents with equal parameters share one.
    async fn list(
        &self,
        call: &Call,
        arguments: &Arguments,
        params: &[Param],
        parents: &[Option<&Record>],
    ) -> Result<Found, Fault> {
        let mut distinct: Vec<Params> = Vec::new();
        let mut seen: HashMap<Params, usize> = HashMap::new();
        let mut numbers = Vec::with_capacity(parents.len());
        for parent in parents {
            let origin = Origin { parent: *parent, ..Origin::default() };
            let params = arguments.params(params, origin)?;
            numbers.push(*seen.entry(params).or_insert_with_key(|params| {
                distinct.push(params.clone());
                distinct.len() - 1
            }));
        }
        let fields = call.selection.needs(&self.prepared.variables);
        let list = async |params| -> Result<Vec<Record>, Fault> {
            let list = self.roads.list(&self.visit.context, &call.root, params, fields).await?;
            self.visit.meter.add(rows(&list))?;
            Ok(list)
        };
        let lists: Vec<_> = stream::iter(distinct).map(list).buffered(self.fan_out).collect().await;
        let mut records = Vec::new();
        let mut slots = Vec::with_capacity(lists.len());
        for list in lists {
            slots.push(match list {
                Ok(list) => {
                    let first = records.len();
                    records.extend(list);
                    Slot::Many((first..records.len()).map(Some).collect())
                }
                Err(fault) => {
                    self.log(call, &fault);
                    Slot::Failed(Arc::new(fault))
                }
            });
        }
        Ok(Found { slots: numbers.into_iter().map(|number| slots[number].clone()).collect(), records })
    }

    async fn write(
        &self,
        field: &Field,
        call: &Call,
        arguments: &Arguments,
        action: &WriteAction,
    ) -> Result<Found, Fault> {
        let name = self.visit.scoped(&field.name);
        let context = &self.visit.context;
        let answer = self.roads.write(context, &call.root, arguments, &name).await?;
        let mut answer = answer;
        // Counted, and never refused: it stands.
        let _ = self.visit.meter.add(rows(answer.iter().flatten())).is_ok();
        let mut records = Vec::new();
        let mut take = |touch: usize| match answer.get_mut(touch) {
            None => Err(misfit("a write answered with fewer records than it touches")),
            Some(record) => Ok(record.take().map(|record| {
                records.push(record);
                records.len() - 1
            })),
        };
        let slot = match &action.answer {
            WriteAnswer::Done => Slot::Done,
            WriteAnswer::One(touch) => take(*touch)?.map_or(Slot::Null, Slot::One),
            WriteAnswer::Many(touches) => {
                Slot::Many(touches.iter().map(|touch| take(*touch)).collect::<Result<_, _>>()?)
            }
        };
        Ok(Found { slots: vec![slot], records })
    }

    /// The only place where an error of the roads is logged; clients are not told the details.
    fn log(&self, call: &Call, fault: &Fault) {
        if let Fault::Internal(error) = fault {
            let (route, request) = (&call.root.route, &self.visit.request_id);
            tracing::error!(%route, request.id = %request, code = error.code(), %error,
                "{route} has no answer, request {request}");
        }
    }
}

impl Found {
    fn failed(fault: Fault, parents: usize) -> Self {
        Self { slots: vec![Slot::Failed(Arc::new(fault)); parents], records: Vec::new() }
    }
}

fn misfit(problem: &str) -> Fault {
    Fault::Internal(InternalError::Misfit(problem.to_owned()))
}
