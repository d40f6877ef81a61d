//! `/groups/NAME`: everything about one group, and everything that can be done to it.
//!
//! The roll-back form stays in sight on every such page, also when nothing else can be shown.

mod forms;

use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use model::{GroupName, Policy};
use serde::Deserialize;
use serde_json::json;

use super::caller::Caller;
use super::layout::{self, Part, alert, fact, gate_state, number, percent, stage, wide, words};
use super::of_group::OfGroup;
use super::shapes::{
    CHANGE, Change, FIGURES, Figures, GUARD, Guard, LATELY, Lately, POLICY, PolicyShape, Proposal, Readiness, Replica,
    RouteEvidence, Unsettled,
};
use super::told::{Just, Told};
use super::{Dashboard, charts, orders, overview};
use control_plane::rollout::{describe, way_back};
use control_plane::spoken::spoken;
use shadow_compare::words::share;

/// Changes on the page, and in its chart.
const CHANGES: usize = 10;
const CHARTED: usize = 100;

#[derive(Deserialize)]
struct Answer {
    group: Group,
    replicas: Vec<Replica>,
    proposals: Vec<Proposal>,
    rollout: Rollout,
}

#[derive(Deserialize)]
struct Rollout {
    version: u64,
}

#[derive(Deserialize)]
struct Group {
    policy: PolicyShape,
    lately: Lately,
    comparisons: Vec<RouteEvidence>,
    unsettled: Option<Unsettled>,
    readiness: Readiness,
    changes: Vec<Change>,
    figures: Vec<Figures>,
    guard: Option<Guard>,
}

/// What somebody typed into a form that was refused: shown again, so that nothing is lost.
#[derive(Debug, Default, Clone)]
pub(super) struct Draft {
    /// Which form.
    pub(super) form: &'static str,
    /// Which proposal, where there is a form for each.
    pub(super) about: String,
    pub(super) stage: String,
    pub(super) reads: String,
    pub(super) shadow: String,
    pub(super) reason: String,
    /// How long the order took to reach the replicas, where there was one.
    pub(super) millis: Option<u64>,
}

impl Draft {
    fn reason(&self, form: &str) -> &str {
        if self.form == form { &self.reason } else { "" }
    }
}

pub(super) async fn page(of: OfGroup, Query(just): Query<Just>) -> Response {
    let draft = Draft { millis: just.millis, ..Draft::default() };
    shown(&of, &just.told(orders::in_words), &draft).await
}

/// The page of `group`, after an order or before the first.
pub(super) async fn shown(OfGroup { dashboard, caller, group }: &OfGroup, told: &Told, draft: &Draft) -> Response {
    let question = format!(
        "query($name: String!, $changes: Int!) {{ group(name: $name) {{ {POLICY} figures {FIGURES} {GUARD} {LATELY} \
         comparisons {{ route match excused mismatch inconclusive }} unsettled {{ writes oldestSeconds leftBehind }} \
         readiness {{ answer promotion {{ state said atStep }} gates {{ name state figure limit sentence }} \
         plan {{ reads holdSeconds }} }} changes(limit: $changes) {{ {CHANGE} record }} }} \
         replicas {{ id adminAddress rollout }} rollout {{ version }} \
         proposals {{ id group summary promotion who reason expires }} }}"
    );
    let answer = dashboard.ask::<Answer>(caller, &question, json!({ "name": group, "changes": CHARTED })).await;
    // The rollout that this replica works under is the first to know of a rollback.
    let policy = PolicyShape::from(dashboard.policy_here(group));
    let content = html! {
        (told.notice())
        @if let (Told::Done(_), Ok(answer)) = (told, &answer) { (newest_change(caller, group, answer, draft.millis)) }
        (head(group, &policy, answer.as_ref().ok()))
        @match &answer {
            Ok(answer) => (body(dashboard, caller, group, &policy, answer, draft)),
            Err(problem) => {
                (alert(&problem.message))
                p { "Figures are missing, and nothing can be published. Rolling back works all the same." }
            }
        }
        @if caller.may_act() { (forms::roll_back(caller, group, &policy, draft)) }
        @else { p.soft.note { "You may look. Moving traffic takes the role operator." } }
    };
    layout::shown(told.status(&answer), caller, Part::Groups, group.as_str(), &content)
}

