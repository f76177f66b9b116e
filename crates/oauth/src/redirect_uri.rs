//! Redirect URIs: what may be registered, and when a requested one is the registered one.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::raw_url;

/// The longest redirect URI, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// Schemes that run code or read files in a browser (SEC-7).
const DANGEROUS: [&str; 9] = [
    "javascript",
    "data",
    "vbscript",
    "file",
    "blob",
    "about",
    "filesystem",
    "view-source",
    "jar",
];

/// Why a redirect URI was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// More than [`MAX_LENGTH`] bytes.
    #[error("the redirect URI is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A space, control or non-ASCII character.
    #[error("the redirect URI contains a space, a control character or a character outside ASCII")]
    BadCharacter,
    /// A backslash.
    #[error("the redirect URI contains a backslash")]
    Backslash,
    /// `*`, which some servers read as "anything" (SEC-7).
    #[error("the redirect URI contains a wildcard")]
    Wildcard,
    /// Not an absolute URI.
    #[error("the redirect URI is not absolute")]
    NotAbsolute,
    /// A scheme that runs code or reads files (SEC-7).
    #[error("the redirect URI has a scheme that runs code or reads files")]
    DangerousScheme,
    /// A private-use scheme without a dot (RFC 8252 §7.1).
    #[error("a private-use scheme must contain a dot, as in `com.example.app:/callback`")]
    SchemeWithoutDot,
    /// `http` to another machine (AS-21).
    #[error("a redirect URI with `http` must point to localhost, 127.0.0.1 or [::1]")]
    PlainHttp,
    /// A fragment (OAuth 2.1 §2.3).
    #[error("the redirect URI contains a fragment")]
    Fragment,
    /// User information before the host.
    #[error("the redirect URI contains user information")]
    UserInformation,
    /// No host.
    #[error("the redirect URI has no host")]
    NoHost,
    /// A host that a parser reads as another, as `0x7f.1`.
    #[error("the host of the redirect URI is not written in its canonical form")]
    Host,
    /// A port that is empty, zero, or has leading zeros.
    #[error("the port of the redirect URI is not written in its canonical form")]
    Port,
    /// A parameter that the authorization response adds; which of the two the client reads nobody knows.
    #[error(
        "the query of the redirect URI has a parameter of the authorization response, such as `code` or `state`"
    )]
    ResponseParameter,
    /// A segment `.` or `..`, escaped or not.
    #[error("the redirect URI contains a dot segment")]
    DotSegment,
}

/// What a redirect URI leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    Web,
    Loopback,
    PrivateScheme,
}

/// A redirect URI, kept as written.
#[derive(Clone, Debug)]
pub struct RedirectUri {
    text: String,
    destination: Destination,
    host: String,
    /// For `http` loopback URIs: the text before and after the port.
    around_port: Option<(String, String)>,
}

/// What an authorization response adds to the redirect URI (RFC 6749 §4.1.2, RFC 9207 §2).
const RESPONSE_PARAMETERS: [&str; 6] = [
    "code",
    "state",
    "iss",
    "error",
    "error_description",
    "error_uri",
];

/// Whether a query already has a parameter of the response, in any spelling of its name. Some parsers separate at `;`, too.
fn has_response_parameter(query: &str) -> bool {
    query
        .split(';')
        .flat_map(|part| url::form_urlencoded::parse(part.as_bytes()))
        .any(|(name, _)| RESPONSE_PARAMETERS.contains(&name.as_ref()))
}

impl RedirectUri {
    /// Checks a redirect URI; besides `https` and `http` on loopback, private-use schemes with a dot pass.
    pub fn parse(text: &str) -> Result<Self, RedirectUriError> {
        Self::parse_with_schemes(text, &[])
    }

