//! `logging/setLevel`: a client of the session era says which log messages it wants. Its targets are told with its next call.

use http::{Response, StatusCode};
use mcp::jsonrpc;
use mcp::meta::LogLevel;
use model::clock::Timestamp;
use net::body::Body;

use crate::cx::Cx;
use crate::media::Accepted;
use crate::refusal::Refusal;
use crate::relay;
use crate::session_id::Session;

/// Without a session there is nothing that the level could be of: it is accepted all the same.
pub(crate) fn handle(
    cx: &Cx,
    session: Option<&Session>,
    request: &jsonrpc::Request<'_>,
    accepted: Accepted,
    now: Timestamp,
) -> Result<Response<Body>, Refusal> {
    const WANTED: Refusal = Refusal::InvalidParams(
        "`level` must be one of debug, info, notice, warning, error, critical, alert, emergency",
    );
    let level = request.params.and_then(|params| params.get("level"));
    let level = level.and_then(LogLevel::of).ok_or(WANTED)?;
    if let Some(session) = session {
        cx.memory.set_level(session, level, now);
    }
    let message = jsonrpc::response(request.id, "{}");
    Ok(relay::message_response(message, StatusCode::OK, accepted))
}
