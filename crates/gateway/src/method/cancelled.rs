//! `notifications/cancelled`: a legacy client takes a request back (TL-8).

use std::sync::Arc;

use mcp::id::Id;
use mcp::jsonrpc::Notification;
use policy::call::Principal;

use crate::cx::Cx;
use crate::flights::Key;
use crate::session_id::SessionId;

/// Cancels the call, if there is one of this id by this principal in this session. What is malformed or unknown is
/// ignored, as the protocol asks.
pub(crate) fn handle(
    cx: &Cx,
    principal: &Principal,
    session: Option<SessionId>,
    notification: &Notification<'_>,
) {
    let id = notification
        .params
        .and_then(|params| params.get("requestId"))
        .and_then(Id::new);
    if let Some(id) = id {
        let key = Key {
            gateway: Arc::clone(&cx.name),
            principal: principal.clone(),
            session,
            request: id.canonical(),
        };
        let found = cx.flights.cancel(&key);
        tracing::debug!(gateway = %cx.name, found, "a client cancelled a request");
    }
}
