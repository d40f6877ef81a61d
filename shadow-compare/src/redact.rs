//! From a judgement to evidence that may be stored: sensitive values become keyed hashes.
//!
//! Equal values have equal hashes, on both sides and in keys, so people can still see *whether* two
//! answers agree and find all evidence of one customer whose value they know. Without the secret a
//! hash tells nothing, not even of values that are easily guessed. Null stays null: it holds no
//! value, and its presence is often the whole finding.
//!
//! Promise: no value of a field marked `sensitive` is in an [`Observation`], wherever it stood:
//! field, record, key, order of a list, parameters of a list.

use std::fmt;

use model::evidence::{self, Observation};
use model::{EntityKey, EntityType, FieldIndex, PerSide, Record, RouteName, Side, Value};
use serde_json::Value as Json;

use crate::canon::canonical;
use crate::explain::explanations;
use crate::judge::{Difference, Judgement, Seen, Subject};

/// Hides sensitive values. One secret per fleet, or the hashes of two replicas do not meet.
#[derive(Clone)]
pub struct Redactor {
    key: [u8; 32],
}

impl Redactor {
    /// Makes one from a secret of any length. A new secret makes old and new hashes incomparable.
    pub fn new(secret: &[u8]) -> Self {
        Self { key: blake3::derive_key("strangler evidence: sensitive values, v1", secret) }
    }

    /// The evidence of `judgement`, which compared records of `entity` for `route`.
    pub fn observe(&self, route: RouteName, entity: &EntityType, judgement: &Judgement) -> Observation {
        let name = |index: FieldIndex| entity.field(index).name.clone();
        Observation {
            route,
            verdict: judgement.verdict,
            reason: judgement.reason.map(|reason| reason.as_str().to_owned()),
            differences: self.differences(entity, judgement),
            fields: judgement.fields.iter().map(name).collect(),
            keys: judgement.keys.iter().map(|key| self.key_text(entity, key)).collect(),
        }
    }

    /// The differences of `judgement`, which compared records of `entity`.
    pub fn differences(&self, entity: &EntityType, judgement: &Judgement) -> Vec<evidence::Difference> {
        judgement.differences.iter().map(|difference| self.difference(entity, difference)).collect()
    }

    /// The key as JSON text.
    pub fn key_text(&self, entity: &EntityType, key: &EntityKey) -> String {
        self.key(entity, key).to_string()
    }

    /// `hash:` and 32 hexadecimal digits; null for null.
    pub fn hash(&self, value: &Value) -> Json {
        if value.is_null() {
            return Json::Null;
        }
        let hash = blake3::keyed_hash(&self.key, value.to_json().to_string().as_bytes());
        let hex = hash.to_hex();
        format!("hash:{}", &hex[..32]).into()
    }

    fn difference(&self, entity: &EntityType, difference: &Difference) -> evidence::Difference {
        let (values, records) = match &difference.seen {
            Seen::Records(pair) => {
                let record = |side| pair.get(side).as_ref().map_or(Json::Null, |r| self.record(entity, r));
                let records = per_side(record);
                let values = match difference.subject.field() {
                    None => records.clone(),
                    Some(field) => {
                        per_side(|side| difference.value(side).map_or(Json::Null, |v| self.value(entity, field, v)))
                    }
                };
                (values, records)
            }
            Seen::Keys(keys) => {
                let list = |side| keys.get(side).iter().map(|key| self.key(entity, key)).collect();
                (per_side(list), PerSide::default())
            }
        };
        let key = match &difference.subject {
            Subject::Field { key, .. } | Subject::Row { key } => self.key(entity, key).to_string(),
            Subject::Order { params } => self.params(entity, params),
        };
        let explained = match (difference.subject.field(), difference.values()) {
            (Some(field), Some((legacy, modern))) => {
                let compare = &entity.field(field).compare;
                explanations(&canonical(legacy, compare), &canonical(modern, compare))
            }
            (Some(_) | None, _) => Vec::new(),
        };
        evidence::Difference {
            explained,
            field: difference.subject.field().map(|field| entity.field(field).name.clone()),
            cause: difference.cause,
            key,
            values,
            records,
            excused: difference.excused,
        }
    }

    fn value(&self, entity: &EntityType, field: FieldIndex, value: &Value) -> Json {
        if entity.field(field).sensitive { self.hash(value) } else { value.to_json() }
    }

    /// A record as a JSON object, its sensitive values hashed.
    pub fn record(&self, entity: &EntityType, record: &Record) -> Json {
        let fields = record.iter();
        let pair = |(index, value)| (entity.field(index).name.to_string(), self.value(entity, index, value));
        let unread = record.unreadable();
        let unread = unread.iter().map(|index| (entity.field(index).name.to_string(), Json::from("(unreadable)")));
        Json::Object(fields.map(pair).chain(unread).collect())
    }

    fn key(&self, entity: &EntityType, key: &EntityKey) -> Json {
        let parts = entity.key().iter().zip(key.parts());
        parts.map(|(field, part)| self.value(entity, *field, part)).collect()
    }