fn head(group: &GroupName, policy: &PolicyShape, answer: Option<&Answer>) -> Markup {
    html! {
        div.head { h1 { (group) } span data-live="stage" #stage { (stage(&policy.stage)) } }
        div data-live="policy" #policy {
            (charts::split(policy.reads))
            dl.facts.in-a-row {
                (fact("Writes", &html! { (policy.primary) " is the authority" }))
                (fact("Shadow", &html! { (percent(policy.shadow)) " of reads" }))
                @if let Some(answer) = answer {
                    (fact("Mismatches", &answer.group.lately.shown()))
                    (fact("Unsettled", &overview::unsettled(answer.group.unsettled.as_ref())))
                    (fact("CDC lag", &overview::lag(&answer.group.readiness.gates)))
                    (fact("Latency", &overview::latency(&answer.group.figures)))
                }
            }
            @if let Some(published) = answer.map(|answer| &answer.group.policy).filter(|published| *published != policy) {
                p.warn {
                    "This replica works under something else than what is published (stage " (published.stage)
                    ", reads " (percent(published.reads)) "): a change is on its way."
                }
            }
        }
    }
}

/// What the newest change was, where it is in force, which gates do not hold, and the way back.
fn newest_change(caller: &Caller, group: &GroupName, answer: &Answer, millis: Option<u64>) -> Markup {
    let Some(last) = answer.group.changes.first() else { return html! {} };
    let under = answer.replicas.iter().filter(|replica| replica.rollout >= last.rollout).count();
    let gates = &answer.group.readiness.gates;
    let closed: Vec<_> = gates.iter().filter(|gate| !gate.state.holds()).map(|gate| gate.name.as_str()).collect();
    let policy = |change: &Change| {
        let policies = &change.record["rollout"]["policies"];
        serde_json::from_value::<Policy>(policies[group.as_str()].clone()).ok()
    };
    let before = answer.group.changes.get(1).and_then(policy);
    let between = before.zip(policy(last));
    let what = between.map_or_else(|| last.summary.clone(), |(before, after)| describe(&before, &after));
    let back = between.filter(|(before, after)| way_back(before, after).is_some());
    html! {
        section.newest aria-label="The newest change" {
            p.answer {
                (words(layout::sentence(&what).trim_end_matches('.'))) ", by " (last.who) " (rollout " (last.rollout) "), "
                @match answer.replicas.len() {
                    // None is no proof that it works.
                    0 => "and no replica is live; those that start begin with it.",
                    all => {
                        "on " (under) " of " (all) " live replicas"
                        @if let Some(millis) = millis.filter(|_| under == all) { " after " (millis) " ms" }
                        "."
                    }
                }
                @if !closed.is_empty() { " " (closed.len()) " of " (gates.len()) " gates do not hold: " (closed.join(", ")) "." }
            }
            @if let (true, Some((before, after))) = (caller.may_act(), back) { (forms::back(caller, group, &before, &after, last.rollout)) }
        }
    }
}

