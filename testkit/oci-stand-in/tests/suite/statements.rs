//! What Oracle's SQL does, whatever PostgreSQL says.

use oracle::Error;
use oracle::sql_type::OracleType;

use super::Site;

#[tokio::test(flavor = "multi_thread")]
async fn expressions_mean_what_they_mean_in_oracle() {
    let site = Site::new().await;
    for (expression, expected) in [
        ("'a' || NULL || 'b'", Some("ab")),
        ("NVL('', 'none')", Some("none")),
        ("CASE WHEN '' IS NULL THEN 'null' END", Some("null")),
        ("SUBSTR('oracle', -3, 2)", Some("cl")),
        ("RTRIM('a  ', ' ')", Some("a")),
        ("TO_CHAR(0.5, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')", Some(".5")),
        ("RAWTOHEX(STANDARD_HASH('x', 'MD5'))", Some("9DD4E461268C8034F5C8564E155C67A6")),
        (
            "TO_CHAR(TIMESTAMP '2024-02-29 01:02:03.000004', 'YYYY-MM-DD HH24:MI:SS.FF6')",
            Some("2024-02-29 01:02:03.000004"),
        ),
        ("TO_CHAR(ADD_MONTHS(TIMESTAMP '2024-01-31 00:00:00', 1), 'YYYY-MM-DD')", Some("2024-02-29")),
        ("GREATEST(1, NULL, 2)", None),
    ] {
        let found: Option<String> = site.session.query_row_as(&format!("SELECT {expression} FROM DUAL"), &[]).unwrap();
        assert_eq!(found.as_deref(), expected, "{expression}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_limited_in_both_of_oracles_ways() {
    let site = Site::new().await;
    for id in 2..=9 {
        site.session.execute(&format!("INSERT INTO item (id, code) VALUES ({id}, 'X')"), &[]).unwrap();
    }
    let ids = |text: &str| -> Vec<i64> {
        site.session.query_as::<i64>(text, &[&3]).unwrap().collect::<Result<_, Error>>().unwrap()
    };
    assert_eq!(ids("SELECT id FROM item ORDER BY id FETCH FIRST :1 ROWS ONLY"), [1, 2, 3]);
    assert_eq!(ids("SELECT id FROM item WHERE id > 3 AND ROWNUM <= :1").len(), 3);
    assert_eq!(ids("SELECT id FROM item ORDER BY id FETCH FIRST (GREATEST(0, LEAST(:1, 2))) ROWS ONLY"), [1, 2]);
    assert_eq!(ids("SELECT id FROM item MINUS SELECT id FROM item WHERE id <> :1"), [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_puts_and_a_sequence_counts() {
    let site = Site::new().await;
    site.session.execute("CREATE SEQUENCE ids START WITH 100", &[]).unwrap();
    let merge = "MERGE INTO item i USING (SELECT :1 AS id FROM DUAL) s ON (i.id = s.id) \
                 WHEN MATCHED THEN UPDATE SET price = 9 WHEN NOT MATCHED THEN INSERT (id, code) VALUES (s.id, 'M')";
    for id in [1, 2] {
        let done = site.session.execute(merge, &[&id]).unwrap();
        assert_eq!(done.row_count().unwrap(), 1);
    }
    let next = |_| site.session.query_row_as::<i64>("SELECT ids.NEXTVAL FROM DUAL", &[]).unwrap();
    assert_eq!([next(()), next(())], [100, 101]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_counts_its_rows_and_names_those_that_fail() {
    let site = Site::new().await;
    let mut batch = site
        .session
        .batch("INSERT INTO item (id, code) VALUES (:1, :2)", 4)
        .with_batch_errors()
        .with_row_counts()
        .build()
        .unwrap();
    batch.set_type(1, &OracleType::Int64).unwrap();
    batch.set_type(2, &OracleType::Varchar2(10)).unwrap();
    for (id, text) in [(2, "B"), (1, "A"), (3, "C"), (4, "too long")] {
        batch.append_row(&[&id, &text]).unwrap();
    }
    let error = batch.execute().unwrap_err();
    let failed: Vec<_> = error.batch_errors().unwrap().iter().map(|error| (error.offset(), error.code())).collect();
    assert_eq!(failed, [(1, 1), (3, 12899)]);
    assert_eq!(batch.row_counts().unwrap(), [1, 0, 1, 0]);
    assert_eq!(site.session.query_row_as::<i64>("SELECT COUNT(*) FROM item", &[]).unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_returns_what_it_changed() {
    let site = Site::new().await;
    site.session.execute("INSERT INTO item (id, code, price) VALUES (2, 'B', 2)", &[]).unwrap();
    let text = "UPDATE item SET price = price + 1 WHERE id > :1 RETURNING id, price INTO :2, :3";
    let done = site.session.execute(text, &[&0, &OracleType::Int64, &OracleType::Number(5, 2)]).unwrap();
    let (mut ids, prices): (Vec<i64>, Vec<f64>) = (done.returned_values(2).unwrap(), done.returned_values(3).unwrap());
    ids.sort_unstable();
    assert_eq!((ids, prices.iter().sum::<f64>()), (vec![1, 2], 5.5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_outlives_the_commit_and_a_query_opens_no_transaction() {
    let site = Site::new().await;
    let mut statement = site.session.statement("SELECT id FROM item").fetch_array_size(1).build().unwrap();
    let mut rows = statement.query_as::<i64>(&[]).unwrap();
    site.another().execute("DELETE FROM stock", &[]).unwrap();
    site.session.commit().unwrap();
    assert_eq!(rows.next().unwrap().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn procedures_take_and_give_and_locks_have_names() {
    let site = Site::new().await;
    let (client, connection) =
        tokio_postgres::connect(&site.database.under().url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute(
            "CREATE SCHEMA stock_api;
             CREATE FUNCTION stock_api.adjust(id numeric, delta numeric) RETURNS void LANGUAGE sql AS
               $$ UPDATE stock SET qty = qty + delta WHERE item = id $$;
             CREATE FUNCTION stock_api.level(id numeric) RETURNS numeric LANGUAGE sql AS
               $$ SELECT qty FROM stock WHERE item = id $$",
        )
        .await
        .unwrap();
    let mut block = site
        .session
        .statement("BEGIN stock_api.adjust(:id, :delta); stock_api.adjust(:id, 1); :qty := stock_api.level(:id); END;")
        .build()
        .unwrap();
    block.execute_named(&[("id", &1), ("delta", &-4), ("qty", &OracleType::Int64)]).unwrap();
    assert_eq!(block.bind_value::<_, i64>("qty").unwrap(), 7);
    site.session.commit().unwrap();

    let request = |session: &oracle::Connection, mode: i64| -> i64 {
        let text = "BEGIN :r := DBMS_LOCK.REQUEST(42, :m, 0.1, TRUE); END;";
        let mut block = session.statement(text).build().unwrap();
        block.execute_named(&[("r", &OracleType::Int64), ("m", &mode)]).unwrap();
        block.bind_value("r").unwrap()
    };
    let other = site.another();
    assert_eq!([request(&site.session, 4), request(&other, 4)], [0, 0], "shared with others");
    assert_eq!(request(&other, 6), 1, "alone only without others");
    site.session.commit().unwrap();
    assert_eq!(request(&other, 6), 0, "given up with the transaction");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_threads_work_at_once() {
    let site = Site::new().await;
    std::thread::scope(|scope| {
        for thread in 0..16_i64 {
            let session = site.another();
            scope.spawn(move || {
                for number in 0..10_i64 {
                    let id = 1_000 + thread * 100 + number;
                    session.execute("INSERT INTO item (id, code) VALUES (:1, 'T')", &[&id]).unwrap();
                    if number % 2 == 0 { session.commit().unwrap() } else { session.rollback().unwrap() }
                }
            });
        }
    });
    assert_eq!(site.session.query_row_as::<i64>("SELECT COUNT(*) FROM item WHERE id >= 1000", &[]).unwrap(), 80);
}
