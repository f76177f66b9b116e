//! `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: find what is named, decide, call, pass the answer on.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AsHeaderName;
use http::{HeaderMap, Response, StatusCode};
use mcp::capability::ClientCapabilities;
use mcp::era::{Era, ProtocolVersion};
use mcp::feature::Feature;
use mcp::header::Field;
use mcp::jsonrpc;
use mcp::meta::{InvalidMeta, LogLevel};
use mcp::method::Method;
use mcp::param_header;
use mcp::params::{CallParams, Params};
use mcp::raw::{OwnedRaw, Raw};
use mcp::result::modern_members;
use mcp::tool;
use net::body::Body;
use net::edge::remarks::Remarks;
use policy::call::Call;
use policy::facts::CallerFacts;
use policy::permitted::Permitted;
use targets::error::CallError;
use targets::reply::Reply;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::catalog::entry::{Entry, Measured};
use crate::client::{Client, Origin};
use crate::cx::Cx;
use crate::detach::{Detach, Legacy, Ticket};
use crate::flights::{Flight, Key};
use crate::input::{self, Resumed, State};
use crate::media::Accepted;
use crate::metrics::End;
use crate::parked::ParkedId;
use crate::quota::Burden;
use crate::refusal::Refusal;
use crate::relay;
use crate::session_id::Session;
use crate::tasks::Task;

/// What a request asks a target for.
pub(crate) struct Asked<'a> {
    feature: Feature,
    name: Cow<'a, str>,
}

impl<'a> Asked<'a> {
    /// What a method asks for, by the parameters of the request; `None` if it asks no target.
    pub(crate) fn by(method: Method, params: &Params<'a>) -> Result<Option<Self>, Refusal> {
        if method == Method::Complete {
            return Self::referred(params).map(Some);
        }
        let Some(feature) = Feature::called_by(method) else {
            return Ok(None);
        };
        let named = match feature {
            Feature::Tools | Feature::Prompts => params.name,
            // Looked for only where it counts: elsewhere it does no harm.
            Feature::Resources | Feature::ResourceTemplates => only(params.raw, "uri")?,
        };
        let name = named
            .and_then(Raw::text)
            .ok_or(Refusal::InvalidParams(match feature {
                Feature::Tools | Feature::Prompts => "`name` must be a string",
                Feature::Resources | Feature::ResourceTemplates => "`uri` must be a string",
            }))?;
        Self { feature, name }.checked().map(Some)
    }

    /// A prompt or a resource template, of which an argument is to be completed.
    fn referred(params: &Params<'a>) -> Result<Self, Refusal> {
        const WANTED: Refusal = Refusal::InvalidParams(
            "`ref` must be a `ref/prompt` with a `name`, or a `ref/resource` with a `uri`",
        );
        let reference = only(params.raw, "ref")?.ok_or(WANTED)?;
        let kinds = [
            ("ref/prompt", Feature::Prompts),
            ("ref/resource", Feature::ResourceTemplates),
        ];
        let [kind, name, uri] = reference
            .pick(["type", "name", "uri"])
            .map_err(|key| Refusal::Meta(InvalidMeta::Ambiguous(key)))?
            .map(|member| member.and_then(Raw::text));
        let kind = kind.ok_or(WANTED)?;
        let mut kinds = kinds.into_iter();
        let (_, feature) = kinds.find(|(word, _)| *word == kind).ok_or(WANTED)?;
        let name = match feature {
            Feature::Prompts => name,
            _ => uri,
        };
        let name = name.ok_or(WANTED)?;
        Self { feature, name }.checked()
    }

    /// What is of this name.
    pub(crate) fn named(feature: Feature, name: Cow<'a, str>) -> Result<Self, Refusal> {
        Self { feature, name }.checked()
    }

    fn checked(self) -> Result<Self, Refusal> {
        if self.name.len() > tool::MAX_URI {
            return Err(Refusal::Unknown(self.feature));
        }
        Ok(self)
    }
}

/// The one member of this name, which every reader takes for it (SEC-81).
fn only<'a>(params: Option<Raw<'a>>, key: &'static str) -> Result<Option<Raw<'a>>, Refusal> {
    let [found] = params
        .map_or(Ok([None]), |params| params.pick([key]))
        .map_err(|key| Refusal::Meta(InvalidMeta::Ambiguous(key)))?;
    Ok(found)
}

