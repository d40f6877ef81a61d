//! `sides`: each side's life, and raising one that waits for a person.

mod seen;

use std::collections::HashSet;

use clap::{Args, Subcommand, ValueEnum};
use model::control::{Action, Author, Deed};
use model::life::{Life, Noted, Over, Verdict};
use model::{EntityKey, Side};
use serde_json::{Value as Json, json};

use self::seen::tell;
use super::Stop;
use super::args::WhoArgs;
use super::desk::Desk;
use super::reconcile::redactor;
use control_plane::desk::SideSeen;
use control_plane::handover::begin::broken;
use data_plane::lives::lost::{Order, Outcome};
use data_plane::lives::memories::Memories;
use data_plane::lives::raise;
use data_plane::lives::sagas::{Recovered, of_lost, orphans, recover};
use data_plane::own_keys::sequences_in_trouble;
use request::error::with_root;

/// What to do with sides.
#[derive(Debug, Subcommand)]
pub enum SidesCommand {
    /// Whether each side is the database that we knew, and what it has lost.
    Show,
    /// Let a side take writes again that has gone back or was moved, under a higher incarnation.
    Raise(RaiseArgs),
}

/// `sides raise`.
#[derive(Debug, Args)]
pub struct RaiseArgs {
    /// Which side.
    pub side: Named,
    /// What becomes of writes that this side has acknowledged and lost, and that the other side still has.
    #[arg(long, value_name = "WHAT")]
    pub lost: Option<Lost>,
    /// Bring back over rows, too, that no write of ours had touched before the loss: nobody knows whether somebody else
    /// has changed them since.
    #[arg(long, requires = "lost")]
    pub over_unproven: bool,
    /// Bring back over what somebody else has changed on this side since, too; and as `--over-unproven`.
    #[arg(long, requires = "lost")]
    pub over_foreign: bool,
    /// The ERP's sequences have been set beyond the greatest numbers of both sides, where `check` cannot see that.
    #[arg(long)]
    pub sequences_are_set: bool,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// A side's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Named {
    /// The ERP's database.
    Legacy,
    /// The new database.
    Modern,
}

impl RaiseArgs {
    fn over(&self) -> Over {
        match (self.over_foreign, self.over_unproven) {
            (true, _) => Over::Anybody,
            (false, true) => Over::Unproven,
            (false, false) => Over::Nobody,
        }
    }
}

impl From<Named> for Side {
    fn from(named: Named) -> Self {
        match named {
            Named::Legacy => Self::Legacy,
            Named::Modern => Self::Modern,
        }
    }
}

/// What becomes of lost writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lost {
    /// They are written to this side again, as they were, with their idempotency keys.
    BringBack,
    /// This side's rows are written over the other side's, and repeats of these writes are new writes.
    GiveUp,
}

pub(super) async fn show(desk: &Desk) -> Result<(), Stop> {
    let memories = desk.memories();
    let (mut shown, mut well) = (Vec::new(), true);
    let mut gone_back = Vec::new();
    for side in Side::BOTH {
        let seen = match SideSeen::of(&memories, side).await {
            Ok(seen) => seen,
            // The other one may answer.
            Err(error) => {
                desk.out.line(format!("{side}: {}.", with_root(&error)));
                shown.push(json!({ "side": side, "error": with_root(&error) }));
                well = false;
                continue;
            }
        };
        well &= seen.is_well();
        tell(desk, &seen)?;
        shown.push(seen::json(&seen));
        if matches!(seen.verdict, Verdict::GoneBack(_) | Verdict::Suspended(_)) {
            gone_back.extend(seen.life.map(|life| life.marked_at));
        }
    }
    if let (true, Some(since)) = (gone_back.len() == Side::BOTH.len(), gone_back.iter().max()) {
        desk.out.line(format!(
            "Both have gone back: what was acknowledged after {since} is on neither side, and in no list."
        ));
    }
    desk.out.json(&shown);
    if well { Ok(()) } else { Err(Stop::Told) }
}

