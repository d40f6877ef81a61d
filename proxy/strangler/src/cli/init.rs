//! `init`: the bookkeeping tables on both sides and in the control database.

use std::sync::Arc;
use std::time::Duration;

use model::shape::registered;
use model::{GroupName, Holder, NotRead, PerSide, Rollout, Shape, Side, StoreError, Why};
use serde_json::json;

use super::Stop;
use super::args::{Database, InitArgs, To};
use super::desk::Desk;
use control_plane::handover::begin::{begin, broken};
use control_plane::rollout::publish::{publish_initial, publish_new_groups};
use data_plane::fences::were_there_writes;
use request::error::with_root;

/// A DBA's locks may take a while.
const WITHIN: Duration = Duration::from_secs(30);

/// A look waits for nobody.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn run(desk: &Desk, args: &InitArgs) -> Result<(), Stop> {
    let groups = desk.contract().groups();
    if let Some(database) = args.print_ddl {
        let ddl = printed(desk, database, &groups).await;
        desk.out.json(&json!({ "ddl": ddl }));
        if !desk.out.is_json() {
            desk.out.text(&ddl);
        }
        return Ok(());
    }
    for side in Side::BOTH {
        let prepared = desk.side(side).prepare(&groups, WITHIN).await;
        prepared.map_err(|error| match &error {
            StoreError::Misfit { .. } => {
                Stop::No(format!("{error}; or let a DBA run what `strangler init --print-ddl {side}` prints"))
            }
            StoreError::Unreachable { .. }
            | StoreError::Unwritable { .. }
            | StoreError::NoAnswer { .. }
            | StoreError::Conflict { .. }
            | StoreError::Refused { .. }
            | StoreError::KeyReused
            | StoreError::Fenced { .. }
            | StoreError::SnapshotLost { .. } => error.into(),
        })?;
        desk.out.line(format!("{side}: bookkeeping is there."));
    }
    desk.control().prepare().await?;
    desk.out.line("control: tables are there.");
    if args.adopt.is_some() {
        nobody_works(desk).await?;
    }
    if args.accept_contract {
        accept(desk).await?;
    }
    let adopt = args.adopt.map(|side| match side {
        To::Legacy => Side::Legacy,
        To::Modern => Side::Modern,
    });
    let stores = PerSide { legacy: Arc::clone(desk.side(Side::Legacy)), modern: Arc::clone(desk.side(Side::Modern)) };
    // Asked before a fence is moved.
    let wrote = were_there_writes(desk.contract(), &stores, WITHIN).await?;
    let begun = begin(desk.contract(), &stores, adopt, WITHIN).await.map_err(|error| Stop::No(with_root(&error)))?;
    for (group, Holder { side, epoch, alone }) in &begun {
        let alone = if *alone { " alone" } else { "" };
        desk.out.line(format!("{group}: {side} takes writes{alone}, under epoch {}.", epoch.0));
    }
    let contradicting = broken(desk.contract(), &stores, WITHIN).await?;
    let rollout = match desk.control().newest().await? {
        Some(record) => {
            publish_new_groups(desk.control(), record.rollout, &begun, &data_plane::state_dir::machine_name()).await?
        }
        None if wrote && adopt.is_none() => {
            return Err(Stop::No(
                "the control database has no rollout, and the sides remember writes: this is no first start. Restore the control database, or start a replica that still has its state folder (it publishes what it knows); if there is none, `strangler init --adopt SIDE` begins anew: stage `legacy` where legacy has the authority, `reverse` where modern has it".to_owned(),
            ));
        }
        None => {
            let mut rollout = Rollout::initial(groups);
            for (group, holder) in begun {
                rollout.policies.entry(group).and_modify(|policy| *policy = policy.following(holder));
            }
            publish_initial(desk.control(), rollout, &data_plane::state_dir::machine_name()).await?
        }
    };
    desk.out.line(format!("Rollout {}. Next: `strangler check`, then `strangler serve`.", rollout.version));
    desk.out.json(&json!({ "rollout": rollout.version, "contradicting": contradicting }));
    if contradicting.is_empty() { Ok(()) } else { Err(Stop::No(contradicting.join("\n"))) }
}

/// A replica that was heard of within this time may still work.
pub(super) const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// An adoption is for a time when nobody works under a former contract. A control database that does not tell stops it.
async fn nobody_works(desk: &Desk) -> Result<(), Stop> {
    let replicas = desk.control().replicas(HEARD_WITHIN).await?;
    if replicas.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = replicas.iter().map(|replica| replica.id.to_string()).collect();
    Err(Stop::No(format!(
        "replicas work: {}. Stop every replica before a side is adopted; one that was killed counts for {} s",
        names.join(", "),
        HEARD_WITHIN.as_secs()
    )))
}

/// What the database lacks. Where it cannot be asked, a DBA is given everything.
async fn printed(desk: &Desk, database: Database, groups: &[GroupName]) -> String {
    let side = match database {
        Database::Legacy => Side::Legacy,
        Database::Modern => Side::Modern,
        Database::Control => {
            let found = desk.control().bookkeeping().await;
            let said = found.as_ref().err().map(|error| unasked(error));
            return said.unwrap_or_default() + &desk.control().ddl(found.ok().as_ref());
        }
    };
    let found = desk.side(side).bookkeeping(LOOK_WITHIN).await;
    let said = found.as_ref().err().map(|error| unasked(error));
    said.unwrap_or_default() + &desk.side(side).bookkeeping_ddl(found.ok().as_ref(), groups)
}

fn unasked(error: &dyn std::fmt::Display) -> String {
    format!("-- What is there could not be looked at ({error}): this is everything, from nothing.\n")
}

/// Changes that are looked through before a contract is accepted.
const MOST_LEFT: usize = 1_000;

/// Registers this contract's shapes. What replicas of another contract have written and this one cannot read must be on
/// both sides before: nobody would bring it over afterwards.
async fn accept(desk: &Desk) -> Result<(), Stop> {
    for side in Side::BOTH {
        for group in desk.contract().groups() {
            let left = desk.side(side).left_to_newer(&group, MOST_LEFT, WITHIN).await?;
            let wider: Vec<_> = left.iter().filter(|one| one.why != Why::Shape).collect();
            if let Some(NotRead { key, why, .. }) = wider.first() {
                return Err(Stop::No(format!(
                    "{} changes of group {group} wait in {side}'s ledger that this contract cannot read, the first is of \
                     {key:?} ({why}): let a replica of the other contract settle them, then run this again",
                    wider.len()
                )));
            }
        }
    }
    for side in Side::BOTH {
        let store = desk.side(side);
        let remembered = store.shapes(WITHIN).await?;
        for (name, entity) in &desk.contract().entities {
            let (own, now) = (Shape::of(entity), registered(&remembered, name));
            if now.is_some_and(|now| now.id == own.id()) {
                continue;
            }
            if !store.register(&own, now.map_or(0, |now| now.rank), WITHIN).await? {
                return Err(Stop::No(format!(
                    "another shape of {name} was registered on {side} meanwhile: run this again"
                )));
            }
            desk.out.line(format!("{side}: this contract's {name} is registered."));
        }
    }
    Ok(())
}
