//! What a server offers: all pages of `tools/list` and the like, within bounds, without what is invalid.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::feature::{Feature, PerFeature};
use ::mcp::raw::OwnedRaw;
use ::mcp::result::CacheHint;
use model::listing::{Listing as Mode, Offered};
use model::target::Target;
use oauth::causes::with_causes;
use serde_json::{Map, Value};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::link::Said;
use super::oddity::Oddity;
use super::page::Gathered;
use super::server::{Begun, Judged, Mendings, Refused, Server};
use super::session::Session;
use super::wire::Head;
use super::{answer, outgoing};
use crate::apart;
use crate::error::{CallError, ListBound, Violation};
use crate::guard::Guard;
use crate::listing::{Dropped, List, Listing, Mended};
use crate::outward::Asker;
use crate::reply::{Answer, Outcome};

/// Callers for whom a server is asked at the same time.
const TURNS: usize = 8;

/// The lists of a server.
#[derive(Debug)]
pub(super) struct Lists {
    kept: PerFeature<Kept>,
    /// Listings whose callers may have hung up. The end does not wait for them.
    looks: TaskTracker,
    guard: Arc<Guard>,
    mode: Mode,
    /// Turns of callers who are listed for: each list may be large.
    turns: Semaphore,
}

/// What is kept of one list.
#[derive(Debug, Default)]
struct Kept {
    listing: watch::Sender<Arc<Listing>>,
    /// One listing at a time.
    listing_now: Arc<tokio::sync::Mutex<()>>,
    /// The list may have changed.
    poke: Notify,
    /// Change notifications are being received.
    watched: AtomicBool,
}

impl Lists {
    /// Lists that nobody asked for yet; or those that are declared.
    pub(super) fn new(settings: &Target, guard: Arc<Guard>) -> Self {
        let kept = |feature| {
            let listing = match &settings.listing {
                Mode::InSync | Mode::Scheduled | Mode::OnDemand => Listing::default(),
                // Nothing is waited for.
                Mode::Dynamic => Listing {
                    at: Some(Instant::now()),
                    ..Listing::default()
                },
                Mode::Static(offered) => declared(settings, feature, offered),
            };
            Kept {
                listing: watch::Sender::new(Arc::new(listing)),
                ..Kept::default()
            }
        };
        Self {
            kept: PerFeature::of(kept),
            looks: TaskTracker::new(),
            guard,
            mode: settings.listing.clone(),
            turns: Semaphore::new(TURNS),
        }
    }

    /// Whether it matters what the server says about changes, and what callers ask for.
    fn is_in_sync(&self) -> bool {
        self.mode == Mode::InSync
    }

    /// Whether lists are asked for at all, for everybody.
    pub(super) const fn are_kept(&self) -> bool {
        matches!(self.mode, Mode::InSync | Mode::Scheduled | Mode::OnDemand)
    }

    /// Whether they are asked for again when they are old.
    pub(super) const fn age(&self) -> bool {
        matches!(self.mode, Mode::InSync | Mode::Scheduled)
    }

    /// What is offered, as it was listed last.
    pub(super) fn listing(&self, feature: Feature) -> Arc<Listing> {
        Arc::clone(&self.kept.get(feature).listing.borrow())
    }

    /// Says when [`Self::listing`] changes.
    pub(super) fn changes(&self, feature: Feature) -> watch::Receiver<Arc<Listing>> {
        self.kept.get(feature).listing.subscribe()
    }

    /// Waits until a list may have changed.
    pub(super) async fn poked(&self, feature: Feature) {
        self.kept.get(feature).poke.notified().await;
    }

    /// The lists whose changes are announced as those of this one may have changed.
    pub(super) fn poke_announced(&self, announced: Feature) {
        if !self.is_in_sync() {
            return;
        }
        for (feature, kept) in self.kept.iter() {
            if feature.announced_as() == announced {
                kept.poke.notify_one();
            }
        }
    }

    /// Of which lists changes are announced now.
    pub(super) fn set_watched(&self, watched: impl Fn(Feature) -> bool) {
        for (feature, kept) in self.kept.iter() {
            kept.watched.store(watched(feature), Ordering::Relaxed);
        }
    }

    /// What is offered now, asked for if what is known is stale.
    ///
    /// # Errors
    /// Only if it could not be listed and never was before.
    pub(super) async fn get(
        &self,
        server: &Server,
        feature: Feature,
    ) -> Result<Arc<List>, CallError> {
        let known = self.listing(feature);
        if let Some(list) = known
            .list
            .as_ref()
            .filter(|list| self.is_fresh(server, feature, list))
        {
            return Ok(Arc::clone(list));
        }
        match self.refresh_since(server, feature, &known).await {
            Ok(list) => Ok(list),
            Err(error) => self.listing(feature).list.clone().ok_or(error),
        }
    }

