//! Everything that a request can be refused for, and the one mapping of it to HTTP and JSON-RPC.

use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use mcp::era::{Era, ProtocolVersion};
use mcp::error::Code;
use mcp::feature::Feature;
use mcp::header::Mismatch;
use mcp::id::OwnedId;
use mcp::jsonrpc::{self, Malformed};
use mcp::meta::InvalidMeta;
use mcp::param_header::AmbiguousArgument;
use net::body::{Body, BoxError};
use net::edge::remarks::Remarks;
use oauth::causes::with_causes;
use oauth::error::ErrorCode;
use oauth::scope::ScopeSet;
use policy::decide::Denied;
use targets::error::CallError;
use targets::meter::NoRoom;

use crate::caller::challenge::Challenges;
use crate::caller::jwt::TokenFault;
use crate::caller::keys::KeysError;
use crate::metrics::End;
use crate::quota::TooMuch;

/// Why a request is not served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A page of a foreign origin (TM-2).
    ForeignOrigin,
    /// The resource policy, before anything is known of the caller.
    NotAdmitted(Denied),
    /// Somebody from elsewhere, where no token is asked for.
    NotOfThisMachine,
    /// No credentials at all (RS-10).
    NoToken,
    /// Credentials in the query (RS-9).
    TokenInQuery,
    /// Several `Authorization` headers.
    SeveralTokens,
    /// A token that does not count (RS-6, RS-7).
    InvalidToken(TokenFault),
    /// A good token that lacks scopes, and all that it needs (RS-12, RS-13).
    InsufficientScope(ScopeSet),
    /// A good token of a client that may not call.
    ClientNotAllowed,
    /// A good token that lacks a claim.
    ClaimNotAllowed,
    /// The issuer's keys can't be had, so no token can be judged.
    NoKeys(KeysError),
    /// Not POST, GET, DELETE or OPTIONS; or GET where there is nothing to get (TL-1).
    MethodNotAllowed,
    /// The client takes back neither JSON nor events (TM-3).
    NotAcceptable,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// The body is compressed (RFC 9110 §15.5.16).
    UnsupportedCoding,
    /// More bytes than the limit (SEC-63).
    BodyTooLarge {
        /// Bytes.
        limit: usize,
    },
    /// The body stalled or broke off (SEC-61).
    BodyIncomplete,
    /// The body is no message.
    Malformed(Malformed),
    /// A JSON-RPC response where none is awaited (TM-1).
    UnawaitedResponse,
    /// A modern request without its metadata (TM-8).
    Meta(InvalidMeta),
    /// Headers and body disagree (TM-4 to TM-6).
    HeaderMismatch(Mismatch),
    /// A protocol version that is not served (TM-4, TL-5).
    UnsupportedVersion {
        /// As the client spelled it.
        requested: Box<str>,
    },
    /// A session that is unknown, over, or somebody else's (TL-3, TL-10).
    UnknownSession,
    /// The end of a session could not be noted for other nodes.
    SessionGoesOn(BoxError),
    /// The caller, or all of them, have too much under way (SEC-79).
    TooMuch(TooMuch),
    /// A method that is not served in this era (TM-10).
    MethodNotFound {
        /// It is served in the other one.
        of_other_era: bool,
    },
    /// Parameters that are missing or of the wrong type.
    InvalidParams(&'static str),
    /// Arguments that the target could read differently than their headers say (SEC-81).
    Ambiguous(AmbiguousArgument),
    /// A cursor that we did not make.
    InvalidCursor,
    /// A tool, or what else is listed, that does not exist, or that the caller can't see.
    Unknown(Feature),
    /// The policy, for this call.
    Denied(Denied),
    /// A target has no answer.
    Target {
        /// Which.
        name: Arc<str>,
        /// Why.
        error: CallError,
    },
    /// A `requestState` that is none of ours, or of another request, or over (TM-18).
    RequestState,
    /// A task that does not exist, or is somebody else's (SEP-2663).
    UnknownTask,
    /// A request about a task of a client that did not declare that it knows of tasks.
    TasksUndeclared,
    /// A call that can't wait for what its target asked for.
    NotParked,
    /// The client cancelled the request.
    Cancelled,
}

