//! Requests that a server of the session era makes of a client, and where the answers to them go.

use std::sync::Arc;

use ::mcp::id::OwnedId;
use ::mcp::jsonrpc;

use super::link::Link;
use super::session::Session;
use crate::reply::{Answering, Outcome};

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
