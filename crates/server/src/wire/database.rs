//! Opens the database: its directory, its key, its schema. An empty one is begun only where nothing says that there was
//! one before: whoever lost a disk, or mistyped a path, must not find a program that seems well and knows nobody.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use store::Store;
use store::opening::{Found, Opening};
use store::seal::{Sealer, SealingKey};

use crate::config::convert::storage::{KeyOrigin, Storage};
use crate::files;
use crate::wire::sealing;

/// Whether an empty database may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Where nothing says that there was one.
    IfNew,
    /// Whatever there was: the operator insists.
    Insisted,
    /// Not at all: there is nothing to do in an empty one.
    Never,
}

/// The database, ready for use, and the key that seals what is secret in it.
pub(crate) async fn open(storage: &Storage, begin: Begin) -> anyhow::Result<(Store, SealingKey)> {
    let file = storage.url.path();
    let missing = match file {
        Some(path) => !exists(path)?,
        None => false,
    };
    if missing {
        check_beginning(storage, begin, "is not there")?;
    }
    if let Some(directory) = storage.directory() {
        files::make_private_directory(directory)?;
    }
    let opening = Opening::connect(&storage.url, storage.connections)
        .await
        .with_context(|| format!("the database {} can't be opened", storage.url))?;
    let key = match prepare(storage, begin, &opening).await {
        Ok(key) => key,
        Err(error) => {
            opening.close().await;
            return Err(error);
        }
    };
    let store = opening
        .unlock(Sealer::new(&key, &[])?)
        .await
        .with_context(|| format!("the database {} can't be opened", storage.url))?;
    Ok((store, key))
}

/// The key, once it is certain that it and the database belong together. The tables come first, then the key, and only
/// then is something sealed with it: wherever that is interrupted, the next start knows that nothing was lost.
async fn prepare(storage: &Storage, begin: Begin, opening: &Opening) -> anyhow::Result<SealingKey> {
    let failed = || format!("the database {} can't be opened", storage.url);
    let found = opening.look().await.with_context(failed)?;
    // A file that was just made is as empty as one that was emptied; the former has been checked.
    if found == Found::Nothing {
        check_beginning(storage, begin, "is empty")?;
    }
    let kept = kept_key(storage)?;
    if let (Found::Sealed, KeyOrigin::Kept(path), None) = (found, &storage.key, &kept) {
        bail!(
            "the key of the database {} is not there: `{}`; hint: bring it back, or give the one that the other nodes have as `store.key`",
            storage.url,
            path.display()
        );
    }
    opening.migrate().await.with_context(failed)?;
    sealing::key(&storage.key)
}

/// Refuses to begin an empty database where something says that there was one.
fn check_beginning(storage: &Storage, begin: Begin, what: &str) -> anyhow::Result<()> {
    let url = &storage.url;
    if matches!(storage.key, KeyOrigin::Ephemeral) || begin == Begin::Insisted {
        return Ok(());
    }
    let mut evidence = Vec::new();
    if storage.must_exist {
        evidence.push("`store.must_exist` says that there is one".to_owned());
    }
    evidence
        .extend(kept_key(storage)?.map(|path| format!("its key is there: `{}`", path.display())));
    // Beside an empty file the lock says nothing: both are made before anything is in it.
    if let Some(path) = storage.url.path()
        && !exists(path)?
    {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        if exists(&lock)? {
            evidence.push(format!("its lock is there: `{}`", lock.display()));
        }
    }
    if !evidence.is_empty() {
        bail!(
            "the database {url} {what}, but {}; hint: bring the database back; if an empty one shall take its place, `sekisho migrate --begin-empty` makes it",
            evidence.join(", and ")
        );
    }
    if begin == Begin::Never {
        bail!("the database {url} {what}; hint: `sekisho serve` or `sekisho migrate` begins it");
    }
    Ok(())
}

/// The file of the key, if it is there.
fn kept_key(storage: &Storage) -> anyhow::Result<Option<&Path>> {
    match &storage.key {
        KeyOrigin::Kept(path) if exists(path)? => Ok(Some(path)),
        _ => Ok(None),
    }
}

fn exists(path: &Path) -> anyhow::Result<bool> {
    path.try_exists()
        .with_context(|| format!("the file `{}` can't be looked for", path.display()))
}
