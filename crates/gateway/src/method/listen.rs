//! Long streams that say when a list changes: `subscriptions/listen` (TM-15), and GET for legacy clients (TL-1).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use mcp::feature::{Feature, PerFeature, RESOURCE_SUBSCRIPTIONS};
use mcp::id::OwnedId;
use mcp::meta::{LogLevel, SUBSCRIPTION_ID};
use mcp::method::Method;
use mcp::raw::{Raw, quote};
use mcp::{jsonrpc, sse};
use model::clock::Timestamp;
use net::body::Body;
use net::edge::remarks::Remarks;
use targets::attention::{Heard, Hearing};
use targets::reply::Message;
use tokio::sync::watch;

use crate::asks::Asking;
use crate::caller::Caller;
use crate::catalog::Revisions;
use crate::cx::Cx;
use crate::handover::Successor;
use crate::input;
use crate::memory::OpenStream;
use crate::method::call::Permission;
use crate::method::subscribe;
use crate::quota::Place;
use crate::refusal::Refusal;
use crate::relay;
use crate::session::{Session, Sessions};
use crate::subscribed::{self, Subscribed};

/// `subscriptions/listen`: acknowledged first, then only what was asked for. Of the resources that are named, those are
/// acknowledged that this caller may subscribe to, and whose targets tell of their updates.
pub(crate) async fn subscribe(
    cx: &Arc<Cx>,
    caller: &Arc<Caller>,
    incoming: subscribe::Incoming<'_>,
) -> Result<Response<Body>, Refusal> {
    let (request, accepted) = (incoming.request, incoming.accepted);
    if !accepted.events {
        return Err(Refusal::NotAcceptable);
    }
    let filter = request
        .params
        .and_then(|params| params.get("notifications"))
        .filter(|filter| !filter.is_null());
    if filter.is_some_and(|filter| !filter.is_object()) {
        return Err(Refusal::InvalidParams("`notifications` must be an object"));
    }
    let wanted = PerFeature::of(|feature| {
        filter
            .and_then(|filter| filter.get(feature.filter()))
            .and_then(Raw::bool)
            .unwrap_or(false)
    });
    let place = caller.usage(&cx.quotas).stream();
    let place = place.map_err(Refusal::TooMuch)?;
    let subscribed = Arc::new(Subscribed::default());
    let permission = Permission {
        caller,
        facts: &incoming.facts,
        params: &incoming.params,
        body: incoming.body,
    };
    let named = filter.and_then(|filter| filter.get(RESOURCE_SUBSCRIPTIONS)?.elements());
    let named = named.into_iter().flatten().filter_map(Raw::text);
    let named: BTreeSet<Arc<str>> = named
        .take(subscribed::MOST)
        .map(|uri| uri.as_ref().into())
        .collect();
    let subscribing = named.iter().map(|uri| async {
        let mut nothing = Remarks::default();
        let one = subscribe::one(cx, &permission, uri, &subscribed, &mut nothing);
        match one.await {
            Ok(subscription) => subscribed.add(Arc::clone(uri), subscription, None),
            Err(refusal) => tracing::debug!(
                gateway = %cx.name, reason = refusal.name(),
                "a resource that nobody hears of is left out of what is acknowledged",
            ),
        }
    });
    join_all(subscribing).await;
    let subscription = Subscription {
        of: Of::Request(request.id.to_owned()),
        wanted,
        subscribed,
        place,
    };
    Ok(relay::events(stream(
        Arc::clone(cx),
        Arc::clone(caller),
        subscription,
    )))
}

/// The standalone stream of a legacy client's session; it ends with the session.
pub(crate) fn get(
    cx: &Arc<Cx>,
    caller: &Arc<Caller>,
    session: &Session,
) -> Result<Response<Body>, Refusal> {
    let place = caller.usage(&cx.quotas).stream();
    let place = place.map_err(Refusal::TooMuch)?;
    let subscribed = cx.memory.subscribed(session, cx.clock.now());
    let (hearing, heard) = Hearing::new();
    let of_session = OfSession {
        stream: cx.sessions.open_stream(session),
        hearing,
        heard,
        asking: Vec::new(),
    };
    of_session.attend(cx, caller);
    let subscription = Subscription {
        of: Of::Session(Box::new(of_session)),
        wanted: PerFeature::of(|_| true),
        subscribed,
        place,
    };
    Ok(relay::events(stream(
        Arc::clone(cx),
        Arc::clone(caller),
        subscription,
    )))
}

struct Subscription {
    of: Of,
    /// Of which lists changes are said.
    wanted: PerFeature<bool>,
    /// Of which resources updates are said.
    subscribed: Arc<Subscribed>,
    /// Among the streams of its caller.
    place: Place,
}

/// What a stream belongs to.
enum Of {
    /// A modern client's request of this id.
    Request(OwnedId),
    /// A legacy client's session.
    Session(Box<OfSession>),
}