    /// Asks for the list, whether or not it is fresh, and publishes it.
    pub(super) async fn refresh(
        &self,
        server: &Server,
        feature: Feature,
    ) -> Result<Arc<List>, CallError> {
        let known = self.listing(feature);
        self.refresh_since(server, feature, &known).await
    }

    /// Asks for the list, unless somebody else did so since `known` was.
    async fn refresh_since(
        &self,
        server: &Server,
        feature: Feature,
        known: &Arc<Listing>,
    ) -> Result<Arc<List>, CallError> {
        let _one_at_a_time = self.kept.get(feature).listing_now.lock().await;
        let current = self.listing(feature);
        if let (Mode::Static(_), Some(list)) = (&self.mode, &current.list) {
            return Ok(Arc::clone(list));
        }
        if !Arc::ptr_eq(&current, known) {
            if let Some(failure) = &current.failure {
                return Err(failure.clone());
            }
            if let Some(list) = &current.list {
                return Ok(Arc::clone(list));
            }
        }
        self.list_now(server, feature, &current).await
    }

    /// Asks for the list and publishes it in place of the `current` one. One at a time: whoever calls this has the turn.
    async fn list_now(
        &self,
        server: &Server,
        feature: Feature,
        current: &Arc<Listing>,
    ) -> Result<Arc<List>, CallError> {
        let listed = list_anew(server, feature, &WE).await.map(Arc::new);
        match &listed {
            Err(error) if error.outage().is_some() => {}
            _ => self.guard.note_reachable(),
        }
        let next = match &listed {
            Ok(list) => Listing {
                list: Some(Arc::clone(list)),
                failure: None,
                at: Some(Instant::now()),
            },
            Err(error) => Listing {
                list: current.list.clone(),
                failure: Some(error.clone()),
                at: Some(Instant::now()),
            },
        };
        log_turn(server.link.name(), feature, current, &next);
        let next = Arc::new(next);
        let size = |listing: &Listing| listing.list.as_ref().map_or(0, |list| list.bytes);
        let comparing = {
            let (current, next) = (Arc::clone(current), Arc::clone(&next));
            move || !is_same(&current, &next)
        };
        // Nobody else publishes meanwhile.
        let differs = apart::run(size(current).min(size(&next)), comparing).await;
        self.kept.get(feature).listing.send_if_modified(|listing| {
            *listing = next;
            differs
        });
        listed
    }

    /// May this list be served without asking?
    fn is_fresh(&self, server: &Server, feature: Feature, list: &List) -> bool {
        match self.mode {
            Mode::OnDemand | Mode::Static(_) => true,
            Mode::Scheduled => list.fetched.elapsed() < server.link.settings.freshness.max_age,
            Mode::InSync | Mode::Dynamic => {
                list.fetched.elapsed() < self.life(server, feature, list)
            }
        }
    }

    /// How long the list is good for who asks: as long as the server says, but not longer than the operator says.
    fn life(&self, server: &Server, feature: Feature, list: &List) -> Duration {
        let freshness = &server.link.settings.freshness;
        let watched = &self.kept.get(feature).watched;
        match list.era {
            _ if watched.load(Ordering::Relaxed) => freshness.max_age,
            Era::Session => freshness.max_age,
            Era::Stateless => Duration::from_millis(list.hint.ttl_ms)
                .clamp(freshness.shortest.min(freshness.max_age), freshness.max_age),
        }
    }

    /// The lists may have changed.
    pub(super) fn poke(&self) {
        if !self.is_in_sync() {
            return;
        }
        for (_, kept) in self.kept.iter() {
            kept.poke.notify_one();
        }
    }

    /// What is offered to a caller: asked for on its behalf, and not kept.
    pub(super) async fn list_for(
        &self,
        server: &Server,
        feature: Feature,
        whom: &Whom<'_>,
    ) -> Result<List, CallError> {
        // It is never closed.
        let _turn = self.turns.acquire().await.ok();
        list_anew(server, feature, whom).await
    }

    /// Asks for the list, whatever is known. Who comes while it is being asked for has what comes of that.
    pub(super) async fn sync(&self, server: &Server, feature: Feature) {
        if self.are_kept() {
            // What became of it shows in the listing.
            let _ = self.refresh(server, feature).await;
        }
    }

