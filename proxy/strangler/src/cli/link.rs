//! How a command asks the admin API: in this process, on the databases that the configuration names; or over HTTP,
//! with a token, where `--admin` says so. Either way it is the same schema.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Stop;
use admin::auth::{Identity, Role, Via};
use admin::schema::{self, AdminSchema, Origin};
use control_plane::desk::Desk;
use control_plane::rollout::tell::Teller;
use data_plane::state_dir::machine_name;

/// How long a replica may take: a change waits for the others, a minute at most.
const WITHIN: Duration = Duration::from_secs(75);

/// The admin API, as a command sees it.
pub(super) enum Link {
    /// On the databases of the configuration: whoever can reach them may do everything.
    Here {
        /// The schema.
        schema: AdminSchema,
        /// What the schema stands on.
        desk: Box<Desk>,
        /// Who asks; `None`: nobody said.
        who: Option<String>,
    },
    /// Over HTTP: the replica knows who asks by their token.
    There {
        /// Speaks to it.
        teller: Box<Teller>,
        /// Its admin port.
        address: String,
    },
}

impl Link {
    /// In this process.
    pub(super) fn here(desk: Desk, who: Option<String>) -> Self {
        Self::Here { schema: schema::schema(desk.clone()), desk: Box::new(desk), who }
    }

    /// Changes need a name for the record; over HTTP the replica knows it.
    pub(super) fn require_author(&self) -> Result<(), Stop> {
        match self {
            Self::Here { who: None, .. } => Err(Stop::BadUse("say who you are with --who, for the record".to_owned())),
            Self::Here { who: Some(_), .. } | Self::There { .. } => Ok(()),
        }
    }

    /// Keeps the list of replicas for a rollback while the control store is down. Best effort, and only here.
    pub(super) async fn remember_replicas(&self) {
        match self {
            Self::Here { desk, .. } => desk.remember_replicas().await,
            Self::There { .. } => {}
        }
    }

    /// Asks; the answer's `data`.
    pub(super) async fn ask(&self, document: &str, variables: Json) -> Result<Json, Stop> {
        let answer: Json = match self {
            Self::Here { schema, who, .. } => {
                let who = who.clone().unwrap_or_else(|| "unknown".to_owned());
                let identity = Identity { who, role: Role::Admin, via: Via::Loopback };
                schema::ask(schema, identity, Origin(machine_name()), document, variables).await
            }
            Self::There { teller, address } => {
                let body = json!({ "query": document, "variables": variables });
                let sent = teller.send(address, "/api/graphql", &body, WITHIN).await;
                sent.map_err(|why| Stop::No(format!("the admin port at {address} {why}")))?
            }
        };
        match answer["errors"].get(0) {
            Some(error) => Err(stop(error)),
            None => Ok(answer["data"].clone()),
        }
    }
}

/// An error of the API as a command ends with it.
fn stop(error: &Json) -> Stop {
    let message = error["message"].as_str().unwrap_or("the admin API gave no reason").to_owned();
    let is_wrong = error["extensions"]["kind"] == "wrong";
    let code = error["extensions"]["code"].as_str().unwrap_or("NO").to_owned();
    Stop::Coded { code, is_wrong, message }
}