/// What a stream has that belongs to a session.
struct OfSession {
    stream: OpenStream,
    /// Where targets speak to the client outside of its calls, and what they said.
    hearing: Hearing,
    heard: Heard,
    /// What the client is being asked.
    asking: Vec<Asking>,
}

impl OfSession {
    /// Lets all targets know that there is somebody who listens.
    fn attend(&self, cx: &Cx, caller: &Caller) {
        let session = self.stream.session();
        for one in &cx.behind {
            let (id, declared) = (session.id.0, session.declared);
            one.target
                .attend(&caller.principal, id, declared, self.hearing.clone());
        }
    }

    /// The event for what a target says; none if the client does not want to hear of it.
    fn event(&mut self, cx: &Cx, caller: &Caller, message: Message) -> Option<Bytes> {
        let session = self.stream.session().id;
        let message = match message {
            Message::Notification { method, raw } => {
                let least = cx.memory.level(&session).unwrap_or(LogLevel::DEBUG);
                relay::wanted_outside(method, &raw, least)?
            }
            Message::Ask(ask) => {
                self.asking.retain(Asking::is_open);
                if self.asking.len() >= input::MOST {
                    // Whoever asks on without an answer gets none.
                    return None;
                }
                let (asking, message) = input::request(cx, &caller.principal, session, ask)?;
                self.asking.push(asking);
                message
            }
            // Nobody answers outside of a call.
            Message::Answer(_) => return None,
        };
        Some(sse::encode(&message).into())
    }
}

impl Of {
    fn id(&self) -> Option<&OwnedId> {
        match self {
            Self::Request(id) => Some(id),
            Self::Session(_) => None,
        }
    }

    /// Waits until a target says something outside of a call; none when the client ends what the stream belongs to. It ends its
    /// request by closing the stream.
    async fn heard_or_over(&mut self) -> Option<Message> {
        match self {
            Self::Request(_) => std::future::pending().await,
            Self::Session(of) => tokio::select! {
                () = of.stream.over() => None,
                message = of.heard.recv() => message,
            },
        }
    }

    fn is_over(&self, sessions: &Sessions, now: Timestamp) -> bool {
        match self {
            Self::Request(_) => false,
            Self::Session(of) => sessions.is_over(of.stream.session(), now),
        }
    }
}

struct Listening {
    cx: Arc<Cx>,
    caller: Arc<Caller>,
    subscription: Subscription,
    changes: watch::Receiver<Revisions>,
    /// The lists that the client knows, or was told to ask for.
    known: Revisions,
    quiet: tokio::time::Interval,
    step: Step,
}

enum Step {
    First,
    Open,
    /// There is nothing more to say.
    Ending,
    Over,
}

fn stream(
    cx: Arc<Cx>,
    caller: Arc<Caller>,
    subscription: Subscription,
) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    let mut changes = cx.catalogs.changes();
    let known = *changes.borrow_and_update();
    let quiet = relay::keep_alive(&cx);
    let listening = Listening {
        cx,
        caller,
        subscription,
        changes,
        known,
        quiet,
        step: Step::First,
    };
    futures_util::stream::unfold(listening, |mut listening| async move {
        let bytes = listening.next().await?;
        Some((Ok(bytes), listening))
    })
}

impl Listening {
    async fn next(&mut self) -> Option<Bytes> {
        match self.step {
            Step::Over => None,
            Step::Ending => self.end(),
            Step::First => {
                self.step = Step::Open;
                Some(match self.subscription.of.id() {
                    Some(id) => acknowledged(id, &self.subscription),
                    // Something to send, so that the client sees the head of the answer at once.
                    None => Bytes::from_static(sse::KEEP_ALIVE),
                })
            }
            Step::Open => self.event().await,
        }
    }

    async fn event(&mut self) -> Option<Bytes> {
        loop {
            let cx = Arc::clone(&self.cx);
            tokio::select! {
                biased;
                // Before the end: what is replaced ends, too.
                successor = cx.handover.successor() => match self.go_on_at(&successor) {
                    Some(event) => return Some(event),
                    None if matches!(self.step, Step::Ending) => return self.end(),
                    None => {}
                },
                event = self.event_here() => return event,
            }
        }
    }

    /// Another gateway takes the place of this one: says so if a list is another one.
    fn go_on_at(&mut self, successor: &Successor<Cx>) -> Option<Bytes> {
        // Only a gateway that nobody followed is gone, with its streams.
        let Some(next) = successor.cx.upgrade() else {
            self.step = Step::Ending;
            return None;
        };
        let place = next.quotas.of(&self.caller.fingerprint).stream();
        let mut changes = next.catalogs.changes();
        let (before, now) = (*self.changes.borrow(), *changes.borrow_and_update());
        let changed = PerFeature::of(|feature| {
            before.get(feature) != self.known.get(feature)
                || *successor.lists_differ.get(feature)
                || now.get(feature) != successor.revisions.get(feature)
        });
        match place {
            Ok(place) if successor.admits_alike => {
                self.subscription.place = place;
                if let Of::Session(of) = &self.subscription.of {
                    of.attend(&next, &self.caller);
                }
                self.cx = next;
                self.changes = changes;
                self.known = now;
            }
            _ => self.step = Step::Ending,
        }
        self.said(changed)
    }