    /// Asks for the list, unless that was done within `age`, with or without success, or only others say when. What was begun is brought to its end
    /// although its caller may hang up: or else who hangs up again and again makes the server list again and again.
    pub(super) async fn look_again(
        self: &Arc<Self>,
        server: &Arc<Server>,
        feature: Feature,
        age: Duration,
    ) {
        let known = self.listing(feature);
        if !self.is_in_sync() || known.at.is_some_and(|at| at.elapsed() < age) {
            return;
        }
        let turn = Arc::clone(&self.kept.get(feature).listing_now);
        let turn = turn.lock_owned().await;
        if !Arc::ptr_eq(&self.listing(feature), &known) {
            return;
        }
        let (lists, server) = (Arc::clone(self), Arc::clone(server));
        let looking = self.looks.spawn(async move {
            // What became of it shows in the listing.
            let _ = lists.list_now(&server, feature, &known).await;
            drop(turn);
        });
        if let Err(ended) = looking.await
            && let Ok(panic) = ended.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Failures, recoveries, and what was left out or put right are said once, when they begin.
fn log_turn(name: &str, feature: Feature, before: &Listing, after: &Listing) {
    let (word, one) = (feature.word(), feature.one());
    match (&before.failure, &after.failure) {
        (None, Some(error)) => {
            let error = with_causes(error);
            tracing::warn!(target.name = %name, %error, "can't list the {word} of target `{name}`");
        }
        (Some(_), None) => {
            tracing::info!(target.name = %name, "target `{name}` lists its {word} again");
        }
        _ => {}
    }
    let Some(found) = &after.list else { return };
    let known = before.list.as_deref();
    let dropped = known.map_or(&[][..], |known| &known.dropped);
    for Dropped {
        name: dropped,
        fault,
    } in news(dropped, &found.dropped)
    {
        tracing::warn!(
            target.name = %name, entry = %dropped, %fault,
            "dropped {one} `{dropped}` of target `{name}`: {fault}",
        );
    }
    let mended = known.map_or(&[][..], |known| &known.mended);
    for Mended {
        name: mended,
        repair,
    } in news(mended, &found.mended)
    {
        tracing::warn!(
            target.name = %name, entry = %mended, %repair,
            "mended {one} `{mended}` of target `{name}`: {repair}",
        );
    }
    if found.stands_still && !known.is_some_and(|known| known.stands_still) {
        tracing::warn!(
            target.name = %name,
            "target `{name}` has a cursor that does not advance; its list of {word} ends there",
        );
    }
}

/// For whom a list is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whom<'a> {
    pub(super) asker: &'a Asker,
    /// The era of the client; none if it is for all.
    pub(super) era: Option<Era>,
}

/// For all.
const WE: Whom<'_> = Whom {
    asker: &Asker::Gateway,
    era: None,
};

