//! A SQLite file: who may open it, what is in it, and what stays of it.

#![expect(
    clippy::unwrap_used,
    reason = "functions of tests, which clippy does not recognize as such in this folder"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::id::Id;
use model::password;
use model::realm::{Lifetimes, SigningAlgorithm};
use model::refresh::Position;
use model::secret::{self, Secret, TokenHash};
use model::session::Session;
use model::signing_key::{KeyState, SigningKey};
use model::user::{Profile, User};
use sqlx::{AnyConnection, Connection as _};
use store::error::Error;
use store::seal::{Sealer, SealingKey};
use store::testing::{self, sample};
use store::url::StoreUrl;
use store::{Store, family, grant, key, session, user};

/// A directory of its own, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("sekisho #1?.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sealer(current: u8, previous: &[u8]) -> Sealer {
    let previous: Vec<_> = previous
        .iter()
        .map(|byte| SealingKey::new([*byte; 32]))
        .collect();
    Sealer::new(&SealingKey::new([current; 32]), &previous).unwrap()
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let directory = Directory::new("reopen");
    let store = testing::open_at(&directory.file()).await;
    grant::insert(&store, TokenHash::of("code"), &sample::grant())
        .await
        .unwrap();
    let family = sample::family(1);
    grant::redeem(&store, TokenHash::of("code"), &family, sample::NOW)
        .await
        .unwrap();
    let token = family.token(store.refresh_key(), Position::default());
    family::revoke(
        &store,
        sample::family(2).id,
        &Lifetimes::default(),
        sample::NOW,
    )
    .await
    .unwrap();
    store.close().await;

    let store = testing::open_at(&directory.file()).await;
    let (found, presented) = family::by_token(&store, token.expose())
        .await
        .unwrap()
        .expect("the same server key");
    assert_eq!(found, family);
    family::rotate(
        &store,
        &presented,
        &family.granted.terms.client_id,
        &Lifetimes::default(),
        sample::NOW,
    )
    .await
    .unwrap()
    .refreshed()
    .unwrap();
    // SEC-46: revocations outlive the process.
    assert!(
        store
            .revocations()
            .is_revoked(&sample::family(2).id.to_string())
    );
}

#[tokio::test]
async fn a_closed_database_is_all_in_its_file() {
    let directory = Directory::new("closed");
    let store = testing::open_at(&directory.file()).await;
    let alice = User::new(
        Id::from_bytes([1; 16]),
        "demo".parse().unwrap(),
        "alice".parse().unwrap(),
        sample::NOW,
    );
    user::insert(&store, &alice).await.unwrap();
    // Readers that are open must not keep it from being brought home.
    user::by_id(&store, alice.id).await.unwrap();
    store.close().await;
    let copy = directory.0.join("copy.db");
    std::fs::copy(directory.file(), &copy).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&directory.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let file = "sekisho #1?.db".to_owned();
    assert_eq!(names, ["copy.db".to_owned(), file.clone(), file + ".lock"]);
    let restored = testing::open_at(&copy).await;
    assert_eq!(user::by_id(&restored, alice.id).await.unwrap(), Some(alice));
}

#[tokio::test]
async fn a_file_that_is_open_is_refused_to_others() {
    let directory = Directory::new("lock");
    let path = directory.file();
    let store = testing::open_at(&path).await;
    let second = Store::open(&StoreUrl::file(&path), testing::sealer()).await;
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    #[cfg(unix)]
    {
        let link = directory.0.join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let third = Store::open(&StoreUrl::file(&link), testing::sealer()).await;
        assert!(matches!(third, Err(Error::InUse { .. })), "{third:?}");
    }
    store.close().await;
    testing::open_at(&path).await;
}

// SEC-70
#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = Directory::new("mode");
    let store = testing::open_at(&directory.file()).await;
    grant::insert(&store, TokenHash::of("code"), &sample::grant())
        .await
        .unwrap();
    for entry in std::fs::read_dir(&directory.0).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_file_in_a_missing_directory_is_an_error_that_names_it() {
    let directory = Directory::new("missing");
    let path = directory.0.join("nowhere").join("sekisho.db");
    let opened = Store::open(&StoreUrl::file(&path), testing::sealer()).await;
    assert!(matches!(opened, Err(Error::File { path: named, .. }) if named == path));
}

