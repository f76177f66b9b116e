//! The key that seals what is secret in the store, and the keys that are derived from it.

use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::secret::Secret;

use crate::config::convert::storage::KeyOrigin;
use crate::files;

/// 32 random bytes that must not be lost: without them nothing sealed can be opened.
pub(crate) type Key = Secret<[u8; 32]>;

/// The key from where the configuration says; in the data directory it is made on first use.
pub(crate) fn key(origin: &KeyOrigin) -> anyhow::Result<Key> {
    match origin {
        KeyOrigin::Given(bytes) => from_bytes(bytes.expose()),
        KeyOrigin::Ephemeral => random(),
        KeyOrigin::Kept(path) => kept(path),
    }
}

fn kept(path: &Path) -> anyhow::Result<Key> {
    if let Some(directory) = path.parent() {
        files::make_private_directory(directory)?;
    }
    if !path.try_exists().with_context(|| format!("the file `{}` can't be looked for", path.display()))? {
        let new = random()?;
        files::write_new_private(path, &format!("{}\n", STANDARD.encode(new.expose())))?;
        return Ok(new);
    }
    let text = Secret::new(files::read_text(path)?);
    let bytes = Secret::new(STANDARD.decode(text.expose().trim()).unwrap_or_default());
    from_bytes(bytes.expose()).with_context(|| format!("the key in `{}` can't be used", path.display()))
}

fn random() -> anyhow::Result<Key> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(Secret::new(bytes))
}

fn from_bytes(bytes: &[u8]) -> anyhow::Result<Key> {
    ensure!(bytes.len() == 32, "expected 32 bytes in base64");
    let mut key = [0; 32];
    key.copy_from_slice(bytes);
    Ok(Secret::new(key))
}

/// A key for one purpose, so that what is sealed for another can't be opened with it (RFC 5869).
pub(crate) fn derived(key: &Key, purpose: &str) -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let purpose = [purpose.as_bytes()];
    let expanded = Salt::new(HKDF_SHA256, &[]).extract(key.expose());
    expanded.expand(&purpose, HKDF_SHA256).and_then(|derived| derived.fill(&mut bytes)).context("no key can be derived")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_is_made_once_and_can_be_read_by_its_owner_only() {
        let directory = std::env::temp_dir().join(format!("sekisho-key-{}", std::process::id()));
        let path = directory.join("deep").join("store.key");
        let first = key(&KeyOrigin::Kept(path.clone())).unwrap();
        let second = key(&KeyOrigin::Kept(path.clone())).unwrap();
        assert_eq!(first.expose(), second.expose());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "not a key").unwrap();
        assert!(key(&KeyOrigin::Kept(path)).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn keys_for_different_purposes_differ() {
        let key = Secret::new([7; 32]);
        assert_ne!(derived(&key, "a").unwrap(), derived(&key, "b").unwrap());
        assert_eq!(derived(&key, "a").unwrap(), derived(&key, "a").unwrap());
    }
}
