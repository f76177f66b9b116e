//! `realms`: the authorization servers, each with its users, clients, scopes and resources.

use model::realm::SigningAlgorithm;
use model::secret::{Secret, TokenHash};
use model::text::{self, ClientIdText};
use model::traits::Traits;
use model::user::{Profile, Username};
use oauth::client_id::ClientId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::secret::Source;

/// An authorization server with its users, as a file has it.
pub(crate) type Realm = DeclaredRealm<Client, Source, Source>;

/// An authorization server.
// `C` are its clients, `T` its initial access tokens and `P` passwords: as a file has them, or as they are used.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "Realm")]
#[serde(
    deny_unknown_fields,
    bound(deserialize = "C: Deserialize<'de>, T: Deserialize<'de>, P: Deserialize<'de>")
)]
#[schemars(
    bound = "C: JsonSchema + Serialize, T: JsonSchema + Serialize, P: JsonSchema + Serialize"
)]
pub(crate) struct DeclaredRealm<C = model::client::Client, T = TokenHash, P = Secret<String>> {
    /// The realm.
    #[serde(flatten)]
    pub(crate) realm: model::realm::Realm<C, T>,
    /// Users declared here. Others can be added with `sekisho user add`.
    #[serde(default)]
    pub(crate) users: Vec<User<P>>,
    /// What becomes of a user who is taken out of `users`.
    #[serde(default)]
    pub(crate) users_removed: UsersRemoved,
    /// The least length of a password that a command sets, in characters. NIST SP 800-63B-4 asks for 15 where a password is all that is asked for.
    #[serde(default = "default_least_password")]
    #[schemars(range(min = 8, max = 64))]
    pub(crate) min_password_length: u16,
}

const fn default_least_password() -> u16 {
    model::password_choice::LEAST
}

/// What becomes of a user who is taken out of `users`, at the next start or reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsersRemoved {
    /// They can't log in any more, and their sessions and all that they granted to clients end. `sekisho user enable` lets them in again.
    #[default]
    Disable,
    /// They stay, as if `sekisho user add` had added them.
    Keep,
}

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, bound(deserialize = "P: Deserialize<'de>"))]
pub(crate) struct User<P = Secret<String>> {
    /// What is typed into the login page.
    pub(crate) username: Username,
    /// The password. Without one the user can't log in until `sekisho user passwd` gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<P>,
    /// Who they are.
    #[serde(flatten)]
    pub(crate) profile: Profile,
    /// Their groups and attributes.
    #[serde(flatten)]
    pub(crate) traits: Traits,
}

impl<P> User<P> {
    /// The same user with this password.
    pub(crate) fn with_password<Q>(self, password: Option<Q>) -> User<Q> {
        let Self {
            username,
            password: _,
            profile,
            traits,
        } = self;
        User {
            username,
            password,
            profile,
            traits,
        }
    }
}

/// A client that is known beforehand.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the keys of the file are the words of the specification"
)]
pub(crate) struct Client {
    /// The `client_id`.
    #[serde(with = "text::plain")]
    #[schemars(with = "ClientIdText")]
    pub(crate) client_id: ClientId,
    /// The name on the consent page. Default: the `client_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Where a browser may be sent back to, also `cursor://…`. Compared exactly, except for the port of a loopback address.
    pub(crate) redirect_uris: Vec<String>,
    /// Where a browser may be sent after a logout. Written and compared like `redirect_uris`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// How the client proves who it is at the token endpoint. One with a secret may use the header or the form, whichever of
    /// them is written here.
    #[serde(default)]
    pub(crate) authentication: Authentication,
    /// Insist on the header, or on the form, as `authentication` says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) only_this_authentication: bool,
    /// The secret, for `client_secret_basic` and `client_secret_post`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Source>,
    /// The public keys as a JSON Web Key Set, for `private_key_jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jwks: Option<serde_json::Map<String, serde_json::Value>>,
    /// What its ID tokens are signed with: RS256, or the `signing_algorithm` of the realm. Default: RS256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id_token_signed_response_alg: Option<SigningAlgorithm>,
    /// Don't ask the user for consent: only for clients of the operator's own. If one without authentication gets its answers
    /// on the user's machine, any program there can then pose as it, and nobody is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skip_consent: bool,
    /// Its groups and attributes.
    #[serde(flatten)]
    pub(crate) traits: Traits,
}

/// How a client proves who it is at the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Authentication {
    /// Not at all: a public client, which PKCE protects.
    #[default]
    None,
    /// The secret in the `Authorization` header.
    ClientSecretBasic,
    /// The secret in the form.
    ClientSecretPost,
    /// A JWT signed with its private key, which expires within an hour.
    PrivateKeyJwt,
}
