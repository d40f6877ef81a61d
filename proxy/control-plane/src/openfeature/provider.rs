//! The provider that OpenFeature's SDK asks: a file in flagd's format, or a server that speaks OFREP.

use std::path::PathBuf;

use open_feature::provider::{FeatureProvider, ProviderMetadata, ResolutionDetails};
use open_feature::{EvaluationContext, EvaluationError, EvaluationErrorCode, EvaluationResult, StructValue};
use serde_json::Value as Json;

use super::ofrep::Server;
use super::{FLAGD, Source, file};

/// Tells flags.
pub(super) struct Provider {
    metadata: ProviderMetadata,
    from: From,
}

enum From {
    File(PathBuf),
    Server(Box<Server>),
}

impl Provider {
    pub(super) fn new(source: &Source) -> Self {
        let from = match source {
            Source::File(path) => From::File(path.clone()),
            Source::Server(base) => From::Server(Box::new(Server::new(base))),
        };
        Self { metadata: ProviderMetadata::new(FLAGD), from }
    }

    async fn value(&self, key: &str) -> Result<Json, EvaluationError> {
        match &self.from {
            From::Server(server) => server.value(key).await,
            From::File(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                    let code = EvaluationErrorCode::General("the file of flags".to_owned());
                    failed(code, format!("cannot be read: {}", net::watched::why(&error)))
                })?;
                file::value(&text, key)
            }
        }
    }

    async fn typed<T>(&self, key: &str, read: impl Fn(&Json) -> Option<T>) -> EvaluationResult<ResolutionDetails<T>> {
        let value = self.value(key).await?;
        let other = || failed(EvaluationErrorCode::TypeMismatch, "has a value of another type");
        read(&value).map(ResolutionDetails::new).ok_or_else(other)
    }
}

/// An error, for people: its message goes on with the name of the flag or of what `code` names.
pub(super) fn failed(code: EvaluationErrorCode, message: impl Into<String>) -> EvaluationError {
    EvaluationError { code, message: Some(message.into()) }
}

#[open_feature::async_trait]
impl FeatureProvider for Provider {
    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    async fn resolve_bool_value(
        &self,
        flag_key: &str,
        _: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<bool>> {
        self.typed(flag_key, Json::as_bool).await
    }

    async fn resolve_int_value(
        &self,
        flag_key: &str,
        _: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<i64>> {
        self.typed(flag_key, Json::as_i64).await
    }

    async fn resolve_float_value(
        &self,
        flag_key: &str,
        _: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<f64>> {
        self.typed(flag_key, Json::as_f64).await
    }

    async fn resolve_string_value(
        &self,
        flag_key: &str,
        _: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<String>> {
        self.typed(flag_key, |value| value.as_str().map(str::to_owned)).await
    }

    async fn resolve_struct_value(
        &self,
        _: &str,
        _: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<StructValue>> {
        Err(failed(EvaluationErrorCode::TypeMismatch, "is asked for as a structure, and none of ours is one"))
    }
}
