//! Checksums of rows in memory: `model::checksum`, word by word.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use model::checksum::{Chunk, ChunkSum, record_text};
use model::{EntityKey, EntityType, Record};

use super::Rows;
use crate::number::number;

/// See `Store::sums`.
pub(super) fn sums(rows: &Rows, entity: &EntityType, chunk: &Chunk) -> Vec<(Chunk, ChunkSum)> {
    let mut sums: BTreeMap<Chunk, ChunkSum> = BTreeMap::new();
    let digits = chunk.part_digits().unwrap_or(chunk.prefix().len());
    for (digest, record) in members(rows, entity, chunk) {
        let part = Chunk::new(&digest[..digits]).expect("a digest is hexadecimal, and a part has its digits");
        let sum = sums.entry(part).or_default();
        *sum = sum.with(number(entity, Some(record)).cast_unsigned());
    }
    sums.into_iter().collect()
}

/// The records of a chunk, each with the digest of its key.
pub(super) fn members<'a>(
    rows: &'a Rows,
    entity: &'a EntityType,
    chunk: &'a Chunk,
) -> impl Iterator<Item = (String, &'a Record)> {
    let of_type = rows.iter().filter(|(key, _): &(&EntityKey, _)| *key.entity() == entity.name && !key.has_null());
    let digested = of_type.map(|(_, record)| (digest_of(&record_text(entity, entity.key_fields(), record)), record));
    digested.filter(|(digest, _)| digest.starts_with(chunk.prefix()))
}

fn digest_of(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
