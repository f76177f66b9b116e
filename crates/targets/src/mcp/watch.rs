//! Keeps the lists current: listens where the server announces changes, asks where not.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ::mcp::answer::parse;
use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::feature::{Feature, PerFeature, RESOURCE_SUBSCRIPTIONS};
use ::mcp::jsonrpc::{Message, Notification};
use ::mcp::method::Method;
use ::mcp::raw::{Raw, quote};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::agreement::Agreement;
use super::events::Events;
use super::link::Said;
use super::lists::Lists;
use super::received::{Content, Received};
use super::server::{Judged, Refused, Server};
use super::session::Session;
use super::unasked::answer_to;
use super::wire::{Again, Head};
use super::{answer, outgoing};
use crate::error::{CallError, Stage};
use crate::outward::Asker;
use crate::reply::{Answer, Outcome};
use crate::subscription::{State, Topics};

/// Announcements that come faster than this are taken together.
const TOGETHER: Duration = Duration::from_millis(100);
/// A notification stream on which nothing comes for so long, not even a comment, is opened anew:
/// it may be dead without our knowing.
const SILENCE: Duration = Duration::from_mins(5);
/// Resources that a server is asked to tell of at the same time.
const AT_ONCE: usize = 64;
/// A stream that lived so long was in order.
const IN_ORDER: Duration = Duration::from_secs(10);

/// How a notification stream ended.
#[derive(Debug)]
enum Ended {
    /// The server does not offer it after all, or not now.
    NotOffered,
    /// It was ended, it broke, or the server was in no state to open it; it can be opened again.
    Closed,
}

/// Keeps lists current.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watching<'a> {
    pub(super) server: &'a Server,
    pub(super) lists: &'a Lists,
    pub(super) topics: &'a Topics,
}

/// What the server agreed to tell of.
#[derive(Debug)]
struct Agreed {
    lists: PerFeature<bool>,
    resources: HashSet<String>,
}

/// Why a server said nothing about a resource.
#[derive(Debug)]
enum Unasked {
    /// It does not know our session any more.
    LostSession,
    Failed(CallError),
}

/// A stream of the stateless era, or none.
#[derive(Debug)]
enum Opened {
    /// And the resources that it tells of.
    Stream(Box<Events>, BTreeSet<Arc<str>>),
    Not(Ended),
}