fn body(
    dashboard: &Dashboard,
    caller: &Caller,
    group: &GroupName,
    policy: &PolicyShape,
    answer: &Answer,
    draft: &Draft,
) -> Markup {
    let waiting: Vec<_> = answer.proposals.iter().filter(|proposal| proposal.group == group.as_str()).collect();
    html! {
        @if !waiting.is_empty() { (proposals(caller, group, &waiting, draft)) }
        section aria-labelledby="promotion-title" {
            h2 #promotion-title { "May it be promoted?" }
            p.answer #answer data-live="answer" aria-live="polite" { (words(&answer.group.readiness.answer)) }
            (plan(&answer.group.readiness))
            @if caller.may_act() { (forms::promotion(caller, group, policy, &answer.group.readiness, draft)) }
            div data-live="gates" #gates { (gates(&answer.group.readiness)) }
        }
        @if caller.may_act() {
            section aria-labelledby="move-title" {
                h2 #move-title { "Move traffic" }
                (forms::set(caller, group, policy, draft))
            }
        }
        section aria-labelledby="measured-title" {
            h2 #measured-title { "The last hour" }
            div data-live="measured" #measured { (measured(&answer.group)) }
        }
        section aria-labelledby="compared-title" {
            h2 #compared-title { "Comparisons" }
            div data-live="comparisons" #comparisons { (comparisons(&answer.group)) }
            p { "Rows that no client asks for: " a href={ "/rest#rest-" (group) } { "rows at rest" } "." }
        }
        section aria-labelledby="replicas-title" {
            h2 #replicas-title { "Replicas" }
            div data-live="replicas" #replicas { (replicas(&answer.replicas, answer.rollout.version)) }
        }
        section aria-labelledby="changes-title" {
            h2 #changes-title { "Changes" }
            div data-live="changes" #changes { (changes(dashboard, group, &answer.group.changes)) }
            p { a href={ "/history?group=" (group) } { "Everything that was recorded" } }
        }
    }
}

/// What the guard says, and charts of what it looks at.
fn measured(group: &Group) -> Markup {
    let line = |name, class, value: fn(&Figures) -> Option<f64>| {
        let point = |point: &Figures| Some((seconds(&point.at)?, value(point)?));
        charts::Line { name, class, points: group.figures.iter().filter_map(point).collect() }
    };
    let latency = [
        line("legacy", "legacy", |point| point.legacy.p95_millis),
        line("modern", "modern", |point| point.modern.p95_millis),
    ];
    let wrong = [line("mismatches", "wrong", |point| point.mismatch_ratio.map(|ratio| ratio * 100.0))];
    html! {
        p {
            "Guard: " (overview::guard(group.guard.as_ref()))
            @if let Some(guard) = &group.guard { " " (words(&layout::sentence(&guard.sentence))) }
        }
        (charts::lines("Latency of 95 of 100 reads", "ms", &latency))
        (charts::lines("Comparisons that are confirmed mismatches", "%", &wrong))
    }
}

fn seconds(rfc3339: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(rfc3339).map(|at| at.timestamp()).ok()
}

fn plan(readiness: &Readiness) -> Markup {
    let at = readiness.promotion.as_ref().filter(|promotion| promotion.state == "running");
    html! {
        @if !readiness.plan.is_empty() {
            ol.plan aria-label="The declared plan" { @for (place, step) in readiness.plan.iter().enumerate() {
                @let here = at.is_some_and(|promotion| promotion.at_step == Some(place));
                li aria-current=[here.then_some("step")] {
                    b { (percent(step.reads)) }
                    " for " (spoken(std::time::Duration::from_secs(step.hold_seconds)))
                    @if here { " (now)" }
                }
            } }
        }
    }
}

fn gates(readiness: &Readiness) -> Markup {
    let table = html! {
        table {
            caption { "Gates: all must hold before a step is taken" }
            thead { tr {
                th scope="col" { "Gate" } th scope="col" { "State" } th.roomy scope="col" { "Figure" }
                th.roomy scope="col" { "Limit" } th scope="col" { "In words" }
            } }
            tbody { @for gate in &readiness.gates { tr {
                th scope="row" { (gate.name) }
                td.nowrap { (gate_state(gate)) }
                td.roomy { (gate.figure) }
                td.soft.roomy { (gate.limit) }
                td.words { (words(&layout::sentence(&gate.sentence))) }
            } } }
        }
    };
    wide("Gates", &table)
}

