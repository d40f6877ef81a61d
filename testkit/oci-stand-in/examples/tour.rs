//! A tour of everything that the driver asks of the stand-in, for `bin/valgrind`: small, and each answer is checked.
//! Starts a PostgreSQL of its own as tests do.

#![expect(clippy::unwrap_used, reason = "a tour that goes wrong panics, and its exit code says so")]

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use oracle::pool::PoolBuilder;
use oracle::sql_type::{Blob, Clob, IntervalDS, IntervalYM, OracleType, RefCursor, Timestamp, ToSql};
use oracle::{Connection, Error};
use testkit::oracle::ErpDatabase;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let database = runtime.block_on(ErpDatabase::fresh("tour"));
    let function = "CREATE FUNCTION all_items() RETURNS refcursor LANGUAGE plpgsql AS \
                    $$ DECLARE c refcursor; BEGIN OPEN c FOR SELECT id, name FROM item; RETURN c; END $$";
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&database.under().url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(function).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
    database.run(&[
        "CREATE TABLE item (id NUMBER(10) PRIMARY KEY, name VARCHAR2(20))",
        "CREATE TABLE kinds (n NUMBER, c CHAR(4), v VARCHAR2(20), d DATE, t TIMESTAMP(6), z TIMESTAMP(6) WITH TIME ZONE, \
         r RAW(8), f BINARY_FLOAT, g BINARY_DOUBLE, s INTERVAL DAY TO SECOND, y INTERVAL YEAR TO MONTH, l CLOB, b BLOB)",
    ]);
    let session = database.connection();
    for step in [types, locators, arrays, rows_and_cursors, moments, errors, broken_off] {
        step(&session);
        session.commit().unwrap();
    }
    pool(&database);
    faults(&database);
    doors(&database);
}

/// Every type goes in and comes back, and so does null.
fn types(session: &Connection) {
    let day = Timestamp::new(2024, 2, 29, 23, 59, 58, 1_000).unwrap();
    let zoned = day.and_tz_hm_offset(5, 30).unwrap();
    let (span, years) = (IntervalDS::new(1, 2, 3, 4, 5_000).unwrap(), IntervalYM::new(2, 7).unwrap());
    let long = "ä".repeat(20_000);
    let bytes = vec![7_u8; 20_000];
    let insert = "INSERT INTO kinds VALUES (:1, :2, :3, :4, :5, :6, :7, :8, :9, :10, :11, :12, :13)";
    let values: [&dyn ToSql; 13] = [
        &-12.5,
        &(&"ab", &OracleType::Char(4)),
        &(&"text", &OracleType::Varchar2(20)),
        &(&day, &OracleType::Date),
        &day,
        &zoned,
        &vec![0_u8, 255, 7],
        &0.5_f32,
        &0.25_f64,
        &span,
        &years,
        &(&long, &OracleType::CLOB),
        &(&bytes, &OracleType::BLOB),
    ];
    session.execute(insert, &values).unwrap();
    let row = session.query_row("SELECT k.* FROM kinds k", &[]).unwrap();
    for place in 0..13 {
        assert!(row.get::<_, Option<String>>(place).is_ok_and(|value| value.is_some()) || matches!(place, 6 | 12));
    }
    assert_eq!(row.get::<_, Vec<u8>>(6).unwrap(), [0, 255, 7]);
    assert_eq!(row.get::<_, String>(11).unwrap(), long);
    assert_eq!(row.get::<_, Vec<u8>>(12).unwrap(), bytes);
    let nulls = vec![OracleType::Varchar2(10); 13];
    let nulls: Vec<&dyn ToSql> = nulls.iter().map(|null| null as _).collect();
    session.execute("DELETE FROM kinds", &[]).unwrap();
    session.execute(insert, &nulls).unwrap();
    let row = session.query_row("SELECT k.* FROM kinds k", &[]).unwrap();
    assert!((0..13).all(|place| row.get::<_, Option<String>>(place).unwrap().is_none()));
}

fn locators(session: &Connection) {
    let (mut letters, mut bytes) = (Clob::new(session).unwrap(), Blob::new(session).unwrap());
    letters.write_all("grün und weiß".as_bytes()).unwrap();
    bytes.write_all(&[1, 2, 3]).unwrap();
    session.execute("UPDATE kinds SET l = :1, b = :2", &[&letters, &bytes]).unwrap();
    let mut statement = session.statement("SELECT l, b FROM kinds").lob_locator().build().unwrap();
    let (mut letters, mut bytes) = statement.query_row_as::<(Clob, Blob)>(&[]).unwrap();
    let (mut text, mut raw) = (String::new(), Vec::new());
    letters.read_to_string(&mut text).unwrap();
    bytes.read_to_end(&mut raw).unwrap();
    assert_eq!((text.as_str(), raw.as_slice()), ("grün und weiß", [1, 2, 3].as_slice()));
}

fn arrays(session: &Connection) {
    let mut batch = session
        .batch("INSERT INTO item (id, name) VALUES (:1, :2)", 8)
        .with_batch_errors()
        .with_row_counts()
        .build()
        .unwrap();
    batch.set_type(1, &OracleType::Int64).unwrap();
    batch.set_type(2, &OracleType::Varchar2(40)).unwrap();
    let long = "x".repeat(30);
    for (id, name) in [(1, "one"), (2, "two"), (1, "again"), (3, long.as_str()), (4, "four")] {
        batch.append_row(&[&id, &name]).unwrap();
    }
    let error = batch.execute().unwrap_err();
    let failed: Vec<_> = error.batch_errors().unwrap().iter().map(|error| (error.offset(), error.code())).collect();
    assert_eq!(failed, [(2, 1), (3, 12899)]);
    assert_eq!(batch.row_counts().unwrap(), [1, 1, 0, 0, 1]);
    let text = "UPDATE item SET name = name || '!' WHERE id > :1 RETURNING id, name INTO :2, :3";
    let done = session.execute(text, &[&1, &OracleType::Int64, &OracleType::Varchar2(20)]).unwrap();
    let (ids, names): (Vec<i64>, Vec<String>) = (done.returned_values(2).unwrap(), done.returned_values(3).unwrap());
    assert_eq!((ids.len(), names.len()), (2, 2));
}

