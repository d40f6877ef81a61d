//! Which letters a database's encoding has. A write whose text the *other* side cannot hold must be refused before its
//! primary commits, and the primary cannot ask that side then.
//!
//! Of encodings that are not listed here (those of Asia with several forms) nothing is known: they are taken to hold
//! everything, and what they refuse stays unsettled, as `check` says.

use std::sync::OnceLock;

/// What a server has said of the encoding that its database is in; nobody has asked yet at first.
#[derive(Debug, Default)]
pub(super) struct Encoding(OnceLock<String>);

/// PostgreSQL's names, and those of the library.
const LISTED: [(&str, &str); 24] = [
    ("LATIN2", "iso-8859-2"),
    ("LATIN3", "iso-8859-3"),
    ("LATIN4", "iso-8859-4"),
    ("LATIN6", "iso-8859-10"),
    ("LATIN7", "iso-8859-13"),
    ("LATIN8", "iso-8859-14"),
    ("LATIN9", "iso-8859-15"),
    ("LATIN10", "iso-8859-16"),
    ("ISO_8859_5", "iso-8859-5"),
    ("ISO_8859_6", "iso-8859-6"),
    ("ISO_8859_7", "iso-8859-7"),
    ("ISO_8859_8", "iso-8859-8"),
    ("KOI8R", "koi8-r"),
    ("KOI8U", "koi8-u"),
    ("WIN866", "ibm866"),
    ("WIN1250", "windows-1250"),
    ("WIN1251", "windows-1251"),
    ("WIN1252", "windows-1252"),
    ("WIN1253", "windows-1253"),
    ("WIN1254", "windows-1254"),
    ("WIN1255", "windows-1255"),
    ("WIN1256", "windows-1256"),
    ("WIN1257", "windows-1257"),
    ("WIN1258", "windows-1258"),
];

impl Encoding {
    /// Takes in what the server says when a connection is made.
    pub(super) fn said(&self, name: Option<&str>) {
        if let Some(name) = name {
            self.0.get_or_init(|| name.to_owned());
        }
    }

    /// Whether it has every letter of `text`, as far as is known.
    pub(super) fn holds(&self, text: &str) -> bool {
        text.is_ascii() || self.0.get().is_none_or(|name| has_letters(name, text))
    }
}

fn has_letters(name: &str, text: &str) -> bool {
    // The library takes the name of Latin 1 for another encoding.
    if name == "LATIN1" {
        return text.chars().all(|letter| u32::from(letter) < 0x100);
    }
    let listed = LISTED.iter().find(|(known, _)| *known == name);
    let encoding = listed.and_then(|(_, label)| encoding_rs::Encoding::for_label(label.as_bytes()));
    encoding.is_none_or(|encoding| !encoding.encode(text).2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_has_its_letters_and_no_others() {
        for (name, has, lacks) in [
            ("LATIN1", "größer", "10 €"),
            ("LATIN9", "10 €", "😀"),
            ("WIN1252", "10 €", "Ω"),
            ("WIN1253", "Ω", "ß"),
            ("KOI8R", "да", "é"),
        ] {
            assert!(has_letters(name, has), "{name}");
            assert!(!has_letters(name, lacks), "{name}");
        }
        for name in ["UTF8", "SQL_ASCII", "EUC_JP"] {
            assert!(has_letters(name, "😀"), "{name}");
        }
    }

    #[test]
    fn every_listed_name_is_an_encoding() {
        for (name, label) in LISTED {
            assert!(encoding_rs::Encoding::for_label(label.as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn of_a_server_that_nobody_has_asked_nothing_is_known() {
        let encoding = Encoding::default();
        assert!(encoding.holds("€"));
        encoding.said(Some("LATIN1"));
        assert!(!encoding.holds("€") && encoding.holds("ä") && encoding.holds("plain"));
    }
}
