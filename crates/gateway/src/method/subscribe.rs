//! `resources/subscribe` and `resources/unsubscribe`: what a session wants to hear of on its standalone stream.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use mcp::feature::Feature;
use mcp::jsonrpc;
use mcp::method::Method;
use mcp::params::Params;
use mcp::raw::Raw;
use net::body::Body;
use net::edge::remarks::Remarks;
use policy::facts::CallerFacts;

use crate::caller::Caller;
use crate::cx::Cx;
use crate::media::Accepted;
use crate::method::call::{Asked, Permission};
use crate::refusal::Refusal;
use crate::relay;
use crate::session_id::Session;
use crate::subscribed::Subscribed;

/// A request of a session.
pub(crate) struct Incoming<'a> {
    pub(crate) request: &'a jsonrpc::Request<'a>,
    /// What `request` borrows from.
    pub(crate) body: &'a Bytes,
    pub(crate) params: Params<'a>,
    pub(crate) session: Option<Session>,
    pub(crate) facts: CallerFacts<'a>,
    pub(crate) accepted: Accepted,
}

pub(crate) async fn subscribe(
    cx: &Arc<Cx>,
    caller: &Caller,
    incoming: Incoming<'_>,
    remarks: &mut Remarks,
) -> Result<Response<Body>, Refusal> {
    let session = incoming.session.ok_or(Refusal::InvalidParams(
        "without a session there is no stream to hear of updates on",
    ))?;
    let uri = uri(&incoming.params)?;
    let subscribed = Unless::used(cx, session);
    let subscribed = &subscribed.subscribed;
    let place = if subscribed.is_empty() {
        let place = caller.usage(&cx.quotas).stream();
        Some(place.map_err(Refusal::TooMuch)?)
    } else {
        None
    };
    let permission = Permission {
        caller,
        facts: &incoming.facts,
        params: &incoming.params,
        body: incoming.body,
    };
    let subscription = one(cx, &permission, &uri, subscribed, remarks).await?;
    subscribed.add(uri, subscription, place);
    Ok(done(&incoming))
}

/// What a session is subscribed to, forgotten unless it is used, however a request ends: refused, or hung up on.
struct Unless<'a> {
    cx: &'a Cx,
    session: Session,
    subscribed: Arc<Subscribed>,
}

impl<'a> Unless<'a> {
    fn used(cx: &'a Cx, session: Session) -> Self {
        Self {
            cx,
            session,
            subscribed: cx.memory.subscribed(&session, cx.clock.now()),
        }
    }
}

impl Drop for Unless<'_> {
    fn drop(&mut self) {
        self.cx.memory.forget_if_unused(&self.session);
    }
}

/// Subscribes to one resource.
pub(crate) async fn one(
    cx: &Arc<Cx>,
    permission: &Permission<'_>,
    uri: &Arc<str>,
    subscribed: &Subscribed,
    remarks: &mut Remarks,
) -> Result<targets::subscription::Subscription, Refusal> {
    if subscribed.is_full(uri) {
        return Err(Refusal::InvalidParams(
            "a client is subscribed to 256 resources at most",
        ));
    }
    let asked = Asked::named(Feature::Resources, uri.as_ref().into())?;
    let (entry, permitted) =
        Box::pin(permission.of(cx, &asked, Method::ResourcesSubscribe, remarks)).await?;
    let subscribing = entry.target.subscribe(permitted, &subscribed.mailbox).await;
    subscribing.map_err(|error| Refusal::of_call(entry.target.name(), error))
}

/// What is not subscribed to is not any more: nobody minds.
pub(crate) fn unsubscribe(cx: &Cx, incoming: &Incoming<'_>) -> Result<Response<Body>, Refusal> {
    let uri = uri(&incoming.params)?;
    if let Some(session) = &incoming.session {
        Unless::used(cx, *session).subscribed.remove(&uri);
    }
    Ok(done(incoming))
}

fn uri(params: &Params<'_>) -> Result<Arc<str>, Refusal> {
    let uri = params.raw.and_then(|params| params.get("uri"));
    let uri = uri.and_then(Raw::text);
    let uri = uri.ok_or(Refusal::InvalidParams("`uri` must be a string"))?;
    Ok(uri.as_ref().into())
}

fn done(incoming: &Incoming<'_>) -> Response<Body> {
    let message = jsonrpc::response(incoming.request.id, "{}");
    relay::message_response(message, StatusCode::OK, incoming.accepted)
}