pub(super) async fn run(desk: &Desk, args: &RaiseArgs) -> Result<(), Stop> {
    let author = desk.named_author(args.who.who.as_deref(), Some(args.reason.clone()))?;
    let (side, memories) = (Side::from(args.side), desk.memories());
    let seen = SideSeen::of(&memories, side).await?;
    tell(desk, &seen)?;
    let lost = match &seen.missing {
        Ok(missing) => &missing.lost[..],
        Err(error) => return Err(Stop::No(format!("what {side} lacks is not known: {}", with_root(error)))),
    };
    let Some(life) = &seen.life else {
        return Err(Stop::No(format!("{side} has no life: run `strangler init`")));
    };
    require_decided(args, &seen, lost)?;
    require_primary(desk, side, lost).await?;
    let problems = sequences_in_trouble(desk.contract(), &memories.stores, memories.within).await?;
    if let Some(problem) = problems.first().filter(|_| side == Side::Legacy && !args.sequences_are_set) {
        return Err(Stop::No(format!(
            "{problem}; where that has been done and cannot be seen, say --sequences-are-set"
        )));
    }
    let mut sagas = Recovered::default();
    let outcome = match args.lost {
        Some(decision) => {
            if decision == Lost::GiveUp {
                // Before: afterwards nobody can tell whose steps were given up.
                let of_lost = of_lost(&memories, side, lost).await?;
                sagas = recover(&memories, side, life, &of_lost).await?;
            }
            on_list(desk, &author, side, decision, lost).await?;
            let outcome = decide(desk, &memories, side, life, lost, decision, args.over()).await?;
            conclude(desk, side, &author, &outcome).await?;
            told(desk, &outcome)?
        }
        None => {
            record(desk, &author, json!({ "side": side, "lost": 0 })).await?;
            Json::Null
        }
    };
    // Once more: a replica may have brought something meanwhile that this side has lost too.
    let left = raise::missing(&memories, side, life).await?;
    if !left.lost.is_empty() {
        let left = left.lost.len();
        return Err(Stop::No(format!(
            "{left} lost writes are on the list still: {side} stays suspended, repeat the order"
        )));
    }
    // What is back is there by now, and no client comes between.
    sagas = sagas.and(recover(&memories, side, life, &HashSet::new()).await?);
    sagas = sagas.and(orphans(&memories, desk.contract(), side, life).await?);
    tell_sagas(desk, side, &author, &sagas).await?;
    let raised = raise::raise(&memories, side, life, &left.to_bring).await?.ok_or_else(|| raised_by_others(side))?;
    desk.out.line(format!("{side} takes writes again, as incarnation {}.", raised.memory.incarnation.0));
    let mut shown = seen::json(&seen);
    shown["outcome"] = outcome;
    desk.out.json(&shown);
    let contradicting = broken(desk.contract(), &memories.stores, memories.within).await?;
    if !contradicting.is_empty() {
        return Err(Stop::No(contradicting.join("\n")));
    }
    if raised.lost.is_empty() {
        return Ok(());
    }
    let (late, other) = (raised.lost.len(), side.other());
    Err(Stop::No(format!(
        "{late} writes came to {other} meanwhile from an instance of {side} that lives on: stop it, and repeat the order"
    )))
}

/// Says and records what became of sagas.
async fn tell_sagas(desk: &Desk, side: Side, author: &Author, sagas: &Recovered) -> Result<(), Stop> {
    if *sagas == Recovered::default() {
        return Ok(());
    }
    if !sagas.back.is_empty() {
        let count = sagas.back.len();
        desk.out
            .line(format!("{count} sagas that the log of {side} had lost are in it again, and go on by themselves."));
    }
    if !sagas.doubted.is_empty() {
        let count = sagas.doubted.len();
        desk.out.line(format!("{count} sagas go on when it was looked at what of them stands."));
    }
    if !sagas.stuck.is_empty() {
        let count = sagas.stuck.len();
        desk.out.line(format!("{count} sagas have lost what nobody can bring again, and are stuck: see `strangler sagas list --status stuck`."));
    }
    let detail =
        json!({ "side": side, "sagas": { "back": sagas.back, "doubted": sagas.doubted, "stuck": sagas.stuck } });
    record(desk, author, detail).await
}

/// That a raise is needed, and that it is said what becomes of what was lost.
fn require_decided(args: &RaiseArgs, seen: &SideSeen, lost: &[Noted]) -> Result<(), Stop> {
    let side = seen.side;
    match seen.verdict {
        Verdict::Unknown => {
            return Err(Stop::No(format!("nobody who remembers {side} answers: start one of them first")));
        }
        Verdict::Same if lost.is_empty() || args.lost.is_none() && seen.lost().is_empty() => {
            return Err(Stop::No(format!("{side} needs no raise")));
        }
        Verdict::Same | Verdict::Moved | Verdict::GoneBack(_) | Verdict::Suspended(_) | Verdict::Fresh => {}
    }
    if args.lost.is_none() && !lost.is_empty() {
        return Err(Stop::No(format!(
            "say what becomes of {} lost writes: `--lost bring-back` writes them to this side again, `--lost give-up` takes this side's state",
            lost.len()
        )));
    }
    Ok(())
}

fn raised_by_others(side: Side) -> Stop {
    Stop::No(format!("{side} was raised by somebody else meanwhile: look again"))
}

/// Only a primary has lost what the other side has; on a secondary its rows are repaired.
async fn require_primary(desk: &Desk, side: Side, lost: &[Noted]) -> Result<(), Stop> {
    let rollout = desk.office().newest().await?.rollout;
    for key in lost.iter().flat_map(|noted| &noted.keys) {
        let Some(entity) = desk.contract().entity(key.entity()) else { continue };
        if rollout.policy(&entity.group).primary() != side {
            let (group, name) = (&entity.group, &entity.name);
            return Err(Stop::No(format!("{side} is not primary for {group}: repair its rows of {name}")));
        }
    }
    Ok(())
}

