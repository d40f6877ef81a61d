//! Checksums of rows that we did not write: an ERP's habits, and what clocks do twice a year.

use model::checksum::Chunk;
use model::{Scan, Side};
use testkit::contract::{WITHIN, checksum, entity};
use testkit::inventory::product_key;

use super::postgres::{Fixture, connect};

#[tokio::test(flavor = "multi_thread")]
async fn rows_as_an_erp_keeps_them_have_the_sums_of_what_is_read_from_them() {
    let fixture = Fixture::new(Side::Legacy).await;
    // Berlin's clocks showed 02:30 twice on the 25th of October and never on the 29th of March.
    connect(&fixture.database)
        .await
        .batch_execute(
            "INSERT INTO INV_ITM_MST (ITM_NO, ITM_DSC, ACT_FL, ITM_CLS, PRC, WGT, UPD_DT, END_DT) VALUES
             ('TWICE', 'x', 'Y', 'F', 1.50, 0.5, '2026-10-25 02:30', '9999-12-31'),
             ('AFTER', 'x', 'Y', 'SL', 100, -0.5, '2026-10-25 03:00', '2026-10-25 02:00'),
             ('NEVER', '', 'N', NULL, 0.0, NULL, '2026-03-29 02:30', '9999-12-31'),
             ('SUMMER', ' y ', 'N', 'F', NULL, 2, '2026-07-01 00:00:00.000001', '1999-12-31 23:59:59')",
        )
        .await
        .unwrap();
    let entity = entity(&product_key("TWICE"));
    let records = fixture.store.members(&entity, &Chunk::whole(), 10, WITHIN).await.unwrap();
    assert_eq!(records.len(), 4);

    let sums = fixture.store.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap();

    assert_eq!(sums, checksum::specified(&entity, &records, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_after_a_copy_and_an_unknown_code_shows() {
    let (legacy, modern) = (Fixture::new(Side::Legacy).await, Fixture::new(Side::Modern).await);
    checksum::sums_are_those_of_the_specification(legacy.subject()).await;
    checksum::sums_are_those_of_the_specification(modern.subject()).await;
    let entity = entity(&product_key("A"));
    let of = async |fixture: &Fixture| fixture.store.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap();
    let equal = of(&modern).await;
    assert_eq!(of(&legacy).await, equal);

    let client = connect(&legacy.database).await;
    client
        .batch_execute("UPDATE INV_ITM_MST SET ITM_CLS = 'Q' WHERE ITM_NO = (SELECT min(ITM_NO) FROM INV_ITM_MST)")
        .await
        .unwrap();

    assert_ne!(of(&legacy).await, equal);
}
