//! The built-in MCP server of the demonstration: a few tools, both protocol eras, no sessions.
//!
//! Its first three tools are those of the article's server, with the same names, descriptions and
//! schemas. `count_slowly` takes its time and reports progress, so that there is something to
//! watch and to cancel.

mod tools;

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use http::{Method as Verb, Request, Response, StatusCode, Uri};
use mcp::era::{Era, ProtocolVersion};
use mcp::error::Code;
use mcp::header::{self, Field, Mirrored};
use mcp::id::Id;
use mcp::jsonrpc::{self, Message, Rejected};
use mcp::meta::{InvalidMeta, RequestMeta};
use mcp::method::Method;
use mcp::raw::Raw;
use mcp::result::{CacheHint, CacheScope, modern_members};
use mcp::sse;
use net::body::{Body, BodyError};
use net::edge::{Peer, Site};

use self::tools::{Count, Work};

/// Bytes of a request.
const LARGEST_BODY: usize = 1024 * 1024;
const IDLE: Duration = Duration::from_secs(15);
/// Between two steps of `count_slowly`.
const STEP: Duration = Duration::from_millis(500);

const SERVER_INFO: &str = concat!(
    r#"{"name":"sekisho-demo","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);
/// The versions that a modern request can name.
const MODERN_VERSIONS: &str = r#"["2026-07-28"]"#;
/// The tools never change, for nobody.
const HINT: CacheHint = CacheHint {
    ttl_ms: 3_600_000,
    scope: CacheScope::Public,
};

/// The server, at the path `/mcp`.
#[derive(Debug)]
pub(crate) struct DemoMcpServer {
    step: Duration,
}

impl DemoMcpServer {
    /// A server that counts two steps a second.
    pub(crate) const fn new() -> Self {
        Self { step: STEP }
    }
}

impl Site for DemoMcpServer {
    fn call(&self, request: Request<Body>, _peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        self.answer(request).boxed()
    }
}

/// A request that was understood well enough to be carried out.
struct Asked<'a> {
    id: Id<'a>,
    era: Era,
    params: Option<Raw<'a>>,
    progress_token: Option<Raw<'a>>,
}

impl DemoMcpServer {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.uri().path() != "/mcp" {
            return empty(StatusCode::NOT_FOUND);
        }
        // TM-2: a web page must not reach a server on the user's own machine.
        if request
            .headers()
            .get(ORIGIN)
            .is_some_and(|origin| !is_local(origin))
        {
            return empty(StatusCode::FORBIDDEN);
        }
        // TL-1, TM-14: no notification stream and no sessions, so POST is all there is.
        if request.method() != Verb::POST {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if !is_json(request.headers()) {
            return empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let (parts, body) = request.into_parts();
        match net::body::read_bounded(body, LARGEST_BODY, IDLE).await {
            Ok(body) => self.answer_body(&parts.headers, &body),
            Err(BodyError::TooLarge { .. }) => empty(StatusCode::PAYLOAD_TOO_LARGE),
            Err(BodyError::Stalled | BodyError::Interrupted(_)) => {
                empty(StatusCode::REQUEST_TIMEOUT)
            }
        }
    }

    fn answer_body(&self, headers: &HeaderMap, body: &Bytes) -> Response<Body> {
        let request = match jsonrpc::parse(body) {
            Ok(Message::Request(request)) => request,
            // TM-3, TL-4
            Ok(Message::Notification(_) | Message::Response(_)) => {
                return empty(StatusCode::ACCEPTED);
            }
            Err(rejected) => return json(StatusCode::BAD_REQUEST, Rejected::response(&rejected)),
        };
        let id = request.id;
        let refuse = |status, code, message: &str, data: Option<&str>| {
            json(status, jsonrpc::error(Some(id), code, message, data))
        };
        let meta = request.params.and_then(|params| params.get("_meta"));
        let Ok(meta) = RequestMeta::of(meta) else {
            let text = "`_meta` has a reserved key twice";
            return refuse(StatusCode::BAD_REQUEST, Code::INVALID_PARAMS, text, None);
        };
        let era = match era_of(headers, &request, &meta) {
            Ok(era) => era,
            Err(refusal) => {
                let data = refusal.data.as_deref();
                return refuse(
                    StatusCode::BAD_REQUEST,
                    refusal.code,
                    &refusal.message,
                    data,
                );
            }
        };
        let asked = Asked {
            id,
            era,
            params: request.params,
            progress_token: meta.valid_progress_token(),
        };
        match Method::parse(&request.method).filter(|method| method.exists_in(era)) {
            Some(Method::Initialize) => asked.result(&initialized(asked.params), None),
            Some(Method::Ping) => asked.result("", None),
            Some(Method::Discover) => asked.result(
                &format!(
                    r#""supportedVersions":{MODERN_VERSIONS},"capabilities":{{"tools":{{}}}}"#
                ),
                Some(HINT),
            ),
            Some(Method::ToolsList) => asked.result(
                &format!(r#""tools":[{}]"#, tools::DEFINITIONS.join(",")),
                Some(HINT),
            ),
            Some(Method::ToolsCall) => self.call_tool(&asked),
            _ => {
                let status = StatusCode::from_u16(Code::METHOD_NOT_FOUND.http_status(era));
                let status = status.unwrap_or(StatusCode::NOT_FOUND);
                refuse(status, Code::METHOD_NOT_FOUND, "method not found", None)
            }
        }
    }

    fn call_tool(&self, asked: &Asked<'_>) -> Response<Body> {
        let members = asked
            .params
            .map(|params| params.pick(["name", "arguments"]));
        let invalid = |message: &str| {
            let body = jsonrpc::error(Some(asked.id), Code::INVALID_PARAMS, message, None);
            json(StatusCode::OK, body)
        };
        let Some(Ok([Some(name), arguments])) = members else {
            return invalid("expected one `name` and at most one `arguments`");
        };
        let Some(name) = name.text() else {
            return invalid("`name` must be a string");
        };
        match tools::call(&name, arguments) {
            None => invalid(&format!("unknown tool: `{name}`")),
            Some(Work::Done(members)) => asked.result(&members, None),
            Some(Work::Counting(count)) => self.count(asked, count),
        }
    }

    /// Counts over SSE. When the client closes the stream, the counting ends with it (TM-13).
    fn count(&self, asked: &Asked<'_>, count: Count) -> Response<Body> {
        let token = asked.progress_token.map(|token| token.as_str().to_owned());
        let last = asked.message(&count.result(), None);
        let step = self.step;
        let steps = stream::unfold(1_u64, move |number| async move {
            if number > count.to {
                return None;
            }
            tokio::time::sleep(step).await;
            Some((number, number + 1))
        });
        let progress = steps.map(move |number| match &token {
            Some(token) => sse::encode(&count.progress(number, token)),
            None => sse::KEEP_ALIVE.to_vec(),
        });
        let events = progress
            .chain(stream::once(async move { sse::encode(&last) }))
            .map(|event| Ok::<_, std::convert::Infallible>(Bytes::from(event)));
        let mut response = Response::new(Body::from_stream(events));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // TM-12
        headers.insert(
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        );
        response
    }
}

impl Asked<'_> {
    /// A result with these members, in the form of the request's era.
    fn result(&self, members: &str, hint: Option<CacheHint>) -> Response<Body> {
        json(StatusCode::OK, self.message(members, hint))
    }

    fn message(&self, members: &str, hint: Option<CacheHint>) -> Vec<u8> {
        let modern = match self.era {
            Era::Stateless => modern_members(hint, SERVER_INFO),
            Era::Session => String::new(),
        };
        let modern = if members.is_empty() {
            modern.trim_start_matches(',')
        } else {
            &modern
        };
        jsonrpc::response(self.id, &format!("{{{members}{modern}}}"))
    }
}

/// Why a request is refused with HTTP status 400.
struct Refusal {
    code: Code,
    message: String,
    data: Option<String>,
}

impl Refusal {
    fn new(code: Code, message: impl std::fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
            data: None,
        }
    }
}

