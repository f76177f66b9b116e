//! Which clients may come with a metadata document: the realm's policy, as pure rules (SEC-34, CI-19).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use oauth::auth_method::AuthMethod;
use oauth::client_id::{ClientIdUrl, PlainHttp};
use oauth::redirect_uri::RedirectUri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::network::Network;
use crate::span::{Span, as_text};
use crate::text::setting;

/// Whose documents are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nobody's: only clients that are known beforehand.
    #[default]
    Off,
    /// Those of `trusted_domains`.
    Allowlist,
    /// Those of `trusted_domains`, and of hosts that an operator approved with `sekisho client approve`.
    Approval,
    /// Everybody's; the user decides on the consent page.
    Open,
}

impl Mode {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Allowlist => "allowlist",
            Self::Approval => "approval",
            Self::Off => "off",
        }
    }
}

/// `example.org` (exactly this host) or `*.example.org` (this host and everything below it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPattern {
    host: String,
    below: bool,
}

/// A text that is no domain pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host name such as `example.org`, or `*.example.org` for it and its subdomains")]
pub struct BadDomainPattern;

impl DomainPattern {
    /// Whether a host, in lower case, is covered.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        host == self.host
            || (self.below
                && host
                    .strip_suffix(self.host.as_str())
                    .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1))
    }
}

impl FromStr for DomainPattern {
    type Err = BadDomainPattern;

    fn from_str(text: &str) -> Result<Self, BadDomainPattern> {
        let (host, below) = text
            .strip_prefix("*.")
            .map_or((text, false), |host| (host, true));
        // Names in other letters are compared as they are resolved.
        let encoded = match url::Host::parse(host) {
            Ok(url::Host::Domain(name)) if !host.is_ascii() => Some(name),
            _ => None,
        };
        let host = encoded.as_deref().unwrap_or(host);
        let is_name = |host: &str| {
            !host.is_empty()
                && host.split('.').all(|label| !label.is_empty())
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        };
        let is_v6 = |host: &str| {
            host.strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
        };
        if is_name(host) || (!below && is_v6(host)) {
            Ok(Self {
                host: host.to_ascii_lowercase(),
                below,
            })
        } else {
            Err(BadDomainPattern)
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.host)
    }
}

setting!(
    DomainPattern,
    "domain-pattern",
    "a host name such as `app.example.com` or `*.example.com`",
    "*.example.com"
);

/// How long a document is kept: what its HTTP headers say, but not outside these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "Cache")]
#[serde(deny_unknown_fields, default)]
pub struct CacheBounds {
    /// At least so long.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub min: Duration,
    /// At most so long.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub max: Duration,
}

impl Default for CacheBounds {
    fn default() -> Self {
        Self {
            min: Duration::from_mins(1),
            max: Duration::from_hours(24),
        }
    }
}

/// Clients that identify themselves by the URL of a metadata document (Client ID Metadata Documents).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "Cimd")]
#[serde(deny_unknown_fields, default)]
pub struct CimdPolicy {
    /// Whose documents are accepted.
    pub mode: Mode,
    /// Accept `http` URLs: for development only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_http: bool,
    /// Hosts of documents and of the URLs in them; mode `allowlist` requires it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_domains: Vec<DomainPattern>,
    /// Require that the document, its redirect URIs and its other URLs are under the same trusted domain.
    pub restrict_same_domain: bool,
    /// Properties that a document must have.
    pub required_properties: Vec<String>,
    /// Accept only clients that authenticate with a key.
    pub only_confidential: bool,
    /// Ports that documents may be fetched from.
    pub ports: Vec<u16>,
    /// Fetch documents from any port.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub danger_any_port: bool,
    /// Private and other special-use networks that strangers may make this program call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub danger_allow_networks: Vec<Network>,
    /// How long a document is kept.
    pub cache: CacheBounds,
}

