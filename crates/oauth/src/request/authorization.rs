//! The authorization request (OAuth 2.1 §4.1.1, OpenID Connect Core §3.1.2.1), in two parts: what decides where an
//! answer may go, and everything else.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::client_id::ClientId;
use crate::error::{ErrorCode, OauthError};
use crate::form::Form;
use crate::pkce::{self, CodeChallenge};
use crate::prompt::Prompt;
use crate::redirect_uri::RedirectUri;
use crate::resource::Resource;
use crate::response_mode::{ResponseMode, ResponseType};
use crate::scope::ScopeSet;

/// The longest `state` or `nonce`, in bytes.
pub const MAX_OPAQUE: usize = 4096;
/// The most `resource` parameters.
pub const MAX_RESOURCES: usize = 16;

/// The client's own value that comes back with the answer, untouched.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(String);

impl State {
    /// Takes a value of at most [`MAX_OPAQUE`] bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, OauthError> {
        let text = text.into();
        if text.len() > MAX_OPAQUE {
            return Err(OauthError::new(
                ErrorCode::InvalidRequest,
                "`state` is longer than 4096 bytes",
            ));
        }
        Ok(Self(text))
    }

    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Never shown: clients put what they like into it (SEC-71).
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State(..)")
    }
}

/// Who asks, and where the answer shall go. Errors in these parameters must be shown to the human and never lead to
/// a redirect (SEC-6).
#[derive(Clone, Debug)]
pub struct Addressing {
    /// `client_id`, required.
    pub client_id: ClientId,
    /// `redirect_uri`; the server decides whether it may be absent.
    pub redirect_uri: Option<RedirectUri>,
    /// `state`.
    pub state: Option<State>,
}

impl Addressing {
    /// Reads the addressing parameters.
    pub fn parse(form: &Form) -> Result<Self, OauthError> {
        let invalid = |description: String| OauthError::new(ErrorCode::InvalidRequest, description);
        let client_id = form
            .require("client_id")?
            .parse()
            .map_err(|error| invalid(format!("`client_id`: {error}")))?;
        let redirect_uri = form
            .get("redirect_uri")
            // Schemes without a dot may have been allowed for this client: matching with what is registered decides.
            .map(RedirectUri::parse_requested)
            .transpose()
            .map_err(|error| invalid(format!("`redirect_uri`: {error}")))?;
        let state = form.get("state").map(State::new).transpose()?;
        Ok(Self {
            client_id,
            redirect_uri,
            state,
        })
    }
}

/// The rest of the request. Errors in these parameters go to the client by redirect.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    /// `response_type`, required.
    pub response_type: ResponseType,
    /// `response_mode`.
    pub response_mode: ResponseMode,
    /// `code_challenge`; with it the method was `S256`. The server decides whether it may be absent.
    pub code_challenge: Option<CodeChallenge>,
    /// `scope`; `None` when absent.
    pub scope: Option<ScopeSet>,
    /// `resource`, as often as it was sent (RFC 8707 §2).
    pub resources: Vec<Resource>,
    /// `nonce` for the ID token.
    pub nonce: Option<String>,
    /// `prompt`.
    pub prompt: Prompt,
    /// `max_age` in seconds.
    pub max_age: Option<u32>,
    /// `login_hint`.
    pub login_hint: Option<String>,
    /// `ui_locales`, as sent.
    pub ui_locales: Option<String>,
}

impl AuthorizationRequest {
    /// Reads everything but the addressing parameters.
    pub fn parse(form: &Form) -> Result<Self, OauthError> {
        let invalid = |description: String| OauthError::new(ErrorCode::InvalidRequest, description);
        if form.get("request").is_some() {
            return Err(OauthError::new(
                ErrorCode::RequestNotSupported,
                "request objects are not supported",
            ));
        }
        if form.get("request_uri").is_some() {
            return Err(OauthError::new(
                ErrorCode::RequestUriNotSupported,
                "`request_uri` is not supported",
            ));
        }
        let response_type = form.require("response_type")?.parse().map_err(
            |error: crate::response_mode::UnsupportedResponseType| {
                OauthError::new(ErrorCode::UnsupportedResponseType, error.to_string())
            },
        )?;
        let response_mode = match form.get("response_mode") {
            None => ResponseMode::default(),
            Some(text) => {
                text.parse()
                    .map_err(|error: crate::response_mode::UnsupportedResponseMode| {
                        invalid(error.to_string())
                    })?
            }
        };
        let nonce = form.get("nonce").map(ToOwned::to_owned);
        if nonce.as_ref().is_some_and(|nonce| nonce.len() > MAX_OPAQUE) {
            return Err(invalid("`nonce` is longer than 4096 bytes".to_owned()));
        }
        Ok(Self {
            response_type,
            response_mode,
            code_challenge: code_challenge(form)?,
            scope: form
                .get("scope")
                .map(str::parse)
                .transpose()
                .map_err(|error: crate::scope::ScopeError| OauthError::from(error))?,
            resources: resources(form)?,
            nonce,
            prompt: form
                .get("prompt")
                .unwrap_or_default()
                .parse()
                .map_err(|error: crate::prompt::PromptError| invalid(error.to_string()))?,
            max_age: form
                .get("max_age")
                .map(str::parse)
                .transpose()
                .map_err(|_| invalid("`max_age` is not a number of seconds".to_owned()))?,
            login_hint: form.get("login_hint").map(ToOwned::to_owned),
            ui_locales: form.get("ui_locales").map(ToOwned::to_owned),
        })
    }
}

