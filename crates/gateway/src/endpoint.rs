//! The endpoint: from an HTTP request to a method and back. The order of the checks is written here, and nowhere else.
//!
//! Preflight, `Origin`, resource policy, token, media types, body, envelope, era, headers, method. Authentication comes
//! before everything that a stranger could probe, so that a stranger always meets the challenge.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method as Verb, Response, StatusCode};
use mcp::era::{Era, ProtocolVersion};
use mcp::feature::Feature;
use mcp::header::{self, Field, LAST_EVENT_ID, Mirrored, Mismatch, stated_version};
use mcp::jsonrpc::{self, Message, Notification, Request};
use mcp::meta::{InvalidMeta, RequestMeta};
use mcp::method::Method;
use mcp::params::Params;
use model::clock::Timestamp;
use net::body::{Body, BodyError, read_bounded};
use net::edge::Peer;
use net::edge::remarks::Remarks;
use policy::facts::CallerFacts;
use targets::client::Client;
use targets::meter::{Counted, Held, NoRoom};

use crate::caller::Caller;
use crate::cors;
use crate::cx::Cx;
use crate::input;
use crate::media::{self, Accepted};
use crate::method::call::{Asked, Incoming, declared, field};
use crate::method::{call, cancelled, discover, initialize, list, listen, set_level, subscribe};
use crate::metrics::RefusalLabels;
use crate::origin::Verdict;
use crate::quota::Burden;
use crate::refusal::{Refusal, Refused};
use crate::relay;
use crate::resumable::Owner;
use crate::session::Session;
use crate::spelling::Spelling;
use crate::tasks::Task;

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static(header::PROTOCOL_VERSION);
const SESSION_ID: HeaderName = HeaderName::from_static(header::SESSION_ID);
const METHOD: HeaderName = HeaderName::from_static(header::METHOD);
const NAME: HeaderName = HeaderName::from_static(header::NAME);

/// Answers one request to the endpoint's path.
pub(crate) async fn answer(
    cx: &Arc<Cx>,
    spelling: &Spelling,
    parts: Parts,
    body: Body,
    peer: &Peer,
) -> Response<Body> {
    let origin = cx.origins.check(&parts.headers);
    let mut remarks = Remarks::default();
    remarks.add("gateway", Arc::clone(&cx.name));
    let mut response = if cors::is_preflight(&parts.method, &parts.headers) {
        cors::preflight(&parts.headers)
    } else {
        match serve(cx, &origin, &parts, body, peer, &mut remarks).await {
            Ok(response) => response,
            Err(refused) => {
                refused.refusal.remark(&mut remarks);
                refuse(cx, spelling, &refused, peer)
            }
        }
    };
    cors::admit(&origin, response.headers_mut());
    response.extensions_mut().insert(remarks);
    response
}

fn refuse(cx: &Cx, spelling: &Spelling, refused: &Refused, peer: &Peer) -> Response<Body> {
    let Refused { refusal, id, era } = refused;
    tracing::info!(
        gateway = %cx.name, peer = %peer.address, reason = refusal.name(), detail = %refusal.detail(),
        "refused a request"
    );
    cx.metrics
        .refusals
        .get_or_create(&RefusalLabels {
            reason: refusal.name(),
        })
        .inc();
    refusal.respond(id.as_ref(), *era, &spelling.challenges)
}

async fn serve(
    cx: &Arc<Cx>,
    origin: &Verdict,
    parts: &Parts,
    body: Body,
    peer: &Peer,
    remarks: &mut Remarks,
) -> Result<Response<Body>, Refused> {
    if *origin == Verdict::Foreign {
        return Err(Refusal::ForeignOrigin.into());
    }
    let facts = CallerFacts {
        address: Some(peer.address),
        listener: Some(&peer.listener),
        tls: peer.tls,
        client_certificate: peer.client_certificate,
    };
    cx.policies.admit(&facts).map_err(Refusal::NotAdmitted)?;
    let now = cx.clock.now();
    let caller = cx
        .identification
        .identify(&parts.uri, &parts.headers, peer, now)
        .await?;
    caller.remark(remarks);
    match parts.method {
        Verb::POST => {
            let headers = &parts.headers;
            let post = Post {
                cx,
                caller: &caller,
                headers,
                facts,
                now,
            };
            post.answer(body, remarks).await
        }
        Verb::GET => Ok(get(cx, &caller, &parts.headers, now)?),
        Verb::DELETE => Ok(delete(cx, &caller, &parts.headers, now).await?),
        _ => Err(Refusal::MethodNotAllowed.into()),
    }
}

