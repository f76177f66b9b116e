//! The text of a refresh token: family, position, and a MAC that needs both the server's key and the family's secret.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::family::{Family, Position};
use crate::id::Id;
use crate::secret::Secret;

/// Bytes of family, generation and branch.
const HEAD: usize = 24;
/// Bytes of the whole token.
const LENGTH: usize = HEAD + 32;

/// The server's key for refresh tokens.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl TokenKey {
    /// The key with these random bytes.
    pub fn new(bytes: &Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes.expose()))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// A text that is no refresh token of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token of this server")]
pub struct BadToken;

/// A text of the form of a refresh token. Whether it is genuine is not known before [`UnverifiedToken::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct UnverifiedToken {
    family: Id<Family>,
    position: Position,
    mac: [u8; 32],
}

impl UnverifiedToken {
    /// Reads a token.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        // Longer texts are not worth decoding.
        if text.len() != LENGTH.div_ceil(3) * 4 - 1 {
            return Err(BadToken);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadToken)?;
        let (family, rest) = bytes.split_first_chunk::<16>().ok_or(BadToken)?;
        let (generation, rest) = rest.split_first_chunk::<4>().ok_or(BadToken)?;
        let (branch, mac) = rest.split_first_chunk::<4>().ok_or(BadToken)?;
        Ok(Self {
            family: Id::from_bytes(*family),
            position: Position {
                generation: u32::from_be_bytes(*generation),
                branch: u32::from_be_bytes(*branch),
            },
            mac: mac.try_into().map_err(|_| BadToken)?,
        })
    }

    /// The family that it names.
    pub const fn family(&self) -> Id<Family> {
        self.family
    }

    /// Makes sure that this server made it for this family.
    pub fn verify(&self, key: &TokenKey, family: &Family) -> Result<Presented, BadToken> {
        let expected = mac(key, self.family, self.position, &family.secret);
        verify_slices_are_equal(expected.as_ref(), &self.mac).map_err(|_| BadToken)?;
        if family.id == self.family {
            Ok(Presented {
                family: self.family,
                position: self.position,
            })
        } else {
            Err(BadToken)
        }
    }
}

/// Shows what it names, and nothing that would make it useful.
impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedToken({}, {:?})", self.family, self.position)
    }
}

/// A genuine token that somebody presented. Only [`UnverifiedToken::verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    family: Id<Family>,
    position: Position,
}

impl Presented {
    /// The family that it belongs to.
    pub const fn family(&self) -> Id<Family> {
        self.family
    }

    /// The position that it was made for.
    pub const fn position(&self) -> Position {
        self.position
    }
}

impl Family {
    /// The refresh token of a position.
    pub fn token(&self, key: &TokenKey, position: Position) -> Secret<String> {
        make(key, self.id, position, &self.secret)
    }
}

fn make(
    key: &TokenKey,
    family: Id<Family>,
    position: Position,
    secret: &Secret<[u8; 16]>,
) -> Secret<String> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend_from_slice(&head(family, position));
    bytes.extend_from_slice(mac(key, family, position, secret).as_ref());
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

fn mac(
    key: &TokenKey,
    family: Id<Family>,
    position: Position,
    secret: &Secret<[u8; 16]>,
) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&key.0);
    context.update(&head(family, position));
    context.update(secret.expose());
    context.sign()
}

fn head(family: Id<Family>, position: Position) -> Vec<u8> {
    [
        family.to_bytes().as_slice(),
        &position.generation.to_be_bytes(),
        &position.branch.to_be_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::family;
    use super::*;

    fn key(byte: u8) -> TokenKey {
        TokenKey::new(&Secret::new([byte; 32]))
    }

    proptest! {
        #[test]
        fn a_token_is_genuine_for_its_family_and_key_only(generation: u32, branch: u32) {
            let family = family();
            let position = Position { generation, branch };
            let token = UnverifiedToken::parse(family.token(&key(1), position).expose()).unwrap();
            prop_assert_eq!(token.verify(&key(1), &family).map(|presented| presented.position()), Ok(position));
            prop_assert_eq!(token.verify(&key(2), &family), Err(BadToken));
            let other_secret = Family { secret: Secret::new([9; 16]), ..family.clone() };
            prop_assert_eq!(token.verify(&key(1), &other_secret), Err(BadToken));
            let other_family = Family { id: Id::from_bytes([8; 16]), ..family };
            prop_assert_eq!(token.verify(&key(1), &other_family), Err(BadToken));
        }

        #[test]
        fn a_changed_token_is_not_genuine(byte in 0_usize..LENGTH, bit in 0_u8..8) {
            let family = family();
            let mut bytes = URL_SAFE_NO_PAD.decode(family.token(&key(1), Position::default()).expose()).unwrap();
            bytes[byte] ^= 1 << bit;
            let token = UnverifiedToken::parse(&URL_SAFE_NO_PAD.encode(bytes)).unwrap();
            prop_assert_eq!(token.verify(&key(1), &family), Err(BadToken));
        }

        #[test]
        fn no_text_is_too_strange_to_be_refused(text in ".{0,100}") {
            prop_assert_eq!(UnverifiedToken::parse(&text), Err(BadToken));
        }
    }
}
