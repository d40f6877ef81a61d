//! `init`: the bookkeeping tables on both sides and in the control database.

use std::time::Duration;

use model::{Role, Side, StoreError};
use serde_json::json;

use super::Stop;
use super::args::{Database, InitArgs};
use super::desk::Desk;
use crate::rollout::publish::publish_initial;

/// A DBA's locks may take a while.
const WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn run(desk: &Desk, args: &InitArgs) -> Result<(), Stop> {
    let groups = desk.contract().groups();
    if let Some(database) = args.print_ddl {
        let ddl = match database {
            Database::Legacy => desk.side(Side::Legacy).bookkeeping_ddl(&groups, role(Side::Legacy)),
            Database::Modern => desk.side(Side::Modern).bookkeeping_ddl(&groups, role(Side::Modern)),
            Database::Control => desk.control().ddl(),
        };
        desk.out.json(&json!({ "ddl": ddl }));
        if !desk.out.is_json() {
            desk.out.text(&ddl);
        }
        return Ok(());
    }
    for side in Side::BOTH {
        let prepared = desk.side(side).prepare(&groups, role(side), WITHIN).await;
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
