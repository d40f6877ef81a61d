//! Policies (DBMS_RLS, "VPD") that may hide rows from this account.
//!
//! A hidden row looks like one that is not there, and "not there" deletes, settles and counts. So a statement of ours that
//! names a table with a policy is not sent, as a PostgreSQL refuses it under `row_security = off`. An account with
//! `EXEMPT ACCESS POLICY` sees every row. Looked at when a session is made and every [`EVERY`]: for as long a new policy
//! may go unnoticed.
//!
//! A view over such a table hides rows under a name of its own, and so does a synonym: whatever the dictionary says to rest on
//! the table (`ALL_DEPENDENCIES`), however many steps away, is treated as the table is.
//!
//! Not here: what a procedure reads; what rests on a table over a database link, or in a schema that this account may not see.

use std::time::Duration;

use model::StoreError;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::bind::Bind;
use super::session::Session;
use super::table::misfit;
use super::wire;

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// What rests on a table or view, and reads it under a name of its own. Binds: owner, name.
const RESTING: &str = "SELECT d.owner, d.name FROM all_dependencies d WHERE d.type IN ('VIEW', 'SYNONYM') \
     AND d.referenced_owner = :1 AND d.referenced_name = :2";

/// That a policy `p` is in force for this account.
pub(super) const IN_FORCE: &str = "p.enable = 'YES' AND NOT EXISTS \
     (SELECT 1 FROM session_privs s WHERE s.privilege = 'EXEMPT ACCESS POLICY')";

/// The policies of one server, as all its sessions know them.
#[derive(Debug, Default)]
pub(super) struct Policies(Mutex<Option<Seen>>);

#[derive(Debug)]
struct Seen {
    at: Instant,
    all: Vec<Policy>,
}

/// A policy, and how statements name its table: in capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Policy {
    name: String,
    owner: String,
    table: String,
    /// Whether the table's name alone means it.
    is_ours: bool,
}

impl Policies {
    fn is_due(&self) -> bool {
        self.0.lock().as_ref().is_none_or(|seen| seen.at.elapsed() >= EVERY)
    }

    /// The table and the policy that forbid to send a statement.
    pub(super) fn bar(&self, text: &str) -> Option<(String, String)> {
        let seen = self.0.lock();
        let all = &seen.as_ref()?.all;
        if all.is_empty() {
            return None;
        }
        let text = text.to_uppercase().replace('"', "");
        let barred = all.iter().find(|policy| policy.is_of(&text))?;
        Some((barred.table.clone(), barred.name.clone()))
    }
}

impl Policy {
    /// Whether a text in capitals, without quotes, names the table.
    fn is_of(&self, text: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '#');
        text.match_indices(&self.table).any(|(place, found)| {
            let (before, after) = (&text[..place], &text[place + found.len()..]);
            let owner = before.strip_suffix('.').map(|owner| owner.trim_end_matches(' '));
            let means_it = match owner {
                Some(owner) => owner.strip_suffix(self.owner.as_str()).is_some_and(|rest| !rest.ends_with(is_part)),
                None => self.is_ours && !before.ends_with(is_part),
            };
            means_it && !after.starts_with(is_part)
        })
    }
}

/// Looks at the policies when it is time to.
pub(super) fn look(session: &mut Session) -> Result<(), StoreError> {
    if !session.policies.is_due() {
        return Ok(());
    }
    let side = session.side;
    let unreadable = || misfit(side, "ALL_POLICIES has a row that names no table");
    let mut all: Vec<Policy> = Vec::new();
    let mut schema = String::new();
    let text = format!(
        "SELECT p.object_owner, p.object_name, p.policy_name, SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') \
         FROM all_policies p WHERE {IN_FORCE}"
    );
    let rows = session.query(&text, &[], 20)?;
    for row in &rows {
        let cell = |place| wire::text(row, place).ok_or_else(unreadable);
        let (owner, table, name, ours) = (cell(0)?, cell(1)?, cell(2)?, cell(3)?);
        all.push(Policy { name, is_ours: owner == ours, owner, table: table.to_uppercase() });
        schema = ours;
    }
    // What is found is asked for, too. A public synonym means the table without an owner.
    let mut place = 0;
    while let Some(found) = all.get(place).cloned() {
        place += 1;
        let binds = [Bind::text(found.owner.clone()), Bind::text(found.table.clone())];
        for row in session.query(RESTING, &binds, 20)? {
            let unreadable = || misfit(side, "ALL_DEPENDENCIES has a row that names nothing");
            let cell = |place| wire::text(&row, place).ok_or_else(unreadable);
            let (owner, table) = (cell(0)?, cell(1)?.to_uppercase());
            let is_ours = owner == schema || owner == "PUBLIC";
            let rests = Policy { name: found.name.clone(), owner, table, is_ours };
            if !all.contains(&rests) {
                all.push(rests);
            }
        }
    }
    *session.policies.0.lock() = Some(Seen { at: Instant::now(), all });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_barred_that_names_the_table_however_it_is_written() {
        let policy =
            |owner: &str, is_ours| Policy { name: "PLANTS".into(), owner: owner.into(), table: "ITEM".into(), is_ours };
        let bars = |policy: &Policy, text: &str| {
            let seen = Seen { at: Instant::now(), all: vec![policy.clone()] };
            Policies(Mutex::new(Some(seen))).bar(text).is_some()
        };
        let ours = policy("ERP", true);
        for text in ["SELECT id FROM item t", "UPDATE \"ITEM\" SET x=1", "SELECT 1 FROM erp.item", "DELETE FROM ITEM"] {
            assert!(bars(&ours, text), "{text}");
        }
        let theirs = policy("SALES", false);
        assert!(bars(&theirs, "SELECT 1 FROM sales.item"));
        for text in
            ["SELECT 1 FROM items", "SELECT 1 FROM line_item", "SELECT 1 FROM item#", "SELECT 1 FROM other.item"]
        {
            assert!(!bars(&ours, text) && !bars(&theirs, text), "{text}");
        }
        assert!(!bars(&theirs, "SELECT 1 FROM item") && !bars(&theirs, "SELECT 1 FROM presales.item"));
    }
}
