//! `realms`: the authorization servers, each with its users, clients, scopes and resources.

use std::collections::BTreeMap;

use model::claims::mapper::Mapper;
use model::client_policy::CimdPolicy;
use model::realm::{Lifetimes, LogoutEnds, ScopeKind, SigningAlgorithm};
use model::registration::RegistrationPolicy;
use model::traits::{Attribute, Group};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::{Name, WebUrl};
use crate::config::secret::Source;

/// An authorization server.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Realm {
    /// A name for URLs and logs.
    pub(crate) name: Name,
    /// What the pages call it. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    /// The issuer. Either `https://host/realms/NAME`, or an origin without a path that then belongs to this realm alone.
    pub(crate) url: WebUrl,
    /// The algorithm that access tokens are signed with. After a change the new key is published at once and signs 24 hours
    /// later, so that everybody knows it by then. ID tokens are signed with RS256 unless the client says otherwise.
    #[serde(default)]
    pub(crate) signing_algorithm: SigningAlgorithm,
    /// How long things live.
    #[serde(default)]
    pub(crate) lifetimes: Lifetimes,
    /// What clients can ask for.
    #[serde(default)]
    pub(crate) scopes: Vec<Scope>,
    /// What tokens can be made for.
    #[serde(default)]
    pub(crate) resources: Vec<Resource>,
    /// Users declared here. Others can be added with `sekisho user add`.
    #[serde(default)]
    pub(crate) users: Vec<User>,
    /// What becomes of a user who is taken out of `users`.
    #[serde(default)]
    pub(crate) users_removed: UsersRemoved,
    /// The least length of a password that a command sets, in characters. NIST SP 800-63B-4 asks for 15 where a password is all that is asked for.
    #[serde(default = "default_least_password")]
    #[schemars(range(min = 8, max = 64))]
    pub(crate) min_password_length: u16,
    /// What a logout ends.
    #[serde(default)]
    pub(crate) logout_ends: LogoutEnds,
    /// Clients that are known beforehand.
    #[serde(default)]
    pub(crate) clients: Vec<Client>,
    /// Clients that identify themselves by the URL of a metadata document.
    #[serde(default)]
    pub(crate) cimd: CimdPolicy,
    /// Clients that register themselves.
    #[serde(default)]
    pub(crate) registration: RegistrationPolicy<Source>,
    /// Accept authorization requests without PKCE. Anybody who sees a code can then use it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) danger_pkce_optional: bool,
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

/// Something that clients can ask for.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    /// The word in the `scope` parameter.
    pub(crate) name: String,
    /// Whether it is granted only when asked for.
    #[serde(default)]
    pub(crate) kind: ScopeKind,
    /// What the consent page says about it, in one language or in each: `{ en: Use the tools, ja: ツールを使う }`. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) consent_text: Option<ConsentText>,
    /// Audiences that a token with this scope gets besides the resource it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) audiences: Vec<String>,
    /// Claims that tokens with this scope get, besides those that `profile` and `email` have by themselves. Where two are of one name, the first counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) claims: Vec<Mapper>,
}

/// What the consent page says about a scope.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ConsentText {
    /// The same in every language.
    Same(String),
    /// By the language of the page.
    ByLanguage(ByLanguage),
}

/// A text in the languages of the pages. Where one is missing, the other stands in.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ByLanguage {
    /// In English.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) en: Option<String>,
    /// In Japanese.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ja: Option<String>,
}

/// Something that tokens are made for, as named by the `resource` parameter of RFC 8707.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// The URL of the resource, such as that of a gateway.
    pub(crate) uri: WebUrl,
    /// What a client gets that names no scope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) default_scopes: Vec<String>,
}

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    /// What is typed into the login page.
    pub(crate) username: String,
    /// The password. Without one the user can't log in until `sekisho user passwd` gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Source>,
    /// The full name, for the scope `profile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The address, for the scope `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    /// The groups that they are in: claims can say them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<Group>,
    /// Attributes, each a text or a list of texts: claims can say them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, Attribute>,
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
    pub(crate) client_id: String,
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
    /// The groups that it is in: claims can say them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<Group>,
    /// Attributes, each a text or a list of texts: claims can say them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, Attribute>,
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
