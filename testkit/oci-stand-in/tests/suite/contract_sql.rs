//! The demo's ERP, as the contract speaks to it, runs through the stand-in.

use std::path::Path;

use model::sql::{NamedSql, Piece};
use oracle::sql_type::OracleType;

use super::Site;

/// The texts of `legacy: "…"`, `legacy: """…"""` and `sql: "…"` within `legacy: [ … ]`.
fn legacy_texts(schema: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for part in schema.split("legacy: ").skip(1) {
        let own = part.split("modern: ").next().unwrap();
        for (open, close) in [("\"\"\"", "\"\"\""), ("sql: \"", "\"")] {
            for piece in own.split(open).skip(1).step_by(if open == close { 2 } else { 1 }) {
                texts.push(piece.split(close).next().unwrap().to_owned());
            }
        }
        if let Some(rest) = own.strip_prefix('"')
            && !own.starts_with("\"\"\"")
        {
            texts.push(rest.split('"').next().unwrap().to_owned());
        }
    }
    texts
        .retain(|text| ["SELECT", "UPDATE", "INSERT", "DELETE"].iter().any(|word| text.trim_start().starts_with(word)));
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_the_contract_for_the_erp_runs() {
    let site = Site::new().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (client, connection) =
        tokio_postgres::connect(&site.database.under().url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&read("proxy/strangler/src/demo/erp.sql")).await.unwrap();
    let texts = legacy_texts(&read("schema.graphql"));
    assert!(texts.len() > 10, "{texts:?}");
    for text in texts {
        let mut count = 0;
        let sql: String =
            NamedSql::parse(&text).unwrap().pieces().iter().fold(String::new(), |sql, piece| match piece {
                Piece::Text(plain) => sql + plain,
                Piece::Columns => sql + "*",
                Piece::Param(_) => {
                    count += 1;
                    format!("{sql}:{count}")
                }
            });
        let nulls = vec![OracleType::Varchar2(10); count];
        let binds: Vec<&dyn oracle::sql_type::ToSql> = nulls.iter().map(|null| null as _).collect();
        let mut statement = site.session.statement(&sql).build().unwrap();
        let run = if statement.is_query() { statement.query(&binds).map(drop) } else { statement.execute(&binds) };
        // Nulls break rules of the tables; anything else would be the stand-in's fault.
        if let Err(error) = run {
            assert!(matches!(error.oci_code(), Some(1400 | 2290)), "{error}: {sql}");
        }
    }
}
