//! A client: configured beforehand, known by its metadata document, or registered by itself.

use oauth::auth_method::AuthMethod;
use oauth::client_id::{ClientId, ClientIdUrl};
use oauth::redirect_uri::RedirectUri;
use url::Url;

use crate::clock::Timestamp;
use crate::secret::{Secret, TokenHash};
use crate::signing_algorithm::SigningAlgorithm;
use crate::traits::Traits;

/// Where a client comes from (SEC-30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The configuration names it.
    Configured,
    /// It named a metadata document.
    Document {
        /// The URL of the document, which is the client id.
        url: ClientIdUrl,
        /// Hash over what a user consented to: name, redirect URIs, keys, logo. A change asks again (SEC-19, CI-20).
        hash: TokenHash,
    },
    /// It registered itself (RFC 7591).
    Registered {
        /// Hash over what a user consented to, as with documents (SEC-19).
        hash: TokenHash,
        /// Until when the registration is kept if nobody uses it.
        expires_at: Timestamp,
    },
}

/// Where the public keys of a client are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JWK set, as JSON text.
    Inline(String),
    /// The address of a JWK set.
    Uri(Url),
}

/// How a client authenticates at the token endpoint (CI-14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The methods it may use; empty means that it shares none with us.
    pub methods: Vec<AuthMethod>,
    /// Hash of its secret, for the two secret methods.
    pub secret: Option<TokenHash>,
    /// Its keys, for `private_key_jwt`.
    pub keys: Option<KeySource>,
}

impl Authentication {
    /// A public client.
    pub fn none() -> Self {
        Self {
            methods: vec![AuthMethod::None],
            secret: None,
            keys: None,
        }
    }

    /// A client with a secret, by HTTP Basic or in the body.
    pub fn secret(secret: &Secret<String>) -> Self {
        Self {
            methods: vec![AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost],
            secret: Some(TokenHash::of(secret.expose())),
            keys: None,
        }
    }

    /// A client that signs assertions.
    pub fn private_key_jwt(keys: KeySource) -> Self {
        Self {
            methods: vec![AuthMethod::PrivateKeyJwt],
            secret: None,
            keys: Some(keys),
        }
    }

    /// Whether the client may use this method.
    pub fn permits(&self, method: AuthMethod) -> bool {
        self.methods.contains(&method)
    }

    /// Whether the client can keep a secret: it may never come without proof of itself.
    pub fn is_confidential(&self) -> bool {
        !self.methods.is_empty() && !self.permits(AuthMethod::None)
    }

    /// Whether this is its secret; takes the same time for every wrong one.
    pub fn secret_matches(&self, presented: &str) -> bool {
        let presented = TokenHash::of(presented);
        self.secret.is_some_and(|stored| stored.is(&presented))
    }
}

/// Somebody who asks for tokens on behalf of users.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// What it calls itself on the wire.
    pub client_id: ClientId,
    /// What it calls itself to people, cleaned (SEC-17).
    pub name: Option<String>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// How it authenticates.
    pub authentication: Authentication,
    /// Where answers may go.
    pub redirect_uris: Vec<RedirectUri>,
    /// Where browsers may go after a logout.
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// What its ID tokens are signed with.
    pub id_token_algorithm: SigningAlgorithm,
    /// Whether it gets refresh tokens: the grant type is among its own.
    pub may_refresh: bool,
    /// Whether users are not asked; only for configured clients of the operator's own.
    pub skip_consent: bool,
    /// Its groups and attributes, for tokens that are about it.
    pub traits: Traits,
}

impl Client {
    /// Whether the answer to a request may go there: registered, any port on loopback (AS-22, SEC-6).
    pub fn may_redirect_to(&self, requested: &RedirectUri) -> bool {
        self.redirect_uris
            .iter()
            .any(|registered| registered.matches(requested))
    }

    /// Whether browsers may go there after a logout: registered, any port on loopback.
    pub fn may_return_to(&self, requested: &RedirectUri) -> bool {
        self.post_logout_redirect_uris
            .iter()
            .any(|registered| registered.matches(requested))
    }

    /// The document that it is known by.
    pub const fn document(&self) -> Option<&ClientIdUrl> {
        match &self.provenance {
            Provenance::Configured | Provenance::Registered { .. } => None,
            Provenance::Document { url, .. } => Some(url),
        }
    }

