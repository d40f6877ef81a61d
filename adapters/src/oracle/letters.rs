//! Which letters a database's character set has. An Oracle refuses nothing: on the way in it puts a question mark, upside
//! down, in the place of a letter that it lacks. So a text that holds one is refused before it is sent.
//!
//! Of sets that are not listed here nothing is known: they are taken to hold everything, as `check` says of any but
//! AL32UTF8.

use std::sync::OnceLock;

use model::StoreError;

use super::session::Session;
use super::wire;

/// The character set of one server's database; nobody has asked yet at first.
#[derive(Debug, Default)]
pub(super) struct Letters(OnceLock<String>);

/// Oracle's names, and those of the library.
const LISTED: [(&str, &str); 19] = [
    ("WE8ISO8859P15", "iso-8859-15"),
    ("WE8MSWIN1252", "windows-1252"),
    ("EE8ISO8859P2", "iso-8859-2"),
    ("SE8ISO8859P3", "iso-8859-3"),
    ("NEE8ISO8859P4", "iso-8859-4"),
    ("CL8ISO8859P5", "iso-8859-5"),
    ("AR8ISO8859P6", "iso-8859-6"),
    ("EL8ISO8859P7", "iso-8859-7"),
    ("IW8ISO8859P8", "iso-8859-8"),
    ("EE8MSWIN1250", "windows-1250"),
    ("CL8MSWIN1251", "windows-1251"),
    ("EL8MSWIN1253", "windows-1253"),
    ("TR8MSWIN1254", "windows-1254"),
    ("IW8MSWIN1255", "windows-1255"),
    ("AR8MSWIN1256", "windows-1256"),
    ("BLT8MSWIN1257", "windows-1257"),
    ("VN8MSWIN1258", "windows-1258"),
    ("CL8KOI8R", "koi8-r"),
    ("CL8KOI8U", "koi8-u"),
];

impl Letters {
    /// Whether it has every letter of `text`, as far as is known.
    pub(super) fn has(&self, text: &str) -> bool {
        text.is_ascii() || self.0.get().is_none_or(|set| has(set, text))
    }
}

/// Asks the server, once.
pub(super) fn look(session: &mut Session, letters: &Letters) -> Result<(), StoreError> {
    if letters.0.get().is_none() {
        let text = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'";
        let rows = session.query(text, &[], 1)?;
        if let Some(set) = rows.first().and_then(|row| wire::text(row, 0)) {
            letters.0.get_or_init(|| set);
        }
    }
    Ok(())
}

fn has(set: &str, text: &str) -> bool {
    match set {
        "US7ASCII" => text.is_ascii(),
        // The library takes the name of Latin 1 for another set.
        "WE8ISO8859P1" => text.chars().all(|letter| u32::from(letter) < 0x100),
        _ => {
            let listed = LISTED.iter().find(|(known, _)| *known == set);
            let encoding = listed.and_then(|(_, label)| encoding_rs::Encoding::for_label(label.as_bytes()));
            encoding.is_none_or(|encoding| !encoding.encode(text).2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_its_letters_and_no_others() {
        for (set, known, lacks) in [
            ("US7ASCII", "plain", "ä"),
            ("WE8ISO8859P1", "größer", "10 €"),
            ("WE8ISO8859P15", "10 €", "😀"),
            ("WE8MSWIN1252", "10 €", "Ω"),
            ("CL8MSWIN1251", "да", "é"),
        ] {
            assert!(has(set, known), "{set}");
            assert!(!has(set, lacks), "{set}");
        }
        for set in ["AL32UTF8", "UTF8", "JA16SJIS"] {
            assert!(has(set, "😀"), "{set}");
        }
        assert!(LISTED.iter().all(|(_, label)| encoding_rs::Encoding::for_label(label.as_bytes()).is_some()));
    }

    #[test]
    fn of_a_server_that_nobody_has_asked_nothing_is_known() {
        let letters = Letters::default();
        assert!(letters.has("€"));
        letters.0.get_or_init(|| "US7ASCII".to_owned());
        assert!(!letters.has("€") && letters.has("plain"));
    }
}
