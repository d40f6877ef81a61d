//! `groups list`, `show` and `history`.

use model::contract::RootKind;
use model::control::{EvidenceFilter, LIVE_WITHIN, RolloutRecord};
use model::evidence::Verdict;
use model::{GroupName, Policy, RouteName};
use serde_json::{Value as Json, json};

use super::Stop;
use super::desk::Desk;
use super::print::Printer;

/// How many changes `show` tells.
const LAST_CHANGES: usize = 5;

/// A policy for scripts.
pub(super) fn policy_json(group: &GroupName, policy: &Policy) -> Json {
    json!({
        "group": group,
        "stage": policy.stage(),
        "reads": policy.reads(),
        "shadow": policy.shadow(),
        "primary": policy.primary(),
        "epoch": policy.epoch(),
    })
}

fn heading(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) async fn list(desk: &Desk) -> Result<(), Stop> {
    let newest = desk.newest().await?;
    desk.remember_replicas().await;
    let rollout = &newest.rollout;
    let known = desk.contract().groups();
    // A rollout may name groups that this contract does not have: a newer release published it.
    let others = rollout.policies.keys().filter(|group| !known.contains(group));
    let groups: Vec<&GroupName> = known.iter().chain(others).collect();
    let mut rows = vec![heading(&["GROUP", "STAGE", "READS", "SHADOW", "PRIMARY"])];
    rows.extend(groups.iter().map(|group| {
        let policy = rollout.policy(group);
        let unknown = if known.contains(group) { "" } else { "  (not in this contract)" };
        vec![
            group.to_string(),
            policy.stage().to_string(),
            policy.reads().to_string(),
            policy.shadow().to_string(),
            format!("{}{unknown}", policy.primary()),
        ]
    }));
    desk.out.table(&rows);
    let (version, at, who) = (rollout.version, newest.at, &newest.author.who);
    let seconds = at.to_utc().format("%Y-%m-%d %H:%M:%SZ");
    desk.out.line(format!("\nRollout {version}, published {seconds} by {who}."));
    let groups: Vec<Json> = groups.iter().map(|group| policy_json(group, &rollout.policy(group))).collect();
    desk.out.json(&json!({ "rollout": version, "publishedAt": at, "groups": groups }));
    Ok(())
}

pub(super) async fn show(desk: &Desk, name: &str) -> Result<(), Stop> {
    let group = desk.group(name)?;
    let rollout = desk.newest().await?.rollout;
    let policy = rollout.policy(&group);
    let witness = desk.backends.witness();
    let routes = witness.routes(&group);
    let filter = EvidenceFilter { routes: Some(routes.clone()), ..EvidenceFilter::default() };
    let control = desk.control();
    let (sums, replicas, changes) = (
        control.evidence(&filter).await?,
        control.replicas(LIVE_WITHIN).await?,
        control.history(Some(&group), LAST_CHANGES).await?,
    );
    let now = witness.testify(&group).await;

    let out = desk.out;
    out.line(format!("Group {group}: stage {}, modern answers {} of reads.", policy.stage(), policy.reads()));
    out.line(format!(
        "Shadow reads: {}. Writes: {} is primary, epoch {}.",
        policy.shadow(),
        policy.primary(),
        policy.epoch().0
    ));
    match now["unsettled"]["writes"].as_u64() {
        Some(0) => out.line("Every write is settled."),
        Some(1) => out.line("1 write is not settled yet."),
        Some(writes) => out.line(format!("{writes} writes are not settled yet.")),
        None => out.line("How many writes are unsettled is not known: the primary did not tell."),
    }
    let mut rows = vec![heading(&["ROUTE", "MATCH", "EXCUSED", "MISMATCH", "INCONCLUSIVE"])];
    // Mutations are never asked twice, so there is nothing to count.
    let is_read =
        |route: &&RouteName| desk.contract().root(route).is_none_or(|root| !matches!(root.kind, RootKind::Write(_)));
    rows.extend(routes.iter().filter(is_read).map(|route| {
        let counts = Verdict::ALL.map(|verdict| sums.count(Some(route), verdict).to_string());
        std::iter::once(route.to_string()).chain(counts).collect()
    }));
    out.line("");
    out.table(&rows);
    let mut rows = vec![heading(&["REPLICA", "ADMIN", "ROLLOUT"])];
    rows.extend(replicas.iter().map(|r| vec![r.id.to_string(), r.admin_address.clone(), r.rollout.to_string()]));
    out.line("");
    out.table(&rows);
    out.line("");
    tell_changes(out, &changes);
    let mut shown = policy_json(&group, &policy);
    shown["rollout"] = json!(rollout.version);
    shown["replicas"] = json!(replicas);
    shown["evidence"] = now;
    shown["changes"] = json!(changes);
    out.json(&shown);
    Ok(())
}

pub(super) async fn history(desk: &Desk, group: Option<&str>, limit: usize) -> Result<(), Stop> {
    let group = group.map(|name| desk.group(name)).transpose()?;
    let records = desk.control().history(group.as_ref(), limit).await?;
    if records.is_empty() {
        desk.out.line("Nothing was changed yet.");
    } else {
        tell_changes(desk.out, &records);
    }
    desk.out.json(&records);
    Ok(())
}

/// Each change in a few short lines: in one row they would be wider than any terminal.
fn tell_changes(out: Printer, records: &[RolloutRecord]) {
    for record in records {
        let RolloutRecord { rollout, author, .. } = record;
        let at = record.at.to_utc().format("%Y-%m-%d %H:%M:%SZ");
        out.line(format!("Rollout {}, {at}, by {} from {}", rollout.version, author.who, author.origin));
        out.line(format!("  {}", record.summary));
        if let Some(reason) = &author.reason {
            out.line(format!("  because: {}", reason.replace('\n', " ")));
        }
        let evidence = evidence_then(&record.evidence);
        if !evidence.is_empty() {
            out.line(format!("  evidence then: {evidence}"));
        }
    }
}

/// `7 match, 1 mismatch; 0 unsettled`.
fn evidence_then(evidence: &Json) -> String {
    if evidence.is_null() {
        return String::new();
    }
    let count = |verdict: Verdict| evidence["comparisons"][verdict.as_str()].as_u64();
    let counts = Verdict::ALL.into_iter().filter_map(|verdict| Some((verdict, count(verdict)?)));
    let counts: Vec<_> = counts.filter(|(_, n)| *n > 0).map(|(verdict, n)| format!("{n} {verdict}")).collect();
    let compared = if counts.is_empty() { "nothing compared".to_owned() } else { counts.join(", ") };
    match evidence["unsettled"]["writes"].as_u64() {
        Some(writes) => format!("{compared}; {writes} unsettled"),
        None => compared,
    }
}
