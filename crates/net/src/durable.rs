//! Files that are whole or not there, and still there after a crash; some of them for their owner's eyes only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Its owner only: keys.
    Owner,
    /// Whoever the umask lets.
    Everybody,
}

/// A file that holds a secret is open to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("others can read or change it (mode {mode:03o}); hint: chmod 600")]
pub struct Exposed {
    /// The permissions it has.
    pub mode: u32,
}

/// Writes a file in place of the one that is there, if any. A reader sees the old content or the new, and after a
/// crash one of them is there; the new one, once this has returned.
pub fn replace(path: &Path, content: &[u8], audience: Audience) -> io::Result<()> {
    let beside = Beside::write(path, content, audience, File::sync_all)?;
    std::fs::rename(&beside.0, path)?;
    beside.keep();
    sync_directory(path, File::sync_all)
}

/// Writes a file where there is none; one that is there is left alone, with [`io::ErrorKind::AlreadyExists`].
pub fn create(path: &Path, content: &[u8], audience: Audience) -> io::Result<()> {
    create_with(path, content, audience, File::sync_all)
}

/// Reads a text that nobody but its owner may read or change; otherwise the error's source is [`Exposed`].
pub fn read_private(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                Exposed { mode },
            ));
        }
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn create_with(
    path: &Path,
    content: &[u8],
    audience: Audience,
    sync: impl Fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    let beside = Beside::write(path, content, audience, &sync)?;
    // A link never replaces anything, which a renaming would.
    match std::fs::hard_link(&beside.0, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.try_exists()? => {
            // A file system without links.
            std::fs::rename(&beside.0, path)?;
        }
        linked => linked?,
    }
    drop(beside);
    sync_directory(path, sync)
}

/// A whole file beside the one that is meant, removed unless it has taken its name.
struct Beside(PathBuf);

impl Beside {
    fn write(
        path: &Path,
        content: &[u8],
        audience: Audience,
        sync: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{count}.new", std::process::id()));
        let beside = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if audience == Audience::Owner {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = audience;
        let open = || options.open(&beside);
        let mut file = match open() {
            // Left by a process of the same number that crashed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&beside)?;
                open()?
            }
            opened => opened?,
        };
        let beside = Self(beside);
        file.write_all(content)?;
        sync(&file)?;
        Ok(beside)
    }

    fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What went wrong before matters more; at worst a file with an odd name stays.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Makes the name of a file last. Where directories can't be synchronized, their file systems do it by themselves.
fn sync_directory(path: &Path, sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    match sync(&File::open(directory)?) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synchronized => synchronized,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A directory of its own, removed when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("sekisho-durable-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_content_is_on_disk_before_the_name_and_the_name_before_the_end() {
        let folder = Folder::new("order");
        let path = folder.0.join("store.key");
        let seen = RefCell::new(Vec::new());
        create_with(&path, b"secret", Audience::Owner, |file| {
            let metadata = file.metadata().unwrap();
            let what = if metadata.is_dir() {
                "directory".to_owned()
            } else {
                format!("file of {}", metadata.len())
            };
            seen.borrow_mut().push((what, path.exists()));
            Ok(())
        })
        .unwrap();
        let expected = [
            ("file of 6".to_owned(), false),
            ("directory".to_owned(), true),
        ];
        assert_eq!(seen.into_inner(), expected);
        assert_eq!(folder.names(), ["store.key"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = Folder::new("failure");
        let path = folder.0.join("store.key");
        let full = |_: &File| Err(io::Error::from(io::ErrorKind::StorageFull));
        assert!(create_with(&path, b"secret", Audience::Owner, full).is_err());
        assert_eq!(folder.names(), [""; 0]);
    }

    #[test]
    fn what_is_there_is_replaced_or_left_alone_as_wanted() {
        let folder = Folder::new("there");
        let path = folder.0.join("file");
        create(&path, b"first", Audience::Everybody).unwrap();
        let again = create(&path, b"second", Audience::Everybody).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        replace(&path, b"third", Audience::Everybody).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"third");
        assert_eq!(folder.names(), ["file"]);
    }

    // SEC-70
    #[cfg(unix)]
    #[test]
    fn a_secret_is_its_owners_and_refused_once_it_is_open_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new("private");
        let path = folder.0.join("key");
        create(&path, b"secret", Audience::Owner).unwrap();
        replace(&path, b"secret", Audience::Owner).unwrap();
        assert_eq!(read_private(&path).unwrap(), "secret");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = read_private(&path).unwrap_err();
            assert!(
                error.to_string().contains(&format!("mode {mode:o}")),
                "{error}"
            );
        }
    }
}
