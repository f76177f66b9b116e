//! What a user agreed to: per client, redirect origin and resource, for scopes, under one state of the client's
//! document (SEC-14, SEC-19).

use oauth::client_id::ClientId;
use oauth::redirect_uri::RedirectUri;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;

use crate::clock::Timestamp;
use crate::id::Id;
use crate::secret::TokenHash;
use crate::user::User;

/// One agreement. User, client, redirect origin and resource are its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Who agreed.
    pub user: Id<User>,
    /// To whom.
    pub client_id: ClientId,
    /// Where answers go: see [`redirect_origin`].
    pub redirect_origin: String,
    /// For which resource; `None` for a request without any.
    pub resource: Option<Resource>,
    /// To what.
    pub scope: ScopeSet,
    /// What the client's document was; `None` for a configured client.
    pub document_hash: Option<TokenHash>,
    /// When.
    pub granted_at: Timestamp,
}

/// What a request needs consent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub client_id: ClientId,
    /// Where the answer goes.
    pub redirect_origin: String,
    /// For which resources.
    pub resources: Vec<Resource>,
    /// What is asked for.
    pub scope: ScopeSet,
    /// What the client's document is now.
    pub document_hash: Option<TokenHash>,
}

/// Why the user must be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// This client was never agreed to, at this redirect origin and for this resource.
    Client,
    /// The client's document changed since (CI-20).
    Document,
    /// More scopes than were agreed to.
    Scope,
}

impl Ask {
    /// What these agreements, all of one user, leave open; `None` when they cover everything.
    pub fn missing(&self, consents: &[Consent]) -> Option<Missing> {
        if self.resources.is_empty() {
            return self.missing_for(None, consents);
        }
        self.resources
            .iter()
            .find_map(|resource| self.missing_for(Some(resource), consents))
    }

    /// The agreements to store when the user says yes.
    pub fn agree(&self, user: Id<User>, now: Timestamp) -> Vec<Consent> {
        let for_resource = |resource: Option<Resource>| Consent {
            user,
            client_id: self.client_id.clone(),
            redirect_origin: self.redirect_origin.clone(),
            resource,
            scope: self.scope.clone(),
            document_hash: self.document_hash,
            granted_at: now,
        };
        if self.resources.is_empty() {
            vec![for_resource(None)]
        } else {
            self.resources
                .iter()
                .cloned()
                .map(Some)
                .map(for_resource)
                .collect()
        }
    }

    fn missing_for(&self, resource: Option<&Resource>, consents: &[Consent]) -> Option<Missing> {
        let same = |consent: &&Consent| {
            consent.client_id == self.client_id
                && consent.redirect_origin == self.redirect_origin
                && consent.resource.as_ref() == resource
        };
        match consents.iter().find(same) {
            None => Some(Missing::Client),
            Some(consent) if consent.document_hash != self.document_hash => Some(Missing::Document),
            Some(consent) if !self.scope.is_subset(&consent.scope) => Some(Missing::Scope),
            Some(_) => None,
        }
    }
}

/// The part of a redirect URI that consent is bound to: scheme, host and port of a web URI; scheme and host on
/// loopback, where ports change with every start; the scheme of a private-use URI.
pub fn redirect_origin(uri: &RedirectUri) -> String {
    let scheme = uri
        .as_str()
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if uri.is_private_scheme() {
        return format!("{scheme}:");
    }
    if uri.is_loopback() {
        return format!("{scheme}://{}", uri.display_host());
    }
    url::Url::parse(uri.as_str()).map_or_else(
        |_| format!("{scheme}://{}", uri.display_host()),
        |url| url.origin().ascii_serialization(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> Ask {
        Ask {
            client_id: "https://c.example/m".parse().unwrap(),
            redirect_origin: "http://localhost".to_owned(),
            resources: vec!["https://gw.example/mcp".parse().unwrap()],
            scope: "openid mcp:tools".parse().unwrap(),
            document_hash: Some(TokenHash::of("document")),
        }
    }

    fn agreed(ask: &Ask) -> Vec<Consent> {
        ask.agree(Id::from_bytes([1; 16]), Timestamp::default())
    }

    // SEC-14
    #[test]
    fn consent_to_one_client_is_none_to_another() {
        let consents = agreed(&ask());
        assert_eq!(ask().missing(&consents), None);
        assert_eq!(ask().missing(&[]), Some(Missing::Client));
        let other = Ask {
            client_id: "https://d.example/m".parse().unwrap(),
            ..ask()
        };
        assert_eq!(other.missing(&consents), Some(Missing::Client));
    }

    // SEC-14
    #[test]
    fn another_redirect_origin_asks_again() {
        let other = Ask {
            redirect_origin: "https://c.example".to_owned(),
            ..ask()
        };
        assert_eq!(other.missing(&agreed(&ask())), Some(Missing::Client));
    }

    // SEC-19
    #[test]
    fn more_scopes_or_another_resource_ask_again() {
        let consents = agreed(&ask());
        let more = Ask {
            scope: "openid mcp:tools admin".parse().unwrap(),
            ..ask()
        };
        assert_eq!(more.missing(&consents), Some(Missing::Scope));
        let less = Ask {
            scope: "mcp:tools".parse().unwrap(),
            ..ask()
        };
        assert_eq!(less.missing(&consents), None);
        let mut second = ask();
        second
            .resources
            .push("https://gw.example/other".parse().unwrap());
        assert_eq!(second.missing(&consents), Some(Missing::Client));
        assert_eq!(second.missing(&agreed(&second)), None);
        let none = Ask {
            resources: Vec::new(),
            ..ask()
        };
        assert_eq!(none.missing(&consents), Some(Missing::Client));
    }

    // SEC-19, CI-20
    #[test]
    fn a_changed_document_asks_again() {
        let changed = Ask {
            document_hash: Some(TokenHash::of("changed")),
            ..ask()
        };
        assert_eq!(changed.missing(&agreed(&ask())), Some(Missing::Document));
        let registered = Ask {
            document_hash: None,
            ..ask()
        };
        assert_eq!(registered.missing(&agreed(&ask())), Some(Missing::Document));
    }

    #[test]
    fn origins_forget_the_port_of_loopback_only() {
        let origin = |uri: &str| redirect_origin(&uri.parse().unwrap());
        assert_eq!(origin("http://localhost:6274/cb"), "http://localhost");
        assert_eq!(origin("http://[::1]:6274/cb"), "http://[::1]");
        assert_eq!(
            origin("https://C.example:8443/cb?x"),
            "https://c.example:8443"
        );
        assert_eq!(origin("https://c.example:443/cb"), "https://c.example");
        assert_eq!(origin("com.example.app:/cb"), "com.example.app:");
    }
}
