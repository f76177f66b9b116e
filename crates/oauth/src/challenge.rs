//! The `WWW-Authenticate` header, both directions (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1).

use std::collections::BTreeSet;
use std::fmt;

use crate::error::ErrorCode;
use crate::scope::ScopeSet;

/// The longest header that is parsed, in bytes.
pub const MAX_LENGTH: usize = 8192;

/// Why a header could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Longer than [`MAX_LENGTH`].
    #[error("the header is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Something that is neither a scheme nor a parameter.
    #[error("the header does not follow the grammar of challenges")]
    Malformed,
    /// A quoted string without its end.
    #[error("a quoted string does not end")]
    UnfinishedQuote,
}

/// One challenge: a scheme and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    token68: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A challenge of this scheme without parameters.
    pub fn new(scheme: impl Into<String>) -> Self {
        Self {
            scheme: scheme.into(),
            token68: None,
            parameters: Vec::new(),
        }
    }

    /// A `Bearer` challenge without parameters.
    pub fn bearer() -> Self {
        Self::new("Bearer")
    }

    /// Appends a parameter.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Appends `error` and `error_description` (RFC 6750 §3).
    #[must_use]
    pub fn with_error(self, code: ErrorCode, description: &str) -> Self {
        let error = crate::error::OauthError::new(code, description.to_owned());
        self.with("error", code.as_str())
            .with("error_description", error.description())
    }

    /// Appends `scope` unless it is empty.
    #[must_use]
    pub fn with_scope(self, scope: &ScopeSet) -> Self {
        if scope.is_empty() {
            self
        } else {
            self.with("scope", scope.to_string())
        }
    }

    /// Appends `resource_metadata` (RFC 9728 §5.1).
    #[must_use]
    pub fn with_resource_metadata(self, url: &str) -> Self {
        self.with("resource_metadata", url)
    }

    /// The scheme as written; compare with [`Self::is`].
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether this is the scheme, in any case.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The single token that some schemes have instead of parameters.
    pub fn token68(&self) -> Option<&str> {
        self.token68.as_deref()
    }

    /// The value of a parameter; names are compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter, in order; there should be one at most (RFC 9110 §11.2).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first name that occurs more than once, against RFC 9110 §11.2.
    pub fn repeated(&self) -> Option<&str> {
        let mut names = BTreeSet::new();
        self.parameters
            .iter()
            .map(|(name, _)| name.as_str())
            .find(|name| !names.insert(name.to_ascii_lowercase()))
    }

    /// Reads all challenges of one header value.
    pub fn parse_all(header: &str) -> Result<Vec<Self>, ChallengeError> {
        if header.len() > MAX_LENGTH {
            return Err(ChallengeError::TooLong);
        }
        let mut cursor = Cursor { rest: header };
        let mut challenges: Vec<Self> = Vec::new();
        loop {
            cursor.skip_separators();
            if cursor.rest.is_empty() {
                return Ok(challenges);
            }
            let word = cursor.token().ok_or(ChallengeError::Malformed)?;
            let spaces = cursor.skip_spaces();
            if cursor.eat('=') {
                cursor.skip_spaces();
                let value = cursor.value()?;
                let challenge = challenges.last_mut().ok_or(ChallengeError::Malformed)?;
                challenge.parameters.push((word.to_owned(), value));
                continue;
            }
            // A new scheme. A parameter or a token68 may follow after a space.
            let mut challenge = Self::new(word);
            if spaces && let Some(token) = cursor.token68() {
                challenge.token68 = Some(token.to_owned());
            } else if !spaces && !cursor.rest.is_empty() && !cursor.rest.starts_with(',') {
                return Err(ChallengeError::Malformed);
            }
            challenges.push(challenge);
        }
    }

    /// The first `Bearer` challenge of a header value, if it can be read.
    pub fn find_bearer(header: &str) -> Option<Self> {
        Self::parse_all(header)
            .ok()?
            .into_iter()
            .find(|challenge| challenge.is("Bearer"))
    }
}

