//! What both databases say at about one moment, read with SQL past the program: what its reports are held to.
//!
//! Under load no two databases can be read at one moment. So two looks are taken, around a report: what differs in both, in the same way, and
//! was not on its way in either, differed while the report was made ([`lasting`]).

use std::collections::{BTreeMap, BTreeSet};

use model::{PerSide, Side};
use tokio_postgres::Client;

/// A type and the text of a key, as ledgers and reports write them.
pub type Named = (String, String);

const LEGACY: &str = "SELECT 'Product', ARRAY[rtrim(ITMNO)], concat_ws('|', ITMDSC, nullif(ITMTXT, ''), UPRICE::numeric(12, 2), CHGDT) FROM ITMHDR
     UNION ALL SELECT 'StockLevel', ARRAY[rtrim(ITMNO), rtrim(LOCCD)], concat_ws('|', QTYOH::int8, QTYRSV::int8, CHGDT) FROM STKBAL
     UNION ALL SELECT 'StockMovement', ARRAY[rtrim(MOVID)], concat_ws('|', rtrim(ITMNO), rtrim(LOCCD), MOVTYP, MOVQTY::int8, BOOKDT) FROM MOVLOG";
const MODERN: &str = "SELECT 'Product', ARRAY[sku], concat_ws('|', name, description, unit_price, updated_at AT TIME ZONE 'Europe/Berlin') FROM product
     UNION ALL SELECT 'StockLevel', ARRAY[sku, location], concat_ws('|', on_hand, reserved, updated_at AT TIME ZONE 'Europe/Berlin') FROM stock_level
     UNION ALL SELECT 'StockMovement', ARRAY[id], concat_ws('|', sku, location, left(kind, 1), quantity, booked_at AT TIME ZONE 'Europe/Berlin') FROM stock_movement";
const UNSETTLED: &str =
    "SELECT entity, key, write_id::text FROM strangler_ledger WHERE state = 'unsettled' AND grp = 'inventory'";
const FENCE: &str = "SELECT state, epoch FROM strangler_fence WHERE grp = 'inventory'";

/// One look at one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Every row of the group, by key.
    pub rows: BTreeMap<Named, String>,
    /// Keys of writes that the ledger calls unsettled, with the writes' ids.
    pub unsettled: BTreeSet<(Named, String)>,
    /// State and epoch of the fence.
    pub fence: (String, i64),
}

/// One look at both.
pub type Truth = PerSide<Look>;

impl Look {
    /// Looks at a side.
    ///
    /// # Errors
    /// Of the database.
    pub async fn at(side: Side, client: &Client) -> Result<Self, tokio_postgres::Error> {
        let rows = match side {
            Side::Legacy => LEGACY,
            Side::Modern => MODERN,
        };
        let fence = client.query_one(FENCE, &[]).await?;
        let mut look = Self { fence: (fence.get(0), fence.get(1)), ..Self::default() };
        for row in client.query(UNSETTLED, &[]).await? {
            look.unsettled.insert(((row.get(0), row.get(1)), row.get(2)));
        }
        for row in client.query(rows, &[]).await? {
            let key = serde_json::Value::from(row.get::<_, Vec<String>>(1)).to_string();
            look.rows.insert((row.get(0), key), row.get(2));
        }
        // Again: what came while the rows were read.
        for row in client.query(UNSETTLED, &[]).await? {
            look.unsettled.insert(((row.get(0), row.get(1)), row.get(2)));
        }
        Ok(look)
    }
}

/// Who takes writes, when one side does and the other does not.
pub fn primary(truth: &Truth) -> Option<Side> {
    let open = |side: &Side| truth.get(*side).fence.0 == "open";
    let mut open = Side::BOTH.into_iter().filter(open);
    open.next().filter(|_| open.next().is_none())
}

/// Rows that differ, with what stands on either side.
fn differing(truth: &Truth) -> BTreeMap<Named, PerSide<Option<String>>> {
    let names: BTreeSet<_> = Side::BOTH.into_iter().flat_map(|side| truth.get(side).rows.keys()).collect();
    let stands = |name: &Named| {
        let on = |side: Side| truth.get(side).rows.get(name).cloned();
        PerSide { legacy: on(Side::Legacy), modern: on(Side::Modern) }
    };
    let pairs = names.into_iter().map(|name| (name.clone(), stands(name)));
    pairs.filter(|(_, pair)| pair.legacy != pair.modern).collect()
}

/// Rows that differ in both looks alike, and were on their way in neither.
pub fn lasting(before: &Truth, after: &Truth) -> BTreeMap<Named, PerSide<Option<String>>> {
    let on_the_way = |name: &Named| {
        let of =
            |truth: &Truth| Side::BOTH.into_iter().any(|side| truth.get(side).unsettled.iter().any(|it| it.0 == *name));
        of(before) || of(after)
    };
    let after_it = differing(after);
    let same = |(name, pair): &(Named, PerSide<Option<String>>)| after_it.get(name) == Some(pair) && !on_the_way(name);
    differing(before).into_iter().filter(same).collect()
}

/// Writes that `side` calls unsettled in both looks.
pub fn waiting(side: Side, before: &Truth, after: &Truth) -> usize {
    let writes = |truth: &Truth| -> BTreeSet<String> {
        truth.get(side).unsettled.iter().map(|(_, write)| write.clone()).collect()
    };
    writes(before).intersection(&writes(after)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str) -> Named {
        ("Product".into(), format!("[\"{key}\"]"))
    }

    fn look(rows: &[(&str, &str)], unsettled: &[(&str, &str)]) -> Look {
        Look {
            rows: rows.iter().map(|(key, row)| (name(key), (*row).into())).collect(),
            unsettled: unsettled.iter().map(|(key, write)| (name(key), (*write).into())).collect(),
            fence: ("open".into(), 1),
        }
    }

    #[test]
    fn what_differs_in_both_looks_alike_and_is_not_on_its_way_lasts() {
        let legacy = look(&[("A", "1"), ("B", "1"), ("C", "1"), ("D", "1")], &[("C", "w1")]);
        let before = Truth { legacy: legacy.clone(), modern: look(&[("A", "1"), ("B", "2"), ("C", "2")], &[]) };
        let mut after = before.clone();
        assert_eq!(lasting(&before, &after).into_keys().collect::<Vec<_>>(), [name("B"), name("D")]);
        assert_eq!(waiting(Side::Legacy, &before, &after), 1);
        after.modern.rows.insert(name("B"), "3".into());
        assert_eq!(lasting(&before, &after).into_keys().collect::<Vec<_>>(), [name("D")], "B is moving");
        after.legacy.unsettled = look(&[], &[("D", "w2")]).unsettled;
        assert_eq!(lasting(&before, &after).len(), 0, "and D is on its way");
        assert_eq!(waiting(Side::Legacy, &before, &after), 0);
    }

    #[test]
    fn one_open_fence_names_the_primary() {
        let closed = Look { fence: ("closed".into(), 1), ..look(&[], &[]) };
        let truth = Truth { legacy: look(&[], &[]), modern: closed.clone() };
        assert_eq!(primary(&truth), Some(Side::Legacy));
        assert_eq!(primary(&Truth { legacy: closed.clone(), modern: closed }), None);
        assert_eq!(primary(&Truth { legacy: look(&[], &[]), modern: look(&[], &[]) }), None);
    }
}
