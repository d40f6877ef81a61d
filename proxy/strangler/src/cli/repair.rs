//! `repair`: level single rows, or every row that differs for one cause, with the primary's state.

use std::collections::BTreeSet;
use std::sync::Arc;

use adapters::Lane;
use clap::Args;
use model::control::reconciliation::{RepairCount, RepairOrder};
use model::control::{Action, Author, Deed, EvidenceFilter, Findings, RunId};
use model::evidence::Cause;
use model::own_key::number_named;
use model::{EntityKey, EntityName, EntityType, FieldName, GroupName, Policy};
use serde_json::json;
use shadow_compare::Redactor;
use shadow_compare::reconcile::{Drifted, Wanted};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Stop;
use super::desk::Desk;
use super::left_behind;
use super::reconcile::{author, entity, of_group, reconcile, reconciler, redactor, settings, stop_by_interrupt};
use contract::suggest;
use data_plane::breaker::Breaker;
use data_plane::catchup::repair::{Levelled, RepairSettings, Repairer};
use data_plane::reconcile::{ReconcileSettings, Run};
use data_plane::write::apply::Door;

/// Keys that are named to people, and keys that could not be levelled.
const SHOWN: usize = 20;

/// `repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// The group whose rows are levelled. Goes with --cause.
    #[arg(required_unless_present = "entity", conflicts_with = "key")]
    pub group: Option<String>,
    /// The type, for --key; or instead of the group.
    #[arg(long, value_name = "TYPE", conflicts_with = "group")]
    pub entity: Option<String>,
    /// The key of one row, as a JSON array. May be given several times.
    #[arg(long, value_name = "JSON", conflicts_with = "cause", required_unless_present_any = ["cause", "left_behind"])]
    pub key: Vec<String>,
    /// Every row that differs for this cause, such as missing-row.
    #[arg(long)]
    pub cause: Option<String>,
    /// Only rows in which this field differs.
    #[arg(long, requires = "cause")]
    pub field: Option<String>,
    /// Compare both sides at rest to find the rows. This is the default.
    #[arg(long, requires = "cause")]
    pub from_reconcile: bool,
    /// Only rows that shadow reads have kept as samples: quick, and a few of them.
    #[arg(long, requires = "cause", conflicts_with = "from_reconcile")]
    pub from_diffs: bool,
    /// What handovers of the group left behind by force: list it, and end it with the states of the present primary.
    /// Whoever wants its effect repeats it there first. With --dry-run it is only listed.
    #[arg(long, requires = "group", conflicts_with_all = ["key", "cause", "entity"])]
    pub left_behind: bool,
    /// Level at most so many rows of a type.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub limit: usize,
    /// Begin with at most so many rows a second.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub per_second: u32,
    /// Say which rows, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who you are, for the record. Default: the login name.
    #[arg(long, env = "STRANGLER_WHO", value_name = "NAME")]
    pub who: Option<String>,
}

