//! Faults do what they say, to whom they say, as often as they say.

use std::time::Duration;

use super::{Site, code};

const COUNT: &str = "SELECT COUNT(*) FROM item";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_stands_and_its_session_is_dead() {
    let site = Site::new().await;
    site.database.plan_faults("commit:lost-ack:1");
    site.session.execute("INSERT INTO item (id, code) VALUES (2, 'B')", &[]).unwrap();
    let lost = site.session.commit().unwrap_err();
    assert!(lost.to_string().contains("ORA-03113"), "{lost}");
    assert!(site.session.ping().is_err());
    assert_eq!(site.another().query_row_as::<i64>(COUNT, &[]).unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_counted_and_meet_one_database_and_one_session() {
    let (site, other) = (Site::new().await, Site::new().await);
    site.session.set_module("victim").unwrap();
    site.database.plan_faults("exec:item:ora-00060:2:after=1:session=victim");
    let ask = |session: &oracle::Connection| session.query_row_as::<i64>(COUNT, &[]).map_err(|error| code(&error));
    assert_eq!(
        [ask(&site.session), ask(&site.session), ask(&site.session), ask(&site.session)],
        [Ok(1), Err(60), Err(60), Ok(1)]
    );
    site.database.plan_faults("exec:item:ora-00060:session=victim");
    assert_eq!((ask(&site.another()), ask(&other.session), ask(&site.session)), (Ok(1), Ok(1), Err(60)));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_meet_logins_and_fetches() {
    let site = Site::new().await;
    let settings = site.database.settings();
    let log_in = || oracle::Connection::connect(&settings.user, &settings.password, &settings.connect);
    site.database.plan_faults("connect:ora-12518:1; fetch:item:ora-01555:1:after=1; fetch:dual:kill:1");
    assert_eq!(log_in().map(drop).map_err(|error| code(&error)), Err(12518));
    log_in().unwrap();
    let mut statement = site.session.statement("SELECT id FROM item").fetch_array_size(1).build().unwrap();
    let mut rows = statement.query_as::<i64>(&[]).unwrap();
    assert_eq!(rows.next().unwrap().unwrap(), 1);
    assert_eq!(code(&rows.next().unwrap().unwrap_err()), 1555);
    let killed = site.session.query_row_as::<i64>("SELECT 1 FROM DUAL", &[]).unwrap_err();
    assert_eq!(killed.dpi_code(), Some(1080), "{killed}");
    assert!(site.session.ping().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_ends_by_the_timeout_and_what_is_stuck_by_a_break() {
    let site = Site::new().await;
    site.session.set_call_timeout(Some(Duration::from_millis(100))).unwrap();
    site.database.plan_faults("exec:item:hang:1");
    assert_eq!(site.session.query_row_as::<i64>(COUNT, &[]).unwrap_err().dpi_code(), Some(1067));
    site.database.plan_faults("exec:item:stuck:1");
    let broken = std::thread::scope(|scope| {
        let call = scope.spawn(|| code(&site.session.query_row_as::<i64>(COUNT, &[]).unwrap_err()));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!call.is_finished(), "the time-out must not help");
        site.session.break_execution().unwrap();
        call.join().unwrap()
    });
    assert_eq!(broken, 1013);
    site.database.plan_faults("exec:item:deaf=400ms:1");
    let started = tokio::time::Instant::now();
    assert_eq!(site.session.query_row_as::<i64>(COUNT, &[]).unwrap(), 1);
    assert!(started.elapsed() >= Duration::from_millis(400), "the time-out must not help");
    site.database.plan_faults("exec:item:latency=50ms:1; rollback:ora-00600:1; ping:ora-01012:1");
    assert_eq!(site.session.query_row_as::<i64>(COUNT, &[]).unwrap(), 1);
    assert_eq!(code(&site.session.rollback().unwrap_err()), 600);
    assert!(site.session.ping().is_err());
}