/// What the line about a request says of what was asked for: of a URI, what comes before its query, where secrets may be.
fn remarked(feature: Feature, name: &Arc<str>) -> Arc<str> {
    match feature {
        Feature::Tools | Feature::Prompts => Arc::clone(name),
        Feature::Resources | Feature::ResourceTemplates => name
            .find(['?', '#'])
            .and_then(|at| name.get(..at))
            .map_or_else(|| Arc::clone(name), Into::into),
    }
}

impl Asked<'_> {
    /// Where it is.
    async fn find(&self, cx: &Cx, remarks: &mut Remarks) -> Result<Arc<Entry>, Refusal> {
        let Self { feature, name } = self;
        let feature = *feature;
        let found = if let Some(found) = cx.catalogs.find(feature, name) {
            found
        } else {
            // Perhaps nobody has asked for the list yet, or it is new.
            let begun = Instant::now();
            let anew = Box::pin(cx.catalogs.found_anew(feature, name)).await;
            anew.ok_or_else(|| missing(cx, feature, name, begun))?
        };
        remarks.add(feature.announced_as().one(), remarked(feature, &found.name));
        Ok(found)
    }
}

/// What the policies say of a call.
fn decide(
    cx: &Cx,
    caller: &Caller,
    facts: &CallerFacts<'_>,
    (entry, feature, method): (&Entry, Feature, Method),
    params: CallParams,
) -> Result<Permitted<Call>, Refusal> {
    let call = Call {
        principal: caller.principal.clone(),
        target: Arc::clone(entry.target.name()),
        feature,
        method,
        name: Arc::clone(&entry.listed_as),
        params,
    };
    cx.policies.decide(facts, call).map_err(Refusal::Denied)
}

/// Who asks for what a method that is no call has to be allowed.
pub(crate) struct Permission<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) facts: &'a CallerFacts<'a>,
    pub(crate) params: &'a Params<'a>,
    /// What `params` borrows from.
    pub(crate) body: &'a Bytes,
}

impl Permission<'_> {
    /// Where something is, and the permission to ask for it by this method.
    pub(crate) async fn of(
        &self,
        cx: &Cx,
        asked: &Asked<'_>,
        method: Method,
        remarks: &mut Remarks,
    ) -> Result<(Arc<Entry>, Permitted<Call>), Refusal> {
        let params = CallParams::of(self.body, self.params)
            .ok_or(Refusal::InvalidParams("`params` is missing"))?;
        let entry = asked.find(cx, remarks).await?;
        let what = (&*entry, asked.feature, method);
        let permitted = decide(cx, self.caller, self.facts, what, params)?;
        Ok((entry, permitted))
    }
}

/// A call as it came in.
pub(crate) struct Incoming<'a> {
    pub(crate) asked: Asked<'a>,
    /// The task that is asked about, if one is.
    pub(crate) task: Option<Task>,
    pub(crate) method: Method,
    pub(crate) request: &'a jsonrpc::Request<'a>,
    /// What `request` borrows from.
    pub(crate) body: &'a Bytes,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) params: Params<'a>,
    pub(crate) era: Era,
    pub(crate) accepted: Accepted,
    /// The session of a legacy client, if it has one.
    pub(crate) session: Option<Session>,
    pub(crate) facts: CallerFacts<'a>,
    /// What it takes up of its caller's share.
    pub(crate) burden: Burden,
}

