use adapters::{Lane, Lanes};
use testkit::begin::Begin as _;
use testkit::faults::FaultyStore;

use super::*;

#[tokio::test]
async fn the_sides_page_says_what_is_well_what_is_suspended_and_what_does_not_answer() {
    // GIVEN legacy as it was, and modern suspended
    let mut kept = None;
    let scene = scene_with(&[], Stage::Shift, |desk| {
        let modern = FaultyStore::new(Arc::clone(desk.sides.modern.get(Lane::Admin)));
        let seen = modern.clone();
        desk.sides.modern = Lanes::of(move |_| Arc::new(seen.clone()));
        kept = Some((desk.clone(), modern));
    })
    .await;
    let (desk, modern) = kept.unwrap();
    let within = Duration::from_secs(2);
    let page = scene.get(Role::Viewer, "/sides").await.text;
    assert!(page.contains("Legacy is the database that we knew"), "{page}");
    assert!(page.contains("Modern has no life") && page.contains("not known"), "{page}");
    let store = desk.sides.modern.get(Lane::Admin);
    store.begin_as(&["inventory".into()], model::Role::Secondary, within).await.unwrap();
    let life = store.life(&[], within).await.unwrap().life.unwrap();
    store.suspend(life.incarnation, "it lacks mark 7", within).await.unwrap();
    // THEN it says so, and what to do
    let page = scene.get(Role::Viewer, "/sides").await.text;
    assert!(page.contains("Modern is suspended: it lacks mark 7"), "{page}");
    assert!(page.contains("strangler sides raise"), "{page}");
    // AND one that does not answer is not well either
    modern.down(true);
    let page = scene.get(Role::Viewer, "/sides").await.text;
    assert!(page.contains("Nothing is known of modern"), "{page}");
    assert!(!page.contains("✓"), "what legacy lacks is not known either: {page}");
}