/// The era a request is made in, with everything checked that the era wants checked.
fn era_of(
    headers: &HeaderMap,
    request: &jsonrpc::Request<'_>,
    meta: &RequestMeta<'_>,
) -> Result<Era, Refusal> {
    let field = |name| Field::of(headers.get_all(name).iter().map(HeaderValue::as_bytes));
    let mirrored = Mirrored {
        protocol_version: field(header::PROTOCOL_VERSION),
        method: field(header::METHOD),
        name: field(header::NAME),
    };
    let stated = header::stated_version(mirrored.protocol_version)
        .map_err(|mismatch| Refusal::new(Code::HEADER_MISMATCH, mismatch))?;
    let known = stated.map(ProtocolVersion::parse);
    let modern = meta.is_modern()
        || matches!(known, Some(None))
        || matches!(known, Some(Some(version)) if version.era() == Era::Stateless);
    if !modern {
        return Ok(Era::Session);
    }
    let meta = meta.modern().map_err(|fault| match fault {
        // TL-5, TM-4: a version that nobody knows, and no metadata that would explain it.
        InvalidMeta::NoProtocolVersion if matches!(known, Some(None)) => {
            unsupported(stated.unwrap_or_default())
        }
        fault => Refusal::new(Code::INVALID_PARAMS, fault),
    })?;
    let version = ProtocolVersion::parse(&meta.protocol_version);
    header::check(
        &mirrored,
        &meta.protocol_version,
        &request.method,
        request.params,
    )
    .map_err(|mismatch| Refusal::new(Code::HEADER_MISMATCH, mismatch))?;
    match version {
        Some(version) if version.era() == Era::Stateless => Ok(Era::Stateless),
        _ => Err(unsupported(&meta.protocol_version)),
    }
}

fn unsupported(version: &str) -> Refusal {
    let requested = mcp::raw::quote(version);
    Refusal {
        code: Code::UNSUPPORTED_VERSION,
        message: "unsupported protocol version".to_owned(),
        data: Some(format!(
            r#"{{"supported":{MODERN_VERSIONS},"requested":{requested}}}"#
        )),
    }
}

/// Members of the answer to `initialize` (TL-2).
fn initialized(params: Option<Raw<'_>>) -> String {
    let requested = params
        .and_then(|params| params.get("protocolVersion"))
        .and_then(Raw::text);
    let version = ProtocolVersion::negotiate(requested.as_deref().unwrap_or_default());
    format!(
        r#""protocolVersion":"{version}","capabilities":{{"tools":{{}}}},"serverInfo":{SERVER_INFO}"#
    )
}

fn is_local(origin: &HeaderValue) -> bool {
    let uri = origin
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    uri.and_then(|uri| {
        uri.host()
            .map(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
    })
    .unwrap_or(false)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        })
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
