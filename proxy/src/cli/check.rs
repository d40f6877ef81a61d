//! `check`: looks at everything a replica needs, and names what is wrong, all of it.

use std::path::Path;
use std::time::Duration;

use model::store::Inspection;
use model::{EntityName, Side};
use serde::Serialize;

use super::Stop;
use super::desk::{Desk, now};
use super::print::Printer;
use crate::admin::serve::Door;
use crate::config::Config;
use crate::error::with_root;
use crate::state_dir::StateDir;
use crate::tls::Tls;

/// How long one look at a side may take.
const WITHIN: Duration = Duration::from_secs(10);

/// One thing looked at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    what: &'static str,
    ok: bool,
    found: String,
    facts: Vec<(&'static str, String)>,
    problems: Vec<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, ok: true, found: found.into(), facts: Vec::new(), problems: Vec::new() }
    }

    fn bad(what: &'static str, problem: impl Into<String>) -> Self {
        Self { what, ok: false, found: String::new(), facts: Vec::new(), problems: vec![problem.into()] }
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
        control(&desk).await,
    ];
    for Finding { what, ok, found, facts, problems } in &findings {
        out.line(format!("{}  {what}: {found}", if *ok { "ok " } else { "BAD" }).trim_end_matches([' ', ':']));
        facts.iter().for_each(|(name, value)| out.line(format!("       {name}: {value}")));
        problems.iter().for_each(|problem| out.line(format!("       {problem}")));
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
        Ok(Inspection { server, facts, problems }) => {
            Finding { what, ok: problems.is_empty(), found: server, facts, problems }
        }
        Err(error) => Finding::bad(what, with_root(&error)),
    }
}

async fn control(desk: &Desk) -> Finding {
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
            Finding::good("control", format!("rollout {}{note}", rollout.version))
        }
        Ok(None) => Finding::bad("control", "there is no rollout yet: run `strangler init`"),
        Err(error) => Finding::bad("control", with_root(&error)),
    }
}