    /// The hash of what it says of itself (SEC-19); none for configured clients, whose change is the operator's act.
    pub const fn document_hash(&self) -> Option<TokenHash> {
        match &self.provenance {
            Provenance::Configured => None,
            Provenance::Document { hash, .. } | Provenance::Registered { hash, .. } => Some(*hash),
        }
    }

    /// Whether any program on the user's machine can pose as this client when the answer goes there: it proves itself
    /// neither by a credential nor by owning the address (RFC 8252 §8.6, SEC-88).
    pub fn anybody_can_pose(&self, redirect: &RedirectUri) -> bool {
        !self.authentication.is_confidential()
            && (redirect.is_loopback() || redirect.is_private_scheme())
    }

    /// Whether answers only ever go to the user's own machine (SEC-18, AS-25).
    pub fn is_loopback_only(&self) -> bool {
        !self.redirect_uris.is_empty() && self.redirect_uris.iter().all(RedirectUri::is_loopback)
    }

    /// Whether PKCE may be missing: only where the operator says so, for a confidential client of their own (SEC-1).
    pub fn may_omit_pkce(&self, danger_pkce_optional: bool) -> bool {
        danger_pkce_optional
            && self.provenance == Provenance::Configured
            && self.authentication.is_confidential()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(authentication: Authentication) -> Client {
        Client {
            client_id: "c".parse().unwrap(),
            name: None,
            provenance: Provenance::Configured,
            authentication,
            redirect_uris: vec!["http://127.0.0.1/cb".parse().unwrap()],
            post_logout_redirect_uris: Vec::new(),
            id_token_algorithm: SigningAlgorithm::default_of_id_tokens(),
            may_refresh: true,
            skip_consent: false,
            traits: Traits::default(),
        }
    }

    #[test]
    fn only_the_secret_itself_matches() {
        let authentication = Authentication::secret(&Secret::new("s3cret".to_owned()));
        assert!(authentication.secret_matches("s3cret"));
        assert!(!authentication.secret_matches("s3cres") && !authentication.secret_matches(""));
        assert!(!Authentication::none().secret_matches(""));
    }

    // CI-14
    #[test]
    fn a_client_that_may_come_without_proof_is_public() {
        let mut mixed =
            Authentication::private_key_jwt(KeySource::Inline("{\"keys\":[]}".to_owned()));
        assert!(mixed.is_confidential());
        mixed.methods.push(AuthMethod::None);
        assert!(!mixed.is_confidential());
    }

    // AS-22, SEC-6
    #[test]
    fn a_loopback_redirect_matches_on_any_port() {
        let client = client(Authentication::none());
        assert!(client.may_redirect_to(&"http://127.0.0.1:53177/cb".parse().unwrap()));
        assert!(!client.may_redirect_to(&"http://127.0.0.1:53177/other".parse().unwrap()));
        assert!(!client.may_redirect_to(&"http://localhost/cb".parse().unwrap()));
        assert!(client.is_loopback_only());
    }

    // SEC-88
    #[test]
    fn anybody_can_pose_as_a_client_without_proof_on_the_users_machine() {
        let public = client(Authentication::none());
        let confidential = client(Authentication::secret(&Secret::new("s".to_owned())));
        for (uri, public_poses) in [
            ("http://127.0.0.1:6274/cb", true),
            ("https://localhost/cb", true),
            ("com.example.app:/cb", true),
            ("https://app.example/cb", false),
        ] {
            let uri = uri.parse().unwrap();
            assert_eq!(public.anybody_can_pose(&uri), public_poses, "{uri}");
            assert!(!confidential.anybody_can_pose(&uri), "{uri}");
        }
    }

    // SEC-1
    #[test]
    fn pkce_is_optional_only_for_configured_confidential_clients_in_a_dangerous_realm() {
        let public = client(Authentication::none());
        let confidential = client(Authentication::secret(&Secret::new("s".to_owned())));
        assert!(!public.may_omit_pkce(true));
        assert!(!confidential.may_omit_pkce(false));
        assert!(confidential.may_omit_pkce(true));
        let url = ClientIdUrl::parse_text(
            "https://c.example/m.json",
            oauth::client_id::PlainHttp::Refused,
        )
        .unwrap();
        let document = Client {
            provenance: Provenance::Document {
                url,
                hash: TokenHash::of(""),
            },
            ..confidential
        };
        assert!(!document.may_omit_pkce(true));
    }
}
