//! Every type goes there and back, null included.

use oracle::sql_type::{Clob, IntervalDS, IntervalYM, OracleType, RefCursor, Timestamp, ToSql};

use super::{Site, run_under};

#[tokio::test(flavor = "multi_thread")]
async fn every_type_survives_the_round_trip() {
    let site = Site::new().await;
    site.database.run(&[
        "CREATE TABLE kinds (id NUMBER(3), n NUMBER, c CHAR(4), v VARCHAR2(20), d DATE, t TIMESTAMP(6), \
         z TIMESTAMP(6) WITH TIME ZONE, r RAW(8), l CLOB, s INTERVAL DAY TO SECOND, y INTERVAL YEAR TO MONTH, b BLOB, \
         f BINARY_FLOAT, g BINARY_DOUBLE)",
    ]);
    let (day, time) =
        (Timestamp::new(2024, 2, 29, 23, 59, 58, 0).unwrap(), Timestamp::new(1, 1, 1, 0, 0, 0, 1_000).unwrap());
    let zoned = Timestamp::new(2026, 7, 1, 2, 0, 0, 0).unwrap().and_tz_hm_offset(2, 0).unwrap();
    let long = "ä".repeat(100_000);
    let (span, years) = (IntervalDS::new(-3, -4, -5, -6, -7_000).unwrap(), IntervalYM::new(2, 7).unwrap());
    let bytes = vec![0_u8; 100_000];
    let insert = "INSERT INTO kinds VALUES (:1, :2, :3, :4, :5, :6, :7, :8, :9, :10, :11, :12, :13, :14)";
    let number = "-12345678901234567890123456789012345.678";
    let values: [&dyn ToSql; 14] = [
        &1,
        // The driver counts the digits of a NUMBER in 64 bits, and panics beyond them.
        &(&number, &OracleType::Varchar2(60)),
        &(&"ab", &OracleType::Char(4)),
        &(&"text", &OracleType::Varchar2(20)),
        &(&day, &OracleType::Date),
        &(&time, &OracleType::Timestamp(6)),
        &(&zoned, &OracleType::TimestampTZ(6)),
        &vec![0_u8, 255, 7],
        &(&long, &OracleType::CLOB),
        &span,
        &years,
        &(&bytes, &OracleType::BLOB),
        &0.1_f32,
        &(0.1_f64 + 0.2),
    ];
    site.session.execute(insert, &values).unwrap();
    let nulls: [&dyn ToSql; 14] = [
        &2,
        &OracleType::Number(0, 0),
        &OracleType::Char(4),
        // Nothing is null.
        &(&"", &OracleType::Varchar2(20)),
        &OracleType::Date,
        &OracleType::Timestamp(6),
        &OracleType::TimestampTZ(6),
        &OracleType::Raw(8),
        &OracleType::Varchar2(10),
        &OracleType::IntervalDS(9, 6),
        &OracleType::IntervalYM(4),
        &OracleType::BLOB,
        &OracleType::BinaryFloat,
        &OracleType::BinaryDouble,
    ];
    site.session.execute(insert, &nulls).unwrap();

    let row = site.session.query_row("SELECT k.* FROM kinds k WHERE id = 1", &[]).unwrap();
    assert_eq!(row.get::<_, String>(1).unwrap(), number);
    assert_eq!(row.get::<_, String>(2).unwrap(), "ab  ");
    assert_eq!(row.get::<_, String>(3).unwrap(), "text");
    assert_eq!(row.get::<_, Timestamp>(4).unwrap(), day);
    assert_eq!(row.get::<_, Timestamp>(5).unwrap(), time);
    let back = row.get::<_, Timestamp>(6).unwrap();
    assert_eq!((back.hour(), back.tz_offset()), (0, 0), "the instant is kept, in UTC");
    assert_eq!(row.get::<_, Vec<u8>>(7).unwrap(), [0, 255, 7]);
    assert_eq!(row.get::<_, String>(8).unwrap(), long);
    assert_eq!(row.get::<_, IntervalDS>(9).unwrap().nanoseconds(), -7_000);
    assert_eq!(row.get::<_, IntervalDS>(9).unwrap().days(), -3);
    let years = row.get::<_, IntervalYM>(10).unwrap();
    assert_eq!((years.years(), years.months()), (2, 7));
    assert_eq!(row.get::<_, Vec<u8>>(11).unwrap(), bytes);
    assert_eq!((row.get::<_, f32>(12).unwrap(), row.get::<_, f64>(13).unwrap()), (0.1, 0.1 + 0.2));
    let row = site.session.query_row("SELECT k.* FROM kinds k WHERE id = 2", &[]).unwrap();
    for place in 1..14 {
        assert_eq!(row.get::<_, Option<String>>(place).unwrap(), None, "column {place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_described_as_oracle_does() {
    let site = Site::new().await;
    let declared = [
        ("NUMBER(5,2) NOT NULL", "NUMBER(5,2)", false),
        ("NUMBER(10)", "NUMBER(10)", true),
        ("NUMBER(5,-2)", "NUMBER(5,-2)", true),
        ("NUMBER", "NUMBER", true),
        ("VARCHAR2(20)", "VARCHAR2(20)", true),
        ("CHAR(4)", "CHAR(4)", true),
        ("DATE", "DATE", true),
        ("TIMESTAMP(6)", "TIMESTAMP", true),
        ("TIMESTAMP(6) WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE", true),
        ("RAW(8)", "RAW(8)", true),
        ("CLOB", "CLOB", true),
        ("BLOB", "BLOB", true),
        ("BINARY_FLOAT", "BINARY_FLOAT", true),
        ("BINARY_DOUBLE", "BINARY_DOUBLE", true),
        ("INTERVAL DAY TO SECOND", "INTERVAL DAY(9) TO SECOND(6)", true),
        ("INTERVAL YEAR TO MONTH", "INTERVAL YEAR(4) TO MONTH", true),
    ];
    let columns: Vec<_> = declared.iter().enumerate().map(|(at, (kind, ..))| format!("c{at} {kind}")).collect();
    site.database.run(&[&format!("CREATE TABLE kinds ({})", columns.join(", "))]);
    let mut statement = site.session.statement("SELECT k.*, ROWID FROM kinds k").build().unwrap();
    let rows = statement.query(&[]).unwrap();
    // The driver leaves 6 digits, which are usual, out of a type's name.
    let described: Vec<_> =
        rows.column_info().iter().map(|column| (column.oracle_type().to_string(), column.nullable())).collect();
    let mut expected: Vec<_> = declared.iter().map(|(_, kind, null)| ((*kind).to_owned(), *null)).collect();
    expected.push(("ROWID".to_owned(), false));
    assert_eq!(described, expected);
    let long = site.session.execute("INSERT INTO kinds (c0, c9) VALUES (1, :1)", &[&vec![0_u8; 9]]).unwrap_err();
    assert_eq!(super::code(&long), 12899);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_exact_to_their_limits() {
    let site = Site::new().await;
    for number in ["0", "1", "-1", "0.000000000001", "99999999999999999999999999999999999999", "-0.5", "1e20", "12.50"]
    {
        let bound = (&number, &OracleType::Varchar2(60));
        let back: String = site.session.query_row_as("SELECT CAST(:1 AS NUMBER) FROM DUAL", &[&bound]).unwrap();
        let expected = match number {
            "1e20" => "100000000000000000000",
            "12.50" => "12.5",
            other => other,
        };
        assert_eq!(back, expected);
    }
    assert_eq!(site.session.query_row_as::<f64>("SELECT 5 / 2 FROM DUAL", &[]).unwrap(), 2.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn locators_are_read_and_written_in_pieces() {
    use std::io::{Read, Write};
    let site = Site::new().await;
    site.database.run(&["CREATE TABLE notes (id NUMBER(3), l CLOB)"]);
    let mut lob = Clob::new(&site.session).unwrap();
    lob.write_all("grün und ".as_bytes()).unwrap();
    lob.write_all("weiß".as_bytes()).unwrap();
    site.session.execute("INSERT INTO notes VALUES (1, :1)", &[&lob]).unwrap();
    let mut statement = site.session.statement("SELECT l FROM notes").lob_locator().build().unwrap();
    let mut found = statement.query_row_as::<Clob>(&[]).unwrap();
    assert_eq!(oracle::sql_type::Lob::size(&found).unwrap(), 13);
    let mut text = String::new();
    found.read_to_string(&mut text).unwrap();
    assert_eq!(text, "grün und weiß");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_has_an_address_and_a_function_can_return_a_cursor() {
    let site = Site::new().await;
    let row: String = site.session.query_row_as("SELECT ROWID FROM item WHERE id = 1", &[]).unwrap();
    assert_eq!(
        site.session
            .query_row_as::<i64>("SELECT id FROM item WHERE ROWID = :1", &[&(&row, &OracleType::Varchar2(20))])
            .unwrap(),
        1
    );

    let function = "CREATE FUNCTION all_items() RETURNS refcursor LANGUAGE plpgsql AS \
                    $$ DECLARE c refcursor := 'of_items'; BEGIN OPEN c FOR SELECT id, code FROM item; RETURN c; END $$";
    run_under(&site, function).await;
    let mut block = site.session.statement("BEGIN :1 := all_items(); END;").build().unwrap();
    block.execute(&[&OracleType::RefCursor]).unwrap();
    let mut cursor: RefCursor = block.bind_value(1).unwrap();
    let rows: Vec<(i64, String)> = cursor.query_as().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows, [(1, "A".to_owned())]);
}
