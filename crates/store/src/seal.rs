//! Sealing: AES-256-GCM with a random nonce, the key's name, and the purpose as associated data (SEC-70).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::secret::Secret;
use zeroize::Zeroizing;

use crate::error::Error;
pub use crate::error::UnsealError;
use crate::random;

const VERSION: u8 = 1;
/// Bytes of version and key name.
const HEAD: usize = 5;

/// A key to seal with: 32 random bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKey(Secret<[u8; 32]>);

/// A text that is no sealing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 random bytes in base64url (43 characters) or hexadecimal (64)")]
pub struct BadSealingKey;

impl SealingKey {
    /// The key with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// A new key.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self::new(random::bytes()?))
    }

    /// Reads a key, as [`Self::to_text`] or `openssl rand -hex 32` or `-base64 32` write it.
    pub fn parse(text: &str) -> Result<Self, BadSealingKey> {
        let text = text.trim();
        let bytes = if text.len() == 64 {
            Zeroizing::new(hex(text).ok_or(BadSealingKey)?)
        } else {
            let normal = Zeroizing::new(
                text.trim_end_matches('=')
                    .replace('+', "-")
                    .replace('/', "_"),
            );
            Zeroizing::new(
                URL_SAFE_NO_PAD
                    .decode(normal.as_bytes())
                    .map_err(|_| BadSealingKey)?,
            )
        };
        bytes
            .as_slice()
            .try_into()
            .map(Self::new)
            .map_err(|_| BadSealingKey)
    }

    /// The key as text, to be kept in a file that only its owner reads.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(URL_SAFE_NO_PAD.encode(self.0.expose()))
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .chars()
        .map(|c| c.to_digit(16))
        .collect::<Option<Vec<u32>>>()?;
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(pair.iter().fold(0, |value, digit| value * 16 + digit)).ok())
        .collect()
}

/// Seals with one key, and opens what was sealed with it or with an earlier one.
pub struct Sealer {
    /// The first one seals.
    keys: Vec<NamedKey>,
}

struct NamedKey {
    name: [u8; 4],
    key: LessSafeKey,
}

impl Sealer {
    /// A sealer with a current key, and earlier ones that still open.
    pub fn new(current: &SealingKey, previous: &[SealingKey]) -> Result<Self, Error> {
        let keys = std::iter::once(current)
            .chain(previous)
            .map(NamedKey::new)
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Seals a value for a purpose. Values of different purposes, or of different rows, cannot stand for each other.
    pub fn seal(&self, purpose: &str, value: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(current) = self.keys.first() else {
            return Err(Error::Random);
        };
        let nonce: [u8; NONCE_LEN] = random::bytes()?;
        let head = current.head();
        let mut sealed = Zeroizing::new(value.to_vec());
        current
            .key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                associated(head, purpose),
                &mut *sealed,
            )
            .map_err(|_| Error::Random)?;
        Ok([head.as_slice(), &nonce, &sealed].concat())
    }

    /// Opens a value that was sealed for this purpose.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, UnsealError> {
        let (head, rest) = sealed
            .split_first_chunk::<HEAD>()
            .ok_or(UnsealError::Malformed)?;
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(UnsealError::Malformed)?;
        if head.first() != Some(&VERSION) {
            return Err(UnsealError::Malformed);
        }
        let key = self
            .keys
            .iter()
            .find(|key| key.head() == *head)
            .ok_or(UnsealError::UnknownKey)?;
        let mut value = body.to_vec();
        let length = key
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                associated(*head, purpose),
                &mut value,
            )
            .map_err(|_| UnsealError::NotAuthentic)?
            .len();
        value.truncate(length);
        Ok(Secret::new(value))
    }

    /// Like [`Self::seal`], as base64url text for cookies and headers.
    pub fn seal_text(&self, purpose: &str, value: &[u8]) -> Result<String, Error> {
        self.seal(purpose, value)
            .map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what [`Self::seal_text`] sealed.
    pub fn open_text(&self, purpose: &str, sealed: &str) -> Result<Secret<Vec<u8>>, UnsealError> {
        let sealed = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_| UnsealError::Malformed)?;
        self.open(purpose, &sealed)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", self.keys.len())
    }
}

impl NamedKey {
    fn new(key: &SealingKey) -> Result<Self, Error> {
        let bytes = key.0.expose();
        let mut name = [0; 4];
        let hash = digest(&SHA256, &[b"sealing key name".as_slice(), bytes].concat());
        for (to, from) in name.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| Error::Random)?;
        Ok(Self {
            name,
            key: LessSafeKey::new(key),
        })
    }

    const fn head(&self) -> [u8; HEAD] {
        let [a, b, c, d] = self.name;
        [VERSION, a, b, c, d]
    }
}

fn associated(head: [u8; HEAD], purpose: &str) -> Aad<Vec<u8>> {
    Aad::from([head.as_slice(), purpose.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8, previous: &[u8]) -> Sealer {
        let previous: Vec<_> = previous
            .iter()
            .map(|byte| SealingKey::new([*byte; 32]))
            .collect();
        Sealer::new(&SealingKey::new([byte; 32]), &previous).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_only() {
        let sealer = sealer(1, &[]);
        let sealed = sealer.seal("a", b"value").unwrap();
        assert_eq!(sealer.open("a", &sealed).unwrap().expose(), b"value");
        assert_eq!(sealer.open("b", &sealed), Err(UnsealError::NotAuthentic));
        let text = sealer.seal_text("a", b"value").unwrap();
        assert_eq!(sealer.open_text("a", &text).unwrap().expose(), b"value");
        assert_eq!(sealer.open_text("a", "%"), Err(UnsealError::Malformed));
    }

    // SEC-70
    #[test]
    fn no_byte_can_be_changed() {
        let sealer = sealer(1, &[]);
        let sealed = sealer.seal("a", b"value").unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"value"));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(sealer.open("a", &changed).is_err(), "byte {index}");
            assert!(
                sealer.open("a", &sealed[..index]).is_err(),
                "cut at {index}"
            );
        }
    }

    #[test]
    fn two_sealings_of_one_value_differ() {
        let sealer = sealer(1, &[]);
        assert_ne!(
            sealer.seal("a", b"value").unwrap(),
            sealer.seal("a", b"value").unwrap()
        );
    }

    #[test]
    fn an_earlier_key_still_opens_and_a_foreign_one_does_not() {
        let sealed = sealer(1, &[]).seal("a", b"value").unwrap();
        assert_eq!(
            sealer(2, &[1]).open("a", &sealed).unwrap().expose(),
            b"value"
        );
        assert_eq!(
            sealer(2, &[3]).open("a", &sealed),
            Err(UnsealError::UnknownKey)
        );
    }

    #[test]
    fn keys_are_read_in_both_notations() {
        let key = SealingKey::new([0xab; 32]);
        assert_eq!(SealingKey::parse(key.to_text().expose()), Ok(key.clone()));
        assert_eq!(SealingKey::parse(&"ab".repeat(32)), Ok(key.clone()));
        assert_eq!(
            SealingKey::parse("q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n"),
            Ok(key)
        );
        for bad in ["", "short", &"zz".repeat(32), &"ab".repeat(31)] {
            assert_eq!(SealingKey::parse(bad), Err(BadSealingKey), "{bad}");
        }
    }

    // SEC-70
    #[test]
    fn keys_are_not_printed() {
        let printed = format!("{:?} {:?}", SealingKey::new([7; 32]), sealer(7, &[]));
        assert_eq!(printed, "SealingKey(Secret(..)) Sealer(1 keys)");
    }
}