    /// Like [`Self::parse`]; these schemes without a dot pass too, as `cursor`.
    pub fn parse_with_schemes(text: &str, schemes: &[&str]) -> Result<Self, RedirectUriError> {
        use RedirectUriError as Refused;

        if text.len() > MAX_LENGTH {
            return Err(Refused::TooLong);
        }
        if !text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
            return Err(Refused::BadCharacter);
        }
        if text.contains('\\') {
            return Err(Refused::Backslash);
        }
        if text.contains('*') {
            return Err(Refused::Wildcard);
        }
        let raw = raw_url::split(text).ok_or(Refused::NotAbsolute)?;
        let scheme = raw.scheme.to_ascii_lowercase();
        if DANGEROUS.contains(&scheme.as_str()) {
            return Err(Refused::DangerousScheme);
        }
        if raw.fragment.is_some() {
            return Err(Refused::Fragment);
        }
        if raw_url::has_dot_segment(raw.path) {
            return Err(Refused::DotSegment);
        }
        if raw.query.is_some_and(has_response_parameter) {
            return Err(Refused::ResponseParameter);
        }
        let authority = raw.authority.unwrap_or_default();
        if authority.contains('@') {
            return Err(Refused::UserInformation);
        }
        if scheme != "http" && scheme != "https" {
            if !scheme.contains('.') && !schemes.contains(&scheme.as_str()) {
                return Err(Refused::SchemeWithoutDot);
            }
            return Ok(Self {
                text: text.to_owned(),
                destination: Destination::PrivateScheme,
                host: scheme,
                around_port: None,
            });
        }
        if authority.is_empty() {
            return Err(Refused::NoHost);
        }
        let (host, port) = raw_url::host_and_port(authority);
        if !port.is_none_or(raw_url::is_canonical_port) {
            return Err(Refused::Port);
        }
        let url = Url::parse(text).map_err(|_| Refused::Host)?;
        let parsed_host = url
            .host_str()
            .filter(|parsed| parsed.eq_ignore_ascii_case(host))
            .ok_or(Refused::Host)?;
        let loopback = matches!(parsed_host, "localhost" | "127.0.0.1" | "[::1]");
        if scheme == "http" && !loopback {
            return Err(Refused::PlainHttp);
        }
        let around_port = (scheme == "http").then(|| {
            let query = raw
                .query
                .map(|query| format!("?{query}"))
                .unwrap_or_default();
            (
                format!("{}://{host}", raw.scheme),
                format!("{}{query}", raw.path),
            )
        });
        let destination = if loopback {
            Destination::Loopback
        } else {
            Destination::Web
        };
        Ok(Self {
            text: text.to_owned(),
            destination,
            host: parsed_host.to_owned(),
            around_port,
        })
    }

    /// Like [`Self::parse`], for a URI that is only to be compared with registered ones: whichever private-use scheme
    /// was allowed there passes here.
    pub fn parse_requested(text: &str) -> Result<Self, RedirectUriError> {
        let scheme = text
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        Self::parse_with_schemes(text, &[scheme.as_str()])
    }

    /// The URI as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a request for `requested` is covered by this registered URI: equal byte by byte, except for the port
    /// of `http` URIs on localhost, 127.0.0.1 and `[::1]` (OAuth 2.1 §8.4.2, AS-22, SEC-6).
    pub fn matches(&self, requested: &Self) -> bool {
        self.text == requested.text
            || (self.around_port.is_some() && self.around_port == requested.around_port)
    }

    /// Whether it leads to the user's own machine by `http` or `https`.
    pub fn is_loopback(&self) -> bool {
        self.destination == Destination::Loopback
    }

    /// Whether it leads to an application by a private-use scheme.
    pub fn is_private_scheme(&self) -> bool {
        self.destination == Destination::PrivateScheme
    }

    /// What to show the user: the host in lower case, or the private-use scheme.
    pub fn display_host(&self) -> &str {
        &self.host
    }

    /// The URI with these parameters appended to its query; without any, the URI as it is.
    pub fn with_parameters<'a>(
        &self,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let query = crate::form::encode(parameters);
        if query.is_empty() {
            return self.text.clone();
        }
        let joint = match self.text.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some((_, existing)) if existing.ends_with('&') => "",
            Some(_) => "&",
        };
        format!("{}{joint}{query}", self.text)
    }
}

impl PartialEq for RedirectUri {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RedirectUri {}

impl FromStr for RedirectUri {
    type Err = RedirectUriError;

    fn from_str(text: &str) -> Result<Self, RedirectUriError> {
        Self::parse(text)
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri::parse(text).unwrap()
    }