/// Reads a body into memory, and counts it as its caller's from the first byte on.
async fn read(cx: &Cx, body: Body, held: &mut Held) -> Result<Bytes, Refusal> {
    let body = Counted { body, held };
    read_bounded(body, cx.limits.body, cx.limits.body_idle)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge { limit } => Refusal::BodyTooLarge { limit },
            BodyError::Interrupted(cause) => match cause.downcast_ref::<NoRoom>() {
                Some(full) => Refusal::no_room(*full),
                None => Refusal::BodyIncomplete,
            },
            BodyError::Stalled => Refusal::BodyIncomplete,
        })
}

fn accepted_nothing_to_say() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// The era that the version header speaks of; legacy without one (TL-5).
fn era_of_header(headers: &HeaderMap) -> Result<Era, Refusal> {
    let stated = field(headers, PROTOCOL_VERSION);
    match stated_version(stated).map_err(Refusal::HeaderMismatch)? {
        None => Ok(ProtocolVersion::ASSUMED.era()),
        Some(word) => ProtocolVersion::parse(word)
            .map(ProtocolVersion::era)
            .ok_or_else(|| Refusal::UnsupportedVersion {
                requested: word.into(),
            }),
    }
}

/// The session of a legacy request. Requests without an id are served as they are: real clients drop ids, and nothing
/// that we serve needs one.
fn session(
    cx: &Cx,
    caller: &Caller,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Session>, Refusal> {
    match field(headers, SESSION_ID) {
        Field::Absent => Ok(None),
        Field::Repeated => Err(Refusal::UnknownSession),
        Field::Once(id) => cx
            .sessions
            .find(id, caller, now)
            .map(Some)
            .ok_or(Refusal::UnknownSession),
    }
}

/// Notifications are accepted whatever they are; only cancellation means anything to us.
fn notified(
    cx: &Cx,
    caller: &Caller,
    headers: &HeaderMap,
    notification: &Notification<'_>,
    now: Timestamp,
) -> Result<Response<Body>, Refusal> {
    if era_of_header(headers)? == Era::Session {
        let session = session(cx, caller, headers, now)?;
        if Method::parse(&notification.method) == Some(Method::Cancelled) {
            let session = session.map(|session| session.id);
            cancelled::handle(cx, &caller.principal, session, notification);
        }
    }
    Ok(accepted_nothing_to_say())
}

/// The standalone stream of the session era (TL-1); in the stateless era there is none (TM-14).
fn get(
    cx: &Arc<Cx>,
    caller: &Arc<Caller>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Response<Body>, Refusal> {
    if era_of_header(headers)? == Era::Stateless {
        return Err(Refusal::MethodNotAllowed);
    }
    let session = session(cx, caller, headers, now)?.ok_or(Refusal::MethodNotAllowed)?;
    if !Accepted::of(headers).events {
        return Err(Refusal::NotAcceptable);
    }
    if let Some(last) = headers.get(LAST_EVENT_ID) {
        let owner = Owner {
            gateway: Arc::clone(&cx.name),
            principal: caller.principal.clone(),
            session: session.id,
        };
        // Before anything is taken up: whoever reads it now goes on if there is none.
        let place = caller.usage(&cx.quotas).stream();
        let place = place.map_err(Refusal::TooMuch)?;
        let resumables = &cx.memory.resumables;
        if let Some(reading) = resumables.take_up(&owner, last.as_bytes()) {
            return Ok(relay::events(reading.with(place)));
        }
    }
    listen::get(cx, caller, &session)
}

/// Ends a session (TL-3).
async fn delete(
    cx: &Cx,
    caller: &Caller,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Response<Body>, Refusal> {
    if era_of_header(headers)? == Era::Stateless {
        return Err(Refusal::MethodNotAllowed);
    }
    let session = session(cx, caller, headers, now)?.ok_or(Refusal::MethodNotAllowed)?;
    let place = caller.usage(&cx.quotas).ended_session(now);
    place.map_err(Refusal::TooMuch)?;
    let ended = cx.sessions.end(&session, now).await;
    for one in &cx.behind {
        let target = &one.target;
        target.end_session(&caller.principal, session.id.0, session.declared);
    }
    ended.map_err(Refusal::SessionGoesOn)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// A POST that carries a request.
struct Post<'a> {
    cx: &'a Arc<Cx>,
    caller: &'a Arc<Caller>,
    headers: &'a HeaderMap,
    facts: CallerFacts<'a>,
    now: Timestamp,
}

/// A request as it was read.
struct Envelope<'a> {
    request: &'a Request<'a>,
    /// What `request` borrows from.
    body: &'a Bytes,
    /// The count of these bytes.
    held: Held,
    accepted: Accepted,
}

impl Post<'_> {
    /// A request, a notification, or the answer to a request that nobody made.
    async fn answer(&self, body: Body, remarks: &mut Remarks) -> Result<Response<Body>, Refused> {
        let headers = self.headers;
        if !media::is_json(headers) {
            return Err(Refusal::UnsupportedMediaType.into());
        }
        if !media::is_plain(headers) {
            return Err(Refusal::UnsupportedCoding.into());
        }
        let accepted = Accepted::of(headers);
        if accepted.nothing() {
            return Err(Refusal::NotAcceptable.into());
        }
        let usage = self.caller.usage(&self.cx.quotas);
        let reading = usage.reading().map_err(Refusal::TooMuch)?;
        let mut held = usage.hold();
        let body = &read(self.cx, body, &mut held).await?;
        drop(reading);
        match jsonrpc::parse(body) {
            Err(rejected) => Err(Refused {
                refusal: Refusal::Malformed(rejected.reason),
                id: rejected.id.map(mcp::id::Id::to_owned),
                era: Era::Session,
            }),
            Ok(Message::Request(request)) => {
                let envelope = Envelope {
                    request: &request,
                    body,
                    held,
                    accepted,
                };
                let mut era = Era::Session;
                self.request(envelope, &mut era, remarks)
                    .await
                    .map_err(|refusal| Refused {
                        refusal,
                        id: Some(request.id.to_owned()),
                        era,
                    })
            }
            Ok(Message::Notification(notification)) => Ok(notified(
                self.cx,
                self.caller,
                headers,
                &notification,
                self.now,
            )?),
            // Legacy clients may answer what they believe to have been asked (TL-4); modern ones never do (TM-1).
            Ok(Message::Response(response)) => match era_of_header(headers)? {
                Era::Session => {
                    let session = session(self.cx, self.caller, headers, self.now)?;
                    if let Some(session) = session {
                        input::answered(self.cx, self.caller, session.id, &response, body);
                    }
                    Ok(accepted_nothing_to_say())
                }
                Era::Stateless => Err(Refusal::UnawaitedResponse.into()),
            },
        }
    }

    /// `era` becomes the request's era as soon as that is known, so that a refusal takes its form.
    async fn request(
        &self,
        envelope: Envelope<'_>,
        era: &mut Era,
        remarks: &mut Remarks,
    ) -> Result<Response<Body>, Refusal> {
        let Envelope {
            request,
            body,
            held,
            accepted,
        } = envelope;
        let method = Method::parse(&request.method);
        let ambiguous = |key| Refusal::Meta(InvalidMeta::Ambiguous(key));
        let params = Params::of(request.params).map_err(ambiguous)?;
        *era = self.era(method, &params.meta)?;
        let session = match era {
            Era::Stateless => {
                self.check_modern(request, &params)?;
                None
            }
            Era::Session => {
                era_of_header(self.headers).or_else(|refusal| match method {
                    // What a client calls its version before there is an agreement is no matter.
                    Some(Method::Initialize) => Ok(Era::Session),
                    _ => Err(refusal),
                })?;
                match method {
                    Some(Method::Initialize) => None,
                    _ => session(self.cx, self.caller, self.headers, self.now)?,
                }
            }
        };
        let era = *era;
        let method =
            method
                .filter(|method| method.exists_in(era))
                .ok_or(Refusal::MethodNotFound {
                    of_other_era: method.is_some(),
                })?;
        let cx = self.cx;
        let place = self
            .caller
            .usage(&cx.quotas)
            .call()
            .map_err(Refusal::TooMuch)?;
        let task = Task::of(cx, self.caller, method, &params)?;
        let asked = match &task {
            Some(_) => Some(Asked::named(Task::FEATURE, "".into())?),
            None => Asked::by(method, &params)?,
        };
        if let Some(asked) = asked {
            let call = Incoming {
                asked,
                task,
                method,
                request,
                body,
                headers: self.headers,
                params,
                era,
                accepted,
                session,
                facts: self.facts,
                burden: Burden {
                    _place: place,
                    _request: held,
                },
            };
            let response = call::handle(cx, self.caller, call, remarks).await?;
            cx.metrics.count_request(method, era);
            return Ok(response);
        }
        if let Some(feature) = Feature::listed_by(method) {
            let client = Client {
                session: session.as_ref().map(|session| session.id.0),
                declared: declared(era, &params, session.as_ref()),
                ..Client::silent(era)
            };
            let behalf = (client, accepted);
            let listing = list::handle(cx, self.caller, feature, request, behalf);
            let response = Box::pin(listing).await?;
            cx.metrics.count_request(method, era);
            return Ok(response);
        }
        let response = match method {
            Method::Initialize => initialize::handle(cx, self.caller, request, accepted, self.now),
            Method::Discover => discover::handle(cx, request, accepted),
            Method::Ping => relay::message_response(
                jsonrpc::response(request.id, "{}"),
                StatusCode::OK,
                accepted,
            ),
            Method::SubscriptionsListen
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe => {
                let incoming = subscribe::Incoming {
                    request,
                    body,
                    params,
                    session,
                    facts: self.facts,
                    accepted,
                };
                let answering = self.subscriptions(method, incoming, remarks);
                Box::pin(answering).await?
            }
            Method::SetLevel => {
                set_level::handle(cx, session.as_ref(), request, accepted, self.now)?
            }
            Method::ToolsList
            | Method::ToolsCall
            | Method::PromptsList
            | Method::PromptsGet
            | Method::Complete
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::ResourcesRead
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
            | Method::Elicit
            | Method::CreateMessage
            | Method::RootsList
            | Method::ResourceUpdated
            | Method::ElicitationComplete
            | Method::Initialized
            | Method::Cancelled
            | Method::Progress
            | Method::LogMessage
            | Method::ToolsListChanged
            | Method::PromptsListChanged
            | Method::ResourcesListChanged
            | Method::SubscriptionsAcknowledged => {
                return Err(Refusal::MethodNotFound {
                    of_other_era: false,
                });
            }
        };
        cx.metrics.count_request(method, era);
        Ok(response)
    }

    async fn subscriptions(
        &self,
        method: Method,
        incoming: subscribe::Incoming<'_>,
        remarks: &mut Remarks,
    ) -> Result<Response<Body>, Refusal> {
        let (cx, caller) = (self.cx, self.caller);
        match method {
            Method::ResourcesSubscribe => subscribe::subscribe(cx, caller, incoming, remarks).await,
            Method::ResourcesUnsubscribe => subscribe::unsubscribe(cx, &incoming),
            _ => listen::subscribe(cx, caller, incoming).await,
        }
    }

    /// Modern metadata makes a request modern, whatever its headers say; without it, the version header decides. An
    /// `initialize` without metadata is the handshake of the session era (versioning, "Backward Compatibility").
    fn era(&self, method: Option<Method>, meta: &RequestMeta<'_>) -> Result<Era, Refusal> {
        if meta.is_modern() {
            return Ok(Era::Stateless);
        }
        if method == Some(Method::Initialize) {
            return Ok(Era::Session);
        }
        era_of_header(self.headers)
    }

    /// The checks of a modern request, in this order: metadata (TM-8), headers against body (TM-4, TM-5), version (TM-4).
    fn check_modern(&self, request: &Request<'_>, params: &Params<'_>) -> Result<(), Refusal> {
        let stated = params.meta.modern().map_err(Refusal::Meta)?;
        let mirrored = Mirrored {
            protocol_version: field(self.headers, PROTOCOL_VERSION),
            method: field(self.headers, METHOD),
            name: field(self.headers, NAME),
        };
        let version = &stated.protocol_version;
        let checked = match Method::parse(&request.method).and_then(Method::mirrored_member) {
            Some("name") => header::check_against(&mirrored, version, &request.method, params.name),
            _ => header::check(&mirrored, version, &request.method, request.params),
        };
        let served =
            ProtocolVersion::parse(version).is_some_and(|version| version.era() == Era::Stateless);
        match checked {
            // What a version that we do not know asks of its headers is not ours to judge, except that they agree on it.
            Err(mismatch) if served || concerns_version(&mismatch) => {
                Err(Refusal::HeaderMismatch(mismatch))
            }
            _ if !served => Err(Refusal::UnsupportedVersion {
                requested: version.as_ref().into(),
            }),
            _ => Ok(()),
        }
    }
}

fn concerns_version(mismatch: &Mismatch) -> bool {
    match mismatch {
        Mismatch::Missing(header)
        | Mismatch::Unexpected(header)
        | Mismatch::Repeated(header)
        | Mismatch::Malformed(header)
        | Mismatch::Different(header) => *header == header::Header::ProtocolVersion,
    }
}