/// A refusal with what is needed to address it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) id: Option<OwnedId>,
    pub(crate) era: Era,
}

impl From<Refusal> for Refused {
    /// Before the body was read: nothing is known.
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            id: None,
            era: Era::Session,
        }
    }
}

/// HTTP status, code and sentence of a refusal.
struct Wire {
    status: StatusCode,
    code: Code,
    message: String,
    data: Option<String>,
}

impl Wire {
    fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            data: None,
        }
    }

    /// With the status that the code has anyway.
    fn of(code: Code, era: Era, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.http_status(era));
        Self::new(
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            message,
        )
    }
}

/// Refused before it was a message: a code of our own, outside of the reserved range (D12).
const TRANSPORT: Code = Code(-31_400);

impl Refusal {
    /// What a call to a target that has no answer means.
    pub(crate) fn of_call(target: &Arc<str>, error: CallError) -> Self {
        match error {
            CallError::NoRoom(full) => Self::no_room(full),
            CallError::Cancelled => Self::Cancelled,
            error => Self::Target {
                name: Arc::clone(target),
                error,
            },
        }
    }

    /// There is no room for a message.
    pub(crate) fn no_room(full: NoRoom) -> Self {
        Self::TooMuch(full.into())
    }

    fn wire(&self, era: Era) -> Wire {
        use StatusCode as S;
        match self {
            Self::ForeignOrigin => Wire::new(
                S::FORBIDDEN,
                Code::DENIED,
                "pages of this origin may not call; hint: add it to `allowed_origins`",
            ),
            Self::NotAdmitted(_) => Wire::new(
                S::FORBIDDEN,
                Code::DENIED,
                "the resource policy of the gateway forbids it",
            ),
            Self::NotOfThisMachine => Wire::new(
                S::FORBIDDEN,
                Code::DENIED,
                "this gateway asks for no token, and serves its own machine only",
            ),
            Self::NoToken => Wire::new(S::UNAUTHORIZED, TRANSPORT, "an access token is required"),
            Self::TokenInQuery => Wire::new(
                S::BAD_REQUEST,
                TRANSPORT,
                "access tokens are taken from the `Authorization` header only",
            ),
            Self::SeveralTokens => Wire::new(
                S::BAD_REQUEST,
                TRANSPORT,
                "expected one `Authorization` header",
            ),
            Self::InvalidToken(fault) => Wire::new(S::UNAUTHORIZED, TRANSPORT, fault.to_string()),
            Self::InsufficientScope(_) => Wire::new(
                S::FORBIDDEN,
                Code::DENIED,
                "the token lacks a required scope",
            ),
            Self::ClientNotAllowed => Wire::new(
                S::FORBIDDEN,
                Code::DENIED,
                "the token's client may not call this gateway",
            ),
            Self::ClaimNotAllowed => Wire::new(
                S::FORBIDDEN,
                Code::DENIED,
                "the token lacks a required claim",
            ),
            Self::NoKeys(_) => Wire::new(
                S::SERVICE_UNAVAILABLE,
                Code::INTERNAL_ERROR,
                "the authorization server's keys are not available at the moment",
            ),
            Self::MethodNotAllowed => Wire::new(
                S::METHOD_NOT_ALLOWED,
                TRANSPORT,
                "expected POST, DELETE or OPTIONS",
            ),
            Self::NotAcceptable => Wire::new(
                S::NOT_ACCEPTABLE,
                TRANSPORT,
                "expected `Accept: application/json, text/event-stream`",
            ),
            Self::UnsupportedMediaType => Wire::new(
                S::UNSUPPORTED_MEDIA_TYPE,
                TRANSPORT,
                "expected `Content-Type: application/json`",
            ),
            Self::UnsupportedCoding => Wire::new(
                S::UNSUPPORTED_MEDIA_TYPE,
                TRANSPORT,
                "expected a body without `Content-Encoding`",
            ),
            Self::BodyTooLarge { limit } => Wire::new(
                S::PAYLOAD_TOO_LARGE,
                TRANSPORT,
                format!("the body is larger than {limit} bytes"),
            ),
            Self::BodyIncomplete => Wire::new(
                S::REQUEST_TIMEOUT,
                TRANSPORT,
                "the body did not arrive completely",
            ),
            Self::Malformed(reason) => Wire::new(S::BAD_REQUEST, reason.code(), reason.to_string()),
            Self::UnawaitedResponse => Wire::new(
                S::BAD_REQUEST,
                Code::INVALID_REQUEST,
                "expected a request or a notification, not a response",
            ),
            Self::Meta(reason) => {
                Wire::new(S::BAD_REQUEST, Code::INVALID_PARAMS, reason.to_string())
            }
            Self::HeaderMismatch(reason) => {
                Wire::new(S::BAD_REQUEST, Code::HEADER_MISMATCH, reason.to_string())
            }
            Self::UnsupportedVersion { requested } => Wire {
                data: Some(format!(
                    r#"{{"supported":{},"requested":{}}}"#,
                    ProtocolVersion::ALL_JSON,
                    mcp::raw::quote(requested)
                )),
                ..Wire::new(
                    S::BAD_REQUEST,
                    Code::UNSUPPORTED_VERSION,
                    format!(
                        "unsupported protocol version; supported: {}",
                        ProtocolVersion::ALL_JSON
                    ),
                )
            },
            Self::UnknownSession => Wire::new(
                S::NOT_FOUND,
                Code::SESSION_NOT_FOUND,
                "Session not found: there is no such session; hint: send `initialize` again",
            ),
            Self::SessionGoesOn(_) => Wire::new(
                S::SERVICE_UNAVAILABLE,
                Code::BUSY,
                "the session can't be ended everywhere at the moment",
            ),
            Self::TooMuch(what) => {
                let status = if what.is_of_the_caller() {
                    S::TOO_MANY_REQUESTS
                } else {
                    S::SERVICE_UNAVAILABLE
                };
                Wire::new(status, Code::BUSY, what.to_string())
            }
            Self::MethodNotFound { of_other_era } => {
                let message = match (era, of_other_era) {
                    (Era::Stateless, true) => format!(
                        "method not found in protocol version {}",
                        ProtocolVersion::LATEST
                    ),
                    (Era::Session, true) => {
                        format!("method not found before {}", ProtocolVersion::LATEST)
                    }
                    // Another version would not have it either.
                    (_, false) => "method not found".to_owned(),
                };
                Wire::of(Code::METHOD_NOT_FOUND, era, message)
            }
            Self::InvalidParams(what) => Wire::of(Code::INVALID_PARAMS, era, *what),
            Self::Ambiguous(fault) => Wire::of(Code::INVALID_PARAMS, era, fault.to_string()),
            Self::InvalidCursor => Wire::of(Code::INVALID_PARAMS, era, "invalid cursor"),
            Self::Unknown(feature) => Wire::of(
                match (feature, era) {
                    (Feature::Resources, Era::Session) => Code::RESOURCE_NOT_FOUND,
                    _ => Code::INVALID_PARAMS,
                },
                era,
                format!("unknown {}", feature.one()),
            ),
            Self::Denied(_) => Wire::of(
                Code::DENIED,
                era,
                "the policy of the gateway forbids this call",
            ),
            Self::Target { error, .. } => target(error, era),
            Self::RequestState => Wire::of(
                Code::INVALID_PARAMS,
                era,
                "`requestState` is none of this request, or over; hint: send the request without it",
            ),
            Self::UnknownTask => Wire::of(Code::INVALID_PARAMS, era, "unknown task"),
            Self::TasksUndeclared => Wire {
                data: Some(
                    r#"{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#
                        .to_owned(),
                ),
                ..Wire::of(
                    Code::MISSING_CLIENT_CAPABILITY,
                    era,
                    "the request needs the extension `io.modelcontextprotocol/tasks`",
                )
            },
            Self::NotParked => Wire::new(
                S::SERVICE_UNAVAILABLE,
                Code::BUSY,
                "too many calls wait for what their clients were asked",
            ),
            Self::Cancelled => Wire::of(Code::INTERNAL_ERROR, era, "the request was cancelled"),
        }
    }

