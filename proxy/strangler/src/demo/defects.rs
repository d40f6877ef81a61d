//! The defects that the demo plants on the modern side, behind strangler's back, as bad migration
//! scripts do. Each is one SQL text of the modern store and the cause under which it must be found.

use model::evidence::Cause;

/// A defect: how it is planted, and how it must be named.
#[derive(Debug, Clone)]
pub struct Defect {
    /// What went wrong, for the story.
    pub story: &'static str,
    /// The cause under which it must be reported.
    pub cause: Cause,
    /// The statement that plants it.
    pub sql: String,
}

/// The three defects of the first planting, on the articles `skus` that nobody changes.
pub fn three(skus: &[String]) -> [Defect; 3] {
    let [prices, rows, times] = thirds(skus);
    [
        Defect {
            story: "a price was rounded to full tens of cents",
            cause: Cause::Rounding,
            sql: format!(
                "UPDATE product SET unit_price = round(unit_price, 1) \
                 WHERE sku IN ({}) AND unit_price <> round(unit_price, 1)",
                list(prices)
            ),
        },
        Defect {
            story: "stock levels were not copied",
            cause: Cause::MissingRow,
            // Nor is it remembered that they ever were, or it would be a foreign write.
            sql: format!(
                "WITH gone AS (DELETE FROM stock_level WHERE sku IN ({}) RETURNING sku) \
                 DELETE FROM strangler_version WHERE entity = 'StockLevel' \
                 AND key::jsonb ->> 0 IN (SELECT sku FROM gone)",
                list(rows)
            ),
        },
        Defect {
            story: "local times were taken for UTC: movements are an hour off",
            cause: Cause::TimeZone,
            sql: format!(
                "UPDATE stock_movement SET booked_at = booked_at + interval '1 hour' WHERE sku IN ({})",
                list(times)
            ),
        },
    ]
}

/// The defect that ends in the rollback: quantities are wrong.
pub fn last(skus: &[String]) -> Defect {
    Defect {
        story: "somebody's script adds 10 to quantities on the modern side",
        cause: Cause::ForeignWrite,
        sql: format!("UPDATE stock_level SET on_hand = on_hand + 10 WHERE sku IN ({})", list(skus)),
    }
}

/// The defect that nobody sees but the guard: quantities are wrong again, by another program.
pub fn at_night(skus: &[String]) -> Defect {
    Defect {
        story: "a nightly job of the new store counts what lies on its shelves twice",
        cause: Cause::ForeignWrite,
        sql: format!("UPDATE stock_level SET on_hand = on_hand * 2 + 1 WHERE sku IN ({})", list(skus)),
    }
}

fn thirds(skus: &[String]) -> [&[String]; 3] {
    let third = skus.len().div_ceil(3).max(1);
    let mut parts = skus.chunks(third);
    [0; 3].map(|_| parts.next().unwrap_or_default())
}

/// Quoted for SQL. Article numbers of the demo have no quotes; doubled all the same.
fn list(skus: &[String]) -> String {
    let quoted: Vec<_> = skus.iter().map(|sku| format!("'{}'", sku.replace('\'', "''"))).collect();
    if quoted.is_empty() { "NULL".to_owned() } else { quoted.join(", ") }
}
