//! Local times of every zone, for the years 1 to 9999: what we read is what the databases say, in Rust and in their
//! own SQL.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use model::checksum::Chunk;
use model::{EntityType, Scan, Side, Store, Zone};
use testkit::contract::{WITHIN, checksum, entity};
use testkit::inventory::product_key;
use testkit::postgres::Database;

use super::any_oracle;
use super::postgres::{Fixture, connect};

/// Zones whose clocks did more than go forward and back by an hour: half hours, days left out and repeated, two
/// changes in a year that follow the moon, summer over New Year, seconds of local mean time, an offset that is negative
/// in winter.
const ODD: [&str; 12] = [
    "Europe/Berlin",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "America/New_York",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Asia/Kathmandu",
    "Antarctica/Troll",
];

fn seconds(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp()
}

fn time(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).unwrap().naive_utc()
}

/// Instants at which something may go wrong: around every change of the zone, in all of its years, at both ends.
fn instants(zone: &Zone, years: impl Iterator<Item = i32>) -> BTreeSet<NaiveDateTime> {
    let day =
        |year: i32, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(11, 30, 0).unwrap();
    let mut instants: BTreeSet<_> = years.flat_map(|year| [day(year, 1, 1), day(year, 7, 1)]).collect();
    instants.extend([day(1, 1, 2), day(9999, 12, 31)]);
    let offset = |utc: NaiveDateTime| zone.local(utc).unwrap() - utc;
    // Changes are found by halving: the offset differs at the ends of a fortnight.
    let (mut from, last) = (seconds(day(1840, 1, 1)), seconds(day(2110, 1, 1)));
    while from < last {
        let (mut low, mut high) = (from, from + 14 * 86_400);
        from = high;
        if offset(time(low)) == offset(time(high)) {
            continue;
        }
        while high - low > 1 {
            let middle = i64::midpoint(low, high);
            if offset(time(middle)) == offset(time(low)) { low = middle } else { high = middle }
        }
        let around = [-86_400, -5_400, -3_600, -1_800, -1, 0, 1, 1_799, 3_599, 3_600, 86_399];
        instants.extend(around.map(|step| time(high + step)));
    }
    instants
}

/// What `sql` makes of each time in `zone`.
async fn asked(client: &tokio_postgres::Client, sql: &str, zone: &Zone, times: &BTreeSet<NaiveDateTime>) -> Vec<i64> {
    let sql = format!(
        "SELECT array_agg(extract(epoch FROM {sql})::int8 ORDER BY n) \
         FROM unnest($1::int8[]) WITH ORDINALITY AS t(s, n), \
         LATERAL (SELECT timestamp '1970-01-01' + make_interval(secs => s) AS at) AS a, \
         LATERAL (SELECT $2::text AS zone) AS z"
    );
    let times: Vec<i64> = times.iter().map(|time| seconds(*time)).collect();
    client.query_one(&sql, &[&times, &zone.name()]).await.unwrap().get(0)
}

/// Our answers and PostgreSQL's, about one zone; what differs.
async fn differing(client: &tokio_postgres::Client, zone: &Zone, utc: &BTreeSet<NaiveDateTime>) -> Vec<String> {
    let mut wrong = Vec::new();
    let shown = asked(client, "(at AT TIME ZONE 'UTC' AT TIME ZONE zone)", zone, utc).await;
    let mut locals = BTreeSet::new();
    for (utc, shown) in utc.iter().zip(shown) {
        let local = zone.local(*utc).unwrap();
        locals.extend([local, local - TimeDelta::minutes(45), local + TimeDelta::minutes(45)]);
        if seconds(local) != shown {
            wrong.push(format!("{} shows at {utc}: {local}, server {}", zone.name(), time(shown)));
        }
    }
    locals.retain(|local| (1..=9999).contains(&local.year()));
    let meant = asked(client, "(at AT TIME ZONE zone AT TIME ZONE 'UTC')", zone, &locals).await;
    for (local, theirs) in locals.iter().zip(meant) {
        let (ours, theirs) = (zone.utc(*local).unwrap(), time(theirs));
        // The only liberty: of two instants the earlier.
        let earlier = zone.shows_twice(*local) && ours < theirs;
        let both_show = zone.local(ours) == Some(*local) && zone.local(theirs) == Some(*local);
        if ours != theirs && !(earlier && both_show) {
            wrong.push(format!("{} means by {local}: {ours}, server {theirs}", zone.name()));
        }
    }
    wrong
}

/// Whether the server's zones are the machine's. One that brings data of its own has those of its own release, and where
/// they differ from ours `check` says so.
async fn has_the_machines_zones(client: &tokio_postgres::Client) -> bool {
    let built = "SELECT setting FROM pg_config WHERE name = 'CONFIGURE'";
    let built: String = client.query_one(built, &[]).await.unwrap().get(0);
    let same = built.contains("--with-system-tzdata");
    if !same {
        eprintln!("SKIPPED: this PostgreSQL comes with time zone data of its own");
    }
    same
}