impl Default for CimdPolicy {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            allow_http: false,
            trusted_domains: Vec::new(),
            restrict_same_domain: false,
            required_properties: ["client_id", "client_name", "redirect_uris"]
                .map(str::to_owned)
                .to_vec(),
            only_confidential: false,
            ports: vec![443],
            danger_any_port: false,
            danger_allow_networks: Vec::new(),
            cache: CacheBounds::default(),
        }
    }
}

impl CimdPolicy {
    /// The ports that documents may be fetched from; none means any.
    pub fn fetchable_ports(&self) -> Option<&[u16]> {
        (!self.danger_any_port).then_some(&self.ports)
    }

    /// Special-use networks that may be fetched from all the same.
    pub fn allowed_networks(&self) -> Vec<IpNet> {
        let allowed = self.danger_allow_networks.iter();
        allowed.map(|network| network.0).collect()
    }
}

/// Why a client is not admitted. Each is told to the human who is at the browser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The realm admits no documents.
    #[error("this server does not accept client metadata documents")]
    Off,
    /// The document is at a port that is not fetched from (SEC-21).
    #[error("client metadata documents are not fetched from port {0}")]
    Port(u16),
    /// The host of the document is not among the trusted domains (SEC-34).
    #[error("the host of the client id is not among the trusted domains")]
    DomainNotTrusted,
    /// A redirect URI leads to a host that is not among the trusted domains.
    #[error("a redirect URI of the client leads outside the trusted domains")]
    RedirectNotTrusted,
    /// A URL in the document leads to a host that is not among the trusted domains.
    #[error("`{0}` of the client leads outside the trusted domains")]
    PropertyNotTrusted(&'static str),
    /// A URL in the document is plain `http`.
    #[error("`{0}` of the client is `http`, and only `https` is allowed here")]
    PropertyPlainHttp(&'static str),
    /// The requested redirect URI does not lie in the domain of the document.
    #[error("the redirect URI does not lie in the domain of the client id")]
    RedirectOtherDomain,
    /// A URL in the document does not lie in its domain.
    #[error("`{0}` of the client does not lie in the domain of the client id")]
    PropertyOtherDomain(&'static str),
    /// A required property is missing.
    #[error("the client metadata document lacks the required property `{0}`")]
    PropertyMissing(String),
    /// The client does not authenticate.
    #[error("only clients that authenticate with `private_key_jwt` are admitted")]
    NotConfidential,
    /// The client authenticates, but with no keys or with two sources of them.
    #[error("a client that authenticates needs either `jwks` or `jwks_uri`")]
    KeysUnclear,
}

/// What can be said about a client before its document is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Its host is among the trusted domains.
    Trusted,
    /// Its host is not known; admitted with the stronger warning.
    Unknown,
    /// An administrator must have approved its host.
    NeedsApproval,
}

/// What the policy looks at in a document that is otherwise valid.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Names of the properties that are present.
    pub properties: &'a [&'a str],
    /// Its redirect URIs.
    pub redirect_uris: &'a [RedirectUri],
    /// Where it wants browsers to go after a logout.
    pub post_logout_redirect_uris: &'a [RedirectUri],
    /// Where the request wants the browser to go, if it sends one somewhere.
    pub requested: Option<&'a RedirectUri>,
    /// The URLs in it, by property: `client_uri`, `logo_uri`, `tos_uri`, `policy_uri`, `jwks_uri`.
    pub uris: &'a [(&'static str, &'a Url)],
    /// The ways in which the client may authenticate.
    pub methods: &'a [AuthMethod],
    /// Whether it contains keys.
    pub has_jwks: bool,
    /// Whether it refers to keys.
    pub has_jwks_uri: bool,
}

impl CimdPolicy {
    /// Whether client ids may be `http`.
    pub const fn plain_http(&self) -> PlainHttp {
        if self.allow_http {
            PlainHttp::Allowed
        } else {
            PlainHttp::Refused
        }
    }