pub(crate) async fn handle(
    cx: &Arc<Cx>,
    caller: &Caller,
    call: Incoming<'_>,
    remarks: &mut Remarks,
) -> Result<Response<Body>, Refusal> {
    let params = CallParams::of(call.body, &call.params)
        .ok_or(Refusal::InvalidParams("`params` is missing"))?;
    let arguments = call.params.arguments;
    if arguments.is_some_and(|arguments| !arguments.is_object() && !arguments.is_null()) {
        return Err(Refusal::InvalidParams("`arguments` must be an object"));
    }

    let (tool, params) = match &call.task {
        Some(task) => (task.entry(cx)?, task.params(&params)),
        None => (call.asked.find(cx, remarks).await?, params),
    };
    param_header::unambiguous(&tool.param_headers, arguments).map_err(Refusal::Ambiguous)?;
    if call.era == Era::Stateless {
        let field = |name: &str| field(call.headers, name);
        param_header::check(&tool.param_headers, arguments, field)
            .map_err(Refusal::HeaderMismatch)?;
    }

    let origin = origin(caller, &call, &tool);
    let resumed = match (call.era, call.params.request_state) {
        (Era::Stateless, Some(state)) => Some(origin.open(cx, state)?),
        _ => None,
    };
    let params = match &resumed {
        Some(State::Passed(state)) => {
            let responses = call.params.input_responses.map(Raw::as_str);
            params.answering(responses, Some(state.borrow()))
        }
        Some(State::Parked(_)) | None => params,
    };

    let permitted = decide(
        cx,
        caller,
        &call.facts,
        (&tool, call.asked.feature, call.method),
        params,
    )?;

    if call.method == Method::Complete && tool.target.completes() == Some(false) {
        return Ok(nothing_to_complete(cx, &call));
    }

    let chosen = match (call.era, &call.session) {
        (Era::Stateless, _) => call.params.meta.valid_log_level(),
        (Era::Session, Some(session)) => cx.memory.level(&session.id),
        (Era::Session, None) => None,
    };
    let client = Client {
        method: call.method,
        id: call.request.id.to_owned(),
        era: call.era,
        accepted: call.accepted,
        log_level: match call.era {
            Era::Stateless => chosen,
            Era::Session => Some(chosen.unwrap_or(LogLevel::DEBUG)),
        },
        primes: call
            .session
            .is_some_and(|session| session.version >= ProtocolVersion::V2025_11_25),
        origin,
        task: call.task.as_ref().map(|task| task.id.clone()),
        usage: Arc::clone(caller.usage(&cx.quotas)),
    };
    if let Some(State::Parked(id)) = &resumed {
        // What was decided about then is decided about again, and is under way already.
        drop(permitted);
        return Box::pin(resume(cx, client, id, call, remarks)).await;
    }
    let behalf = targets::client::Client {
        era: call.era,
        session: call.session.map(|session| session.id.0),
        declared: client.origin.declared,
        extensions: extensions(&call),
        log_level: chosen,
    };
    let target = tool.target.clone();
    let begun = Instant::now();
    match call.era {
        // Hanging up cancels: whatever is dropped is cancelled at the target (TM-13).
        Era::Stateless => {
            let held = client.usage.hold();
            let reply = target.call(permitted, behalf, None, held).await;
            let reply = ended(&tool, reply, begun, remarks)?;
            let ticket = Ticket::Modern {
                _burden: call.burden,
            };
            relay::reply(cx, client, reply, ticket, remarks).await
        }
        // Hanging up does not; saying so does (TL-8).
        Era::Session => {
            let legacy = Legacy {
                flight: begin(cx, caller, &call),
                background: Arc::clone(&cx.background),
                burden: call.burden,
            };
            let cancelled = legacy.flight.cancelled().clone();
            let (called, held) = (target.clone(), client.usage.hold());
            let calling =
                async move { called.call(permitted, behalf, Some(cancelled), held).await };
            let (reply, legacy) = Detach::new(calling, legacy).await;
            let reply = ended(&tool, reply, begun, remarks)?;
            let ticket = Ticket::Legacy(legacy);
            relay::reply(cx, client, reply, ticket, remarks).await
        }
    }
}

/// What a client can be asked: as it says with each request, or said when its session began.
pub(crate) fn declared(
    era: Era,
    params: &Params<'_>,
    session: Option<&Session>,
) -> ClientCapabilities {
    match era {
        Era::Stateless => {
            let stated = params.meta.client_capabilities;
            stated.map_or_else(ClientCapabilities::default, ClientCapabilities::of)
        }
        Era::Session => {
            session.map_or_else(ClientCapabilities::default, |session| session.declared)
        }
    }
}

