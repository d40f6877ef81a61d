//! `check`: looks at everything a replica needs, and names what is wrong, all of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::life::{Verdict, judge};
use model::store::{Inspection, Strays};
use model::{EntityName, PerSide, Side};
use serde::Serialize;

use super::Stop;
use super::desk::{Desk, now};
use super::init::HEARD_WITHIN;
use super::print::Printer;
use crate::config::Config;
use admin::serve::Door;
use control_plane::handover::begin::{broken, waiting};
use data_plane::lives::STILL;
use data_plane::own_keys::sequences_in_trouble;
use data_plane::saga::plan::strangers;
use data_plane::state_dir::StateDir;
use net::tls::Tls;
use request::error::with_root;

mod servers;

/// How long one look at a side may take.
const WITHIN: Duration = Duration::from_secs(10);

/// What commands call the control database.
const CONTROL: &str = "control";

/// One thing looked at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    what: &'static str,
    ok: bool,
    found: String,
    facts: Vec<(&'static str, String)>,
    notices: Vec<String>,
    problems: Vec<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, ok: true, found: found.into(), facts: Vec::new(), notices: Vec::new(), problems: Vec::new() }
    }

    fn bad(what: &'static str, problem: impl Into<String>) -> Self {
        Self { ok: false, problems: vec![problem.into()], ..Self::good(what, "") }
    }
}

pub(super) async fn run(config: &Path, out: Printer) -> Result<(), Stop> {
    // Without configuration and contract there is nothing else to look at.
    Config::load(config).map_err(|error| Stop::BadConfig(error.to_string()))?;
    let desk = Desk::open(config, out)?;
    let contract = desk.contract();
    let (types, routes, groups) = (contract.entities.len(), contract.roots.len(), contract.groups().len());
    let counted = |count: usize, what| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    let findings = vec![
        Finding::good("configuration", config.display().to_string()),
        Finding::good(
            "contract",
            [counted(types, "type"), counted(routes, "route"), counted(groups, "group")].join(", "),
        ),
        state_dir(&desk),
        ports(&desk.config),
        side(&desk, Side::Legacy).await,
        side(&desk, Side::Modern).await,
        life(&desk, Side::Legacy).await,
        life(&desk, Side::Modern).await,
        begun(&desk).await,
        sagas(&desk).await,
        numbers(&desk).await,
        control(&desk).await,
        statements(&desk, Side::Legacy).await,
        statements(&desk, Side::Modern).await,
        servers::connections(&desk).await,
    ];
    for Finding { what, ok, found, facts, notices, problems } in &findings {
        out.line(format!("{}  {what}: {found}", if *ok { "ok " } else { "BAD" }).trim_end_matches([' ', ':']));
        facts.iter().for_each(|(name, value)| out.line(format!("       {name}: {value}")));
        problems.iter().for_each(|problem| out.line(format!("       {problem}")));
        notices.iter().for_each(|notice| out.line(format!("       to know: {notice}")));
    }
    let well = findings.iter().all(|finding| finding.ok);
    out.json(&serde_json::json!({ "ok": well, "findings": findings }));
    if well { Ok(()) } else { Err(Stop::Told) }
}

fn state_dir(desk: &Desk) -> Finding {
    let written = StateDir::open(&desk.config.state_dir).and_then(|state| state.write("check", b""));
    match written {
        Ok(()) => Finding::good("state folder", desk.config.state_dir.display().to_string()),
        Err(error) => Finding::bad("state folder", error.to_string()),
    }
}

/// Certificates, tokens and keys: what the files hold, not whether the ports are free.
fn ports(config: &Config) -> Finding {
    let opened = config.graphql_tls.clone().map(Tls::open).transpose().map_err(|error| error.to_string());
    let opened = opened.and_then(|_| Door::open(&config.admin, now).map_err(|error| error.to_string()));
    match (opened, &config.admin.auth) {
        (Err(problem), _) => Finding::bad("ports", problem),
        (Ok(_), None) => Finding::good("ports", "the admin port asks nobody who they are, and is on loopback only"),
        (Ok(_), Some(_)) => Finding::good("ports", "certificates and tokens can be used"),
    }
}

async fn side(desk: &Desk, side: Side) -> Finding {
    let what = side.as_str();
    let entities: Vec<EntityName> = desk.contract().entities.keys().cloned().collect();
    match desk.side(side).inspect(&entities, WITHIN).await {
        Ok(Inspection { server, facts, notices, problems }) => {
            Finding { what, ok: problems.is_empty(), found: server, facts, notices, problems }
        }
        Err(error) => Finding::bad(what, with_root(&error)),
    }
}

/// Whether a side would run every statement of the contract.
async fn statements(desk: &Desk, side: Side) -> Finding {
    let what = match side {
        Side::Legacy => "statements on legacy",
        Side::Modern => "statements on modern",
    };
    match desk.side(side).wrong_statements(WITHIN).await {
        Ok(wrong) if wrong.is_empty() => Finding::good(what, "each was tried, and would run"),
        Ok(wrong) => {
            let problems = wrong.iter().map(ToString::to_string).collect();
            Finding { ok: false, problems, ..Finding::good(what, "") }
        }
        Err(error) => Finding::bad(what, with_root(&error)),
    }
}

