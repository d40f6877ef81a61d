//! TLS to real servers that demand it.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapters::local_server::LocalServer;
use adapters::postgres::control::{ControlSettings, PostgresControl};
use adapters::postgres::{PostgresStore, Settings, TlsWords};
use model::control::ControlStore;
use model::{Role, Side, StoreError};
use tempfile::TempDir;
use testkit::begin::Begin as _;
use testkit::contract::{self, WITHIN};
use testkit::encrypted::{self, Authority, Certificate, expired, self_signed, url};
use testkit::inventory;
use testkit::postgres::own_server;

use super::postgres::SHORT;
use super::races::{BLOCKED, until};

const HOSTS: [&str; 2] = ["localhost", "127.0.0.1"];

fn store(url: String) -> PostgresStore {
    PostgresStore::connect(Side::Modern, inventory::contract(), &Settings::new(url)).unwrap()
}

fn with_root(error: &StoreError) -> String {
    let mut root: &dyn Error = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let (text, root) = (error.to_string(), root.to_string());
    if text.contains(&root) { text } else { format!("{text} ({root})") }
}

/// What comes of a connection.
async fn comes(url: String) -> String {
    match store(url).server(WITHIN).await {
        Ok(Some(look)) => look.protection(),
        Ok(None) => "the server does not tell".to_owned(),
        Err(error) => with_root(&error),
    }
}

/// Authorities and certificates as files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn identity(&self, name: &str, certificate: &Certificate) -> String {
        let cert = self.write(&format!("{name}.pem"), &certificate.chain);
        let key = self.write(&format!("{name}.key"), &certificate.key);
        format!("sslcert={cert}&sslkey={key}")
    }
}

