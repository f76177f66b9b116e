//! JSON Web Signatures in compact form (RFC 7515): parsed once, verified with a key that we chose.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::jose::alg::{Alg, AlgSet};
use crate::jose::jwk::{Jwk, JwkSet};

/// The longest token, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;

/// Why a token was refused before its claims mattered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than [`MAX_LENGTH`].
    #[error("the token is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Not three parts of base64url.
    #[error("the token is not three base64url parts")]
    NotCompact,
    /// The header is no JSON object with `alg`.
    #[error("the header of the token is not a JSON object with `alg`")]
    BadHeader,
    /// `crit` names extensions, and none is understood here (RFC 7515 §4.1.11).
    #[error("the token demands extensions that are not understood")]
    CriticalExtension,
    /// `alg` is unknown or not in the accepted set: `none`, HMAC and everything unasked for (SEC-39).
    #[error("the algorithm of the token is not accepted")]
    AlgNotAccepted,
    /// No key of this `kid`. Fetching the keys again may help.
    #[error("no key of the token's `kid` is known")]
    UnknownKey,
    /// There is a key of this `kid`, but not for this algorithm.
    #[error("the key of the token's `kid` is not for its algorithm")]
    WrongKey,
    /// The signature does not verify.
    #[error("the signature of the token does not verify")]
    BadSignature,
}

/// The members of the header that are looked at. `jku`, `jwk`, `x5u` and `x5c` are ignored: the key is ours to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `alg` as written.
    pub alg: String,
    /// `kid`.
    pub kid: Option<String>,
    /// `typ`, lower-case and without `application/`.
    pub typ: Option<String>,
}

#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    #[serde(default)]
    kid: Option<KeyId>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// A text; some issuers write a number, in their key set as well.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeyId {
    Text(String),
    Number(serde_json::Number),
}

/// A token whose signature has not been verified. What it says must not be believed.
#[derive(Clone)]
pub struct UnverifiedJws<'a> {
    signed: &'a str,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl std::fmt::Debug for UnverifiedJws<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnverifiedJws")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl<'a> UnverifiedJws<'a> {
    /// Takes a compact token apart.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > MAX_LENGTH {
            return Err(JwsError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::NotCompact)?;
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| JwsError::NotCompact)
        };
        let raw: RawHeader =
            serde_json::from_slice(&decode(header)?).map_err(|_| JwsError::BadHeader)?;
        if raw.crit.is_some() {
            return Err(JwsError::CriticalExtension);
        }
        let typ = raw.typ.map(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/")
                .map(ToOwned::to_owned)
                .unwrap_or(typ)
        });
        Ok(Self {
            signed,
            header: Header {
                alg: raw.alg,
                kid: raw.kid.map(|kid| match kid {
                    KeyId::Text(kid) => kid,
                    KeyId::Number(kid) => kid.to_string(),
                }),
                typ,
            },
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// The header, unverified.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The payload, unverified.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Verifies with a key of the set whose `kid` and algorithm fit, and returns that key.
    pub fn verify<'k>(&self, keys: &'k JwkSet, accepted: AlgSet) -> Result<&'k Jwk, JwsError> {
        let alg: Alg = self
            .header
            .alg
            .parse()
            .map_err(|_| JwsError::AlgNotAccepted)?;
        if !accepted.contains(alg) {
            return Err(JwsError::AlgNotAccepted);
        }
        let kid = self.header.kid.as_deref();
        let mut candidates = keys
            .keys()
            .iter()
            .filter(|key| key.supports(alg) && (kid.is_none() || key.kid() == kid))
            .peekable();
        if candidates.peek().is_none() {
            let named = kid.is_some_and(|kid| keys.contains(kid));
            return Err(if named {
                JwsError::WrongKey
            } else {
                JwsError::UnknownKey
            });
        }
        candidates
            .find(|key| {
                key.verify(alg, self.signed.as_bytes(), &self.signature)
                    .is_ok()
            })
            .ok_or(JwsError::BadSignature)
    }
}
