//! Passwords: Argon2id with 19 MiB, two passes and one lane, in the PHC string format. Each call costs some 50 ms of
//! CPU: run it on a bounded pool (SEC-53).

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;

/// The longest password, in bytes: hashing must not be made expensive by its length.
pub const MAX_LENGTH: usize = 1024;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The hash that unknown users are checked against, so that they cost what known ones cost (SEC-54). It has the
/// parameters of [`hash`]; its output is a chosen text, so that no known password leads to it.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm8gdXNlciBoYXMgdGhpcw$c2xpcHBlZCB0aHJvdWdoIHRoZSBnYXRlIG9mIHNla2k";

/// Why a password could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Longer than [`MAX_LENGTH`].
    #[error("the password is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A stored hash that is no PHC string of Argon2.
    #[error("not a PHC string of Argon2")]
    BadHash,
    /// Argon2 refused its parameters or memory.
    #[error("the password could not be hashed")]
    Failed,
}

/// A password hash in PHC format. Printed without salt and output.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a PHC string of any Argon2 parameters.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let parsed = Phc::new(text).map_err(|_| PasswordError::BadHash)?;
        if !parsed.algorithm.as_str().starts_with("argon2")
            || parsed.hash.is_none()
            || parsed.salt.is_none()
        {
            return Err(PasswordError::BadHash);
        }
        Ok(Self(text.to_owned()))
    }

    /// The hash that stands in for users that do not exist (SEC-54).
    pub fn dummy() -> Self {
        Self(DUMMY.to_owned())
    }

    /// The PHC string, for storage.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Hashes a password with 16 random bytes of salt.
pub fn hash(password: &str, salt: &[u8; 16]) -> Result<PasswordHash, PasswordError> {
    if password.len() > MAX_LENGTH {
        return Err(PasswordError::TooLong);
    }
    let phc = argon2()?
        .hash_password_with_salt(password.as_bytes(), salt)
        .map_err(|_| PasswordError::Failed)?;
    Ok(PasswordHash(phc.to_string()))
}

/// Whether this is the password, by the parameters of the hash. A password that is too long is simply wrong.
pub fn verify(password: &str, hash: &PasswordHash) -> Result<bool, PasswordError> {
    let parsed = Phc::new(&hash.0).map_err(|_| PasswordError::BadHash)?;
    // A password that is too long must cost what any other wrong password costs.
    let password = if password.len() > MAX_LENGTH {
        ""
    } else {
        password
    };
    let verified = argon2()?
        .verify_password(password.as_bytes(), &parsed)
        .is_ok();
    Ok(verified && !password.is_empty())
}

/// Whether the hash should be renewed at the next login, as its parameters are weaker than today's.
pub fn is_outdated(hash: &PasswordHash) -> bool {
    let Ok(parsed) = Phc::new(&hash.0) else {
        return true;
    };
    let params = Params::try_from(&parsed).ok();
    parsed.algorithm.as_str() != "argon2id"
        || params.is_none_or(|params| params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES)
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError::Failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_verifies() {
        let stored = hash("correct horse", &[1; 16]).unwrap();
        assert_eq!(verify("correct horse", &stored), Ok(true));
        assert_eq!(verify("correct horsf", &stored), Ok(false));
        assert_eq!(verify("", &stored), Ok(false));
        assert!(
            stored
                .as_str()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            stored.as_str()
        );
        assert!(!is_outdated(&stored));
    }

    // SEC-54
    #[test]
    fn the_dummy_costs_what_a_real_hash_costs_and_matches_nothing() {
        let dummy = PasswordHash::dummy();
        let cost =
            |hash: &PasswordHash| Params::try_from(&Phc::new(hash.as_str()).unwrap()).unwrap();
        assert_eq!(cost(&dummy), cost(&hash("x", &[2; 16]).unwrap()));
        assert_eq!(verify("alice", &dummy), Ok(false));
    }

    // SEC-70
    #[test]
    fn a_hash_is_not_printed() {
        assert_eq!(format!("{:?}", PasswordHash::dummy()), "PasswordHash(..)");
    }

    #[test]
    fn texts_that_are_no_argon2_hash_are_refused() {
        for bad in [
            "",
            "secret",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        ] {
            assert_eq!(
                PasswordHash::parse(bad),
                Err(PasswordError::BadHash),
                "{bad}"
            );
        }
    }

    #[test]
    fn overlong_passwords_are_refused_and_never_match() {
        let long = "x".repeat(MAX_LENGTH + 1);
        assert_eq!(hash(&long, &[3; 16]), Err(PasswordError::TooLong));
        assert_eq!(verify(&long, &PasswordHash::dummy()), Ok(false));
    }

    #[test]
    fn weaker_hashes_are_outdated() {
        let weak = "$argon2id$v=19$m=4096,t=2,p=1$bm8gdXNlciBoYXMgdGhpcw$c2xpcHBlZCB0aHJvdWdoIHRoZSBnYXRlIG9mIHNla2k";
        assert!(is_outdated(&PasswordHash::parse(weak).unwrap()));
    }
}
