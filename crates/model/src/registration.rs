//! Clients that register themselves (RFC 7591): who may, where their answers may go, and how long a registration is kept
//! (SEC-33).

use std::time::Duration;

use oauth::client_id::ClientId;
use oauth::redirect_uri::RedirectUri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client_policy::DomainPattern;
use crate::clock::Timestamp;
use crate::rate::Limit;
use crate::realm_name::RealmName;
use crate::secret::TokenHash;

/// How long a registration waits for the first login.
pub const FIRST_USE: Duration = Duration::from_hours(1);
/// How long a registration is kept after its last use.
pub const KEEP: Duration = Duration::from_hours(90 * 24);
/// A use is written down when there is less than this left: once a day.
const LEFT: Duration = Duration::from_hours(89 * 24);

/// What ids of registered clients begin with; they never look like the URL of a document (SEC-30).
const PREFIX: &str = "dcr-";
/// How long ids of registered clients are: the prefix, and 16 random bytes.
const ID_LENGTH: usize = PREFIX.len() + 22;

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nobody, and clients that did register are not let in.
    #[default]
    Off,
    /// Who has one of the `initial_access_tokens`.
    Token,
    /// Everybody; the user decides on the consent page.
    Open,
}

/// Clients that register themselves (Dynamic Client Registration, RFC 7591). A registration is forgotten when nobody logs in
/// with it within an hour, and when nobody uses it for 90 days.
///
/// `Token` is what stands for an initial access token: where it is written in a file, its hash where it is compared.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "Registration")]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationPolicy<Token = TokenHash> {
    /// Who may register.
    pub mode: Mode,
    /// The tokens of mode `token`, at least 16 characters each. A client sends one of them as `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub initial_access_tokens: Vec<Token>,
    /// Hosts to which `https` redirect URIs may lead. Those to the user's own machine are always allowed. Without this list,
    /// others are allowed in mode `token` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_domains: Vec<DomainPattern>,
    /// Schemes of applications without a dot that redirect URIs may have, such as `cursor` for `cursor://…`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_schemes: Vec<String>,
    /// How many registrations of one IPv4 address or IPv6 /64 may wait for their first login, and four times as many of one
    /// IPv6 /48. More are refused. As many of one IPv4 address or IPv6 /48 may be changed or deleted within an hour.
    pub unused_per_address: u32,
    /// How many registrations may wait for their first login. The oldest of the address, and IPv6 /48, that has most make
    /// room for new ones.
    pub unused: u32,
}

impl<Token> Default for RegistrationPolicy<Token> {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            initial_access_tokens: Vec::new(),
            trusted_domains: Vec::new(),
            private_schemes: Vec::new(),
            unused_per_address: 50,
            unused: 1000,
        }
    }
}

impl<Token> RegistrationPolicy<Token> {
    /// The same policy with these initial access tokens.
    pub fn with_tokens<Other>(
        self,
        initial_access_tokens: Vec<Other>,
    ) -> RegistrationPolicy<Other> {
        let Self {
            mode,
            initial_access_tokens: _,
            trusted_domains,
            private_schemes,
            unused_per_address,
            unused,
        } = self;
        RegistrationPolicy {
            mode,
            initial_access_tokens,
            trusted_domains,
            private_schemes,
            unused_per_address,
            unused,
        }
    }
}

impl RegistrationPolicy {
    /// Whether answers of a registered client may go there. The user's own machine and private-use schemes have no domain;
    /// they pass, and the consent page warns of them (AS-25).
    pub fn admits(&self, uri: &RedirectUri) -> bool {
        if uri.is_loopback() || uri.is_private_scheme() {
            return true;
        }
        let covered = |pattern: &DomainPattern| pattern.covers(uri.display_host());
        (self.mode == Mode::Token && self.trusted_domains.is_empty())
            || self.trusted_domains.iter().any(covered)
    }

    /// How many registrations of one site, a customer with up to 2^16 networks, may wait for their first login: a bounded
    /// share of all.
    pub fn unused_per_site(&self) -> u32 {
        self.unused_per_address.saturating_mul(4)
    }

    /// How many registrations one site may change or delete.
    pub fn changes(&self) -> Limit {
        Limit {
            burst: self.unused_per_address,
            period: FIRST_USE,
        }
    }

    /// Whether this is one of the initial access tokens.
    pub fn knows_token(&self, presented: &str) -> bool {
        let presented = TokenHash::of(presented);
        self.initial_access_tokens
            .iter()
            .any(|known| known.is(&presented))
    }
}

/// A registration as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The client.
    pub client_id: ClientId,
    /// Where it is registered.
    pub realm: RealmName,
    /// What it registered: a JSON object with the members of RFC 7591.
    pub metadata: String,
    /// The hash of its secret, if it has one.
    pub secret: Option<TokenHash>,
    /// The hash of its registration access token (RFC 7592 §3).
    pub access_token: TokenHash,
    /// The network from which it came.
    pub source: String,
    /// The largest network that may belong to who has that one; often the same.
    pub site: String,
    /// When.
    pub created_at: Timestamp,
    /// When somebody last logged in with it or it got tokens, within a day.
    pub used_at: Option<Timestamp>,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// The id of a new client.
pub fn client_id(random: &[u8; 16]) -> Option<ClientId> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
        .parse()
        .ok()
}

/// Whether an id can be that of a registered client. Others need not be looked for.
pub fn may_be_registered(id: &ClientId) -> bool {
    id.as_str().len() == ID_LENGTH && id.as_str().starts_with(PREFIX)
}

/// Whether a use now is worth writing down, for a registration that ends then unless it is used.
pub fn needs_touch(expires_at: Timestamp, now: Timestamp) -> bool {
    expires_at < now + LEFT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(policy: &RegistrationPolicy, uri: &str) -> bool {
        policy.admits(&RedirectUri::parse_requested(uri).unwrap())
    }

    // SEC-33, AS-21
    #[test]
    fn strangers_get_answers_on_the_users_machine_and_at_trusted_hosts() {
        let mut policy = RegistrationPolicy {
            mode: Mode::Open,
            ..RegistrationPolicy::default()
        };
        assert!(admits(&policy, "http://localhost:1/cb"));
        assert!(admits(&policy, "com.example.app:/cb"));
        assert!(!admits(&policy, "https://app.example/cb"));
        policy.trusted_domains = vec!["*.app.example".parse().unwrap()];
        assert!(admits(&policy, "https://app.example/cb"));
        assert!(!admits(&policy, "https://app.example.evil.example/cb"));
        policy.mode = Mode::Token;
        assert!(!admits(&policy, "https://other.example/cb"));
        policy.trusted_domains.clear();
        assert!(admits(&policy, "https://other.example/cb"));
    }

    // SEC-30
    #[test]
    fn ids_of_registered_clients_are_no_urls() {
        let id = client_id(&[7; 16]).unwrap();
        assert!(may_be_registered(&id) && !id.looks_like_url());
        for other in [
            "dcr-",
            "app",
            "dcr-aaaaaaaaaaaaaaaaaaaaaaa",
            "https://a.example/aaaaaaaa",
        ] {
            assert!(!may_be_registered(&other.parse().unwrap()), "{other}");
        }
    }

    // SEC-33
    #[test]
    fn a_use_is_written_down_once_a_day() {
        let now = Timestamp::from_seconds(1_000_000);
        assert!(!needs_touch(now + KEEP, now));
        assert!(needs_touch(
            now + KEEP,
            now + Duration::from_hours(24) + Duration::from_secs(1)
        ));
    }
}
