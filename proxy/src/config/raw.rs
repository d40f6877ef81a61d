//! The configuration as it is written, every key optional and nothing checked but its shape.
//!
//! `Serialize` is there to list the known keys: see [`known`].

use serde::{Deserialize, Serialize};

/// Makes a section whose keys are all optional and whose unknown keys are errors.
macro_rules! section {
    ($($name:ident { $($key:ident: $kind:ty,)* })*) => { $(
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name { $(pub(super) $key: $kind,)* }
    )* };
}

section! {
    RawConfig {
        state_dir: Option<String>,
        contract: RawContract,
        sides: RawSides,
        control: RawControl,
        gateway: RawGateway,
        admin: RawAdmin,
        writes: RawWrites,
        reads: RawReads,
        shadow: RawShadow,
        evidence: RawEvidence,
        fleet: RawFleet,
        log: RawLog,
    }
    RawContract { path: Option<String>, }
    RawSides { legacy: RawSide, modern: RawSide, }
    RawSide {
        url: Option<String>,
        url_file: Option<String>,
        read_connections: Option<i64>,
        write_connections: Option<i64>,
        shadow_connections: Option<i64>,
        background_connections: Option<i64>,
        connect_timeout: Option<String>,
    }
    RawControl {
        url: Option<String>,
        url_file: Option<String>,
        connections: Option<i64>,
        connect_timeout: Option<String>,
        timeout: Option<String>,
    }
    RawGateway {
        listen: Option<String>,
        deadline: Option<String>,
        stick_header: Option<String>,
        introspection: Option<bool>,
        development: Option<bool>,
        body_bytes: Option<i64>,
        body_timeout: Option<String>,
        header_timeout: Option<String>,
        drain: Option<String>,
        connections: Option<i64>,
        socket_operations: Option<i64>,
        plan_cache: Option<i64>,
        fan_out: Option<i64>,
        limits: RawLimits,
    }
    RawLimits {
        depth: Option<i64>,
        complexity: Option<i64>,
        assumed_list: Option<i64>,
        aliases: Option<i64>,
        root_fields: Option<i64>,
        tokens: Option<i64>,
        recursion: Option<i64>,
        batch: Option<i64>,
        list: Option<i64>,
        first: Option<i64>,
    }
    RawAdmin { listen: Option<String>, allow_remote: Option<bool>, }
    RawWrites {
        secondary_budget: Option<String>,
        retention: Option<String>,
        relay_interval: Option<String>,
        relay_lease: Option<String>,
        relay_batch: Option<i64>,
    }
    RawReads {
        modern_share: Option<f64>,
        fallback: Option<bool>,
        breaker_failures: Option<i64>,
        breaker_pause: Option<String>,
    }
    RawShadow {
        queue: Option<i64>,
        in_flight_legacy: Option<i64>,
        in_flight_modern: Option<i64>,
        confirm_delays: Option<Texts>,
    }
    RawEvidence {
        hash_key: Option<String>,
        hash_key_file: Option<String>,
        flush: Option<String>,
        retention: Option<String>,
    }
    RawFleet { replica: Option<String>, advertise: Option<String>, replicas: Option<Texts>, }
    RawLog { format: Option<String>, level: Option<String>, }
}

/// A list, or in a variable one text with commas.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Texts {
    List(Vec<String>),
    Joined(String),
}

impl Texts {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::List(texts) => texts,
            Self::Joined(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(str::to_owned).collect()
            }
        }
    }
}

/// Every known key as a tree of objects; a leaf is null.
pub(super) fn known() -> serde_json::Value {
    serde_json::to_value(RawConfig::default()).expect("options and texts are JSON")
}
