//! The authorization request (OAuth 2.1 §4.1.1, OpenID Connect Core §3.1.2.1): what decides where an answer may go, and
//! everything else, parameter by parameter.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::client_id::ClientId;
use crate::error::{ErrorCode, OauthError};
use crate::form::Form;
use crate::pkce::{self, CodeChallenge};
use crate::prompt::{Prompt, PromptError};
use crate::redirect_uri::RedirectUri;
use crate::resource::Resource;
use crate::response_mode::{
    ResponseMode, ResponseType, UnsupportedResponseMode, UnsupportedResponseType,
};
use crate::scope::{ScopeError, ScopeSet};

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

// The other parameters, each by itself: which of them are looked at, and in which order, is the server's matter. Errors in
// them go to the client by redirect.

fn invalid(description: impl Into<Cow<'static, str>>) -> OauthError {
    OauthError::new(ErrorCode::InvalidRequest, description)
}

/// `request`: no request objects (OpenID Connect Core §6.1, `request_not_supported`).
///
/// # Errors
/// Where there is one.
pub fn no_request_object(form: &Form) -> Result<(), OauthError> {
    match form.get("request") {
        None => Ok(()),
        Some(_) => Err(OauthError::new(
            ErrorCode::RequestNotSupported,
            "request objects are not supported",
        )),
    }
}

/// `request_uri`: no references to request objects (OpenID Connect Core §6.2, `request_uri_not_supported`).
///
/// # Errors
/// Where there is one.
pub fn no_request_uri(form: &Form) -> Result<(), OauthError> {
    match form.get("request_uri") {
        None => Ok(()),
        Some(_) => Err(OauthError::new(
            ErrorCode::RequestUriNotSupported,
            "`request_uri` is not supported",
        )),
    }
}

/// `response_type`, required (OAuth 2.1 §4.1.1).
///
/// # Errors
/// Where it is missing or another than those that exist here.
pub fn response_type(form: &Form) -> Result<ResponseType, OauthError> {
    let parsed = form.require("response_type")?.parse();
    parsed.map_err(|error: UnsupportedResponseType| {
        OauthError::new(ErrorCode::UnsupportedResponseType, error.to_string())
    })
}

/// `response_mode`.
///
/// # Errors
/// Where it is another than those that exist here.
pub fn response_mode(form: &Form) -> Result<ResponseMode, OauthError> {
    let parsed = form.get("response_mode").map(str::parse).transpose();
    parsed
        .map(Option::unwrap_or_default)
        .map_err(|error: UnsupportedResponseMode| invalid(error.to_string()))
}

/// `scope`; `None` when absent.
///
/// # Errors
/// Where it breaks the grammar (RFC 6749 §3.3).
pub fn scope(form: &Form) -> Result<Option<ScopeSet>, OauthError> {
    let parsed = form.get("scope").map(str::parse).transpose();
    parsed.map_err(|error: ScopeError| OauthError::from(error))
}

/// `nonce` for the ID token, of at most `longest` bytes.
///
/// # Errors
/// Where it is longer.
pub fn nonce(form: &Form, longest: usize) -> Result<Option<String>, OauthError> {
    match form.get("nonce") {
        Some(nonce) if nonce.len() > longest => {
            Err(invalid(format!("`nonce` is longer than {longest} bytes")))
        }
        nonce => Ok(nonce.map(ToOwned::to_owned)),
    }
}

/// `prompt`.
///
/// # Errors
/// Where it contradicts itself.
pub fn prompt(form: &Form) -> Result<Prompt, OauthError> {
    let parsed = form.get("prompt").unwrap_or_default().parse();
    parsed.map_err(|error: PromptError| invalid(error.to_string()))
}

/// `max_age` in seconds.
///
/// # Errors
/// Where it is no number of seconds.
pub fn max_age(form: &Form) -> Result<Option<u32>, OauthError> {
    let parsed = form.get("max_age").map(str::parse).transpose();
    parsed.map_err(|_| invalid("`max_age` is not a number of seconds"))
}

/// A parameter that only helps, as `login_hint`: one of more than `longest` bytes is as good as none.
pub fn hint(form: &Form, name: &str, longest: usize) -> Option<String> {
    let hint = form.get(name).filter(|hint| hint.len() <= longest);
    hint.map(ToOwned::to_owned)
}

/// `code_challenge`; with it the method was `S256`, which must be named: an absent method means `plain` (RFC 7636 §4.3),
/// which is refused (AS-28, SEC-1). The server decides whether it may be absent.
///
/// # Errors
/// Where one of the two stands alone, the method is another, or the challenge is malformed.
pub fn code_challenge(form: &Form) -> Result<Option<CodeChallenge>, OauthError> {
    match (
        form.get("code_challenge"),
        form.get("code_challenge_method"),
    ) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(invalid("`code_challenge_method` without `code_challenge`")),
        (Some(_), None) => Err(invalid(
            "`code_challenge_method` is missing, which means `plain`; hint: send `S256`",
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

/// `resource`, as often as it was sent (RFC 8707 §2).
///
/// # Errors
/// Where one is malformed, or there are more than [`MAX_RESOURCES`].
pub fn resources(form: &Form) -> Result<Vec<Resource>, OauthError> {
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
        let form = form(extra);
        no_request_object(&form)
            .and_then(|()| no_request_uri(&form))
            .and_then(|()| response_type(&form))
            .and_then(|_| response_mode(&form))
            .and_then(|_| code_challenge(&form))
            .and_then(|_| scope(&form))
            .and_then(|_| resources(&form))
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
        let challenge = code_challenge(&form).unwrap().unwrap();
        assert_eq!(challenge.to_string(), CHALLENGE);
        let scope = scope(&form).unwrap().unwrap();
        assert_eq!(scope.to_string(), "openid mcp:tools");
        assert_eq!(
            resources(&form).unwrap(),
            ["http://h/mcp/".parse().unwrap()]
        );
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
