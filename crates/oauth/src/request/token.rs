//! The token request (OAuth 2.1 §4.1.3, §4.3.1), and the grant types that there are.

use std::fmt;
use std::str::FromStr;

use crate::error::{ErrorCode, OauthError};
use crate::form::Form;
use crate::pkce::CodeVerifier;
use crate::request::authorization::resources;
use crate::resource::Resource;
use crate::scope::{ScopeError, ScopeSet};

/// A grant type of the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrantType {
    /// `authorization_code` (OAuth 2.1 §4.1).
    AuthorizationCode,
    /// `refresh_token` (OAuth 2.1 §4.3).
    RefreshToken,
}

impl GrantType {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::AuthorizationCode, Self::RefreshToken];

    /// The wire's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
        }
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no grant type that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a grant type that is supported here")]
pub struct UnsupportedGrantType;

impl FromStr for GrantType {
    type Err = UnsupportedGrantType;

    fn from_str(text: &str) -> Result<Self, UnsupportedGrantType> {
        Self::ALL
            .iter()
            .copied()
            .find(|grant| grant.as_str() == text)
            .ok_or(UnsupportedGrantType)
    }
}

/// A token request, without what authenticates the client.
#[derive(Clone, Debug)]
pub enum TokenRequest {
    /// Redeem a code.
    AuthorizationCode(CodeRequest),
    /// Refresh.
    RefreshToken(RefreshRequest),
}

/// `grant_type=authorization_code`.
#[derive(Clone)]
pub struct CodeRequest {
    /// `code`, required.
    pub code: String,
    /// `redirect_uri` as sent, to be compared with that of the authorization request.
    pub redirect_uri: Option<String>,
    /// `code_verifier`.
    pub code_verifier: Option<CodeVerifier>,
    /// `resource`, as often as it was sent.
    pub resources: Vec<Resource>,
}

/// `grant_type=refresh_token`.
#[derive(Clone)]
pub struct RefreshRequest {
    /// `refresh_token`, required.
    pub refresh_token: String,
    /// `scope`, to narrow what was granted.
    pub scope: Option<ScopeSet>,
    /// `resource`, to narrow what was granted.
    pub resources: Vec<Resource>,
}

impl fmt::Debug for CodeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeRequest")
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshRequest")
            .field("scope", &self.scope)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}

impl TokenRequest {
    /// Reads the parameters of the named grant type.
    pub fn parse(form: &Form) -> Result<Self, OauthError> {
        let grant_type = form.require("grant_type")?;
        let grant_type = grant_type.parse().map_err(|UnsupportedGrantType| {
            let named = crate::error::shown(grant_type);
            OauthError::new(
                ErrorCode::UnsupportedGrantType,
                format!("the grant type `{named}` is not supported"),
            )
        })?;
        match grant_type {
            GrantType::AuthorizationCode => Ok(Self::AuthorizationCode(CodeRequest {
                code: form.require("code")?.to_owned(),
                redirect_uri: form.get("redirect_uri").map(ToOwned::to_owned),
                code_verifier: form
                    .get("code_verifier")
                    .map(str::parse)
                    .transpose()
                    .map_err(|error: crate::pkce::PkceError| {
                        OauthError::new(ErrorCode::InvalidRequest, error.to_string())
                    })?,
                resources: resources(form)?,
            })),
            GrantType::RefreshToken => Ok(Self::RefreshToken(RefreshRequest {
                refresh_token: form.require("refresh_token")?.to_owned(),
                scope: form
                    .get("scope")
                    .map(str::parse)
                    .transpose()
                    .map_err(|error: ScopeError| OauthError::from(error))?,
                resources: resources(form)?,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<TokenRequest, ErrorCode> {
        TokenRequest::parse(&Form::from_pairs(pairs.iter().copied())).map_err(|error| error.code())
    }

    #[test]
    fn both_grants_are_read() {
        let code = parse(&[
            ("grant_type", "authorization_code"),
            ("code", "c"),
            ("resource", "https://h/a"),
            ("resource", "https://h/b"),
        ]);
        let Ok(TokenRequest::AuthorizationCode(code)) = code else {
            panic!("{code:?}")
        };
        assert_eq!((code.code.as_str(), code.resources.len()), ("c", 2));
        let refresh = parse(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", "r"),
            ("scope", "a b"),
        ]);
        let Ok(TokenRequest::RefreshToken(refresh)) = refresh else {
            panic!("{refresh:?}")
        };
        assert_eq!(refresh.scope.unwrap().to_string(), "a b");
    }

    #[test]
    fn what_is_missing_or_unknown_is_refused() {
        assert_eq!(parse(&[]).unwrap_err(), ErrorCode::InvalidRequest);
        assert_eq!(
            parse(&[("grant_type", "authorization_code")]).unwrap_err(),
            ErrorCode::InvalidRequest
        );
        assert_eq!(
            parse(&[("grant_type", "refresh_token"), ("refresh_token", "")]).unwrap_err(),
            ErrorCode::InvalidRequest
        );
    }

    // SEC-9
    #[test]
    fn the_password_grant_does_not_exist() {
        for grant in [
            "password",
            "implicit",
            "client_credentials",
            "AUTHORIZATION_CODE",
        ] {
            assert_eq!(
                parse(&[("grant_type", grant)]).unwrap_err(),
                ErrorCode::UnsupportedGrantType,
                "{grant}"
            );
        }
    }

    // SEC-1
    #[test]
    fn a_malformed_verifier_is_an_invalid_request() {
        for verifier in ["a".repeat(42), "a".repeat(129)] {
            let refused = parse(&[
                ("grant_type", "authorization_code"),
                ("code", "c"),
                ("code_verifier", &verifier),
            ]);
            assert_eq!(refused.unwrap_err(), ErrorCode::InvalidRequest);
        }
    }

    // SEC-71
    #[test]
    fn secrets_are_not_shown() {
        let shown = format!(
            "{:?}",
            parse(&[("grant_type", "refresh_token"), ("refresh_token", "hush")]).unwrap()
        );
        assert!(!shown.contains("hush"));
    }
}
