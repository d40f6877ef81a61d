//! What the account may do with the contract's tables, where they belong to somebody else.
//!
//! Not here: what it needs besides; `bookkeeping::GRANTS` lists all of it for a DBA.

use model::StoreError;

use super::bind::Bind;
use super::inspect::owned;
use super::session::Session;
use super::wire;

/// What every table of the contract needs: `FLASHBACK` to be read as of one moment.
const NEEDED: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "FLASHBACK"];

/// The account, its rights on all tables, and those found on single ones.
pub(super) struct Rights {
    account: String,
    on_any: Vec<String>,
    found: Vec<String>,
}

impl Rights {
    pub(super) fn of_account(session: &mut Session) -> Result<Self, StoreError> {
        let account = session.query("SELECT USER FROM DUAL", &[], 1)?;
        let account = account.first().and_then(|row| wire::text(row, 0)).unwrap_or_default().to_uppercase();
        let on_any =
            session.query("SELECT privilege FROM session_privs WHERE privilege LIKE '% ANY TABLE'", &[], 10)?;
        let on_any = on_any.iter().filter_map(|row| wire::text(row, 0));
        let on_any = on_any.filter_map(|right| right.strip_suffix(" ANY TABLE").map(str::to_owned)).collect();
        Ok(Self { account, on_any, found: Vec::new() })
    }

    /// Says what is missing on a table.
    pub(super) fn missing(&mut self, session: &mut Session, table: &str) -> Result<Option<String>, StoreError> {
        // A table without owner is the account's own, or a synonym that the catalogue does not show as a table.
        let (Some(owner), name) = owned(table) else { return Ok(None) };
        if owner == self.account {
            return Ok(None);
        }
        let text = "SELECT DISTINCT privilege FROM all_tab_privs WHERE table_schema = :1 AND table_name = :2";
        let rows = session.query(text, &[Bind::text(owner), Bind::text(name)], 10)?;
        let granted: Vec<_> = rows.iter().filter_map(|row| wire::text(row, 0)).collect();
        let has = |right: &&str| granted.iter().chain(&self.on_any).any(|granted| granted == right);
        let (held, missing): (Vec<_>, Vec<_>) = NEEDED.iter().copied().partition(has);
        self.found.push(format!("{table}: {}", if held.is_empty() { "none".to_owned() } else { held.join(", ") }));
        let account = &self.account;
        let missing = missing.join(", ");
        Ok((!missing.is_empty()).then(|| format!("rights are missing: `GRANT {missing} ON {table} TO {account}`")))
    }

    /// What was found.
    pub(super) fn fact(self) -> Option<(&'static str, String)> {
        (!self.found.is_empty()).then(|| ("account's rights on tables", self.found.join("; ")))
    }
}
