//! `reconcile`: compare data at rest, tell what has drifted, and level it if asked.

use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use clap::Args;
use model::control::Author;
use model::{EntityType, GroupName, PerSide, Rollout};
use serde_json::{Value as Json, json};
use shadow_compare::Redactor;
use shadow_compare::reconcile::Drifted;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Stop;
use super::args::WhoArgs;
use super::desk::Desk;
use super::repair::{Mending, or_none};
use contract::suggest;
use control_plane::spoken::duration;
use data_plane::reconcile::{Progress, ReconcileError, ReconcileSettings, Reconciled, Reconciler, Run};
use data_plane::state_dir::StateDir;

/// How often a long run says how far it is.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(5);
/// Drifted rows that are shown to people; scripts are shown all that are named.
const SHOWN: usize = 5;

/// `reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// The group. Default: every group that is written to both sides.
    pub group: Option<String>,
    /// Only this type.
    #[arg(long, value_name = "TYPE", conflicts_with = "group")]
    pub entity: Option<String>,
    /// Level every row that has drifted: the secondary takes the primary's state. Needs --reason.
    #[arg(long, requires = "reason")]
    pub repair: bool,
    /// Name (and repair) at most so many rows of a type. All are counted.
    #[arg(long, default_value_t = Self::LIMIT, value_name = "N")]
    pub limit: usize,
    /// Pause after each statement, to spare the databases.
    #[arg(long, default_value = "20ms", value_parser = duration, value_name = "TIME")]
    pub pause: Duration,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who you are, for the record. Default: the login name.
    #[arg(long, env = "STRANGLER_WHO", value_name = "NAME")]
    pub who: Option<String>,
}

impl ReconcileArgs {
    /// What is taken where nothing is said; the second as `20ms`.
    pub(super) const LIMIT: usize = 10_000;
    pub(super) const PAUSE: Duration = Duration::from_millis(20);
}

pub(super) async fn run(desk: &Desk, args: &ReconcileArgs) -> Result<(), Stop> {
    let author = author(desk, args.who.as_deref(), args.reason.as_deref())?;
    let rollout = desk.office().newest().await?.rollout;
    let types = wanted(desk, args, &rollout)?;
    let settings = ReconcileSettings { pause: args.pause, most_listed: args.limit, ..settings(desk) };
    let reconciler = reconciler(desk, settings)?;
    let stop = stop_by_interrupt();
    let (mut shown, mut drift, mut complete, mut level) = (Vec::new(), 0, true, true);
    for entity in types {
        let run = Run::new(Arc::clone(&entity), author.clone(), rollout.policy(&entity.group));
        let found = reconcile(desk, &reconciler, &run, &stop).await?;
        tell(desk, &reconciler.redactor, &run, &found);
        let mut one = to_json(&reconciler.redactor, &run, &found);
        drift += found.findings.drift;
        complete &= found.findings.is_complete();
        if args.repair && !found.listed.is_empty() && !stop.is_cancelled() {
            let mending = Mending::new(desk, &run.policy, &author, 200);
            let keys: Vec<_> = found.listed.iter().map(|row| row.key.clone()).collect();
            mending.require_rows(&entity, &found.findings, &found.listed)?;
            let count = mending.level(&entity, &keys, "every row that reconcile named", &stop).await?;
            level &= count.is_level() && found.findings.drift <= keys.len() as u64;
            one["repair"] = json!(count);
        } else {
            level &= found.findings.drift == 0;
        }
        shown.push(one);
        if stop.is_cancelled() {
            // Types that were not begun are not known.
            complete = false;
            break;
        }
    }
    desk.out.json(&json!({ "complete": complete, "drift": drift, "types": shown }));
    if complete && level { Ok(()) } else { Err(Stop::Told) }
}

/// One type, with progress on standard error when it takes long.
pub(super) async fn reconcile(
    desk: &Desk,
    reconciler: &Reconciler,
    run: &Run,
    stop: &CancellationToken,
) -> Result<Reconciled, Stop> {
    let mut told = Instant::now();
    let name = &run.entity.name;
    let progress = |Progress { rows: PerSide { legacy, modern }, drift, chunks }: Progress| {
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            desk.out.warn(format!("{name}: {legacy} rows of legacy and {modern} of modern compared, {drift} drifted, {chunks} chunks to go"));
        }
    };
    Box::pin(reconciler.run(run, stop, progress)).await.map_err(|error| match error {
        ReconcileError::NotKeptEqual { .. } => Stop::No(error.to_string()),
        ReconcileError::Control(error) => error.into(),
    })
}

/// A write may take as long as a client waits for it.
pub(super) fn settings(desk: &Desk) -> ReconcileSettings {
    ReconcileSettings { held_after: desk.config.gateway.deadline, ..ReconcileSettings::default() }
}

pub(super) fn reconciler(desk: &Desk, settings: ReconcileSettings) -> Result<Reconciler, Stop> {
    Ok(Reconciler {
        stores: desk.backends.lane(Lane::Scan),
        control: Arc::clone(&desk.backends.control),
        redactor: redactor(desk)?,
        today: || chrono::Utc::now().date_naive(),
        settings,
    })
}