fn proposals(caller: &Caller, group: &GroupName, waiting: &[&Proposal], draft: &Draft) -> Markup {
    html! {
        section.waits aria-labelledby="proposals-title" {
            h2 #proposals-title { "Waits for a second person" }
            @for proposal in waiting {
                p {
                    b { @if proposal.promotion { "Promotion: " } (words(&proposal.summary)) }
                    ", proposed by " (proposal.who)
                    @if let Some(reason) = &proposal.reason { ": “" (reason) "”" }
                    ". Open until " (layout::time(&proposal.expires)) "."
                }
                @if caller.may_act() { (forms::decide(caller, group, proposal, draft)) }
            }
        }
    }
}

fn comparisons(group: &Group) -> Markup {
    let routes = &group.comparisons;
    // What is red is of now: counts go back for weeks.
    let differing = if group.lately.is_now() { "bad" } else { "" };
    let table = html! {
        table {
            caption { "Answers by route, in the 30 days for which counts are kept" }
            thead { tr {
                th scope="col" { "Route" } th.number scope="col" { "Match" } th.number scope="col" { "Mismatch" }
                th.number scope="col" { "Excused" } th.number scope="col" { "Inconclusive" }
                th.number scope="col" { "Mismatch rate" }
            } }
            tbody { @for route in routes { tr {
                th scope="row" { a href={ "/diffs?route=" (route.route) } { (route.route) } }
                td.number { (number(route.matches)) }
                td.number { @if route.mismatch > 0 { b class=(differing) { (number(route.mismatch)) } } @else { "0" } }
                td.number { (number(route.excused)) }
                td.number { (number(route.inconclusive)) }
                td.number {
                    @if route.conclusive() == 0 { span.soft { "not compared" } }
                    @else { (share(route.mismatch, route.conclusive())) }
                }
            } } }
        }
    };
    html! { @if routes.is_empty() { p { "No route of this group can be compared." } } @else { (wide("Comparisons", &table)) } }
}

fn replicas(replicas: &[Replica], newest: u64) -> Markup {
    html! {
        @if replicas.is_empty() { p { "No replica is live." } }
        ul.replicas { @for replica in replicas { li {
            b { (replica.id) } " " span.soft { (replica.admin_address) }
            @if replica.rollout >= newest { span.state.good { span aria-hidden="true" { "✓ " } "under rollout " (replica.rollout) } }
            @else { span.state.warn { span aria-hidden="true" { "… " } "still under rollout " (replica.rollout) " of " (newest) } }
        } } }
    }
}

fn changes(dashboard: &Dashboard, group: &GroupName, changes: &[Change]) -> Markup {
    let point = |change: &Change| {
        let percent = change.record["rollout"]["policies"][group.as_str()]["reads"].as_f64()?;
        Some(charts::Point { at: seconds(&change.at)?, percent })
    };
    let points: Vec<_> = changes.iter().rev().filter_map(point).collect();
    let now = (dashboard.admin.clock)().to_utc().timestamp();
    let label = |at: i64| {
        let at = chrono::DateTime::from_timestamp(at, 0);
        at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M UTC").to_string())
    };
    let table = html! {
        table {
            caption { "The last changes, newest first" }
            thead { tr {
                th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Who, from where" }
                th scope="col" { "Why" } th scope="col" { "Evidence then" }
            } }
            tbody { @for change in changes.iter().take(CHANGES) { tr {
                td.nowrap { (layout::time(&change.at)) }
                td.words { (words(&change.summary)) div.soft { "rollout " (change.rollout) } }
                td {
                    (change.who) div.soft { (change.origin) }
                    @if let Some(second) = &change.approved_by { div.soft { "approved by " (second) } }
                }
                td.words { (change.reason.as_deref().unwrap_or("none given")) }
                td.words { (change.evidence_in_words) }
            } } }
        }
    };
    html! {
        (charts::steps("Keys that modern answers", &points, now, label))
        @if changes.is_empty() { p { "No change was published." } } @else { (wide("Changes", &table)) }
    }
}
