//! Every code that can be provoked is provoked, and a failed statement undoes itself alone.

use std::time::Duration;

use oracle::Connection;
use oracle::sql_type::OracleType;

use super::{Site, code, run_under};

fn fails(session: &Connection, statement: &str) -> i32 {
    let run = if statement.starts_with("SELECT") {
        session.query_row_as::<Option<String>>(statement, &[]).map(drop)
    } else {
        session.execute(statement, &[]).map(drop)
    };
    match run {
        Ok(()) => panic!("went well: {statement}"),
        Err(error) => code(&error),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_fail_with_oracles_codes_and_leave_the_transaction() {
    let site = Site::new().await;
    site.session.execute("INSERT INTO item (id, code) VALUES (2, 'B')", &[]).unwrap();
    for (statement, expected) in [
        ("INSERT INTO item (id, code) VALUES (1, 'B')", 1),
        ("SELECT nothing FROM item", 904),
        ("SELEKT 1 FROM item", 933),
        ("SELECT 1 FROM nowhere", 942),
        ("CREATE TABLE item (id NUMBER)", 955),
        ("INSERT INTO item (id) VALUES (3)", 1400),
        ("INSERT INTO item (id, code) VALUES (3, '')", 1400),
        ("INSERT INTO item (id, code, price) VALUES (3, 'C', 1000)", 1438),
        ("SELECT 1 / 0 FROM DUAL", 1476),
        ("SELECT TO_NUMBER('x') FROM DUAL", 1722),
        ("INSERT INTO item (id, code, price) VALUES (3, 'C', -1)", 2290),
        ("INSERT INTO stock (item, qty) VALUES (9, 1)", 2291),
        ("DELETE FROM item WHERE id = 1", 2292),
        ("INSERT INTO item (id, code) VALUES (3, 'äöü')", 12899),
        ("INSERT INTO item (id, code, name) VALUES (3, 'C', '123456')", 12899),
        ("BEGIN RAISE_APPLICATION_ERROR(-20042, 'no'); END;", 20042),
        ("DECLARE n NUMBER; BEGIN n := 1; END;", 6550),
    ] {
        assert_eq!(fails(&site.session, statement), expected, "{statement}");
    }
    // Five letters of two bytes each fit where letters are counted.
    site.session.execute("INSERT INTO item (id, code, name) VALUES (3, 'C', 'äöüßé')", &[]).unwrap();
    // DDL commits in an Oracle, also when it fails; the row before it stands.
    site.session.rollback().unwrap();
    assert_eq!(site.session.query_row_as::<i64>("SELECT COUNT(*) FROM item WHERE id = 2", &[]).unwrap(), 1);
}

/// Oracle's code as the text says it: the driver hides the code of an error that ends a session.
fn told(error: &oracle::Error) -> i32 {
    let text = error.to_string();
    let start = text.find("ORA-").expect("Oracle's code") + "ORA-".len();
    text[start..].split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_the_server_has_its_code() {
    let site = Site::new().await;
    let function = "CREATE FUNCTION fail_with(state text) RETURNS void LANGUAGE plpgsql AS \
                    $$ BEGIN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = 'on purpose'; END $$";
    run_under(&site, function).await;
    let fails_with = |session: &Connection, state: &str| {
        let state = (&state, &OracleType::Varchar2(5));
        told(&session.execute("BEGIN fail_with(:1); END;", &[&state]).unwrap_err())
    };
    // What is told apart by more than the state, too; and what has no code of its own.
    let others = [("57014", 1013), ("57P02", 3113), ("ORA00", 600), ("XX000", 600)];
    for (state, expected) in clntsh::code::TABLE.into_iter().chain(others) {
        let session = if expected == 3113 { &site.another() } else { &site.session };
        assert_eq!(fails_with(session, state), expected, "{state}");
    }
    site.session.ping().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn binds_cursors_and_merges_fail_with_oracles_codes() {
    let site = Site::new().await;
    let two = "INSERT INTO item (id, code) VALUES (2, 'B')";
    site.session.execute(two, &[]).unwrap();
    let failed = |text: &str, binds: &[&dyn oracle::sql_type::ToSql]| {
        site.session.execute(text, binds).map(drop).map_err(|error| code(&error))
    };
    assert_eq!(failed("DELETE FROM item WHERE id = :1 AND id = :2", &[&1]), Err(1008));
    assert_eq!(failed("UPDATE item SET price = (SELECT id FROM item)", &[]), Err(1427));
    let unstable = "MERGE INTO item i USING (SELECT 1 AS id FROM item) s ON (i.id = s.id) \
                    WHEN MATCHED THEN UPDATE SET price = 2";
    assert_eq!(failed(unstable, &[]), Err(30926));
    run_under(&site, "CREATE FUNCTION no_cursor() RETURNS refcursor LANGUAGE sql AS $$ SELECT 'gone'::refcursor $$")
        .await;
    assert_eq!(failed("BEGIN :1 := no_cursor(); END;", &[&OracleType::RefCursor]), Err(1001));
    assert_eq!(failed("BEGIN STAND_IN.FAULTS('walk:kill'); END;", &[]), Err(6550));
    // Each undid itself alone.
    assert_eq!(site.session.query_row_as::<i64>("SELECT COUNT(*) FROM item", &[]).unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_serializable_transactions_that_write_the_same_gives_way() {
    let site = Site::new().await;
    site.session.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", &[]).unwrap();
    site.session.query_row_as::<i64>("SELECT COUNT(*) FROM item", &[]).unwrap();
    let other = site.another();
    other.execute("UPDATE item SET price = 2 WHERE id = 1", &[]).unwrap();
    other.commit().unwrap();
    let late = site.session.execute("UPDATE item SET price = 3 WHERE id = 1", &[]).unwrap_err();
    assert_eq!(code(&late), 8177);
    site.session.rollback().unwrap();
    assert_eq!(site.session.query_row_as::<f64>("SELECT price FROM item WHERE id = 1", &[]).unwrap(), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_by_a_wrong_door() {
    let site = Site::new().await;
    let settings = site.database.settings();
    let refused = |user: &str, connect: &str| Connection::connect(user, "p", connect).map(drop).map_err(|e| code(&e));
    assert_eq!(refused("nobody_at_all", &settings.connect), Err(1017));
    assert_eq!(refused(&settings.user, "nowhere"), Err(12154));
    assert_eq!(refused(&settings.user, "127.0.0.1:1/erp"), Err(12541));
    let (place, _) = settings.connect.split_once('/').unwrap();
    assert_eq!(refused(&settings.user, &format!("{place}/no_such_service")), Err(12514));
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_refused_waited_for_and_skipped() {
    let site = Site::new().await;
    let other = site.another();
    site.session.query_row_as::<i64>("SELECT id FROM item WHERE id = 1 FOR UPDATE", &[]).unwrap();
    let lock = |end: &str| {
        let text = format!("SELECT id FROM item WHERE id = 1 FOR UPDATE {end}");
        let rows = other.query_as::<i64>(&text, &[]).map_err(|error| code(&error))?;
        Ok::<_, i32>(rows.count())
    };
    assert_eq!(lock("NOWAIT"), Err(54));
    assert_eq!(lock("WAIT 1"), Err(30006));
    assert_eq!(lock("SKIP LOCKED"), Ok(0));
    site.session.commit().unwrap();
    assert_eq!(lock("NOWAIT"), Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_that_wait_for_each_other_gives_way() {
    let site = Site::new().await;
    site.database.run(&["INSERT INTO item (id, code) VALUES (2, 'B')"]);
    let other = site.another();
    let take = |session: &Connection, id: i64| {
        session.execute(&format!("UPDATE item SET price = 1 WHERE id = {id}"), &[]).map(drop).map_err(|e| code(&e))
    };
    take(&site.session, 1).unwrap();
    take(&other, 2).unwrap();
    let first_session = &site.session;
    let (one, two) = std::thread::scope(|scope| {
        // Whoever gives way has only lost its statement, and still holds what the other waits for.
        let give_way = |session: &Connection, id: i64| take(session, id).inspect_err(|_| session.rollback().unwrap());
        let waiting = scope.spawn(move || give_way(first_session, 2));
        let second = give_way(&other, 1);
        let first = waiting.join().unwrap();
        (first, second)
    });
    assert!(matches!((one, two), (Ok(()), Err(60)) | (Err(60), Ok(()))), "{one:?} {two:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_by_its_timeout_or_by_a_break() {
    let site = Site::new().await;
    site.session.set_call_timeout(Some(Duration::from_millis(200))).unwrap();
    let late = site.session.execute("BEGIN DBMS_LOCK.SLEEP(5); END;", &[]).unwrap_err();
    assert_eq!(late.dpi_code(), Some(1067), "{late}");
    assert!(late.to_string().contains("ORA-03136"), "{late}");
    site.session.set_call_timeout(None).unwrap();
    site.session.rollback().unwrap();
    let broken = std::thread::scope(|scope| {
        let call = scope.spawn(|| fails(&site.session, "BEGIN DBMS_LOCK.SLEEP(5); END;"));
        std::thread::sleep(Duration::from_millis(300));
        site.session.break_execution().unwrap();
        call.join().unwrap()
    });
    assert_eq!(broken, 1013);
    site.session.ping().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_session_says_so_once_and_is_gone() {
    let site = Site::new().await;
    site.database.plan_faults("exec:item:kill:1");
    let killed = site.session.query_row_as::<i64>("SELECT COUNT(*) FROM item", &[]).unwrap_err();
    assert!(killed.to_string().contains("ORA-03113"), "{killed}");
    assert_eq!(killed.dpi_code(), Some(1080));
    let gone = site.session.query_row_as::<i64>("SELECT COUNT(*) FROM item", &[]).unwrap_err();
    assert_eq!(gone.dpi_code(), Some(1010), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_without_a_type_is_national_and_refused() {
    let site = Site::new().await;
    let untyped = site.session.query_row_as::<i64>("SELECT id FROM item WHERE code = :1", &[&"A"]).unwrap_err();
    assert_eq!(code(&untyped), 12704);
    let typed = (&"A", &OracleType::Varchar2(5));
    assert_eq!(site.session.query_row_as::<i64>("SELECT id FROM item WHERE code = :1", &[&typed]).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_out_of_sessions_says_so() {
    let site = Site::new().await;
    let settings = site.database.settings();
    let build = |mode: oracle::pool::GetMode| {
        let mut builder = oracle::pool::PoolBuilder::new(&settings.user, &settings.password, &settings.connect);
        builder.max_connections(1).get_mode(mode).build().unwrap()
    };
    for (mode, expected) in
        [(oracle::pool::GetMode::NoWait, 24418), (oracle::pool::GetMode::TimedWait(Duration::from_millis(100)), 24459)]
    {
        let pool = build(mode);
        let held = pool.get().unwrap();
        assert_eq!(code(&pool.get().unwrap_err()), expected);
        assert_eq!((pool.busy_count().unwrap(), pool.open_count().unwrap()), (1, 1));
        drop(held);
        pool.get().unwrap().ping().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_is_kept_for_a_while_and_others_never_were() {
    let site = Site::new().await;
    let scn = "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM DUAL";
    let count = |scn: i64| {
        let text = "SELECT COUNT(*) FROM item AS OF SCN :1";
        site.session.query_row_as::<i64>(text, &[&scn]).map_err(|error| code(&error))
    };
    let first = site.session.query_row_as::<i64>(scn, &[]).unwrap();
    site.another().execute("INSERT INTO item (id, code) VALUES (7, 'G')", &[]).unwrap();
    let writer = site.another();
    writer.execute("INSERT INTO item (id, code) VALUES (8, 'H')", &[]).unwrap();
    writer.commit().unwrap();
    let second = site.session.query_row_as::<i64>(scn, &[]).unwrap();
    assert!(second > first);
    assert_eq!((count(first), count(second), count(second + 1_000)), (Ok(1), Ok(2), Err(8181)));
    for _ in 0..16 {
        site.session.query_row_as::<i64>(scn, &[]).unwrap();
    }
    assert_eq!(count(first), Err(1555));
}
