//! The standalone streams of sessions with a server, for those clients that have one themselves (TL-1): what the server says
//! outside of any call.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::mcp::answer::parse;
use ::mcp::era::Era;
use ::mcp::input::Input;
use ::mcp::jsonrpc::{self, Message as Received};
use ::mcp::method::Method;
use ::mcp::raw::OwnedRaw;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer;
use super::asked::answering_to;
use super::link::Link;
use super::received::Content;
use super::session::Session;
use super::unasked::answer_to;
use super::wire::Head;
use crate::attention::{Heard, Hearing};
use crate::error::CallError;
use crate::outward::Asker;
use crate::reply::{Answer, Ask, Message};

/// A stream on which nothing comes for so long is opened anew: it may be dead without our knowing.
const SILENCE: Duration = Duration::from_mins(5);
/// The pause before a stream is opened again, and how often in a row that may bring nothing.
const PAUSE: Duration = Duration::from_secs(1);
const FRUITLESS: u32 = 10;
/// How long a stream stays open that nobody listens to: who calls once calls again.
const IDLE: Duration = Duration::from_mins(1);
/// How long a call waits for the stream to be open.
const OPENING: Duration = Duration::from_secs(1);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static(::mcp::header::LAST_EVENT_ID);

/// Who listens, and in which session.
#[derive(Debug, Default)]
pub(super) struct Attending {
    listeners: Mutex<HashMap<Asker, Listeners>>,
    /// Ends all of it.
    pub(super) over: CancellationToken,
}

/// Who listens to what is said to one asker.
#[derive(Debug)]
struct Listeners {
    /// The client's own stream.
    stream: Option<Hearing>,
    /// Calls under way, by the ids of their requests.
    calls: BTreeMap<u64, Call>,
    session: Option<Session>,
    /// Whether the stream of the session is open, or there is none.
    opened: watch::Sender<bool>,
    /// Whether somebody reads it.
    is_read: bool,
}

#[derive(Debug)]
struct Call {
    hearing: Hearing,
    /// Its client can be asked.
    is_askable: bool,
    /// What it hears reaches its client.
    is_heard: bool,
    /// Its client is being asked elsewhere.
    asked_elsewhere: Arc<Notify>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            stream: None,
            calls: BTreeMap::new(),
            session: None,
            opened: watch::Sender::new(false),
            is_read: false,
        }
    }
}

impl Listeners {
    /// Who hears what is said: the client's own stream, or else the last of its calls.
    fn best(&self) -> Option<&Hearing> {
        let stream = self.stream.as_ref().filter(|stream| !stream.is_over());
        let mut calls = self.calls.values().rev();
        stream.or_else(|| {
            let call = calls.find(|call| call.is_askable);
            call.map(|call| &call.hearing)
        })
    }

    /// Who is asked. Where there is one call, the question is most likely its; and some clients answer nothing before the answer
    /// to each call has begun: it begins with the question, or at once where the question is elsewhere.
    fn best_to_ask(&self) -> Option<&Hearing> {
        let is_heard = |call: &Call| call.is_askable && call.is_heard;
        if self.calls.len() == 1 && self.calls.values().all(is_heard) {
            return self.calls.values().next().map(|call| &call.hearing);
        }
        for call in self.calls.values() {
            call.asked_elsewhere.notify_one();
        }
        self.best()
    }

    /// Whether nobody listens, and nothing is read.
    fn is_nobody(&self) -> bool {
        !self.is_read && self.calls.is_empty() && self.best().is_none()
    }

    fn is_in(&self, session: &Session) -> bool {
        let known = self.session.as_ref();
        known.is_some_and(|known| Arc::ptr_eq(known.inner(), session.inner()))
    }
}

/// A call that hears what is said outside of any, until it is dropped.
#[derive(Debug)]
pub(super) struct Joined {
    attending: Arc<Attending>,
    asker: Asker,
    id: u64,
    pub(super) heard: Heard,
    /// Told when the client is asked on another stream than that of this call.
    pub(super) asked_elsewhere: Arc<Notify>,
}

