//! `server/discover`: versions, capabilities and identity, without a handshake (TM-15, D3).

use http::{Response, StatusCode};
use mcp::era::{Era, ProtocolVersion};
use mcp::jsonrpc;
use mcp::result::{CacheHint, CacheScope, modern_members};
use net::body::Body;

use crate::capabilities;
use crate::cx::Cx;
use crate::media::Accepted;
use crate::relay;

const HINT: CacheHint = CacheHint {
    ttl_ms: 3_600_000,
    scope: CacheScope::Private,
};

pub(crate) fn handle(
    cx: &Cx,
    request: &jsonrpc::Request<'_>,
    accepted: Accepted,
) -> Response<Body> {
    let result = format!(
        r#"{{"supportedVersions":{},"capabilities":{}{}}}"#,
        ProtocolVersion::ALL_JSON,
        capabilities::of(cx, Era::Stateless),
        modern_members(Some(HINT), &cx.server_info),
    );
    relay::message_response(
        jsonrpc::response(request.id, &result),
        StatusCode::OK,
        accepted,
    )
}