/// Whether a side is the database that is remembered, and can be told from an older copy.
async fn life(desk: &Desk, side: Side) -> Finding {
    let what = match side {
        Side::Legacy => "life of legacy",
        Side::Modern => "life of modern",
    };
    let seen = async {
        let memories = desk.memories();
        let remembered = memories.of(side).await;
        let asked: Vec<_> = remembered.iter().flatten().map(|memory| memory.mark).collect();
        let look = memories.stores.get(side).life(&asked, WITHIN).await.map_err(|error| with_root(&error))?;
        let watched = !desk.control().replicas(HEARD_WITHIN).await.map_err(|error| with_root(&error))?.is_empty();
        Ok::<_, String>((judge(&look, remembered.as_deref()), look, watched))
    };
    let (verdict, look, watched) = match seen.await {
        Ok(seen) => seen,
        Err(problem) => return Finding::bad(what, problem),
    };
    let mut problems: Vec<String> = look.doubt().map(|why| format!("{side} {why}")).into_iter().collect();
    if let (Verdict::GoneBack(memory), true) = (&verdict, problems.is_empty()) {
        problems.push(format!("it lacks mark {} that is remembered: it has gone back", memory.mark.counter));
    }
    let still = look.life.as_ref().filter(|life| watched && problems.is_empty() && life.mark_age > STILL);
    problems.extend(still.map(|life| {
        format!(
            "no mark was made for {:?}, though replicas work: somebody holds a lock on strangler_mark, or nobody may write it",
            life.mark_age
        )
    }));
    problems.iter_mut().for_each(|problem| problem.push_str(": see `strangler sides show`"));
    let incarnation = look.life.as_ref().map_or(0, |life| life.incarnation.0);
    Finding { ok: problems.is_empty(), problems, ..Finding::good(what, format!("incarnation {incarnation}")) }
}

/// Whether every group is as old as its types, on both sides.
async fn begun(desk: &Desk) -> Finding {
    let stores = PerSide { legacy: Arc::clone(desk.side(Side::Legacy)), modern: Arc::clone(desk.side(Side::Modern)) };
    let mut problems = Vec::new();
    match waiting(desk.contract(), &stores, WITHIN).await {
        Ok(unclear) => problems.extend(unclear.iter().map(ToString::to_string)),
        Err(error) => problems.push(with_root(&error)),
    }
    match broken(desk.contract(), &stores, WITHIN).await {
        Ok(broken) => problems.extend(broken),
        Err(error) => problems.push(with_root(&error)),
    }
    for side in Side::BOTH {
        match stores.get(side).strays(WITHIN).await {
            Ok(strays) => problems.extend(strays.iter().map(|Strays { group, entity, changes }| {
                if entity.as_str().is_empty() {
                    return format!("{side}'s ledger has {changes} unsettled writes of group {group} that changed nothing, and the contract has no such group: nobody brings them over. Put it back until they are settled");
                }
                format!("{side}'s ledger has {changes} unsettled changes of {entity} (group {group}), and the contract has no such type: nobody brings them over. Put it back until they are settled")
            })),
            Err(error) => problems.push(with_root(&error)),
        }
    }
    Finding { ok: problems.is_empty(), problems, ..Finding::good("groups", "") }
}

/// Sagas under way that a replica with this contract could not go on with.
async fn sagas(desk: &Desk) -> Finding {
    let mut problems = Vec::new();
    for side in Side::BOTH {
        match strangers(&**desk.side(side), side, desk.contract(), WITHIN).await {
            Ok(found) => problems.extend(found),
            Err(error) => problems.push(format!("{side}: {}", with_root(&error))),
        }
    }
    let found = if problems.is_empty() { "the contract has all that are under way" } else { "" };
    Finding { ok: problems.is_empty(), problems, ..Finding::good("sagas", found) }
}

/// Whether the ERP's sequences are beyond the numbers of both sides.
async fn numbers(desk: &Desk) -> Finding {
    let stores = desk.backends.lane(adapters::Lane::Admin);
    match sequences_in_trouble(desk.contract(), &stores, WITHIN).await {
        Ok(problems) if problems.is_empty() => Finding::good("numbers", "the ERP's sequences give new ones"),
        Ok(problems) => Finding { ok: false, problems, ..Finding::good("numbers", "") },
        Err(error) => Finding::bad("numbers", with_root(&error)),
    }
}

async fn control(desk: &Desk) -> Finding {
    match desk.control().bookkeeping().await.map(|found| found.problem(CONTROL)) {
        Ok(None) => {}
        Ok(Some(problem)) => return Finding::bad(CONTROL, problem),
        Err(error) => return Finding::bad(CONTROL, with_root(&error)),
    }
    match desk.control().newest().await {
        Ok(Some(record)) => {
            let rollout = record.rollout;
            let known = desk.contract().groups();
            let unknown: Vec<_> =
                rollout.policies.keys().filter(|group| !known.contains(group)).map(ToString::to_string).collect();
            let note = if unknown.is_empty() {
                String::new()
            } else {
                format!("; names groups that the contract does not have: {}", unknown.join(", "))
            };
            Finding::good(CONTROL, format!("rollout {}{note}", rollout.version))
        }
        Ok(None) => Finding::bad(CONTROL, "there is no rollout yet: run `strangler init`"),
        Err(error) => Finding::bad(CONTROL, with_root(&error)),
    }
}
