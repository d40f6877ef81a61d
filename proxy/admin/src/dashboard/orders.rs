//! What the forms of a group's page order. Done: back to the page, which says so. Refused: the page again, with the
//! reason and all that was typed.

use axum::Form;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Problem;
use super::confirm::{self, Preview};
use super::group::{Draft, shown};
use super::of_group::OfGroup;
use super::shapes::{POLICY, PolicyShape};
use super::told::Told;

/// How long a page waits for the replicas.
const WAIT_MILLIS: u32 = 2_000;

/// Every form of the page; each sends some of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    reason: String,
    was: String,
    stage: String,
    reads: String,
    shadow: String,
    decision: String,
    to: String,
    rollout: String,
    /// The names of what the form goes past, and the rollout that its page showed.
    past: String,
    after: String,
    /// Whether only a look was asked for.
    look: String,
}

/// What the page says after an order. The code stands in its address, so only these can be said.
pub(super) fn in_words(code: &str) -> Option<&'static str> {
    Some(match code {
        "published" => "Done: every live replica works under it.",
        "late" => "Published. Some replicas do not work under it yet: see below.",
        "already" => "Nothing to do: it was so already.",
        "proposed" => "Proposed: it takes effect when a second person approves it.",
        "approved" => "Approved: it is under way.",
        "promoting" => "The promotion has begun.",
        "stopped" => "The promotion is stopped. Percentages stay where they are.",
        "withdrawn" => "The proposal is withdrawn.",
        "handed-over" => {
            "Done: the authority has changed hands. How long writes waited for which step stands below, with the change."
        }
        "rolled-back" => "Rolled back: legacy answers every read, on every replica that may be running.",
        "rolled-back-here" => {
            "Rolled back on this replica. Not every other has confirmed: look at the replicas below, and tell the rest \
             with `strangler groups rollback`, or on the dashboard of each."
        }
        _ => return None,
    })
}

/// What came of an order: the code for the page, and how long it took to reach the replicas.
#[derive(Debug, Clone, Copy)]
struct Ended {
    code: &'static str,
    millis: Option<u64>,
}

impl From<&'static str> for Ended {
    fn from(code: &'static str) -> Self {
        Self { code, millis: None }
    }
}

type Done = Result<Ended, Problem>;

/// An order that is given, or has to be looked at first.
enum Step {
    Ended(Ended),
    /// The page that asks.
    Look(Response),
}

impl From<Ended> for Step {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// Leads to the group's page after an order, or shows it with what went wrong.
async fn answered(of: &OfGroup, done: Done, draft: &Draft) -> Response {
    match done {
        Ok(Ended { code, millis }) => {
            let millis = millis.map(|millis| format!("&millis={millis}")).unwrap_or_default();
            Redirect::to(&format!("/groups/{}?done={code}{millis}", of.group)).into_response()
        }
        Err(problem) => shown(of, &Told::Problem(problem), draft).await,
    }
}

fn wrong(message: impl Into<String>) -> Problem {
    Problem { status: StatusCode::UNPROCESSABLE_ENTITY, message: message.into() }
}

pub(super) async fn set(of: OfGroup, Form(wish): Form<Wish>) -> Response {
    let done = match change(&of, &wish).await {
        Ok(Step::Look(page)) => return page,
        Ok(Step::Ended(ended)) => Ok(ended),
        Err(problem) => Err(problem),
    };
    let Wish { reason, stage, reads, shadow, .. } = wish;
    let draft = Draft { form: "set", stage, reads, shadow, reason, ..Draft::default() };
    answered(&of, done, &draft).await
}

/// The page that asks, where something stands against an order that whoever gives it has not been shown. Whoever may not
/// act is refused by the order itself.
async fn asks(of: &OfGroup, wish: &Wish, preview: &Preview, action: &str, order: &[(&str, &str)]) -> Option<Response> {
    let past = confirm::names(&wish.past);
    let looks = wish.look == "yes";
    (looks || preview.is_unheeded(&past))
        .then(|| preview.page(of, action, order, &wish.reason, !past.is_empty() && !looks))
}

/// The number of a rollout, where one is given. What is no number must not come to mean that none was: an order would
/// lose what it is bound to.
fn numbered(text: &str) -> Result<Option<u64>, Problem> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong(format!("`{text}` is no rollout; give its number"))),
    }
}

fn reasoned(wish: &Wish) -> Result<(), Problem> {
    if wish.reason.trim().is_empty() { Err(wrong("the reason is empty: say why, for the record")) } else { Ok(()) }
}

