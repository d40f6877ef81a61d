//! A group gets another name: its types are taken up by order of a person, and nobody goes on under the former name.

use serde_json::{Value as Json, json};
use strangler::demo::storefront::Storefront;

use crate::handover::{CONTRACT, Shelves};

const ADOPT: [&str; 4] = ["init", "--adopt", "legacy", "--accept-contract"];

/// How both fences of a group stand: `epoch state`.
async fn fences(shelves: &Shelves, group: &str) -> [String; 2] {
    let sql = "SELECT coalesce((SELECT epoch || ' ' || state FROM strangler_fence WHERE grp = $1), 'none')";
    let one = async |client: &tokio_postgres::Client| client.query_one(sql, &[&group]).await.unwrap().get(0);
    [one(&shelves.legacy).await, one(&shelves.modern).await]
}

/// How many shapes legacy has registered.
async fn registered(shelves: &Shelves) -> i64 {
    let sql = "SELECT count(*) FROM strangler_shape WHERE rank > 0";
    shelves.legacy.query_one(sql, &[]).await.unwrap().get(0)
}

/// Writes one key through a replica.
async fn write(graphql: &str) {
    let shop = Storefront::new(graphql.to_owned());
    let put = "mutation { put(id: \"A1\", onHand: 7) { onHand } }";
    assert_eq!(shop.ask(put, &json!({})).await.unwrap().errors, Vec::<Json>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_under_the_former_name_of_a_group() {
    let mut shelves = Shelves::new().await;
    assert!(shelves.set(&["--stage", "shift", "--reads", "100"]).await.1);
    let mut replica = shelves.site.start("one").await;
    write(&replica.graphql).await;
    // GIVEN a contract in which the group has another name
    let former = shelves.site.contract.clone();
    let renamed = shelves.site.folder().join("renamed.graphql");
    let text = std::fs::read_to_string(CONTRACT).unwrap().replace("group: \"stock\"", "group: \"depot\"");
    std::fs::write(&renamed, text).unwrap();
    shelves.site.contract = renamed.clone();
    // THEN it is not begun by itself, nor by order while somebody works
    let (text, ok) = shelves.site.run(&["init"]).await;
    assert!(!ok && text.contains("init --adopt SIDE") && text.contains("stock"), "{text}");
    let (text, ok) = shelves.site.run(&ADOPT).await;
    assert!(!ok && text.contains("replicas work: ") && text.contains("Stop every replica"), "{text}");
    assert_eq!(fences(&shelves, "stock").await, ["1 open", "1 closed"], "nothing was changed");
    assert_eq!(registered(&shelves).await, 1, "nor was the new contract registered");
    // WHEN nobody works, the former group is ended on both sides
    assert!(replica.terminate().await);
    shelves.site.must_run(&ADOPT).await;
    let ended = ["2 closed".to_owned(), "2 closed".to_owned()];
    assert_eq!(fences(&shelves, "stock").await, ended);
    let mut under_new = shelves.site.start("two").await;
    write(&under_new.graphql).await;
    assert!(under_new.terminate().await);
    // AND a replica of the former contract opens nothing, however long it waits
    shelves.site.contract = former;
    let (graphql, admin) = (testkit::fleet::free_port().await, testkit::fleet::free_port().await);
    let late = shelves.site.launch("one", graphql, admin);
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let shop = Storefront::new(late.graphql.clone());
    let told = shop.ask("mutation { put(id: \"A1\", onHand: 8) { onHand } }", &json!({})).await;
    assert!(told.is_err() || told.is_ok_and(|told| !told.errors.is_empty()));
    assert_eq!(fences(&shelves, "stock").await, ended);
}
