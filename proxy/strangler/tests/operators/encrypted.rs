//! The real binary with both sides and the control database over TLS, on servers that demand it.

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value as Json, json};
use strangler::demo::seed::{ERP_TABLES, MODERN_TABLES};
use testkit::encrypted::{self, Authority, url};
use testkit::fleet::{Replica, Site};

use crate::replica::{eventually, schema};

async fn ask(replica: &Replica, query: &str) -> Json {
    let body = Bytes::from(json!({ "query": query }).to_string());
    let request = Request::post(&replica.graphql).header("content-type", "application/json");
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Full::new(body)).unwrap()).await.unwrap();
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_writes_shadows_and_rolls_back_over_tls_alone() {
    // GIVEN two servers that let strangler in over TLS only, each under an authority of its own
    let hosts = ["localhost", "127.0.0.1"];
    let authorities = [Authority::new("erp"), Authority::new("shop")];
    let erp = encrypted::server(&authorities[0].certificate(&hosts), &authorities[0]).await;
    let shop = encrypted::server(&authorities[1].certificate(&hosts), &authorities[1]).await;
    erp.run("shop", ERP_TABLES).await.unwrap();
    shop.run("shop", MODERN_TABLES).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let words = |place: usize| {
        let root = folder.path().join(format!("{place}.pem"));
        std::fs::write(&root, &authorities[place].pem).unwrap();
        format!("sslmode=verify-full&sslrootcert={}&channel_binding=require", root.display())
    };
    let (legacy, modern) = (url(&erp, "shop", &words(0)), url(&shop, "shop", &words(1)));
    let site = Site::new(env!("CARGO_BIN_EXE_strangler"), legacy, modern, schema());
    site.must_run(&["init"]).await;
    let told = site.must_run(&["check"]).await;
    assert_eq!(told.matches("TLSv1.3 with the host of the address (sslmode=verify-full)").count(), 3, "{told}");
    let (mut one, mut other) = (site.start("a").await, site.start("b").await);
    let set = ["groups", "set", "inventory", "--stage", "shift", "--reads", "0", "--shadow", "100", "--who", "ada"];
    site.must_run(&[&set[..], &["--reason", "over TLS"]].concat()).await;
    let metric = |replica: &Replica, line: &str| {
        let (address, line) = (replica.admin.clone(), line.to_owned());
        async move { testkit::fleet::get(&address, "/metrics").await.unwrap().1.contains(&line) }
    };

    // WHEN a client writes and reads
    let product = "mutation { upsertProduct(input: { sku: \"4711\", name: \"lamp\", unit: EACH, unitPrice: \"9.50\" }) { name } }";
    assert_eq!(ask(&one, product).await, json!({ "data": { "upsertProduct": { "name": "lamp" } } }));
    let read = ask(&one, "{ product(sku: \"4711\") { name } }").await;
    assert_eq!(read, json!({ "data": { "product": { "name": "lamp" } } }));
    // THEN the other side has it as well, and both answers were compared
    let matched = "strangler_comparisons_total{route=\"Query.product\",verdict=\"match\"}";
    eventually("a shadow read matches", || async {
        // Until the write is settled everywhere its key is not compared.
        ask(&one, "{ product(sku: \"4711\") { name } }").await;
        metric(&one, matched).await
    })
    .await;
    let rows = shop.run("shop", "SELECT name FROM product WHERE sku = '4711'").await.unwrap();
    assert_eq!(rows, [[Some("lamp".to_owned())]]);

    // WHEN the group is rolled back
    site.must_run(&["groups", "rollback", "inventory", "--who", "ada"]).await;
    // THEN both replicas hear of it, and nobody was let in without TLS
    for replica in [&one, &other] {
        eventually("the rollback is heard of", || {
            metric(replica, "strangler_reads_modern_ratio{group=\"inventory\"} 0\n")
        })
        .await;
    }
    for server in [&erp, &shop] {
        let plain = "SELECT count(*)::text, count(*) FILTER (WHERE NOT ssl)::text FROM pg_stat_ssl JOIN pg_stat_activity a \
                     USING (pid) WHERE a.usename = 'shop'";
        let rows = server.run("shop", plain).await.unwrap();
        assert!(rows[0][0].as_deref() != Some("0") && rows[0][1].as_deref() == Some("0"), "{rows:?}");
    }
    assert!(one.terminate().await && other.terminate().await, "{}", site.log("a"));
}