pub(super) async fn run(desk: &Desk, args: &RepairArgs) -> Result<(), Stop> {
    let author = author(desk, args.who.as_deref(), Some(&args.reason))?;
    let types = match (&args.entity, &args.group) {
        (Some(name), _) => vec![entity(desk, name)?],
        (None, Some(name)) => of_group(desk, &desk.group(name)?),
        (None, None) => return Err(Stop::BadUse("name a group, or a type with --entity".to_owned())),
    };
    let wanted = wanted(desk, args)?;
    let group = types.first().map(|entity| entity.group.clone());
    let group = group.ok_or_else(|| Stop::BadUse("the group has no types".to_owned()))?;
    let named = match types.first().filter(|_| wanted.is_none()) {
        Some(entity) => Some(by_either_key(desk, entity, keys(entity, &args.key)?).await?),
        None => None,
    };
    let policy = desk.office().newest().await?.rollout.policy(&group);
    if !policy.stage().dual_writes() {
        let stage = policy.stage();
        return Err(Stop::No(format!(
            "group {group} is in stage {stage}: nothing keeps the other side equal, so what is levelled now would drift again; set stage dual-write first"
        )));
    }
    if args.left_behind {
        return left_behind::run(desk, &group, &policy, author, args.dry_run).await;
    }
    let mending = Mending::new(desk, &policy, &author, args.per_second);
    let (stop, redactor) = (stop_by_interrupt(), redactor(desk)?);
    let (mut shown, mut level) = (Vec::new(), true);
    for entity in &types {
        let (found, asked) = match (&wanted, &named) {
            (Some(wanted), _) if args.from_diffs => {
                let (keys, all) = from_diffs(desk, &group, entity, wanted).await?;
                level &= all;
                (keys, asked(wanted))
            }
            (Some(wanted), _) => {
                let (mut keys, all) = from_reconcile(&mending, entity, wanted, args.limit, &stop).await?;
                let (blocked, all_blocked) = mending.blocked(entity, wanted).await?;
                level &= all && all_blocked;
                keys.extend(blocked);
                keys.sort_unstable();
                keys.dedup();
                (keys, asked(wanted))
            }
            (None, keys) => {
                // Without a cause there are keys: clap asks for one of the two.
                let keys = keys.clone().unwrap_or_default();
                let texts: Vec<_> = keys.iter().map(|key| redactor.key_text(entity, key)).collect();
                (keys, format!("key {}", texts.join(", ")))
            }
        };
        level &= found.len() <= args.limit;
        let found: Vec<_> = found.into_iter().take(args.limit).collect();
        let texts: Vec<_> = found.iter().map(|key| redactor.key_text(entity, key)).collect();
        let mut one = json!({ "entity": entity.name, "keys": texts, "dry_run": args.dry_run });
        if args.dry_run {
            desk.out.line(format!("{}: {} rows would be levelled.", entity.name, found.len()));
            texts.iter().take(SHOWN).for_each(|key| desk.out.line(format!("  {key}")));
        } else {
            let count = mending.level(entity, &found, &asked, &stop).await?;
            level &= count.is_level() && rest(&count, found.len()) == 0;
            // Whoever names a key means a record.
            level &= named.is_none() || count.absent == 0;
            one["count"] = json!(count);
        }
        shown.push(one);
    }
    desk.out.json(&json!({ "group": group, "types": shown }));
    if level && !stop.is_cancelled() { Ok(()) } else { Err(Stop::Told) }
}

/// Rows are levelled for one author under one policy.
pub(super) struct Mending<'a> {
    desk: &'a Desk,
    policy: Policy,
    author: Author,
    repairer: Repairer,
}

impl<'a> Mending<'a> {
    pub(super) fn new(desk: &'a Desk, policy: &Policy, author: &Author, per_second: u32) -> Self {
        let (stores, config) = (desk.backends.lane(Lane::Admin), &desk.config);
        let breaker = |_| Arc::new(Breaker::new(config.reads.breaker));
        let doors = Door::both(&desk.backends.loaded.contract, &stores, breaker, config.writes.apply_timeout, None);
        let settings = RepairSettings { per_second, ..RepairSettings::default() };
        let repairer = Repairer { stores, doors, today: || chrono::Utc::now().date_naive(), settings };
        Self { desk, policy: *policy, author: author.clone(), repairer }
    }

    /// Rows whose writes are unsettled because somebody else has changed them: while they are, reconcile says nothing
    /// of them.
    async fn blocked(&self, entity: &EntityType, wanted: &Wanted) -> Result<(Vec<EntityKey>, bool), Stop> {
        if wanted.cause != Cause::ForeignWrite || wanted.field.is_some() {
            return Ok((Vec::new(), true));
        }
        let blocked = self.repairer.blocked(&self.policy, entity).await;
        let (keys, all) = blocked.map_err(|error| Stop::No(error.to_string()))?;
        if !all {
            let name = &entity.name;
            self.desk.out.warn(format!("{name}: too many writes are unsettled to look through all: run it again"));
        }
        Ok((keys, all))
    }

    /// A primary without a single row is more likely a mistake than the truth, and would empty the secondary.
    pub(super) fn require_rows(
        &self,
        entity: &EntityType,
        findings: &Findings,
        listed: &[Drifted],
    ) -> Result<(), Stop> {
        let primary = self.policy.primary();
        if *findings.rows.get(primary) > 0 || listed.is_empty() {
            return Ok(());
        }
        let name = &entity.name;
        Err(Stop::No(format!(
            "{primary} holds no row of {name} at all: levelling would delete every one on {}; if that is meant, delete them there yourself",
            primary.other()
        )))
    }

