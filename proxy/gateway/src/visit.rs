//! One client's request on its way through the gateway: what it carries, and what it is called.

use std::borrow::Cow;
use std::sync::Arc;

use model::WriteId;
use uuid::Uuid;

use super::meter::Meter;
use request::roads::RequestContext;

/// Write ids in a version token, at most.
const TOKEN_IDS: usize = 16;

/// What accompanies a request.
#[derive(Debug, Clone)]
pub struct Visit {
    /// What the roads are told.
    pub context: Arc<RequestContext>,
    /// Names the request in answers and logs.
    pub request_id: Arc<str>,
    /// Its place in a batch, from 0. Tells apart the idempotency keys of two equal fields.
    pub(crate) batch_index: Option<usize>,
    /// Counts what it makes us hold.
    pub(crate) meter: Arc<Meter>,
}

impl Visit {
    /// A single request.
    pub fn new(context: Arc<RequestContext>, request_id: Arc<str>) -> Self {
        Self { context, request_id, batch_index: None, meter: Meter::free() }
    }

    /// The same visit, counted by `meter`.
    #[must_use]
    pub(crate) fn counted(self, meter: Arc<Meter>) -> Self {
        Self { meter, ..self }
    }

    /// The same visit for one request of a batch.
    #[must_use]
    pub(crate) fn in_batch(&self, index: usize) -> Self {
        Self { batch_index: Some(index), ..self.clone() }
    }

    /// A response name, unique within all that came with one idempotency key.
    pub(crate) fn scoped<'n>(&self, response_name: &'n str) -> Cow<'n, str> {
        match self.batch_index {
            None => Cow::Borrowed(response_name),
            Some(index) => Cow::Owned(format!("{index}.{response_name}")),
        }
    }
}

/// A fresh request id.
pub(crate) fn fresh_request_id() -> Arc<str> {
    let mut text = Uuid::encode_buffer();
    Arc::from(&*Uuid::now_v7().simple().encode_lower(&mut text))
}

/// Reads a version token: write ids with commas between them. `None`: it is none of ours.
pub(crate) fn parse_token(token: &str) -> Option<Vec<WriteId>> {
    let ids = token.split(',').map(str::trim).filter(|id| !id.is_empty());
    ids.map(|id| Uuid::try_parse(id).ok().map(WriteId)).collect()
}

/// The newest of these writes. Write ids are time-ordered.
pub(crate) fn newest(writes: impl IntoIterator<Item = WriteId>) -> Vec<WriteId> {
    let mut writes: Vec<_> = writes.into_iter().collect();
    writes.sort_unstable_by(|a, b| b.cmp(a));
    writes.dedup();
    writes.truncate(TOKEN_IDS);
    writes
}

/// Writes a version token.
pub(crate) fn write_token(writes: &[WriteId]) -> String {
    let ids: Vec<_> = writes.iter().map(ToString::to_string).collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_token_keeps_the_newest_sixteen_writes() {
        let writes: Vec<_> = (0..40).map(|n| WriteId(Uuid::from_u128(n))).collect();
        let kept = newest(writes.iter().copied().chain(writes.iter().copied()));
        assert_eq!(kept.len(), TOKEN_IDS);
        assert_eq!(kept[0], writes[39]);
        assert_eq!(parse_token(&write_token(&kept)).unwrap(), kept);
    }

    #[test]
    fn a_token_that_is_none_of_ours_is_told_apart_from_an_empty_one() {
        assert_eq!(parse_token(""), Some(Vec::new()));
        assert_eq!(parse_token("abc"), None);
        assert_eq!(parse_token("'; DROP TABLE"), None);
    }
}
