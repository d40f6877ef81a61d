//! What is declared of an animal: the head of its file.
//!
//! ```text
//! -- what: A BEFORE trigger makes keys capital.
//! -- check: trigger capitals
//! -- as legacy: writes=refused KEY_CHANGED; reconcile=equal; handover=there and back
//! -- as modern: writes=unsettled; reconcile=differs; handover=refused
//! -- as oracle: writes=refused KEY_CHANGED; reconcile=equal; handover=there and back
//! SQL for the hostile side, before `strangler init`
//! -- after init
//! SQL
//! -- between
//! SQL between the first round of writes and the second
//! ```
//!
//! Further heads: `database:` (how it is created), `disturb: cancels` or `resets`, `known broken as SEAT:` (why the
//! judge complains today; the test fails when it does not any more), `not as oracle:` (why the stand-in cannot show it),
//! `note:` (a sentence for the table).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::course::Course;
use super::seat::Seat;

/// What any machine may answer that is slow at the moment: no sign of the database.
const SLOW: [&str; 2] = ["unknown", "refused DEADLINE_EXCEEDED"];

/// One hostile database.
#[derive(Debug, Clone)]
pub struct Animal {
    /// The name of its file.
    pub name: String,
    /// What it does, in a sentence.
    pub what: String,
    /// What else is to be known, for the table.
    pub note: Option<String>,
    /// What follows `CREATE DATABASE name TEMPLATE template0`.
    pub database: String,
    /// Whether sessions of ours are cancelled at random during the rounds.
    pub cancels: bool,
    /// Whether what our sessions have made for themselves is taken away between transactions.
    pub resets: bool,
    /// Texts that `check` must say.
    pub check: Vec<String>,
    /// What makes it hostile.
    pub tables: String,
    /// The same, after our own tables are there.
    pub after_init: String,
    /// What happens between two rounds of writes.
    pub between: String,
    /// Why the stand-in for Oracle's client library cannot show it.
    pub not_as_oracle: Option<String>,
    expected: BTreeMap<Seat, Expected>,
}

/// What must come out.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// How writes end: all of these and nothing else; or, with `any of`, some of these.
    pub writes: BTreeSet<String>,
    /// Whether chance decides.
    pub any: bool,
    /// What reconcile says before anything is repaired: `equal`, `differs`, `incomplete`.
    pub reconcile: String,
    /// How far the authority comes.
    pub handover: String,
    /// What is wrong today.
    pub known_broken: Option<String>,
}

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("menagerie")
}

/// All of them, by name.
///
/// # Panics
/// When a file cannot be read.
pub fn animals() -> Vec<Animal> {
    let files = std::fs::read_dir(folder()).expect("the folder of the menagerie");
    let files = files.map(|file| file.expect("a file").path());
    let mut animals: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "sql")).map(|path| Animal::read(&path)).collect();
    animals.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    animals
}

impl Animal {
    /// Reads one file.
    ///
    /// # Panics
    /// When it is not there, or says something that nobody understands.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let (before, between) = text.split_once("\n-- between\n").unwrap_or((&text, ""));
        let (tables, after_init) = before.split_once("\n-- after init\n").unwrap_or((before, ""));
        let mut animal = Self {
            name,
            what: String::new(),
            note: None,
            database: String::new(),
            cancels: false,
            resets: false,
            check: Vec::new(),
            tables: tables.to_owned(),
            after_init: after_init.to_owned(),
            between: between.to_owned(),
            not_as_oracle: None,
            expected: BTreeMap::new(),
        };
        for line in tables.lines().filter_map(|line| line.strip_prefix("-- ")) {
            if let Some((head, said)) = line.split_once(": ") {
                animal.declare(head, said);
            }
        }
        assert!(!animal.what.is_empty(), "{}: what does it do?", animal.name);
        animal
    }

    fn declare(&mut self, head: &str, said: &str) {
        let said = said.trim();
        match head {
            "what" => said.clone_into(&mut self.what),
            "note" => self.note = Some(said.to_owned()),
            "database" => said.clone_into(&mut self.database),
            "disturb" => (self.cancels, self.resets) = (said == "cancels", said == "resets"),
            "check" => self.check.push(said.to_owned()),
            "not as oracle" => self.not_as_oracle = Some(said.to_owned()),
            _ => {
                let seat = |start| head.strip_prefix(start).and_then(Seat::read);
                if let Some(seat) = seat("as ") {
                    self.expected.entry(seat).or_default().declare(said);
                } else if let Some(seat) = seat("known broken as ") {
                    self.expected.entry(seat).or_default().known_broken = Some(said.to_owned());
                } else {
                    panic!("{}: nobody understands `{head}`", self.name);
                }
            }
        }
    }

    /// Writes what came out into its file, as what must come out.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn declare_as(&self, course: &Course) -> std::io::Result<()> {
        let path = folder().join(format!("{}.sql", self.name));
        let text = std::fs::read_to_string(&path)?;
        let seat = course.seat.as_str();
        let heads = [format!("-- as {seat}: "), format!("-- known broken as {seat}: ")];
        let mut lines: Vec<_> =
            text.lines().filter(|line| !heads.iter().any(|head| line.starts_with(head))).map(str::to_owned).collect();
        let head = lines.iter().take_while(|line| line.starts_with("-- ") && line.contains(": ")).count();
        if course.violations.is_empty() {
            lines.insert(head, format!("{}{}", heads[0], course.in_short()));
        } else {
            lines.insert(head, format!("{}{}", heads[1], course.kinds()));
        }
        std::fs::write(&path, lines.join("\n") + "\n")
    }

    /// What must come out when it has that seat. Nothing, where nothing is declared: then no run is as declared.
    pub fn expected(&self, seat: Seat) -> Expected {
        self.expected.get(&seat).cloned().unwrap_or_default()
    }

    /// The seats that it can have.
    pub fn seats(&self) -> impl Iterator<Item = Seat> {
        Seat::ALL.into_iter().filter(|seat| *seat != Seat::Oracle || self.not_as_oracle.is_none())
    }
}

impl Expected {
    fn declare(&mut self, said: &str) {
        for part in said.split("; ") {
            let (what, value) = part.split_once('=').unwrap_or_else(|| panic!("`{part}` is no `what=value`"));
            match what {
                "writes" => {
                    let listed = value.strip_prefix("any of ");
                    self.any = listed.is_some();
                    self.writes = listed.unwrap_or(value).split(" + ").map(str::to_owned).collect();
                }
                "reconcile" => value.clone_into(&mut self.reconcile),
                "handover" => value.clone_into(&mut self.handover),
                _ => panic!("nobody understands `{what}`"),
            }
        }
    }

    /// Where the course ended otherwise.
    pub(super) fn differs_from(&self, course: &Course) -> Option<String> {
        let without = |words: &BTreeSet<String>| -> BTreeSet<String> {
            words.iter().filter(|word| !SLOW.contains(&word.as_str())).cloned().collect()
        };
        let (found, wanted) = (without(&course.writes), without(&self.writes));
        let writes = if self.any { found.is_subset(&wanted) } else { found == wanted };
        let rest = self.any || (self.reconcile == course.reconcile && self.handover == course.handover);
        (!writes || !rest).then(|| format!("declared is: {self}\nhappened is: {}", course.in_short()))
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let any = if self.any { "any of " } else { "" };
        let writes: Vec<_> = self.writes.iter().map(String::as_str).collect();
        write!(out, "writes={any}{}; reconcile={}; handover={}", writes.join(" + "), self.reconcile, self.handover)
    }
}
