//! Client identifiers, and those that are the URL of a metadata document.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::raw_url;

/// The longest client id, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// Why a client id was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientIdError {
    /// An empty text.
    #[error("the client id is empty")]
    Empty,
    /// Longer than [`MAX_LENGTH`].
    #[error("the client id is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A character that is not printable ASCII (RFC 6749 appendix A.1).
    #[error("the client id contains a character that is not printable ASCII")]
    BadCharacter,
}

/// A client id as it stands on the wire. Compared byte by byte, never normalized (CI-3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(String);

impl ClientId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is, or pretends to be, the URL of a metadata document. No registered client may have such an id
    /// (CI-13, SEC-30).
    pub fn looks_like_url(&self) -> bool {
        let lower = self.0.to_ascii_lowercase();
        lower.starts_with("https:") || lower.starts_with("http:")
    }
}

impl FromStr for ClientId {
    type Err = ClientIdError;

    fn from_str(text: &str) -> Result<Self, ClientIdError> {
        if text.is_empty() {
            return Err(ClientIdError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(ClientIdError::TooLong);
        }
        if !text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
            return Err(ClientIdError::BadCharacter);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether documents may be named by plain `http` URLs. Only development allows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only `https`.
    #[default]
    Refused,
    /// `http` too.
    Allowed,
}

/// Why a client id cannot be the URL of a metadata document. One variant per rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientIdUrlError {
    /// More than [`MAX_LENGTH`] bytes (SEC-29).
    #[error("the client id is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A space, control or non-ASCII character (SEC-29).
    #[error("the client id URL contains a space, a control character or a character outside ASCII")]
    BadCharacter,
    /// A backslash (SEC-29).
    #[error("the client id URL contains a backslash")]
    Backslash,
    /// Not a URL with an authority.
    #[error("the client id is not an absolute URL")]
    NotUrl,
    /// Neither `https` nor, where permitted, `http`, in lower case (CI-1).
    #[error("the client id URL does not start with `https://`")]
    Scheme,
    /// `http` where only `https` is permitted (CI-1).
    #[error("the client id URL is `http`, and only `https` is allowed here")]
    PlainHttp,
    /// User information before the host (CI-1).
    #[error("the client id URL contains user information")]
    UserInformation,
    /// A fragment, even an empty one (CI-1).
    #[error("the client id URL contains a fragment")]
    Fragment,
    /// No path at all (CI-1).
    #[error("the client id URL has no path")]
    NoPath,
    /// A segment `.` or `..`, escaped or not (CI-1).
    #[error("the client id URL contains a dot segment")]
    DotSegment,
    /// A host that a parser reads as another (SEC-29), as `0x7f.1` or `ex%61mple.org`.
    #[error("the host of the client id URL is not written in its canonical form")]
    Host,
    /// A port that is empty, zero, or has leading zeros (SEC-29).
    #[error("the port of the client id URL is not written in its canonical form")]
    Port,
    /// A path or query that a parser reads as another (SEC-29).
    #[error("the path or query of the client id URL is not written in its canonical form")]
    NotCanonical,
}

/// A client id that is the URL of a metadata document, checked as written and as parsed (CI-1, CI-2, CI-3, SEC-29).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientIdUrl {
    text: String,
    url: Url,
}

impl ClientIdUrl {
    /// Checks a client id against every rule for URLs; nothing is fetched.
    pub fn parse(client_id: &ClientId, plain_http: PlainHttp) -> Result<Self, ClientIdUrlError> {
        Self::parse_text(client_id.as_str(), plain_http)
    }

    /// Like [`Self::parse`], for a text that is no [`ClientId`] yet.
    pub fn parse_text(text: &str, plain_http: PlainHttp) -> Result<Self, ClientIdUrlError> {
        use ClientIdUrlError as Refused;

        // As written.
        if text.len() > MAX_LENGTH {
            return Err(Refused::TooLong);
        }
        if !text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
            return Err(Refused::BadCharacter);
        }
        if text.contains('\\') {
            return Err(Refused::Backslash);
        }
        let raw = raw_url::split(text).ok_or(Refused::NotUrl)?;
        match (raw.scheme, plain_http) {
            ("https", _) | ("http", PlainHttp::Allowed) => {}
            ("http", PlainHttp::Refused) => return Err(Refused::PlainHttp),
            _ => return Err(Refused::Scheme),
        }
        let authority = raw
            .authority
            .filter(|authority| !authority.is_empty())
            .ok_or(Refused::NotUrl)?;
        if authority.contains('@') {
            return Err(Refused::UserInformation);
        }
        if raw.fragment.is_some() {
            return Err(Refused::Fragment);
        }
        if raw.path.is_empty() {
            return Err(Refused::NoPath);
        }
        if raw_url::has_dot_segment(raw.path) {
            return Err(Refused::DotSegment);
        }
        let (host, port) = raw_url::host_and_port(authority);
        if !port.is_none_or(raw_url::is_canonical_port) {
            return Err(Refused::Port);
        }