fn rows_and_cursors(session: &Connection) {
    let row: String = session.query_row_as("SELECT ROWID FROM item WHERE id = 1", &[]).unwrap();
    let again = "SELECT id FROM item WHERE ROWID = :1";
    assert_eq!(session.query_row_as::<i64>(again, &[&(&row, &OracleType::Varchar2(20))]).unwrap(), 1);
    let mut block = session.statement("BEGIN :1 := all_items(); END;").build().unwrap();
    block.execute(&[&OracleType::RefCursor]).unwrap();
    let mut cursor: RefCursor = block.bind_value(1).unwrap();
    assert_eq!(cursor.query_as::<(i64, String)>().unwrap().count(), 3);
    // More binds than the driver asks the names of at once, and more rows than it fetches at once.
    let many: Vec<String> = (1..=20).map(|place| format!(":n{place}")).collect();
    let sum = format!("SELECT {} FROM DUAL", many.join(" + "));
    let ones = [1_i64; 20];
    let ones: Vec<&dyn ToSql> = ones.iter().map(|one| one as _).collect();
    assert_eq!(session.query_row_as::<i64>(&sum, &ones).unwrap(), 20);
    let mut statement = session.statement("SELECT id FROM item").fetch_array_size(2).build().unwrap();
    assert_eq!(statement.query_as::<i64>(&[]).unwrap().count(), 3);
}

fn moments(session: &Connection) {
    let scn: i64 = session.query_row_as("SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM DUAL", &[]).unwrap();
    session.execute("DELETE FROM item WHERE id = 4", &[]).unwrap();
    session.commit().unwrap();
    assert_eq!(session.query_row_as::<i64>("SELECT COUNT(*) FROM item AS OF SCN :1", &[&scn]).unwrap(), 3);
}

fn errors(session: &Connection) {
    for (text, code) in [
        ("INSERT INTO item (id) VALUES (1)", 1),
        ("INSERT INTO item (id) VALUES (NULL)", 1400),
        ("UPDATE nowhere SET a = 1", 942),
        ("DECLARE n NUMBER; BEGIN n := 1; END;", 6550),
    ] {
        assert_eq!(session.execute(text, &[]).unwrap_err().oci_code(), Some(code), "{text}");
    }
}

/// By the time limit, and by another thread.
fn broken_off(session: &Connection) {
    const SLEEP: &str = "BEGIN DBMS_LOCK.SLEEP(30); END;";
    session.set_call_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(session.execute(SLEEP, &[]).unwrap_err().dpi_code(), Some(1067));
    session.set_call_timeout(None).unwrap();
    let broken = thread::scope(|scope| {
        let call = scope.spawn(|| session.execute(SLEEP, &[]).map(drop));
        while !call.is_finished() {
            thread::sleep(Duration::from_millis(200));
            session.break_execution().unwrap();
        }
        call.join().unwrap()
    });
    assert_eq!(broken.unwrap_err().oci_code(), Some(1013));
}

fn pool(database: &ErpDatabase) {
    let settings = database.settings();
    let mut builder = PoolBuilder::new(&settings.user, &settings.password, &settings.connect);
    let pool = builder.max_connections(2).stmt_cache_size(10).build().unwrap();
    thread::scope(|scope| {
        for id in 100..103_i64 {
            let pool = &pool;
            scope.spawn(move || {
                // The mode is NOWAIT: a session may be out.
                let session = (0..500).find_map(|_| {
                    thread::sleep(Duration::from_millis(10));
                    pool.get().ok()
                });
                let session = session.expect("a session comes back");
                session.execute("INSERT INTO item (id) VALUES (:1)", &[&id]).unwrap();
                session.commit().unwrap();
            });
        }
    });
    assert_eq!(pool.busy_count().unwrap(), 0);
    pool.close(&oracle::pool::CloseMode::Default).unwrap();
}

/// Sessions that die: the driver wraps what it is told.
fn faults(database: &ErpDatabase) {
    let died = |outcome: Result<(), Error>| assert_eq!(outcome.unwrap_err().dpi_code(), Some(1080));
    let session = database.connection();
    database.plan_faults("exec:item:latency=10ms:1; exec:item:ora-00060:1; commit:lost-ack:1");
    session.query_row_as::<i64>("SELECT COUNT(*) FROM item", &[]).unwrap();
    let deadlock = session.execute("DELETE FROM item WHERE id = 2", &[]).unwrap_err();
    assert_eq!(deadlock.oci_code(), Some(60));
    session.execute("DELETE FROM item WHERE id = 2", &[]).unwrap();
    died(session.commit());
    let session = database.connection();
    database.plan_faults("exec:item:kill:1");
    died(session.execute("DELETE FROM item WHERE id = 3", &[]).map(drop));
    assert!(session.ping().is_err());
}

/// Who does not get in.
fn doors(database: &ErpDatabase) {
    let settings = database.settings();
    let refused = |user: &str, connect: &str| Connection::connect(user, "p", connect).map(drop).unwrap_err().oci_code();
    assert_eq!(refused("nobody_at_all", &settings.connect), Some(1017));
    assert_eq!(refused(&settings.user, "nowhere"), Some(12154));
}