/// What belongs to an answer of the client to what the target asks in the middle of the call. Who takes no events back has
/// nowhere to be asked in the session era.
fn origin(caller: &Caller, call: &Incoming<'_>, tool: &Entry) -> Origin {
    let session = call.session.as_ref().filter(|_| call.accepted.events);
    let declared = declared(call.era, &call.params, session);
    Origin {
        principal: caller.principal.clone(),
        fingerprint: caller.fingerprint,
        session: call.session.as_ref().map(|session| session.id),
        declared,
        method: call.method,
        target: Arc::clone(tool.target.name()),
        name: Arc::clone(&tool.listed_as),
        arguments: call
            .params
            .arguments
            .map(|arguments| OwnedRaw::of(call.body, arguments)),
        patience: tool.target.declared().timeouts.input,
    }
}

/// The extensions that a client of the stateless era declares with its request.
fn extensions(call: &Incoming<'_>) -> Option<OwnedRaw> {
    let declared = call.params.meta.client_capabilities?.get("extensions")?;
    let is_said = call.era == Era::Stateless && declared.is_object();
    is_said.then(|| OwnedRaw::of(call.body, declared))
}

/// A client of the stateless era comes back with what the target of a call that waits asked for.
async fn resume(
    cx: &Arc<Cx>,
    client: Client,
    id: &ParkedId,
    call: Incoming<'_>,
    remarks: &mut Remarks,
) -> Result<Response<Body>, Refusal> {
    let responses = call.params.input_responses;
    let responses = responses.map(|responses| (responses, call.body));
    match input::resume(cx, &client, id, responses)? {
        Resumed::Asking(message) => Ok(relay::message_response(
            message,
            StatusCode::OK,
            call.accepted,
        )),
        Resumed::Going(mut stream) => {
            let token = call.params.meta.valid_progress_token();
            stream.go_on(call.burden, token.map(|token| token.as_str().into()));
            relay::stream(cx, client, stream, remarks).await
        }
    }
}

/// Counts a call that has ended or begins to answer, and says in the log if that is a failure.
fn ended(
    tool: &Entry,
    reply: Result<Reply, CallError>,
    begun: Instant,
    remarks: &mut Remarks,
) -> Result<Reply, Refusal> {
    let target = tool.target.name();
    let end = End::of(&reply);
    tool.calls.count(end, begun.elapsed());
    match reply {
        Ok(reply) => {
            end.remark(target, remarks);
            Ok(reply)
        }
        // Said where the refusal is.
        Err(error) => Err(Refusal::of_call(target, error)),
    }
}

/// Why there is no such thing: for want of a target that lists it, which is a call that failed there.
fn missing(cx: &Cx, feature: Feature, name: &str, begun: Instant) -> Refusal {
    let Some((Measured { target, calls }, error)) = cx.catalogs.of(feature).failure(name) else {
        return Refusal::Unknown(feature);
    };
    calls.count(End::of_failure(&error), begun.elapsed());
    Refusal::of_call(target.name(), error)
}

/// What a target that does not complete arguments would say if it did.
fn nothing_to_complete(cx: &Cx, call: &Incoming<'_>) -> Response<Body> {
    let modern = match call.era {
        Era::Stateless => modern_members(None, &cx.server_info),
        Era::Session => String::new(),
    };
    let result = format!(r#"{{"completion":{{"values":[],"hasMore":false}}{modern}}}"#);
    let message = jsonrpc::response(call.request.id, &result);
    relay::message_response(message, StatusCode::OK, call.accepted)
}

fn begin(cx: &Cx, caller: &Caller, call: &Incoming<'_>) -> Flight {
    cx.flights.begin(Key {
        gateway: Arc::clone(&cx.name),
        principal: caller.principal.clone(),
        session: call.session.as_ref().map(|session| session.id),
        request: call.request.id.canonical(),
    })
}

pub(crate) fn field(headers: &HeaderMap, name: impl AsHeaderName) -> Field<'_> {
    Field::of(
        headers
            .get_all(name)
            .iter()
            .map(http::HeaderValue::as_bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // RS-16: what may be secret in a URI is not in the log.
    #[test]
    fn of_a_uri_the_log_says_what_comes_before_its_query() {
        for (feature, name, said) in [
            (Feature::Resources, "https://a/b?token=s", "https://a/b"),
            (
                Feature::ResourceTemplates,
                "https://a/{b}#c",
                "https://a/{b}",
            ),
            (Feature::Resources, "file:///a", "file:///a"),
            (Feature::Tools, "a?b", "a?b"),
        ] {
            assert_eq!(&*remarked(feature, &name.into()), said);
        }
    }
}