    /// The challenge that goes with it, if one does.
    pub(crate) fn challenge(&self, challenges: &Challenges) -> Option<HeaderValue> {
        let (code, description) = match self {
            Self::NoToken => return Some(challenges.no_token().clone()),
            Self::InvalidToken(fault) => (ErrorCode::InvalidToken, fault.to_string()),
            Self::InsufficientScope(_) => (
                ErrorCode::InsufficientScope,
                "the token lacks a required scope".to_owned(),
            ),
            Self::TokenInQuery => (
                ErrorCode::InvalidRequest,
                "access tokens are taken from the Authorization header only".to_owned(),
            ),
            Self::SeveralTokens => (
                ErrorCode::InvalidRequest,
                "expected one Authorization header".to_owned(),
            ),
            _ => return None,
        };
        // Those that the issuer of this token is asked for.
        let needed = match self {
            Self::InsufficientScope(needed) => Some(needed),
            _ => None,
        };
        Some(challenges.with_error(code, &description, needed))
    }

    /// The answer for a client.
    pub(crate) fn respond(
        &self,
        id: Option<&OwnedId>,
        era: Era,
        challenges: &Challenges,
    ) -> Response<Body> {
        let wire = self.wire(era);
        let id = id.map(OwnedId::borrow);
        let body = jsonrpc::error(id, wire.code, &wire.message, wire.data.as_deref());
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = wire.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(challenge) = self.challenge(challenges) {
            headers.insert(WWW_AUTHENTICATE, challenge);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        match self {
            Self::MethodNotAllowed => {
                headers.insert(
                    ALLOW,
                    HeaderValue::from_static("POST, GET, DELETE, OPTIONS"),
                );
            }
            Self::NoKeys(_) | Self::SessionGoesOn(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::TooMuch(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::UnsupportedCoding => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Self::Target {
                error: CallError::Busy { retry_after } | CallError::GivenUp { retry_after },
                ..
            } => {
                // Whole seconds, upwards (RFC 9110 §10.2.3).
                let seconds = retry_after.as_millis().div_ceil(1000).max(1);
                headers.insert(
                    RETRY_AFTER,
                    HeaderValue::from(u64::try_from(seconds).unwrap_or(1)),
                );
            }
            _ => {}
        }
        response
    }

    /// The message that takes the place of an answer where HTTP has begun already: an event, a late failure.
    pub(crate) fn message(&self, id: &OwnedId, era: Era) -> Vec<u8> {
        let wire = self.wire(era);
        jsonrpc::error(
            Some(id.borrow()),
            wire.code,
            &wire.message,
            wire.data.as_deref(),
        )
    }

    /// The HTTP status of such a message, where HTTP has not begun.
    pub(crate) fn status(&self, era: Era) -> StatusCode {
        self.wire(era).status
    }

    /// A word for logs and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::ForeignOrigin => "foreign_origin",
            Self::NotAdmitted(_) => "not_admitted",
            Self::NotOfThisMachine => "not_of_this_machine",
            Self::NoToken => "no_token",
            Self::TokenInQuery => "token_in_query",
            Self::SeveralTokens => "several_tokens",
            Self::InvalidToken(_) => "invalid_token",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::ClientNotAllowed => "client_not_allowed",
            Self::ClaimNotAllowed => "claim_not_allowed",
            Self::NoKeys(_) => "no_keys",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedCoding => "unsupported_content_coding",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyIncomplete => "body_incomplete",
            Self::Malformed(_) => "malformed",
            Self::UnawaitedResponse => "unawaited_response",
            Self::Meta(_) => "invalid_meta",
            Self::HeaderMismatch(_) => "header_mismatch",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::UnknownSession => "unknown_session",
            Self::SessionGoesOn(_) => "session_goes_on",
            Self::TooMuch(what) => what.name(),
            Self::MethodNotFound { .. } => "method_not_found",
            Self::InvalidParams(_) => "invalid_params",
            Self::Ambiguous(_) => "ambiguous_arguments",
            Self::InvalidCursor => "invalid_cursor",
            Self::Unknown(Feature::Tools) => "unknown_tool",
            Self::Unknown(Feature::Prompts) => "unknown_prompt",
            Self::Unknown(Feature::Resources | Feature::ResourceTemplates) => "unknown_resource",
            Self::Denied(_) => "denied",
            Self::Target { .. } => "target_failed",
            Self::RequestState => "request_state",
            Self::UnknownTask => "unknown_task",
            Self::TasksUndeclared => "tasks_undeclared",
            Self::NotParked => "not_parked",
            Self::Cancelled => "cancelled",
        }
    }

    /// Says in the line about the request at which target it failed, and how.
    pub(crate) fn remark(&self, remarks: &mut Remarks) {
        remarks.add("refused", self.name().into());
        if let Self::Target { name, error } = self {
            End::of_failure(error).remark(name, remarks);
        }
    }

    /// What the operator should read in the log, beyond the name; never anything that a client sent, except versions.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::NotAdmitted(denied) | Self::Denied(denied) => denied.to_string(),
            Self::InvalidToken(fault) => fault.to_string(),
            Self::NoKeys(error) => with_causes(error),
            Self::Malformed(reason) => reason.to_string(),
            Self::Meta(reason) => reason.to_string(),
            Self::HeaderMismatch(reason) => reason.to_string(),
            Self::Target { error, .. } => with_causes(error),
            Self::SessionGoesOn(error) => with_causes(&**error),
            _ => self.wire(Era::Session).message,
        }
    }
}