    /// The messages about those of these changes that are wanted.
    fn said(&self, changed: PerFeature<bool>) -> Option<Bytes> {
        let has_changed = |announced: &Feature| {
            let mut features = changed.iter();
            features.any(|(feature, changed)| *changed && feature.announced_as() == *announced)
        };
        let messages: Vec<u8> = Feature::ANNOUNCED
            .into_iter()
            .filter(|feature| *self.subscription.wanted.get(*feature))
            .filter(has_changed)
            .flat_map(|feature| changed_message(feature, self.subscription.of.id()))
            .collect();
        (!messages.is_empty()).then(|| messages.into())
    }

    /// What changed since the client was told last.
    fn news(&mut self) -> Option<Bytes> {
        let now = *self.changes.borrow_and_update();
        let changed = PerFeature::of(|feature| now.get(feature) != self.known.get(feature));
        self.known = now;
        self.said(changed)
    }

    async fn event_here(&mut self) -> Option<Bytes> {
        let stop = self.cx.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.end(),
                heard = self.subscription.of.heard_or_over() => {
                    let (Some(message), Of::Session(of)) = (heard, &mut self.subscription.of) else {
                        return self.end();
                    };
                    if let Some(event) = of.event(&self.cx, &self.caller, message) {
                        return Some(event);
                    }
                }
                updated = self.subscription.subscribed.mailbox.next() => {
                    let id = self.subscription.of.id();
                    let messages = updated.iter().flat_map(|uri| updated_message(uri, id));
                    return Some(messages.collect::<Vec<u8>>().into());
                }
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        return self.end();
                    }
                    // A list that nobody here asked about may have changed.
                    if let Some(news) = self.news() {
                        return Some(news);
                    }
                }
                _ = self.quiet.tick() => {
                    // A stream does not outlive the token it was opened with, nor its session.
                    let now = self.cx.clock.now();
                    let good = self.cx.identification.still_good(&self.caller, now);
                    if good && !self.subscription.of.is_over(&self.cx.sessions, now) {
                        return Some(Bytes::from_static(sse::KEEP_ALIVE));
                    }
                    return self.end();
                }
            }
        }
    }

    /// The graceful end: the response to a modern client's request; nothing for a legacy one.
    fn end(&mut self) -> Option<Bytes> {
        self.step = Step::Over;
        let id = self.subscription.of.id()?;
        let result = format!(
            r#"{{"resultType":"complete","_meta":{{"{SUBSCRIPTION_ID}":{},"{}":{}}}}}"#,
            id.as_json(),
            mcp::meta::SERVER_INFO,
            self.cx.server_info
        );
        let message = jsonrpc::response(id.borrow(), &result);
        Some(sse::encode(&message).into())
    }
}

fn acknowledged(id: &OwnedId, subscription: &Subscription) -> Bytes {
    let wanted = &subscription.wanted;
    let mut agreed: Vec<String> = Feature::ANNOUNCED
        .into_iter()
        .filter(|feature| *wanted.get(*feature))
        .map(|feature| format!(r#""{}":true"#, feature.filter()))
        .collect();
    let uris = subscription.subscribed.uris();
    if !uris.is_empty() {
        let uris: Vec<String> = uris.iter().map(|uri| quote(uri)).collect();
        agreed.push(format!(
            r#""{RESOURCE_SUBSCRIPTIONS}":[{}]"#,
            uris.join(",")
        ));
    }
    let agreed = format!("{{{}}}", agreed.join(","));
    let params = format!(
        r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{}}},"notifications":{agreed}}}"#,
        id.as_json()
    );
    let method = Method::SubscriptionsAcknowledged.as_str();
    sse::encode(&jsonrpc::notification(method, Some(&params))).into()
}

fn updated_message(uri: &str, id: Option<&OwnedId>) -> Vec<u8> {
    let meta = id.map_or_else(String::new, |id| {
        format!(r#","_meta":{{"{SUBSCRIPTION_ID}":{}}}"#, id.as_json())
    });
    let params = format!(r#"{{"uri":{}{meta}}}"#, quote(uri));
    let method = Method::ResourceUpdated.as_str();
    sse::encode(&jsonrpc::notification(method, Some(&params)))
}

fn changed_message(feature: Feature, id: Option<&OwnedId>) -> Vec<u8> {
    let params = id.map(|id| format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{}}}}}"#, id.as_json()));
    let method = feature.changed().as_str();
    sse::encode(&jsonrpc::notification(method, params.as_deref()))
}