/// `S256` must be named: an absent method means `plain` (RFC 7636 §4.3), which is refused (AS-28, SEC-1).
fn code_challenge(form: &Form) -> Result<Option<CodeChallenge>, OauthError> {
    let invalid = |description: String| OauthError::new(ErrorCode::InvalidRequest, description);
    match (
        form.get("code_challenge"),
        form.get("code_challenge_method"),
    ) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(invalid(
            "`code_challenge_method` without `code_challenge`".to_owned(),
        )),
        (Some(_), None) => Err(invalid(
            "`code_challenge_method` is missing, which means `plain`; hint: send `S256`".to_owned(),
        )),
        (Some(challenge), Some(pkce::METHOD)) => challenge
            .parse()
            .map(Some)
            .map_err(|error: pkce::PkceError| invalid(error.to_string())),
        (Some(_), Some(other)) => Err(invalid(format!(
            "`code_challenge_method` is `{}`, but only `S256` is supported",
            crate::error::shown(other)
        ))),
    }
}

/// Reads all `resource` parameters.
pub(crate) fn resources(form: &Form) -> Result<Vec<Resource>, OauthError> {
    let mut resources: Vec<Resource> = Vec::new();
    for text in form.all("resource") {
        let resource = text.parse()?;
        if !resources.contains(&resource) {
            resources.push(resource);
        }
        if resources.len() > MAX_RESOURCES {
            return Err(OauthError::new(
                ErrorCode::InvalidTarget,
                "more than 16 resources",
            ));
        }
    }
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn form(extra: &[(&str, &str)]) -> Form {
        let mut pairs = vec![
            ("client_id", "https://client.example/c"),
            ("redirect_uri", "http://localhost:6274/cb"),
            ("response_type", "code"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        pairs.retain(|(name, _)| extra.iter().all(|(other, _)| other != name));
        pairs.extend(extra);
        Form::from_pairs(pairs)
    }

    fn refused(extra: &[(&str, &str)]) -> ErrorCode {
        AuthorizationRequest::parse(&form(extra))
            .unwrap_err()
            .code()
    }

    #[test]
    fn a_usual_request_is_read() {
        let form = form(&[
            ("scope", "openid mcp:tools"),
            ("resource", "http://h/mcp"),
            ("state", "s"),
            ("unknown", "x"),
        ]);
        let addressing = Addressing::parse(&form).unwrap();
        assert_eq!(addressing.client_id.as_str(), "https://client.example/c");
        assert_eq!(addressing.state.unwrap().as_str(), "s");
        let request = AuthorizationRequest::parse(&form).unwrap();
        assert_eq!(request.code_challenge.unwrap().to_string(), CHALLENGE);
        assert_eq!(request.scope.unwrap().to_string(), "openid mcp:tools");
        assert_eq!(request.resources, ["http://h/mcp/".parse().unwrap()]);
    }

    // SEC-1, AS-28
    #[test]
    fn plain_challenges_are_refused() {
        assert_eq!(
            refused(&[("code_challenge_method", "plain")]),
            ErrorCode::InvalidRequest
        );
        assert_eq!(
            refused(&[("code_challenge_method", "")]),
            ErrorCode::InvalidRequest
        );
        assert_eq!(
            refused(&[("code_challenge_method", "s256")]),
            ErrorCode::InvalidRequest
        );
        assert_eq!(
            refused(&[("code_challenge", "")]),
            ErrorCode::InvalidRequest
        );
    }

    // SEC-9
    #[test]
    fn other_response_types_are_refused() {
        assert_eq!(
            refused(&[("response_type", "token")]),
            ErrorCode::UnsupportedResponseType
        );
        assert_eq!(refused(&[("response_type", "")]), ErrorCode::InvalidRequest);
        assert_eq!(
            refused(&[("response_mode", "fragment")]),
            ErrorCode::InvalidRequest
        );
    }

    #[test]
    fn request_objects_are_refused() {
        assert_eq!(refused(&[("request", "x")]), ErrorCode::RequestNotSupported);
        assert_eq!(
            refused(&[("request_uri", "x")]),
            ErrorCode::RequestUriNotSupported
        );
    }

    // AS-29
    #[test]
    fn a_malformed_resource_is_an_invalid_target() {
        assert_eq!(
            refused(&[("resource", "https://h/mcp#x")]),
            ErrorCode::InvalidTarget
        );
    }

    #[test]
    fn a_malformed_scope_is_an_invalid_scope() {
        assert_eq!(refused(&[("scope", "a\"b")]), ErrorCode::InvalidScope);
    }

    // SEC-6
    #[test]
    fn addressing_errors_are_separate() {
        let parse = |extra: &[(&str, &str)]| Addressing::parse(&form(extra)).map(|_| ());
        assert!(parse(&[("client_id", "")]).is_err());
        assert!(parse(&[("redirect_uri", "javascript:alert(1)")]).is_err());
        assert!(parse(&[("state", &"s".repeat(MAX_OPAQUE + 1))]).is_err());
        assert!(parse(&[("redirect_uri", "cursor://x/cb")]).is_ok());
        assert!(parse(&[("response_type", "token")]).is_ok());
    }
}
