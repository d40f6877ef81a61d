//! Files that are read again when they change: certificates, tokens, keys.
//!
//! The content is compared, not the time of the last change: a volume of secrets swaps a link, and a file
//! system's clock may be too coarse for two changes in a row.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Pause between two looks: a token that was taken out of its file is refused after at most that.
const EVERY: Duration = Duration::from_secs(1);

/// Larger than any file of certificates or tokens.
const LARGEST: u64 = 8 << 20;

/// Reads a whole file of moderate size.
///
/// # Errors
/// As the system says; also when the file is no file of that kind.
pub fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > LARGEST {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than any file of its kind"));
    }
    std::fs::read(path)
}

/// Why a file cannot be used, in plain words and without the platform's numbers.
pub fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        kind => kind.to_string(),
    }
}

/// Looks at `files` until `stop`, and calls `changed` when the content of one is another than at the look before.
/// A file that cannot be read counts as content of its own. The first look counts as a change: nobody knows what
/// happened since the files were read for the start.
pub async fn watch(files: Vec<PathBuf>, stop: CancellationToken, changed: impl Fn() + Send) {
    let mut known = None;
    loop {
        let seen = Some(look(&files).await);
        if seen != known {
            known = seen;
            changed();
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// The content's checksum per file; `None` where it cannot be read.
async fn look(files: &[PathBuf]) -> Vec<Option<blake3::Hash>> {
    let files = files.to_vec();
    let looked = tokio::task::spawn_blocking(move || {
        files.iter().map(|file| read(file).ok().map(|content| blake3::hash(&content))).collect::<Vec<_>>()
    });
    looked.await.unwrap_or_default()
}