async fn change(of: &OfGroup, wish: &Wish) -> Result<Step, Problem> {
    #[derive(Deserialize)]
    struct Now {
        group: Policy,
    }
    #[derive(Deserialize)]
    struct Policy {
        policy: PolicyShape,
    }
    let (reads, shadow) = (percent("reads", &wish.reads)?, percent("shadow", &wish.shadow)?);
    let question = format!("query($name: String!) {{ group(name: $name) {{ {POLICY} }} }}");
    let now = of.dashboard.ask::<Now>(&of.caller, &question, json!({ "name": of.group })).await?.group.policy;
    if wish.was != format!("{}/{}/{}", now.stage, now.reads, now.shadow) {
        let message = format!(
            "somebody has changed the group meanwhile: it is in stage {}, reads {} %, shadow {} % now. Look, and send \
             again what you still want",
            now.stage, now.reads, now.shadow
        );
        return Err(Problem { status: StatusCode::CONFLICT, message });
    }
    // Only what differs: a stage brings its own percentages along.
    let differs = |wanted: f64, now: f64| ((wanted - now).abs() > 1e-9).then_some(wanted);
    let stage = (wish.stage != now.stage).then_some(&wish.stage);
    let (reads, shadow) = (differs(reads, now.reads), differs(shadow, now.shadow));
    if stage.is_none() && reads.is_none() && shadow.is_none() {
        return Err(wrong("nothing is different from what holds now"));
    }
    let looks = wish.look == "yes";
    if !looks {
        reasoned(wish)?;
    }
    let given = json!({ "group": of.group, "stage": stage, "reads": reads, "shadow": shadow });
    if of.caller.may_act() {
        let arguments = "$group: String!, $stage: String, $reads: Float, $shadow: Float";
        let question = "set(group: $group, stage: $stage, reads: $reads, shadow: $shadow)";
        let preview = Preview::ask(of, arguments, question, given.clone()).await?;
        let order = [("was", &*wish.was), ("stage", &wish.stage), ("reads", &wish.reads), ("shadow", &wish.shadow)];
        if let Some(page) = asks(of, wish, &preview, "set", &order).await {
            return Ok(Step::Look(page));
        }
    }
    let order = "mutation($group: String!, $stage: String, $reads: Float, $shadow: Float, $reason: String!, \
                 $wait: Int!, $past: [String!]!, $after: Int) { done: setPolicy(group: $group, stage: $stage, \
                 reads: $reads, shadow: $shadow, reason: $reason, waitMillis: $wait, pastGates: $past, after: $after) \
                 { ended millis laggards { id } } }";
    Ok(ended(of, order, with(given, wish)?).await?.into())
}

/// What every order that changes the policy gives besides.
fn with(mut given: Json, wish: &Wish) -> Result<Json, Problem> {
    given["reason"] = json!(wish.reason);
    given["wait"] = json!(WAIT_MILLIS);
    given["past"] = json!(confirm::names(&wish.past));
    given["after"] = json!(numbered(&wish.after)?);
    Ok(given)
}

pub(super) async fn undo(of: OfGroup, Form(wish): Form<Wish>) -> Response {
    let done = match undo_now(&of, &wish).await {
        Ok(Step::Look(page)) => return page,
        Ok(Step::Ended(ended)) => Ok(ended),
        Err(problem) => Err(problem),
    };
    answered(&of, done, &Draft::default()).await
}

async fn undo_now(of: &OfGroup, wish: &Wish) -> Result<Step, Problem> {
    let rollout = numbered(&wish.rollout)?;
    reasoned(wish)?;
    let given = json!({ "group": of.group, "rollout": rollout });
    if of.caller.may_act() {
        let question = "undo(group: $group, rollout: $rollout)";
        let preview = Preview::ask(of, "$group: String!, $rollout: Int", question, given.clone()).await?;
        if let Some(page) = asks(of, wish, &preview, "undo", &[("rollout", &wish.rollout)]).await {
            return Ok(Step::Look(page));
        }
    }
    let order = "mutation($group: String!, $rollout: Int, $reason: String!, $wait: Int!, $past: [String!]!) { \
                 done: undo(group: $group, rollout: $rollout, reason: $reason, waitMillis: $wait, pastGates: $past) \
                 { ended millis laggards { id } } }";
    Ok(ended(of, order, with(given, wish)?).await?.into())
}

fn percent(what: &str, text: &str) -> Result<f64, Problem> {
    text.trim().parse().map_err(|_| wrong(format!("{what}: `{text}` is no percentage; write it as 12.5")))
}

/// Sends an order that answers with how it ended.
async fn ended(of: &OfGroup, order: &str, given: Json) -> Done {
    let answer: Json = of.dashboard.ask(&of.caller, order, given).await?;
    let done = &answer["done"];
    let late = done["laggards"].as_array().is_some_and(|laggards| !laggards.is_empty());
    Ok(match done["ended"].as_str() {
        Some("PROPOSED") => "proposed".into(),
        Some("ALREADY_SO") => "already".into(),
        _ if late => "late".into(),
        _ => Ended { code: "published", millis: done["millis"].as_u64() },
    })
}

pub(super) async fn promote(of: OfGroup, Form(wish): Form<Wish>) -> Response {
    let order = "mutation($group: String!, $reason: String!) { done: promote(group: $group, reason: $reason) \
                 { proposal { id } } }";
    walk(&of, wish, "promote", order).await
}