/// Every sslmode against every kind of certificate that a server may show. The report is what users are told.
#[tokio::test(flavor = "multi_thread")]
async fn each_sslmode_proves_what_it_says_and_its_errors_say_what_to_do() {
    let (files, right, wrong) = (Files::new(), Authority::new("right"), Authority::new("wrong"));
    let (root, other) = (files.write("right.pem", &right.pem), files.write("wrong.pem", &wrong.pem));
    let own = self_signed(&HOSTS, |_| {});
    let (own_root, stale) = (files.write("own.pem", &own.chain), self_signed(&HOSTS, expired));
    let stale_root = files.write("stale.pem", &stale.chain);
    let server = encrypted::server(&right.certificate(&HOSTS), &right).await;
    let mut report = String::new();
    let mut tell = async |shown: &str, words: String| {
        let line = format!("{shown}: {words}\n  {}\n", comes(url(&server, "shop", &words)).await);
        report.push_str(&line.replace(&files.path().display().to_string(), "FOLDER"));
    };
    for words in ["", "sslmode=disable", "sslmode=prefer", "sslmode=require", "sslmode=verify-full"] {
        tell("a good certificate", words.to_owned()).await;
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        tell("a good certificate", format!("sslmode={mode}&sslrootcert={root}")).await;
        tell("a good certificate", format!("sslmode={mode}&sslrootcert={other}")).await;
    }
    tell("a good certificate", format!("sslrootcert={root}&channel_binding=require")).await;
    tell("a good certificate", format!("sslrootcert={}/none.pem", files.path().display())).await;
    for (shown, certificate, roots) in [
        ("one for another host", right.certificate(&["db.example"]), &root),
        ("one that names no host", right.certificate(&[]), &root),
        ("an expired one", right.certificate_with(&HOSTS, expired), &root),
        ("its own, trusted", own, &own_root),
        ("its own, expired", stale, &stale_root),
        ("its own, of nobody we trust", self_signed(&HOSTS, |_| {}), &root),
    ] {
        encrypted::show(&server, &certificate).await;
        for mode in ["verify-ca", "verify-full"] {
            tell(shown, format!("sslmode={mode}&sslrootcert={roots}")).await;
        }
        tell(shown, "sslmode=require".to_owned()).await;
    }
    insta::assert_snapshot!(report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_used_by_prefer_alone_and_says_so() {
    let server = own_server().await;
    server.create_database("shop").await.unwrap();
    let to = |words: &str| format!("{}?{words}", server.url("shop"));
    assert_eq!(comes(to("")).await, "not encrypted (sslmode=prefer)");
    assert_eq!(comes(to("sslmode=disable")).await, "not encrypted (sslmode=disable)");
    let refused = comes(to("sslmode=require")).await;
    assert!(refused.contains("modern could not be reached") && refused.contains("speaks no TLS"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_and_what_is_wrong_with_it_is_said() {
    let (files, ours, theirs) = (Files::new(), Authority::new("ours"), Authority::new("theirs"));
    let server = encrypted::server(&ours.certificate(&HOSTS), &ours).await;
    let root = files.write("root.pem", &ours.pem);
    let (good, foreign) = (ours.certificate(&["shop"]), theirs.certificate(&["shop"]));
    let mut report = String::new();
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let mixed = Certificate { chain: good.chain.clone(), key: foreign.key.clone() };
    for (shown, words) in [
        ("none", String::new()),
        ("a good one", files.identity("good", &good)),
        ("a foreign one", files.identity("foreign", &foreign)),
        ("one with another's key", files.identity("mixed", &mixed)),
        (
            "one with an encrypted key",
            files.identity("locked", &Certificate { key: locked.to_owned(), ..good.clone() }),
        ),
        ("no PEM", files.identity("garbage", &Certificate { chain: "x".to_owned(), key: "y".to_owned() })),
    ] {
        let said = comes(url(&server, "carded", &format!("sslrootcert={root}&{words}"))).await;
        writeln!(report, "{shown}\n  {}", said.replace(&files.path().display().to_string(), "FOLDER")).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_binding_that_is_required_and_not_there_is_refused() {
    let authority = Authority::new("right");
    let server = encrypted::server(&authority.certificate(&HOSTS), &authority).await;
    let words = "sslmode=require&channel_binding=require";
    assert!(comes(url(&server, "shop", words)).await.starts_with("TLSv1.3"));
    let refused = comes(url(&server, "trusted", words)).await;
    assert!(refused.contains("the server cannot bind the login to TLS"), "{refused}");
    assert!(comes(url(&server, "trusted", "sslmode=require")).await.starts_with("TLSv1.3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_change_on_disk_are_used_by_the_next_connection() {
    let (files, old, new) = (Files::new(), Authority::new("old"), Authority::new("new"));
    let server = encrypted::server(&old.certificate(&HOSTS), &old).await;
    let root = files.write("root.pem", "half writ");
    let store = store(url(&server, "shop", &format!("sslmode=verify-full&sslrootcert={root}")));
    let refused = with_root(&store.server(WITHIN).await.unwrap_err());
    assert!(refused.contains("`sslrootcert`") && refused.contains("has no certificate"), "{refused}");
    files.write("root.pem", &old.pem);
    store.server(WITHIN).await.unwrap();
    // WHEN the server has a certificate of another authority, and the file is half written
    encrypted::show(&server, &new.certificate(&HOSTS)).await;
    files.write("root.pem", "half writ");
    // THEN what was read before is still asked
    let refused = until_refused(&store).await;
    assert!(refused.contains("is not of an authority in"), "{refused}");
    files.write("root.pem", &new.pem);
    store.server(WITHIN).await.unwrap();
}

/// Connections that the server's restart broke are noticed one by one.
async fn until_refused(store: &PostgresStore) -> String {
    for _ in 0..100 {
        match store.server(WITHIN).await {
            Err(error) if !error.may_have_applied() => return with_root(&error),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("it is never refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_give_up_is_cancelled_over_tls_too() {
    let authority = Authority::new("right");
    let server = encrypted::server(&authority.certificate(&HOSTS), &authority).await;
    let store: contract::Subject = Arc::new(store(url(&server, "shop", "sslmode=require")));
    server.run("shop", inventory::ddl(Side::Modern)).await.unwrap();
    store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
    contract::set_level(&store, "A", "BER", 5).await;
    // GIVEN a row that somebody else holds
    let (other, connection) = tokio_postgres::connect(&server.url("shop"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    other.batch_execute("BEGIN; UPDATE stock_levels SET on_hand = 6").await.unwrap();
    // WHEN a write runs into its limit
    let given_up = store.execute(&contract::adjust(&store, "A", "BER", 1), SHORT).await;
    assert!(given_up.is_err(), "{given_up:?}");
    // THEN the server has stopped it, though the row is still held: else it would wait for as long
    until(&other, BLOCKED, 0).await;
}

fn control(url: String, words: TlsWords) -> PostgresControl {
    let settings = ControlSettings {
        url,
        tls: words,
        connections: std::num::NonZeroUsize::new(4).unwrap(),
        connect_timeout: Duration::from_secs(5),
        limit: WITHIN,
    };
    PostgresControl::new(&settings).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_store_speaks_tls_as_the_sides_do_and_so_does_its_listener() {
    let (files, right, wrong) = (Files::new(), Authority::new("right"), Authority::new("wrong"));
    let server = encrypted::server(&right.certificate(&HOSTS), &right).await;
    let (root, other) = (files.write("right.pem", &right.pem), files.write("wrong.pem", &wrong.pem));
    let words = |root: &str| TlsWords { sslrootcert: Some(root.to_owned()), ..TlsWords::default() };
    let address = url(&server, "shop", "");
    let refused = control(address.clone(), words(&other)).newest().await.unwrap_err();
    let root_cause = refused.source().unwrap().to_string();
    assert!(root_cause.contains("is not of an authority in"), "{root_cause}");

    let store = control(address, words(&root));
    store.prepare().await.unwrap();
    store.wait_for_change(None, Duration::from_millis(300)).await.unwrap();
    assert!(store.server().await.unwrap().unwrap().protection().starts_with("TLSv1.3 with the host"));
    let listens = "SELECT count(*) FILTER (WHERE NOT s.ssl)::text, count(*) FILTER (WHERE a.query LIKE 'LISTEN%')::text \
                   FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.application_name = 'strangler-control'";
    let rows = server.run("shop", listens).await.unwrap();
    assert_eq!(rows, [[Some("0".to_owned()), Some("1".to_owned())]], "plain connections, and those that listen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_a_wrong_password_and_not_tls() {
    let authority = Authority::new("right");
    let server: LocalServer = encrypted::server(&authority.certificate(&HOSTS), &authority).await;
    let wrong = url(&server, "shop", "sslmode=require").replace("secret", "guess");
    let refused = comes(wrong).await;
    assert!(refused.contains("the login is refused") && !refused.contains("TLS"), "{refused}");
}
