//! A call: send it once, and again only where the server certainly did nothing.

use std::sync::Arc;

use ::mcp::era::Era;
use ::mcp::header::encode_value;
use ::mcp::param_header;
use ::mcp::raw::Raw;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use policy::call::Call;

use super::agreement::Agreement;
use super::events::Events;
use super::link::Refusal;
use super::lists::Lists;
use super::oddity::Oddity;
use super::received::{Content, Received};
use super::server::{Begun, Judged, Mendings, Refused, Server};
use super::stream::{InFlight, Messages, Origin};
use super::wire::{Again, Head};
use super::{answer, outgoing};
use crate::bounds::Bounds;
use crate::client::Client;
use crate::error::{CallError, Violation};
use crate::meter::Held;
use crate::outward::Asker;
use crate::reply::Reply;

/// What came of one request.
#[derive(Debug)]
enum Attempted {
    Heard(Reply),
    Refused(Refused),
}

/// Makes calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calling<'a> {
    pub(super) server: &'a Server,
    pub(super) lists: &'a Arc<Lists>,
}

impl Calling<'_> {
    /// Calls until there is something to hand out. See [`crate::Target::call`].
    pub(super) async fn call(
        self,
        call: &Call,
        client: &Client,
        bounds: &Bounds,
        held: &mut Held,
    ) -> Result<Reply, CallError> {
        let mut asker = Asker::Caller {
            principal: call.principal.clone(),
            session: client.session,
            declared: client.declared,
        };
        let mut lane = None;
        let mut mended = Mendings::default();
        loop {
            // Nothing is left of what was answered before.
            held.shrink(0);
            let agreement = self.server.agreement_for(client.era).await?;
            let is_foreign = agreement.era() == Era::Session && client.era == Era::Stateless;
            if is_foreign && client.declared.can_be_asked() && lane.is_none() {
                let whose = (call.principal.clone(), client.declared);
                let taken = self.server.lanes.take(whose);
                asker = Asker::Caller {
                    principal: call.principal.clone(),
                    session: Some(taken.session()),
                    declared: client.declared,
                };
                lane = Some(Arc::new(taken));
            }
            let session = match self.server.session(&agreement, &asker).await? {
                Begun::Ready(session) => session,
                Begun::Doubted(doubt) => {
                    Box::pin(self.server.mend(doubt, &mut mended, &agreement, None)).await?;
                    continue;
                }
            };
            let id = self.server.link.fresh_id();
            let (head, version) = match &session {
                Some(session) => (Head::in_session(session), session.version()),
                None => (self.call_head(&asker, &agreement, call), agreement.version),
            };
            if let (Some(session), Some(level), true) = (&session, client.log_level, agreement.logs)
                && session.is_news(level)
            {
                Box::pin(self.server.link.set_level(session, level)).await;
            }
            let outside = match &session {
                // What some servers ask in the middle of a call, they ask outside of it; some answer there.
                Some(session) => {
                    let Server {
                        link, attending, ..
                    } = self.server;
                    Box::pin(attending.join(link, session, id)).await
                }
                None => None,
            };
            let body = outgoing::call(call, client, version, id);
            let in_flight = session
                .as_ref()
                .map(|session| InFlight::new(&self.server.link, session.clone(), id));
            let origin = Origin {
                id,
                era: agreement.era(),
                in_flight,
                outside,
                _lane: lane.clone(),
            };
            let refused = match self
                .attempt((head, body), origin, (call, client), bounds, held)
                .await?
            {
                Attempted::Heard(Reply::One(answer))
                    if !mended.renewed_session()
                        && session
                            .as_ref()
                            .is_some_and(|session| session.id().is_some())
                        && answer::says_lost_session(&answer) =>
                {
                    self.server.link.note(Oddity::LostSession);
                    Refused::Session
                }
                Attempted::Heard(reply) => return Ok(reply),
                Attempted::Refused(refused) => refused,
            };
            if matches!(refused, Refused::Headers) && mended.begin_headers() {
                Box::pin(self.lists.refresh(self.server, call.feature)).await?;
                continue;
            }
            let mending = self
                .server
                .mend(refused, &mut mended, &agreement, session.as_ref());
            if let Some(answer) = Box::pin(mending).await? {
                return Ok(Reply::One(answer));
            }
        }
    }

    /// One request.
    async fn attempt(
        &self,
        (head, body): (Head<'_>, Vec<u8>),
        mut origin: Origin,
        (call, client): (&Call, &Client),
        bounds: &Bounds,
        held: &mut Held,
    ) -> Result<Attempted, CallError> {
        let first_byte = self.server.link.settings.timeouts.answer;
        let mut received = match self
            .server
            .link
            .wire
            .post(head, body, first_byte, Again::No)
            .await
        {
            Ok(received) => received,
            Err(error) => {
                if !error.may_be_running() {
                    origin.answered();
                }
                return Err(error);
            }
        };
        if !received.status().is_success() {
            return Box::pin(self.refused(received, origin, held)).await;
        }
        let status = received.status();
        match received.content().await? {
            Content::Json => {
                let body = received.read_within(held).await?;
                origin.answered();
                let answer = answer::read(body, origin.id, origin.era).await?;
                Ok(Attempted::Heard(Reply::One(answer)))
            }
            Content::Events => {
                let token = call.params.progress_token();
                let token = token.map(|token| token.as_str().into());
                let mut messages = Messages::new(
                    (&self.server.link, self.lists),
                    received.events(),
                    origin,
                    (token, client.declared),
                    bounds.clone(),
                    held.another(),
                );
                let first_message = self.server.link.settings.timeouts.first_message;
                let asked_elsewhere = messages.asked_elsewhere();
                // What is silent for long looks dead on the way to the client (TM-12); and some clients answer a question
                // only after the answer to each of their calls has begun.
                let reply = tokio::select! {
                    biased;
                    reply = messages.reply() => reply?,
                    () = asked_elsewhere => None,
                    () = tokio::time::sleep(first_message) => None,
                };
                Ok(Attempted::Heard(
                    reply.unwrap_or_else(|| Reply::Stream(Box::new(messages))),
                ))
            }
            // Taken note of, and answered on the standalone stream.
            Content::Other if origin.outside.is_some() && status == StatusCode::ACCEPTED => {
                let token = call.params.progress_token();
                let token = token.map(|token| token.as_str().into());
                let mut messages = Messages::new(
                    (&self.server.link, self.lists),
                    Events::silent(self.server.link.settings.timeouts.answer),
                    origin,
                    (token, client.declared),
                    bounds.clone(),
                    held.another(),
                );
                match messages.reply().await? {
                    Some(reply) => Ok(Attempted::Heard(reply)),
                    None => Ok(Attempted::Heard(Reply::Stream(Box::new(messages)))),
                }
            }
            Content::Other => {
                origin.answered();
                Err(Violation::ContentType.into())
            }
        }
    }

    async fn refused(
        &self,
        received: Received,
        mut origin: Origin,
        held: &mut Held,
    ) -> Result<Attempted, CallError> {
        let failure = received.failure();
        let refusal = Refusal {
            status: received.status(),
            has_challenge: received.has_challenge(),
            body: received.read_explanation_within(held).await?,
        };
        let has_session = origin
            .in_flight
            .as_ref()
            .is_some_and(InFlight::has_session_id);
        origin.answered();
        match self
            .server
            .judge_refusal(&refusal, failure, (origin.id, origin.era), has_session)
        {
            Judged::Answer(answer) => Ok(Attempted::Heard(Reply::One(answer))),
            Judged::Refused(refused) => Ok(Attempted::Refused(refused)),
            Judged::Final(failure) => Err(failure),
        }
    }

    /// The head of a modern call, from what is really sent (UC-3) and from what the tool's
    /// definition wants mirrored (UC-4).
    fn call_head<'a>(&self, asker: &'a Asker, agreement: &Agreement, call: &Call) -> Head<'a> {
        let listing = self.lists.listing(call.feature);
        let listed = listing.list.as_ref().and_then(|list| list.find(&call.name));
        let mut head = Head::modern(asker, agreement.version, call.method);
        if call.method.mirrored_member().is_none() {
            return head;
        }
        if call.method.mirrored_member() == Some("taskId") {
            let task = call.params.raw().get("taskId").and_then(Raw::text);
            let task = task.map(|task| HeaderValue::try_from(encode_value(&task).as_ref()));
            if let Some(Ok(task)) = task {
                head = head.named(&task);
            }
            return head;
        }
        if let Some(listed) = listed {
            head = head.named(&listed.name_header);
        } else if let Ok(name) = HeaderValue::try_from(encode_value(&call.name).as_ref()) {
            head = head.named(&name);
        }
        let mirrored = listed.map_or(&[][..], |listed| &listed.param_headers);
        for (name, value) in param_header::for_call(mirrored, call.params.arguments()) {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                head = head.with(&name, &value);
            }
        }
        head
    }
}