    #[test]
    fn uris_of_real_clients_pass() {
        for text in [
            "http://localhost:6274/oauth/callback",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:33418/",
            "http://[::1]:8000/cb",
            "https://vscode.dev/redirect",
            "https://chatgpt.com/connector/oauth/abc",
            "com.example.app:/callback",
            "com.example.app://callback",
        ] {
            assert_eq!(uri(text).as_str(), text);
        }
        assert!(
            RedirectUri::parse_with_schemes("cursor://anysphere.cursor/cb", &["cursor"]).is_ok()
        );
    }

    // SEC-6, SEC-8
    #[test]
    fn a_query_that_already_answers_is_refused() {
        for query in [
            "code=x",
            "a=b&state=",
            "iss=https://as.example",
            "error",
            "%63ode=x",
            "error_uri=x",
            "a=b;code=x",
            ";%73tate=x",
        ] {
            for base in [
                "https://app.example/cb",
                "http://127.0.0.1/cb",
                "com.example.app:/cb",
            ] {
                assert_eq!(
                    RedirectUri::parse(&format!("{base}?{query}")).unwrap_err(),
                    RedirectUriError::ResponseParameter,
                    "{query}"
                );
            }
        }
        for query in ["tenant=code", "codes=x", "Code=x", ""] {
            uri(&format!("https://app.example/cb?{query}"));
        }
    }

