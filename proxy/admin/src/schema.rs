//! The admin API: one typed GraphQL schema over the desk. Command line and dashboard use it too, so all three can
//! do the same things.
//!
//! Every field that looks asks for a viewer, every field that acts for an operator or more: a test goes through the
//! schema and finds those that do not. Errors carry a stable code in `extensions.code`.
//!
//! Not here: who comes (`auth`), what an order means (`desk`).

mod at_rest;
mod breakeven;
mod differences;
mod figures;
mod handover;
mod mutation;
mod plans;
mod preview;
mod query;
mod reports;
mod sagas;
mod sides;
mod subscription;
mod types;

use super::auth::{Identity, Role};
use async_graphql::{Context, ErrorExtensions, Request, Schema, Variables};
use control_plane::desk::{Desk, DeskError};
use serde_json::Value as Json;

pub use mutation::Mutation;
pub use query::Query;
pub use subscription::Subscription;

/// The schema, with everything that its fields need.
pub type AdminSchema = Schema<Query, Mutation, Subscription>;

/// Where a request comes from, for the record: a machine, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(pub String);

/// Deepest question: everything there is to ask fits.
const DEPTH: usize = 12;
/// Most fields in one question.
const COMPLEXITY: usize = 2_000;

/// Puts the schema together.
pub fn schema(desk: Desk) -> AdminSchema {
    Schema::build(Query, Mutation, Subscription).limit_depth(DEPTH).limit_complexity(COMPLEXITY).data(desk).finish()
}

/// The schema's text, as `strangler schema --admin` prints it.
pub fn sdl() -> String {
    Schema::build(Query, Mutation, Subscription).finish().sdl()
}

/// Asks `schema` in this process, as `identity` from `origin`: the answer as clients get it, as JSON.
pub async fn ask(schema: &AdminSchema, identity: Identity, origin: Origin, document: &str, variables: Json) -> Json {
    let request = Request::new(document).variables(Variables::from_json(variables));
    let response = schema.execute(request.data(identity).data(origin)).await;
    // Texts, numbers and lists: what the schema answers is JSON.
    serde_json::to_value(&response).unwrap_or_default()
}

fn desk<'a>(context: &'a Context<'_>) -> async_graphql::Result<&'a Desk> {
    context.data::<Desk>()
}

/// Refuses those who may do less than `role`.
fn at_least(role: Role) -> impl async_graphql::Guard {
    move |context: &Context<'_>| {
        let identity = context.data_opt::<Identity>();
        if identity.is_some_and(|identity| identity.role >= role) {
            return Ok(());
        }
        let message = format!("this takes the role {role}: ask somebody who has it, or for it");
        Err(async_graphql::Error::new(message).extend_with(|_, extensions| extensions.set("code", "FORBIDDEN")))
    }
}

/// An error as clients see it.
fn shown(error: DeskError) -> async_graphql::Error {
    let code = error.code();
    let kind = match &error {
        DeskError::Wrong { .. } => "wrong",
        DeskError::No { .. } => "no",
    };
    async_graphql::Error::new(error.to_string()).extend_with(|_, extensions| {
        extensions.set("code", code);
        extensions.set("kind", kind);
    })
}

#[cfg(test)]
pub(crate) mod tests;