/// Every value is quoted; characters that no quoted string may carry are left out.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        if let Some(token) = &self.token68 {
            write!(f, " {token}")?;
        }
        for (position, (name, value)) in self.parameters.iter().enumerate() {
            f.write_str(if position == 0 { " " } else { ", " })?;
            write!(f, "{name}=\"")?;
            for c in value.chars().filter(|c| matches!(c, ' '..='~')) {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        Ok(())
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_separators(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    /// Skips white space and tells whether there was any.
    fn skip_spaces(&mut self) -> bool {
        let before = self.rest.len();
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        self.rest.len() < before
    }

    fn eat(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, accepted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !accepted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// RFC 9110 §5.6.2.
    fn token(&mut self) -> Option<&'a str> {
        let taken = self.take_while(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        (!taken.is_empty()).then_some(taken)
    }

    /// RFC 9110 §11.2, recognized only where no parameter stands.
    fn token68(&mut self) -> Option<&'a str> {
        let start = self.rest;
        self.take_while(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        self.take_while(|c| c == '=');
        let taken = start.strip_suffix(self.rest).unwrap_or_default();
        let ends = {
            let after = self.rest.trim_start_matches([' ', '\t']);
            after.is_empty() || after.starts_with(',')
        };
        if taken.is_empty() || !ends {
            self.rest = start;
            return None;
        }
        Some(taken)
    }

    fn value(&mut self) -> Result<String, ChallengeError> {
        if !self.eat('"') {
            // Lenient: some servers leave URLs unquoted.
            let taken = self.take_while(|c| !matches!(c, ',' | ' ' | '\t' | '"'));
            return if taken.is_empty() {
                Err(ChallengeError::Malformed)
            } else {
                Ok(taken.to_owned())
            };
        }
        let mut value = String::new();
        let mut chars = self.rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    self.rest = chars.as_str();
                    return Ok(value);
                }
                '\\' => value.push(chars.next().ok_or(ChallengeError::UnfinishedQuote)?),
                other => value.push(other),
            }
        }
        Err(ChallengeError::UnfinishedQuote)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // RS-2, RS-3, RS-12
    #[test]
    fn a_bearer_challenge_is_written_with_quotes() {
        let challenge = Challenge::bearer()
            .with_error(ErrorCode::InsufficientScope, "the tool `a\"b` needs more")
            .with_scope(&"mcp:tools openid".parse().unwrap())
            .with_resource_metadata("https://h/.well-known/oauth-protected-resource/mcp");
        insta::assert_snapshot!(challenge, @r#"Bearer error="insufficient_scope", error_description="the tool `a'b` needs more", scope="mcp:tools openid", resource_metadata="https://h/.well-known/oauth-protected-resource/mcp""#);
    }

    #[test]
    fn line_breaks_never_reach_a_header() {
        assert_eq!(
            Challenge::bearer()
                .with("realm", "a\r\nSet-Cookie: x")
                .to_string(),
            "Bearer realm=\"aSet-Cookie: x\""
        );
    }

    // CL-1
    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let all = Challenge::parse_all(
            r#"Negotiate, Basic realm="a, b=\"c\"", bearer  resource_metadata="https://h/x" ,scope = read, NTLM TlRMTVNTUAAB=="#,
        )
        .unwrap();
        let schemes: Vec<_> = all.iter().map(Challenge::scheme).collect();
        assert_eq!(schemes, ["Negotiate", "Basic", "bearer", "NTLM"]);
        assert_eq!(all[1].get("Realm"), Some("a, b=\"c\""));
        assert_eq!(all[2].get("resource_metadata"), Some("https://h/x"));
        assert_eq!(all[2].get("scope"), Some("read"));
        assert_eq!(all[3].token68(), Some("TlRMTVNTUAAB=="));
    }

    // RS-2
    #[test]
    fn a_parameter_that_occurs_twice_is_noticed() {
        let header =
            r#"Bearer scope="a", resource_metadata="https://a/", Resource_Metadata="https://b/""#;
        let challenges = Challenge::parse_all(header).unwrap();
        let bearer = challenges.first().unwrap();
        assert_eq!(bearer.repeated(), Some("Resource_Metadata"));
        let all: Vec<&str> = bearer.all("resource_metadata").collect();
        assert_eq!(all, ["https://a/", "https://b/"]);
        assert_eq!(Challenge::bearer().with("scope", "a").repeated(), None);
    }

    #[test]
    fn unquoted_urls_are_tolerated() {
        let challenge =
            Challenge::find_bearer("Bearer resource_metadata=https://h/x, error=invalid_token")
                .unwrap();
        assert_eq!(challenge.get("resource_metadata"), Some("https://h/x"));
        assert_eq!(challenge.get("error"), Some("invalid_token"));
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        assert_eq!(
            Challenge::parse_all("Bearer realm=\"a"),
            Err(ChallengeError::UnfinishedQuote)
        );
        assert_eq!(Challenge::parse_all("=x"), Err(ChallengeError::Malformed));
        assert_eq!(Challenge::parse_all("a=b"), Err(ChallengeError::Malformed));
        assert_eq!(
            Challenge::parse_all(&"a".repeat(MAX_LENGTH + 1)),
            Err(ChallengeError::TooLong)
        );
        assert_eq!(Challenge::parse_all(""), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,60}") {
            let _ = Challenge::parse_all(&text);
        }

        #[test]
        fn what_is_written_reads_back(values in prop::collection::vec("[ -~]{0,20}", 0..5)) {
            let challenge = values.iter().enumerate().fold(Challenge::bearer(), |c, (n, value)| c.with(format!("p{n}"), value.as_str()));
            prop_assert_eq!(Challenge::parse_all(&challenge.to_string()), Ok(vec![challenge]));
        }
    }
}