/// The list of a target that is not asked for it.
fn declared(settings: &Target, feature: Feature, offered: &Offered) -> Listing {
    let definitions: &[Map<String, Value>] = match feature {
        Feature::Tools => &offered.tools,
        Feature::Prompts => &offered.prompts,
        Feature::Resources => &offered.resources,
        Feature::ResourceTemplates => &offered.resource_templates,
    };
    let definitions = serde_json::to_string(definitions).unwrap_or_default();
    let page = format!(r#"{{"{}":{definitions}}}"#, feature.word());
    let mut gathered = Gathered::default();
    let taken = OwnedRaw::parse(page)
        .map_err(|_| CallError::from(Violation::ToolList))
        .and_then(|page| gathered.take(feature, &page, Era::Stateless, &settings.limits));
    let name = settings.name.as_str();
    let listing = Listing {
        list: Some(Arc::new(finish(name, feature, gathered, Era::Stateless))),
        failure: taken.err(),
        at: Some(Instant::now()),
    };
    log_turn(name, feature, &Listing::default(), &listing);
    listing
}

async fn list_anew(server: &Server, feature: Feature, whom: &Whom<'_>) -> Result<List, CallError> {
    // A cursor that the server forgot between two pages: once more from the start (UC-11).
    match list_from_the_start(server, feature, whom).await {
        Err(CallError::ListRefused { code }) if Code(code) == Code::INVALID_PARAMS => {
            list_from_the_start(server, feature, whom).await
        }
        listed => listed,
    }
}

async fn list_from_the_start(
    server: &Server,
    feature: Feature,
    whom: &Whom<'_>,
) -> Result<List, CallError> {
    let limits = server.link.settings.limits;
    let mut gathered = Gathered::default();
    let mut cursor: Option<Box<str>> = None;
    for _page in 0..limits.pages {
        let members = cursor
            .as_deref()
            .map_or_else(String::new, |cursor| format!(r#""cursor":{cursor}"#));
        let asked = ask_in_agreement(server, feature, &members, whom).await?;
        let Some(Answer { era, outcome, .. }) = asked else {
            return Ok(finish(server.link.name(), feature, gathered, Era::Session));
        };
        let result = match outcome {
            Outcome::Result(result) => result,
            // A server that has none may not know the method.
            Outcome::Error {
                code: Code::METHOD_NOT_FOUND,
                ..
            } if cursor.is_none() => {
                return Ok(finish(server.link.name(), feature, gathered, era));
            }
            Outcome::Error { code, .. } => {
                return Err(CallError::ListRefused { code: code.0 });
            }
        };
        let size = result.bytes().len();
        let taking = move || {
            let next = gathered.take(feature, &result, era, &limits);
            (gathered, next)
        };
        let (so_far, next) = apart::run(size, taking).await;
        gathered = so_far;
        cursor = next?;
        if cursor.is_none() {
            return Ok(finish(server.link.name(), feature, gathered, era));
        }
    }
    Err(CallError::ListTooLong(ListBound::Pages))
}

fn finish(name: &str, feature: Feature, gathered: Gathered, era: Era) -> List {
    tracing::debug!(
        target.name = %name,
        entries = gathered.entries.len(),
        "listed the {} of target `{name}`", feature.word(),
    );
    let careful = CacheHint {
        ttl_ms: 0,
        scope: ::mcp::result::CacheScope::Private,
    };
    List {
        entries: gathered.entries,
        dropped: gathered.dropped,
        mended: gathered.mended,
        stands_still: gathered.stands_still,
        bytes: gathered.bytes,
        era,
        hint: gathered.hint.unwrap_or(careful),
        by_name: gathered.by_name,
        fetched: Instant::now(),
    }
}

/// Asks for a page of a list, in the era that was agreed on. `None` if the server does not
/// declare that it has one.
async fn ask_in_agreement(
    server: &Server,
    feature: Feature,
    members: &str,
    whom: &Whom<'_>,
) -> Result<Option<Answer>, CallError> {
    let method = feature.list();
    let mut mended = Mendings::default();
    loop {
        let agreement = match whom.era {
            Some(client) => server.agreement_for(client).await?,
            None => server.agreement().await?,
        };
        if !agreement.has.get(feature) {
            return Ok(None);
        }
        let era = agreement.era();
        let session = match server.session(&agreement, whom.asker).await? {
            Begun::Ready(session) => session,
            Begun::Doubted(doubt) => {
                server.mend(doubt, &mut mended, &agreement, None).await?;
                continue;
            }
        };
        let version = session.as_ref().map_or(agreement.version, Session::version);
        let head = match &session {
            Some(session) => Head::in_session(session),
            None => Head::modern(whom.asker, version, method),
        };
        let id = server.link.fresh_id();
        let body = outgoing::request_of(whom.asker, id, method, version, members);
        let limit = server.link.settings.timeouts.handshake;
        let asked = server.link.ask(head, body, (id, era), limit).await?;
        let has_session = session
            .as_ref()
            .is_some_and(|session| session.id().is_some());
        let refused = match asked.said {
            Said::Answer(answer)
                if has_session
                    && !mended.renewed_session()
                    && answer::says_lost_session(&answer) =>
            {
                server.link.note(Oddity::LostSession);
                Refused::Session
            }
            Said::Answer(answer) => return Ok(Some(answer)),
            Said::Nothing(error) => return Err(error),
            Said::Refusal(refusal, failure) => {
                match server.judge_refusal(&refusal, failure, (id, era), has_session) {
                    Judged::Answer(answer) => return Ok(Some(answer)),
                    Judged::Final(failure) => return Err(failure),
                    Judged::Refused(refused) => refused,
                }
            }
        };
        let mending = server.mend(refused, &mut mended, &agreement, session.as_ref());
        let answer = mending.await?;
        if answer.is_some() {
            return Ok(answer);
        }
    }
}

/// Would a reader of the listing see a difference?
fn is_same(one: &Listing, other: &Listing) -> bool {
    let lists = match (&one.list, &other.list) {
        (Some(one), Some(other)) => {
            one.era == other.era && one.hint == other.hint && one.entries == other.entries
        }
        (None, None) => true,
        _ => false,
    };
    lists && one.failure.is_some() == other.failure.is_some()
}

/// How many of these are said of one list.
const SAID: usize = 20;

/// What was not known before, each once, and not too much of it.
fn news<'a, T: Eq + Hash>(known: &'a [T], found: &'a [T]) -> impl Iterator<Item = &'a T> {
    let mut said: HashSet<&T> = known.iter().collect();
    found.iter().filter(move |it| said.insert(it)).take(SAID)
}
