//! `WWW-Authenticate`: what a client without a good token is to do next (RS-2, RS-3, RS-11 to RS-15).

use http::HeaderValue;
use oauth::challenge::Challenge;
use oauth::error::ErrorCode;
use oauth::scope::ScopeSet;

/// Challenges of one gateway.
#[derive(Debug)]
pub(crate) struct Challenges {
    metadata_url: String,
    scopes: ScopeSet,
    no_token: HeaderValue,
}

impl Challenges {
    /// `metadata_url` is absolute; `scopes` are all that any operation needs, so that one challenge suffices (RS-13): of
    /// the first issuer, which is the one that clients turn to.
    pub(crate) fn new(metadata_url: String, scopes: ScopeSet) -> Self {
        let no_token = header(
            &Challenge::bearer()
                .with_scope(&scopes)
                .with_resource_metadata(&metadata_url),
        );
        Self {
            metadata_url,
            scopes,
            no_token,
        }
    }

    /// For who showed no token. Who shows nothing is told nothing about errors (RFC 6750 §3).
    pub(crate) const fn no_token(&self) -> &HeaderValue {
        &self.no_token
    }

    /// For who made a mistake; `needed` are scopes if other ones are asked for than by the first issuer.
    pub(crate) fn with_error(
        &self,
        code: ErrorCode,
        description: &str,
        needed: Option<&ScopeSet>,
    ) -> HeaderValue {
        header(
            &Challenge::bearer()
                .with_error(code, description)
                .with_scope(needed.unwrap_or(&self.scopes))
                .with_resource_metadata(&self.metadata_url),
        )
    }
}

fn header(challenge: &Challenge) -> HeaderValue {
    // A challenge writes printable ASCII only, so this does not fail.
    HeaderValue::try_from(challenge.to_string()).unwrap_or(HeaderValue::from_static("Bearer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::jwt::TokenFault;
    use crate::refusal::Refusal;

    fn challenge(refusal: &Refusal) -> String {
        let url = "https://h/.well-known/oauth-protected-resource/mcp".to_owned();
        let challenges = Challenges::new(url, "mcp:tools".parse().unwrap());
        refusal
            .challenge(&challenges)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    // RS-2, RS-3
    #[test]
    fn without_a_token_the_challenge_names_metadata_and_scopes_and_no_error() {
        insta::assert_snapshot!(challenge(&Refusal::NoToken), @r#"Bearer scope="mcp:tools", resource_metadata="https://h/.well-known/oauth-protected-resource/mcp""#);
    }

    // RS-6, RS-11
    #[test]
    fn a_bad_token_is_called_invalid() {
        let refusal = Refusal::InvalidToken(TokenFault::Revoked);
        insta::assert_snapshot!(challenge(&refusal), @r#"Bearer error="invalid_token", error_description="the token was revoked", scope="mcp:tools", resource_metadata="https://h/.well-known/oauth-protected-resource/mcp""#);
    }

    // RS-12, RS-13
    #[test]
    fn a_lack_of_scopes_names_all_that_are_needed() {
        insta::assert_snapshot!(challenge(&Refusal::InsufficientScope("b:read".parse().unwrap())), @r#"Bearer error="insufficient_scope", error_description="the token lacks a required scope", scope="b:read", resource_metadata="https://h/.well-known/oauth-protected-resource/mcp""#);
    }
}
