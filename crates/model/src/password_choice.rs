//! Whether a password may be chosen: long enough, not too long to be hashed, and not the user name (NIST SP 800-63B-4
//! §3.1.1.2). No rules of composition, which make passwords worse and not better.

use crate::password::MAX_LENGTH;
use crate::user::Username;

/// The least length that a realm asks for unless it says otherwise, in characters: what NIST SP 800-63B asked for at
/// least in all its revisions.
pub const LEAST: u16 = 8;
/// What NIST SP 800-63B-4 asks for where a password is all that is asked for, in characters.
pub const RECOMMENDED: u16 = 15;

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is too short.
    #[error(
        "the password is shorter than {least} characters; hint: a sentence is long and easy to remember"
    )]
    Short {
        /// What the realm asks for.
        least: u16,
    },
    /// It is too long.
    #[error("the password is longer than {MAX_LENGTH} bytes")]
    Long,
    /// It is the user name.
    #[error("the password is the user name")]
    Username,
}

/// Refuses a password that may not be chosen. `least` is in characters, of which each counts as one, whatever its script.
pub fn check(password: &str, username: &Username, least: u16) -> Result<(), Unfit> {
    if password.len() > MAX_LENGTH {
        Err(Unfit::Long)
    } else if password.chars().count() < usize::from(least) {
        Err(Unfit::Short { least })
    } else if password.to_lowercase() == username.as_str() {
        Err(Unfit::Username)
    } else {
        Ok(())
    }
}

/// Whether a password is shorter than what is recommended.
pub fn is_short(password: &str) -> bool {
    password.chars().count() < usize::from(RECOMMENDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_characters_and_long_passwords_are_welcome() {
        let alice: Username = "alice-example".parse().unwrap();
        for (password, expected) in [
            ("1234567", Err(Unfit::Short { least: 8 })),
            ("12345678", Ok(())),
            (
                "\u{95a2}\u{6240}\u{95a2}\u{6240}\u{95a2}\u{6240}\u{95a2}",
                Err(Unfit::Short { least: 8 }),
            ),
            (
                "\u{95a2}\u{6240}\u{95a2}\u{6240}\u{95a2}\u{6240}\u{95a2}\u{6240}",
                Ok(()),
            ),
            ("        ", Ok(())),
            ("Alice-Example", Err(Unfit::Username)),
        ] {
            assert_eq!(check(password, &alice, LEAST), expected, "{password:?}");
        }
        assert_eq!(check(&"x".repeat(64), &alice, 64), Ok(()));
        assert_eq!(check(&"x".repeat(MAX_LENGTH), &alice, LEAST), Ok(()));
        assert_eq!(
            check(&"x".repeat(MAX_LENGTH + 1), &alice, LEAST),
            Err(Unfit::Long)
        );
    }

    #[test]
    fn what_is_recommended_is_said_of_what_is_shorter() {
        assert!(is_short(&"x".repeat(14)));
        assert!(!is_short(&"x".repeat(15)));
    }
}
