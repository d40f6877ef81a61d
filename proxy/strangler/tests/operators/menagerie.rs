//! Databases that do things on their own, as either side and as an Oracle: nothing is called settled, equal, complete or safe that is not.
//!
//! Each is a file in `testkit/menagerie`; what came out of each stands in `docs/operate/menagerie.md`.

use std::path::Path;

use futures::future::join_all;
use testkit::menagerie::{self, Animal};

/// One database, in all its seats at once.
async fn show(name: &str) {
    let animal = Animal::read(&menagerie::folder().join(format!("{}.sql", name.replace('_', "-"))));
    if name == "case_insensitive_key" && !testkit::postgres::knows_icu().await {
        return;
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_strangler"));
    let seated = async |seat| {
        let course = menagerie::run(&animal, seat, binary).await;
        menagerie::hold_to(&animal, &course)
    };
    let wrong: Vec<_> = join_all(animal.seats().map(seated)).await.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A test for each.
macro_rules! animals {
    ($names:ident: $($name:ident),* $(,)?) => {
        const $names: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                crate::menagerie::show(stringify!($name)).await;
            }
        )*
    };
}

animals!(SHOWN:
    cancels,
    cascades,
    case_insensitive_key,
    changed_plans,
    columns_left_out,
    commit_is_not_waited_for,
    deferrable_constraints,
    domains,
    full_disk,
    generated_column,
    identity_column,
    keys_made_capital,
    latin1,
    missing_right,
    missing_right_on_the_ledger,
    null_in_key,
    parent_elsewhere,
    partitions,
    policy_hides,
    policy_on_the_versions,
    pooler,
    read_only,
    repeatable_read,
    rule_does_more,
    rule_does_nothing,
    serializable,
    set_null,
    sql_ascii,
    tame,
    tiny_lock_timeout,
    tiny_statement_timeout,
    trigger_at_commit,
    trigger_changes_other_rows,
    trigger_changes_other_table,
    trigger_on_the_ledger,
    trigger_on_the_versions,
    trigger_returns_null,
    trigger_returns_old,
    trigger_writes_last,
    view_with_condition,
);

#[test]
fn every_database_of_the_menagerie_is_shown() {
    let mut shown: Vec<_> = SHOWN.iter().map(|name| name.replace('_', "-")).collect();
    shown.sort_unstable();
    let kept: Vec<_> = menagerie::animals().into_iter().map(|animal| animal.name).collect();
    assert_eq!(shown, kept);
}

#[test]
fn the_table_of_the_docs_is_what_is_declared() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(menagerie::PAGE);
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert_eq!(
        found,
        menagerie::page(),
        "write it anew: cargo run -p testkit --bin menagerie -- --page > {}",
        menagerie::PAGE
    );
}
