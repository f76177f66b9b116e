//! The tools of a server: all pages of `tools/list`, within bounds, without what is invalid.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::method::Method;
use ::mcp::result::CacheHint;
use oauth::causes::with_causes;
use tokio::time::Instant;

use super::agreement::Said;
use super::call::{Begun, Judged, Mendings, Refused};
use super::oddity::Oddity;
use super::page::Gathered;
use super::session::{Owner, Session};
use super::wire::Wire;
use super::{McpTarget, answer, outgoing};
use crate::apart;
use crate::error::{CallError, ListBound};
use crate::listing::{Dropped, Listing, Mended, ToolList};
use crate::reply::{Answer, Outcome};

impl McpTarget {
    /// Asks for the list, whether or not it is fresh, and publishes it.
    pub(super) async fn refresh(&self) -> Result<Arc<ToolList>, CallError> {
        let known = self.listing();
        self.refresh_since(&known).await
    }

    /// Asks for the list, unless somebody else did so since `known` was.
    pub(super) async fn refresh_since(
        &self,
        known: &Arc<Listing>,
    ) -> Result<Arc<ToolList>, CallError> {
        let _one_at_a_time = self.listing_now.lock().await;
        let current = self.listing();
        if !Arc::ptr_eq(&current, known) {
            if let Some(failure) = &current.failure {
                return Err(failure.clone());
            }
            if let Some(tools) = &current.tools {
                return Ok(Arc::clone(tools));
            }
        }
        self.list_now(&current).await
    }

    /// Asks for the list and publishes it in place of the `current` one. One at a time: whoever calls this has the turn.
    async fn list_now(&self, current: &Arc<Listing>) -> Result<Arc<ToolList>, CallError> {
        let listed = self.list().await.map(Arc::new);
        match &listed {
            Err(error) if error.outage().is_some() => {}
            _ => self.guard.note_reachable(),
        }
        let next = match &listed {
            Ok(tools) => Listing {
                tools: Some(Arc::clone(tools)),
                failure: None,
                at: Some(Instant::now()),
            },
            Err(error) => Listing {
                tools: current.tools.clone(),
                failure: Some(error.clone()),
                at: Some(Instant::now()),
            },
        };
        self.log_turn(current, &next);
        let next = Arc::new(next);
        let size = |listing: &Listing| listing.tools.as_ref().map_or(0, |tools| tools.bytes);
        let comparing = {
            let (current, next) = (Arc::clone(current), Arc::clone(&next));
            move || !is_same(&current, &next)
        };
        // Nobody else publishes meanwhile.
        let differs = apart::run(size(current).min(size(&next)), comparing).await;
        self.listing.send_if_modified(|listing| {
            *listing = next;
            differs
        });
        listed
    }

    /// Failures, recoveries, and what was left out or put right are said once, when they begin.
    fn log_turn(&self, before: &Listing, after: &Listing) {
        let name = &self.settings.name;
        match (&before.failure, &after.failure) {
            (None, Some(error)) => {
                let error = with_causes(error);
                tracing::warn!(target.name = %name, %error, "can't list the tools of target `{name}`");
            }
            (Some(_), None) => {
                tracing::info!(target.name = %name, "target `{name}` lists its tools again");
            }
            _ => {}
        }
        let Some(found) = &after.tools else { return };
        let known = before.tools.as_deref();
        let dropped = known.map_or(&[][..], |known| &known.dropped);
        for Dropped { name: tool, fault } in news(dropped, &found.dropped) {
            tracing::warn!(
                target.name = %name, tool = %tool, %fault,
                "dropped tool `{tool}` of target `{name}`: {fault}",
            );
        }
        let mended = known.map_or(&[][..], |known| &known.mended);
        for Mended { name: tool, repair } in news(mended, &found.mended) {
            tracing::warn!(
                target.name = %name, tool = %tool, %repair,
                "mended tool `{tool}` of target `{name}`: {repair}",
            );
        }
        if found.stands_still && !known.is_some_and(|known| known.stands_still) {
            tracing::warn!(
                target.name = %name,
                "target `{name}` has a cursor that does not advance; its list ends there",
            );
        }
    }

    /// May this list be served without asking?
    pub(super) fn is_fresh(&self, tools: &ToolList) -> bool {
        tools.fetched.elapsed() < self.life(tools)
    }

    /// How long the list is good for who asks: as long as the server says, but not longer than the operator says.
    fn life(&self, tools: &ToolList) -> Duration {
        let freshness = &self.settings.freshness;
        match tools.era {
            _ if self.watched.load(Ordering::Relaxed) => freshness.max_age,
            Era::Session => freshness.max_age,
            Era::Stateless => Duration::from_millis(tools.hint.ttl_ms)
                .clamp(freshness.shortest.min(freshness.max_age), freshness.max_age),
        }
    }

    /// The list may have changed.
    pub(crate) fn list_anew(&self) {
        self.poke.notify_one();
    }

    /// Asks for the list, unless that was done within `age`, with or without success. What was begun is brought to its end
    /// although its caller may hang up: or else who hangs up again and again makes the server list again and again.
    pub(crate) async fn look_again(self: &Arc<Self>, age: Duration) {
        let known = self.listing();
        if known.at.is_some_and(|at| at.elapsed() < age) {
            return;
        }
        let turn = Arc::clone(&self.listing_now).lock_owned().await;
        if !Arc::ptr_eq(&self.listing(), &known) {
            return;
        }
        let target = Arc::clone(self);
        let looking = self.looks.spawn(async move {
            // What became of it shows in the listing.
            let _ = target.list_now(&known).await;
            drop(turn);
        });
        if let Err(ended) = looking.await
            && let Ok(panic) = ended.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }

    async fn list(&self) -> Result<ToolList, CallError> {
        // A cursor that the server forgot between two pages: once more from the start (UC-11).
        match self.list_from_the_start().await {
            Err(CallError::ListRefused { code }) if Code(code) == Code::INVALID_PARAMS => {
                self.list_from_the_start().await
            }
            listed => listed,
        }
    }

    async fn list_from_the_start(&self) -> Result<ToolList, CallError> {
        let limits = self.settings.limits;
        let mut gathered = Gathered::default();
        let mut cursor: Option<Box<str>> = None;
        for _page in 0..limits.pages {
            let members = cursor
                .as_deref()
                .map_or_else(String::new, |cursor| format!(r#""cursor":{cursor}"#));
            let Some(Answer { era, outcome, .. }) =
                self.ask_in_agreement(Method::ToolsList, &members).await?
            else {
                return Ok(self.finish(gathered, Era::Session));
            };
            let result = match outcome {
                Outcome::Result(result) => result,
                // A server without tools may not know the method.
                Outcome::Error {
                    code: Code::METHOD_NOT_FOUND,
                    ..
                } if cursor.is_none() => {
                    return Ok(self.finish(gathered, era));
                }
                Outcome::Error { code, .. } => {
                    return Err(CallError::ListRefused { code: code.0 });
                }
            };
            let size = result.bytes().len();
            let taking = move || {
                let next = gathered.take(&result, era, &limits);
                (gathered, next)
            };
            let (so_far, next) = apart::run(size, taking).await;
            gathered = so_far;
            cursor = next?;
            if cursor.is_none() {
                return Ok(self.finish(gathered, era));
            }
        }
        Err(CallError::ListTooLong(ListBound::Pages))
    }

    fn finish(&self, gathered: Gathered, era: Era) -> ToolList {
        tracing::debug!(
            target.name = %self.settings.name,
            tools = gathered.tools.len(),
            "listed the tools of target `{}`", self.settings.name,
        );
        let careful = CacheHint {
            ttl_ms: 0,
            scope: ::mcp::result::CacheScope::Private,
        };
        ToolList {
            tools: gathered.tools,
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

    /// Asks something on our own behalf, in the era that was agreed on. `None` if the server
    /// declares that it has no tools.
    async fn ask_in_agreement(
        &self,
        method: Method,
        members: &str,
    ) -> Result<Option<Answer>, CallError> {
        let mut mended = Mendings::default();
        loop {
            let agreement = self.agree().await?;
            if !agreement.has_tools {
                return Ok(None);
            }
            let era = agreement.era();
            let owner = Owner::Gateway;
            let session = match self.session_in(&agreement, &owner).await? {
                Begun::Ready(session) => session,
                Begun::Doubted(doubt) => {
                    self.mend(doubt, &mut mended, &agreement, &owner, None)
                        .await?;
                    continue;
                }
            };
            let version = session.as_ref().map_or(agreement.version, Session::version);
            let headers = match &session {
                Some(session) => Wire::headers(Some(version), session.id()),
                None => Wire::modern_headers(version, method.as_str(), None),
            };
            let id = self.fresh_id();
            let body = outgoing::request(id, method, version, members);
            let limit = self.settings.timeouts.handshake;
            let asked = self.ask(headers, body, (id, era), limit).await?;
            let has_session = session
                .as_ref()
                .is_some_and(|session| session.id().is_some());
            let refused = match asked.said {
                Said::Answer(answer)
                    if has_session
                        && !mended.renewed_session()
                        && answer::says_lost_session(&answer) =>
                {
                    self.note(Oddity::LostSession);
                    Refused::Session
                }
                Said::Answer(answer) => return Ok(Some(answer)),
                Said::Nothing(error) => return Err(error),
                Said::Refusal(refusal, failure) => {
                    match self.judge_refusal(&refusal, failure, (id, era), has_session) {
                        Judged::Answer(answer) => return Ok(Some(answer)),
                        Judged::Final(failure) => return Err(failure),
                        Judged::Refused(refused) => refused,
                    }
                }
            };
            let mending = self.mend(refused, &mut mended, &agreement, &owner, session.as_ref());
            let answer = mending.await?;
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }
}

/// Would a reader of the listing see a difference?
fn is_same(one: &Listing, other: &Listing) -> bool {
    let tools = match (&one.tools, &other.tools) {
        (Some(one), Some(other)) => {
            one.era == other.era && one.hint == other.hint && one.tools == other.tools
        }
        (None, None) => true,
        _ => false,
    };
    tools && one.failure.is_some() == other.failure.is_some()
}

/// How many of these are said of one list.
const SAID: usize = 20;

/// What was not known before, each once, and not too much of it.
fn news<'a, T: Eq + Hash>(known: &'a [T], found: &'a [T]) -> impl Iterator<Item = &'a T> {
    let mut said: HashSet<&T> = known.iter().collect();
    found.iter().filter(move |it| said.insert(it)).take(SAID)
}