/// Changes a file behind the store's back.
async fn change(directory: &Directory, sql: &'static str) {
    let mut connection = raw(&directory.file()).await;
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_schema_that_is_newer_by_some_steps_is_used_as_it_is() {
    let directory = Directory::new("steps");
    testing::open_at(&directory.file()).await.close().await;
    change(
        &directory,
        "INSERT INTO schema_version (version) VALUES (9998)",
    )
    .await;
    change(
        &directory,
        "ALTER TABLE code_grant ADD COLUMN later TEXT NOT NULL DEFAULT 'x'",
    )
    .await;
    let store = testing::open_at(&directory.file()).await;
    let code = TokenHash::of("code");
    grant::insert(&store, code, &sample::grant()).await.unwrap();
    assert!(grant::load(&store, code).await.unwrap().is_some());
}

#[tokio::test]
async fn a_schema_that_is_newer_by_a_major_version_is_refused() {
    let directory = Directory::new("newer");
    testing::open_at(&directory.file()).await.close().await;
    change(&directory, "INSERT INTO schema_major (major) VALUES (9999)").await;
    let opened = Store::open(&StoreUrl::file(directory.file()), testing::sealer()).await;
    assert!(
        matches!(opened, Err(Error::SchemaNewer { found: 9999, .. })),
        "{opened:?}"
    );
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    let directory = Directory::new("inconsistent");
    let store = testing::open_at(&directory.file()).await;
    let alice = User::new(
        Id::from_bytes([1; 16]),
        "demo".parse().unwrap(),
        "alice".parse().unwrap(),
        sample::NOW,
    );
    user::insert(&store, &alice).await.unwrap();
    store.close().await;
    let mut connection = raw(&directory.file()).await;
    sqlx::query("UPDATE account SET disabled = 7")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let store = testing::open_at(&directory.file()).await;
    let loaded = user::by_id(&store, alice.id).await;
    assert!(
        matches!(&loaded, Err(Error::Inconsistent { table: "account", column: "disabled", id }) if *id == alice.id.to_string()),
        "{loaded:?}"
    );
}

// SEC-70
#[tokio::test]
async fn another_sealing_key_opens_nothing_unless_the_earlier_one_is_given_too() {
    let directory = Directory::new("sealing");
    let url = StoreUrl::file(directory.file());
    Store::open(&url, sealer(1, &[]))
        .await
        .unwrap()
        .close()
        .await;
    assert!(matches!(
        Store::open(&url, sealer(2, &[])).await,
        Err(Error::Unseal(_))
    ));
    Store::open(&url, sealer(2, &[1]))
        .await
        .unwrap()
        .close()
        .await;
}

// SEC-70
#[tokio::test]
async fn no_secret_is_stored_in_clear() {
    let directory = Directory::new("canary");
    let on_file = testing::open_at(&directory.file()).await;
    let configured = testing::open().await;
    for store in [&on_file, &configured] {
        let canaries = seed(store).await;
        let dump = testing::dump(store).await;
        assert!(
            dump.contains("alice@example.com") && dump.contains("code_grant"),
            "the dump is empty"
        );
        for canary in &canaries {
            let hex = testing::hex(canary);
            assert!(!dump.contains(&hex), "{hex}");
            if let Ok(text) = std::str::from_utf8(canary) {
                assert!(!dump.contains(text), "{text}");
            }
        }
        if std::ptr::eq(store, &raw const on_file) {
            for entry in std::fs::read_dir(&directory.0).unwrap() {
                let path = entry.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                for canary in &canaries {
                    assert!(
                        !bytes.windows(canary.len()).any(|window| window == canary),
                        "in {path:?}"
                    );
                }
            }
        }
    }
}

/// Stores one of everything, and returns what must not be found.
async fn seed(store: &Store) -> Vec<Vec<u8>> {
    let code = secret::token(&[11; 32]);
    grant::insert(store, TokenHash::of(code.expose()), &sample::grant())
        .await
        .unwrap();
    let family = sample::family(1);
    grant::redeem(store, TokenHash::of(code.expose()), &family, sample::NOW)
        .await
        .unwrap();
    let first = family.token(store.refresh_key(), Position::default());
    let (_, presented) = family::by_token(store, first.expose())
        .await
        .unwrap()
        .unwrap();
    let second = family::rotate(
        store,
        &presented,
        &family.granted.terms.client_id,
        &Lifetimes::default(),
        sample::NOW,
    )
    .await
    .unwrap();
    let second = second.refreshed().unwrap().token;
    let cookie = secret::token(&[12; 32]);
    let browser = Session::begin(
        Id::from_bytes([2; 16]),
        "demo".parse().unwrap(),
        Id::from_bytes([1; 16]),
        sample::NOW,
    );
    session::insert(
        store,
        TokenHash::of(cookie.expose()),
        &browser,
        sample::NOW + Duration::from_mins(1),
    )
    .await
    .unwrap();
    let private = b"a private key that must stay private".to_vec();
    let signing = SigningKey {
        kid: "k1".to_owned(),
        realm: "demo".parse().unwrap(),
        algorithm: SigningAlgorithm::Es256,
        private: Secret::new(private.clone()),
        state: KeyState::Active { since: sample::NOW },
    };
    key::insert(store, &signing).await.unwrap();
    let alice = User {
        password: Some(password::hash("correct horse battery", &[5; 16]).unwrap()),
        profile: Profile {
            email: Some("alice@example.com".parse().unwrap()),
            ..Profile::default()
        },
        ..User::new(
            Id::from_bytes([1; 16]),
            "demo".parse().unwrap(),
            "alice".parse().unwrap(),
            sample::NOW,
        )
    };
    user::insert(store, &alice).await.unwrap();
    let texts = [
        code.expose(),
        first.expose(),
        second.expose(),
        cookie.expose(),
    ];
    let mut canaries: Vec<Vec<u8>> = texts
        .into_iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    canaries.extend([
        private,
        b"correct horse battery".to_vec(),
        vec![11; 32],
        vec![12; 32],
    ]);
    canaries
}

async fn raw(path: &Path) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let escaped = path
        .to_str()
        .unwrap()
        .replace('%', "%25")
        .replace(' ', "%20")
        .replace('#', "%23")
        .replace('?', "%3F");
    AnyConnection::connect(&format!("sqlite:{escaped}"))
        .await
        .unwrap()
}
