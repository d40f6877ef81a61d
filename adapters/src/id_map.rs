//! What every engine does alike with the ID map. Pure; see `model::own_key`.

use std::collections::{HashMap, HashSet};

use model::own_key::{canonical_text, number_of_derived};
use model::{EntityKey, OwnKey, OwnNumber, Unnumbered, Work};

/// The numbers of some keys.
pub(crate) type Numbers = HashMap<EntityKey, OwnNumber>;

/// How often keys are given the sequence's next while that is in use already.
pub(crate) const ATTEMPTS: usize = 100;

/// What becomes of touched keys without number. Only a whole entity may be made by its key alone; statements of the
/// contract are told the numbers of what they add, which have been given by then.
pub(crate) fn unnumbered(work: &Work) -> Unnumbered {
    match work {
        Work::Set(_) => Unnumbered::Number,
        Work::Run { .. } | Work::Delete | Work::Touch => Unnumbered::Leave,
    }
}

/// `keys` by the name of their type.
pub(crate) fn by_type<'k>(keys: impl IntoIterator<Item = &'k EntityKey>) -> HashMap<&'k str, Vec<EntityKey>> {
    let mut by_type: HashMap<&str, Vec<EntityKey>> = HashMap::new();
    for key in keys {
        by_type.entry(key.entity().as_str()).or_default().push(key.clone());
    }
    by_type
}

/// The numbers that `keys` name themselves.
pub(crate) fn derived(keys: &[EntityKey]) -> Vec<OwnNumber> {
    keys.iter().filter_map(number_of_derived).collect()
}

/// The numbers of `keys`, from the entries of these keys and of the numbers that they name themselves: such a number
/// is the key's own unless it was given to another.
pub(crate) fn numbers(keys: &[EntityKey], entries: impl IntoIterator<Item = (String, OwnNumber)>) -> Numbers {
    let given: HashMap<String, OwnNumber> = entries.into_iter().collect();
    let taken: HashSet<OwnNumber> = given.values().copied().collect();
    let number = |key: &EntityKey| {
        let mapped = canonical_text(key).and_then(|text| given.get(text)).copied();
        mapped.or_else(|| number_of_derived(key).filter(|number| !taken.contains(number)))
    };
    keys.iter().filter_map(|key| Some((key.clone(), number(key)?))).collect()
}

/// Those of `keys` that are to be given a number: each once, and in order, so that two batches cannot block each other
/// for good.
///
/// # Errors
/// A derived key has no number of its own when a key of ours was given that number; says so.
pub(crate) fn missing<'k>(keys: &'k [EntityKey], numbers: &Numbers) -> Result<Vec<&'k EntityKey>, String> {
    let mut missing: Vec<&EntityKey> = keys.iter().filter(|key| !numbers.contains_key(*key)).collect();
    if missing.iter().any(|key| number_of_derived(key).is_some()) {
        let problem = "a key that names a number of the ERP, which belongs to another key: correct or delete that row";
        return Err(problem.to_owned());
    }
    missing.sort_unstable();
    missing.dedup();
    Ok(missing)
}

/// What is wrong when no attempt came upon a number that is free.
pub(crate) fn exhausted(own: &OwnKey, table: &str) -> String {
    format!(
        "{} gives numbers that {table} has already, or below 1, or of more than 15 digits: set it beyond the largest, ascending",
        own.sequence
    )
}
