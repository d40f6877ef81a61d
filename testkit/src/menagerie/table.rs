//! The page of the docs, made of what is declared.

use std::fmt::Write as _;

use super::animal::{Animal, animals};
use super::seat::Seat;

/// Where it stands.
pub const PAGE: &str = "docs/operate/menagerie.md";

const HEAD: &str = "# Databases that do things on their own

For operators and DBAs whose databases have triggers, policies and the like.

Triggers, rules, policies, collations, cascades, limits: a database does things that no client asked for. Each of these
is a database of `testkit/menagerie`, run as legacy, as modern and as an Oracle through writes, deletions, apply, relay, shadow reads,
reads at 100 %, reconcile, repair, dry runs, a handover there and back, and `check`; after each step what strangler says is
compared with what SQL says of both databases. **Nothing is called settled, equal, complete or safe that is not**: that is
the promise, not that everything works.

*held*: both sides had it at the end. *refused CODE*: nothing was written. *unsettled*: the primary has it, the other side
does not, and reports say so. *unknown*: the client gets OUTCOME_UNKNOWN. Then what `reconcile` said, and how
far the authority was handed over. **Broken** is what does not hold yet.

This page is made of the declarations (`cargo run -p testkit --bin menagerie -- --page`), and a test compares them.

## The databases
";

/// Columns of a line, since documents have no long ones.
const WIDTH: usize = 120;

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for animal in animals() {
        let check: Vec<_> = animal.check.iter().map(|said| format!("\"{said}\"")).collect();
        let check = if check.is_empty() { "nothing: it is no trouble".to_owned() } else { check.join(", ") };
        let note = animal.note.as_ref().map_or_else(String::new, |note| format!(" {note}"));
        // Writing to a text cannot fail.
        let _ = write!(page, "\n### {}\n\n{}\n", animal.name, filled(&format!("{}{note}", animal.what), ""));
        for (name, seat) in [("as legacy", Seat::Legacy), ("as modern", Seat::Modern), ("as an Oracle", Seat::Oracle)] {
            let _ = write!(page, "{}", filled(&format!("- {name}: {}", cell(&animal, seat)), "  "));
        }
        let _ = write!(page, "{}", filled(&format!("- `check` says: {check}"), "  "));
    }
    page.push_str(TAIL);
    page
}

/// `text` in lines of at most [`WIDTH`], broken between words; every line but the first begins with `indent`.
fn filled(text: &str, indent: &str) -> String {
    let (mut filled, mut columns) = (String::new(), 0);
    for word in text.split_whitespace() {
        let more = word.chars().count() + 1;
        if columns > 0 && columns + more > WIDTH {
            filled.push('\n');
            filled.push_str(indent);
            columns = indent.len();
        } else if columns > 0 {
            filled.push(' ');
        }
        filled.push_str(word);
        columns += more;
    }
    filled.push('\n');
    filled
}

const TAIL: &str = "
## Oracle

As an Oracle, the hostile database is legacy and lies beneath a stand-in for Oracle's client library: the Oracle adapter
with its own SQL, locks and meanings of errors, over rows that a PostgreSQL keeps. Its triggers, rules and policies act
beneath the adapter, on the rows and on our own tables, as Oracle's would. What is Oracle's own is shown by nothing here:
the code that a trigger's refusal comes with, VPD and FGA, synonyms over links, NLS settings, editions, jobs, autonomous
transactions. Nor is `check`: it names triggers, policies and foreign keys from Oracle's own catalogue (`ALL_TRIGGERS`,
`ALL_POLICIES`, `ALL_CONSTRAINTS`), which is written from its documentation.
";

fn cell(animal: &Animal, seat: Seat) -> String {
    if let (Seat::Oracle, Some(why)) = (seat, &animal.not_as_oracle) {
        return format!("not shown: {why}");
    }
    let expected = animal.expected(seat);
    match &expected.known_broken {
        Some(mark) => format!("**broken**: {mark}"),
        None => {
            let any = if expected.any { "by chance: " } else { "" };
            let writes: Vec<_> = expected.writes.iter().map(String::as_str).collect();
            format!("{any}{}; reconcile: {}; authority: {}", writes.join(", "), expected.reconcile, expected.handover)
        }
    }
}
