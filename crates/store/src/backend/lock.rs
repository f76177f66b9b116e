//! One SQLite file serves one process: a lock beside it, and a file that only its owner reads.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::Error;

/// What stands for itself in the path of a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');

/// Makes sure that there is a file, that nobody else has it open, and that nobody else reads it. The lock lasts until
/// the returned file is closed, at the latest with the process.
pub(super) fn prepare(path: &Path) -> Result<(PathBuf, File), Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    open(path).map_err(failed)?;
    // One file must not have two locks, whatever links lead to it.
    let path = path.canonicalize().map_err(failed)?;
    let mut beside = path.clone().into_os_string();
    beside.push(".lock");
    let lock = open(Path::new(&beside)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path }),
        Err(TryLockError::Error(source)) => Err(Error::File {
            path,
            source: Arc::new(source),
        }),
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The URL of a file, for the driver.
pub(super) fn sqlite_url(path: &Path) -> String {
    format!(
        "sqlite:{}",
        utf8_percent_encode(&path.to_string_lossy(), ESCAPED)
    )
}
