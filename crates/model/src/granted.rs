//! What a client is granted: one value from the request to the last token that comes of it, with one form for cookies and one
//! for the store. What is to be known of a grant later is a field here.

use oauth::client_id::ClientId;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::Id;
use crate::realm_name::RealmName;
use crate::session::Session;
use crate::text;
use crate::user::User;

/// What a client asked for, after all rules were applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The issuer.
    pub realm: RealmName,
    /// Who asks.
    #[serde(with = "text::plain")]
    pub client_id: ClientId,
    /// What its tokens may do.
    pub scope: ScopeSet,
    /// Whether `openid` was requested, so that there are ID tokens.
    pub id_token: bool,
    /// The resources that tokens may be for.
    #[serde(with = "text::list")]
    pub resources: Vec<Resource>,
    /// Goes into the first ID token.
    #[serde(default)]
    pub nonce: Option<String>,
}

/// What a user granted a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// What that is.
    #[serde(flatten)]
    pub terms: Terms,
    /// Who granted it.
    pub user: Id<User>,
    /// The login session in which they did.
    pub session: Option<Id<Session>>,
    /// When they logged in.
    pub auth_time: Timestamp,
    /// Whether there are refresh tokens.
    pub may_refresh: bool,
}

/// A redirect URI that was verified before it was written down, so that whatever scheme it has was allowed: for
/// `#[serde(with = …)]`.
pub mod verified_redirect_uri {
    use oauth::redirect_uri::RedirectUri;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes it.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(uri: &RedirectUri, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(uri.as_str())
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of the format, and texts that are no redirect URI.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RedirectUri, D::Error> {
        let text = String::deserialize(from)?;
        let scheme = text.split(':').next().unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        RedirectUri::parse_with_schemes(&text, &[scheme.as_str()]).map_err(D::Error::custom)
    }
}
