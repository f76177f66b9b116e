//! Opens the database: its directory, its key, its schema.

use anyhow::Context as _;
use store::Store;
use store::seal::{Sealer, SealingKey};

use crate::config::convert::storage::Storage;
use crate::files;
use crate::wire::sealing;

/// The database, ready for use, and the key that seals what is secret in it.
pub(crate) async fn open(storage: &Storage) -> anyhow::Result<(Store, SealingKey)> {
    if let Some(directory) = storage.directory() {
        files::make_private_directory(directory)?;
    }
    let key = sealing::key(&storage.key)?;
    let store = Store::open(&storage.url, Sealer::new(&key, &[])?)
        .await
        .with_context(|| format!("the database {} can't be opened", storage.url))?;
    Ok((store, key))
}
