//! Passwords and secrets on their way in: from a file, from standard input, or from somebody at a terminal; never from an
//! argument, which everybody on the machine could read.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use model::secret::Secret;
use zeroize::Zeroizing;

use crate::files;

/// How often somebody may type two passwords that differ.
const ATTEMPTS: usize = 3;

/// A password or secret from a file, `-` for standard input, without line breaks at its end.
pub(super) fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(if path == Path::new("-") {
        files::read_stdin()?
    } else {
        files::read_text(path)?
    });
    let length = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(length);
    ensure!(!text.is_empty(), "`{}` holds no password", path.display());
    Ok(text)
}

/// A password that somebody chooses: from the file that they name, or asked for twice without being shown, where somebody
/// is at a terminal.
pub(super) fn choose(file: Option<&Path>) -> anyhow::Result<Secret<String>> {
    let chosen = match file {
        Some(path) => read(path)?,
        None if io::stdin().is_terminal() => ask_twice(|prompt| {
            let typed = rpassword::prompt_password(prompt);
            typed.map(Zeroizing::new)
        })?,
        None => read(Path::new("-"))?,
    };
    Ok(Secret::new(chosen.to_string()))
}

/// Asks until the same was typed twice.
fn ask_twice(
    mut ask: impl FnMut(&str) -> io::Result<Zeroizing<String>>,
) -> anyhow::Result<Zeroizing<String>> {
    for _ in 0..ATTEMPTS {
        let first = ask("Password: ").context("no password can be asked for")?;
        ensure!(!first.is_empty(), "no password was typed");
        let second = ask("The same once more: ").context("no password can be asked for")?;
        if first == second {
            return Ok(first);
        }
        crate::talk::say("the two are not the same");
    }
    bail!("no password was typed twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of somebody who types these.
    fn typing(words: &[&str]) -> Result<String, String> {
        let mut words = words.iter();
        let asked = ask_twice(|_| {
            let word = words.next();
            word.map(|word| Zeroizing::new((*word).to_owned()))
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        });
        asked
            .map(|password| password.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_password_counts_once_it_was_typed_twice() {
        assert_eq!(typing(&["a", "a"]), Ok("a".to_owned()));
        assert_eq!(typing(&["a", "b", "c", "c"]), Ok("c".to_owned()));
        for (words, refused) in [
            (
                ["a", "b", "a", "b", "a", "b"].as_slice(),
                "no password was typed twice",
            ),
            (&[""], "no password was typed"),
            (&["a"], "no password can be asked for"),
        ] {
            assert_eq!(typing(words), Err(refused.to_owned()));
        }
    }
}