impl Watching<'_> {
    /// Never ends by itself.
    pub(super) async fn keep_current(&self) {
        tokio::join!(
            self.list_all_again_and_again(),
            self.listen_again_and_again(),
            self.server.sessions.sweep(&self.server.link)
        );
    }

    async fn list_all_again_and_again(&self) {
        if !self.lists.are_kept() {
            return self.get_to_know().await;
        }
        let lists = Feature::ALL.map(|feature| self.list_again_and_again(feature));
        futures_util::future::join_all(lists).await;
    }

    /// Where nothing is listed, it is still asked what it speaks and has.
    async fn get_to_know(&self) {
        let freshness = self.server.link.settings.freshness;
        let mut pause = freshness.first_pause;
        while self.server.agreement().await.is_err() {
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(freshness.longest_pause);
        }
    }

    async fn list_again_and_again(&self, feature: Feature) {
        let freshness = self.server.link.settings.freshness;
        let mut pause = freshness.first_pause;
        loop {
            let wait = if self.lists.refresh(self.server, feature).await.is_ok() {
                pause = freshness.first_pause;
                if !self.lists.age() {
                    return;
                }
                freshness.max_age
            } else {
                let longer = (pause * 2).min(freshness.longest_pause);
                std::mem::replace(&mut pause, longer)
            };
            let poked = tokio::time::timeout(jittered(wait), self.lists.poked(feature))
                .await
                .is_ok();
            if poked {
                tokio::time::sleep(TOGETHER).await;
            }
        }
    }

    async fn listen_again_and_again(&self) {
        let freshness = self.server.link.settings.freshness;
        let mut pause = freshness.first_pause;
        loop {
            let changed = self.server.agreements.changed();
            let agreement = match self.server.agreements.known() {
                Some(agreement) if agreement.announces() || !self.wanted(&agreement).is_empty() => {
                    agreement
                }
                // Listing finds out what the server speaks.
                _ => {
                    let wanted = self.topics.changed();
                    tokio::select! {
                        () = changed => {}
                        () = wanted => {}
                    }
                    continue;
                }
            };
            let began = tokio::time::Instant::now();
            let ended = self.listen(&agreement).await;
            self.lists.set_watched(|_| false);
            match ended {
                Ok(Ended::NotOffered) => {
                    self.refuse_all();
                    let wait = jittered(freshness.not_offered);
                    let again = async {
                        let wanted = self.topics.changed();
                        tokio::select! {
                            () = changed => {}
                            () = wanted => {}
                        }
                    };
                    let _ = tokio::time::timeout(wait, again).await;
                }
                Ok(Ended::Closed) | Err(_) => {
                    if began.elapsed() >= IN_ORDER {
                        pause = freshness.first_pause;
                    }
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(freshness.longest_pause);
                }
            }
        }
    }

    /// The resources that somebody is subscribed to, if the server tells of those.
    fn wanted(&self, agreement: &Agreement) -> BTreeSet<Arc<str>> {
        if !agreement.subscribes {
            self.refuse_all();
        }
        self.topics.wanted()
    }

    /// There is no stream on which the server could tell.
    fn refuse_all(&self) {
        for uri in self.topics.wanted() {
            let refusal = CallError::NotSubscribed {
                code: Code::METHOD_NOT_FOUND.0,
            };
            self.topics.settle(&uri, State::Refused(refusal));
        }
    }

    /// Opens the notification stream of the era and reads it to its end.
    async fn listen(&self, agreement: &Arc<Agreement>) -> Result<Ended, CallError> {
        match agreement.era() {
            Era::Session => {
                let session = self
                    .server
                    .sessions
                    .get(&self.server.link, &Asker::Gateway, agreement)
                    .await?
                    .session;
                self.listen_in_session(agreement, &session).await
            }
            Era::Stateless => self.listen_by_subscription(agreement).await,
        }
    }

    /// TL-1: GET on the endpoint, or 405.
    async fn listen_in_session(
        &self,
        agreement: &Agreement,
        session: &Session,
    ) -> Result<Ended, CallError> {
        let head = Head::in_session(session);
        let mut received = self
            .server
            .link
            .wire
            .get(head, self.server.link.settings.timeouts.handshake)
            .await?;
        if received.status().as_u16() == 404 && session.id().is_some() {
            self.server.forget(session);
            return Ok(Ended::Closed);
        }
        if !received.status().is_success() || received.content().await? != Content::Events {
            return Ok(refused(received, Era::Session).await);
        }
        self.lists
            .set_watched(|feature| *agreement.list_changed.get(feature));
        // Changes before that may have been missed.
        self.lists.poke();
        let mut events = received.events().with_idle(SILENCE);
        let mut asking = FuturesUnordered::new();
        let (mut subscribed, mut asked) = (BTreeSet::new(), BTreeSet::new());
        // Those of them that are asked for again now and then keep nothing from being asked for.
        let mut resting = BTreeSet::new();
        loop {
            let changed = self.topics.changed();
            let wanted = self.wanted(agreement);
            let gone: Vec<Arc<str>> = subscribed.difference(&wanted).cloned().collect();
            let unsubscribe = Method::ResourcesUnsubscribe;
            let gone = gone.into_iter();
            asking
                .extend(gone.map(|uri| self.ask_about(unsubscribe, uri, session, Duration::ZERO)));
            subscribed.retain(|uri| wanted.contains(uri));
            // Somebody left, and somebody came.
            self.topics.settle_all(&subscribed);
            let new = wanted.iter().filter(|uri| !subscribed.contains(*uri));
            for uri in new {
                if asked.len() < AT_ONCE + resting.len() && asked.insert(Arc::clone(uri)) {
                    let (subscribe, uri) = (Method::ResourcesSubscribe, Arc::clone(uri));
                    asking.push(self.ask_about(subscribe, uri, session, Duration::ZERO));
                }
            }
            tokio::pin!(changed);
            // What one of them waits for keeps nothing of the others.
            loop {
                let event = tokio::select! {
                    event = events.next() => event?,
                    () = &mut changed => break,
                    Some((method, uri, state)) = asking.next() => {
                        if matches!(state, Err(Unasked::LostSession)) {
                            self.server.forget(session);
                            return Ok(Ended::Closed);
                        }
                        if method != Method::ResourcesSubscribe {
                            continue;
                        }
                        match state {
                            Err(Unasked::Failed(error)) if self.topics.fail(&uri, &error) => {
                                let pause = self.server.link.settings.freshness.longest_pause;
                                resting.insert(Arc::clone(&uri));
                                asking.push(self.ask_about(method, uri, session, jittered(pause)));
                                continue;
                            }
                            Err(_) => {}
                            Ok(state) => {
                                if matches!(state, State::Standing) {
                                    subscribed.insert(Arc::clone(&uri));
                                }
                                self.topics.settle(&uri, state);
                            }
                        }
                        resting.remove(&uri);
                        asked.remove(&uri);
                        break;
                    }
                };
                let Some(event) = event else {
                    return Ok(Ended::Closed);
                };
                match parse(&event.data) {
                    Ok(Message::Notification(notification)) => self.notice(&notification),
                    Ok(Message::Request(request)) => {
                        let answer = answer_to(&request);
                        self.server.link.send_aside(session, answer).await;
                    }
                    Ok(Message::Response(_)) | Err(_) => {}
                }
            }
        }
    }

    /// Asks about one resource in our own session, after a pause: how it stands after that, if the server says.
    async fn ask_about(
        &self,
        method: Method,
        uri: Arc<str>,
        session: &Session,
        pause: Duration,
    ) -> (Method, Arc<str>, Result<State, Unasked>) {
        tokio::time::sleep(pause).await;
        let link = &self.server.link;
        let id = link.fresh_id();
        let members = format!(r#""uri":{}"#, quote(&uri));
        let body = outgoing::request(id, method, session.version(), &members);
        let head = Head::in_session(session);
        let limit = link.settings.timeouts.handshake;
        let asked = link.ask(head, body, (id, Era::Session), limit).await;
        let state = match asked.map(|asked| asked.said) {
            Ok(Said::Answer(Answer {
                outcome: Outcome::Result(_),
                ..
            })) => Ok(State::Standing),
            Ok(Said::Answer(Answer {
                outcome: Outcome::Error { code, .. },
                ..
            })) => Ok(State::Refused(CallError::NotSubscribed { code: code.0 })),
            Ok(Said::Refusal(refusal, failure)) => {
                let has_session = session.id().is_some();
                let asked = (id, Era::Session);
                match self
                    .server
                    .judge_refusal(&refusal, failure.clone(), asked, has_session)
                {
                    Judged::Refused(Refused::Session) => Err(Unasked::LostSession),
                    _ => Err(Unasked::Failed(failure)),
                }
            }
            Ok(Said::Nothing(error)) | Err(error) => Err(Unasked::Failed(error)),
        };
        (method, uri, state)
    }

    /// `subscriptions/listen`: acknowledged first, then only what was asked for (TM-15). Where something else is wanted,
    /// another stream takes the place of the one before, which is read on for a moment: what was said on it is not lost.
    async fn listen_by_subscription(&self, agreement: &Agreement) -> Result<Ended, CallError> {
        let wanted = self.wanted(agreement);
        let (mut current, mut standing) = match self.open_subscription(agreement, wanted).await? {
            Opened::Stream(events, standing) => (events, standing),
            Opened::Not(ended) => return Ok(ended),
        };
        self.lists.poke();
        loop {
            let mut opening = Box::pin(async {
                loop {
                    self.topics.changed().await;
                    tokio::time::sleep(TOGETHER).await;
                    let wanted = self.wanted(agreement);
                    if wanted != standing {
                        return self.open_subscription(agreement, wanted).await;
                    }
                    // Somebody left, and somebody came.
                    self.topics.settle_all(&standing);
                }
            });
            let opened = tokio::select! {
                ended = self.read(&mut current) => return ended,
                opened = &mut opening => opened?,
            };
            drop(opening);
            let another = match opened {
                Opened::Stream(another, now) => {
                    standing = now;
                    another
                }
                Opened::Not(ended) => return Ok(ended),
            };
            let mut before = std::mem::replace(&mut current, another);
            let _ = tokio::time::timeout(TOGETHER, self.read(&mut before)).await;
        }
    }

    /// Reads a stream of the stateless era to its end. Dropping the future loses nothing.
    async fn read(&self, events: &mut Events) -> Result<Ended, CallError> {
        while let Some(event) = events.next().await? {
            match parse(&event.data) {
                Ok(Message::Notification(notification)) => self.notice(&notification),
                // The server ends the subscription in good order.
                Ok(Message::Response(_)) => {
                    events.end(&self.server.link.tracker);
                    return Ok(Ended::Closed);
                }
                Ok(Message::Request(_)) | Err(_) => {}
            }
        }
        Ok(Ended::Closed)
    }

    async fn open_subscription(
        &self,
        agreement: &Agreement,
        wanted: BTreeSet<Arc<str>>,
    ) -> Result<Opened, CallError> {
        let version = agreement.version;
        let head = Head::modern(&Asker::Gateway, version, Method::SubscriptionsListen);
        let announced = Feature::ANNOUNCED
            .into_iter()
            .filter(|feature| *agreement.list_changed.get(*feature));
        let mut filter: Vec<String> = announced
            .map(|feature| format!(r#""{}":true"#, feature.filter()))
            .collect();
        if !wanted.is_empty() {
            let uris: Vec<String> = wanted.iter().map(|uri| quote(uri)).collect();
            filter.push(format!(
                r#""{RESOURCE_SUBSCRIPTIONS}":[{}]"#,
                uris.join(",")
            ));
        }
        let filter = format!(r#""notifications":{{{}}}"#, filter.join(","));
        let id = self.server.link.fresh_id();
        let body = outgoing::request(id, Method::SubscriptionsListen, version, &filter);
        let limit = self.server.link.settings.timeouts.handshake;
        let mut received = self
            .server
            .link
            .wire
            .post(head, body, limit, Again::Yes)
            .await?;
        if !received.status().is_success() || received.content().await? != Content::Events {
            return Ok(Opened::Not(refused(received, Era::Stateless).await));
        }
        let mut events = received.events().with_idle(SILENCE);
        let Some(agreed) = self.acknowledged(&mut events).await? else {
            return Ok(Opened::Not(Ended::NotOffered));
        };
        let (standing, refused): (BTreeSet<_>, BTreeSet<_>) = wanted
            .into_iter()
            .partition(|uri| agreed.resources.contains(&**uri));
        self.topics.settle_all(&standing);
        for uri in refused {
            let refusal = CallError::NotSubscribed {
                code: Code::INVALID_PARAMS.0,
            };
            self.topics.settle(&uri, State::Refused(refusal));
        }
        self.lists.set_watched(|feature| *agreed.lists.get(feature));
        Ok(Opened::Stream(Box::new(events), standing))
    }

    /// Waits for the acknowledgement; what comes before it is noise. `None` if nothing is announced.
    async fn acknowledged(&self, events: &mut Events) -> Result<Option<Agreed>, CallError> {
        let limit = self.server.link.settings.timeouts.handshake;
        let acknowledging = async {
            while let Some(event) = events.next().await? {
                match parse(&event.data) {
                    Ok(Message::Notification(said))
                        if said.method == Method::SubscriptionsAcknowledged.as_str() =>
                    {
                        let filter = said.params.and_then(|params| params.get("notifications"));
                        let lists = PerFeature::of(|feature| {
                            let agreed = filter.and_then(|filter| filter.get(feature.filter()));
                            agreed.and_then(Raw::bool) == Some(true)
                        });
                        let resources = filter
                            .and_then(|filter| filter.get(RESOURCE_SUBSCRIPTIONS)?.elements());
                        let resources = resources.into_iter().flatten();
                        let agreed = Agreed {
                            resources: resources
                                .filter_map(|uri| Some(uri.text()?.into_owned()))
                                .collect(),
                            lists,
                        };
                        let any =
                            lists.iter().any(|(_, agreed)| *agreed) || !agreed.resources.is_empty();
                        return Ok(any.then_some(agreed));
                    }
                    // An answer instead: there is no subscription.
                    Ok(Message::Response(_)) => return Ok(None),
                    _ => {}
                }
            }
            Err(CallError::ClosedMidStream)
        };
        tokio::time::timeout(limit, acknowledging)
            .await
            .unwrap_or(Err(CallError::TimedOut(Stage::Idle)))
    }

    fn notice(&self, notification: &Notification<'_>) {
        if let Some(feature) = Feature::changed_by(&notification.method) {
            self.lists.poke_announced(feature);
        } else if notification.method == Method::ResourceUpdated.as_str() {
            let uri = notification.params.and_then(|params| params.get("uri"));
            if let Some(uri) = uri.and_then(Raw::text) {
                self.topics.updated(&uri);
            }
        }
    }
}

/// What an answer means that is no notification stream: only one that says so (TL-1) means that there
/// is none; any other may be that of a server in trouble, or of a proxy before it.
async fn refused(received: Received, era: Era) -> Ended {
    let status = received.status();
    if status.is_success() || matches!(status.as_u16(), 404 | 405 | 501) {
        return Ended::NotOffered;
    }
    let body = received.read_explanation().await;
    match answer::refusal(&body, era) {
        Some(Answer {
            outcome:
                Outcome::Error {
                    code: Code::METHOD_NOT_FOUND,
                    ..
                },
            ..
        }) => Ended::NotOffered,
        _ => Ended::Closed,
    }
}

/// Up to twenty per cent less, so that many nodes do not ask at the same moment.
fn jittered(wait: Duration) -> Duration {
    // A fresh `RandomState` is a fresh random number; nothing secret depends on it.
    let random = RandomState::new().build_hasher().finish() % 201;
    wait / 1_000 * u32::try_from(800 + random).unwrap_or(1_000)
}
