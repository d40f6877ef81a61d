//! The databases of the demo: tables of both sides, and an ERP with fifteen years of stock.
//!
//! Plain SQL, made inside the database in about a second; whoever holds a connection runs it as one
//! batch. The same seed gives the same rows.
//!
//! Not here: a connection (`adapters`), and the modern side's rows (the baseline copy).

use std::fmt;

/// The ERP's tables, empty.
pub const ERP_TABLES: &str = include_str!("erp.sql");

/// The new store's tables, empty.
pub const MODERN_TABLES: &str = include_str!("modern.sql");

/// Counts what [`erp_seed_sql`] made: one row of 64-bit integers, in the order of
/// [`SeedReport::from_counts`].
pub const ERP_COUNTS: &str = "
SELECT (SELECT count(*) FROM ITMHDR) AS items,
       (SELECT count(DISTINCT LOCCD) FROM STKBAL) AS locations,
       (SELECT count(*) FROM STKBAL) AS balances,
       (SELECT count(*) FROM MOVLOG) AS movements,
       (SELECT count(*) FROM MOVLOG WHERE USRID IS NULL) AS without_audit,
       (SELECT count(*) FROM STKBAL WHERE ITMNO NOT IN (SELECT ITMNO FROM ITMHDR)) AS orphaned_balances,
       (SELECT count(*) FROM MOVLOG WHERE ITMNO NOT IN (SELECT ITMNO FROM ITMHDR)) AS orphaned_movements";

const TEMPLATE: &str = include_str!("seed.sql");
/// Articles of the ERP, unless somebody asks for more or fewer.
pub const ITEMS: u64 = 20_000;
const ORPHANS: u64 = 240;

/// Statements that fill the ERP's empty tables with so many articles. One batch, on one connection.
pub fn erp_seed_sql(seed: u64, items: u64) -> String {
    TEMPLATE
        .replace("{seed}", &seed.cast_signed().to_string())
        .replace("{items}", &items.to_string())
        .replace("{movements}", &(items * 16 / 5).to_string())
        .replace("{orphans}", &ORPHANS.to_string())
}

/// What the ERP holds, as counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedReport {
    /// Item headers.
    pub items: u64,
    /// Locations with at least one balance.
    pub locations: u64,
    /// Balances: an item at a location.
    pub balances: u64,
    /// Movements.
    pub movements: u64,
    /// Movements without user and reason.
    pub without_audit: u64,
    /// Balances of items that do not exist.
    pub orphaned_balances: u64,
    /// Movements of items that do not exist.
    pub orphaned_movements: u64,
}

impl SeedReport {
    /// Takes the one row of [`ERP_COUNTS`]. Counts are never negative; a negative one reads as 0.
    pub fn from_counts(counts: [i64; 7]) -> Self {
        let [items, locations, balances, movements, without_audit, orphaned_balances, orphaned_movements] =
            counts.map(|count| u64::try_from(count).unwrap_or(0));
        Self { items, locations, balances, movements, without_audit, orphaned_balances, orphaned_movements }
    }

    /// Share of movements that lack audit data, in whole percent, rounded down.
    pub fn percent_without_audit(&self) -> u64 {
        self.without_audit * 100 / self.movements.max(1)
    }
}

impl fmt::Display for SeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} items, {} balances over {} locations, {} movements ({} % without audit data); \
             orphaned: {} balances, {} movements",
            self.items,
            self.balances,
            self.locations,
            self.movements,
            self.percent_without_audit(),
            self.orphaned_balances,
            self.orphaned_movements,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_changes_the_statements_and_leaves_no_placeholder() {
        assert_ne!(erp_seed_sql(1, ITEMS), erp_seed_sql(2, ITEMS));
        assert_eq!(erp_seed_sql(u64::MAX, ITEMS), erp_seed_sql(u64::MAX, ITEMS));
        assert!(!erp_seed_sql(7, ITEMS).contains('{'));
    }

    #[test]
    fn the_report_reads_as_one_line() {
        let report = SeedReport::from_counts([20_000, 12, 50_000, 64_000, 19_200, 240, 240]);
        assert_eq!(
            report.to_string(),
            "20000 items, 50000 balances over 12 locations, 64000 movements (30 % without audit \
             data); orphaned: 240 balances, 240 movements"
        );
    }
}
