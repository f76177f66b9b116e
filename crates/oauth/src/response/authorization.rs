//! The authorization response (OAuth 2.1 §4.1.2, RFC 9207): parameters for the redirect, made and read.

use crate::error::OauthError;
use crate::form::Form;
use crate::issuer::Issuer;
use crate::redirect_uri::RedirectUri;
use crate::request::authorization::State;

/// What the authorization endpoint tells the client. `iss` is in every one of them (AS-7, SEC-8).
#[derive(Debug, Clone)]
pub struct AuthorizationResponse<'a> {
    /// Who answers.
    pub issuer: &'a Issuer,
    /// The client's `state`, when it sent one.
    pub state: Option<&'a State>,
    /// The answer proper.
    pub outcome: Outcome<'a>,
}

/// A code or an error.
#[derive(Clone)]
pub enum Outcome<'a> {
    /// The code to redeem.
    Code(&'a str),
    /// The refusal.
    Error(&'a OauthError),
}

impl std::fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(_) => f.write_str("Code(..)"),
            Self::Error(error) => f.debug_tuple("Error").field(error).finish(),
        }
    }
}

impl AuthorizationResponse<'_> {
    /// The URL to send the browser to: the redirect URI with the answer in its query.
    pub fn redirect_url(&self, redirect_uri: &RedirectUri) -> String {
        let mut parameters = match &self.outcome {
            Outcome::Code(code) => vec![("code", *code)],
            Outcome::Error(error) => vec![
                ("error", error.code().as_str()),
                ("error_description", error.description()),
            ],
        };
        parameters.extend(self.state.map(|state| ("state", state.as_str())));
        parameters.push(("iss", self.issuer.as_str()));
        redirect_uri.with_parameters(parameters)
    }
}

/// An authorization response as a client receives it; nothing about it is checked yet.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedResponse {
    /// `code`.
    pub code: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`.
    pub error_description: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `iss`, to be compared byte by byte with the issuer that was asked (RFC 9207 §2.4).
    pub issuer: Option<String>,
}

impl std::fmt::Debug for ReceivedResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedResponse")
            .field("error", &self.error)
            .field("error_description", &self.error_description)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl From<&Form> for ReceivedResponse {
    fn from(form: &Form) -> Self {
        let owned = |name| form.get(name).map(ToOwned::to_owned);
        Self {
            code: owned("code"),
            error: owned("error"),
            error_description: owned("error_description"),
            state: owned("state"),
            issuer: owned("iss"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    // AS-7, SEC-8
    #[test]
    fn every_answer_names_the_issuer_once() {
        let issuer: Issuer = "http://127.0.0.1:8480/realms/mcp-demo".parse().unwrap();
        let redirect: RedirectUri = "http://localhost:6274/cb?x=y".parse().unwrap();
        let state = State::new("a b&c").unwrap();
        let error = OauthError::new(ErrorCode::AccessDenied, "the user refused");
        let answers = [Outcome::Code("code-1"), Outcome::Error(&error)].map(|outcome| {
            AuthorizationResponse {
                issuer: &issuer,
                state: Some(&state),
                outcome,
            }
            .redirect_url(&redirect)
        });
        insta::assert_snapshot!(answers.join("\n"), @r"
        http://localhost:6274/cb?x=y&code=code-1&state=a+b%26c&iss=http%3A%2F%2F127.0.0.1%3A8480%2Frealms%2Fmcp-demo
        http://localhost:6274/cb?x=y&error=access_denied&error_description=the+user+refused&state=a+b%26c&iss=http%3A%2F%2F127.0.0.1%3A8480%2Frealms%2Fmcp-demo
        ");
        let read = ReceivedResponse::from(
            &Form::parse(answers[0].split_once('?').unwrap().1.as_bytes()).unwrap(),
        );
        assert_eq!(read.code.as_deref(), Some("code-1"));
        assert_eq!(read.state.as_deref(), Some("a b&c"));
        assert_eq!(read.issuer.as_deref(), Some(issuer.as_str()));
    }
}