    /// Levels `keys`, on record before the first of them is touched.
    pub(super) async fn level(
        &self,
        entity: &Arc<EntityType>,
        keys: &[EntityKey],
        asked: &str,
        stop: &CancellationToken,
    ) -> Result<RepairCount, Stop> {
        let (desk, name, redactor) = (self.desk, &entity.name, redactor(self.desk)?);
        if keys.is_empty() {
            desk.out.line(format!("{name}: no row to be levelled."));
            return Ok(RepairCount::default());
        }
        let id = RunId(Uuid::now_v7());
        let (group, author) = (entity.group.clone(), self.author.clone());
        let order = RepairOrder { id, group, entity: name.clone(), author, asked: asked.to_owned() };
        desk.control().begin_repair(&order).await?;
        let detail = json!({ "repair": id, "type": name, "asked": asked, "keys": keys.len() });
        let (group, author) = (Some(entity.group.clone()), self.author.clone());
        desk.control().note(&Deed { action: Action::Repaired, group, author, rollout: None, detail }).await?;
        let told = |key: &EntityKey, outcome: &Levelled| self.tell_trouble(&redactor, entity, key, outcome);
        let count = Box::pin(self.repairer.level_all(&self.policy, entity, keys, stop, told)).await;
        desk.control().end_repair(id, &count).await?;
        self.tell(name, &count, keys.len());
        Ok(count)
    }

    fn tell_trouble(&self, redactor: &Redactor, entity: &EntityType, key: &EntityKey, outcome: &Levelled) {
        let key = redactor.key_text(entity, key);
        match outcome {
            Levelled::Already | Levelled::Repaired => {}
            Levelled::NoSuchRecord => self.desk.out.warn(format!("{key}: no such record on either side")),
            Levelled::LeftToRelay => {
                self.desk.out.warn(format!("{key}: left to the relay, the other side is out of reach"))
            }
            Levelled::Differs => self.desk.out.warn(format!("{key}: applied, and differs still or again")),
            Levelled::Refused(why) => self.desk.out.warn(format!("{key}: {why}")),
        }
    }

    fn tell(&self, name: &EntityName, count: &RepairCount, asked: usize) {
        let out = self.desk.out;
        let RepairCount { repaired, level, absent, left, differs, refused } = count;
        out.line(format!("{name}: {repaired} of {asked} rows levelled, {level} were level already."));
        if *absent > 0 {
            out.line(format!("  {absent} name no record on either side."));
        }
        if *left > 0 {
            out.line(format!("  {left} left to the relay: the other side is out of reach."));
        }
        if *differs > 0 {
            out.line(format!(
                "  {differs} differ still or again: somebody writes them all the time, or past strangler."
            ));
        }
        for (why, rows) in refused {
            out.line(format!("  {rows} not levelled: {why}"));
        }
        let rest = rest(count, asked);
        if rest > 0 {
            out.line(format!("  {rest} not begun: it was stopped."));
        }
    }
}

/// Keys that were not begun.
fn rest(count: &RepairCount, asked: usize) -> u64 {
    let RepairCount { repaired, level, absent, left, differs, refused } = count;
    (asked as u64).saturating_sub(repaired + level + absent + left + differs + refused.values().sum::<u64>())
}

fn asked(wanted: &Wanted) -> String {
    match &wanted.field {
        Some(field) => format!("every row with cause {} in {field}", wanted.cause),
        None => format!("every row with cause {}", wanted.cause),
    }
}

fn wanted(desk: &Desk, args: &RepairArgs) -> Result<Option<Wanted>, Stop> {
    let Some(name) = &args.cause else { return Ok(None) };
    let rows = || Cause::ALL.into_iter().filter(|cause| !matches!(cause, Cause::Order | Cause::Logic));
    let cause = rows().find(|cause| cause.as_str() == name).ok_or_else(|| {
        let known = suggest::or_all(name, "", rows().map(Cause::as_str));
        Stop::BadUse(format!("there is no cause `{name}` of a row: {known}"))
    })?;
    let fields: Vec<&FieldName> =
        desk.contract().entities.values().flat_map(|entity| entity.fields.iter().map(|field| &field.name)).collect();
    let field = args.field.as_ref().map(|name| {
        let known = || suggest::or_all(name, "", fields.iter().map(|field| field.as_str()));
        let found = fields.iter().find(|field| field.as_str() == name);
        found
            .map(|field| (*field).clone())
            .ok_or_else(|| Stop::BadUse(format!("there is no field `{name}`: {}", known())))
    });
    Ok(Some(Wanted { cause, field: field.transpose()? }))
}

