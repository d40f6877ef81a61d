//! The migration, chapter by chapter. Every chapter waits for what it promises, and says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::control::Sums;
use model::evidence::{Cause, Verdict};
use model::{Percentage, Stage};
use shadow_compare::words::{number, rows};
use tokio::time::{Instant, sleep};

use super::audit::Audit;
use super::defects::{self, Defect};
use super::narrator::Narrator;
use super::report::DemoReport;
use super::traffic::{Patch, Shelf, Tally, Traffic};
use super::world::{DemoError, World, until};
use control_plane::rollout::SetPolicy;

/// Every type of the contract.
const ALL: [&str; 3] = ["Product", "StockLevel", "StockMovement"];
/// Customers at once.
const WORKERS: usize = 6;
/// Articles that somebody changes, and articles that everybody only looks at.
const BUSY: usize = 60;
const WINDOW: usize = 45;
/// Pause between two customers of a worker.
const PAUSE: Duration = Duration::from_millis(8);
/// How long planted defects may stay unfound.
const FOUND_WITHIN: Duration = Duration::from_secs(20);
/// How long writes may stay unsettled after an outage.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

/// Tells the story and returns what was measured.
///
/// # Errors
/// [`DemoError`] when the story cannot go on.
pub async fn tell(world: &World, narrator: &Arc<Narrator>, seed: u64) -> Result<DemoReport, DemoError> {
    let (traffic, window) = open_shops(world, narrator, seed).await?;
    let counting = show_figures(narrator, traffic.tally());
    baseline_and_dual_write(world, narrator).await?;
    shadow(world, narrator, &window).await?;
    // Comparisons that were under way while the defects were mended may still end.
    sleep(Duration::from_secs(2)).await;
    let mended = world.evidence().await?;
    shift(world, narrator).await?;
    outage(world, narrator, traffic.tally(), &mended).await?;
    let rollback = all_and_back(world, narrator, &window).await?;
    let guarded = super::night::tell(world, narrator, traffic.tally(), &window).await?;
    counting.abort();
    let tally = traffic.stop().await;
    take_stock(world, narrator, &tally, (rollback, guarded)).await
}

/// A moving line with the figures, until it is aborted.
fn show_figures(narrator: &Arc<Narrator>, tally: &Arc<Tally>) -> tokio::task::JoinHandle<()> {
    let (narrator, tally) = (Arc::clone(narrator), Arc::clone(tally));
    tokio::spawn(async move {
        loop {
            let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
            narrator.figures(format!(
                "{} requests · {} writes · {} client errors",
                count(&tally.requests),
                count(&tally.acknowledged),
                count(&tally.client_errors)
            ));
            sleep(Duration::from_millis(200)).await;
        }
    })
}

async fn open_shops(world: &World, narrator: &Narrator, seed: u64) -> Result<(Traffic, Vec<Shelf>), DemoError> {
    narrator.chapter("The storefronts open. Everything is answered by the ERP (stage legacy)");
    let mut articles = world.shelves(BUSY + WINDOW).await?;
    let busy = articles.split_off(WINDOW.min(articles.len()));
    let shown: Arc<[Shelf]> = articles.iter().flatten().cloned().collect();
    let mut patches = vec![Patch { own: Vec::new(), window: Arc::clone(&shown) }; WORKERS];
    for (number, shelves) in busy.into_iter().enumerate() {
        patches[number % WORKERS].own.extend(shelves);
    }
    let window = articles.iter().filter_map(|shelves| shelves.first().cloned()).collect();
    let traffic = Traffic::start(&world.storefront, patches, seed, PAUSE);
    sleep(Duration::from_secs(1)).await;
    narrator.say(&format!("{WORKERS} storefronts read and write through {}", world.running.graphql));
    Ok((traffic, window))
}

async fn baseline_and_dual_write(world: &World, narrator: &Narrator) -> Result<(), DemoError> {
    narrator.chapter("Baseline: what the ERP holds at rest is copied, while customers go on buying");
    let began = Instant::now();
    let copied = world.baseline(1, &ALL, narrator).await?;
    narrator.say(&format!(
        "{} rows copied in {:.1} s, {} refused",
        copied.filled,
        began.elapsed().as_secs_f64(),
        copied.refused
    ));
    narrator.chapter("Dual-write: every write goes to both sides");
    let waiting = world.unsettled().await?;
    let took = set(world, Some(Stage::DualWrite), None, None, "writes must reach both sides").await?;
    narrator.say(&format!("set in {} ms; {waiting} writes since the start are brought over", took.as_millis()));
    settled(world).await?;
    narrator.say("every write so far is on both sides");
    Ok(())
}

