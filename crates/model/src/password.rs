//! Passwords: Argon2id with 19 MiB, two passes and one lane, in the PHC string format. Each check costs some 15 ms of
//! CPU and all of its [`Memory`]: run it on a bounded pool (SEC-53).

use std::alloc::System;
use std::fmt;

use allocator_api2::vec::Vec as VecIn;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;

/// The longest password, in bytes: hashing must not be made expensive by its length.
pub const MAX_LENGTH: usize = 1024;

const LANES: u32 = 1;

/// What a hash costs whoever guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Argon2's memory, in KiB.
    memory: u32,
    /// Argon2's passes over it.
    passes: u32,
}

impl Cost {
    /// What a password is hashed with (SEC-53).
    pub const DEFAULT: Self = Self {
        memory: 19 * 1024,
        passes: 2,
    };

    /// The least that Argon2 does: guessing at it costs nothing. Only for tests that are about something else.
    pub const DANGER_LEAST: Self = Self {
        memory: Params::MIN_M_COST,
        passes: Params::MIN_T_COST,
    };

    /// Whether a hash should be renewed at the next login, as its parameters are weaker.
    pub fn is_above(self, hash: &PasswordHash) -> bool {
        let Ok(parsed) = Phc::new(&hash.0) else {
            return true;
        };
        let params = Params::try_from(&parsed).ok();
        parsed.algorithm.as_str() != "argon2id"
            || params
                .is_none_or(|params| params.m_cost() < self.memory || params.t_cost() < self.passes)
    }

    /// The hash that stands in for users that do not exist, so that they cost what known ones cost (SEC-54). Its output is a
    /// chosen text, so that no known password leads to it.
    pub fn dummy(self) -> PasswordHash {
        let Self { memory, passes } = self;
        PasswordHash(format!(
            "$argon2id$v=19$m={memory},t={passes},p={LANES}$bm8gdXNlciBoYXMgdGhpcw$c2xpcHBlZCB0aHJvdWdoIHRoZSBnYXRlIG9mIHNla2k"
        ))
    }
}

/// How many blocks of a KiB [`Memory`] reserves, and keeps: more than 32 MiB of them, so that glibc's `malloc` asks the
/// system for them and gives them back as a whole. Smaller pieces it puts into its arenas from the second one on, and
/// leaves them there (`M_MMAP_THRESHOLD` in mallopt(3)). What is reserved and never written costs address space only.
const RESERVED: usize = 33 * 1024;

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

    /// [`Cost::dummy`] of what a password is hashed with.
    pub fn dummy() -> Self {
        Cost::DEFAULT.dummy()
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

/// What one check needs at a time: 19 MiB, asked of the system by the first check and kept for the next ones until this
/// is dropped (SEC-91). Checks that follow each other are faster for it, too.
pub struct Memory(VecIn<Block, System>);

impl Default for Memory {
    fn default() -> Self {
        Self(VecIn::new_in(System))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} KiB)", self.0.len())
    }
}

impl Memory {
    /// Hashes a password with 16 random bytes of salt.
    pub fn hash(
        &mut self,
        password: &str,
        salt: &[u8; 16],
        cost: Cost,
    ) -> Result<PasswordHash, PasswordError> {
        if password.len() > MAX_LENGTH {
            return Err(PasswordError::TooLong);
        }
        let params = Params::new(cost.memory, cost.passes, LANES, None)
            .map_err(|_| PasswordError::Failed)?;
        let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
        let parameters = ParamsString::try_from(&params).map_err(|_| PasswordError::Failed)?;
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        let argon2 = Argon2::new(algorithm, version, params);
        self.fill(&argon2, password, salt, &mut output)?;
        let phc = Phc {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: parameters,
            salt: Some(Salt::new(salt).map_err(|_| PasswordError::Failed)?),
            hash: Some(Output::new(&output).map_err(|_| PasswordError::Failed)?),
        };
        Ok(PasswordHash(phc.to_string()))
    }