        // As parsed: nothing that would be fetched may differ from what was written.
        let url = Url::parse(text).map_err(|_| Refused::NotUrl)?;
        if !url
            .host_str()
            .is_some_and(|parsed| parsed.eq_ignore_ascii_case(host))
        {
            return Err(Refused::Host);
        }
        if url.path() != raw.path || url.query() != raw.query {
            return Err(Refused::NotCanonical);
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(Refused::NotCanonical);
        }
        Ok(Self {
            text: text.to_owned(),
            url,
        })
    }

    /// The URL as written. This, and not the parsed one, is the identity of the client (CI-3).
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as a [`ClientId`].
    pub fn client_id(&self) -> ClientId {
        ClientId(self.text.clone())
    }

    /// What to fetch.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The host in lower case, brackets around an IPv6 literal; to be shown to the user (CI-18).
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Scheme, host and, unless it is the default, port.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }
}

impl fmt::Display for ClientIdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ClientIdUrl, ClientIdUrlError> {
        ClientIdUrl::parse_text(text, PlainHttp::Refused)
    }

    #[test]
    fn malformed_ids_are_refused() {
        assert_eq!("".parse::<ClientId>(), Err(ClientIdError::Empty));
        assert_eq!("a\n".parse::<ClientId>(), Err(ClientIdError::BadCharacter));
        assert_eq!(
            "x".repeat(MAX_LENGTH + 1).parse::<ClientId>(),
            Err(ClientIdError::TooLong)
        );
    }

    // CI-13, SEC-30
    #[test]
    fn ids_that_look_like_urls_are_recognized() {
        for text in ["https://a/b", "HTTPS://a/b", "http:x"] {
            assert!(text.parse::<ClientId>().unwrap().looks_like_url(), "{text}");
        }
        assert!(!"my-client".parse::<ClientId>().unwrap().looks_like_url());
    }

    // CI-1, CI-2
    #[test]
    fn urls_of_real_clients_pass() {
        for text in [
            "https://claude.ai/oauth/claude-code-client-metadata",
            "https://vscode.dev/oauth/client-metadata.json",
            "https://chatgpt.com/oauth/abc123/client.json",
            "https://opencode.ai/oauth/opencode/client.json",
            "https://example.com:8443/c?v=1",
            "https://example.com:443/c",
            "https://[2001:db8::1]/c",
            "https://example.com/",
            "https://example.com/a%20b/~c",
        ] {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
    }

    // CI-1, SEC-29
    #[test]
    fn a_plain_http_url_is_refused() {
        assert_eq!(
            parse("http://example.com/c"),
            Err(ClientIdUrlError::PlainHttp)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn another_scheme_is_refused() {
        assert_eq!(parse("ftp://example.com/c"), Err(ClientIdUrlError::Scheme));
    }

    // CI-1, SEC-29
    #[test]
    fn an_upper_case_scheme_is_refused() {
        assert_eq!(
            parse("HTTPS://example.com/c"),
            Err(ClientIdUrlError::Scheme)
        );
    }

    // SEC-29
    #[test]
    fn a_url_without_authority_is_refused() {
        assert_eq!(parse("https:/example.com/c"), Err(ClientIdUrlError::NotUrl));
    }

    // SEC-29
    #[test]
    fn an_empty_authority_is_refused() {
        assert_eq!(parse("https:///c"), Err(ClientIdUrlError::NotUrl));
    }

    // CI-1, CI-2, SEC-29
    #[test]
    fn a_url_without_path_is_refused() {
        assert_eq!(parse("https://example.com"), Err(ClientIdUrlError::NoPath));
    }

    // CI-1, CI-2, SEC-29
    #[test]
    fn a_query_does_not_replace_a_path() {
        assert_eq!(
            parse("https://example.com?a=b"),
            Err(ClientIdUrlError::NoPath)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn a_dot_segment_is_refused() {
        assert_eq!(
            parse("https://example.com/a/../c"),
            Err(ClientIdUrlError::DotSegment)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn a_single_dot_segment_is_refused() {
        assert_eq!(
            parse("https://example.com/./c"),
            Err(ClientIdUrlError::DotSegment)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn an_escaped_dot_segment_is_refused() {
        assert_eq!(
            parse("https://example.com/%2e%2E/c"),
            Err(ClientIdUrlError::DotSegment)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn a_half_escaped_dot_segment_is_refused() {
        assert_eq!(
            parse("https://example.com/.%2e/c"),
            Err(ClientIdUrlError::DotSegment)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn a_fragment_is_refused() {
        assert_eq!(
            parse("https://example.com/c#f"),
            Err(ClientIdUrlError::Fragment)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn an_empty_fragment_is_refused() {
        assert_eq!(
            parse("https://example.com/c#"),
            Err(ClientIdUrlError::Fragment)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn a_user_is_refused() {
        assert_eq!(
            parse("https://user@example.com/c"),
            Err(ClientIdUrlError::UserInformation)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn an_empty_user_is_refused() {
        assert_eq!(
            parse("https://@example.com/c"),
            Err(ClientIdUrlError::UserInformation)
        );
    }

    // CI-1, SEC-29
    #[test]
    fn a_password_is_refused() {
        assert_eq!(
            parse("https://u:p@example.com/c"),
            Err(ClientIdUrlError::UserInformation)
        );
    }

    // SEC-29
    #[test]
    fn a_backslash_is_refused() {
        assert_eq!(
            parse("https://example.com\\@evil.example/c"),
            Err(ClientIdUrlError::Backslash)
        );
    }

    // SEC-29
    #[test]
    fn a_space_is_refused() {
        assert_eq!(
            parse("https://example.com/a b"),
            Err(ClientIdUrlError::BadCharacter)
        );
    }

    // SEC-29
    #[test]
    fn a_leading_space_is_refused() {
        assert_eq!(
            parse(" https://example.com/c"),
            Err(ClientIdUrlError::BadCharacter)
        );
    }

    // SEC-29
    #[test]
    fn a_control_character_is_refused() {
        assert_eq!(
            parse("https://example.com/\tc"),
            Err(ClientIdUrlError::BadCharacter)
        );
    }

    // SEC-29
    #[test]
    fn a_letter_outside_ascii_is_refused() {
        assert_eq!(
            parse("https://ex\u{e4}mple.com/c"),
            Err(ClientIdUrlError::BadCharacter)
        );
    }

    // CI-3, SEC-29
    #[test]
    fn a_number_for_a_host_is_refused() {
        assert_eq!(parse("https://2130706433/c"), Err(ClientIdUrlError::Host));
    }

    // CI-3, SEC-29
    #[test]
    fn a_hexadecimal_host_is_refused() {
        assert_eq!(parse("https://0x7f.1/c"), Err(ClientIdUrlError::Host));
    }

    // CI-3, SEC-29
    #[test]
    fn an_octal_host_is_refused() {
        assert_eq!(parse("https://0177.0.0.1/c"), Err(ClientIdUrlError::Host));
    }

    // CI-3, SEC-29
    #[test]
    fn an_escaped_host_is_refused() {
        assert_eq!(
            parse("https://ex%61mple.com/c"),
            Err(ClientIdUrlError::Host)
        );
    }

    // CI-3, SEC-29
    #[test]
    fn an_uncompressed_ipv6_host_is_refused() {
        assert_eq!(
            parse("https://[0:0:0:0:0:0:0:1]/c"),
            Err(ClientIdUrlError::Host)
        );
    }

    // CI-3, SEC-29
    #[test]
    fn an_empty_port_is_refused() {
        assert_eq!(parse("https://example.com:/c"), Err(ClientIdUrlError::Port));
    }

    // CI-3, SEC-29
    #[test]
    fn a_port_with_leading_zero_is_refused() {
        assert_eq!(
            parse("https://example.com:0443/c"),
            Err(ClientIdUrlError::Port)
        );
    }

    // CI-3, SEC-29
    #[test]
    fn a_port_beyond_the_range_is_refused() {
        assert_eq!(
            parse("https://example.com:65536/c"),
            Err(ClientIdUrlError::Port)
        );
    }

    // CI-3, SEC-29
    #[test]
    fn a_path_that_a_parser_rewrites_is_refused() {
        assert_eq!(
            parse("https://example.com/<c>"),
            Err(ClientIdUrlError::NotCanonical)
        );
    }

    // CI-3, SEC-29
    #[test]
    fn a_query_that_a_parser_rewrites_is_refused() {
        assert_eq!(
            parse("https://example.com/c?<>"),
            Err(ClientIdUrlError::NotCanonical)
        );
    }

    // SEC-29
    #[test]
    fn a_long_url_is_refused() {
        assert_eq!(
            parse(&format!("https://example.com/{}", "a".repeat(MAX_LENGTH))),
            Err(ClientIdUrlError::TooLong)
        );
    }

    // SEC-29
    #[test]
    fn a_plain_name_is_refused() {
        assert_eq!(parse("my-client"), Err(ClientIdUrlError::NotUrl));
    }

    // CI-1
    #[test]
    fn plain_http_passes_where_it_is_allowed() {
        let url =
            ClientIdUrl::parse_text("http://127.0.0.1:8480/c.json", PlainHttp::Allowed).unwrap();
        assert_eq!((url.host(), url.port()), ("127.0.0.1", 8480));
    }

    // CI-3
    #[test]
    fn an_explicit_default_port_makes_another_client() {
        assert_ne!(
            parse("https://example.com:443/c").unwrap(),
            parse("https://example.com/c").unwrap()
        );
        assert_eq!(
            parse("https://Example.com/c").unwrap().host(),
            "example.com"
        );
    }

    proptest! {
        // SEC-29
        #[test]
        fn what_passes_is_fetched_as_written(text in "https?://[a-z0-9.:@%\\[\\]-]{1,20}/[\\PC]{0,30}") {
            if let Ok(url) = parse(&text) {
                prop_assert_eq!(url.as_str(), &text);
                let fetched = url.url().as_str();
                prop_assert!(text.ends_with(url.url().path()) || url.url().query().is_some());
                prop_assert!(fetched == text || text.replace(":443/", "/") == fetched);
            }
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }
    }
}
