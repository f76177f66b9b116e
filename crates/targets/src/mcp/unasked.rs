//! Requests that a server of the session era makes of us.

use ::mcp::error::Code;
use ::mcp::jsonrpc::{self, Request};
use ::mcp::method::Method;
use std::time::Duration;

/// How long a server may take to take note of a message that needs no answer.
pub(super) const ASIDE: Duration = Duration::from_secs(5);

/// The answer to a request that the server makes of us and not of a client: only `ping` has one. No other is expected, because
/// nothing is declared that nobody declared to us (UC-12).
pub(super) fn answer_to(request: &Request<'_>) -> Vec<u8> {
    if request.method == Method::Ping.as_str() {
        return jsonrpc::response(request.id, "{}");
    }
    jsonrpc::error(
        Some(request.id),
        Code::METHOD_NOT_FOUND,
        "nobody here declared that it can be asked for this",
        None,
    )
}
