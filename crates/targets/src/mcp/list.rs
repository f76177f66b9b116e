//! The tools of a server: all pages of `tools/list`, within bounds, without what is invalid.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::header::encode_value;
use ::mcp::method::Method;
use ::mcp::param_header::ParamHeader;
use ::mcp::raw::{OwnedRaw, Raw, quote};
use ::mcp::result::{CacheHint, cache_hint};
use ::mcp::tool::{self, InvalidTool, Tool};
use bytes::Bytes;
use http::header::HeaderValue;
use tokio::time::Instant;

use super::call::{Judged, Mended, judge_refusal};
use super::session::{Owner, Session};
use super::wire::Wire;
use super::{McpTarget, outgoing};
use crate::error::{CallError, ListBound, Violation};
use crate::reply::{Answer, Outcome};

/// What is known of a server's tools.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The last list that could be had; `None` if none ever could.
    pub tools: Option<Arc<ToolList>>,
    /// Why there is no newer one, if the last attempt failed.
    pub failure: Option<CallError>,
}

/// A complete list.
#[derive(Debug)]
pub struct ToolList {
    /// In the server's order, each name once.
    pub tools: Vec<ListedTool>,
    /// The era the server speaks.
    pub era: Era,
    /// What the server says about keeping the list; of several pages the strictest.
    pub hint: CacheHint,
    /// What the server listed beside them and nobody can use.
    pub dropped: Vec<Dropped>,
    by_name: HashMap<Arc<str>, usize>,
    fetched: Instant,
}

/// A tool that was left out of the list (UC-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name, as far as it has one.
    pub name: Box<str>,
    /// Why.
    pub fault: Fault,
}

/// Why a tool is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its definition is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidTool),
    /// A tool before it has the same name.
    #[error("another tool has the same name")]
    SameName,
}

/// One tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTool {
    /// Its name at the server.
    pub name: Arc<str>,
    /// The whole definition, byte for byte: an object.
    pub definition: OwnedRaw,
    /// Arguments that are mirrored into headers (2026-07-28).
    pub param_headers: Vec<ParamHeader>,
    /// The name as the value of `Mcp-Name`.
    pub(super) name_header: HeaderValue,
}

impl ToolList {
    /// The tool with this name.
    pub fn find(&self, name: &str) -> Option<&ListedTool> {
        self.tools.get(*self.by_name.get(name)?)
    }
}