impl Joined {
    /// Its answer has begun: what is heard here reaches the client.
    pub(super) fn set_heard(&self) {
        let mut all = self.attending.listeners.lock();
        let listeners = all.get_mut(&self.asker);
        if let Some(call) = listeners.and_then(|one| one.calls.get_mut(&self.id)) {
            call.is_heard = true;
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let mut all = self.attending.listeners.lock();
        if let Some(listeners) = all.get_mut(&self.asker) {
            listeners.calls.remove(&self.id);
            if listeners.is_nobody() {
                all.remove(&self.asker);
            }
        }
    }
}

impl Attending {
    /// This client listens from now on, in the session that it has here, and in each that it will have.
    pub(super) fn attend(
        self: &Arc<Self>,
        link: &Arc<Link>,
        asker: &Asker,
        hearing: Hearing,
        session: Option<&Session>,
    ) {
        let mut all = self.listeners.lock();
        if all.len().is_power_of_two() {
            all.retain(|_, one| !one.is_nobody());
        }
        all.entry(asker.clone()).or_default().stream = Some(hearing);
        drop(all);
        if let Some(session) = session {
            self.began(link, session);
        }
    }

    /// A call in this session hears what is said outside of it: its own answer, and what its client is asked if that has no
    /// stream of its own. None where nobody listens and nobody can be asked. Waits until the server can ask.
    pub(super) async fn join(
        self: &Arc<Self>,
        link: &Arc<Link>,
        session: &Session,
        id: u64,
    ) -> Option<Joined> {
        if !session.may_speak() {
            return None;
        }
        let is_askable = session.asker().declared().can_be_asked();
        let (joined, mut opened) = {
            let mut all = self.listeners.lock();
            if !is_askable && !all.contains_key(session.asker()) {
                return None;
            }
            let listeners = all.entry(session.asker().clone()).or_default();
            let (hearing, heard) = Hearing::new();
            let asked_elsewhere = Arc::<Notify>::default();
            let call = Call {
                hearing,
                is_askable,
                is_heard: false,
                asked_elsewhere: Arc::clone(&asked_elsewhere),
            };
            listeners.calls.insert(id, call);
            let joined = Joined {
                attending: Arc::clone(self),
                asker: session.asker().clone(),
                id,
                heard,
                asked_elsewhere,
            };
            (joined, listeners.opened.subscribe())
        };
        self.began(link, session);
        let opening = tokio::time::timeout(OPENING, opened.wait_for(|opened| *opened));
        if opening.await.is_err() {
            // Some servers say nothing at all before they have something to say: no call waits for that again.
            self.set_open(session);
        }
        Some(joined)
    }

    /// This session began, or is known: if somebody listens, its stream is opened.
    pub(super) fn began(self: &Arc<Self>, link: &Arc<Link>, session: &Session) {
        if !session.may_speak() {
            return;
        }
        // Kept without being in use: who listens does not keep it from its end.
        let session = Session::of(Arc::clone(session.inner()));
        {
            let mut all = self.listeners.lock();
            let Some(listeners) = all.get_mut(session.asker()) else {
                return;
            };
            if listeners.is_in(&session) {
                return;
            }
            if listeners.best().is_none() {
                // Nobody waits for it.
                listeners.opened.send_replace(true);
                return;
            }
            listeners.session = Some(session.clone());
            listeners.opened.send_replace(false);
            listeners.is_read = true;
        }
        let (attending, on) = (Arc::clone(self), Arc::clone(link));
        link.tracker.spawn(async move {
            tokio::select! {
                () = attending.listen_again_and_again(&on, &session) => {}
                () = attending.unheard(&session) => {}
                () = attending.over.cancelled() => {}
            }
            attending.forget(&session);
        });
    }

