//! What all pages have around them, and the small pieces they are made of.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
pub(super) use shadow_compare::words::number;

use super::Problem;
use super::assets::{ICON, SCRIPT, STYLE};
use super::caller::Caller;
use super::shapes::Gate;
use crate::auth::Via;

/// Which part of the dashboard a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Groups,
    Diffs,
    Sagas,
    AtRest,
    Sides,
    BreakEven,
    History,
}

impl Part {
    const ALL: [Self; 7] =
        [Self::Groups, Self::Diffs, Self::AtRest, Self::Sagas, Self::Sides, Self::BreakEven, Self::History];

    fn link(self) -> (&'static str, &'static str) {
        match self {
            Self::Groups => ("/", "Groups"),
            Self::Diffs => ("/diffs", "Differences"),
            Self::Sagas => ("/sagas", "Sagas"),
            Self::AtRest => ("/rest", "Rows at rest"),
            Self::Sides => ("/sides", "Sides"),
            Self::BreakEven => ("/breakeven", "Break-even"),
            Self::History => ("/history", "History"),
        }
    }
}

/// A whole page.
pub(super) fn page(caller: &Caller, part: Part, title: &str, content: &Markup) -> Response {
    shown(StatusCode::OK, caller, part, title, content)
}

/// A page that is only a problem, or one with a problem on it.
pub(super) fn shown(status: StatusCode, caller: &Caller, part: Part, title: &str, content: &Markup) -> Response {
    let navigation = html! {
        nav aria-label="Dashboard" {
            ul { @for one in Part::ALL {
                @let (address, name) = one.link();
                li { a href=(address) aria-current=[(one == part).then_some("true")] { (name) } }
            } }
        }
        (who(caller))
    };
    (status, Html(frame(title, &navigation, content).into_string())).into_response()
}

/// What is shown to somebody nobody knows, or whose request was not made by us.
pub(super) fn refused(problem: &Problem) -> Response {
    let content = html! { h1 { "Not for everybody" } (alert(&problem.message)) p { a href="/login" { "Sign in" } } };
    (problem.status, Html(frame("Not for everybody", &html! {}, &content).into_string())).into_response()
}

/// A page that cannot show what it is for.
pub(super) fn failed(caller: &Caller, part: Part, title: &str, problem: &Problem) -> Response {
    shown(problem.status, caller, part, title, &html! { h1 { (title) } (alert(&problem.message)) })
}

fn frame(title: &str, navigation: &Markup, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · strangler" }
                link rel="icon" href=(ICON.address());
                link rel="stylesheet" href=(STYLE.address());
                script defer src=(SCRIPT.address()) {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.top { div.bar { a.brand href="/" { "strangler" } (navigation) } }
                main #main tabindex="-1" { (content) }
            }
        }
    }
}

fn who(caller: &Caller) -> Markup {
    let identity = &caller.identity;
    html! {
        div.who {
            span { b { (identity.who) } " " span.role { (identity.role) } }
            @match identity.via {
                Via::Session => { form method="post" action="/logout" { (csrf(caller)) button.plain { "Sign out" } } }
                Via::Loopback => { span.soft { "signing in is not configured" } }
                Via::Token | Via::Jwt => {}
            }
        }
    }
}

/// What every form that posts sends along.
pub(super) fn csrf(caller: &Caller) -> Markup {
    html! { input type="hidden" name="csrf" value=(caller.csrf); }
}

/// Something that went wrong, in the words of whoever refused it.
pub(super) fn alert(message: &str) -> Markup {
    html! { div.told.bad role="alert" tabindex="-1" autofocus { p { (words(&sentence(message))) } } }
}

/// Something that was done.
pub(super) fn done(message: &str) -> Markup {
    html! { div.told.good role="status" tabindex="-1" autofocus { p { (words(message)) } } }
}

/// With a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let begun: String = letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    if begun.ends_with(['.', '!', '?']) { begun } else { format!("{begun}.") }
}

/// Text of ours as a page shows it: what stands between backticks is code, and arrows are arrows.
pub(super) fn words(text: &str) -> Markup {
    let text = text.replace("->", "→");
    html! { @for (place, part) in text.split('`').enumerate() {
        @if place % 2 == 1 { code { (part) } } @else { (part) }
    } }
}

/// One fact of several that stand in a row.
pub(super) fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// A moment, as people read it.
pub(super) fn time(rfc3339: &str) -> Markup {
    let date = rfc3339.get(..19).filter(|_| rfc3339.ends_with('Z'));
    let text = date.map_or_else(|| rfc3339.to_owned(), |date| format!("{} UTC", date.replace('T', " ")));
    html! { time datetime=(rfc3339) { (text) } }
}

/// A percentage with the digits that it has.
pub(super) fn percent(value: f64) -> String {
    format!("{value} %")
}

/// A stage.
pub(super) fn stage(name: &str) -> Markup {
    html! { span.stage { "stage " b { (name) } } }
}

/// Whether a gate holds: sign, words, colour.
pub(super) fn gate_state(gate: &Gate) -> Markup {
    let (class, sign, words) = gate.state.in_words();
    html! { span class={ "state " (class) } { span aria-hidden="true" { (sign) " " } (words) } }
}

/// A table that can be moved sideways with the keyboard where it is too wide.
pub(super) fn wide(label: &str, table: &Markup) -> Markup {
    html! { div.wide role="region" aria-label=(label) tabindex="0" { (table) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sentences_are_for_people() {
        assert_eq!(sentence("there is no group `x`"), "There is no group `x`.");
        assert_eq!(percent(12.5), "12.5 %");
        assert_eq!(words("see `a < b`: 1 -> 2").into_string(), "see <code>a &lt; b</code>: 1 → 2");
        assert!(time("2026-01-31T08:00:00Z").into_string().contains("2026-01-31 08:00:00 UTC"));
    }
}
