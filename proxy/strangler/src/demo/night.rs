//! The chapter in which nobody looks: modern goes wrong at night, and the guard rolls back by itself.
//!
//! The guard is that of a second replica, which joins for this chapter: the story breaks modern more than once while an
//! operator is there to see it, and a guard would have been faster. It judges what the whole fleet has counted, so the
//! replica that serves the customers and the one that sees the fault are two, as in a fleet.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::defects;
use super::narrator::Narrator;
use super::report::GUARD_WITHIN_MILLIS;
use super::story::{mend, on_hand, set, skus};
use super::traffic::{Shelf, Tally};
use super::world::{DemoError, World};

/// How long comparisons that were under way while rows were mended may take to end.
const CALM: Duration = Duration::from_secs(2);
/// How long all is well before it is not: the guard says nothing of what it has seen too little of.
const WELL: Duration = Duration::from_secs(4);
/// For how long customers are watched after it.
const AFTER: Duration = Duration::from_secs(2);
/// When the chapter gives up waiting; the report then says that the promise was broken.
const GIVE_UP: Duration = Duration::from_secs(40);

/// Tells the chapter; how long customers were told what is wrong. Zero: the guard did not do it.
pub(super) async fn tell(
    world: &World,
    narrator: &Arc<Narrator>,
    tally: &Tally,
    window: &[Shelf],
) -> Result<Duration, DemoError> {
    narrator.chapter("Night: modern answers everything once more, a guard is on, and nobody looks");
    sleep(CALM).await;
    let guarded = world.guarded_replica().await?;
    set(world, None, Some(100.0), None, "what was wrong is mended").await?;
    narrator.say("a second replica has joined; its guard looks at the whole fleet each second");
    sleep(WELL).await;
    let told = wrong_and_right_again(world, narrator, window).await;
    let requests = tally.requests.load(Ordering::Relaxed);
    let took = told?.unwrap_or(Duration::ZERO);
    sleep(AFTER).await;
    let since = tally.requests.load(Ordering::Relaxed) - requests;
    let errors = tally.client_errors.load(Ordering::Relaxed);
    narrator.say(&format!("{since} requests since, answered by the ERP; {errors} client errors in the whole story"));
    mend(world, narrator, 4, &["StockLevel"]).await?;
    guarded.stop().await;
    Ok(took)
}

/// Plants the defect and asks as a customer does, until the answer is right again. `None`: it never was by the guard.
async fn wrong_and_right_again(
    world: &World,
    narrator: &Narrator,
    window: &[Shelf],
) -> Result<Option<Duration>, DemoError> {
    let shelf = window.first().ok_or_else(|| DemoError::Other("there are no articles".into()))?;
    let right = on_hand(world, shelf).await?;
    if let Some(author) = world.last_change().await?.filter(|author| author.who == "guard") {
        let why = author.reason.unwrap_or_default();
        return Err(DemoError::Other(format!("the guard rolled back before anything was wrong: {why}")));
    }
    let defect = defects::at_night(&skus(window));
    world.modern.run("shop", &defect.sql).await?;
    narrator.say(&format!("planted behind our back: {}", defect.story));
    let planted = Instant::now();
    let mut first_wrong: Option<(Instant, i64)> = None;
    loop {
        let now = on_hand(world, shelf).await?;
        match first_wrong {
            None if now != right => first_wrong = Some((Instant::now(), now)),
            Some((since, wrong)) if now == right => {
                let took = since.elapsed();
                return Ok(by_itself(world, narrator, (right, wrong), took).await?.then_some(took));
            }
            None | Some(_) => {}
        }
        if planted.elapsed() > GIVE_UP {
            let limit = GUARD_WITHIN_MILLIS / 1_000.0;
            narrator.say(&format!("the guard has not rolled back, and {limit} s are long over"));
            // Or the customers would be told what is wrong until the end.
            world.roll_back().await?;
            return Ok(None);
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Says how it ended; whether it was the guard who did it.
async fn by_itself(
    world: &World,
    narrator: &Narrator,
    (right, wrong): (i64, i64),
    took: Duration,
) -> Result<bool, DemoError> {
    let Some(author) = world.last_change().await? else { return Ok(false) };
    if author.who != "guard" {
        narrator.say(&format!("{} has rolled back, not the guard", author.who));
        return Ok(false);
    }
    narrator.say(&format!(
        "the guard rolled back by itself: {:.1} s from the first wrong answer to the first right one ({wrong} is {right} again)",
        took.as_secs_f64()
    ));
    narrator.say(&format!("in the record: {}", author.reason.unwrap_or_default()));
    Ok(true)
}