    /// Waits until nobody has listened for a while, or another session took the place of this one.
    async fn unheard(&self, session: &Session) {
        let mut since = None;
        loop {
            tokio::time::sleep(IDLE / 4).await;
            let all = self.listeners.lock();
            let Some(listeners) = all.get(session.asker()).filter(|one| one.is_in(session)) else {
                return;
            };
            match (listeners.best(), since) {
                (Some(_), _) => since = None,
                (None, None) => since = Some(Instant::now()),
                (None, Some(since)) if since.elapsed() + IDLE / 4 >= IDLE => return,
                (None, Some(_)) => {}
            }
        }
    }

    /// The stream of this session is not open any more.
    fn forget(&self, session: &Session) {
        let mut all = self.listeners.lock();
        if let Some(listeners) = all.get_mut(session.asker())
            && listeners.is_in(session)
        {
            listeners.opened.send_replace(true);
            listeners.is_read = false;
            listeners.session = None;
            if listeners.is_nobody() {
                all.remove(session.asker());
            }
        }
    }

    fn set_open(&self, session: &Session) {
        if let Some(listeners) = self.listeners.lock().get(session.asker())
            && listeners.is_in(session)
        {
            listeners.opened.send_replace(true);
        }
    }

    fn is_current(&self, session: &Session) -> bool {
        let all = self.listeners.lock();
        all.get(session.asker())
            .is_some_and(|one| one.is_in(session))
    }

    /// The answer to a call, for who waits for it.
    fn answer(&self, session: &Session, id: u64, answer: Answer) {
        let all = self.listeners.lock();
        let call = all.get(session.asker()).and_then(|one| one.calls.get(&id));
        if let Some(call) = call {
            call.hearing.say(Message::Answer(answer));
        }
    }

    fn say(&self, session: &Session, message: Message) {
        let all = self.listeners.lock();
        let best = match message {
            Message::Ask(_) => Listeners::best_to_ask,
            Message::Notification { .. } | Message::Answer(_) => Listeners::best,
        };
        let hearing = all.get(session.asker()).and_then(best).cloned();
        drop(all);
        if let Some(hearing) = hearing {
            hearing.say(message);
        }
    }

    async fn listen_again_and_again(&self, link: &Arc<Link>, session: &Session) {
        let (mut last, mut fruitless) = (None, 0);
        while fruitless < FRUITLESS && self.is_current(session) {
            let began = Instant::now();
            match self.listen(link, session, &mut last).await {
                Ok(true) => {}
                // There is no such stream, or no such session any more.
                Ok(false) => {
                    session.set_mute();
                    return;
                }
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

    /// Reads the stream to its end; `false` if there is none.
    async fn listen(
        &self,
        link: &Arc<Link>,
        session: &Session,
        last: &mut Option<HeaderValue>,
    ) -> Result<bool, CallError> {
        let mut head = Head::in_session(session);
        if let Some(last) = last {
            head = head.with(&LAST_EVENT_ID, last);
        }
        let mut received = link.wire.get(head, SILENCE).await?;
        if !received.status().is_success() || received.content().await? != Content::Events {
            // What is in trouble may have one later.
            return Ok(matches!(
                received.status().as_u16(),
                408 | 429 | 500 | 502..=504
            ));
        }
        self.set_open(session);
        let mut events = received.events().with_idle(SILENCE);
        while let Some(event) = events.next().await? {
            *last = events
                .last_event_id()
                .and_then(|id| HeaderValue::from_str(id).ok());
            let data = Bytes::from(event.data);
            if let Some((id, answer)) = answer_in(&data) {
                self.answer(session, id, answer);
            } else if let Some(message) = hear(link, session, &data).await {
                self.say(session, message);
            }
        }
        Ok(true)
    }
}

/// The answer to a request of ours, if an event is one: some servers answer there what was asked elsewhere.
fn answer_in(data: &Bytes) -> Option<(u64, Answer)> {
    let Received::Response(response) = parse(data).ok()? else {
        return None;
    };
    let id = response.id?.raw().any_integer()?;
    let id = u64::try_from(id).ok()?;
    let answer = answer::check(data, &response, id, Era::Session).ok()?;
    Some((id, answer))
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
