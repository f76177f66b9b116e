//! A redirect URI that belongs to the client: the one thing without which nothing is ever sent to a client.

use model::client::Client;
use oauth::redirect_uri::RedirectUri;
use oauth::request::authorization::State;

/// A redirect URI that belongs to this client, with the client's `state`. Only [`VerifiedRedirect::check`] makes one,
/// and only with one can anything be sent to a client (SEC-6, AS-12, AS-22).
#[derive(Debug, Clone)]
pub(crate) struct VerifiedRedirect {
    uri: RedirectUri,
    state: Option<State>,
}

/// Why there is nowhere to send an answer. This is told to the human and never redirects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedirectRefusal {
    /// No redirect URI, and the client has not exactly one (OAuth 2.1 §4.1.1).
    #[error("the parameter `redirect_uri` is missing")]
    Missing,
    /// Not one of the client's.
    #[error("the redirect URI is not one of those that the client has registered")]
    NotRegistered {
        /// Whether only the spelling of the loopback host differs.
        other_loopback_name: bool,
    },
}

impl RedirectRefusal {
    /// What the developer of the client can do about it.
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::Missing => "send redirect_uri",
            Self::NotRegistered {
                other_loopback_name: true,
            } => {
                "`localhost`, `127.0.0.1` and `[::1]` are different hosts: register the one that is sent, or send the one that is registered"
            }
            Self::NotRegistered {
                other_loopback_name: false,
            } => {
                "the comparison is character by character; only the port may differ, and only with http on localhost, 127.0.0.1 or [::1]"
            }
        }
    }
}

impl VerifiedRedirect {
    /// Checks that answers of this client may go there.
    pub(crate) fn check(
        client: &Client,
        requested: Option<&RedirectUri>,
        state: Option<State>,
    ) -> Result<Self, RedirectRefusal> {
        let uri = match (requested, client.redirect_uris.as_slice()) {
            (Some(requested), _) => requested,
            (None, [only]) => only,
            (None, _) => return Err(RedirectRefusal::Missing),
        };
        if !client.may_redirect_to(uri) {
            return Err(RedirectRefusal::NotRegistered {
                other_loopback_name: has_other_loopback_name(client, uri),
            });
        }
        Ok(Self {
            uri: uri.clone(),
            state,
        })
    }

    /// Where answers go.
    pub(crate) const fn uri(&self) -> &RedirectUri {
        &self.uri
    }

    /// What comes back with them.
    pub(crate) const fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }
}

/// Whether the URI would match with another of the loopback hosts: some clients register one and send another.
fn has_other_loopback_name(client: &Client, requested: &RedirectUri) -> bool {
    const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    if !requested.is_loopback() {
        return false;
    }
    let own = requested.display_host();
    NAMES.iter().any(|name| {
        let renamed = requested.as_str().replacen(own, name, 1);
        RedirectUri::parse(&renamed).is_ok_and(|uri| client.may_redirect_to(&uri))
    })
}

#[cfg(test)]
mod tests {
    use model::client::{Authentication, Provenance};
    use model::realm::SigningAlgorithm;

    use super::*;

    fn client(uris: &[&str]) -> Client {
        Client {
            client_id: "c".parse().unwrap(),
            name: None,
            provenance: Provenance::Configured,
            authentication: Authentication::none(),
            redirect_uris: uris.iter().map(|uri| uri.parse().unwrap()).collect(),
            post_logout_redirect_uris: Vec::new(),
            id_token_algorithm: SigningAlgorithm::Rs256,
            may_refresh: true,
            skip_consent: false,
            traits: model::traits::Traits::default(),
        }
    }

    fn check(registered: &[&str], requested: Option<&str>) -> Result<String, RedirectRefusal> {
        let requested = requested.map(|uri| uri.parse::<RedirectUri>().unwrap());
        VerifiedRedirect::check(&client(registered), requested.as_ref(), None)
            .map(|verified| verified.uri().to_string())
    }

    // AS-22, SEC-6: what Claude Code registers and what it then uses.
    #[test]
    fn the_port_is_free_on_loopback() {
        let registered = ["http://localhost/callback", "http://127.0.0.1/callback"];
        assert!(check(&registered, Some("http://localhost:51515/callback")).is_ok());
        assert!(check(&registered, Some("http://127.0.0.1:1/callback")).is_ok());
    }

    // SEC-6
    #[test]
    fn another_uri_is_refused() {
        let other = RedirectRefusal::NotRegistered {
            other_loopback_name: false,
        };
        assert_eq!(
            check(&["https://a.example/cb"], Some("https://a.example/cb2")),
            Err(other.clone())
        );
        assert_eq!(
            check(&["http://localhost/cb"], Some("http://localhost:1/cb/")),
            Err(other)
        );
    }

    // AS-22
    #[test]
    fn a_mismatch_of_loopback_names_is_named() {
        let refusal =
            check(&["http://localhost/cb"], Some("http://127.0.0.1:3000/cb")).unwrap_err();
        assert_eq!(
            refusal,
            RedirectRefusal::NotRegistered {
                other_loopback_name: true
            }
        );
    }

    #[test]
    fn a_missing_uri_stands_for_the_only_one() {
        assert_eq!(
            check(&["https://a.example/cb"], None).unwrap(),
            "https://a.example/cb"
        );
        assert_eq!(
            check(&["https://a.example/1", "https://a.example/2"], None),
            Err(RedirectRefusal::Missing)
        );
    }
}
