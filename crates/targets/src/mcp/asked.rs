//! Requests that a server of the session era makes, and where the answers to them go.

use std::sync::Arc;

use ::mcp::error::Code;
use ::mcp::id::OwnedId;
use ::mcp::jsonrpc::{self, Request};
use ::mcp::method::Method;

use super::link::Link;
use super::session::Session;
use crate::reply::{Answering, Outcome};

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

/// Takes a client's answer to a request of the server, in whose session it was made. `place` is kept until that is done.
pub(super) fn answering_to(
    link: &Arc<Link>,
    session: &Session,
    id: OwnedId,
    place: impl Send + 'static,
) -> Answering {
    let (link, session) = (Arc::clone(link), session.clone());
    Answering::new(move |said| {
        let body = match &said {
            Outcome::Result(result) => jsonrpc::response(id.borrow(), result.borrow().as_str()),
            Outcome::Error { raw, .. } => jsonrpc::error_from(id.borrow(), raw.borrow()),
        };
        let tracker = link.tracker.clone();
        tracker.spawn(async move {
            let limit = link.settings.timeouts.answer;
            link.send_within(&session, body, limit).await;
            drop(place);
        });
    })
}
