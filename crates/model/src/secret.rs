//! Secrets that are never printed, and the only form in which a token may be stored.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A value that is never printed or serialized, and wiped when dropped (SEC-70).
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into custody.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Whoever calls this promises not to log it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    /// Takes the same time wherever two secrets of one length differ.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 hash of a random token: what is stored instead of it. Not for passwords.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token.
    pub fn of(token: impl AsRef<[u8]>) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_ref()).as_ref());
        Self(hash)
    }

    /// Hashes several texts as one. Each is preceded by its length, so that no others have the same hash, whatever is in
    /// them.
    pub fn of_all(texts: &[&str]) -> Self {
        let mut bytes = Vec::with_capacity(texts.iter().map(|text| text.len() + 8).sum());
        for text in texts {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        Self::of(bytes)
    }

    /// The hash with these bytes, as read from storage.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Whether it is the same; takes the same time wherever two differ.
    pub fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self})")
    }
}

/// An opaque token from 32 random bytes: 43 characters of base64url (SEC-3, SEC-55).
pub fn token(random: &[u8; 32]) -> Secret<String> {
    Secret::new(URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-70, SEC-71
    #[test]
    fn secrets_are_not_printed() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(Secret(..))");
    }

    #[test]
    fn secrets_compare_by_value() {
        assert_eq!(Secret::new("a".to_owned()), Secret::new("a".to_owned()));
        assert_ne!(Secret::new("a".to_owned()), Secret::new("ab".to_owned()));
    }

    // SEC-3
    #[test]
    fn a_token_has_256_bits_and_a_hash_of_its_own() {
        assert_eq!(token(&[0; 32]).expose().len(), 43);
        assert_ne!(
            TokenHash::of(token(&[0; 32]).expose()),
            TokenHash::of(token(&[1; 32]).expose())
        );
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            TokenHash::of("abc").to_string(),
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
        );
    }

    // SEC-77
    #[test]
    fn texts_are_hashed_with_their_borders() {
        let hashes = [
            TokenHash::of_all(&["a", "b"]),
            TokenHash::of_all(&["ab", ""]),
            TokenHash::of_all(&["", "ab"]),
            TokenHash::of_all(&["ab"]),
            TokenHash::of_all(&["a\0b"]),
            TokenHash::of_all(&["a", "b", ""]),
        ];
        for (number, hash) in hashes.iter().enumerate() {
            assert!(!hashes[number + 1..].contains(hash), "{number}");
        }
    }
}
