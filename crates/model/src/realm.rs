//! A realm: one issuer with its lifetimes, scopes, resources, clients and policies, as a file has them.

use std::borrow::Cow;

use oauth::client_id::ClientId;
use oauth::issuer::Issuer;
use oauth::resource::Resource;
use oauth::scope::{Scope, ScopeSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::claims::mapper::Mapper;
use crate::client::Client;
use crate::client_policy::CimdPolicy;
pub use crate::lifetimes::Lifetimes;
pub use crate::realm_name::{BadRealmName, MAX_NAME, RealmName};
use crate::registration::RegistrationPolicy;
use crate::secret::TokenHash;
pub use crate::signing_algorithm::{SigningAlgorithm, UnknownAlgorithm};
use crate::text::{self, ScopeText};
use crate::web_url::{IssuerUrl, ResourceUrl, WebUrl, identifier};

/// What a logout ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogoutEnds {
    /// The login session: the browser has to log in again. Clients go on with the tokens they have, as MCP clients do that work while nobody is at a browser.
    #[default]
    Session,
    /// Also what was granted in that session to clients, with all its tokens.
    SessionAndTokens,
}

/// Whether a scope is granted only when asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// Part of every grant.
    Default,
    /// Granted when asked for.
    #[default]
    Optional,
}

/// Something that clients can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "Scope")]
#[serde(deny_unknown_fields)]
pub struct ClientScope {
    /// The word in the `scope` parameter.
    #[serde(with = "text::plain")]
    #[schemars(with = "ScopeText")]
    pub name: Scope,
    /// Whether it is granted only when asked for.
    #[serde(default)]
    pub kind: ScopeKind,
    /// What the consent page says about it, in one language or in each: `{ en: Use the tools, ja: ツールを使う }`. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_text: Option<ConsentText>,
    /// Audiences that a token with this scope gets besides the resource it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Claims that tokens with this scope get, besides those that `profile` and `email` have by themselves. Where two are of one name, the first counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Mapper>,
}

/// What the consent page says about a scope.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ConsentText {
    /// The same in every language.
    Same(String),
    /// By the language of the page.
    ByLanguage(ByLanguage),
}

/// A text in the languages of the pages. Where one is missing, the other stands in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ByLanguage {
    /// In English.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub en: Option<String>,
    /// In Japanese.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja: Option<String>,
}

impl ClientScope {
    /// What the consent page in this language says about it.
    pub fn consent_text_in(&self, language_tag: &str) -> Option<&str> {
        match self.consent_text.as_ref()? {
            ConsentText::Same(text) => Some(text),
            ConsentText::ByLanguage(ByLanguage { en, ja }) => match language_tag {
                "ja" => ja.as_deref().or(en.as_deref()),
                _ => en.as_deref().or(ja.as_deref()),
            },
        }
    }

    /// What makes the claims of tokens with this scope: first what OpenID Connect Core §5.4 knows for its name.
    pub fn mappers(&self) -> impl Iterator<Item = Cow<'_, Mapper>> {
        let by_name = match self.name.as_str() {
            "profile" => Mapper::of_profile(),
            "email" => Mapper::of_email(),
            _ => Vec::new(),
        };
        let by_name = by_name.into_iter().map(Cow::Owned);
        by_name.chain(self.claims.iter().map(Cow::Borrowed))
    }

    /// A scope that adds nothing to tokens but what its name does.
    pub const fn new(name: Scope, kind: ScopeKind) -> Self {
        Self {
            name,
            kind,
            consent_text: None,
            audiences: Vec::new(),
            claims: Vec::new(),
        }
    }
}

/// Something that tokens are made for, as named by the `resource` parameter of RFC 8707.
// The registry of resources belongs to the realm and not to its clients.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "Resource")]
#[serde(deny_unknown_fields)]
pub struct ResourceServer {
    /// The URL of the resource, such as that of a gateway.
    // It is the audience of its tokens.
    #[serde(with = "identifier")]
    #[schemars(with = "ResourceUrl")]
    pub uri: Resource,
    /// What a client gets that names no scope.
    #[serde(
        default,
        skip_serializing_if = "ScopeSet::is_empty",
        with = "text::list"
    )]
    #[schemars(with = "Vec<ScopeText>")]
    pub default_scopes: ScopeSet,
}

