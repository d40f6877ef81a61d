//! The last rollout on disk, so that a replica starts while the control store is down, and never
//! with another percentage than it stopped with.

use thiserror::Error;

use super::known::Known;
use data_plane::state_dir::{StateDir, StateDirError};

/// Its name in the state folder.
pub(super) const FILE: &str = "rollout";

/// Its name once a newer one could not be written.
const OUTDATED: &str = "rollout.outdated";

/// First on the first line; the rest of that line is the checksum of all that follows. The number is
/// raised when the form changes.
const HEAD: &str = "strangler-rollout-1 ";

/// The snapshot cannot be read.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// Reading or writing failed.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// It is not what was written.
    #[error("the rollout snapshot {file} is damaged: {what}")]
    Damaged {
        /// Which file.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// What the disk has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// The last one that could be written.
    pub(super) known: Known,
    /// Whether one that followed could not be.
    pub(super) outdated: bool,
}

/// Reads the snapshot; `None` when there is none yet.
///
/// # Errors
/// [`SnapshotError::Damaged`] when a byte of it is not as written.
pub(super) fn load(state: &StateDir) -> Result<Option<Kept>, SnapshotError> {
    if let Some(known) = load_from(state, FILE)? {
        return Ok(Some(Kept { known, outdated: false }));
    }
    Ok(load_from(state, OUTDATED)?.map(|known| Kept { known, outdated: true }))
}

fn load_from(state: &StateDir, name: &str) -> Result<Option<Known>, SnapshotError> {
    let Some(bytes) = state.read(name)? else { return Ok(None) };
    let damaged = |what| SnapshotError::Damaged { file: state.path().join(name).display().to_string(), what };
    let text = str::from_utf8(&bytes).map_err(|_| damaged("it is no text"))?;
    let rest = text.strip_prefix(HEAD).ok_or_else(|| damaged("it is no snapshot of this release"))?;
    let (sum, known) = rest.split_once('\n').ok_or_else(|| damaged("it is cut off"))?;
    if checksum(known) != sum {
        return Err(damaged("its checksum does not fit"));
    }
    serde_json::from_str(known).map(Some).map_err(|_| damaged("its policies are not understood"))
}

/// Writes the snapshot. Returns when it is on disk.
///
/// # Errors
/// [`SnapshotError::State`]; then the old one stands, marked as outdated where that can be done: a full disk lets a file
/// be renamed.
pub(super) fn save(state: &StateDir, known: &Known) -> Result<(), SnapshotError> {
    let written = serde_json::to_string_pretty(known).expect("maps with text keys are JSON");
    let text = format!("{HEAD}{}\n{written}", checksum(&written));
    // One that may be outdated goes on to be: a second restart knows no more than the first.
    let (name, other) = if known.is_doubted() { (OUTDATED, FILE) } else { (FILE, OUTDATED) };
    if let Err(error) = state.write(name, text.as_bytes()) {
        // Where it cannot be, the folder cannot be written at the next start either, which says as much.
        let _ = state.rename(FILE, OUTDATED);
        return Err(error.into());
    }
    Ok(state.remove(other)?)
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use model::Rollout;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_snapshot_comes_back_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert!(load(&state).unwrap().is_none());
        let known = Known::new(Rollout::initial(["inventory".into()]));
        save(&state, &known).unwrap();
        assert_eq!(load(&state).unwrap(), Some(Kept { known, outdated: false }));
    }

    proptest! {
        #[test]
        fn a_damaged_snapshot_is_an_error_and_never_another_rollout(place in 0usize..10_000, bit in 0u8..8, cut in any::<bool>()) {
            let folder = tempfile::tempdir().unwrap();
            let state = StateDir::open(folder.path()).unwrap();
            let known = Known::new(Rollout::initial(["inventory".into()]));
            save(&state, &known).unwrap();
            let mut bytes = state.read(FILE).unwrap().unwrap();
            let place = place % bytes.len();
            if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
            state.write(FILE, &bytes).unwrap();
            match load(&state) {
                Err(SnapshotError::Damaged { .. }) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
