//! Flags in a file of flagd's format. Pure.
//!
//! A group's percentage is no matter of who asks, so a flag has no targeting here: one that has is an error, and
//! not half understood.

use std::collections::BTreeMap;

use open_feature::{EvaluationError, EvaluationErrorCode};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::provider::failed;

#[derive(Deserialize)]
struct Document {
    flags: BTreeMap<String, Json>,
}

/// What we read of a flag; the rest is for others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flag {
    state: String,
    variants: BTreeMap<String, Json>,
    default_variant: String,
    #[serde(default)]
    targeting: Map<String, Json>,
}

/// The value of the flag `key` in the file's `text`.
pub(super) fn value(text: &str, key: &str) -> Result<Json, EvaluationError> {
    // serde may quote what it did not expect: flags are no secrets, and the file is the operator's own.
    let unreadable = |error: serde_json::Error| failed(EvaluationErrorCode::ParseError, error.to_string());
    let document: Document = serde_json::from_str(text).map_err(unreadable)?;
    let Some(flag) = document.flags.get(key) else {
        return Err(failed(EvaluationErrorCode::FlagNotFound, "is not in the file"));
    };
    let mut flag = Flag::deserialize(flag).map_err(unreadable)?;
    if flag.state != "ENABLED" {
        return Err(failed(EvaluationErrorCode::FlagNotFound, "is not enabled"));
    }
    if !flag.targeting.is_empty() {
        let rule = "has targeting, which only a flagd evaluates: give its address as `openfeature.source`";
        return Err(failed(EvaluationErrorCode::InvalidContext, rule));
    }
    let missing = || failed(EvaluationErrorCode::ParseError, "has a defaultVariant that is none of its variants");
    flag.variants.remove(&flag.default_variant).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_default_variant_of_an_enabled_flag_counts_and_nothing_else() {
        let flag = |change: Json| {
            let mut flag = json!({ "state": "ENABLED", "variants": { "on": 25, "off": 0.5 }, "defaultVariant": "on" });
            flag.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!({ "$schema": "https://flagd.dev/schema/v0/flags.json", "flags": { "a": flag } }).to_string()
        };
        let code = |text: &str, key: &str| value(text, key).unwrap_err().code;
        assert_eq!(value(&flag(json!({})), "a"), Ok(json!(25)));
        assert_eq!(value(&flag(json!({ "defaultVariant": "off", "targeting": {} })), "a"), Ok(json!(0.5)));
        assert_eq!(code(&flag(json!({})), "b"), EvaluationErrorCode::FlagNotFound);
        assert_eq!(code(&flag(json!({ "state": "DISABLED" })), "a"), EvaluationErrorCode::FlagNotFound);
        assert_eq!(code(&flag(json!({ "targeting": { "if": [] } })), "a"), EvaluationErrorCode::InvalidContext);
        assert_eq!(code(&flag(json!({ "defaultVariant": "half" })), "a"), EvaluationErrorCode::ParseError);
        assert_eq!(code(&flag(json!({ "variants": 7 })), "a"), EvaluationErrorCode::ParseError);
        assert_eq!(code("{ \"flags\": ", "a"), EvaluationErrorCode::ParseError);
    }
}
