//! `initialize`: agree on a version and begin a session (TL-2, TL-3).

use http::{HeaderName, HeaderValue, Response, StatusCode};
use mcp::capability::ClientCapabilities;
use mcp::era::{Era, ProtocolVersion};
use mcp::raw::Raw;
use mcp::{header, jsonrpc};
use model::clock::Timestamp;
use net::body::Body;

use crate::caller::Caller;
use crate::capabilities;
use crate::cx::Cx;
use crate::media::Accepted;
use crate::relay;

const SESSION_ID: HeaderName = HeaderName::from_static(header::SESSION_ID);

pub(crate) fn handle(
    cx: &Cx,
    caller: &Caller,
    request: &jsonrpc::Request<'_>,
    accepted: Accepted,
    now: Timestamp,
) -> Response<Body> {
    // Whatever a client asks for, or forgets to ask for, it may be answered with what we speak (TL-2).
    let member = |name| request.params.and_then(|params| params.get(name));
    let requested = member("protocolVersion").and_then(Raw::text);
    let declared =
        member("capabilities").map_or_else(ClientCapabilities::default, ClientCapabilities::of);
    let version = ProtocolVersion::negotiate(requested.as_deref().unwrap_or_default());
    let result = format!(
        r#"{{"protocolVersion":"{version}","capabilities":{},"serverInfo":{}}}"#,
        capabilities::of(cx, Era::Session),
        cx.server_info
    );
    let message = jsonrpc::response(request.id, &result);
    let mut response = relay::message_response(message, StatusCode::OK, accepted);
    // Without randomness there is no session; clients get by without.
    let session = cx.sessions.begin(caller, version, declared, now);
    if let Some(id) = session.and_then(|id| HeaderValue::try_from(id).ok()) {
        response.headers_mut().insert(SESSION_ID, id);
    }
    response
}