    /// The rules that need no document, so that nothing is fetched for a client that is refused anyway.
    pub fn check_client_id(&self, client_id: &ClientIdUrl) -> Result<Admission, Refusal> {
        let trusted = self.trusts(client_id.host());
        let admission = match self.mode {
            Mode::Off => return Err(Refusal::Off),
            _ if trusted => Admission::Trusted,
            Mode::Open => Admission::Unknown,
            Mode::Allowlist => return Err(Refusal::DomainNotTrusted),
            Mode::Approval => Admission::NeedsApproval,
        };
        let ports = self.fetchable_ports();
        if ports.is_some_and(|ports| !ports.contains(&client_id.port())) {
            return Err(Refusal::Port(client_id.port()));
        }
        Ok(admission)
    }

    /// The rules about a document. Redirect URIs to the user's own machine and to private-use schemes have no domain;
    /// they pass as trusted, and the consent page warns of them.
    pub fn check_document(
        &self,
        client_id: &ClientIdUrl,
        document: &Document<'_>,
    ) -> Result<(), Refusal> {
        if let Some(missing) = self
            .required_properties
            .iter()
            .find(|name| !document.properties.contains(&name.as_str()))
        {
            return Err(Refusal::PropertyMissing(missing.clone()));
        }
        if !self.allow_http
            && let Some((name, _)) = document
                .uris
                .iter()
                .find(|(_, url)| url.scheme() != "https")
        {
            return Err(Refusal::PropertyPlainHttp(name));
        }
        if self.mode == Mode::Allowlist {
            self.check_trusted(document)?;
        }
        if self.restrict_same_domain {
            self.check_same_domain(client_id, document)?;
        }
        if self.only_confidential {
            if document.methods != [AuthMethod::PrivateKeyJwt] {
                return Err(Refusal::NotConfidential);
            }
            if document.has_jwks == document.has_jwks_uri {
                return Err(Refusal::KeysUnclear);
            }
        }
        Ok(())
    }

    fn trusts(&self, host: &str) -> bool {
        self.trusted_domains
            .iter()
            .any(|pattern| pattern.covers(host))
    }

    fn check_trusted(&self, document: &Document<'_>) -> Result<(), Refusal> {
        let leads_outside = |uri: &RedirectUri| {
            !uri.is_loopback() && !uri.is_private_scheme() && !self.trusts(uri.display_host())
        };
        if document.redirect_uris.iter().any(leads_outside) {
            return Err(Refusal::RedirectNotTrusted);
        }
        if document.post_logout_redirect_uris.iter().any(leads_outside) {
            return Err(Refusal::PropertyNotTrusted("post_logout_redirect_uris"));
        }
        match document
            .uris
            .iter()
            .find(|(_, url)| !url.host_str().is_some_and(|host| self.trusts(host)))
        {
            Some((name, _)) => Err(Refusal::PropertyNotTrusted(name)),
            None => Ok(()),
        }
    }

