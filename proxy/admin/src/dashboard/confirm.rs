//! What an order would do, on a page of its own, before it is given: what changes, what stands against it, who is
//! answered by whom. Lowering reads and rolling back never lead here.
//!
//! The form of the page carries the names of what it showed and the rollout that it showed it of: what has come since
//! leads here again, and a change that somebody else has made refuses the order.

use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Problem;
use super::layout::{self, Part, alert, csrf, sentence, words};
use super::of_group::OfGroup;

/// Names of objections in one hidden field.
const BETWEEN: char = ',';

/// What is asked of a preview.
pub(super) const PREVIEW: &str = "rollout settings { name from to } stops answered objections { name sentence } \
                                  objectionsInWords notes secondPerson";

/// What an order would do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preview {
    rollout: u64,
    settings: Vec<Setting>,
    stops: Vec<String>,
    answered: Vec<String>,
    objections: Vec<Objection>,
    objections_in_words: String,
    notes: Vec<String>,
    second_person: bool,
}

#[derive(Debug, Deserialize)]
struct Setting {
    name: String,
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
struct Objection {
    name: String,
    sentence: String,
}

/// The names that a form says it goes past.
pub(super) fn names(past: &str) -> Vec<&str> {
    past.split(BETWEEN).map(str::trim).filter(|name| !name.is_empty()).collect()
}

impl Preview {
    /// Asks for one; `question` is the order in the words of the admin API.
    pub(super) async fn ask(of: &OfGroup, arguments: &str, question: &str, given: Json) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Answer {
            preview: One,
        }
        #[derive(Deserialize)]
        struct One {
            one: Preview,
        }
        let document = format!("query({arguments}) {{ preview {{ one: {question} {{ {PREVIEW} }} }} }}");
        Ok(of.dashboard.ask::<Answer>(&of.caller, &document, given).await?.preview.one)
    }

    /// Whether something stands against the order that is not among `past`.
    pub(super) fn is_unheeded(&self, past: &[&str]) -> bool {
        !past.contains(&"all") && self.objections.iter().any(|objection| !past.contains(&objection.name.as_str()))
    }

    /// The page that asks, with a form that gives the order all the same.
    pub(super) fn page(
        &self,
        of: &OfGroup,
        action: &str,
        order: &[(&str, &str)],
        reason: &str,
        again: bool,
    ) -> Response {
        let title = format!("What would change in {}?", of.group);
        let past: Vec<_> = self.objections.iter().map(|objection| objection.name.as_str()).collect();
        let past = past.join(&BETWEEN.to_string());
        let content = html! {
            h1 { (title) }
            p.told.warn.past role="status" { "Nothing has changed yet." }
            @if again { (alert("more stands against it than you were shown")) }
            (self.told())
            form.confirm method="post" action={ "/groups/" (of.group) "/" (action) } aria-label="Confirm" {
                (csrf(&of.caller))
                @for (name, value) in order { input type="hidden" name=(name) value=(value); }
                input type="hidden" name="past" value=(past);
                input type="hidden" name="after" value=(self.rollout);
                div.field {
                    label for="confirm-reason" { "Why?" }
                    input #confirm-reason name="reason" required maxlength="500" autocomplete="off" value=(reason);
                }
                div.choice {
                    button.danger[!self.objections.is_empty()] {
                        @if self.objections.is_empty() { "Publish the change" } @else { "Publish it all the same" }
                    }
                    a href={ "/groups/" (of.group) } { "Leave it as it is" }
                }
            }
        };
        layout::page(&of.caller, Part::Groups, &title, &content)
    }

    fn told(&self) -> Markup {
        html! {
            @if self.settings.is_empty() { p { "Everything is so already." } }
            @else {
                table.changes {
                    caption { "What would change" }
                    thead { tr { th scope="col" { "Setting" } th scope="col" { "Now" } th scope="col" { "Then" } } }
                    tbody { @for setting in &self.settings { tr {
                        th scope="row" { (setting.name) } td { (setting.from) } td { b { (setting.to) } }
                    } } }
                }
            }
            @for sentence in self.stops.iter() { p.warn { (words(sentence)) } }
            @for sentence in self.answered.iter().chain(&self.notes) { p { (words(sentence)) } }
            @if self.second_person { p { "It takes a second person." } }
            @if !self.objections.is_empty() {
                section.waits aria-labelledby="against-title" {
                    h2 #against-title { (sentence(&self.objections_in_words)) }
                    ul { @for objection in &self.objections { li {
                        b { (objection.name) } ": " (words(&objection.sentence))
                    } } }
                }
            }
        }
    }
}

/// Which order is looked at.
#[derive(Deserialize)]
pub(super) struct Which {
    order: String,
}

/// `/groups/NAME/preview?order=rollback`: what an order would do that asks nothing of whoever gives it.
pub(super) async fn look(of: OfGroup, Query(which): Query<Which>) -> Response {
    let question = match which.order.as_str() {
        "rollback" => "rollBack(group: $group)",
        "promote" => "promote(group: $group)",
        _ => {
            let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
            let problem = Problem { status, message: "choose: rollback or promote".to_owned() };
            return layout::failed(&of.caller, Part::Groups, "What would change?", &problem);
        }
    };
    match Preview::ask(&of, "$group: String!", question, json!({ "group": of.group })).await {
        Ok(preview) => {
            let title = format!("What would {} change in {}?", which.order, of.group);
            let content = html! {
                h1 { (title) }
                (preview.told())
                p { a href={ "/groups/" (of.group) } { "Back to group " (of.group) } }
            };
            layout::page(&of.caller, Part::Groups, &title, &content)
        }
        Err(problem) => layout::failed(&of.caller, Part::Groups, "What would change?", &problem),
    }
}