async fn shadow(world: &World, narrator: &Narrator, window: &[Shelf]) -> Result<(), DemoError> {
    narrator.chapter("Shadow: reads are also asked of modern, and the answers compared");
    set(world, Some(Stage::Shadow), None, Some(100.0), "compare before trusting").await?;
    sleep(Duration::from_secs(3)).await;
    let before = mismatches(world).await?;
    let evidence = world.evidence().await?;
    let counted = |verdict| number(evidence.count(None, verdict));
    narrator.say(&format!("{} answers agree, {} differ", counted(Verdict::Match), counted(Verdict::Mismatch)));

    let planted = defects::three(&skus(window));
    for defect in &planted {
        world.modern.run("shop", &defect.sql).await?;
        narrator.say(&format!("planted behind our back: {}", defect.story));
    }
    let began = Instant::now();
    found(world, &planted, &before).await?;
    narrator.say(&format!("all three found and named after {:.1} s:", began.elapsed().as_secs_f64()));
    for defect in &planted {
        let count = mismatches(world).await?.get(defect.cause.as_str()).copied().unwrap_or_default();
        narrator.say(&format!("  {:<12} in {}", defect.cause.as_str(), rows(count)));
    }
    mend(world, narrator, 2, &ALL).await
}

async fn shift(world: &World, narrator: &Narrator) -> Result<(), DemoError> {
    for percent in [1.0, 25.0] {
        narrator.chapter(&format!("Shift: modern answers {percent} % of the keys"));
        let took = set(world, Some(Stage::Shift), Some(percent), None, "the evidence is good").await?;
        narrator.say(&format!("in force after {} ms, no deploy", took.as_millis()));
        sleep(Duration::from_secs(3)).await;
    }
    Ok(())
}

async fn outage(world: &World, narrator: &Narrator, tally: &Tally, mended: &Sums) -> Result<(), DemoError> {
    narrator.chapter("Outage: the modern side is killed, and the control database with it");
    let errors = || tally.client_errors.load(Ordering::Relaxed);
    let writes = || tally.acknowledged.load(Ordering::Relaxed);
    let before = (errors(), writes());
    world.modern.kill().await?;
    sleep(Duration::from_secs(4)).await;
    narrator.say(&format!(
        "{} client errors; {} writes acknowledged meanwhile, {} wait for the other side",
        errors() - before.0,
        writes() - before.1,
        world.unsettled().await?
    ));
    world.modern.restart().await?;
    let began = Instant::now();
    settled(world).await?;
    narrator.say(&format!("it is back; all of them settled {:.1} s later", began.elapsed().as_secs_f64()));
    let after = world.evidence().await?;
    narrator.say(&format!(
        "{} answers since the mending agree, {} differ",
        number(after.count(None, Verdict::Match) - mended.count(None, Verdict::Match)),
        number(after.count(None, Verdict::Mismatch) - mended.count(None, Verdict::Mismatch))
    ));
    Ok(())
}

async fn all_and_back(world: &World, narrator: &Narrator, window: &[Shelf]) -> Result<Duration, DemoError> {
    narrator.chapter("Shift: modern answers everything");
    set(world, Some(Stage::Shift), Some(100.0), None, "the last step").await?;
    sleep(Duration::from_secs(3)).await;
    let before = mismatches(world).await?;
    let defect = defects::last(&skus(window));
    let shelf = window.first().ok_or_else(|| DemoError::Other("there are no articles".into()))?;
    let right = on_hand(world, shelf).await?;
    world.modern.run("shop", &defect.sql).await?;
    narrator.say(&format!("planted behind our back: {}", defect.story));
    found(world, std::slice::from_ref(&defect), &before).await?;
    let wrong = on_hand(world, shelf).await?;
    narrator.say(&format!("found; customers are being told {wrong} where {right} is right"));

    narrator.chapter("Rollback");
    let began = Instant::now();
    let (ordered, answered) = tokio::join!(world.roll_back(), async {
        while on_hand(world, shelf).await? != right {
            tokio::task::yield_now().await;
        }
        Ok::<_, DemoError>(began.elapsed())
    });
    ordered?;
    let took = answered?;
    narrator.say(&format!(
        "{:.1} ms from the order to the first right answer ({wrong} is {right} again)",
        took.as_secs_f64() * 1_000.0
    ));
    mend(world, narrator, 3, &["StockLevel"]).await?;
    Ok(took)
}

