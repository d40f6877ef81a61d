//! How a command asks: it runs the admin API's schema in this process, on the databases that the configuration
//! names.

use async_graphql::{Request, Variables};
use serde_json::Value as Json;

use super::Stop;
use crate::admin::auth::{Identity, Role, Via};
use crate::admin::schema::{AdminSchema, Origin, schema};
use crate::desk::Desk;
use crate::state_dir::machine_name;

/// The admin API, as a command sees it.
pub(super) struct Link {
    schema: AdminSchema,
    who: String,
}

impl Link {
    /// On the databases of the configuration: whoever can reach them may do everything.
    pub(super) fn here(desk: Desk, who: Option<String>) -> Self {
        Self { schema: schema(desk), who: who.unwrap_or_else(|| "unknown".to_owned()) }
    }

    /// Asks; the answer's `data`.
    pub(super) async fn ask(&self, document: &str, variables: Json) -> Result<Json, Stop> {
        let identity = Identity { who: self.who.clone(), role: Role::Admin, via: Via::Loopback };
        let request = Request::new(document).variables(Variables::from_json(variables));
        let request = request.data(identity).data(Origin(machine_name()));
        let response = self.schema.execute(request).await;
        // Numbers and texts only: what the schema answers is JSON.
        let answer = serde_json::to_value(&response).unwrap_or_default();
        match answer["errors"].get(0) {
            Some(error) => Err(stop(error)),
            None => Ok(answer["data"].clone()),
        }
    }
}

/// An error of the API as a command ends with it.
fn stop(error: &Json) -> Stop {
    let message = error["message"].as_str().unwrap_or("the admin API gave no reason").to_owned();
    match error["extensions"]["kind"].as_str() {
        Some("wrong") => Stop::BadUse(message),
        Some(_) | None => Stop::No(message),
    }
}
