//! What is known of one side, and how it is said.

use model::life::{Life, Noted, Verdict, judge};
use model::{Side, StoreError};
use serde_json::{Value as Json, json};

use super::super::Stop;
use super::super::desk::Desk;
use super::names;
use crate::error::with_root;
use crate::lives::memories::Memories;
use crate::lives::raise::{self, Missing};

/// What is known of one side.
pub(super) struct Seen {
    pub(super) side: Side,
    pub(super) verdict: Verdict,
    pub(super) life: Option<Life>,
    /// What it lacks, if the other side has said it.
    pub(super) missing: Result<Missing, StoreError>,
}

impl Seen {
    pub(super) async fn of(memories: &Memories, side: Side) -> Result<Self, StoreError> {
        let remembered = memories.of(side).await;
        let asked: Vec<_> = remembered.iter().flatten().map(|memory| memory.mark).collect();
        let look = memories.stores.get(side).life(&asked, memories.within).await?;
        let verdict = judge(&look, remembered.as_deref());
        let missing = match &look.life {
            Some(life) => raise::missing(memories, side, life).await,
            None => Ok(Missing::default()),
        };
        Ok(Self { side, verdict, life: look.life, missing })
    }

    /// Lost writes that the other side still shows.
    pub(super) fn lost(&self) -> Vec<&Noted> {
        self.missing.iter().flat_map(|missing| &missing.lost).filter(|noted| !noted.keys.is_empty()).collect()
    }

    /// Whether it is the database that we knew, and is known to lack nothing.
    pub(super) fn is_well(&self) -> bool {
        let owes = self.life.as_ref().is_none_or(|life| life.unasked.is_some());
        self.verdict == Verdict::Same && !owes && self.missing.is_ok() && self.lost().is_empty()
    }

    fn words(&self) -> String {
        match &self.verdict {
            Verdict::Fresh => "has no life: run `strangler init`".to_owned(),
            Verdict::Same => "is the database that we knew".to_owned(),
            Verdict::Moved => {
                "was started anew or moved, and lacks no mark: no replica has compared it since".to_owned()
            }
            Verdict::GoneBack(memory) => {
                format!("has gone back: it lacks mark {} of incarnation {}", memory.mark.counter, memory.incarnation.0)
            }
            Verdict::Suspended(why) => format!("is suspended: {why}"),
            Verdict::Unknown => "cannot be compared: nobody who remembers it answers".to_owned(),
        }
    }

    pub(super) fn json(&self) -> Json {
        let life = self.life.as_ref().map(|life| {
            json!({
                "server": life.identity.system, "log": life.identity.log, "incarnation": life.incarnation,
                "started": life.identity.boot, "suspended": life.suspended,
                "unasked": life.unasked.map(|since| since.to_string()), "mark": life.mark.counter, "markedAt": life.marked_at.to_string(),
            })
        });
        let missing = self.missing.as_ref().ok();
        let (to_bring, lost) =
            (missing.map(|missing| missing.to_bring.len()), missing.map(|missing| missing.lost.len()));
        json!({ "side": self.side, "verdict": self.words(), "life": life, "toBring": to_bring, "lost": lost })
    }
}

/// Says it to people.
pub(super) fn tell(desk: &Desk, seen: &Seen) -> Result<(), Stop> {
    let side = seen.side;
    desk.out.line(format!("{side} {}.", seen.words()));
    if let Some(life) = &seen.life {
        let (incarnation, mark) = (life.incarnation.0, life.mark.counter);
        desk.out
            .line(format!("  server {}; incarnation {incarnation}; mark {mark} of {}", life.identity, life.marked_at));
    }
    if let Some(since) = seen.life.as_ref().and_then(|life| life.unasked) {
        desk.out.line(format!(
            "  It was started anew, and {} could not be asked since {since} what it lacks.",
            side.other()
        ));
    }
    let missing = match &seen.missing {
        Ok(missing) => missing,
        Err(error) => {
            desk.out.line(format!("  What it lacks is not known: {}.", with_root(error)));
            return Ok(());
        }
    };
    if !missing.to_bring.is_empty() {
        desk.out.line(format!("  {} writes of {} are to be brought again.", missing.to_bring.len(), side.other()));
    }
    let lost = seen.lost();
    if !lost.is_empty() {
        desk.out.line(format!("  {} writes that {side} acknowledged stand on {} only:", lost.len(), side.other()));
    }
    for noted in &lost {
        names(desk, &noted.keys)?.iter().for_each(|name| desk.out.line(format!("    {name}")));
    }
    let overtaken = missing.lost.len() - lost.len();
    if overtaken > 0 {
        desk.out.line(format!(
            "  {overtaken} more writes of {side} stand on {} only, hold their idempotency keys there, and newer writes have taken their rows.",
            side.other()
        ));
    }
    Ok(())
}
