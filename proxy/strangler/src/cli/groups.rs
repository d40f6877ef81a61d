//! `groups list`, `show` and `history`.

use serde_json::{Value as Json, json};
use shadow_compare::words::number;

use super::Stop;
use super::link::Link;
use super::print::{Printer, seconds, text};

/// The fields of a policy, as scripts get them.
pub(super) const POLICY: &str = "stage reads shadow primary epoch";

/// How a group does now.
const LATELY: &str = "minutes answers mismatches dayAnswers dayMismatches lastMismatchSeconds lastComparedSeconds \
                      repairedSince repairedAt concern inWords";

/// A group's policy for scripts.
pub(super) fn policy_json(group: &Json, policy: &Json) -> Json {
    let mut shown = json!({ "group": group });
    for field in POLICY.split(' ') {
        shown[field] = policy[field].clone();
    }
    shown
}

/// `12.5 %`.
pub(super) fn percent(value: &Json) -> String {
    format!("{} %", value.as_f64().unwrap_or_default())
}

pub(super) fn heading(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn list_of(value: &Json) -> &[Json] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) async fn list(out: Printer, link: &Link) -> Result<(), Stop> {
    let document = format!(
        "{{ rollout {{ version publishedAt who }} groups {{ name inContract policy {{ {POLICY} }} lately {{ {LATELY} }} }} }}"
    );
    let answer = link.ask(&document, json!({})).await?;
    link.remember_replicas().await;
    let groups = list_of(&answer["groups"]);
    let mut rows = vec![heading(&["GROUP", "STAGE", "READS", "SHADOW", "PRIMARY"])];
    rows.extend(groups.iter().map(|group| {
        let policy = &group["policy"];
        let unknown = if group["inContract"] == true { "" } else { "  (not in this contract)" };
        vec![
            text(&group["name"]),
            text(&policy["stage"]),
            percent(&policy["reads"]),
            percent(&policy["shadow"]),
            format!("{}{unknown}", text(&policy["primary"])),
        ]
    }));
    out.table(&rows);
    let rollout = &answer["rollout"];
    let (version, at, who) = (&rollout["version"], seconds(&rollout["publishedAt"]), text(&rollout["who"]));
    out.line(format!("\nRollout {version}, published {at} by {who}."));
    // In the table it would be wider than any terminal.
    for group in groups {
        out.line(format!("{}: {}.", text(&group["name"]), text(&group["lately"]["inWords"])));
    }
    let shown = |group: &Json| {
        let mut shown = policy_json(&group["name"], &group["policy"]);
        shown["lately"] = group["lately"].clone();
        shown
    };
    let groups: Vec<Json> = groups.iter().map(shown).collect();
    out.json(&json!({ "rollout": version, "publishedAt": rollout["publishedAt"], "groups": groups }));
    Ok(())
}

pub(super) async fn show(out: Printer, link: &Link, name: &str) -> Result<(), Stop> {
    let document = format!(
        "query($name: String!) {{ rollout {{ version }} replicas {{ id adminAddress rollout }} group(name: $name) {{ \
         name policy {{ {POLICY} }} lately {{ {LATELY} }} evidence unsettledInWords contractsApart notices comparisons {{ route match excused mismatch inconclusive }} \
         readiness {{ {READINESS} }} changes {{ {CHANGE} }} }} }}"
    );
    let answer = link.ask(&document, json!({ "name": name })).await?;
    let group = &answer["group"];
    let policy = &group["policy"];
    out.line(format!(
        "Group {name}: stage {}, modern answers {} of reads.",
        text(&policy["stage"]),
        percent(&policy["reads"])
    ));
    out.line(format!(
        "Shadow reads: {}. Writes: {} is primary, epoch {}.",
        percent(&policy["shadow"]),
        text(&policy["primary"]),
        policy["epoch"]
    ));
    out.line(format!("Shadow reads found: {}.", text(&group["lately"]["inWords"])));
    out.line(text(&group["unsettledInWords"]));
    list_of(&group["contractsApart"]).iter().for_each(|apart| out.line(text(apart)));
    list_of(&group["notices"]).iter().for_each(|notice| out.line(text(notice)));
    let mut rows = vec![heading(&["ROUTE", "MATCH", "EXCUSED", "MISMATCH", "INCONCLUSIVE"])];
    rows.extend(list_of(&group["comparisons"]).iter().map(|route| {
        let counts = ["match", "excused", "mismatch", "inconclusive"];
        let counts = counts.map(|field| route[field].as_u64().map(number).unwrap_or_default());
        [vec![text(&route["route"])], counts.to_vec()].concat()
    }));
    out.line("\nAnswers compared, as far back as counts are kept:");
    out.table(&rows);
    out.line("");
    tell_readiness(out, &group["readiness"]);
    let replicas = list_of(&answer["replicas"]);
    let mut rows = vec![heading(&["REPLICA", "ADMIN", "ROLLOUT"])];
    rows.extend(replicas.iter().map(|replica| ["id", "adminAddress", "rollout"].map(|f| text(&replica[f])).to_vec()));
    out.line("");
    out.table(&rows);
    out.line("");
    tell_changes(out, list_of(&group["changes"]));
    let mut shown = policy_json(&group["name"], policy);
    shown["rollout"] = answer["rollout"]["version"].clone();
    shown["replicas"] = answer["replicas"].clone();
    shown["contractsApart"] = group["contractsApart"].clone();
    shown["notices"] = group["notices"].clone();
    shown["evidence"] = group["evidence"].clone();
    shown["lately"] = group["lately"].clone();
    shown["readiness"] = group["readiness"].clone();
    shown["changes"] = list_of(&group["changes"]).iter().map(|change| change["record"].clone()).collect();
    out.json(&shown);
    Ok(())
}

