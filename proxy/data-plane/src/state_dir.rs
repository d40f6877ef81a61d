//! The folder in which a replica keeps what must survive a restart: its name, its last rollout, the
//! replicas it knows, a secret for hashing.
//!
//! Promise: a file is either the old or the new one whole, also after a power failure; one running
//! replica per folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::ReplicaId;
use thiserror::Error;
use uuid::Uuid;

/// A replica's folder.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Held while a replica runs. Dropping it frees the folder.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The folder cannot be used.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// Reading or writing failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `make`, `read`, `write`, `rename`, `remove`, `lock`.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another replica runs in it.
    #[error("another replica runs in {}: give each replica a `state_dir` of its own", .0.display())]
    Taken(PathBuf),
}

impl StateDir {
    /// Opens the folder; makes it when it is missing, readable for its owner alone.
    ///
    /// # Errors
    /// [`StateDirError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateDirError> {
        let path = path.into();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| StateDirError::Io { doing: "make", path: path.clone(), source })?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the folder for a running replica.
    ///
    /// # Errors
    /// [`StateDirError::Taken`] when another one has it.
    pub fn lock(&self) -> Result<Lock, StateDirError> {
        let path = self.path.join("lock");
        let io = |source| StateDirError::Io { doing: "lock", path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(StateDirError::Taken(self.path.clone())),
            Err(fs::TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// The content of `name`; `None` when there is no such file.
    ///
    /// # Errors
    /// [`StateDirError::Io`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateDirError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateDirError::Io { doing: "read", path, source }),
        }
    }

    /// Replaces `name` whole. Returns when it is on disk.
    ///
    /// # Errors
    /// [`StateDirError::Io`]; then the old file stands.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateDirError> {
        let path = self.path.join(name);
        // A name of its own: two writers never share a half-written file.
        let fresh = self.path.join(format!("{name}.{}.new", Uuid::new_v4().simple()));
        let written = (|| {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.path)?.sync_all()
        })();
        written.map_err(|source| {
            // Best effort: the error that matters is the first one.
            let _ = fs::remove_file(&fresh);
            StateDirError::Io { doing: "write", path, source }
        })
    }

    /// Gives `from` the name `to`, on disk. Needs no room on it.
    ///
    /// # Errors
    /// [`StateDirError::Io`].
    pub fn rename(&self, from: &str, to: &str) -> Result<(), StateDirError> {
        let path = self.path.join(from);
        let renamed = fs::rename(&path, self.path.join(to)).and_then(|()| File::open(&self.path)?.sync_all());
        renamed.map_err(|source| StateDirError::Io { doing: "rename", path, source })
    }

    /// Takes `name` away, if it is there.
    ///
    /// # Errors
    /// [`StateDirError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), StateDirError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StateDirError::Io { doing: "remove", path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Puts a file that cannot be used out of the way, to be looked at; where it is now.
    ///
    /// # Errors
    /// [`StateDirError::Io`].
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StateDirError> {
        let path = self.path.join(name);
        let aside = self.path.join(format!("{name}.unusable"));
        fs::rename(&path, &aside).map_err(|source| StateDirError::Io { doing: "write", path, source })?;
        Ok(aside)
    }

    /// This replica's name: the machine's name and some letters, made up once and kept.
    ///
    /// # Errors
    /// [`StateDirError::Io`].
    pub fn replica_id(&self) -> Result<ReplicaId, StateDirError> {
        let kept = self.kept("replica-id", || {
            let letters = Uuid::new_v4().simple().to_string();
            format!("{}-{}", machine_name(), &letters[..6]).into_bytes()
        })?;
        Ok(ReplicaId::new(String::from_utf8_lossy(&kept).trim()))
    }

    /// A secret of this replica, made up once and kept.
    ///
    /// # Errors
    /// [`StateDirError::Io`].
    pub fn hash_secret(&self) -> Result<Vec<u8>, StateDirError> {
        self.kept("hash-secret", || [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat())
    }

    fn kept(&self, name: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, StateDirError> {
        if let Some(kept) = self.read(name)?.filter(|kept| !kept.is_empty()) {
            return Ok(kept);
        }
        let made = make();
        self.write(name, &made)?;
        Ok(made)
    }
}

/// The name of this machine, as far as it says.
pub fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "replica".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_replica_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path().join("a/b")).unwrap();
        let lock = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(StateDirError::Taken(_))));
        drop(lock);
        state.lock().unwrap();
    }

    #[test]
    fn a_replica_keeps_its_name_and_leaves_no_half_written_files() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let name = state.replica_id().unwrap();
        assert_eq!(StateDir::open(folder.path()).unwrap().replica_id().unwrap(), name);
        assert_eq!(state.hash_secret().unwrap(), state.hash_secret().unwrap());
        state.write("x", b"1").unwrap();
        state.write("x", b"2").unwrap();
        assert_eq!(state.read("x").unwrap().unwrap(), b"2");
        assert_eq!(state.read("y").unwrap(), None);
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["hash-secret", "replica-id", "x"]);
    }
}