async fn take_stock(
    world: &World,
    narrator: &Narrator,
    tally: &Tally,
    (rollback, guarded): (Duration, Duration),
) -> Result<DemoReport, DemoError> {
    narrator.chapter("Stocktaking: every acknowledged write is looked up on both sides, every row compared");
    settled(world).await?;
    let stores = world.stores();
    let today = chrono::Utc::now().date_naive();
    let audit = Audit { stores: &stores, contract: &world.backends.loaded.contract, today };
    let expected = tally.expected.lock().clone();
    let differing = audit.differing_rows().await?;
    let report = DemoReport {
        requests: tally.requests.load(Ordering::Relaxed),
        client_errors: tally.client_errors.load(Ordering::Relaxed),
        acknowledged_writes: tally.acknowledged.load(Ordering::Relaxed),
        lost_writes: audit.lost_writes(&expected).await?,
        unsettled: world.unsettled().await?,
        mismatches: mismatches(world).await?,
        // To a tenth: it is often less than one.
        rollback_millis: (rollback.as_secs_f64() * 10_000.0).round() / 10.0,
        guard_rollback_millis: (guarded.as_secs_f64() * 10_000.0).round() / 10.0,
        sides_equal: differing == 0,
    };
    narrator.say(&format!(
        "{} requests, {} writes acknowledged, {} lost; {differing} rows differ",
        report.requests, report.acknowledged_writes, report.lost_writes
    ));
    for complaint in tally.complaints.lock().iter() {
        narrator.say(&format!("a customer complained: {complaint}"));
    }
    Ok(report)
}

pub(super) async fn set(
    world: &World,
    stage: Option<Stage>,
    reads: Option<f64>,
    shadow: Option<f64>,
    why: &str,
) -> Result<Duration, DemoError> {
    let share = |percent: Option<f64>| percent.and_then(|percent| Percentage::try_from(percent).ok());
    world.set(SetPolicy { stage, reads: share(reads), shadow: share(shadow) }, why).await
}

pub(super) fn skus(window: &[Shelf]) -> Vec<String> {
    window.iter().map(|shelf| shelf.sku.clone()).collect()
}

/// Waits until nothing is unsettled for a moment, while traffic goes on.
async fn settled(world: &World) -> Result<(), DemoError> {
    // Under traffic a write is always on its way; what matters is that nothing old is left.
    let few = WORKERS as u64 * 4;
    until("settling", SETTLED_WITHIN, || async { Ok(world.unsettled().await? <= few) }).await
}

async fn mismatches(world: &World) -> Result<BTreeMap<&'static str, u64>, DemoError> {
    let mut causes = BTreeMap::new();
    for (kind, seen) in &world.evidence().await?.differences {
        if kind.verdict == Verdict::Mismatch {
            *causes.entry(kind.cause.as_str()).or_default() += seen.count;
        }
    }
    Ok(causes)
}

/// Waits until every defect was found under its name, more often than `before`.
async fn found(world: &World, defects: &[Defect], before: &BTreeMap<&'static str, u64>) -> Result<(), DemoError> {
    let count = |causes: &BTreeMap<&'static str, u64>, cause: Cause| causes.get(cause.as_str()).copied().unwrap_or(0);
    until("finding the planted defects", FOUND_WITHIN, || async {
        let now = mismatches(world).await?;
        Ok(defects.iter().all(|defect| count(&now, defect.cause) > count(before, defect.cause)))
    })
    .await
}

pub(super) async fn mend(world: &World, narrator: &Narrator, run: u32, types: &[&str]) -> Result<(), DemoError> {
    let copied = world.baseline(run, types, narrator).await?;
    narrator.say(&format!("mended: {} rows copied again from the ERP", copied.filled));
    Ok(())
}

/// What is on hand on a shelf, asked by key as a customer does.
pub(super) async fn on_hand(world: &World, shelf: &Shelf) -> Result<i64, DemoError> {
    let query = "query($s: ID!, $l: ID!) { stockLevel(sku: $s, location: $l) { onHand } }";
    let variables = serde_json::json!({ "s": shelf.sku, "l": shelf.location });
    let reply = world.storefront.ask(query, &variables).await.map_err(|error| DemoError::Other(error.to_string()))?;
    let amount = reply.data["stockLevel"]["onHand"].as_i64();
    amount.ok_or_else(|| DemoError::Other("a shelf of the catalogue is not there".into()))
}
