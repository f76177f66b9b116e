//! What is known of an authorization in flight.

use oauth::client_id::ClientId;
use oauth::pkce::CodeChallenge;
use oauth::prompt::Prompt;
use oauth::redirect_uri::RedirectUri;
use oauth::request::authorization::State;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;

use crate::clock::Timestamp;
use crate::id::Id;
use crate::realm_name::RealmName;
use crate::secret::TokenHash;
use crate::session::Session;

/// What a client asked for, after all rules were applied, and how far the user has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interaction {
    /// Names the cookie, so that several can be in flight in one browser.
    pub id: Id<Self>,
    /// The realm that was asked.
    pub realm: RealmName,
    /// Who asks.
    pub client_id: ClientId,
    /// Where the answer goes; verified.
    pub redirect_uri: RedirectUri,
    /// Comes back with the answer.
    pub state: Option<State>,
    /// What the client committed itself to.
    pub challenge: Option<CodeChallenge>,
    /// What it would be granted.
    pub scope: ScopeSet,
    /// Whether `openid` was requested.
    pub id_token: bool,
    /// The resources that tokens would be for.
    pub resources: Vec<Resource>,
    /// Goes into the ID token.
    pub nonce: Option<String>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
