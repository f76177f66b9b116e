//! Proof Key for Code Exchange, S256 only (RFC 7636; OAuth 2.1 §4.1.1).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The only method: `S256`.
pub const METHOD: &str = "S256";

/// Why a challenge or verifier was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PkceError {
    /// A challenge that is not the base64url form of 32 bytes.
    #[error("`code_challenge` is not the base64url form of a SHA-256 hash (43 characters)")]
    BadChallenge,
    /// A verifier not of 43 to 128 unreserved characters (RFC 7636 §4.1).
    #[error("`code_verifier` is not 43 to 128 characters of A-Z a-z 0-9 - . _ ~")]
    BadVerifier,
}

/// What the client committed itself to: the SHA-256 hash of its verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Whether this verifier is the one committed to; takes the same time for every verifier.
    pub fn is_met_by(&self, verifier: &CodeVerifier) -> bool {
        verify_slices_are_equal(&self.0, &verifier.challenge().0).is_ok()
    }
}

impl FromStr for CodeChallenge {
    type Err = PkceError;

    fn from_str(text: &str) -> Result<Self, PkceError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| PkceError::BadChallenge)?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| PkceError::BadChallenge)
    }
}

impl fmt::Display for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The secret that the client keeps until it redeems the code.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeVerifier(String);

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeVerifier(..)")
    }
}

impl CodeVerifier {
    /// Makes a verifier from random bytes.
    pub fn from_bytes(random: &[u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random))
    }

    /// The challenge that belongs to it.
    pub fn challenge(&self) -> CodeChallenge {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        CodeChallenge(hash)
    }

    /// The text to send.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CodeVerifier {
    type Err = PkceError;

    fn from_str(text: &str) -> Result<Self, PkceError> {
        let unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if (43..=128).contains(&text.len()) && text.bytes().all(unreserved) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PkceError::BadVerifier)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // AS-28: the example of RFC 7636, appendix B.
    #[test]
    fn the_example_of_the_rfc_holds() {
        let verifier: CodeVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
            .parse()
            .unwrap();
        assert_eq!(
            verifier.challenge().to_string(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    // SEC-1
    #[test]
    fn verifiers_outside_the_grammar_are_refused() {
        for bad in [
            "a".repeat(42),
            "a".repeat(129),
            format!("{}+", "a".repeat(43)),
            format!("{}\u{e9}", "a".repeat(43)),
        ] {
            assert_eq!(
                bad.parse::<CodeVerifier>(),
                Err(PkceError::BadVerifier),
                "{bad}"
            );
        }
        assert!("a".repeat(43).parse::<CodeVerifier>().is_ok());
        assert!("~".repeat(128).parse::<CodeVerifier>().is_ok());
    }

    // SEC-1
    #[test]
    fn challenges_that_are_no_hash_are_refused() {
        for bad in [
            "",
            "abc",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM",
        ] {
            assert_eq!(
                bad.parse::<CodeChallenge>(),
                Err(PkceError::BadChallenge),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn only_its_own_verifier_meets_a_challenge(a: [u8; 32], b: [u8; 32]) {
            let (mine, other) = (CodeVerifier::from_bytes(&a), CodeVerifier::from_bytes(&b));
            prop_assert!(mine.challenge().is_met_by(&mine));
            prop_assert_eq!(mine.challenge().is_met_by(&other), a == b);
            prop_assert_eq!(mine.challenge().to_string().parse::<CodeChallenge>(), Ok(mine.challenge()));
        }
    }
}
