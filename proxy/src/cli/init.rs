//! `init`: the bookkeeping tables on both sides and in the control database.

use std::time::Duration;

use model::{GroupName, Role, Side, Store, StoreError};
use serde_json::json;

use super::Stop;
use super::args::{Database, InitArgs};
use super::desk::Desk;
use crate::rollout::publish::publish_initial;

/// A DBA's locks may take a while.
const WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn run(desk: &Desk, args: &InitArgs) -> Result<(), Stop> {
    if let Some(database) = args.print_ddl {
        let ddl = match database {
            Database::Legacy => side_ddl(desk, Side::Legacy),
            Database::Modern => side_ddl(desk, Side::Modern),
            Database::Control => desk.control().ddl(),
        };
        desk.out.json(&json!({ "ddl": ddl }));
        if !desk.out.is_json() {
            desk.out.text(&ddl);
        }
        return Ok(());
    }
    let groups = desk.contract().groups();
    for side in Side::BOTH {
        let prepared = desk.backends.sides.get(side).prepare(&groups, role(side), WITHIN).await;
        prepared.map_err(|error| match &error {
            StoreError::Misfit { .. } => {
                Stop::No(format!("{error}; or let a DBA run what `strangler init --print-ddl {side}` prints"))
            }
            StoreError::Unreachable { .. }
            | StoreError::NoAnswer { .. }
            | StoreError::Conflict { .. }
            | StoreError::Refused { .. }
            | StoreError::KeyReused
            | StoreError::Fenced { .. } => error.into(),
        })?;
        desk.out.line(format!("{side}: bookkeeping is there."));
    }
    desk.control().prepare().await?;
    desk.out.line("control: tables are there.");
    let rollout = match desk.control().newest().await? {
        Some(record) => record.rollout,
        None => publish_initial(desk.control(), groups, &crate::state_dir::machine_name()).await?,
    };
    desk.out.line(format!("Rollout {}. Next: `strangler check`, then `strangler serve`.", rollout.version));
    desk.out.json(&json!({ "rollout": rollout.version }));
    Ok(())
}

/// Legacy is primary at the beginning; a fence that exists is left as it is.
fn role(side: Side) -> Role {
    match side {
        Side::Legacy => Role::Primary,
        Side::Modern => Role::Secondary,
    }
}

/// Everything that `init` does on a side, so that a DBA can do it instead: tables, and the groups' fences.
fn side_ddl(desk: &Desk, side: Side) -> String {
    let open = role(side) == Role::Primary;
    let row = |group: &GroupName| format!("    ('{}', 1, {open})", group.as_str().replace('\'', "''"));
    let rows: Vec<String> = desk.contract().groups().iter().map(row).collect();
    format!(
        "{}-- One row per group of the contract. Run this again when the contract gets another group.\n\
         INSERT INTO strangler_fence (grp, epoch, open) VALUES\n{}\nON CONFLICT (grp) DO NOTHING;\n",
        desk.backends.sides.get(side).bookkeeping_ddl(),
        rows.join(",\n")
    )
}
