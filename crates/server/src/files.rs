//! Reads and writes files, with errors that name the path.

use std::io;
use std::path::{Path, PathBuf};

use net::durable::{self, Audience};

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the file `{}` can't be read: {reason}", path.display())]
pub(crate) struct Unreadable {
    /// The file.
    pub(crate) path: PathBuf,
    /// Why, as the operating system puts it.
    pub(crate) reason: String,
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the file `{}` can't be written: {reason}", path.display())]
pub(crate) struct Unwritable {
    /// The file.
    pub(crate) path: PathBuf,
    /// Why, as the operating system puts it.
    pub(crate) reason: String,
}

/// Reads a whole file as text.
pub(crate) fn read_text(path: &Path) -> Result<String, Unreadable> {
    let unreadable = |error: &io::Error| Unreadable {
        path: path.to_owned(),
        reason: reason(error),
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    String::from_utf8(bytes).map_err(|_| Unreadable {
        path: path.to_owned(),
        reason: "it is not UTF-8 text".to_owned(),
    })
}

/// Reads all of standard input as text.
pub(crate) fn read_stdin() -> Result<String, Unreadable> {
    io::read_to_string(io::stdin()).map_err(|error| Unreadable {
        path: PathBuf::from("standard input"),
        reason: reason(&error),
    })
}

/// Reads a text that nobody but its owner may read or change.
pub(crate) fn read_private(path: &Path) -> Result<String, Unreadable> {
    durable::read_private(path).map_err(|error| Unreadable {
        path: path.to_owned(),
        reason: reason(&error),
    })
}

/// Writes a new file; one that is there already is left alone and reported.
pub(crate) fn write_new(path: &Path, content: &str, audience: Audience) -> Result<(), Unwritable> {
    durable::create(path, content.as_bytes(), audience).map_err(|error| Unwritable {
        path: path.to_owned(),
        reason: reason(&error),
    })
}

/// Writes a file so that a reader sees all of it or nothing.
pub(crate) fn replace(path: &Path, content: &str) -> Result<(), Unwritable> {
    durable::replace(path, content.as_bytes(), Audience::Everybody).map_err(|error| Unwritable {
        path: path.to_owned(),
        reason: reason(&error),
    })
}

/// Makes a directory, and those above it, that only its owner can enter.
pub(crate) fn make_private_directory(path: &Path) -> Result<(), Unwritable> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| Unwritable {
        path: path.to_owned(),
        reason: reason(&error),
    })
}

/// The operating system's words without the number in parentheses.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}
