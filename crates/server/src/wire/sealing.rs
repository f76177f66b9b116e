//! The key that seals what is secret in the store, and the keys that are derived from it.

use std::path::Path;

use anyhow::Context as _;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use model::secret::Secret;
use net::durable::Audience;
use store::seal::SealingKey;

use crate::config::convert::storage::KeyOrigin;
use crate::files;

/// The key from where the configuration says; in the data directory it is made on first use.
pub(crate) fn key(origin: &KeyOrigin) -> anyhow::Result<SealingKey> {
    match origin {
        KeyOrigin::Given(key) => Ok(key.clone()),
        KeyOrigin::Ephemeral => Ok(SealingKey::generate()?),
        KeyOrigin::Kept(path) => kept(path),
    }
}

fn kept(path: &Path) -> anyhow::Result<SealingKey> {
    if let Some(directory) = path.parent() {
        files::make_private_directory(directory)?;
    }
    if !path
        .try_exists()
        .with_context(|| format!("the file `{}` can't be looked for", path.display()))?
    {
        let new = SealingKey::generate()?;
        files::write_new(
            path,
            &format!("{}\n", new.to_text().expose()),
            Audience::Owner,
        )?;
        return Ok(new);
    }
    let text = Secret::new(files::read_private(path)?);
    SealingKey::parse(text.expose())
        .with_context(|| format!("the key in `{}` can't be used", path.display()))
}

/// A key for one purpose, so that what is sealed for another can't be opened with it (RFC 5869).
pub(crate) fn derived(key: &SealingKey, purpose: &str) -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let purpose = [purpose.as_bytes()];
    let expanded = Salt::new(HKDF_SHA256, &[]).extract(key.to_text().expose().as_bytes());
    expanded
        .expand(&purpose, HKDF_SHA256)
        .and_then(|derived| derived.fill(&mut bytes))
        .context("no key can be derived")?;
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
        assert!(first == second);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o646)).unwrap();
            let refused = key(&KeyOrigin::Kept(path.clone())).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        std::fs::write(&path, "not a key").unwrap();
        assert!(key(&KeyOrigin::Kept(path)).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn keys_for_different_purposes_differ() {
        let key = SealingKey::new([7; 32]);
        assert_ne!(derived(&key, "a").unwrap(), derived(&key, "b").unwrap());
        assert_eq!(derived(&key, "a").unwrap(), derived(&key, "a").unwrap());
    }
}
