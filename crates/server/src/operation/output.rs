//! What comes of operations, as it is written down: for people by a command, or as JSON.

use std::fmt;

use auth::rotation::Successor;
use model::realm::Lifetimes;
use model::signing_key::{KeyState, SigningKey};
use model::traits::Traits;
use model::user::Profile;
use oauth::resource::Resource;
use serde::{Deserialize, Serialize};

use crate::operation::user::{Known, Origin};
use crate::telemetry::moment;

/// A user.
#[derive(Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) username: String,
    #[serde(flatten)]
    pub(crate) profile: Profile,
    #[serde(flatten)]
    pub(crate) traits: Traits,
    pub(crate) disabled: bool,
    pub(crate) has_password: bool,
    pub(crate) origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) declared_at: Option<String>,
    pub(crate) created_at: String,
}

impl User {
    pub(super) fn of(known: &Known) -> Self {
        let user = &known.user;
        let (origin, declared_at) = match &known.origin {
            Origin::Declared(place) => ("declared", Some(place.clone())),
            Origin::Removed => ("removed", None),
            Origin::Added => ("added", None),
        };
        Self {
            id: user.id.to_string(),
            username: user.username.to_string(),
            profile: user.profile.clone(),
            traits: user.traits.clone(),
            disabled: user.disabled,
            has_password: user.password.is_some(),
            origin: origin.to_owned(),
            declared_at,
            created_at: moment::rfc3339(user.created_at),
        }
    }
}

/// What a user had begun, and what was ended with a change.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ended {
    sessions: u64,
    grants: usize,
}

impl From<store::standing::Ended> for Ended {
    fn from(ended: store::standing::Ended) -> Self {
        let store::standing::Ended { sessions, grants } = ended;
        Self { sessions, grants }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, grants } = *self;
        store::standing::Ended { sessions, grants }.fmt(f)
    }
}

/// A login session.
#[derive(Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) authenticated_at: String,
    pub(crate) last_seen_at: String,
    pub(crate) expires_at: String,
}

impl Session {
    pub(super) fn of(one: &store::session::Listed, lifetimes: &Lifetimes) -> Self {
        let session = &one.session;
        Self {
            id: session.id.to_string(),
            username: one.username.to_string(),
            authenticated_at: moment::rfc3339(session.auth_time),
            last_seen_at: moment::rfc3339(session.last_seen_at),
            expires_at: moment::rfc3339(session.expires_at(lifetimes)),
        }
    }
}

/// Sessions that were ended.
#[derive(Serialize, Deserialize)]
pub(crate) struct SessionsEnded {
    pub(crate) sessions: usize,
    /// Grants to clients that were revoked with them.
    pub(crate) grants: usize,
    /// Whether tokens of clients were left alone.
    pub(crate) tokens_go_on: bool,
}

/// An agreement.
#[derive(Serialize, Deserialize)]
pub(crate) struct Consent {
    pub(crate) username: String,
    pub(crate) client_id: String,
    pub(crate) redirect_origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    pub(crate) scope: String,
    pub(crate) granted_at: String,
}

impl Consent {
    pub(super) fn of(one: &store::consent::Listed) -> Self {
        let consent = &one.consent;
        Self {
            username: one.username.to_string(),
            client_id: consent.client_id.to_string(),
            redirect_origin: consent.redirect_origin.clone(),
            resource: consent.resource.as_ref().map(Resource::to_string),
            scope: consent.scope.to_string(),
            granted_at: moment::rfc3339(consent.granted_at),
        }
    }
}

/// What was taken back.
#[derive(Serialize, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) consents: u64,
    pub(crate) grants: usize,
}

impl From<store::consent::Revoked> for Revoked {
    fn from(revoked: store::consent::Revoked) -> Self {
        let store::consent::Revoked { consents, grants } = revoked;
        Self { consents, grants }
    }
}

/// A host of client metadata documents.
#[derive(Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) host: String,
    pub(crate) verdict: String,
}

impl Host {
    pub(super) fn of(approval: &store::approval::Approval) -> Self {
        Self {
            host: approval.host.clone(),
            verdict: approval.verdict.as_str().to_owned(),
        }
    }
}

/// A signing key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    pub(crate) state: String,
    pub(crate) since: String,
}

impl Key {
    pub(super) fn of(key: &SigningKey) -> Self {
        let state = match key.state {
            KeyState::Pending { .. } => "published",
            KeyState::Active { .. } => "signing",
            KeyState::Retired { .. } => "retired",
        };
        Self {
            kid: key.kid.clone(),
            algorithm: key.algorithm.to_string(),
            state: state.to_owned(),
            since: moment::rfc3339(key.state.since()),
        }
    }
}

/// A key that takes over, or will.
#[derive(Serialize, Deserialize)]
pub(crate) struct NextKey {
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    pub(crate) signs_from: String,
}

impl NextKey {
    pub(super) fn of(next: &Successor) -> Self {
        Self {
            kid: next.kid.clone(),
            algorithm: next.algorithm.to_string(),
            signs_from: moment::rfc3339(next.signs_from),
        }
    }
}