pub(super) async fn stop(of: OfGroup, Form(wish): Form<Wish>) -> Response {
    let order = "mutation($group: String!, $reason: String!) { done: stopPromotion(group: $group, reason: $reason) \
                 { proposal { id } } }";
    walk(&of, wish, "stop", order).await
}

/// Begins or ends a promotion.
async fn walk(of: &OfGroup, wish: Wish, form: &'static str, order: &str) -> Response {
    let given = json!({ "group": of.group, "reason": wish.reason });
    let done = of.dashboard.ask::<Json>(&of.caller, order, given).await.map(|answer| match form {
        "stop" => "stopped".into(),
        _ if answer["done"]["proposal"].is_null() => "promoting".into(),
        _ => "proposed".into(),
    });
    let draft = Draft { form, reason: wish.reason, ..Draft::default() };
    answered(of, done, &draft).await
}

pub(super) async fn decide(of: OfGroup, Path((_, id)): Path<(String, String)>, Form(wish): Form<Wish>) -> Response {
    let done = match wish.decision.as_str() {
        "approve" => match approve(&of, &id, &wish).await {
            Ok(Step::Look(page)) => return page,
            Ok(Step::Ended(ended)) => Ok(ended),
            Err(problem) => Err(problem),
        },
        "withdraw" => {
            let order = "mutation($id: String!, $reason: String!) { done: withdraw(id: $id, reason: $reason) { id } }";
            let given = json!({ "id": id.as_str(), "reason": wish.reason });
            of.dashboard.ask::<Json>(&of.caller, order, given).await.map(|_| "withdrawn".into())
        }
        _ => Err(wrong("choose: approve or withdraw")),
    };
    let draft = Draft { form: "decide", about: id, reason: wish.reason, ..Draft::default() };
    answered(&of, done, &draft).await
}

async fn approve(of: &OfGroup, id: &str, wish: &Wish) -> Result<Step, Problem> {
    reasoned(wish)?;
    let given = json!({ "id": id });
    if of.caller.may_approve() {
        let preview = Preview::ask(of, "$id: String!", "approve(id: $id)", given.clone()).await?;
        let action = format!("proposals/{id}");
        if let Some(page) = asks(of, wish, &preview, &action, &[("decision", "approve")]).await {
            return Ok(Step::Look(page));
        }
    }
    let order = "mutation($id: String!, $reason: String!, $wait: Int!, $past: [String!]!, $after: Int) { done: approve( \
                 id: $id, reason: $reason, waitMillis: $wait, pastGates: $past, after: $after) \
                 { ended millis laggards { id } } }";
    let done = ended(of, order, with(given, wish)?).await?;
    // A promotion begins without a change.
    Ok(if done.code == "already" { Ended::from("approved") } else { done }.into())
}

/// Refused: the page that tells what would be lost again, with the reason, since what it showed may be so no longer.
pub(super) async fn hand_over(of: OfGroup, Form(wish): Form<Wish>) -> Response {
    match hand_over_now(&of, &wish).await {
        Ok(done) => answered(&of, Ok(done), &Draft::default()).await,
        Err(problem) => super::handover::refused(&of, &wish.to, &problem, &wish.reason).await,
    }
}

/// The admin API's word for a side.
pub(super) fn primary(side: &str) -> Result<&'static str, Problem> {
    match side {
        "legacy" => Ok("LEGACY"),
        "modern" => Ok("MODERN"),
        _ => Err(wrong("choose: legacy or modern")),
    }
}

/// Never by force: what would be left behind is for somebody who reads the list on the command line.
async fn hand_over_now(of: &OfGroup, wish: &Wish) -> Done {
    let order = "mutation($group: String!, $to: Primary!, $reason: String!, $after: Int) { done: handOver( \
                 group: $group, to: $to, reason: $reason, after: $after) { proposal { id } } }";
    let (to, after) = (primary(&wish.to)?, numbered(&wish.after)?);
    let given = json!({ "group": of.group, "to": to, "reason": wish.reason, "after": after });
    let answer: Json = of.dashboard.ask(&of.caller, order, given).await?;
    Ok(if answer["done"]["proposal"].is_null() { "handed-over" } else { "proposed" }.into())
}

pub(super) async fn roll_back(of: OfGroup, Form(wish): Form<Wish>) -> Response {
    let done = roll_back_now(&of, &wish.reason).await;
    let draft = Draft { form: "rollback", reason: wish.reason, ..Draft::default() };
    answered(&of, done, &draft).await
}

/// Tells every replica and the control store at once; this one has it before the answer.
async fn roll_back_now(of: &OfGroup, reason: &str) -> Done {
    let order = "mutation($group: String!, $reason: String, $wait: Int!) { done: rollBack(group: $group, reason: \
                 $reason, waitMillis: $wait) { done } }";
    let given = json!({ "group": of.group, "reason": reason, "wait": WAIT_MILLIS });
    let answer: Json = of.dashboard.ask(&of.caller, order, given).await?;
    Ok(if answer["done"]["done"] == true { "rolled-back" } else { "rolled-back-here" }.into())
}