/// The keys as they were given.
fn keys(entity: &EntityType, given: &[String]) -> Result<Vec<EntityKey>, Stop> {
    let fields: Vec<_> = entity.key().iter().map(|index| entity.field(*index).name.as_str()).collect();
    let example: Vec<_> = fields.iter().map(|field| format!("\"{field}\"")).collect();
    let wrong = || {
        Stop::BadUse(format!(
            "--key is a JSON array with {} of {}, in this order: '[{}]'",
            fields.join(" and "),
            entity.name,
            example.join(",")
        ))
    };
    given.iter().map(|text| EntityKey::from_text(entity, text).ok_or_else(wrong)).collect()
}

/// The canonical keys, where numbers of the ERP were given. Legacy knows every number.
async fn by_either_key(desk: &Desk, entity: &EntityType, mut keys: Vec<EntityKey>) -> Result<Vec<EntityKey>, Stop> {
    let numbers: Vec<_> = keys.iter().filter_map(number_named).collect();
    if entity.number_field().is_none() || numbers.is_empty() {
        return Ok(keys);
    }
    let legacy = desk.backends.lane(Lane::Admin).legacy;
    let mut found = legacy.keys_of(entity, &numbers, desk.config.writes.apply_timeout).await?.into_iter();
    for key in keys.iter_mut().filter(|key| number_named(key).is_some()) {
        if let Some(canonical) = found.next().flatten() {
            *key = canonical;
        }
    }
    Ok(keys)
}

/// The rows that a run names, and whether these are all that there are.
async fn from_reconcile(
    mending: &Mending<'_>,
    entity: &Arc<EntityType>,
    wanted: &Wanted,
    limit: usize,
    stop: &CancellationToken,
) -> Result<(Vec<EntityKey>, bool), Stop> {
    let desk = mending.desk;
    let reconciler = reconciler(desk, ReconcileSettings { most_listed: limit, ..settings(desk) })?;
    let run = Run::new(Arc::clone(entity), mending.author.clone(), mending.policy).naming(wanted.clone());
    let found = reconcile(desk, &reconciler, &run, stop).await?;
    let problem = found.findings.why_incomplete();
    if let Some(problem) = &problem {
        desk.out.warn(format!("{}: not every row could be compared: {problem}", entity.name));
    }
    mending.require_rows(entity, &found.findings, &found.listed)?;
    // Fewer are named than the limit only when all of the wanted kind are.
    let all = found.listed.len() < limit;
    if !all {
        desk.out.warn(format!("{}: at most {limit} rows are taken at once: run it again for the rest", entity.name));
    }
    Ok((found.listed.into_iter().map(|row| row.key).collect(), all && problem.is_none()))
}

async fn from_diffs(
    desk: &Desk,
    group: &GroupName,
    entity: &EntityType,
    wanted: &Wanted,
) -> Result<(Vec<EntityKey>, bool), Stop> {
    if entity.key().iter().any(|index| entity.field(*index).sensitive) {
        return Err(Stop::BadUse(format!(
            "the keys of {} are sensitive, so samples hold only hashes of them: leave out --from-diffs",
            entity.name
        )));
    }
    let of_type = desk.contract().roots.values().filter(|root| root.group == *group && root.entity.name == entity.name);
    let routes = Some(of_type.map(|root| root.route.clone()).collect());
    let filter = EvidenceFilter { routes, field: wanted.field.clone(), cause: Some(wanted.cause), since: None };
    let sums = desk.control().evidence(&filter).await?;
    let read: Vec<_> = sums.samples.iter().map(|sample| EntityKey::from_text(entity, &sample.difference.key)).collect();
    let unread = read.iter().filter(|key| key.is_none()).count();
    if unread > 0 {
        desk.out.warn(format!("{}: {unread} samples name no key of it and are left out", entity.name));
    }
    // A row may be kept for several fields.
    let keys: BTreeSet<EntityKey> = read.into_iter().flatten().collect();
    Ok((keys.into_iter().collect(), unread == 0))
}

/// The things, or why there are none.
pub(super) fn or_none<T>(things: Vec<T>, why: &str) -> Result<Vec<T>, Stop> {
    if things.is_empty() { Err(Stop::No(why.to_owned())) } else { Ok(things) }
}
