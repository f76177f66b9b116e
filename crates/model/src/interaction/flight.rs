//! What is known of an authorization in flight.

use oauth::pkce::CodeChallenge;
use oauth::prompt::Prompt;
use oauth::redirect_uri::RedirectUri;
use oauth::request::authorization::State;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::granted::{Terms, verified_redirect_uri};
use crate::id::Id;
use crate::secret::TokenHash;
use crate::session::Session;
use crate::text;

/// What a client asked for, after all rules were applied, and how far the user has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    /// Names the cookie, so that several can be in flight in one browser.
    pub id: Id<Self>,
    /// What it would be granted.
    pub terms: Terms,
    /// Where the answer goes; verified.
    #[serde(with = "verified_redirect_uri")]
    pub redirect_uri: RedirectUri,
    /// Comes back with the answer.
    pub state: Option<State>,
    /// What the client committed itself to.
    #[serde(with = "text::maybe")]
    pub challenge: Option<CodeChallenge>,
    /// Which pages the client insists on.
    pub prompt: Prompt,
    /// The oldest login that the client accepts, in seconds.
    pub max_age: Option<u32>,
    /// Whom the client expects.
    pub login_hint: Option<String>,
    /// The languages that the client prefers.
    pub ui_locales: Option<String>,
    /// Proves in its forms that they come from its own pages (SEC-15).
    pub form_key: [u8; 16],
    /// When the request came.
    pub started_at: Timestamp,
    /// How far the user has come.
    pub stage: Stage,
}

/// How far the user has come within this interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Nothing happened yet.
    Started,
    /// The user logged in.
    LoggedIn {
        /// The session that began with it.
        session: Id<Session>,
    },
    /// The user agreed.
    Consented {
        /// In this session.
        session: Id<Session>,
        /// To this state of the client's document.
        document_hash: Option<TokenHash>,
    },
}