/// What a client learns about a failing target: that it failed and how, not where it is.
fn target(error: &CallError, era: Era) -> Wire {
    let code = match error {
        CallError::TimedOut(_) => Code::TARGET_TIMED_OUT,
        CallError::Cancelled | CallError::WrongTarget => Code::INTERNAL_ERROR,
        CallError::Busy { .. } | CallError::GivenUp { .. } => Code::TARGET_UNAVAILABLE,
        CallError::NoRoom(_) => Code::BUSY,
        CallError::Unreachable(_)
        | CallError::NoAnswer(_)
        | CallError::TooLarge { .. }
        | CallError::ClosedMidStream
        | CallError::UpstreamHttp { .. }
        | CallError::UpstreamRedirect { .. }
        | CallError::UpstreamUnauthorized { .. }
        | CallError::NoCommonVersion { .. }
        | CallError::ProtocolViolation(_)
        | CallError::ListRefused { .. }
        | CallError::ListTooLong(_) => Code::TARGET_FAILED,
        CallError::NotSubscribed { code } => match Code(*code) {
            Code::METHOD_NOT_FOUND => Code::METHOD_NOT_FOUND,
            Code::RESOURCE_NOT_FOUND if era == Era::Session => Code::RESOURCE_NOT_FOUND,
            _ => Code::INVALID_PARAMS,
        },
        CallError::Undeclared(_) => match era {
            Era::Session => Code::TARGET_FAILED,
            Era::Stateless => Code::MISSING_CLIENT_CAPABILITY,
        },
    };
    let data = match (error, era) {
        // TM-9
        (CallError::Undeclared(input), Era::Stateless) => Some(format!(
            r#"{{"requiredCapabilities":{}}}"#,
            input.required()
        )),
        _ => None,
    };
    let message = match error {
        CallError::WrongTarget => "internal error".to_owned(),
        other => other.to_string(),
    };
    Wire {
        data,
        ..Wire::of(code, era, message)
    }
}
