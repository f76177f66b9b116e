//! Signature algorithms, and the set of them that a verifier accepts.

use std::fmt;
use std::str::FromStr;

/// A signature algorithm (RFC 7518 §3.1, RFC 8037). There is no `none` and no HMAC (SEC-39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// Ed25519, under the name of RFC 8037; that of RFC 9864 (`Ed25519`) is read as this one.
    EdDsa,
}

impl Alg {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::EdDsa,
    ];

    /// The wire's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Alg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no algorithm that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a supported signature algorithm")]
pub struct UnsupportedAlg;

impl FromStr for Alg {
    type Err = UnsupportedAlg;

    fn from_str(text: &str) -> Result<Self, UnsupportedAlg> {
        if text == "Ed25519" {
            return Ok(Self::EdDsa);
        }
        Self::ALL
            .iter()
            .copied()
            .find(|alg| alg.as_str() == text)
            .ok_or(UnsupportedAlg)
    }
}

/// The algorithms a verifier accepts. There is no default: whoever verifies says which.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlgSet(u16);

impl AlgSet {
    /// Every algorithm that exists here.
    pub const ALL: Self = Self::of(Alg::ALL);

    /// Exactly these.
    pub const fn of(algs: &[Alg]) -> Self {
        let mut bits = 0;
        let mut rest = algs;
        while let [alg, tail @ ..] = rest {
            bits |= 1 << (*alg as u8);
            rest = tail;
        }
        Self(bits)
    }

    /// Whether this one is accepted.
    pub const fn contains(self, alg: Alg) -> bool {
        self.0 & (1 << (alg as u8)) != 0
    }
}

impl fmt::Debug for AlgSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Alg::ALL.iter().filter(|alg| self.contains(**alg)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-39
    #[test]
    fn none_and_hmac_do_not_exist() {
        for name in [
            "none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "es256", "",
        ] {
            assert_eq!(name.parse::<Alg>(), Err(UnsupportedAlg), "{name}");
        }
    }

    #[test]
    fn every_algorithm_is_read_as_it_is_written() {
        for alg in Alg::ALL {
            assert_eq!(alg.as_str().parse(), Ok(*alg));
        }
        assert_eq!("Ed25519".parse(), Ok(Alg::EdDsa));
    }

    #[test]
    fn a_set_contains_what_it_was_made_of() {
        let set = AlgSet::of(&[Alg::Es256, Alg::EdDsa]);
        assert_eq!(
            Alg::ALL
                .iter()
                .map(|alg| set.contains(*alg))
                .collect::<Vec<_>>(),
            [
                true, false, false, false, false, false, false, false, false, true
            ]
        );
        assert!(Alg::ALL.iter().all(|alg| AlgSet::ALL.contains(*alg)));
    }
}