    // SEC-7
    #[test]
    fn javascript_is_refused() {
        let text = "javascript:alert(1)";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::DangerousScheme)
        );
    }

    // SEC-7
    #[test]
    fn javascript_in_mixed_case_is_refused() {
        let text = "JavaScript:alert(1)";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::DangerousScheme)
        );
    }

    // SEC-7
    #[test]
    fn data_is_refused() {
        let text = "data:text/html,x";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::DangerousScheme)
        );
    }

    // SEC-7
    #[test]
    fn vbscript_is_refused() {
        let text = "vbscript:x";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::DangerousScheme)
        );
    }

    // SEC-7
    #[test]
    fn file_is_refused() {
        let text = "file:///etc/passwd";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::DangerousScheme)
        );
    }

    // SEC-7
    #[test]
    fn blob_is_refused() {
        let text = "blob:https://example.com/x";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::DangerousScheme)
        );
    }

    // SEC-7
    #[test]
    fn a_scheme_without_dot_is_refused() {
        let text = "myapp://callback";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::SchemeWithoutDot)
        );
    }

    // SEC-7
    #[test]
    fn a_wildcard_is_refused() {
        let text = "https://*.example.com/cb";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Wildcard));
    }

    // SEC-7
    #[test]
    fn a_wildcard_path_is_refused() {
        let text = "https://example.com/*";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Wildcard));
    }

    // AS-21, SEC-7
    #[test]
    fn http_to_another_machine_is_refused() {
        let text = "http://example.com/cb";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::PlainHttp));
    }

    // AS-21, SEC-7
    #[test]
    fn http_to_a_lookalike_of_localhost_is_refused() {
        let text = "http://localhost.evil.example/cb";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::PlainHttp));
    }

    // SEC-6
    #[test]
    fn a_fragment_is_refused() {
        let text = "https://example.com/cb#x";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Fragment));
    }

    // SEC-6
    #[test]
    fn a_fragment_of_a_private_scheme_is_refused() {
        let text = "com.example:/cb#";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Fragment));
    }

    // SEC-6
    #[test]
    fn a_user_is_refused() {
        let text = "https://example.com@evil.example/cb";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::UserInformation)
        );
    }

    // SEC-6
    #[test]
    fn a_relative_uri_is_refused() {
        let text = "/callback";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::NotAbsolute));
    }

    // SEC-6
    #[test]
    fn a_uri_without_host_is_refused() {
        let text = "https:///cb";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::NoHost));
    }

    // SEC-6
    #[test]
    fn a_number_for_a_host_is_refused() {
        let text = "http://2130706433/cb";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Host));
    }

    // SEC-6
    #[test]
    fn an_escaped_host_is_refused() {
        let text = "https://ex%61mple.com/cb";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Host));
    }

    // SEC-6
    #[test]
    fn an_empty_port_is_refused() {
        let text = "http://localhost:/cb";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Port));
    }

    // SEC-6
    #[test]
    fn a_dot_segment_is_refused() {
        let text = "https://example.com/a/%2e%2e/cb";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::DotSegment));
    }

    // SEC-6
    #[test]
    fn a_backslash_is_refused() {
        let text = "https://example.com\\@evil.example/";
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Backslash));
    }

    // SEC-6
    #[test]
    fn a_line_break_is_refused() {
        let text = "https://example.com/\r\nLocation:x";
        assert_eq!(
            RedirectUri::parse(text),
            Err(RedirectUriError::BadCharacter)
        );
    }

    // SEC-6
    #[test]
    fn a_long_uri_is_refused() {
        let text = format!("https://example.com/{}", "a".repeat(MAX_LENGTH));
        assert_eq!(RedirectUri::parse(&text), Err(RedirectUriError::TooLong));
    }

    // AS-22, SEC-6: what Claude Code and VS Code rely on.
    #[test]
    fn any_port_matches_on_loopback() {
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            let registered = uri(&format!("http://{host}/callback"));
            assert!(
                registered.matches(&uri(&format!("http://{host}:51234/callback"))),
                "{host}"
            );
            assert!(
                uri(&format!("http://{host}:1/callback")).matches(&registered),
                "{host}"
            );
        }
    }

    // SEC-6, BP-4
    #[test]
    fn everything_else_matches_exactly() {
        let loopback = uri("http://127.0.0.1/callback");
        for other in [
            "http://localhost/callback",
            "http://127.0.0.1/callback/",
            "http://127.0.0.1/Callback",
            "http://127.0.0.1/callback?x=1",
            "http://127.0.0.1:80/call%62ack",
            "https://127.0.0.1/callback",
            "HTTP://127.0.0.1/callback",
        ] {
            assert!(!loopback.matches(&uri(other)), "{other}");
        }
        let web = uri("https://example.com/cb");
        for other in [
            "https://example.com:443/cb",
            "https://example.com:8443/cb",
            "https://EXAMPLE.com/cb",
            "https://example.com/cb?",
        ] {
            assert!(!web.matches(&uri(other)), "{other}");
        }
    }

    // AS-24
    #[test]
    fn the_host_to_show_is_the_one_that_is_reached() {
        assert_eq!(
            uri("https://EXAMPLE.com:8443/cb").display_host(),
            "example.com"
        );
        assert_eq!(uri("com.example.app:/cb").display_host(), "com.example.app");
        assert!(uri("http://[::1]:1/cb").is_loopback());
        assert!(uri("https://localhost/cb").is_loopback());
        assert!(!uri("https://example.com/cb").is_loopback());
    }

    #[test]
    fn parameters_join_an_existing_query() {
        assert_eq!(
            uri("https://e.org/cb").with_parameters([]),
            "https://e.org/cb"
        );
        assert_eq!(
            uri("https://e.org/cb").with_parameters([("a", "1 2")]),
            "https://e.org/cb?a=1+2"
        );
        assert_eq!(
            uri("https://e.org/cb?x=y").with_parameters([("a", "1")]),
            "https://e.org/cb?x=y&a=1"
        );
        assert_eq!(
            uri("https://e.org/cb?").with_parameters([("a", "1")]),
            "https://e.org/cb?a=1"
        );
    }

    proptest! {
        // SEC-6
        #[test]
        fn a_changed_byte_never_matches_outside_loopback(position in 8_usize..32, byte in 0x21_u8..0x7f) {
            let registered = "https://client.example.org/callback";
            let mut changed = registered.as_bytes().to_vec();
            changed[position] = byte;
            let changed = String::from_utf8(changed).unwrap();
            if let Ok(requested) = RedirectUri::parse(&changed) {
                prop_assert_eq!(uri(registered).matches(&requested), changed == registered);
            }
        }

        // SEC-6
        #[test]
        fn a_match_on_loopback_differs_only_in_its_port(requested in "http://(localhost|127\\.0\\.0\\.1|\\[::1\\])(:[0-9]{1,5})?[!-~]{0,20}") {
            let registered = uri("http://127.0.0.1:7/callback?x=1");
            if let Ok(requested) = RedirectUri::parse(&requested) && registered.matches(&requested) {
                let tail = requested.as_str().strip_prefix("http://127.0.0.1").unwrap();
                let digits = tail.strip_suffix("/callback?x=1").unwrap();
                prop_assert!(digits.is_empty() || digits.strip_prefix(':').unwrap().parse::<u16>().is_ok());
            }
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,80}") {
            let _ = RedirectUri::parse(&text);
        }
    }
}
