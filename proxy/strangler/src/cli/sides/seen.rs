//! What is known of one side, as the command line says it.

use serde_json::{Value as Json, json};

use super::super::Stop;
use super::super::desk::Desk;
use super::names;
use control_plane::desk::SideSeen;
use request::error::with_root;

/// For scripts.
pub(super) fn json(seen: &SideSeen) -> Json {
    let life = seen.life.as_ref().map(|life| {
        json!({
            "server": life.identity.system, "log": life.identity.log, "incarnation": life.incarnation,
            "started": life.identity.boot, "suspended": life.suspended,
            "unasked": life.unasked.map(|since| since.to_string()), "mark": life.mark.counter, "markedAt": life.marked_at.to_string(),
        })
    });
    let missing = seen.missing.as_ref().ok();
    let (to_bring, lost) = (missing.map(|missing| missing.to_bring.len()), missing.map(|missing| missing.lost.len()));
    json!({ "side": seen.side, "verdict": seen.words(), "life": life, "toBring": to_bring, "lost": lost })
}

/// Says it to people.
pub(super) fn tell(desk: &Desk, seen: &SideSeen) -> Result<(), Stop> {
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
