//! Whether the server's clocks are ours. We read local times, and it sums them up: where its data of a zone are others, the
//! sums of equal rows differ for ever, and what it shows by itself is another time than what we show.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime};
use model::{Contract, EntityName, Side, StoreError, Zone};

use super::Findings;
use super::catalog::{literal, rows};
use crate::postgres::session::Session;

/// Years that are compared.
const YEARS: std::ops::Range<i32> = 1900..2060;

/// Data of earlier years differ between those who make them, and few values are of that time.
const LIVED: i32 = 1970;

/// Compares the zones in which the types keep local times on this side.
pub(super) async fn look(
    session: &Session,
    contract: &Contract,
    side: Side,
    entities: &[EntityName],
    findings: &mut Findings,
) -> Result<(), StoreError> {
    for zone in used(contract, side, entities) {
        let name = zone.name();
        let moments = moments(&zone);
        let listed: Vec<_> = moments.iter().map(|at| at.and_utc().timestamp().to_string()).collect();
        let known = format!("SELECT 1 FROM pg_timezone_names WHERE name = {}", literal(name));
        if rows(session, &known, "").await?.is_empty() {
            findings.problem(format!("the server knows no time zone {name}: install or update its zone data"));
            continue;
        }
        let shown = format!(
            "SELECT extract(epoch FROM to_timestamp(s) AT TIME ZONE {})::int8 \
             FROM unnest('{{{}}}'::int8[]) WITH ORDINALITY AS a(s, place) ORDER BY place",
            literal(name),
            listed.join(",")
        );
        let shown = rows(session, &shown, "").await?;
        let shown = shown.iter().map(|row| row.text(0).parse().ok());
        tell(&zone, &differing(&zone, &moments, shown), moments.len(), findings);
    }
    Ok(())
}

/// The zones in which these types keep local times on this side, each once.
fn used(contract: &Contract, side: Side, entities: &[EntityName]) -> Vec<Zone> {
    let mut zones: Vec<Zone> = Vec::new();
    for field in entities.iter().filter_map(|name| contract.entity(name)).flat_map(|entity| &entity.fields) {
        let zone = field.home.get(side).zone.as_ref();
        zones.extend(zone.filter(|zone| zones.iter().all(|known| known.name() != zone.name())).cloned());
    }
    zones
}

/// What the server shows otherwise: when, and what.
fn differing(
    zone: &Zone,
    moments: &[NaiveDateTime],
    shown: impl Iterator<Item = Option<i64>>,
) -> Vec<(NaiveDateTime, Option<NaiveDateTime>)> {
    let shown = shown.map(|shown| shown.and_then(|seconds| Some(DateTime::from_timestamp(seconds, 0)?.naive_utc())));
    let both = moments.iter().copied().zip(shown.chain(std::iter::repeat(None)));
    both.filter(|(at, shown)| *shown != zone.local(*at)).collect()
}

fn tell(zone: &Zone, wrong: &[(NaiveDateTime, Option<NaiveDateTime>)], asked: usize, findings: &mut Findings) {
    let Some((at, shown)) = wrong.last() else { return };
    let name = zone.name();
    let (theirs, ours) = (shown.map(|time| time.to_string()), zone.local(*at).map(|time| time.to_string()));
    let (theirs, ours) = (theirs.as_deref().unwrap_or("nothing"), ours.as_deref().unwrap_or("nothing"));
    let sentence = format!(
        "the server's clocks of {name} are others than ours at {} of {asked} moments, last at {at} UTC, where it shows \
         {theirs} and we {ours}: sums of equal rows with such times differ, so that reconcile names them each time. \
         Update the time zone data that the server uses",
        wrong.len()
    );
    if at.year() < LIVED { findings.notice(sentence) } else { findings.problem(sentence) }
}

/// Each fortnight, and around each change of the clocks.
fn moments(zone: &Zone) -> Vec<NaiveDateTime> {
    let day = |year| NaiveDate::from_ymd_opt(year, 1, 1).and_then(|day| day.and_hms_opt(0, 30, 0));
    let (Some(first), Some(last)) = (day(YEARS.start), day(YEARS.end)) else { return Vec::new() };
    let offset = |seconds: i64| {
        let at = DateTime::from_timestamp(seconds, 0)?.naive_utc();
        Some(zone.local(at)? - at)
    };
    let (mut from, end) = (first.and_utc().timestamp(), last.and_utc().timestamp());
    let mut moments = BTreeSet::new();
    while from < end {
        let (mut low, mut high) = (from, from + 14 * 86_400);
        moments.insert(from);
        from = high;
        if offset(low) == offset(high) {
            continue;
        }
        while high - low > 1 {
            let middle = i64::midpoint(low, high);
            if offset(middle) == offset(low) { low = middle } else { high = middle }
        }
        moments.extend([-3_600, -1, 0, 3_600].map(|step| high + step));
    }
    moments.into_iter().filter_map(|seconds| Some(DateTime::from_timestamp(seconds, 0)?.naive_utc())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a server whose clocks are `late` seconds behind until the end of `year`.
    fn said(late: i64, year: i32) -> Findings {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let moments = moments(&zone);
        let shown = moments.iter().map(|at| {
            let ours = zone.local(*at).unwrap().and_utc().timestamp();
            Some(if at.year() <= year { ours - late } else { ours })
        });
        let wrong = differing(&zone, &moments, shown);
        let mut findings = Findings::default();
        tell(&zone, &wrong, moments.len(), &mut findings);
        findings
    }

    #[test]
    fn clocks_that_differ_are_named_and_those_of_the_past_only_told() {
        let equal = said(0, 2059);
        assert!(equal.problems.is_empty() && equal.notices.is_empty());
        let past = said(3_600, 1945);
        assert!(past.problems.is_empty(), "{:?}", past.problems);
        assert!(past.notices[0].contains("Europe/Berlin") && past.notices[0].contains("1945"), "{:?}", past.notices);
        let lived = said(3_600, 2001);
        assert!(lived.problems[0].contains("zone data"), "{:?}", lived.problems);
    }

    /// A server that leaves moments out, or cannot say them, is not equal.
    #[test]
    fn what_the_server_does_not_say_differs() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let moments = moments(&zone);
        assert_eq!(differing(&zone, &moments, std::iter::empty()).len(), moments.len());
        assert_eq!(differing(&zone, &moments, moments.iter().map(|_| None)).len(), moments.len());
    }
}
