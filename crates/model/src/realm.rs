//! A realm: one issuer with its lifetimes, scopes, resources, clients and policies, as configured.

use std::collections::BTreeMap;

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
pub use crate::signing_algorithm::{SigningAlgorithm, UnknownAlgorithm};

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

/// A scope that clients of the realm may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientScope {
    /// The word in `scope`.
    pub name: Scope,
    /// Whether it is added to every request.
    pub kind: ScopeKind,
    /// What the consent page says, in whatever language; without it the page shows the name.
    pub consent_text: Option<String>,
    /// What the page says in a language, by its tag.
    pub consent_texts: BTreeMap<String, String>,
    /// Added to `aud` of access tokens with this scope.
    pub audiences: Vec<String>,
    /// What else tokens with this scope say.
    pub claims: Vec<Mapper>,
}

impl ClientScope {
    /// What the consent page in this language says about it.
    pub fn consent_text_in(&self, language_tag: &str) -> Option<&str> {
        let text = self.consent_texts.get(language_tag);
        text.or(self.consent_text.as_ref()).map(String::as_str)
    }

    /// A scope without audiences, with the mappers that OpenID Connect Core §5.4 knows for its name.
    pub fn new(name: Scope, kind: ScopeKind) -> Self {
        let claims = match name.as_str() {
            "profile" => Mapper::of_profile(),
            "email" => Mapper::of_email(),
            _ => Vec::new(),
        };
        Self {
            name,
            kind,
            consent_text: None,
            consent_texts: BTreeMap::new(),
            audiences: Vec::new(),
            claims,
        }
    }
}

/// A protected resource that tokens of the realm are made for (RFC 8707). The resource registry belongs to the realm
/// and not to its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceServer {
    /// Its identifier, and the audience of its tokens.
    pub uri: Resource,
    /// What a request without `scope` gets.
    pub default_scopes: ScopeSet,
}

/// One issuer.
#[derive(Clone, Debug, PartialEq)]
pub struct Realm {
    /// Its name.
    pub name: RealmName,
    /// What people call it; without it, the name.
    pub display_name: Option<String>,
    /// Its issuer identifier, without trailing slash, byte-identical everywhere (AS-5).
    pub issuer: Issuer,
    /// The host whose root belongs to this realm, with the port unless it is the default; then the issuer is an origin.
    pub bound_host: Option<String>,
    /// What it signs access tokens with.
    pub signing_algorithm: SigningAlgorithm,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// Its scopes; `openid` and `offline_access` need not be listed.
    pub scopes: Vec<ClientScope>,
    /// The resources that tokens are made for.
    pub resources: Vec<ResourceServer>,
    /// Clients registered beforehand.
    pub clients: Vec<Client>,
    /// Which clients may come with a metadata document.
    pub cimd: CimdPolicy,
    /// What a logout ends.
    pub logout_ends: LogoutEnds,
    /// Which clients may register themselves.
    pub registration: RegistrationPolicy,
    /// Lets configured confidential clients omit PKCE. Never for others.
    pub danger_pkce_optional: bool,
}

impl Realm {
    /// A realm with the defaults of everything, and the scopes `profile` and `email`.
    pub fn new(name: RealmName, issuer: Issuer) -> Self {
        let bound_host = issuer.path().is_empty().then(|| {
            let origin = issuer.origin();
            origin
                .split_once("://")
                .map_or(String::new(), |(_, host)| host.to_owned())
        });
        let scopes = ["profile", "email"]
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .map(|name| ClientScope::new(name, ScopeKind::Default))
            .collect();
        Self {
            name,
            display_name: None,
            issuer,
            bound_host,
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

    #[test]
    fn an_issuer_at_the_root_binds_its_host() {
        let realm = |issuer: &str| Realm::new("a".parse().unwrap(), issuer.parse().unwrap());
        assert_eq!(
            realm("https://auth.example.com").bound_host.as_deref(),
            Some("auth.example.com")
        );
        assert_eq!(
            realm("http://127.0.0.1:8480").bound_host.as_deref(),
            Some("127.0.0.1:8480")
        );
        assert_eq!(realm("https://example.com/realms/a").bound_host, None);
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
