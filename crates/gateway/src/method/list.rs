//! `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`: a page that was made beforehand, in the client's era.

use http::{Response, StatusCode};
use mcp::era::Era;
use mcp::feature::Feature;
use mcp::jsonrpc;
use net::body::Body;

use crate::caller::Caller;
use crate::cx::Cx;
use crate::media::Accepted;
use crate::refusal::Refusal;
use crate::relay;

pub(crate) async fn handle(
    cx: &Cx,
    caller: &Caller,
    feature: Feature,
    request: &jsonrpc::Request<'_>,
    era: Era,
    accepted: Accepted,
) -> Result<Response<Body>, Refusal> {
    let cursor = match request.params.and_then(|params| params.get("cursor")) {
        None => None,
        Some(raw) if raw.is_null() => None,
        // None of ours is empty: it is how some clients say that they have none.
        Some(raw) => Some(raw.text().ok_or(Refusal::InvalidCursor)?).filter(|it| !it.is_empty()),
    };
    let snapshot = cx.catalogs.of(feature).settled().await;
    let page = snapshot
        .page(cursor.as_deref())
        .ok_or(Refusal::InvalidCursor)?;
    let result = std::str::from_utf8(page.result(era)).unwrap_or("{}");
    let message = jsonrpc::response(request.id, result);
    let mut held = caller.usage(&cx.quotas).hold();
    held.grow(message.len()).map_err(Refusal::no_room)?;
    Ok(relay::counted_response(
        message,
        StatusCode::OK,
        accepted,
        held,
    ))
}
