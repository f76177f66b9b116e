//! Private signature keys: made, stored as PKCS#8, parsed once, used.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::jose::alg::Alg;
use crate::jose::jwk::{Curve, Jwk, JwkError};

/// What can go wrong with a private key. All of it is ours, none a peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The generator failed.
    #[error("the key could not be generated")]
    Generate,
    /// The stored form cannot be read.
    #[error("the private key cannot be read")]
    Unreadable,
    /// Its public half is not acceptable.
    #[error("the public half of the key: {0}")]
    Public(#[from] JwkError),
    /// The signature could not be made.
    #[error("the signature could not be made")]
    Sign,
    /// The claims could not be serialized.
    #[error("the claims could not be serialized")]
    Claims,
}

enum Private {
    Ec(Curve, EcdsaKeyPair),
    Rsa(&'static dyn RsaEncoding, RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What a private key of an algorithm is.
enum Kind {
    Ec(Curve, &'static EcdsaSigningAlgorithm),
    Rsa(&'static dyn RsaEncoding),
    Ed25519,
}

impl Kind {
    fn of(alg: Alg) -> Self {
        match alg {
            Alg::Es256 => Self::Ec(Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            Alg::Es384 => Self::Ec(Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            Alg::Es512 => Self::Ec(Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
            Alg::Rs256 => Self::Rsa(&RSA_PKCS1_SHA256),
            Alg::Rs384 => Self::Rsa(&RSA_PKCS1_SHA384),
            Alg::Rs512 => Self::Rsa(&RSA_PKCS1_SHA512),
            Alg::Ps256 => Self::Rsa(&RSA_PSS_SHA256),
            Alg::Ps384 => Self::Rsa(&RSA_PSS_SHA384),
            Alg::Ps512 => Self::Rsa(&RSA_PSS_SHA512),
            Alg::EdDsa => Self::Ed25519,
        }
    }
}

/// A private key with its algorithm. Its `kid` is the thumbprint of its public half.
pub struct SigningKey {
    alg: Alg,
    private: Private,
    public: Jwk,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("alg", &self.alg)
            .field("kid", &self.kid())
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes a key; those of RSA have 2048 bits.
    pub fn generate(alg: Alg) -> Result<Self, SigningError> {
        let failed = |_| SigningError::Generate;
        let private = match Kind::of(alg) {
            Kind::Ec(curve, algorithm) => {
                Private::Ec(curve, EcdsaKeyPair::generate(algorithm).map_err(failed)?)
            }
            Kind::Rsa(encoding) => Private::Rsa(
                encoding,
                RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?,
            ),
            Kind::Ed25519 => Private::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
        };
        Self::new(alg, private)
    }

    /// Reads a key from PKCS#8.
    pub fn from_pkcs8(alg: Alg, der: &[u8]) -> Result<Self, SigningError> {
        let unreadable = |_| SigningError::Unreadable;
        let private = match Kind::of(alg) {
            Kind::Ec(curve, algorithm) => Private::Ec(
                curve,
                EcdsaKeyPair::from_pkcs8(algorithm, der).map_err(unreadable)?,
            ),
            Kind::Rsa(encoding) => {
                Private::Rsa(encoding, RsaKeyPair::from_pkcs8(der).map_err(unreadable)?)
            }
            Kind::Ed25519 => Private::Ed25519(
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(unreadable)?,
            ),
        };
        Self::new(alg, private)
    }

    fn new(alg: Alg, private: Private) -> Result<Self, SigningError> {
        let public = match &private {
            Private::Ec(curve, pair) => {
                let point = pair.public_key().as_ref();
                let coordinates = point
                    .strip_prefix(&[4])
                    .and_then(|rest| rest.split_at_checked(curve.width()));
                let (x, y) = coordinates.ok_or(SigningError::Unreadable)?;
                Jwk::ec(*curve, x.to_vec(), y.to_vec())?
            }
            Private::Rsa(_, pair) => {
                let (n, e) =
                    rsa_numbers(pair.public_key().as_ref()).ok_or(SigningError::Unreadable)?;
                Jwk::rsa(n.to_vec(), e.to_vec())?
            }
            Private::Ed25519(pair) => Jwk::ed25519(pair.public_key().as_ref().to_vec())?,
        };
        let kid = public.thumbprint().to_owned();
        Ok(Self {
            alg,
            private,
            public: public.named(kid, alg),
        })
    }

    /// The key as PKCS#8, to be sealed and stored.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let unreadable = |_| SigningError::Unreadable;
        let der = match &self.private {
            Private::Ec(_, pair) => pair.to_pkcs8v1().map_err(unreadable)?.as_ref().to_vec(),
            Private::Rsa(_, pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)
                .map_err(unreadable)?
                .as_ref()
                .to_vec(),
            Private::Ed25519(pair) => pair.to_pkcs8v1().map_err(unreadable)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(der))
    }

    /// The algorithm.
    pub const fn alg(&self) -> Alg {
        self.alg
    }

    /// The key id.
    pub fn kid(&self) -> &str {
        self.public.thumbprint()
    }

    /// The public half, with `kid` and `alg`.
    pub const fn public(&self) -> &Jwk {
        &self.public
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let failed = |_| SigningError::Sign;
        let random = SystemRandom::new();
        match &self.private {
            Private::Ec(_, pair) => Ok(pair
                .sign(&random, message)
                .map_err(failed)?
                .as_ref()
                .to_vec()),
            Private::Rsa(encoding, pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Private::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Signs claims as a compact JWT with this `typ` (RFC 7519 §7.1).
    pub fn sign_jwt(&self, typ: &str, claims: &impl Serialize) -> Result<String, SigningError> {
        let header = serde_json::json!({ "alg": self.alg.as_str(), "typ": typ, "kid": self.kid() })
            .to_string();
        let claims = serde_json::to_vec(claims).map_err(|_| SigningError::Claims)?;
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1): a sequence of two integers.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = der_value(der, 0x30)?;
    let (n, rest) = der_value(sequence, 0x02)?;
    let (e, _) = der_value(rest, 0x02)?;
    Some((n, e))
}

/// The content of a DER value with this tag, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der {
        [first, length @ 0..=0x7f, rest @ ..] if *first == tag => (usize::from(*length), rest),
        [first, 0x81, length, rest @ ..] if *first == tag => (usize::from(*length), rest),
        [first, 0x82, high, low, rest @ ..] if *first == tag => {
            (usize::from(*high) << 8 | usize::from(*low), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