/// An authorization server.
// One issuer. `C` are its clients and `T` its initial access tokens: as a file has them, or as they are used.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(bound(deserialize = "C: Deserialize<'de>, T: Deserialize<'de>"))]
#[schemars(bound = "C: JsonSchema + Serialize, T: JsonSchema + Serialize")]
pub struct Realm<C = Client, T = TokenHash> {
    /// A name for URLs and logs.
    pub name: RealmName,
    /// What the pages call it. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The issuer. Either `https://host/realms/NAME`, or an origin without a path that then belongs to this realm alone.
    // Without trailing slash, byte-identical everywhere (AS-5).
    #[serde(rename = "url", with = "identifier")]
    #[schemars(with = "IssuerUrl")]
    pub issuer: Issuer,
    /// The algorithm that access tokens are signed with. After a change the new key is published at once and signs 24 hours
    /// later, so that everybody knows it by then. ID tokens are signed with RS256 unless the client says otherwise.
    #[serde(default)]
    pub signing_algorithm: SigningAlgorithm,
    /// How long things live.
    #[serde(default)]
    pub lifetimes: Lifetimes,
    /// What clients can ask for.
    // `openid` and `offline_access` need not be listed.
    #[serde(default)]
    pub scopes: Vec<ClientScope>,
    /// What tokens can be made for.
    #[serde(default)]
    pub resources: Vec<ResourceServer>,
    /// What a logout ends.
    #[serde(default)]
    pub logout_ends: LogoutEnds,
    /// Clients that are known beforehand.
    #[serde(default)]
    pub clients: Vec<C>,
    /// Clients that identify themselves by the URL of a metadata document.
    #[serde(default)]
    pub cimd: CimdPolicy,
    /// Clients that register themselves.
    #[serde(default)]
    pub registration: RegistrationPolicy<T>,
    /// Accept authorization requests without PKCE. Anybody who sees a code can then use it.
    // Only configured confidential clients may omit it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub danger_pkce_optional: bool,
}

impl<C, T> Realm<C, T> {
    /// The same realm with its clients and registration as another stage of the configuration has them.
    pub fn with<D, U>(self, clients: Vec<D>, registration: RegistrationPolicy<U>) -> Realm<D, U> {
        let Self {
            name,
            display_name,
            issuer,
            signing_algorithm,
            lifetimes,
            scopes,
            resources,
            logout_ends,
            clients: _,
            cimd,
            registration: _,
            danger_pkce_optional,
        } = self;
        Realm {
            name,
            display_name,
            issuer,
            signing_algorithm,
            lifetimes,
            scopes,
            resources,
            logout_ends,
            clients,
            cimd,
            registration,
            danger_pkce_optional,
        }
    }

    /// Its issuer as an address.
    pub fn url(&self) -> WebUrl {
        WebUrl(self.issuer.url().clone())
    }
}

impl Realm {
    /// A realm with the defaults of everything, and the scopes `profile` and `email`.
    pub fn new(name: RealmName, issuer: Issuer) -> Self {
        let scopes = ["profile", "email"]
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .map(|name| ClientScope::new(name, ScopeKind::Default))
            .collect();
        Self {
            name,
            display_name: None,
            issuer,
            signing_algorithm: SigningAlgorithm::default(),
            lifetimes: Lifetimes::default(),
            scopes,
            resources: Vec::new(),
            clients: Vec::new(),
            cimd: CimdPolicy::default(),
            logout_ends: LogoutEnds::default(),
            registration: RegistrationPolicy::default(),
            danger_pkce_optional: false,
        }
    }

    /// All that it signs with: access tokens first, then ID tokens, of which clients may choose.
    pub fn algorithms(&self) -> Vec<SigningAlgorithm> {
        let mut all = vec![self.signing_algorithm];
        if self.signing_algorithm != SigningAlgorithm::default_of_id_tokens() {
            all.push(SigningAlgorithm::default_of_id_tokens());
        }
        all
    }

    /// The configured client with this id.
    pub fn client(&self, id: &ClientId) -> Option<&Client> {
        self.clients.iter().find(|client| client.client_id == *id)
    }

    /// The scope with this name.
    pub fn scope(&self, name: &str) -> Option<&ClientScope> {
        self.scopes.iter().find(|scope| scope.name.as_str() == name)
    }

    /// The resource with this identifier, in any of its spellings (AS-30).
    pub fn resource(&self, uri: &Resource) -> Option<&ResourceServer> {
        self.resources.iter().find(|resource| resource.uri == *uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_fit_into_a_path_are_refused() {
        for bad in [
            "",
            "-a",
            "_a",
            "a/b",
            "a b",
            "a.b",
            "\u{e9}",
            &"a".repeat(65),
        ] {
            assert_eq!(bad.parse::<RealmName>(), Err(BadRealmName), "{bad}");
        }
        assert_eq!(
            "mcp-demo".parse::<RealmName>().unwrap().as_str(),
            "mcp-demo"
        );
    }

    // SEC-45
    #[test]
    fn the_default_lifetimes_are_the_short_ones() {
        let lifetimes = Lifetimes::default();
        assert_eq!(lifetimes.code.as_secs(), 60);
        assert_eq!(lifetimes.access_token.as_secs(), 600);
        assert_eq!(lifetimes.refresh_idle.as_secs(), 14 * 86_400);
        assert_eq!(lifetimes.refresh_absolute.as_secs(), 90 * 86_400);
    }

    // AS-30
    #[test]
    fn a_resource_is_found_in_any_of_its_spellings() {
        let mut realm = Realm::new("a".parse().unwrap(), "https://as.example".parse().unwrap());
        realm.resources.push(ResourceServer {
            uri: "https://gw.example/mcp".parse().unwrap(),
            default_scopes: ScopeSet::new(),
        });
        assert!(
            realm
                .resource(&"HTTPS://GW.example:443/mcp/".parse().unwrap())
                .is_some()
        );
        assert!(
            realm
                .resource(&"https://gw.example/mcp2".parse().unwrap())
                .is_none()
        );
    }
}
