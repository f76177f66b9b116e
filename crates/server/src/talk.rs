//! Writes to standard output (data) and standard error (talk), and to nowhere else if they are gone.

use std::io::Write as _;

/// Writes data to standard output as it is. A reader that went away is not an error: it has seen enough.
pub(crate) fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says a line on standard error.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