/// With the fleet's secret, or this machine's.
pub(super) fn redactor(desk: &Desk) -> Result<Redactor, Stop> {
    let secret = match &desk.config.evidence.secret {
        Some(secret) => secret.clone(),
        None => {
            let state = StateDir::open(&desk.config.state_dir);
            state.and_then(|state| state.hash_secret()).map_err(|error| Stop::BadConfig(error.to_string()))?
        }
    };
    Ok(Redactor::new(&secret))
}

/// Ends with the first Ctrl-C.
pub(super) fn stop_by_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    stop
}

pub(super) fn author(desk: &Desk, who: Option<&str>, reason: Option<&str>) -> Result<Author, Stop> {
    let reason = reason.map(str::trim);
    if reason.is_some_and(str::is_empty) {
        return Err(Stop::BadUse("--reason is empty: say why, for the record".to_owned()));
    }
    let who = WhoArgs { who: who.map(str::to_owned), timeout: Duration::ZERO };
    let author = desk.author(&who, reason.map(str::to_owned));
    author.ok_or_else(|| Stop::BadUse("say who you are with --who, for the record".to_owned()))
}

/// The type called `name`; else an error that names the known ones.
pub(super) fn entity(desk: &Desk, name: &str) -> Result<Arc<EntityType>, Stop> {
    let entities = &desk.contract().entities;
    let found = entities.iter().find(|(known, _)| known.as_str() == name).map(|(_, entity)| Arc::clone(entity));
    found.ok_or_else(|| {
        let known = suggest::or_all(name, "", entities.keys().map(model::EntityName::as_str));
        Stop::BadUse(format!("there is no type `{name}`: {known}"))
    })
}

pub(super) fn of_group(desk: &Desk, group: &GroupName) -> Vec<Arc<EntityType>> {
    desk.contract().entities.values().filter(|entity| entity.group == *group).cloned().collect()
}

fn wanted(desk: &Desk, args: &ReconcileArgs, rollout: &Rollout) -> Result<Vec<Arc<EntityType>>, Stop> {
    match (&args.group, &args.entity) {
        (_, Some(name)) => Ok(vec![entity(desk, name)?]),
        (Some(name), None) => Ok(of_group(desk, &desk.group(name)?)),
        (None, None) => {
            let kept_equal = |group: &GroupName| rollout.policy(group).stage().dual_writes();
            let groups: Vec<_> = desk.contract().groups().into_iter().filter(kept_equal).collect();
            let types: Vec<_> = groups.iter().flat_map(|group| of_group(desk, group)).collect();
            or_none(types, "no group is written to both sides: there is nothing to compare; set stage dual-write first")
        }
    }
}

fn tell(desk: &Desk, redactor: &Redactor, run: &Run, found: &Reconciled) {
    let Reconciled { findings, listed } = found;
    let name = &run.entity.name;
    let PerSide { legacy, modern } = findings.rows;
    let out = desk.out;
    let verdict = match findings.drift {
        0 if !findings.is_complete() => "no drift was found, which says nothing of the rest".to_owned(),
        0 => "none has drifted".to_owned(),
        1 => "1 has drifted".to_owned(),
        many => format!("{many} have drifted"),
    };
    out.line(format!("{name}: {legacy} rows of legacy and {modern} of modern compared, {verdict}."));
    if let Some(problem) = findings.why_incomplete() {
        out.line(format!("  NOT COMPLETE: {problem}. This run does not count: mend that, and run it again."));
    }
    if findings.excused > 0 {
        out.line(format!("  {} rows differ as the contract excuses it.", findings.excused));
    }
    let moving = findings.undecided.saturating_sub(findings.held_back);
    if moving > 0 {
        out.line(format!("  {moving} rows were written each time we looked: nothing is known of them."));
    }
    if findings.held_back > 0 {
        out.line(format!(
            "  {} rows are held back: their last write does not reach the other side; see the runbook about unsettled writes.",
            findings.held_back
        ));
    }
    for column in findings.left_out.iter().filter(|column| column.filled > 0) {
        out.line(format!(
            "  the contract leaves out {column}: give it a field, or say @ignored(column: \"{}\", reason: …)",
            column.column
        ));
    }
    findings.named.iter().for_each(|row| out.line(format!("  {row}")));
    for kind in &findings.kinds {
        let field = kind.field.as_ref().map_or(String::new(), |field| format!("{field}: "));
        out.line(format!("  {field}{}, {} rows", kind.cause, kind.rows));
    }
    for Drifted { key, .. } in listed.iter().take(SHOWN) {
        out.line(format!("  for example {}", redactor.key_text(&run.entity, key)));
    }
}

fn to_json(redactor: &Redactor, run: &Run, found: &Reconciled) -> Json {
    let keys: Vec<_> = found.listed.iter().map(|row| redactor.key_text(&run.entity, &row.key)).collect();
    json!({
        "run": run.id,
        "group": run.entity.group,
        "entity": run.entity.name,
        "complete": found.findings.is_complete(),
        "findings": found.findings,
        "keys": keys,
    })
}
