//! Known differences that do not count until a day: proposed rules, accepting one, and taking it back.
//!
//! Done: back to the differences it is about, which say so. Refused: the same page with the reason and all that was
//! typed. Not here: what an excuse covers, and which rule fits (`shadow_compare`).

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::caller::Caller;
use super::diffs::{self, Filter, filled};
use super::layout::{csrf, sentence, wide, words};
use super::told::Told;
use super::{Dashboard, Problem};

/// A change of the contract that would end a kind of difference, as reports propose it.
#[derive(Deserialize)]
pub(super) struct Proposal {
    answer: String,
    rule: Option<String>,
    contract: String,
    place: String,
}

/// An excuse that was accepted here.
#[derive(Deserialize)]
pub(super) struct Excuse {
    id: String,
    what: String,
    route: String,
    owner: String,
    until: String,
    state: String,
    who: String,
    reason: Option<String>,
}

/// What the page asks of each.
pub(super) const EXCUSES: &str = "excuses { id what route owner until state who reason }";

/// What was typed, and on which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    #[serde(deserialize_with = "filled")]
    route: Option<String>,
    #[serde(deserialize_with = "filled")]
    field: Option<String>,
    #[serde(deserialize_with = "filled")]
    cause: Option<String>,
    #[serde(deserialize_with = "filled")]
    since: Option<String>,
    #[serde(deserialize_with = "filled")]
    rule: Option<String>,
    owner: String,
    until: String,
    reason: String,
    /// Which form: the text of the contract that was proposed, or the id of an excuse.
    about: String,
}

impl Wish {
    fn filter(&self) -> Filter {
        let Self { route, field, cause, since, .. } = self;
        Filter { route: route.clone(), field: field.clone(), cause: cause.clone(), since: since.clone() }
    }
}

/// What the page says after an order.
pub(super) fn in_words(code: &str) -> Option<&'static str> {
    Some(match code {
        "excused" => "Accepted: until its last day, what is found of it from now on is counted as excused.",
        "unexcused" => "Taken back: it counts again.",
        _ => return None,
    })
}

pub(super) async fn accept(State(dashboard): State<Dashboard>, caller: Caller, Form(wish): Form<Wish>) -> Response {
    let order = "mutation($excuse: ExcuseInput!, $reason: String!) { excuse(excuse: $excuse, reason: $reason) }";
    let given = json!({ "reason": wish.reason, "excuse": {
        "route": wish.route.as_deref().unwrap_or_default(), "field": wish.field,
        "cause": wish.cause.as_deref().unwrap_or_default(),
        "rule": wish.rule, "owner": wish.owner, "until": wish.until.trim(),
    } });
    let done = dashboard.ask::<Json>(&caller, order, given).await.map(|_| "excused");
    answered(&dashboard, &caller, done, &wish).await
}

pub(super) async fn take_back(
    State(dashboard): State<Dashboard>,
    caller: Caller,
    Path(id): Path<String>,
    Form(wish): Form<Wish>,
) -> Response {
    let order = "mutation($id: String!, $reason: String!) { unexcuse(id: $id, reason: $reason) }";
    let given = json!({ "id": id, "reason": wish.reason });
    let done = dashboard.ask::<Json>(&caller, order, given).await.map(|_| "unexcused");
    let wish = Wish { about: id, ..wish };
    answered(&dashboard, &caller, done, &wish).await
}

async fn answered(
    dashboard: &Dashboard,
    caller: &Caller,
    done: Result<&'static str, Problem>,
    wish: &Wish,
) -> Response {
    let filter = wish.filter();
    match done {
        Ok(code) => Redirect::to(&filter.address_after(code)).into_response(),
        Err(problem) => diffs::shown(dashboard, caller, &filter, &Told::Problem(problem), wish).await,
    }
}

/// Where the forms of a kind of difference stand.
pub(super) struct Kind<'a> {
    pub(super) caller: &'a Caller,
    /// Route, field and cause of the kind; and the page's own `since`.
    pub(super) kind: Filter,
    /// Makes the fields of its forms differ from those of another kind.
    pub(super) place: usize,
    pub(super) draft: &'a Wish,
}