/// Pages taken so far.
#[derive(Debug)]
struct Gathered {
    tools: Vec<ListedTool>,
    dropped: Vec<Dropped>,
    by_name: HashMap<Arc<str>, usize>,
    hint: Option<CacheHint>,
    bytes: usize,
}

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
        let listed = self.list().await.map(Arc::new);
        let next = match &listed {
            Ok(tools) => Listing {
                tools: Some(Arc::clone(tools)),
                failure: None,
            },
            Err(error) => Listing {
                tools: current.tools.clone(),
                failure: Some(error.clone()),
            },
        };
        self.log_turn(&current, &next);
        self.listing.send_if_modified(|listing| {
            let differs = !is_same(listing, &next);
            *listing = Arc::new(next);
            differs
        });
        listed
    }

    /// Failures, recoveries and dropped tools are said once, when they begin.
    fn log_turn(&self, before: &Listing, after: &Listing) {
        let name = &self.settings.name;
        match (&before.failure, &after.failure) {
            (None, Some(error)) => {
                tracing::warn!(target.name = %name, %error, "can't list the tools of target `{name}`");
            }
            (Some(_), None) => {
                tracing::info!(target.name = %name, "target `{name}` lists its tools again");
            }
            _ => {}
        }
        let known = before
            .tools
            .as_ref()
            .map_or(&[][..], |tools| &tools.dropped);
        let dropped = after.tools.as_ref().map_or(&[][..], |tools| &tools.dropped);
        for Dropped { name: tool, fault } in dropped.iter().filter(|it| !known.contains(it)) {
            tracing::warn!(
                target.name = %name, tool = %tool, %fault,
                "dropped tool `{tool}` of target `{name}`: {fault}",
            );
        }
    }

    /// May this list be served without asking?
    pub(super) fn is_fresh(&self, tools: &ToolList) -> bool {
        tools.fetched.elapsed() < self.life(tools)
    }

    fn life(&self, tools: &ToolList) -> Duration {
        let freshness = &self.settings.freshness;
        if self.watched.load(Ordering::Relaxed) {
            return freshness.watched;
        }
        match tools.era {
            Era::Session => freshness.unknown,
            Era::Stateless => Duration::from_millis(tools.hint.ttl_ms).max(freshness.shortest),
        }
    }

    /// How long until the list is asked for in any case.
    pub(super) fn refresh_interval(&self, tools: &ToolList) -> Duration {
        self.life(tools).max(self.settings.freshness.unknown)
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
        let limits = &self.settings.limits;
        let mut gathered = Gathered {
            tools: Vec::new(),
            dropped: Vec::new(),
            by_name: HashMap::new(),
            hint: None,
            bytes: 0,
        };
        let mut cursor: Option<String> = None;
        for _page in 0..limits.pages {
            let members = cursor.as_deref().map_or_else(String::new, |cursor| {
                format!(r#""cursor":{}"#, quote(cursor))
            });
            let Some(Answer { era, outcome }) =
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
            gathered.bytes += result.bytes().len();
            if gathered.bytes > limits.list {
                return Err(CallError::ListTooLong(ListBound::Bytes));
            }
            cursor = Self::gather(&mut gathered, &result)?;
            if gathered.tools.len() > limits.tools {
                return Err(CallError::ListTooLong(ListBound::Tools));
            }
            if cursor.is_none() {
                return Ok(self.finish(gathered, era));
            }
        }
        Err(CallError::ListTooLong(ListBound::Pages))
    }

    /// Takes the tools of a page; returns the cursor of the next one (UC-11: an empty one counts).
    fn gather(gathered: &mut Gathered, result: &OwnedRaw) -> Result<Option<String>, CallError> {
        let page = result.borrow();
        let listed = tool::listed(page).ok_or(Violation::ToolList)?;
        let hint = cache_hint(page);
        gathered.hint = Some(gathered.hint.map_or(hint, |before| CacheHint {
            ttl_ms: before.ttl_ms.min(hint.ttl_ms),
            // All pages have the same scope (TM-16); if not, the first one's holds.
            scope: before.scope,
        }));
        for definition in listed {
            let kept = Tool::parse(definition).map_err(Fault::Invalid);
            if let Err(fault) = kept.and_then(|tool| gathered.keep(result.bytes(), tool)) {
                let name = definition
                    .get("name")
                    .and_then(Raw::text)
                    .unwrap_or_default();
                gathered.dropped.push(Dropped {
                    name: name.as_ref().into(),
                    fault,
                });
            }
        }
        Ok(tool::next_cursor(page).map(std::borrow::Cow::into_owned))
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
        let mut mended = Mended::default();
        loop {
            let agreement = self.agree().await?;
            if !agreement.has_tools {
                return Ok(None);
            }
            let era = agreement.era();
            let owner = Owner::Gateway;
            let session = match self.session_in(&agreement, &owner).await? {
                Ok(session) => session,
                Err(doubt) => {
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
            let asked = self.ask(headers, body, id, era).await?;
            if asked.status.is_success() {
                return asked.answer.map(Some);
            }
            let has_session = session
                .as_ref()
                .is_some_and(|session| session.id().is_some());
            let status = asked.status;
            match judge_refusal(status, &asked.refusal, id, era, has_session) {
                Judged::Answer(answer) => return Ok(Some(answer)),
                Judged::Final => {
                    return Err(CallError::UpstreamHttp {
                        status: status.as_u16(),
                    });
                }
                Judged::Refused(refused) => {
                    let answer = self
                        .mend(refused, &mut mended, &agreement, &owner, session.as_ref())
                        .await?;
                    if answer.is_some() {
                        return Ok(answer);
                    }
                }
            }
        }
    }
}

impl Gathered {
    fn keep(&mut self, page: &Bytes, tool: Tool<'_>) -> Result<(), Fault> {
        let name: Arc<str> = tool.name.as_ref().into();
        if self.by_name.contains_key(&name) {
            return Err(Fault::SameName);
        }
        // What `encode_value` makes is always a header value.
        let name_header = HeaderValue::try_from(encode_value(&name).as_ref())
            .map_err(|_| Fault::Invalid(InvalidTool::InvalidName))?;
        self.by_name.insert(Arc::clone(&name), self.tools.len());
        self.tools.push(ListedTool {
            name,
            definition: OwnedRaw::of(page, tool.raw),
            param_headers: tool.param_headers,
            name_header,
        });
        Ok(())
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
