//! Values to store in tests.

use std::time::Duration;

use model::clock::Timestamp;
use model::grant::{Grant, Stage};
use model::granted::{Granted, Terms};
use model::id::Id;
use model::password::PasswordHash;
use model::realm::Lifetimes;
use model::refresh::{Family, Position};
use model::secret::Secret;
use oauth::pkce::CodeVerifier;

/// When samples are made.
pub const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

/// Hashes of three passwords that nobody knows.
///
/// # Panics
///
/// Never.
#[expect(clippy::unwrap_used, reason = "the texts are constants")]
pub fn password_hashes() -> [PasswordHash; 3] {
    ["A", "B", "C"].map(|first| {
        let rest = "A".repeat(42);
        PasswordHash::parse(&format!(
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0${first}{rest}"
        ))
        .unwrap()
    })
}

/// What was granted to the client `client` in the realm `demo`.
///
/// # Panics
///
/// Never.
#[expect(clippy::unwrap_used, reason = "the texts are constants")]
pub fn granted() -> Granted {
    Granted {
        terms: Terms {
            realm: "demo".parse().unwrap(),
            client_id: "client".parse().unwrap(),
            scope: "openid mcp:tools".parse().unwrap(),
            id_token: true,
            resources: vec!["https://gw.example/mcp".parse().unwrap()],
            nonce: Some("nonce".to_owned()),
        },
        user: Id::from_bytes([1; 16]),
        session: Some(Id::from_bytes([2; 16])),
        auth_time: NOW,
        may_refresh: true,
    }
}

/// A grant of the client `client` in the realm `demo`, issued at [`NOW`] for a minute.
///
/// # Panics
///
/// Never.
#[expect(clippy::unwrap_used, reason = "the texts are constants")]
pub fn grant() -> Grant {
    Grant {
        granted: granted(),
        redirect_uri: "http://127.0.0.1:5000/cb".parse().unwrap(),
        challenge: Some(CodeVerifier::from_bytes(&[3; 32]).challenge()),
        issued_at: NOW,
        expires_at: NOW + Duration::from_mins(1),
        stage: Stage::Issued,
    }
}

/// A family that came of [`grant`]; another one for each number.
///
/// # Panics
///
/// Never.
pub fn family(number: u128) -> Family {
    let lifetimes = Lifetimes::default();
    Family {
        id: Id::from_bytes((number + 1).to_be_bytes()),
        granted: granted(),
        position: Position::default(),
        previous: None,
        rotated_at: NOW,
        created_at: NOW,
        idle_expires_at: NOW + lifetimes.refresh_idle,
        absolute_expires_at: NOW + lifetimes.refresh_absolute,
        revoked_at: None,
        secret: Secret::new([4; 16]),
    }
}