    /// One domain must cover everything: a trusted one that covers the client id, or else its own host.
    fn check_same_domain(
        &self,
        client_id: &ClientIdUrl,
        document: &Document<'_>,
    ) -> Result<(), Refusal> {
        let own = DomainPattern {
            host: client_id.host().to_owned(),
            below: true,
        };
        let domains: Vec<&DomainPattern> = self
            .trusted_domains
            .iter()
            .filter(|pattern| pattern.covers(client_id.host()))
            .chain([&own])
            .filter(|pattern| {
                document.requested.is_none_or(|requested| {
                    !requested.is_private_scheme() && pattern.covers(requested.display_host())
                })
            })
            .collect();
        if domains.is_empty() {
            return Err(Refusal::RedirectOtherDomain);
        }
        for (name, url) in document.uris {
            if !url
                .host_str()
                .is_some_and(|host| domains.iter().any(|pattern| pattern.covers(host)))
            {
                return Err(Refusal::PropertyOtherDomain(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_id(text: &str) -> ClientIdUrl {
        ClientIdUrl::parse_text(text, PlainHttp::Allowed).unwrap()
    }

    fn policy(mode: Mode, trusted: &[&str]) -> CimdPolicy {
        CimdPolicy {
            mode,
            trusted_domains: trusted.iter().map(|text| text.parse().unwrap()).collect(),
            ..CimdPolicy::default()
        }
    }

    struct Sample {
        redirects: Vec<RedirectUri>,
        post_logout: Vec<RedirectUri>,
        logo: Url,
        methods: Vec<AuthMethod>,
        keys: (bool, bool),
        properties: Vec<&'static str>,
    }

    impl Sample {
        fn new(redirect: &str, logo: &str) -> Self {
            Self {
                redirects: vec![redirect.parse().unwrap()],
                post_logout: Vec::new(),
                logo: logo.parse().unwrap(),
                methods: vec![AuthMethod::None],
                keys: (false, false),
                properties: vec!["client_id", "client_name", "redirect_uris", "logo_uri"],
            }
        }

        fn check(&self, policy: &CimdPolicy, id: &str) -> Result<(), Refusal> {
            let document = Document {
                properties: &self.properties,
                redirect_uris: &self.redirects,
                post_logout_redirect_uris: &self.post_logout,
                requested: self.redirects.first(),
                uris: &[("logo_uri", &self.logo)],
                methods: &self.methods,
                has_jwks: self.keys.0,
                has_jwks_uri: self.keys.1,
            };
            policy.check_document(&client_id(id), &document)
        }
    }

    // SEC-34, CI-19
    #[test]
    fn patterns_cover_whole_labels_only() {
        let below: DomainPattern = "*.Example.org".parse().unwrap();
        for host in [
            "example.org",
            "a.example.org",
            "b.a.example.org",
            "a.example.org.",
        ] {
            assert!(below.covers(host), "{host}");
        }
        for host in [
            "evilexample.org",
            "example.org.evil.net",
            "org",
            ".example.org",
            "",
        ] {
            assert!(!below.covers(host), "{host}");
        }
        let exact: DomainPattern = "example.org".parse().unwrap();
        assert!(exact.covers("example.org") && !exact.covers("a.example.org"));
        let v6: DomainPattern = "[::1]".parse().unwrap();
        assert!(v6.covers("[::1]"));
    }

    #[test]
    fn texts_that_are_no_pattern_are_refused() {
        for bad in [
            "",
            "*",
            "*.",
            "*.*.org",
            "a..b",
            "https://a.org",
            "a.org:443",
            "a/b",
            "*.[::1]",
            "[::1",
            "a*.org",
        ] {
            assert_eq!(bad.parse::<DomainPattern>(), Err(BadDomainPattern), "{bad}");
        }
    }

    // SEC-34
    #[test]
    fn the_mode_decides_about_unknown_hosts() {
        let id = client_id("https://claude.ai/oauth/meta.json");
        let decide = |mode, trusted: &[&str]| policy(mode, trusted).check_client_id(&id);
        assert_eq!(decide(Mode::Open, &[]), Ok(Admission::Unknown));
        assert_eq!(decide(Mode::Open, &["claude.ai"]), Ok(Admission::Trusted));
        assert_eq!(
            decide(Mode::Allowlist, &["claude.ai"]),
            Ok(Admission::Trusted)
        );
        assert_eq!(
            decide(Mode::Allowlist, &["*.vscode.dev"]),
            Err(Refusal::DomainNotTrusted)
        );
        assert_eq!(decide(Mode::Approval, &[]), Ok(Admission::NeedsApproval));
        assert_eq!(
            decide(Mode::Approval, &["claude.ai"]),
            Ok(Admission::Trusted)
        );
        assert_eq!(decide(Mode::Off, &["claude.ai"]), Err(Refusal::Off));
    }

    // SEC-21
    #[test]
    fn a_port_that_is_not_listed_is_refused() {
        assert_eq!(
            policy(Mode::Open, &[]).check_client_id(&client_id("https://c.example:8443/m")),
            Err(Refusal::Port(8443))
        );
    }

    // CI-9
    #[test]
    fn a_missing_required_property_is_named() {
        let mut sample = Sample::new("http://localhost/cb", "https://c.example/logo.png");
        sample.properties.retain(|name| *name != "client_name");
        let refused = sample.check(&policy(Mode::Open, &[]), "https://c.example/m");
        assert_eq!(
            refused,
            Err(Refusal::PropertyMissing("client_name".to_owned()))
        );
    }

    // SEC-34
    #[test]
    fn an_allowlist_covers_redirects_and_urls_too() {
        let allowlist = policy(Mode::Allowlist, &["c.example"]);
        let check =
            |redirect, logo| Sample::new(redirect, logo).check(&allowlist, "https://c.example/m");
        assert_eq!(check("https://c.example/cb", "https://c.example/l"), Ok(()));
        assert_eq!(
            check("https://d.example/cb", "https://c.example/l"),
            Err(Refusal::RedirectNotTrusted)
        );
        assert_eq!(
            check("https://c.example/cb", "https://d.example/l"),
            Err(Refusal::PropertyNotTrusted("logo_uri"))
        );
        assert_eq!(
            check("http://127.0.0.1:6274/cb", "https://c.example/l"),
            Ok(())
        );
        assert_eq!(check("com.example.app:/cb", "https://c.example/l"), Ok(()));
    }

    // SEC-34, SEC-6
    #[test]
    fn an_allowlist_covers_where_a_logout_ends() {
        let allowlist = policy(Mode::Allowlist, &["c.example"]);
        let check = |bye: &str| {
            let mut sample = Sample::new("https://c.example/cb", "https://c.example/l");
            sample.post_logout = vec![bye.parse().unwrap()];
            sample.check(&allowlist, "https://c.example/m")
        };
        assert_eq!(check("https://c.example/bye"), Ok(()));
        assert_eq!(check("http://127.0.0.1:6274/bye"), Ok(()));
        assert_eq!(
            check("https://d.example/bye"),
            Err(Refusal::PropertyNotTrusted("post_logout_redirect_uris"))
        );
    }

    #[test]
    fn plain_http_urls_need_the_development_switch() {
        let sample = Sample::new("http://localhost/cb", "http://c.example/l");
        let mut policy = policy(Mode::Open, &[]);
        assert_eq!(
            sample.check(&policy, "https://c.example/m"),
            Err(Refusal::PropertyPlainHttp("logo_uri"))
        );
        policy.allow_http = true;
        assert_eq!(sample.check(&policy, "https://c.example/m"), Ok(()));
    }

    #[test]
    fn the_same_domain_rule_binds_redirect_and_urls() {
        let mut policy = policy(Mode::Open, &["*.example"]);
        policy.restrict_same_domain = true;
        let check =
            |redirect, logo| Sample::new(redirect, logo).check(&policy, "https://c.example/m");
        assert_eq!(check("https://d.example/cb", "https://e.example/l"), Ok(()));
        assert_eq!(
            check("https://c.other/cb", "https://c.example/l"),
            Err(Refusal::RedirectOtherDomain)
        );
        assert_eq!(
            check("http://localhost/cb", "https://c.example/l"),
            Err(Refusal::RedirectOtherDomain)
        );
        assert_eq!(
            check("https://c.example/cb", "https://c.other/l"),
            Err(Refusal::PropertyOtherDomain("logo_uri"))
        );
    }

    #[test]
    fn only_clients_with_keys_are_confidential() {
        let mut policy = policy(Mode::Open, &[]);
        policy.only_confidential = true;
        let mut sample = Sample::new("http://localhost/cb", "https://c.example/l");
        let check = |sample: &Sample| sample.check(&policy, "https://c.example/m");
        assert_eq!(check(&sample), Err(Refusal::NotConfidential));
        sample.methods = vec![AuthMethod::PrivateKeyJwt];
        assert_eq!(check(&sample), Err(Refusal::KeysUnclear));
        sample.keys = (true, false);
        assert_eq!(check(&sample), Ok(()));
        sample.keys = (true, true);
        assert_eq!(check(&sample), Err(Refusal::KeysUnclear));
        // SEC-32: a client that may also come without proof is not confidential.
        sample.methods = vec![AuthMethod::None, AuthMethod::PrivateKeyJwt];
        assert_eq!(check(&sample), Err(Refusal::NotConfidential));
    }
}
