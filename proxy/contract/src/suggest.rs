//! "Did you mean": the known name that is nearest to a mistyped one.

/// The name of `known` nearest to `typed`, when it is near enough to be a slip of the hand.
pub(crate) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + typed.chars().count() / 4;
    known
        .map(|name| (strsim::levenshtein(&typed.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// `did you mean …?`, or else all known names.
pub fn or_all<'a>(typed: &str, sigil: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(name) = nearest(typed, known.clone()) {
        return format!("did you mean `{sigil}{name}`?");
    }
    let all: Vec<_> = known.map(|name| format!("`{sigil}{name}`")).collect();
    match all.as_slice() {
        [] => "there is none to choose from".to_owned(),
        [one] => format!("there is only {one}"),
        _ => format!("there are {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["location", "sku", "onHand"];
        assert_eq!(nearest("loaction", known.into_iter()), Some("location"));
        assert_eq!(nearest("onhand", known.into_iter()), Some("onHand"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