    /// Whether this is the password, by the parameters of the hash. A password that is too long is simply wrong.
    pub fn verify(&mut self, password: &str, hash: &PasswordHash) -> Result<bool, PasswordError> {
        let parsed = Phc::new(&hash.0).map_err(|_| PasswordError::BadHash)?;
        let (Some(salt), Some(expected)) = (parsed.salt, parsed.hash) else {
            return Err(PasswordError::BadHash);
        };
        let algorithm = Algorithm::try_from(parsed.algorithm.as_str());
        let algorithm = algorithm.map_err(|_| PasswordError::BadHash)?;
        let version = parsed.version.map(Version::try_from).transpose();
        let version = version.map_err(|_| PasswordError::BadHash)?;
        let params = Params::try_from(&parsed).map_err(|_| PasswordError::BadHash)?;
        let argon2 = Argon2::new(algorithm, version.unwrap_or_default(), params);
        // A password that is too long must cost what any other wrong password costs.
        let password = if password.len() > MAX_LENGTH {
            ""
        } else {
            password
        };
        let mut output = vec![0; expected.len()];
        self.fill(&argon2, password, &salt, &mut output)?;
        let verified = verify_slices_are_equal(&output, expected.as_bytes()).is_ok();
        Ok(verified && !password.is_empty())
    }

    /// Runs Argon2. What a hash of other parameters needs beyond [`RESERVED`] is not kept.
    fn fill(
        &mut self,
        argon2: &Argon2<'_>,
        password: &str,
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), PasswordError> {
        let needed = argon2.params().block_count();
        if self.0.capacity() < needed {
            self.0 = VecIn::new_in(System);
            self.0
                .try_reserve_exact(needed.max(RESERVED))
                .map_err(|_| PasswordError::Failed)?;
        }
        if self.0.len() < needed {
            self.0.resize(needed, Block::new());
        }
        let filled = argon2.hash_password_into_with_memory(
            password.as_bytes(),
            salt,
            output,
            self.0.as_mut_slice(),
        );
        if self.0.capacity() > RESERVED {
            self.0 = VecIn::new_in(System);
        }
        filled.map_err(|_| PasswordError::Failed)
    }
}

/// Hashes a single password with 16 random bytes of salt, in memory of its own.
pub fn hash(password: &str, salt: &[u8; 16]) -> Result<PasswordHash, PasswordError> {
    Memory::default().hash(password, salt, Cost::DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(password: &str, hash: &PasswordHash) -> Result<bool, PasswordError> {
        Memory::default().verify(password, hash)
    }

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
        assert!(!Cost::DEFAULT.is_above(&stored));
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
        let weak = PasswordHash::parse(weak).unwrap();
        assert!(Cost::DEFAULT.is_above(&weak) && !Cost::DANGER_LEAST.is_above(&weak));
    }

    // SEC-91
    #[test]
    fn memory_is_kept_from_check_to_check_and_leaves_no_trace_in_the_next() {
        let mut memory = Memory::default();
        let first = memory
            .hash("correct horse", &[1; 16], Cost::DEFAULT)
            .unwrap();
        let place = memory.0.as_ptr();
        assert_eq!(memory.verify("battery staple", &first), Ok(false));
        assert_eq!(memory.verify("correct horse", &first), Ok(true));
        assert_eq!(
            memory.hash("correct horse", &[1; 16], Cost::DEFAULT),
            Ok(first)
        );
        assert_eq!(memory.0.as_ptr(), place);
        assert_eq!(memory.0.len(), Cost::DEFAULT.memory as usize);
    }

    // SEC-91
    #[test]
    fn what_a_larger_hash_needs_is_not_kept() {
        let argon2 = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(40 * 1024, 1, 1, None).unwrap(),
        );
        let mut output = [0; 32];
        argon2
            .hash_password_into(b"correct horse", &[1; 16], &mut output)
            .unwrap();
        let large = Phc {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(argon2.params()).unwrap(),
            salt: Some(Salt::new(&[1; 16]).unwrap()),
            hash: Some(Output::new(&output).unwrap()),
        };
        let large = PasswordHash::parse(&large.to_string()).unwrap();
        let mut memory = Memory::default();
        assert_eq!(memory.verify("correct horse", &large), Ok(true));
        assert_eq!(memory.0.capacity(), 0);
    }
}