impl Kind<'_> {
    /// What is proposed, with a form each for those who may accept it.
    pub(super) fn proposals(&self, proposals: &[Proposal]) -> Markup {
        html! {
            @if !proposals.is_empty() {
                h3 {
                    (self.kind.field.as_deref().unwrap_or("(record)")) ", "
                    (self.kind.cause.as_deref().unwrap_or_default()) ": what would end it"
                }
                @for (number, proposal) in proposals.iter().enumerate() {
                    p.answer { (words(&sentence(&proposal.answer))) }
                    p { "In the contract: " code { (proposal.contract) } " at " (words(&proposal.place)) "." }
                    @if self.caller.may_act() { (self.form(proposal, &format!("{}-{number}", self.place))) }
                }
                @if !self.caller.may_act() { p.soft { "Accepting it until a day takes the role operator." } }
            }
        }
    }

    fn form(&self, proposal: &Proposal, place: &str) -> Markup {
        let draft = Some(self.draft).filter(|draft| draft.about == proposal.contract && draft.field == self.kind.field);
        let typed = |of: fn(&Wish) -> &str| draft.map(of).unwrap_or_default();
        let wide = draft.is_some_and(|draft| draft.rule.is_none());
        let (rule, owner, until, reason) =
            (format!("rule-{place}"), format!("owner-{place}"), format!("until-{place}"), format!("reason-{place}"));
        html! {
            form.set method="post" action="/excuses" aria-label="Accept it until a day" {
                (csrf(self.caller))
                (hidden(&self.kind))
                input type="hidden" name="about" value=(proposal.contract);
                div.field {
                    label for=(rule) { "What is excused" }
                    select id=(rule) name="rule" {
                        @if let Some(rule) = &proposal.rule { option value=(rule) { "only what " (rule) " explains" } }
                        option value="" selected[wide] { "every difference of this kind" }
                    }
                }
                div.field {
                    label for=(owner) { "Owner: who answers for it?" }
                    input id=(owner) name="owner" required maxlength="200" value=(typed(|draft| &draft.owner));
                }
                div.field {
                    label for=(until) { "Last day, in UTC" }
                    input id=(until) name="until" type="date" required value=(typed(|draft| &draft.until));
                }
                div.field {
                    label for=(reason) { "Why may the sides differ?" }
                    input id=(reason) name="reason" required maxlength="500" autocomplete="off"
                        value=(typed(|draft| &draft.reason));
                }
                button.primary { "Accept until that day" }
            }
        }
    }
}

/// Which page a form leads back to.
fn hidden(filter: &Filter) -> Markup {
    html! { @for (name, value) in filter.parts() { input type="hidden" name=(name) value=(value); } }
}

/// Every excuse that was ever accepted, of the filter's route if it has one.
pub(super) fn list(caller: &Caller, filter: &Filter, excuses: &[Excuse], draft: &Wish) -> Markup {
    let here = |excuse: &&Excuse| filter.route.as_ref().is_none_or(|route| *route == excuse.route);
    let excuses: Vec<&Excuse> = excuses.iter().filter(here).collect();
    let acts = caller.may_act() && excuses.iter().any(|excuse| excuse.is_in_force());
    let table = html! {
        table {
            caption { "Accepted without a deploy; those of the contract stand in the contract" }
            thead { tr {
                th scope="col" { "What" } th scope="col" { "State" } th scope="col" { "Owner" }
                th scope="col" { "Last day" } th scope="col" { "Accepted by, why" }
                @if acts { th scope="col" { "Take back" } }
            } }
            tbody { @for excuse in &excuses { tr {
                th scope="row" { (excuse.what) }
                td { (excuse.state()) }
                td { (excuse.owner) }
                td.nowrap { (excuse.until) }
                td.words { (excuse.who) ": " (excuse.reason.as_deref().unwrap_or("none given")) }
                @if acts { td { @if excuse.is_in_force() { (back(caller, filter, excuse, draft)) } } }
            } } }
        }
    };
    html! {
        @if !excuses.is_empty() {
            section aria-labelledby="excuses" {
                h2 #excuses { "Excuses" }
                (wide("Excuses", &table))
            }
        }
    }
}

impl Excuse {
    fn is_in_force(&self) -> bool {
        self.state == "in force"
    }

    fn state(&self) -> Markup {
        html! { @match self.state.as_str() {
            "in force" => span.state.warn { "in force" },
            over => { span.state.soft { (over) } " " span.soft { "counts again" } }
        } }
    }
}

fn back(caller: &Caller, filter: &Filter, excuse: &Excuse, draft: &Wish) -> Markup {
    let field = format!("back-{}", excuse.id);
    let reason = if draft.about == excuse.id { draft.reason.as_str() } else { "" };
    html! {
        form.inline method="post" action={ "/excuses/" (excuse.id) } {
            (csrf(caller))
            (hidden(filter))
            div.field {
                label for=(field) { "Why?" }
                input id=(field) name="reason" required maxlength="500" autocomplete="off" value=(reason);
            }
            button { "Take back" }
        }
    }
}
