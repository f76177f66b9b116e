//! The standalone streams of sessions with a server, for those clients that have one themselves (TL-1): what the server says
//! outside of any call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::mcp::answer::parse;
use ::mcp::input::Input;
use ::mcp::jsonrpc::{self, Message as Received};
use ::mcp::method::Method;
use ::mcp::raw::OwnedRaw;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::asked::{answer_to, answering_to};
use super::link::Link;
use super::session::Session;
use super::wire::{Content, Head};
use crate::attention::Hearing;
use crate::error::CallError;
use crate::outward::Asker;
use crate::reply::{Ask, Message};

/// A stream on which nothing comes for so long is opened anew: it may be dead without our knowing.
const SILENCE: Duration = Duration::from_mins(5);
/// The pause before a stream is opened again, and how often in a row that may bring nothing.
const PAUSE: Duration = Duration::from_secs(1);
const FRUITLESS: u32 = 10;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static(::mcp::header::LAST_EVENT_ID);

/// Who listens, and in which session.
#[derive(Debug, Default)]
pub(super) struct Attending {
    hearing: Mutex<HashMap<Asker, (Hearing, Option<Session>)>>,
    /// Ends all of it.
    pub(super) over: CancellationToken,
}

impl Attending {
    /// This client listens from now on, in the session that it has here, and in each that it will have.
    pub(super) fn attend(
        self: &Arc<Self>,
        link: &Arc<Link>,
        asker: &Asker,
        hearing: Hearing,
        session: Option<Session>,
    ) {
        let mut listening = self.hearing.lock();
        if listening.len().is_power_of_two() {
            listening.retain(|_, (hearing, _)| !hearing.is_over());
        }
        listening.insert(asker.clone(), (hearing.clone(), session.clone()));
        drop(listening);
        if let Some(session) = session {
            self.listen(link, session, hearing);
        }
    }

    /// This session began.
    pub(super) fn began(self: &Arc<Self>, link: &Arc<Link>, session: &Session) {
        let mut listening = self.hearing.lock();
        let Some((hearing, known)) = listening.get_mut(session.asker()) else {
            return;
        };
        let is_known = known
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known.inner(), session.inner()));
        if is_known || hearing.is_over() {
            return;
        }
        // Kept without being in use: who listens does not keep it from its end.
        let session = Session::of(Arc::clone(session.inner()));
        *known = Some(session.clone());
        let hearing = hearing.clone();
        drop(listening);
        self.listen(link, session, hearing);
    }

    fn is_current(&self, session: &Session) -> bool {
        let listening = self.hearing.lock();
        listening
            .get(session.asker())
            .and_then(|(_, known)| known.as_ref())
            .is_some_and(|known| Arc::ptr_eq(known.inner(), session.inner()))
    }

    fn listen(self: &Arc<Self>, link: &Arc<Link>, session: Session, hearing: Hearing) {
        if session.id().is_none() {
            return;
        }
        let (attending, on) = (Arc::clone(self), Arc::clone(link));
        link.tracker.spawn(async move {
            let listening = attending.listen_again_and_again(&on, &session, &hearing);
            tokio::select! {
                () = listening => {}
                () = hearing.over() => {
                    let mut all = attending.hearing.lock();
                    if all.get(session.asker()).is_some_and(|(hearing, _)| hearing.is_over()) {
                        all.remove(session.asker());
                    }
                }
                () = attending.over.cancelled() => {}
            }
        });
    }

    async fn listen_again_and_again(&self, link: &Arc<Link>, session: &Session, hearing: &Hearing) {
        let (mut last, mut fruitless) = (None, 0);
        while fruitless < FRUITLESS && self.is_current(session) {
            let began = Instant::now();
            match listen(link, session, hearing, &mut last).await {
                Ok(true) => {}
                // There is no such stream, or no such session any more.
                Ok(false) => return,
                Err(error) => tracing::debug!(
                    target.name = %link.name(), %error, "the standalone stream of a session broke off",
                ),
            }
            fruitless = if began.elapsed() > PAUSE {
                0
            } else {
                fruitless + 1
            };
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Reads the stream to its end; `false` if there is none.
async fn listen(
    link: &Arc<Link>,
    session: &Session,
    hearing: &Hearing,
    last: &mut Option<HeaderValue>,
) -> Result<bool, CallError> {
    let mut head = Head::in_session(session);
    if let Some(last) = last {
        head = head.with(&LAST_EVENT_ID, last);
    }
    let limit = link.settings.timeouts.handshake;
    let mut received = link.wire.get(head, limit).await?;
    if !received.status().is_success() || received.content().await? != Content::Events {
        return Ok(received.status().is_server_error());
    }
    let mut events = received.events().with_idle(SILENCE);
    while let Some(event) = events.next().await? {
        *last = events
            .last_event_id()
            .and_then(|id| HeaderValue::from_str(id).ok());
        if let Some(message) = hear(link, session, &Bytes::from(event.data)).await {
            hearing.say(message);
        }
    }
    Ok(true)
}

/// What an event says to the client, if anything.
async fn hear(link: &Arc<Link>, session: &Session, data: &Bytes) -> Option<Message> {
    match parse(data).ok()? {
        Received::Notification(notification) => {
            let method = Method::parse(&notification.method)?;
            if !matches!(method, Method::LogMessage | Method::ElicitationComplete) {
                return None;
            }
            let params = notification.params.map(::mcp::raw::Raw::as_str);
            let raw = Bytes::from(jsonrpc::notification(method.as_str(), params));
            Some(Message::Notification { method, raw })
        }
        Received::Request(request) => {
            let declared = session.asker().declared();
            let input = Input::by(&request.method)
                .filter(|input| input.is_declared(request.params, declared));
            let Some(input) = input else {
                link.send_aside(session, answer_to(&request)).await;
                return None;
            };
            Some(Message::Ask(Ask {
                input,
                params: request.params.map(|params| OwnedRaw::of(data, params)),
                answering: answering_to(link, session, request.id.to_owned(), ()),
            }))
        }
        Received::Response(_) => None,
    }
}
