//! Databases that move to another server, planned or in the middle of the day.

use adapters::local_server::LocalServer;
use model::Side;
use testkit::postgres::own_server;

use super::{Kept, NAME, data, must, program};

/// A dump of legacy in the form that `pg_restore` takes. `None` where there is no such program.
fn dump(kept: &Kept) -> Option<std::path::PathBuf> {
    let (mut command, file) = (program(&kept.legacy, "pg_dump")?, kept.legacy.folder().join("data/dump"));
    command.args(["--format", "custom", "--dbname", &kept.legacy.url(NAME), "--file"]).arg(&file);
    must(command);
    Some(file)
}

/// Loads it into a new server.
async fn load(from: &LocalServer, file: &std::path::Path) -> LocalServer {
    let new = own_server().await;
    new.create_database(NAME).await.unwrap();
    let mut command = program(from, "pg_restore").unwrap();
    command.args(["--exit-on-error", "--no-owner", "--dbname", &new.url(NAME)]).arg(file);
    must(command);
    new
}

/// The steps of a planned move: writers end, dump and load everything, point to the new server.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_move_by_dump_and_load_is_raised_by_itself_and_loses_nothing() {
    let mut kept = Kept::new().await;
    kept.stands("A", 1).await;
    assert!(kept.replica.terminate().await);
    let Some(file) = dump(&kept) else { return };
    let new = load(&kept.legacy, &file).await;
    kept.legacy.kill().await.unwrap();
    kept.site.legacy = new.url(NAME);
    kept.legacy = new;
    kept.replica = kept.site.start("a").await;

    kept.stands("A", 2).await;
    kept.stands("B", 2).await;
    assert_eq!(kept.show(Side::Legacy).await["life"]["incarnation"], 2);
    kept.both_have(&[("A", 2), ("B", 2)]).await;
}

/// Somebody dumps while clients write: the new server lacks what came after, and does not take one write before a person
/// has seen what that was.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_taken_while_clients_write_waits_for_a_person_with_the_list() {
    let mut kept = Kept::new().await;
    kept.stands("A", 1).await;
    let Some(file) = dump(&kept) else { return };
    kept.stands("A", 2).await;
    kept.until_remembered(Side::Legacy).await;
    assert!(kept.replica.terminate().await);
    let new = load(&kept.legacy, &file).await;
    kept.legacy.kill().await.unwrap();
    kept.site.legacy = new.url(NAME);
    kept.legacy = new;
    kept.replica = kept.site.start("a").await;

    kept.until_suspended(Side::Legacy, true).await;
    assert!(kept.put("A", 3).await.is_err());
    assert_eq!(kept.show(Side::Legacy).await["lost"], 1);
    kept.raise(Side::Legacy, &["--lost", "bring-back"]).await;
    kept.until_settled().await;
    kept.both_have(&[("A", 2)]).await;
    kept.stands("A", 3).await;
    kept.both_have(&[("A", 3)]).await;
}

/// The program itself, from this release to this release: what an upgrade does to a server's identity and log is the same
/// between any two.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_upgrade_is_raised_by_itself_and_loses_nothing() {
    let mut kept = Kept::new().await;
    kept.stands("A", 1).await;
    assert!(kept.replica.terminate().await);
    let server = &kept.legacy;
    let programs = ["initdb", "pg_ctl", "pg_upgrade"].map(|name| program(server, name));
    let [Some(mut initdb), Some(mut stop), Some(mut upgrade)] = programs else { return };
    let (old, new) = (data(server), data(server).with_extension("new"));
    // The old and the new folder lie in one that is the server's own.
    initdb.args(["--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]);
    initdb.arg("--pgdata").arg(&new);
    must(initdb);
    stop.args(["stop", "--mode", "fast", "--wait", "--pgdata"]).arg(&old);
    must(stop);
    let programs = std::path::Path::new(upgrade.get_program()).parent().unwrap().to_owned();
    upgrade.arg("--old-bindir").arg(&programs).arg("--new-bindir").arg(&programs).args(["--username", "postgres"]);
    upgrade.arg("--old-datadir").arg(&old).arg("--new-datadir").arg(&new).arg("--socketdir").arg(server.folder());
    must(upgrade);
    std::fs::rename(&old, old.with_extension("old")).unwrap();
    std::fs::rename(&new, &old).unwrap();
    server.restart().await.unwrap();
    kept.replica = kept.site.start("a").await;

    kept.stands("A", 2).await;
    assert_eq!(kept.show(Side::Legacy).await["life"]["incarnation"], 2);
    kept.both_have(&[("A", 2)]).await;
}