async fn record(desk: &Desk, author: &Author, detail: Json) -> Result<(), Stop> {
    let deed = Deed { action: Action::SideRaised, group: None, author: author.clone(), rollout: None, detail };
    desk.control().note(&deed).await?;
    Ok(())
}

/// The order with its whole list is on record before the first write is touched.
async fn on_list(desk: &Desk, author: &Author, side: Side, decision: Lost, lost: &[Noted]) -> Result<(), Stop> {
    let mut writes = Vec::with_capacity(lost.len());
    for noted in lost {
        writes.push(json!({ "write": noted.write, "keys": names(desk, &noted.keys)? }));
    }
    let decision = format!("{decision:?}");
    record(desk, author, json!({ "side": side, "lost": lost.len(), "decision": decision, "writes": writes })).await
}

/// Keys as people may read them.
fn names(desk: &Desk, keys: &[EntityKey]) -> Result<Vec<String>, Stop> {
    let redactor = redactor(desk)?;
    let name = |key: &EntityKey| match desk.contract().entity(key.entity()) {
        Some(entity) => format!("{} {}", entity.name, redactor.key_text(entity, key)),
        None => key.entity().to_string(),
    };
    Ok(keys.iter().map(name).collect())
}

/// Brings the lost writes back or gives them up, while the side is suspended.
async fn decide(
    desk: &Desk,
    memories: &Memories,
    side: Side,
    life: &Life,
    lost: &[Noted],
    decision: Lost,
    over: Over,
) -> Result<Outcome, Stop> {
    let order = Order { memories, contract: desk.contract(), side, of: life.incarnation };
    let outcome = match decision {
        Lost::BringBack => order.bring_back(lost, over).await?,
        Lost::GiveUp => order.give_up(lost).await?,
    };
    if outcome.is_whole() {
        let writes = lost.len();
        desk.out.line(match decision {
            Lost::BringBack => format!("{writes} lost writes are back on {side}, with their idempotency keys."),
            Lost::GiveUp => {
                format!("{writes} lost writes are given up: {} has {side}'s rows of their keys.", side.other())
            }
        });
    }
    Ok(outcome)
}

/// Says and records what an order came to; stops where something is in its way.
async fn conclude(desk: &Desk, side: Side, author: &Author, outcome: &Outcome) -> Result<(), Stop> {
    let list = |what: &str, keys: &[EntityKey]| -> Result<(), Stop> {
        if !keys.is_empty() {
            desk.out.line(format!("  {} rows {what}:", keys.len()));
            names(desk, keys)?.iter().for_each(|name| desk.out.line(format!("    {name}")));
        }
        Ok(())
    };
    list("that somebody else had changed were overwritten", &outcome.over)?;
    list("were overwritten that we had never written: nobody knows whether somebody else had", &outcome.unproven)?;
    if !outcome.unkeyed.is_empty() {
        let count = outcome.unkeyed.len();
        desk.out.line(format!("  {count} writes are back without their idempotency key: another write here has it."));
    }
    if *outcome != Outcome::default() {
        record(desk, author, json!({ "side": side, "outcome": told(desk, outcome)? })).await?;
    }
    if outcome.is_raised {
        return Err(raised_by_others(side));
    }
    if outcome.is_whole() {
        return Ok(());
    }
    for (name, (_, why)) in names(desk, &keys_in_the_way(outcome))?.iter().zip(&outcome.in_the_way) {
        desk.out.line(format!("  {name}: {why}"));
    }
    Err(Stop::No(format!(
        "{} rows are in the way, and {side} stays suspended; put each as the copy had it and repeat the order, or have it overwritten with --over-foreign, or only what nobody knows with --over-unproven; what this side has taken a later write of is given up with --lost give-up, once the rest is back",
        outcome.in_the_way.len()
    )))
}

fn keys_in_the_way(outcome: &Outcome) -> Vec<EntityKey> {
    outcome.in_the_way.iter().map(|(key, _)| key.clone()).collect()
}

fn told(desk: &Desk, outcome: &Outcome) -> Result<Json, Stop> {
    let names_in_the_way = names(desk, &keys_in_the_way(outcome))?;
    let in_the_way = names_in_the_way.iter().zip(&outcome.in_the_way);
    let in_the_way: Vec<_> = in_the_way.map(|(name, (_, why))| json!({ "key": name, "why": why })).collect();
    Ok(json!({
        "overwritten": names(desk, &outcome.over)?,
        "overwrittenUnproven": names(desk, &outcome.unproven)?,
        "withoutKey": outcome.unkeyed,
        "inTheWay": in_the_way,
    }))
}