/// What answers "may I promote, and if not, why not?"
pub(super) const READINESS: &str = "answer gates { name state figure limit sentence } plan { reads holdSeconds } \
                                    promotion { state atStep since who reason said steps { reads holdSeconds } }";

/// "May I promote, and if not, why not?"
pub(super) fn tell_readiness(out: Printer, readiness: &Json) {
    out.line(format!("May it be promoted? {}", text(&readiness["answer"])));
    let mut rows = vec![heading(&["", "GATE", "FOUND", "ALLOWED"])];
    let gates = list_of(&readiness["gates"]);
    rows.extend(gates.iter().map(|gate| {
        let mark = match gate["state"].as_str() {
            Some("PASS") => "ok",
            Some("NOT_ASKED") => "-",
            Some("UNKNOWN") => "?",
            Some(_) | None => "NO",
        };
        vec![mark.to_owned(), text(&gate["name"]), text(&gate["figure"]), text(&gate["limit"])]
    }));
    out.table(&rows);
    let closed = gates.iter().filter(|gate| gate["state"] == "FAIL" || gate["state"] == "UNKNOWN");
    closed.for_each(|gate| out.line(format!("  {}: {}", text(&gate["name"]), text(&gate["sentence"]))));
}

/// What a change is told by.
const CHANGE: &str = "rollout at who origin reason approvedBy summary evidenceInWords record";

pub(super) async fn history(out: Printer, link: &Link, group: Option<&str>, limit: usize) -> Result<(), Stop> {
    let document =
        format!("query($group: String, $limit: Int!) {{ history(group: $group, limit: $limit) {{ {CHANGE} }} }}");
    let answer = link.ask(&document, json!({ "group": group, "limit": limit.min(500) })).await?;
    let changes = list_of(&answer["history"]);
    if changes.is_empty() {
        // Without a rollout there is no group, so of no group alone nothing was changed.
        out.line(match group {
            Some(group) => format!("No rollout on record has changed group {group}."),
            None => "Nothing was changed yet.".to_owned(),
        });
    } else {
        tell_changes(out, changes);
    }
    out.json(&changes.iter().map(|change| &change["record"]).collect::<Vec<_>>());
    Ok(())
}

/// Each change in a few short lines: in one row they would be wider than any terminal.
fn tell_changes(out: Printer, changes: &[Json]) {
    for change in changes {
        let at = seconds(&change["at"]);
        let (who, origin) = (text(&change["who"]), text(&change["origin"]));
        out.line(format!("Rollout {}, {at}, by {who} from {origin}", change["rollout"]));
        out.line(format!("  {}", text(&change["summary"])));
        if let Some(reason) = change["reason"].as_str() {
            out.line(format!("  because: {}", reason.replace('\n', " ")));
        }
        if let Some(second) = change["approvedBy"].as_str() {
            out.line(format!("  approved by {second}"));
        }
        let evidence = text(&change["evidenceInWords"]);
        if !evidence.is_empty() {
            out.line(format!("  evidence then: {evidence}"));
        }
    }
}
