//! What a trigger's function may do, read from its source. Not an interpreter: it finds what is written there, and what
//! it does not find it does not call impossible.

/// What the text of a PL/pgSQL function says it may do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Doings {
    /// Columns of the row that it sets, as written in `NEW.column := …`.
    pub(super) sets: Vec<String>,
    /// It replaces the row as a whole: `NEW := …`, or `RETURN` of something else than `NEW`, `OLD` and null.
    pub(super) replaces: bool,
    /// It may drop the change: `RETURN NULL`.
    pub(super) drops: bool,
    /// It may keep the old row: `RETURN OLD`.
    pub(super) keeps_old: bool,
    /// Tables that it changes.
    pub(super) writes: Vec<String>,
    /// It runs statements that are put together at run time, or calls other functions by name only.
    pub(super) runs_text: bool,
}

impl Doings {
    /// Of a function's body.
    pub(super) fn of(source: &str) -> Self {
        let words = words(source);
        let mut doings = Self::default();
        for place in 0..words.len() {
            let word = |ahead: usize| words.get(place + ahead).map_or("", String::as_str);
            match (word(0), word(1), word(2)) {
                ("new", ".", column) if matches!(word(3), ":=" | "=") && assigns(&words, place) => {
                    doings.sets.push(column.to_owned());
                }
                ("new", ":=" | "=", _) if assigns(&words, place) => doings.replaces = true,
                ("into", "new", ".") => doings.sets.push(word(3).to_owned()),
                ("return", "null", _) => doings.drops = true,
                ("return", "old", ";") => doings.keeps_old = true,
                ("return", "new", ";") | ("return", ";", _) => {}
                ("return", _, _) => doings.replaces = true,
                ("insert", "into", table) | ("delete", "from", table) => {
                    doings.writes.push(plain(table, word(3), word(4)))
                }
                ("update", table, next) if updates(&words, place) => doings.writes.push(plain(table, next, word(3))),
                ("execute", _, _) if place == 0 || words[place - 1] != "insert" => doings.runs_text = true,
                _ => {}
            }
        }
        doings.sets.sort_unstable();
        doings.sets.dedup();
        doings.writes.sort_unstable();
        doings.writes.dedup();
        doings
    }
}

/// A name without its schema.
fn plain(name: &str, dot: &str, rest: &str) -> String {
    if dot == "." { rest.to_owned() } else { name.to_owned() }
}

/// Whether the word begins a statement, so that `=` sets and does not compare.
fn assigns(words: &[String], place: usize) -> bool {
    place == 0 || matches!(words[place - 1].as_str(), ";" | "begin" | "then" | "else" | "loop" | ">>")
}

/// `UPDATE t SET`, not `FOR UPDATE` or `TG_OP = 'UPDATE'`.
fn updates(words: &[String], place: usize) -> bool {
    let behind = words[place..].iter().skip(1).take(6);
    let before = place.checked_sub(1).map_or("", |before| words[before].as_str());
    before != "for" && before != "do" && behind.into_iter().any(|word| word == "set")
}

/// Lower case, without comments and texts.
fn words(source: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = source.chars().peekable();
    let mut word = String::new();
    while let Some(letter) = rest.next() {
        if letter.is_alphanumeric() || letter == '_' {
            word.extend(letter.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        match (letter, rest.peek()) {
            ('-', Some('-')) => rest.by_ref().take_while(|letter| *letter != '\n').for_each(drop),
            ('/', Some('*')) => {
                let mut last = ' ';
                rest.by_ref()
                    .skip(1)
                    .take_while(|letter| !(std::mem::replace(&mut last, *letter) == '*' && *letter == '/'))
                    .for_each(drop);
            }
            // A text may hold anything; a doubled quote only begins the next one.
            ('\'', _) => {
                rest.by_ref().take_while(|letter| *letter != '\'').for_each(drop);
                words.push("'".to_owned());
            }
            ('"', _) => words.push(rest.by_ref().take_while(|letter| *letter != '"').collect()),
            (':', Some('=')) => {
                rest.next();
                words.push(":=".to_owned());
            }
            (blank, _) if blank.is_whitespace() => {}
            (other, _) => words.push(other.to_string()),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_may_do_is_read_from_its_source() {
        let doings = Doings::of(
            "BEGIN -- NEW.ghost := 1; RETURN NULL\n /* RETURN OLD; */ NEW.Id := upper(NEW.id); \
             IF NEW.qty = 3 THEN NEW.qty = 4; END IF; \
             INSERT INTO audit VALUES ('UPDATE x SET y; RETURN NULL'); \
             UPDATE public.line AS l SET pos = 1; PERFORM 1 FROM t FOR UPDATE; RETURN NEW; END",
        );
        assert_eq!(doings.sets, ["id", "qty"]);
        assert_eq!(doings.writes, ["audit", "line"]);
        assert_eq!((doings.replaces, doings.drops, doings.keeps_old, doings.runs_text), (false, false, false, false));
    }

    #[test]
    fn what_drops_a_change_or_keeps_the_old_row_is_seen() {
        assert!(Doings::of("BEGIN RETURN NULL; END").drops);
        assert!(Doings::of("BEGIN RETURN OLD; END").keeps_old);
        assert!(Doings::of("BEGIN NEW := OLD; RETURN NEW; END").replaces);
        assert!(Doings::of("BEGIN RETURN jsonb_populate_record(NEW, x); END").replaces);
        assert!(Doings::of("BEGIN EXECUTE format('DELETE FROM %I', t); RETURN NEW; END").runs_text);
        assert_eq!(Doings::of("SELECT upper(x) INTO NEW.id; RETURN NEW;").sets, ["id"]);
    }
}