#[tokio::test(flavor = "multi_thread")]
async fn local_times_of_every_zone_are_those_of_the_server_for_every_year() {
    let database = Database::fresh("zones").await;
    let client = connect(&database).await;
    if !has_the_machines_zones(&client).await {
        return;
    }
    let rows = client.query("SELECT name FROM pg_timezone_names", &[]).await.unwrap();
    let known: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for name in Zone::names().filter(|name| known.contains(name)) {
        let Some(zone) = Zone::named(&name) else { continue };
        asked += 1;
        // Every year where it matters most, and each of a handful elsewhere: the rules repeat after 400.
        let years = if ODD.contains(&zone.name()) { 1 } else { 89 };
        let utc = instants(&zone, (2..=9999).step_by(years).chain(1960..2110));
        wrong.extend(differing(&client, &zone, &utc).await);
    }
    assert!(asked > 400, "only {asked} zones are known to both");
    assert!(
        wrong.is_empty(),
        "{} differ, such as\n{}",
        wrong.len(),
        wrong.iter().step_by(wrong.len() / 40 + 1).cloned().collect::<Vec<_>>().join("\n")
    );
}

/// The products of the inventory, with local times of `zone`.
fn products(zone: &Zone) -> EntityType {
    let mut products = EntityType::clone(&entity(&product_key("A")));
    for field in &mut products.fields {
        let home = field.home.get_mut(Side::Legacy);
        home.null_instants.clear();
        if home.zone.is_some() {
            home.zone = Some(zone.clone());
        }
    }
    products
}

/// Whether the sums of a table with all the odd times of a zone are those of what is read from it.
async fn sums_of(store: &dyn Store, database: &Database, schema: &str, zone: &Zone) {
    let client = connect(database).await;
    let utc = instants(zone, [1, 2, 1700, 2026, 2038, 2500, 8999, 9000, 9999].into_iter());
    let locals: BTreeSet<_> = utc.iter().filter_map(|utc| zone.local(*utc)).collect();
    let locals = locals.iter().flat_map(|local| [*local, *local - TimeDelta::minutes(20)]);
    let locals: Vec<i64> = locals.filter(|local| (1..=9999).contains(&local.year())).map(seconds).collect();
    client.batch_execute(&format!("TRUNCATE {schema}INV_ITM_MST")).await.unwrap();
    let insert = format!(
        "INSERT INTO {schema}INV_ITM_MST (ITM_NO, ACT_FL, UPD_DT) \
         SELECT 'N' || n, 'Y', timestamp '1970-01-01' + make_interval(secs => s) \
         FROM unnest($1::int8[]) WITH ORDINALITY AS t(s, n)"
    );
    client.execute(&insert, &[&locals]).await.unwrap();
    let products = products(zone);
    let records = store.members(&products, &Chunk::whole(), 100_000, WITHIN).await.unwrap();
    assert_eq!(records.len(), locals.len());
    let sums = store.sums(&products, &Chunk::whole(), WITHIN).await.unwrap();
    let specified = checksum::specified(&products, &records, 2);
    let differ = sums.iter().zip(&specified).filter(|(one, other)| one != other);
    let differ: Vec<_> = differ.map(|((chunk, _), _)| chunk.clone()).collect();
    assert!(differ.is_empty(), "{}: {} of {} chunks differ: {differ:?}", zone.name(), differ.len(), sums.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_local_times_are_those_of_what_is_read_on_postgres() {
    let fixture = Fixture::new(Side::Legacy).await;
    if !has_the_machines_zones(&connect(&fixture.database).await).await {
        return;
    }
    for name in ODD {
        sums_of(&fixture.store, &fixture.database, "", &Zone::named(name).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_local_times_are_those_of_what_is_read_on_an_oracle() {
    let fixture = any_oracle::Fixture::new(Side::Legacy).await;
    if !has_the_machines_zones(&connect(fixture.database.under()).await).await {
        return;
    }
    for name in ODD {
        sums_of(&fixture.store, fixture.database.under(), "", &Zone::named(name).unwrap()).await;
    }
}

/// Times that PostgreSQL keeps and no value can be: nothing is equal to them, and each fails at its field.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_cannot_be_read_is_equal_to_nothing() {
    let (legacy, modern) = (Fixture::new(Side::Legacy).await, Fixture::new(Side::Modern).await);
    let entity = entity(&product_key("A"));
    let sums = async |fixture: &Fixture| fixture.store.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap();
    let odd = ["infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "294276-12-31", "10000-02-01"];
    let (erp, shop) = (connect(&legacy.database).await, connect(&modern.database).await);
    shop.batch_execute("INSERT INTO products (sku, active) VALUES ('A', true)").await.unwrap();
    erp.batch_execute("INSERT INTO INV_ITM_MST (ITM_NO, ACT_FL) VALUES ('A', 'Y')").await.unwrap();
    assert_eq!(sums(&legacy).await, sums(&modern).await, "null is null");
    for time in odd {
        erp.batch_execute(&format!("UPDATE INV_ITM_MST SET UPD_DT = '{time}'")).await.unwrap();
        assert_ne!(sums(&legacy).await, sums(&modern).await, "{time} is not null");
        shop.batch_execute(&format!("UPDATE products SET updated_at = '{time}'")).await.unwrap();
        assert_ne!(sums(&legacy).await, sums(&modern).await, "{time} on both sides");
        let year = time.trim_end_matches(" BC");
        if year != time {
            shop.batch_execute(&format!("UPDATE products SET updated_at = '{year}'")).await.unwrap();
            assert_ne!(sums(&legacy).await, sums(&modern).await, "{time} is not {year}");
        }
        let read = legacy.store.members(&entity, &Chunk::whole(), 9, WITHIN).await.unwrap();
        assert!(!read[0].unreadable().is_empty(), "{time} fails at its field");
    }
}