    /// A parameter may hold what a sensitive field holds (`email: "…"`), and does not say so. Where
    /// the type has such a field, the parameters are hashed as a whole.
    fn params(&self, entity: &EntityType, params: &str) -> String {
        if entity.fields.iter().any(|field| field.sensitive) {
            let hash = self.hash(&params.into());
            return hash.as_str().unwrap_or_default().to_owned();
        }
        params.to_owned()
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

fn per_side(of: impl Fn(Side) -> Json) -> PerSide<Json> {
    PerSide { legacy: of(Side::Legacy), modern: of(Side::Modern) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::contract::{Compare, Field};
    use model::history::{KeyHistory, PastState};
    use model::{Epoch, Incarnation, Instant, Kind, Position, Version, WriteId};
    use proptest::prelude::*;

    use super::*;
    use crate::judge::samples::{entity, excuses, field, record, today};
    use crate::judge::{Answer, Asked, Question, judge};
    use crate::report::SideHistory;

    /// `Customer`: email (key, sensitive), name (sensitive), city.
    fn customer() -> Arc<EntityType> {
        let secret = |name| Field { sensitive: true, ..field(name, Kind::Text, Compare::default()) };
        let fields = vec![secret("email"), secret("name"), field("city", Kind::Text, Compare::default())];
        entity("Customer", fields, &["email"])
    }

    fn person(email: &str, name: &str, city: &str) -> Record {
        let pairs = [("email", email.into()), ("name", name.into()), ("city", city.into())];
        record(&customer(), &pairs)
    }

    fn observe(asked: Asked, legacy: Vec<Option<Record>>, modern: Vec<Option<Record>>) -> Observation {
        let entity = customer();
        let question = Question { fields: entity.all_fields(), entity: entity.clone(), asked };
        let answers = PerSide { legacy: Answer(legacy), modern: Answer(modern) };
        let judgement = judge(&question, &answers, &excuses(today()));
        Redactor::new(b"secret").observe("Query.customer".into(), &entity, &judgement)
    }

    fn keyed(email: &str) -> Asked {
        Asked::Keys(vec![EntityKey::new("Customer".into(), vec![email.into()])])
    }

    #[test]
    fn equal_values_have_equal_hashes_under_one_secret_only() {
        let (one, other) = (Redactor::new(b"one"), Redactor::new(b"other"));
        assert_eq!(one.hash(&"ann".into()), one.hash(&"ann".into()));
        assert_ne!(one.hash(&"ann".into()), one.hash(&"Ann".into()));
        assert_ne!(one.hash(&"ann".into()), other.hash(&"ann".into()));
        assert_eq!(one.hash(&Value::Null), Json::Null);
        assert_eq!(format!("{one:?}"), "Redactor");
    }

    #[test]
    fn a_key_has_the_same_hash_in_keys_records_and_differences() {
        let legacy = vec![Some(person("ann@x.org", "Ann", "Bern"))];
        let modern = vec![Some(person("ann@x.org", "Ann", "Basel"))];
        let observation = observe(keyed("ann@x.org"), legacy, modern);
        let hash = Redactor::new(b"secret").hash(&"ann@x.org".into());
        let difference = &observation.differences[0];
        assert_eq!(observation.keys, [Json::from(vec![hash.clone()]).to_string()]);
        assert_eq!(difference.key, observation.keys[0]);
        assert_eq!(difference.records.legacy["email"], hash);
        assert_eq!(difference.values.legacy, "Bern");
        assert_eq!(difference.values.modern, "Basel");
        assert_eq!(observation.fields.len(), 3);
    }

    #[test]
    fn a_history_hides_what_the_evidence_hides_and_the_hashes_agree() {
        let (redactor, ann) = (Redactor::new(b"secret"), person("SECRET-ann", "SECRET", "Bern"));
        let version = Version { epoch: Epoch(1), incarnation: Incarnation(1), position: Position(7) };
        let at = Instant::parse("2026-01-31T08:00:00Z").unwrap();
        let past = PastState { version, write: WriteId(uuid::Uuid::nil()), at, state: Some(ann.clone()) };
        let history = KeyHistory { states: vec![past], recorded: Some(version) };
        let shown = SideHistory::of(&customer(), &history, Some(&ann), &redactor);
        assert!(!serde_json::to_string(&shown).unwrap().contains("SECRET"));
        assert_eq!(shown.present["email"], redactor.hash(&"SECRET-ann".into()));
        assert_eq!(shown.states[0].record["city"], "Bern");
    }

    proptest! {
        #[test]
        fn a_sensitive_value_never_reaches_the_evidence(
            emails in prop::collection::hash_set("SECRET-[a-z]{8}", 1..5),
            name in "SECRET-[a-z]{8}",
            other in "SECRET-[a-z]{8}",
            drop in any::<bool>(),
            ordered in any::<bool>(),
        ) {
            let emails: Vec<_> = emails.into_iter().collect();
            let legacy: Vec<_> = emails.iter().map(|e| Some(person(e, &name, "Bern"))).collect();
            let mut modern: Vec<_> = emails.iter().map(|e| Some(person(e, &other, "Basel"))).collect();
            modern.reverse();
            if drop { modern.pop(); }
            let params = format!(r#"{{"email":"{}"}}"#, emails[0]);
            for asked in [keyed(&emails[0]), Asked::List { ordered, params }] {
                let observation = observe(asked, legacy.clone(), modern.clone());
                let text = serde_json::to_string(&observation).unwrap();
                prop_assert!(!text.contains("SECRET"), "{}", text);
                prop_assert!(text.contains("hash:"));
            }
        }
    }
}
